"""Activations: phi, phi', their Gaussian moments and Hermite coefficients, and where their duals come from.

An :class:`Activation` knows its function, its derivative, its kinks and, where one exists, the closed form of
its dual E[phi(u) phi(v)] in the compiled core. Everything else (:func:`lazygram.dual`, the kernels) works
from that. ``lazygram.activations`` maps names to constructors; :func:`custom` wraps any vectorised callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e
from scipy import special

from lazygram import _core
from lazygram.arrays import check_positive_float
from lazygram.expectations.hermite import single_coefficient
from lazygram.expectations.pairs import features_of, mean_value

__all__ = ["Activation", "custom", "get_activation", "registry", "text_of"]

Function = Callable[[Any], Any]
Smoothed = Callable[[Any, Any], Any]

_CHO_SAUL = "Cho and Saul, NeurIPS 2009"
_DANIELY = "Daniely, Frostig, Singer, NeurIPS 2016 (Hermite series)"


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation function and what is known about it.

    Attributes
    ----------
    name : str
        Registry name.
    phi, dphi : callable
        Vectorised phi and phi' on float64 arrays; dphi may be None for :func:`custom`.
    parameters : Mapping[str, float]
        Parameters that the constructor was given.
    formula, dual_formula : str
        phi(x) and E[phi(u) phi(v)] as text, for (u, v) ~ N(0, [[p, r], [r, q]]).
    citation : str
        Where the dual's formula or method comes from.
    kinks : tuple of float
        Points where phi or one of its derivatives jumps.
    closed : callable or None
        closed(derivative) makes the core's closed form (derivative 0 or 1).
    smoothed, smoothed_derivative : callable or None
        (mu, t) -> E phi(mu + t Z) and E phi'(mu + t Z) in closed form.
    differentiable : bool
        False for step and sign, whose derivative is a point mass without a dual.
    """

    name: str
    phi: Function
    dphi: Function | None
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    formula: str = ""
    dual_formula: str = "Hermite series / table"
    citation: str = _DANIELY
    kinks: tuple[float, ...] = ()
    closed: Callable[[int], Any] | None = None
    smoothed: Smoothed | None = None
    smoothed_derivative: Smoothed | None = None
    differentiable: bool = True
    exact_mean: Callable[[float], float] | None = None

    def __call__(self, x: Any) -> Any:
        """phi(x), elementwise."""
        return self.phi(np.asarray(x, dtype=np.float64))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value:g}" for key, value in self.parameters.items())
        return f"{self.name}({inside})"

    @property
    def c_sigma(self) -> float:
        """1 / E[phi(Z)^2], Z ~ N(0, 1): the scale that keeps norms from layer to layer."""
        return 1.0 / self.second_moment()

    def mean(self, scale: float = 1.0) -> float:
        """E[phi(scale Z)]."""
        if self.exact_mean is not None:
            return self.exact_mean(scale)
        return mean_value(self.phi, self.kinks, scale)

    def second_moment(self, scale: float = 1.0) -> float:
        """E[phi(scale Z)^2]."""
        if self.closed is not None:
            from lazygram.duals import dual

            return float(dual(self, scale * scale, scale * scale, scale * scale))
        return mean_value(lambda x: self.phi(x) ** 2, self.kinks, scale)

    def derivative_mean(self, scale: float = 1.0) -> float:
        """E[phi'(scale Z)] = E[Z phi(scale Z)] / scale (Gaussian integration by parts)."""
        if self.dphi is not None and self.differentiable:
            return mean_value(self.dphi, self.kinks, scale)
        if scale <= 0.0:
            raise ValueError(f"scale: {self.name} has no derivative at 0")
        return self.hermite(1, scale) / scale

    def hermite(self, k: int, scale: float = 1.0) -> float:
        """Hermite coefficient E[phi(scale Z) he_k(Z)], he_k the orthonormal polynomial of degree k >= 0."""
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 0:
            raise ValueError(f"k: a non-negative integer is needed, got {k!r}")
        if not (np.isfinite(scale) and scale >= 0.0):
            raise ValueError(f"scale: a finite number >= 0 is needed, got {scale!r}")
        return single_coefficient(self.phi, int(k), float(scale), *features_of(self.kinks, scale))


