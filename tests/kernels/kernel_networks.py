"""Networks that several tests share: a list with one of everything, and a strategy for random compositions.

Networks are the tuples of oracle.py; `width` is that of the hidden layers, which only the parameterisation
"standard" and concatenations look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray
Layers = list[tuple[Any, ...]]


def inputs(*shape: int, seed: float = 0.3) -> Array:
    """Fixed inputs of unequal norms: 1.3 sin(1.7 (k + 1) + seed) at flat index k."""
    return (1.3 * np.sin(1.7 * (np.arange(np.prod(shape)) + 1) + seed)).reshape(shape)


class Case(NamedTuple):
    shape: tuple[int, ...]
    layers: Callable[[int], Layers]
    parameterisation: str = "ntk"


def dense(w_std: float = 1.0, b_std: float | None = None, width: int | None = None) -> tuple[Any, ...]:
    return ("dense", w_std, b_std, width)


def conv(
    *window: int,
    stride: int = 1,
    padding: str = "SAME",
    w_std: float = 1.0,
    b_std: float | None = None,
    width: int | None = None,
) -> tuple[Any, ...]:
    return ("conv", window, (stride,) * len(window), padding, w_std, b_std, width)


RELU, ERF, TANH, SOFTPLUS, COS = (("act", name) for name in ("relu", "erf", "tanh", "softplus", "cos"))
READ_FLAT: Layers = [("flatten",), dense()]
READ_POOL: Layers = [("gap",), dense()]

CASES = {
    "dense": Case((3, 4), lambda m: [dense(1.4, 0.3), RELU, dense(1.2), SOFTPLUS, dense(0.9, 0.2)]),
    "dense-standard": Case(
        (3, 4),
        lambda m: [dense(1.4, 0.3, m), RELU, dense(1.2, None, m), ERF, dense(0.9, 0.2, 1)],
        "standard",
    ),
    "dense-residual-means": Case(
        (3, 4),
        lambda m: [dense(1.4), SOFTPLUS, ("scaled_residual", [dense(1.2, 0.1), RELU], 0.6), dense()],
    ),
    "dense-three-branches": Case(
        (3, 4),
        lambda m: [
            dense(1.4),
            RELU,
            ("sum", [[dense(0.7), RELU], [], [dense(0.5), COS, dense(), COS]]),
            dense(),
        ],
    ),
    "dense-product": Case(
        (3, 4), lambda m: [dense(1.4), ("product", [[dense(0.8), RELU], [dense(0.5), COS]]), dense()]
    ),
    "dense-gate-of-input": Case(
        (3, 4),
        lambda m: [dense(1.4), RELU, ("product", [[], [dense(0.8, 0.3), ERF]]), dense(), RELU, dense()],
    ),
    "dense-concat": Case(
        (3, 4),
        lambda m: [
            dense(1.2, None, m),
            ("concat", [[RELU, dense(0.5, None, m)], [RELU, dense(0.9, 0.2, m), TANH]]),
            dense(1.3),
            RELU,
            dense(),
        ],
    ),
    "dense-layernorm": Case(
        (3, 4), lambda m: [dense(1.4, 0.3), ("layernorm", "channels", 1e-2), RELU, dense()]
    ),
    "dense-dropout": Case(
        (3, 4), lambda m: [dense(1.4), RELU, ("dropout", 0.4), dense(1.2, 0.1), RELU, dense()]
    ),
    "conv1d-flatten": Case(
        (3, 2, 6), lambda m: [conv(3, w_std=1.4, b_std=0.2), RELU, conv(3), SOFTPLUS, *READ_FLAT]
    ),
    "conv1d-pool": Case(
        (2, 2, 6),
        lambda m: [conv(3, w_std=1.4, padding="CIRCULAR"), RELU, conv(2, stride=2), ERF, *READ_POOL],
    ),
    "conv1d-residual-means": Case(
        (2, 2, 5),
        lambda m: [
            conv(3, w_std=1.4),
            RELU,
            ("scaled_residual", [conv(3, w_std=1.2), RELU], 0.7),
            ("avgpool", (2,), (1,), "VALID"),
            ("scaled_residual", [conv(3), RELU], 0.5),
            *READ_POOL,
        ],
    ),
    "conv2d-flatten": Case(
        (2, 2, 3, 4),
        lambda m: [conv(3, 3, w_std=1.4), RELU, conv(3, 2, stride=2, b_std=0.3), RELU, *READ_FLAT],
    ),
    "conv2d-pool": Case(
        (2, 2, 3, 4),
        lambda m: [
            conv(3, 3, w_std=1.4, b_std=0.2),
            RELU,
            ("avgpool", (2, 2), (1, 2), "SAME"),
            dense(1.2),
            RELU,
            *READ_POOL,
        ],
    ),
    "conv2d-layernorm-pixels": Case(
        (2, 2, 3, 3),
        lambda m: [conv(3, 3, b_std=0.3), ("layernorm", "all", 1e-3), RELU, conv(2, 2), RELU, *READ_POOL],
    ),
    "conv2d-standard": Case(
        (2, 2, 3, 3),
        lambda m: [conv(3, 3, w_std=1.4, b_std=0.3, width=m), RELU, conv(2, 2, width=m), RELU, *READ_FLAT],
        "standard",
    ),
    "conv2d-dropout": Case(
        (2, 2, 3, 3), lambda m: [conv(3, 3), RELU, ("dropout", 0.4), conv(3, 3, w_std=1.3), RELU, *READ_POOL]
    ),
}


# --- random compositions ----------------------------------------------------------------------------


class Where(NamedTuple):
    """What may come next; see lazygram.layers.base.Value, of which the tests keep their own account."""

    image: tuple[int, ...]
    gaussian: bool
    mean: str
    width: int


def _weights(
    draw: st.DrawFn, image: tuple[int, ...], *, keep_shape: bool, width: int = 16
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    w_std, b_std = draw(st.sampled_from([0.7, 1.0, 1.4])), draw(st.sampled_from([None, 0.0, 0.3]))
    if not image or draw(st.booleans()):
        return dense(w_std, b_std, width), image
    window = tuple(draw(st.integers(1, min(3, size))) for size in image)
    padding = draw(st.sampled_from(["SAME", "CIRCULAR"] if keep_shape else ["SAME", "CIRCULAR", "VALID"]))
    stride = tuple(1 if keep_shape else draw(st.integers(1, 2)) for _ in image)
    if padding == "VALID":
        out = tuple((size - w) // s + 1 for size, w, s in zip(image, window, stride, strict=True))
    else:
        out = tuple(-(-size // s) for size, s in zip(image, stride, strict=True))
    return ("conv", window, stride, padding, w_std, b_std, width), out


def _branch(draw: st.DrawFn, image: tuple[int, ...], width: int) -> tuple[Layers, Where]:
    """A branch that keeps the shape and has a weight layer."""
    first, _ = _weights(draw, image, keep_shape=True, width=width)
    layers, where = [first], Where(image, True, "zero", width)
    if draw(st.booleans()):
        layers.append(draw(st.sampled_from([RELU, ERF, SOFTPLUS])))
        where = Where(image, False, "known", width)
        if draw(st.booleans()):
            layers.append(_weights(draw, image, keep_shape=True, width=width)[0])
            where = Where(image, True, "zero", width)
    return layers, where


def _next(draw: st.DrawFn, where: Where) -> tuple[Layers, Where]:
    image, gaussian, mean, width = where
    kinds = ["weights", "dropout", "concat"]
    kinds += ["act"] * 4 if gaussian else []
    kinds += ["layernorm"] if mean == "zero" else []
    kinds += ["avgpool"] if image and min(image) >= 4 else []
    kinds += ["sum", "residual", "product"] if mean != "unknown" else []
    kind = draw(st.sampled_from(kinds))
    if kind == "weights":
        layer, image = _weights(draw, image, keep_shape=False)
        return [layer], Where(image, True, "zero", 16)
    if kind == "act":
        return [draw(st.sampled_from([RELU, RELU, ERF, COS, SOFTPLUS]))], where._replace(
            gaussian=False, mean="known"
        )
    if kind == "layernorm":
        return [("layernorm", draw(st.sampled_from(["channels", "all"])), 1e-3)], where
    if kind == "dropout":
        return [("dropout", 0.3)], where._replace(gaussian=False)
    if kind == "avgpool":
        window = tuple(2 for _ in image)
        stride = draw(st.sampled_from([1, 2]))
        out = tuple((size - 2) // stride + 1 for size in image)
        return [("avgpool", window, (stride,) * len(image), "VALID")], where._replace(image=out)
    branch, other = _branch(draw, image, 8 if kind == "concat" else width)
    if kind == "concat":
        shares = draw(st.sampled_from([None, [1.0, 3.0]]))
        zero = mean == "zero" and other.mean == "zero"
        return [("concat", [branch, []], shares)], Where(
            image, False, "zero" if zero else "unknown", width + 8
        )
    if kind == "product":
        zero = "zero" in (mean, other.mean)
        return [("product", [[], branch])], Where(image, False, "zero" if zero else "unknown", width)
    merged = Where(
        image,
        gaussian and other.gaussian,
        "zero" if (mean, other.mean) == ("zero", "zero") else "known",
        width,
    )
    if kind == "residual":
        return [("scaled_residual", branch, draw(st.sampled_from([0.5, 1.0])))], merged
    third, last = _branch(draw, image, width)
    merged = Where(
        image,
        merged.gaussian and last.gaussian,
        "zero" if (merged.mean, last.mean) == ("zero", "zero") else "known",
        width,
    )
    return [("sum", [[], branch, third])], merged


@st.composite
def random_networks(draw: st.DrawFn) -> tuple[tuple[int, ...], Layers]:
    """Shape of an example, and a network that fits it and has a limit."""
    shape = draw(st.sampled_from([(4,), (2, 5), (3, 4), (2, 3, 4), (2, 4, 4)]))
    first, image = _weights(draw, shape[1:], keep_shape=False)
    layers, where = [first], Where(image, True, "zero", 16)
    for _ in range(draw(st.integers(1, 5))):
        more, where = _next(draw, where)
        layers += more
    if where.image:
        layers.append(draw(st.sampled_from([("flatten",), ("gap",)])))
    if draw(st.booleans()):
        layers.append(dense(1.1, 0.2))
    return shape, layers
