"""Readable references of infinite-width kernels: the definitions of the texts and an interpreter of layers.

Nothing here is taken from the package. Covariances are kept whole, for every pair of examples and every
pair of pixels, as arrays (n, n, p, p); rectangular kernels are blocks of the square one over all examples.
Gaussian expectations are closed forms written down here or the two-dimensional trapezoidal rule.

Texts: Du, thesis (2019), ch. 3, and Du, Lee, Li, Wang, Zhai, ICML 2019. Where a printed formula and the limit
of the network differ, the limit is meant; test_finite.py shows that these formulas are the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Dual = Callable[[Array, Array, Array], Array]

# --- Gaussian expectations --------------------------------------------------------------------------


class Activation(NamedTuple):
    """phi with E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of (K, var_u, var_v), and E phi(u) of var_u."""

    phi: Callable[[Array], Array]
    dphi: Callable[[Array], Array]
    dual: Dual
    derivative_dual: Dual
    mean: Callable[[Array], Array]


def _rule(strip: float) -> tuple[Array, Array]:
    """Trapezoidal rule for the mean under N(0, 1) of a function analytic in a strip of this half-width.

    Its error falls like exp(-2 pi^2 / step^2) for the density and exp(-2 pi strip / step) for the function,
    here exp(-50), which leaves room for the factor of poles of order four (tanh' squared): 1e-15 in the end.
    """
    step = min(0.5, 2 * np.pi * strip / 50)
    x = np.arange(-int(9.5 / step), int(9.5 / step) + 1) * step
    w = np.exp(-0.5 * x * x)
    return x, w / w.sum()


def smooth_dual(phi: Callable[[Array], Array], strip: float) -> Dual:
    """E[phi(u) phi(v)] by the trapezoidal rule in the frame u = su (c x + s y), v = sv (c x - s y)."""

    def value(k: Array, p: Array, q: Array) -> Array:
        k, p, q = np.broadcast_arrays(*(np.asarray(a, float) for a in (k, p, q)))
        out = np.empty(k.shape)
        for i in np.ndindex(k.shape):
            su, sv = np.sqrt(p[i]), np.sqrt(q[i])
            rho = np.clip(k[i] / (su * sv), -1.0, 1.0) if su * sv > 0 else 0.0
            c, s = np.sqrt((1 + rho) / 2), np.sqrt((1 - rho) / 2)
            steepest = max(su, sv, 1e-9)
            x, wx = _rule(strip / (steepest * max(c, 1e-9)))
            y, wy = _rule(strip / (steepest * max(s, 1e-9)))
            a, b = c * x[:, None], s * y
            out[i] = wx @ (phi(su * (a + b)) * phi(sv * (a - b))) @ wy
        return out

    return value


def smooth_mean(phi: Callable[[Array], Array], strip: float) -> Callable[[Array], Array]:
    """E phi(u), u ~ N(0, variance), by the trapezoidal rule."""

    def value(variance: Array) -> Array:
        scale = np.sqrt(np.asarray(variance, float))
        x, w = _rule(strip / max(float(scale.max()), 1e-9))
        return phi(scale[..., None] * x) @ w

    return value


def smooth(phi: Callable[[Array], Array], dphi: Callable[[Array], Array], strip: float) -> Activation:
    """An activation analytic for |Im z| < strip."""
    return Activation(phi, dphi, smooth_dual(phi, strip), smooth_dual(dphi, strip), smooth_mean(phi, strip))


def angle(k: Array, p: Array, q: Array) -> Array:
    """Angle of vectors with squared lengths p, q and inner product k; pi/2 if one of them is zero."""
    # Equal numbers mean the same vector: rounding must not turn it by 1e-8.
    sine = np.where((k == p) & (k == q), 0.0, np.sqrt(np.maximum(p * q - k * k, 0.0)))
    return np.where(p * q > 0, np.arctan2(sine, k), np.pi / 2)


def relu_dual(k: Array, p: Array, q: Array) -> Array:
    t = angle(k, p, q)
    return np.sqrt(p * q) * (np.sin(t) + (np.pi - t) * np.cos(t)) / (2 * np.pi)


def step_dual(k: Array, p: Array, q: Array) -> Array:
    # A variance of zero: u = 0 surely, where 1{u >= 0} is 1 and P(v >= 0) is 1/2 or 1.
    plain = (np.pi - angle(k, p, q)) / (2 * np.pi)
    one_zero = np.where((p == 0) & (q == 0), 1.0, 0.5)
    return np.where(p * q > 0, plain, one_zero)


normal_cdf = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))


def gelu_dual(k: Array, p: Array, q: Array) -> Array:
    """Tsuchida et al., AAAI 2021."""
    D = np.sqrt((1 + p) * (1 + q) - k * k)
    kappa = 1 / (1 + p) + 1 / (1 + q) - 1
    return k / 4 + k / (2 * np.pi) * np.arctan2(k, D) + (p * q + kappa * k * k) / (2 * np.pi * D)


def gelu_derivative_dual(k: Array, p: Array, q: Array) -> Array:
    """Derivative of `gelu_dual` to k (Price's theorem)."""
    D = np.sqrt((1 + p) * (1 + q) - k * k)
    kappa = 1 / (1 + p) + 1 / (1 + q) - 1
    N = p * q + kappa * k * k
    return 0.25 + (np.arctan2(k, D) + k * ((1 + 2 * kappa) / D + N / D**3)) / (2 * np.pi)


def _expit(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


ACTIVATIONS = {
    "relu": Activation(
        lambda x: np.maximum(x, 0),
        lambda x: (x >= 0) * 1.0,
        relu_dual,
        step_dual,
        lambda v: np.sqrt(v / (2 * np.pi)),
    ),
    "erf": Activation(
        np.vectorize(math.erf),
        lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x),
        lambda k, p, q: 2 / np.pi * np.arcsin(2 * k / np.sqrt((1 + 2 * p) * (1 + 2 * q))),
        lambda k, p, q: 4 / np.pi / np.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k * k),
        lambda v: 0.0 * v,
    ),
    "cos": Activation(
        np.cos,
        lambda x: -np.sin(x),
        lambda k, p, q: np.exp(-(p + q) / 2) * np.cosh(k),
        lambda k, p, q: np.exp(-(p + q) / 2) * np.sinh(k),
        lambda v: np.exp(-v / 2),
    ),
    "sin": Activation(
        np.sin,
        np.cos,
        lambda k, p, q: np.exp(-(p + q) / 2) * np.sinh(k),
        lambda k, p, q: np.exp(-(p + q) / 2) * np.cosh(k),
        lambda v: 0.0 * v,
    ),
    "exp": Activation(
        np.exp,
        np.exp,
        lambda k, p, q: np.exp((p + q) / 2 + k),
        lambda k, p, q: np.exp((p + q) / 2 + k),
        lambda v: np.exp(v / 2),
    ),
    "abs": Activation(
        np.abs,
        np.sign,
        # |x| = 2 relu(x) - x, and E[relu(u) v] = k / 2.
        lambda k, p, q: 4 * relu_dual(k, p, q) - k,
        lambda k, p, q: 4 * step_dual(k, p, q) - 1,
        lambda v: np.sqrt(2 * v / np.pi),
    ),
    "leaky_relu": Activation(
        lambda x: np.where(x >= 0, x, 0.01 * x),
        lambda x: np.where(x >= 0, 1.0, 0.01),
        # 0.99 relu(x) + 0.01 x.
        lambda k, p, q: 0.99**2 * relu_dual(k, p, q) + (0.99 * 0.01 + 0.01**2) * k,
        lambda k, p, q: 0.99**2 * step_dual(k, p, q) + 0.99 * 0.01 + 0.01**2,
        lambda v: 0.99 * np.sqrt(v / (2 * np.pi)),
    ),
    "gelu": Activation(
        lambda x: x * normal_cdf(x),
        lambda x: normal_cdf(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
        gelu_dual,
        gelu_derivative_dual,
        lambda v: v / np.sqrt(2 * np.pi * (1 + v)),
    ),
    "gaussian": Activation(
        lambda x: np.exp(-x * x / 2),
        lambda x: -x * np.exp(-x * x / 2),
        # A Gaussian integral; the second is its derivative to k (Price's theorem).
        lambda k, p, q: 1 / np.sqrt((1 + p) * (1 + q) - k * k),
        lambda k, p, q: k / ((1 + p) * (1 + q) - k * k) ** 1.5,
        lambda v: 1 / np.sqrt(1 + v),
    ),
    "monomial": Activation(
        lambda x: x * x,
        lambda x: 2 * x,
        lambda k, p, q: p * q + 2 * k * k,
        lambda k, p, q: 4 * k,
        lambda v: v,
    ),
    "identity": Activation(
        lambda x: x, np.ones_like, lambda k, p, q: k, lambda k, p, q: np.ones_like(k), lambda v: 0.0 * v
    ),
    "softplus": smooth(lambda x: np.logaddexp(0.0, x), _expit, np.pi),
    "tanh": smooth(np.tanh, lambda x: 1 / np.cosh(x) ** 2, np.pi / 2),
    "silu": smooth(lambda x: x * _expit(x), lambda x: _expit(x) * (1 + x * (1 - _expit(x))), np.pi),
}


def c_sigma(act: Activation) -> float:
    return 1 / float(act.dual(np.array(1.0), np.array(1.0), np.array(1.0)))


def own_variances(K: Array) -> tuple[Array, Array]:
    """Variances of u_il and v_jk as arrays that broadcast with K (n, n, p, p)."""
    v = np.einsum("iill->il", K)
    return v[:, None, :, None], v[None, :, None, :]


# --- the texts' architectures -----------------------------------------------------------------------


@dataclass
class Limits:
    """What the texts define, for all pairs of examples: S^(0) .. S^(H), G^(1) .. G^(H+1), others 1 .. H."""

    S: list[Array] = field(default_factory=list)
    b: list[Array] = field(default_factory=list)
    D: list[Array] = field(default_factory=list)
    B: list[Array] = field(default_factory=list)
    G: list[Array] = field(default_factory=list)

    @property
    def ntk(self) -> Array:
        return sum(self.G)

    @property
    def last_hidden_gram(self) -> Array:
        """The text's K^(H) = lim G^(H)(0)."""
        return self.G[-2]

    @property
    def nngp(self) -> Array:
        return self.G[-1]


def fully_connected(X: Array, depth: int, act: Activation) -> Limits:
    """x^(h) = sqrt(c/m) phi(W^(h) x^(h-1)), f = a . x^(H); X of shape (n, d)."""
    c, out = c_sigma(act), Limits(S=[X @ X.T])
    for _ in range(depth):
        A = out.S[-1]
        p, q = np.diag(A)[:, None], np.diag(A)[None, :]
        out.S.append(c * act.dual(A, p, q))
        out.D.append(act.derivative_dual(A, p, q))
        out.b.append(np.sqrt(c) * act.mean(np.diag(A)))
    B = np.ones_like(out.S[0])
    for h in range(depth, 0, -1):
        out.B.insert(0, B)
        out.G.insert(0, c * out.S[h - 1] * out.D[h - 1] * B)
        B = c * B * out.D[h - 1]
    out.G.append(out.S[depth])
    return out


def resnet(X: Array, depth: int, act: Activation, c_res: float) -> Limits:
    """x^(1) as above; x^(h) = x^(h-1) + c_res/(H sqrt m) phi(W^(h) x^(h-1)), 2 <= h <= H."""
    first = fully_connected(X, 1, act)
    out = Limits(S=first.S, b=first.b, D=first.D)
    a = c_res / depth
    for _ in range(2, depth + 1):
        A, b = out.S[-1], out.b[-1]
        variance = np.diag(A)
        p, q = variance[:, None], variance[None, :]
        mu = act.mean(variance)
        cross = np.outer(b, mu) + np.outer(mu, b)
        out.S.append(A + a * cross + a * a * act.dual(A, p, q))
        out.D.append(act.derivative_dual(A, p, q))
        out.b.append(b + a * mu)
    B = np.ones_like(out.S[0])
    for h in range(depth, 0, -1):
        t = c_sigma(act) if h == 1 else a * a
        out.B.insert(0, B)
        out.G.insert(0, t * out.S[h - 1] * out.D[h - 1] * B)
        B = B * (1 + t * out.D[h - 1])
    out.G.append(out.S[depth])
    return out


def neighbours(image: Sequence[int], patch: Sequence[int]) -> Array:
    """Table (p, q) of the pixels of each patch, -1 outside the image; row-major pixels and offsets."""
    table = []
    for centre in np.ndindex(*image):
        row = []
        for offset in np.ndindex(*patch):
            at = [c + s - (q - 1) // 2 for c, s, q in zip(centre, offset, patch, strict=True)]
            inside = all(0 <= x < size for x, size in zip(at, image, strict=True))
            row.append(int(np.ravel_multi_index(at, image)) if inside else -1)
        table.append(row)
    return np.array(table)


def shift_matrices(table: Array, pixels: int) -> list[Array]:
    """For each offset s the 0/1 matrix that takes pixel values to the values at nbr[:, s]."""
    matrices = []
    for column in table.T:
        M = np.zeros((len(column), pixels))
        for row, pixel in enumerate(column):
            if pixel >= 0:
                M[row, pixel] = 1.0
        matrices.append(M)
    return matrices


def conv_resnet(X: Array, depth: int, act: Activation, c_res: float, table: Array) -> Limits:
    """The convolutional ResNet on X of shape (n, channels, p); S[h] has shape (n, n, p, p), G[h] (n, n).

    u^(h) = W^(h) phi(x^(h-1)) with the patches of `table` (p, q); f = <a, x^(H)>, no pooling.
    """
    n, _, pixels = X.shape
    shifts = shift_matrices(table, pixels)
    c, a = c_sigma(act), c_res / depth

    def patched(S: Array) -> Array:
        return sum(M @ S @ M.T for M in shifts)

    def patched_adjoint(B: Array) -> Array:
        return sum(M.T @ B @ M for M in shifts)

    out = Limits(S=[np.einsum("icl,jck->ijlk", X, X)])
    for h in range(1, depth + 1):
        P = patched(out.S[-1])
        p, q = own_variances(P)
        mu = act.mean(np.einsum("iill->il", P))
        dual = act.dual(P, p, q)
        out.D.append(act.derivative_dual(P, p, q))
        if h == 1:
            out.S.append(c * dual)
            out.b.append(np.sqrt(c) * mu)
        else:
            b = out.b[-1]
            cross = np.einsum("il,jk->ijlk", b, mu) + np.einsum("il,jk->ijlk", mu, b)
            out.S.append(out.S[-1] + a * cross + a * a * dual)
            out.b.append(b + a * mu)
    B = np.broadcast_to(np.eye(pixels), (n, n, pixels, pixels))
    for h in range(depth, 0, -1):
        t = c if h == 1 else a * a
        out.B.insert(0, B)
        out.G.insert(0, t * np.sum(patched(out.S[h - 1]) * out.D[h - 1] * B, axis=(2, 3)))
        B = B + t * patched_adjoint(out.D[h - 1] * B)
    out.G.append(np.einsum("ijll->ij", out.S[depth]))
    return out


# --- composable layers ------------------------------------------------------------------------------
#
# A network is a list of tuples (name, settings...); see `apply`. Conventions are those of neural-tangents
# (Novak et al., ICLR 2020): a weight layer divides by the square root of its fan-in, Flatten averages over
# pixels. "standard" is the parameterisation of Sohl-Dickstein, Novak, Schoenholz, Lee, arXiv:2001.07301:
# weights N(0, w_std^2 / fan_in) and biases N(0, b_std^2) are the trained variables themselves, so that the
# gradient to a weight is not divided by sqrt(fan_in) and that to a bias is 1.


@dataclass
class State:
    """Limits of a tensor: covariance and NTK (n, n, p, p), channel means (n, p); image () without pixels."""

    K: Array
    T: Array
    mean: Array
    image: tuple[int, ...]
    width: float | None


def input_state(X: Array) -> State:
    """X of shape (n, d), (n, channels, p) or (n, channels, h, w)."""
    n, width, *image = X.shape
    x = X.reshape(n, width, -1)
    K = np.einsum("icl,jck->ijlk", x, x) / width
    return State(K, np.zeros_like(K), np.full((n, x.shape[2]), np.nan), tuple(image), width)


def window_table(
    image: Sequence[int], window: Sequence[int], stride: Sequence[int], padding: str
) -> tuple[Array, tuple[int, ...]]:
    """Pixels under a window at each of its places: table (outputs, prod(window)) with -1 outside, and image.

    SAME has ceil(size / stride) outputs and spreads the padding that these need, the odd one after the
    image, as TensorFlow and XLA do; CIRCULAR has the same places and wraps around.
    """
    if padding == "VALID":
        out = tuple((size - w) // s + 1 for size, w, s in zip(image, window, stride, strict=True))
        before = [0] * len(out)
    else:
        out = tuple(-(-size // s) for size, s in zip(image, stride, strict=True))
        needed = [
            max((o - 1) * s + w - size, 0) for o, s, w, size in zip(out, stride, window, image, strict=True)
        ]
        before = [total // 2 for total in needed]
    table = []
    for place in np.ndindex(*out):
        row = []
        for offset in np.ndindex(*window):
            at = [o * s - b + k for o, s, b, k in zip(place, stride, before, offset, strict=True)]
            if padding == "CIRCULAR":
                at = [x % size for x, size in zip(at, image, strict=True)]
            inside = all(0 <= x < size for x, size in zip(at, image, strict=True))
            row.append(int(np.ravel_multi_index(at, image)) if inside else -1)
        table.append(row)
    return np.array(table), out


def weight_layer(
    s: State, w_std: float, b_std: float | None, fan_in: float | None, parameterisation: str
) -> State:
    """z = sum over the fan-in of W x, plus a bias; s.K is already the mean of x x' over the fan-in."""
    b2 = 0.0 if b_std is None else b_std**2
    K = w_std**2 * s.K + b2
    if parameterisation == "ntk":
        # Variables N(0, 1): d z / d W = w_std x / sqrt(fan_in), d z / d bias = b_std.
        own = K
    else:
        own = float(fan_in) * s.K + (0.0 if b_std is None else 1.0)
    return replace(s, K=K, T=own + w_std**2 * s.T, mean=np.zeros_like(s.mean))


def apply(s: State, layer: tuple[Any, ...], parameterisation: str = "ntk") -> State:
    """The state after one layer.

    ("dense", w_std, b_std, width)       ("conv", filter, stride, padding, w_std, b_std, width)
    ("act", name)                        ("flatten",)  ("gap",)  ("avgpool", window, stride, padding)
    ("layernorm", axes, eps)             axes "channels", or all axes
    ("sum", [layers, ...])               sum of branches from one input; [] is the identity
    ("product", [layers, ...])           elementwise product of branches
    ("concat", [layers, ...], shares)    channels beside each other; shares by width if left away
    ("scaled_residual", layers, c)       x + c branch(x)
    ("scale", factor)  ("dropout", rate) ("identity",)
    """
    kind, *rest = layer
    if kind == "dense":
        w_std, b_std, width = rest
        return replace(weight_layer(s, w_std, b_std, s.width, parameterisation), width=width)
    if kind == "conv":
        window, stride, padding, w_std, b_std, width = rest
        table, image = window_table(s.image, window, stride, padding)
        shifts = shift_matrices(table, s.K.shape[-1])
        q = len(shifts)
        s = replace(
            s,
            K=sum(M @ s.K @ M.T for M in shifts) / q,
            T=sum(M @ s.T @ M.T for M in shifts) / q,
            mean=np.zeros((len(s.mean), len(table))),
            image=image,
        )
        return replace(weight_layer(s, w_std, b_std, q * (s.width or 0), parameterisation), width=width)
    if kind == "act":
        act = ACTIVATIONS[rest[0]]
        p, q = own_variances(s.K)
        return replace(
            s,
            K=act.dual(s.K, p, q),
            T=s.T * act.derivative_dual(s.K, p, q),
            mean=act.mean(np.einsum("iill->il", s.K)),
        )
    if kind == "flatten":
        pixels = s.K.shape[-1]
        return State(
            np.einsum("ijll->ij", s.K)[..., None, None] / pixels,
            np.einsum("ijll->ij", s.T)[..., None, None] / pixels,
            s.mean.mean(axis=1, keepdims=True),
            (),
            None if s.width is None else s.width * pixels,
        )
    if kind in ("gap", "avgpool"):
        if kind == "gap":
            table, image = np.arange(s.K.shape[-1])[None], ()
        else:
            table, image = window_table(s.image, *rest)
        A = sum(shift_matrices(table, s.K.shape[-1])) / table.shape[1]
        return replace(s, K=A @ s.K @ A.T, T=A @ s.T @ A.T, mean=s.mean @ A.T, image=image)
    if kind == "layernorm":
        axes, eps = rest
        variance = np.einsum("iill->il", s.K)
        if axes != "channels":
            variance = np.broadcast_to(variance.mean(axis=1, keepdims=True), variance.shape)
        norm = np.sqrt(variance + eps)
        both = norm[:, None, :, None] * norm[None, :, None, :]
        return replace(s, K=s.K / both, T=s.T / both)
    if kind == "sum":
        first, *others = (run(s, branch, parameterisation) for branch in rest[0])
        for other in others:
            cross = np.einsum("il,jk->ijlk", first.mean, other.mean)
            cross = cross + np.einsum("il,jk->ijlk", other.mean, first.mean)
            first = replace(
                first, K=first.K + other.K + cross, T=first.T + other.T, mean=first.mean + other.mean
            )
        return first
    if kind == "scaled_residual":
        branch, factor = rest
        return apply(s, ("sum", [[], [*branch, ("scale", factor)]]), parameterisation)
    if kind == "product":
        first, *others = (run(s, branch, parameterisation) for branch in rest[0])
        for other in others:
            first = replace(
                first,
                K=first.K * other.K,
                T=first.T * other.K + first.K * other.T,
                mean=first.mean * other.mean,
            )
        return first
    if kind == "concat":
        parts = [run(s, branch, parameterisation) for branch in rest[0]]
        shares = rest[1] if len(rest) > 1 and rest[1] else [part.width or 1 for part in parts]
        total = sum(shares)
        return replace(
            parts[0],
            K=sum(w * part.K for w, part in zip(shares, parts, strict=True)) / total,
            T=sum(w * part.T for w, part in zip(shares, parts, strict=True)) / total,
            mean=sum(w * part.mean for w, part in zip(shares, parts, strict=True)) / total,
            width=sum(part.width or 0 for part in parts) or None,
        )
    if kind == "scale":
        return replace(s, K=rest[0] ** 2 * s.K, T=rest[0] ** 2 * s.T, mean=rest[0] * s.mean)
    if kind == "dropout":
        # One mask for an example in a forward pass; different examples and pixels have different ones.
        factor = np.ones_like(s.K)
        for i in range(len(factor)):
            np.fill_diagonal(factor[i, i], 1 / (1 - rest[0]))
        return replace(s, K=s.K * factor, T=s.T * factor)
    assert kind == "identity", kind
    return s


def run(s: State, layers: Sequence[tuple[Any, ...]], parameterisation: str = "ntk") -> State:
    for layer in layers:
        s = apply(s, layer, parameterisation)
    return s


class Kernels(NamedTuple):
    nngp: Array
    ntk: Array


def kernels(X: Array, layers: Sequence[tuple[Any, ...]], parameterisation: str = "ntk") -> Kernels:
    """NNGP kernel and NTK (n, n) of a network without pixels at its end."""
    s = run(input_state(np.asarray(X, float)), layers, parameterisation)
    assert s.image == ()
    return Kernels(s.K[..., 0, 0], s.T[..., 0, 0])