def _parameters(**values: float) -> Mapping[str, float]:
    return MappingProxyType(values)


def _real(value: float, name: str) -> float:
    result = float(value)
    if not np.isfinite(result):
        raise ValueError(f"{name}: must be finite, got {value!r}")
    return result


# --- homogeneous with a kink at 0 -------------------------------------------------------------------


def _rectified(order: int, a: float, b: float, zero: float) -> Callable[[int], Any]:
    """Closed form of a x^order (x > 0), b (-x)^order (x < 0); `zero` is the value taken at x = 0, order 0."""

    def make(derivative: int) -> Any:
        if derivative == 0:
            return _core.Dual.rectified(order, a, b, zero if order == 0 else 0.0)
        # The derivative of an order-1 activation is a step; at 0 it takes `zero`.
        return _core.Dual.rectified(order - 1, order * a, -order * b, zero if order == 1 else 0.0)

    return make


def relu() -> Activation:
    """max(x, 0), with derivative 1 at 0."""
    return Activation(
        "relu",
        lambda x: np.maximum(x, 0.0),
        lambda x: np.where(x >= 0.0, 1.0, 0.0),
        formula="max(x, 0)",
        dual_formula="sqrt(pq) (sin t + (pi - t) cos t) / 2pi",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(1, 1.0, 0.0, 1.0),
    )


def leaky_relu(slope: float = 0.01) -> Activation:
    """x for x >= 0, slope * x otherwise (any real slope); derivative 1 at 0."""
    a = _real(slope, "slope")
    return Activation(
        "leaky_relu",
        lambda x: np.where(x >= 0.0, x, a * x),
        lambda x: np.where(x >= 0.0, 1.0, a),
        _parameters(slope=a),
        formula="x (x >= 0), slope x (x < 0)",
        dual_formula="(1 - slope)^2 ReLU dual + slope r",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(1, 1.0, -a, 1.0),
    )


def absolute() -> Activation:
    """|x|, with derivative 0 at 0."""
    return Activation(
        "abs",
        np.abs,
        np.sign,
        formula="|x|",
        dual_formula="2 sqrt(pq) (sin t + (pi/2 - t) cos t) / pi",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(1, 1.0, 1.0, 0.0),
    )


def step() -> Activation:
    """1 for x >= 0, 0 otherwise."""
    return Activation(
        "step",
        lambda x: np.where(x >= 0.0, 1.0, 0.0),
        None,
        formula="1{x >= 0}",
        dual_formula="(pi - t) / 2pi",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(0, 1.0, 0.0, 1.0),
        differentiable=False,
    )


def sign() -> Activation:
    """sign(x), 0 at 0."""
    return Activation(
        "sign",
        np.sign,
        None,
        formula="sign(x)",
        dual_formula="(2/pi) asin(rho)",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(0, 1.0, -1.0, 0.0),
        differentiable=False,
    )


def rectified_monomial(degree: int = 2) -> Activation:
    """max(x, 0)^degree, degree 1 .. 8."""
    n = int(degree)
    if n != degree or not 1 <= n <= 8:
        raise ValueError(f"degree: an integer between 1 and 8 is needed, got {degree!r}")
    return Activation(
        "rectified_monomial",
        lambda x: np.maximum(x, 0.0) ** n,
        lambda x: n * np.where(x >= 0.0, np.maximum(x, 0.0) ** (n - 1), 0.0),
        _parameters(degree=n),
        formula="max(x, 0)^n",
        dual_formula="(pq)^(n/2) J_n(t) / 2pi",
        citation=_CHO_SAUL,
        kinks=(0.0,),
        closed=_rectified(n, 1.0, 0.0, 1.0),
    )


# --- polynomials ----------------------------------------------------------------------------------


