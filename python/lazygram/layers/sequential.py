"""A list of layers as a network: compiled to a program of its input's shape, printed, summarised."""

from __future__ import annotations

from collections.abc import Sequence

from lazygram.kernels import Kernel, Program, check_shape
from lazygram.layers.base import (
    ImpossibleNetwork,
    Layer,
    Parameterisation,
    Value,
    check_branch,
    compile_chain,
)

__all__ = ["Sequential"]


class Sequential(Kernel, Layer):
    """Infinitely wide network of layers one after the other, and its kernels.

    Parameters
    ----------
    layers : list of Layer
        At least one; another Sequential may be among them.
    parameterisation : {"ntk", "standard"}, optional
        What the trained variables of weight layers are. "ntk" (the default): weights and biases N(0, 1) that
        the network multiplies by ``w_std / sqrt(fan_in)`` and `b_std`. "standard": weights
        ``N(0, w_std^2 / fan_in)`` and biases ``N(0, b_std^2)`` themselves; gradients to weights are then
        larger by sqrt(fan_in) / w_std, so that the tangent kernel is a sum of terms proportional to the
        widths, which the layers must give (``Dense(width=512)``). The NNGP kernel is the same. Inside
        another Sequential: that of the outer one.

    Raises
    ------
    TypeError, ValueError
        Not a list of layers, unknown parameterisation. Layers that do not fit together, or that have no
        closed limit, are reported when the shape of the input is known, by :meth:`summary` or the first
        kernel; the message gives the place of the layer.

    Notes
    -----
    Inputs are (n, d), (n, channels, p) or (n, channels, h, w). The covariance starts as the mean over input
    channels, ``K_ij = x_i . x_j / d``; the output must have no pixels left. Without a weight layer at the end
    the kernel is that of the last features, a mean over channels.

    References
    ----------
    .. [1] Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein, "Deep neural networks as Gaussian
       processes", ICLR 2018.
    .. [2] Jacot, Gabriel, Hongler, "Neural tangent kernel", NeurIPS 2018.
    .. [3] Novak, Xiao, Hron, Lee, Alemi, Sohl-Dickstein, Schoenholz, "Neural tangents: fast and easy infinite
       neural networks in Python", ICLR 2020.

    Examples
    --------
    >>> import lazygram
    >>> from lazygram.layers import Activation, Dense
    >>> kernel = lazygram.Sequential([Dense(w_std=2**0.5), Activation("relu"), Dense()])
    >>> kernel.nngp([[3.0, 4.0]]).round(6).tolist()
    [[12.5]]
    """

    def __init__(self, layers: Sequence[Layer], *, parameterisation: Parameterisation | None = None) -> None:
        self._layers = check_branch(layers, "layers")
        if not self._layers:
            raise ValueError("layers: at least one layer is needed")
        if parameterisation not in (None, "ntk", "standard"):
            raise ValueError(f"parameterisation: 'ntk' or 'standard' is needed, got {parameterisation!r}")
        self._parameterisation = parameterisation

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        return self._layers

    @property
    def parameterisation(self) -> Parameterisation:
        """ "ntk" or "standard"."""
        return self._parameterisation or "ntk"

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        """Add all layers to `program`; see :meth:`Layer.compile`."""
        if self._parameterisation not in (None, parameterisation):
            raise ImpossibleNetwork(
                f"parameterisation {self._parameterisation!r} inside a network in {parameterisation!r}"
            )
        return compile_chain(self._layers, program, value, parameterisation, ".layers")[-1]

    def _chain(self, shape: tuple[int, ...]) -> tuple[Program, list[Value]]:
        """Program for examples of a shape, and the values before, between and after the layers."""
        width, *pixels = shape
        image = tuple(pixels) or None
        program = Program(image, normalise_input=True)
        values = [Value(width=width, image=image)]
        values += compile_chain(self._layers, program, values[0], self.parameterisation, "layers")
        return program, values

    def program(self, shape: tuple[int, ...]) -> Program:
        """Program for examples of a shape (d,), (channels, p) or (channels, h, w).

        Raises
        ------
        ValueError
            The layers do not fit together or do not fit the shape; the message gives the layer's place.
        """
        program, values = self._chain(shape)
        if values[-1].image is not None:
            raise ImpossibleNetwork(
                f"the output still has {' x '.join(map(str, values[-1].image))} pixels; "
                "put Flatten or GlobalAvgPool before the last Dense",
                "layers",
            )
        return program

    def summary(self, shape: Sequence[int]) -> str:
        """Table of the layers: what each one is and the shape that comes out of it.

        Parameters
        ----------
        shape : sequence of int
            Shape of one example: (d,), (channels, p) or (channels, h, w).

        Returns
        -------
        str
            One line per layer; "width" is a number of channels that tends to infinity. For images a last line
            says what is carried for a pair of them: pixel diagonals, or with pooling pairs of pixels.

        Raises
        ------
        ValueError
            As :meth:`program`.
        """
        program, values = self._chain(check_shape(shape, "(d,), (channels, p) or (channels, h, w)", 1))
        rows = [("", "layer", "output"), ("", "input", values[0].text)]
        for k, (layer, value) in enumerate(zip(self._layers, values[1:], strict=True)):
            head, *rest = layer.tree()
            rows.append((str(k), head, value.text))
            rows += [("", line, "") for line in rest]
        widest = max(len(row[1]) for row in rows)
        lines = [f"{index:>3}  {what:<{widest}}  {out}".rstrip() for index, what, out in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        if values[0].image is not None:
            most = max(value.pixels for value in values)
            carried = f"up to {most}^2 pairs of pixels" if program.core.pairs else f"up to {most} pixels"
            lines.append(f"carried for two images: {carried}")
        return "\n".join(lines)

    def tree(self, indent: str = "") -> list[str]:
        """Lines of the architecture as text."""
        lines = [f"{indent}Sequential"]
        for layer in self._layers:
            lines += layer.tree(indent + "  ")
        return lines

    def __str__(self) -> str:
        head, *rest = self.tree()
        return "\n".join([f"{head} ({self.parameterisation} parameterisation)", *rest])

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self._layers))
        extra = "" if self._parameterisation is None else f", parameterisation={self._parameterisation!r}"
        return f"Sequential([{inside}]{extra})"
