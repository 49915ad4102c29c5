"""Layers that join branches of one input: Residual, FanInSum, FanInProduct, FanInConcat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lazygram.kernels import Program
from lazygram.layers.base import (
    Branch,
    ImpossibleNetwork,
    Layer,
    Parameterisation,
    Value,
    check_branch,
    check_number,
    check_std,
    compile_chain,
)

__all__ = ["FanInConcat", "FanInProduct", "FanInSum", "Residual"]


def _compile_branches(
    branches: Sequence[tuple[Layer, ...]],
    names: Sequence[str],
    program: Program,
    value: Value,
    parameterisation: Parameterisation,
) -> list[Value]:
    """Compile branches that share an input; then the last is current and the others lie on the stack."""
    values = []
    for k, branch in enumerate(branches):
        if k + 1 < len(branches):
            program.push()
        start = replace(value, fresh=False)
        made = compile_chain(branch, program, start, parameterisation, names[k])
        values.append(made[-1] if made else start)
        if k + 1 < len(branches):
            program.swap()
    return values


def _check_same_shape(values: Sequence[Value], what: str) -> None:
    for k, other in enumerate(values[1:], start=1):
        if other.image != values[0].image:
            raise ImpossibleNetwork(
                f"branches {what} must have the same pixels, got {values[0].image} and {other.image} "
                f"from branches 0 and {k}"
            )


def _check_widths(values: Sequence[Value], what: str) -> None:
    given = {value.width for value in values if value.width is not None}
    if len(given) > 1:
        raise ImpossibleNetwork(f"branches {what} must have the same width, got {sorted(given)}")


def _check_independent(values: Sequence[Value], what: str) -> None:
    if any(value.is_input for value in values):
        raise ImpossibleNetwork(
            f"the input itself cannot be {what}: it has finitely many channels; put Dense or Conv before"
        )
    if sum(not value.fresh for value in values) > 1:
        raise ImpossibleNetwork(
            f"branches {what} must be independent: all but one need a Dense or Conv on every path"
        )


def _tree(head: str, branches: Sequence[tuple[str, tuple[Layer, ...]]], indent: str) -> list[str]:
    lines = [f"{indent}{head}"]
    for name, layers in branches:
        lines.append(f"{indent}  {name}:" + ("" if layers else " identity"))
        for layer in layers:
            lines += layer.tree(indent + "    ")
    return lines


def _check_branches(branches: Sequence[Branch]) -> tuple[tuple[Layer, ...], ...]:
    if isinstance(branches, Layer) or not isinstance(branches, (list, tuple)):
        raise TypeError(f"branches: a list of branches is needed, got {type(branches).__name__}")
    if len(branches) < 2:
        raise ValueError(f"branches: at least two are needed, got {len(branches)}")
    return tuple(check_branch(branch, f"branches[{k}]") for k, branch in enumerate(branches))


@dataclass(frozen=True, repr=False)
class _FanIn(Layer):
    branches: Sequence[Branch]

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _check_branches(self.branches))

    @property
    def _branches(self) -> tuple[tuple[Layer, ...], ...]:
        return self.branches  # type: ignore[return-value]

    @property
    def _names(self) -> list[str]:
        return [f".branches[{k}]" for k in range(len(self.branches))]

    def tree(self, indent: str = "") -> list[str]:
        named = [(f"branch {k}", branch) for k, branch in enumerate(self._branches)]
        return _tree(type(self).__name__, named, indent)


def _sum_branches(
    branches: Sequence[tuple[Layer, ...]],
    names: Sequence[str],
    scales: Sequence[float],
    program: Program,
    value: Value,
    parameterisation: Parameterisation,
) -> Value:
    """Compile sum_k scales[k] branch_k(x)."""
    values = _compile_branches(branches, names, program, value, parameterisation)
    _check_same_shape(values, "of a sum")
    _check_widths(values, "of a sum")
    _check_independent(values, "of a sum")
    not_zero = [v for v in values if v.mean != "zero"]
    if len(not_zero) > 1 and any(v.mean == "unknown" for v in not_zero):
        raise ImpossibleNetwork(
            "the mean of a branch is not known after FanInConcat or Flatten; end it with Dense or Conv"
        )
    program.add(scales[-1], scales[-2])
    for scale in scales[-3::-1]:
        program.add(1.0, scale)
    widths = {v.width for v in values if v.width is not None}
    return Value(
        width=widths.pop() if widths else None,
        image=values[0].image,
        gaussian=all(v.gaussian for v in values),
        mean="zero" if not not_zero else "unknown" if not_zero[0].mean == "unknown" else "known",
        fresh=all(v.fresh for v in values),
        is_input=False,
    )


@dataclass(frozen=True, repr=False)
class FanInSum(_FanIn):
    """Sum of independent branches of one input.

    Parameters
    ----------
    branches : list
        Two or more branches: a layer, or a list of layers, where an empty list is the identity. All but one
        must have a weight layer on every path.

    Notes
    -----
    ``K <- sum_k K_k + sum_{k != l} b_k b_l'`` (means of the channels, which are zero after a weight layer),
    ``T <- sum_k T_k``.

    References
    ----------
    .. [1] Du, Lee, Li, Wang, Zhai, "Gradient descent finds global minima of deep neural networks", ICML 2019
       (means of skip connections).
    """

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        ones = [1.0] * len(self._branches)
        return _sum_branches(self._branches, self._names, ones, program, value, parameterisation)


@dataclass(frozen=True, repr=False)
class FanInProduct(_FanIn):
    """Elementwise product of independent branches of one input (gates).

    Parameters
    ----------
    branches : list
        As in :class:`FanInSum`.

    Notes
    -----
    ``K <- prod_k K_k``, ``T <- sum_k T_k prod_{l != k} K_l``.
    """

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        values = _compile_branches(self._branches, self._names, program, value, parameterisation)
        _check_same_shape(values, "of a product")
        _check_widths(values, "of a product")
        _check_independent(values, "of a product")
        for _ in values[1:]:
            program.multiply()
        widths = {v.width for v in values if v.width is not None}
        return Value(
            width=widths.pop() if widths else None,
            image=values[0].image,
            mean="zero" if any(v.mean == "zero" for v in values) else "unknown",
            fresh=all(v.fresh for v in values),
            is_input=False,
        )


@dataclass(frozen=True, repr=False)
class FanInConcat(_FanIn):
    """Channels of several branches of one input beside each other.

    Parameters
    ----------
    branches : list
        Two or more branches: a layer, or a list of layers, where an empty list is the identity.
    shares : list of float, optional
        Share of each branch in the channels, positive, divided by their sum. By default the widths of the
        branches if all are given, else equal shares.

    Notes
    -----
    ``K <- sum_k share_k K_k``, T likewise. A weight layer must come before the next activation.
    """

    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shares is None:
            return
        if not isinstance(self.shares, (list, tuple)):
            raise TypeError(f"shares: a list of numbers is needed, got {self.shares!r}")
        shares = tuple(check_std(share, "shares") for share in self.shares)
        if len(shares) != len(self.branches) or min(shares) == 0.0:
            raise ValueError(f"shares: {len(self.branches)} positive numbers are needed, got {shares}")
        object.__setattr__(self, "shares", shares)

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        values = _compile_branches(self._branches, self._names, program, value, parameterisation)
        _check_same_shape(values, "of a concatenation")
        widths = [v.width for v in values]
        known = [width for width in widths if width is not None]
        if self.shares is not None:
            shares = list(self.shares)
        elif len(known) == len(widths):
            shares = [float(width) for width in known]
        elif known:
            raise ImpossibleNetwork("some branches have a width and some have none: give all, or shares=")
        else:
            shares = [1.0] * len(widths)
        total = sum(shares)
        program.mix(shares[-1] / total, shares[-2] / total)
        for share in shares[-3::-1]:
            program.mix(1.0, share / total)
        return Value(
            width=sum(known) if len(known) == len(widths) else None,
            image=values[0].image,
            mean="zero" if all(v.mean == "zero" for v in values) else "unknown",
            fresh=all(v.fresh for v in values),
            is_input=all(v.is_input for v in values),
        )


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """shortcut(x) + scale * branch(x).

    Parameters
    ----------
    branch : Layer or list of Layer
        With a weight layer on every path.
    shortcut : Layer or list of Layer, optional
        The identity by default; for instance a Dense or Conv where shapes change.
    scale : float
        Factor of the branch, such as c_res / depth.

    Notes
    -----
    As :class:`FanInSum`: ``K <- K_s + scale^2 K_b + scale (b_s b_b' + b_b b_s')``,
    ``T <- T_s + scale^2 T_b``. The input of a network itself has finitely many channels and cannot be the
    shortcut.
    """

    branch: Branch
    shortcut: Branch = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "branch", check_branch(self.branch, "branch"))
        object.__setattr__(self, "shortcut", check_branch(self.shortcut, "shortcut"))
        object.__setattr__(self, "scale", check_number(self.scale, "scale"))

    @property
    def _branches(self) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        return self.shortcut, self.branch  # type: ignore[return-value]

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        return _sum_branches(
            self._branches,
            (".shortcut", ".branch"),
            (1.0, self.scale),
            program,
            value,
            parameterisation,
        )

    def __repr__(self) -> str:
        shortcut, branch = self._branches
        parts = [repr(list(branch))]
        if shortcut:
            parts.append(f"shortcut={list(shortcut)!r}")
        if self.scale != 1.0:
            parts.append(f"scale={self.scale:g}")
        return f"Residual({', '.join(parts)})"

    def tree(self, indent: str = "") -> list[str]:
        shortcut, branch = self._branches
        head = "Residual" + (f" (scale {self.scale:g})" if self.scale != 1.0 else "")
        return _tree(head, [("shortcut", shortcut), ("branch", branch)], indent)