def _polynomial(
    name: str, coefficients: np.ndarray[Any, Any], parameters: Mapping[str, float], formula: str
) -> Activation:
    series = np.polynomial.Polynomial(coefficients)
    derivative = series.deriv()

    def closed(order: int) -> Any:
        chosen = derivative if order else series
        return _core.Dual.polynomial([float(c) for c in chosen.coef])

    def mean(scale: float) -> float:
        # E Z^n = (n - 1)!! for even n.
        even = [float(c) for c in series.coef[::2]]
        return sum(
            c * scale ** (2 * k) * float(np.prod(np.arange(1.0, 2.0 * k, 2.0))) for k, c in enumerate(even)
        )

    return Activation(
        name,
        series,
        derivative,
        parameters,
        formula=formula,
        dual_formula="sum_k A_k(p) A_k(q) r^k",
        citation="Isserlis 1918; Janson, Gaussian Hilbert Spaces, 1997, ch. 3",
        closed=closed,
        exact_mean=mean,
    )


def polynomial(coefficients: Any) -> Activation:
    """sum_n coefficients[n] x^n, lowest power first, degree at most 24."""
    c = np.atleast_1d(np.asarray(coefficients, dtype=np.float64))
    if c.ndim != 1 or not np.all(np.isfinite(c)) or c.size > 25:
        raise ValueError("coefficients: a 1-D list of at most 25 finite numbers is needed")
    return _polynomial("polynomial", c, _parameters(), "sum_n c_n x^n")


def _check_degree(degree: int) -> int:
    n = int(degree)
    if n != degree or not 0 <= n <= 24:
        raise ValueError(f"degree: an integer between 0 and 24 is needed, got {degree!r}")
    return n


def identity() -> Activation:
    """x."""
    return _polynomial("identity", np.array([0.0, 1.0]), _parameters(), "x")


def monomial(degree: int = 2) -> Activation:
    """x^degree."""
    n = _check_degree(degree)
    return _polynomial("monomial", np.eye(1, n + 1, n)[0], _parameters(degree=n), "x^n")


def hermite(degree: int = 2) -> Activation:
    """Probabilists' Hermite polynomial He_degree (leading coefficient 1)."""
    n = _check_degree(degree)
    return _polynomial(
        "hermite", hermite_e.herme2poly(np.eye(1, n + 1, n)[0]), _parameters(degree=n), "He_n(x)"
    )


# --- smooth with closed forms ---------------------------------------------------------------------


def erf(scale: float = 1.0) -> Activation:
    """erf(scale x)."""
    c = check_positive_float(scale, "scale")
    return Activation(
        "erf",
        lambda x: special.erf(c * x),
        lambda x: 2.0 * c / np.sqrt(np.pi) * np.exp(-((c * x) ** 2)),
        _parameters(scale=c),
        formula="erf(scale x)",
        dual_formula="(2/pi) asin(2r / sqrt((1+2p)(1+2q)))  [scale 1]",
        citation="Williams, NeurIPS 1996",
        closed=lambda derivative: _core.Dual.erf(c, bool(derivative)),
    )


def fourier(frequency: float = 1.0, phase: float = 0.0, amplitude: float = 1.0) -> Activation:
    """amplitude cos(frequency x + phase)."""
    w, b, a = _real(frequency, "frequency"), _real(phase, "phase"), _real(amplitude, "amplitude")
    return _trigonometric("fourier", w, b, a, _parameters(frequency=w, phase=b, amplitude=a))


def _trigonometric(name: str, w: float, b: float, a: float, parameters: Mapping[str, float]) -> Activation:
    def closed(derivative: int) -> Any:
        if derivative:
            return _core.Dual.trigonometric(a * w, w, b + 0.5 * np.pi)
        return _core.Dual.trigonometric(a, w, b)

    return Activation(
        name,
        lambda x: a * np.cos(w * x + b),
        lambda x: -a * w * np.sin(w * x + b),
        parameters,
        formula="amplitude cos(frequency x + phase)",
        dual_formula="a^2/2 (exp(-w^2(p+q-2r)/2) + cos(2b) exp(-w^2(p+q+2r)/2))",
        citation="Rahimi and Recht, NeurIPS 2007",
        closed=closed,
        exact_mean=lambda s: float(a * np.cos(b) * np.exp(-0.5 * (w * s) ** 2)),
    )


def sine(frequency: float = 1.0) -> Activation:
    """sin(frequency x)."""
    w = _real(frequency, "frequency")
    return _trigonometric("sin", w, -0.5 * np.pi, 1.0, _parameters(frequency=w))


def cosine(frequency: float = 1.0) -> Activation:
    """cos(frequency x)."""
    w = _real(frequency, "frequency")
    return _trigonometric("cos", w, 0.0, 1.0, _parameters(frequency=w))


def exponential(rate: float = 1.0) -> Activation:
    """exp(rate x); its dual overflows to infinity where the expectation exceeds 1.8e308."""
    c = _real(rate, "rate")
    return Activation(
        "exp",
        lambda x: np.exp(c * x),
        lambda x: c * np.exp(c * x),
        _parameters(rate=c),
        formula="exp(rate x)",
        dual_formula="exp(rate^2 (p + q + 2r) / 2)",
        citation="moment generating function of a normal",
        closed=lambda derivative: _core.Dual.exponential(c, bool(derivative)),
        exact_mean=lambda s: float(np.exp(0.5 * (c * s) ** 2)),
    )


def gaussian(width: float = 1.0) -> Activation:
    """exp(-x^2 / (2 width^2))."""
    c = check_positive_float(width, "width")
    return Activation(
        "gaussian",
        lambda x: np.exp(-0.5 * (x / c) ** 2),
        lambda x: -x / c**2 * np.exp(-0.5 * (x / c) ** 2),
        _parameters(width=c),
        formula="exp(-x^2 / (2 width^2))",
        dual_formula="1 / sqrt((1+p)(1+q) - r^2)  [width 1]",
        citation="Gaussian integral",
        closed=lambda derivative: _core.Dual.gaussian(c, bool(derivative)),
    )


def gelu() -> Activation:
    """x Phi(x), Phi the standard normal distribution function."""
    return Activation(
        "gelu",
        lambda x: x * special.ndtr(x),
        lambda x: special.ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi),
        formula="x Phi(x)",
        dual_formula="(r atan2(D, -r) + (pq D^2 + r^2)/(D S)) / 2pi",
        citation="Tsuchida, Pearce, van der Heide, Roosta, Gallagher, AAAI 2021",
        closed=lambda derivative: _core.Dual.gelu(bool(derivative)),
    )


# --- through Hermite series and tables --------------------------------------------------------------


def softplus(beta: float = 1.0) -> Activation:
    """log(1 + exp(beta x)) / beta."""
    b = check_positive_float(beta, "beta")
    return Activation(
        "softplus",
        lambda x: np.logaddexp(0.0, b * x) / b,
        lambda x: special.expit(b * x),
        _parameters(beta=b),
        formula="log(1 + e^(beta x)) / beta",
    )


def sigmoid() -> Activation:
    """1 / (1 + exp(-x))."""
    return Activation(
        "sigmoid",
        special.expit,
        lambda x: special.expit(x) * special.expit(-x),
        formula="1 / (1 + e^-x)",
    )


def tanh() -> Activation:
    """tanh(x)."""
    return Activation(
        "tanh",
        np.tanh,
        # sech^2 without the cancellation of 1 - tanh^2.
        lambda x: 4.0 * special.expit(2.0 * x) * special.expit(-2.0 * x),
        formula="tanh(x)",
    )


def silu() -> Activation:
    """x sigmoid(x), also called swish."""
    return Activation(
        "silu",
        lambda x: x * special.expit(x),
        lambda x: special.expit(x) * (1.0 + x * special.expit(-x)),
        formula="x / (1 + e^-x)",
    )


def _mish_gate(x: Any) -> Any:
    """tanh(log(1 + e^x)) = n / (n + 2), n = e^x (e^x + 2)."""
    e = np.exp(np.minimum(x, 20.0))
    n = e * (e + 2.0)
    return n / (n + 2.0)


def mish() -> Activation:
    """x tanh(log(1 + exp(x)))."""

    def derivative(x: Any) -> Any:
        gate = _mish_gate(x)
        e = np.exp(np.minimum(x, 20.0))
        # 1 - gate^2 = (1 - gate)(1 + gate), with 1 - gate = 2 / (n + 2).
        return gate + x * special.expit(x) * (1.0 + gate) * 2.0 / (e * (e + 2.0) + 2.0)

    return Activation(
        "mish",
        lambda x: x * _mish_gate(x),
        derivative,
        formula="x tanh(log(1 + e^x))",
    )


def _normal(y: Any) -> Any:
    return np.exp(-0.5 * y * y) / np.sqrt(2.0 * np.pi)


def _smoothed_negative_exponential(mu: Any, t: Any) -> Any:
    """E[exp(g) 1{g < 0}], g ~ N(mu, t^2) = e^{mu + t^2/2} Phi(-(mu + t^2)/t), free of overflow."""
    y = (mu + t * t) / t
    positive = np.maximum(y, 0.0)
    scaled = 0.5 * special.erfcx(positive / np.sqrt(2.0)) * np.exp(-0.5 * (mu / t) ** 2)
    direct = np.exp(np.minimum(mu + 0.5 * t * t, 0.0)) * special.ndtr(-np.minimum(y, 0.0))
    return np.where(y > 0.0, scaled, direct)


def _exponential_linear(
    name: str, alpha: float, gain: float, parameters: Mapping[str, float], formula: str
) -> Activation:
    def smoothed(mu: Any, t: Any) -> Any:
        linear = mu * special.ndtr(mu / t) + t * _normal(mu / t)
        return gain * (linear + alpha * (_smoothed_negative_exponential(mu, t) - special.ndtr(-mu / t)))

    def smoothed_derivative(mu: Any, t: Any) -> Any:
        return gain * (special.ndtr(mu / t) + alpha * _smoothed_negative_exponential(mu, t))

    return Activation(
        name,
        lambda x: gain * np.where(x >= 0.0, x, alpha * np.expm1(np.minimum(x, 0.0))),
        lambda x: gain * np.where(x >= 0.0, 1.0, alpha * np.exp(np.minimum(x, 0.0))),
        parameters,
        formula=formula,
        dual_formula="table in sqrt(1 - |rho|)",
        citation="conditional expectation in closed form (see expectations/pairs.py)",
        kinks=(0.0,),
        smoothed=smoothed,
        smoothed_derivative=smoothed_derivative,
    )


def elu(alpha: float = 1.0) -> Activation:
    """x for x >= 0, alpha (exp(x) - 1) otherwise."""
    a = check_positive_float(alpha, "alpha")
    return _exponential_linear("elu", a, 1.0, _parameters(alpha=a), "x (x >= 0), alpha (e^x - 1) (x < 0)")


SELU_ALPHA = 1.6732632423543772
SELU_GAIN = 1.0507009873554805


def selu() -> Activation:
    """SELU: gain * ELU(alpha) with the constants of Klambauer et al., NeurIPS 2017."""
    return _exponential_linear("selu", SELU_ALPHA, SELU_GAIN, _parameters(), "1.0507 ELU with alpha = 1.6733")


def _clipped(name: str, slope: float, centre: float, formula: str) -> Activation:
    """clip(slope x, -1, 1) scaled to clip in [centre - h, centre + h]; hard tanh and hard sigmoid."""
    half = 1.0 if centre == 0.0 else centre
    edge = half / slope

    def inside(mu: Any, t: Any) -> Any:
        m = np.abs(mu)
        return special.ndtr((edge - m) / t) - special.ndtr((-edge - m) / t)

    def smoothed(mu: Any, t: Any) -> Any:
        m = np.abs(mu)
        high, low = (edge - m) / t, (-edge - m) / t
        value = (
            edge * (special.ndtr(-high) - special.ndtr(low))
            + m * inside(mu, t)
            + t * (_normal(low) - _normal(high))
        )
        return centre + slope * np.copysign(value, mu)

    return Activation(
        name,
        lambda x: centre + np.clip(slope * x, -half, half),
        lambda x: np.where(np.abs(x) < edge, slope, 0.0),
        formula=formula,
        dual_formula="table in sqrt(1 - |rho|)",
        citation="conditional expectation in closed form (see expectations/pairs.py)",
        kinks=(-edge, edge),
        smoothed=smoothed,
        smoothed_derivative=lambda mu, t: slope * inside(mu, t),
    )


def hard_tanh() -> Activation:
    """clip(x, -1, 1)."""
    return _clipped("hard_tanh", 1.0, 0.0, "clip(x, -1, 1)")


def hard_sigmoid() -> Activation:
    """clip(x/6 + 1/2, 0, 1)."""
    return _clipped("hard_sigmoid", 1.0 / 6.0, 0.5, "clip(x/6 + 1/2, 0, 1)")


# --- any callable, and names ---------------------------------------------------------------------


def custom(
    phi: Function,
    dphi: Function | None = None,
    *,
    kinks: tuple[float, ...] = (),
    name: str = "custom",
) -> Activation:
    """Activation from a vectorised callable.

    Parameters
    ----------
    phi : callable
        phi(x) for a float64 array x of any shape.
    dphi : callable, optional
        phi'. Without it the derivative dual comes from phi's Hermite coefficients (Gaussian integration
        by parts), which is exact for smooth phi.
    kinks : tuple of float
        Every point where phi or a derivative of it jumps. With them the result is exact to rounding;
        without them a kinked phi converges slowly, and :func:`lazygram.dual` reports how far it got.
    name : str
        For messages.
    """
    if not callable(phi):
        raise TypeError(f"phi: a callable is needed, got {type(phi).__name__}")
    if dphi is not None and not callable(dphi):
        raise TypeError(f"dphi: a callable is needed, got {type(dphi).__name__}")
    points = tuple(sorted(_real(k, "kinks") for k in kinks))
    probe = np.linspace(-3.0, 3.0, 7)
    for label, function in (("phi", phi), ("dphi", dphi)):
        if function is None:
            continue
        value = np.asarray(function(probe))
        if value.shape != probe.shape or value.dtype.kind not in "biuf":
            raise ValueError(f"{label}: must map a real array to a real array of the same shape")
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{label}: not finite on [-3, 3]")
    return Activation(
        name, phi, dphi, formula=f"{name}(x)", kinks=points, citation=f"{_DANIELY}; error estimated"
    )


registry: Mapping[str, Callable[..., Activation]] = MappingProxyType(
    {
        "identity": identity,
        "relu": relu,
        "leaky_relu": leaky_relu,
        "abs": absolute,
        "step": step,
        "sign": sign,
        "rectified_monomial": rectified_monomial,
        "monomial": monomial,
        "hermite": hermite,
        "erf": erf,
        "sin": sine,
        "cos": cosine,
        "fourier": fourier,
        "exp": exponential,
        "gaussian": gaussian,
        "gelu": gelu,
        "softplus": softplus,
        "sigmoid": sigmoid,
        "tanh": tanh,
        "silu": silu,
        "mish": mish,
        "elu": elu,
        "selu": selu,
        "hard_tanh": hard_tanh,
        "hard_sigmoid": hard_sigmoid,
    }
)
"""Names of activations and their constructors (all parameters have defaults)."""

_made: dict[str, Activation] = {}


def get_activation(activation: str | Activation | Function) -> Activation:
    """The activation for a registry name, an :class:`Activation` or any vectorised callable.

    Raises
    ------
    ValueError
        Unknown name.
    TypeError
        Neither a name nor callable.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation not in registry:
            raise ValueError(f"activation: unknown name {activation!r}; known: {', '.join(sorted(registry))}")
        # One object per name, so that tables are made once.
        if activation not in _made:
            _made[activation] = registry[activation]()
        return _made[activation]
    if callable(activation):
        return custom(activation)
    raise TypeError(
        f"activation: a name, an Activation or a callable is needed, got {type(activation).__name__}"
    )


def text_of(activation: Activation) -> str:
    """Name in quotes for what the registry makes of a name alone, else with the parameters."""
    name = activation.name
    return repr(name) if _made.get(name) is activation else repr(activation)
