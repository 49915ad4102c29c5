"""Duals: identities, agreement of the methods with each other, custom activations, errors, extreme inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lazygram.activations as activations
from lazygram import _core
from lazygram.activations import custom, get_activation, registry
from lazygram.duals import AccuracyWarning, dual
from lazygram.expectations.pairs import conditional_expectation
from lazygram.expectations.rules import trapezoid_rule

NAMES = sorted(registry)
DIFFERENTIABLE = [n for n in NAMES if get_activation(n).differentiable]
ODD = ["identity", "sign", "erf", "sin", "tanh", "hard_tanh"]


def inputs(n=12, d=4, low=1.0, high=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X *= (rng.uniform(low, high, n) / np.linalg.norm(X, axis=1))[:, None]
    K = X @ X.T
    return K, np.diag(K).copy()


@pytest.mark.parametrize("name", NAMES)
def test_value_at_correlation_zero_and_one(name):
    """E = (E phi)^2 at rho = 0 and E phi^2 at rho = 1, by one-dimensional quadrature."""
    a = get_activation(name)
    z = np.linspace(-12, 12, 480001)
    w = np.exp(-0.5 * z * z)
    w /= w.sum()
    low, high = dual(a, [0.0, 1.44], 1.44, 1.44)
    values = a(1.2 * z)
    # The plain sum has an error of order step^2 at jumps and kinks.
    assert low == pytest.approx((w @ values) ** 2, rel=1e-4, abs=1e-9)
    assert high == pytest.approx(w @ values**2, rel=1e-4)
    assert a.mean(1.2) ** 2 == pytest.approx(low, rel=1e-13, abs=1e-15)
    assert a.second_moment(1.2) == pytest.approx(high, rel=2e-14)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.5, 1.7)])
def test_price_theorem(name, p, q):
    """The derivative dual is dE/dr (Price 1958)."""
    h = 4e-3
    r = np.array([-0.6, -0.2, 0.0, 0.3, 0.7]) * np.sqrt(p * q)
    stencil = [dual(name, r + k * h, p, q) for k in (-2, -1, 1, 2)]
    slope = (stencil[0] - 8 * stencil[1] + 8 * stencil[2] - stencil[3]) / (12 * h)
    assert dual(name, r, p, q, 1) == pytest.approx(slope, rel=2e-7, abs=2e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.3, 2.0)])
def test_symmetric_and_psd(name, low, high):
    K, v = inputs(24, 6, low, high)
    E = dual(name, K, v[:, None], v[None, :])
    assert np.array_equal(E, E.T)
    spectrum = np.linalg.eigvalsh(E)
    assert spectrum[0] > -1e-13 * spectrum[-1]


@pytest.mark.parametrize(
    ("name", "degree"), [("relu", 1), ("leaky_relu", 1), ("abs", 1), ("step", 0), ("rectified_monomial", 2)]
)
def test_homogeneity(name, degree):
    K, v = inputs(8, 3, 0.5, 2.0)
    scales = 2.0 ** np.arange(-3, 5)
    E = dual(name, K, v[:, None], v[None, :])
    scaled = dual(name, K * np.outer(scales, scales), (v * scales**2)[:, None], (v * scales**2)[None, :])
    assert scaled == pytest.approx(E * np.outer(scales, scales) ** degree, rel=4e-15)


@pytest.mark.parametrize("name", ODD)
def test_odd_activations(name):
    K, v = inputs(10, 3, 0.4, 1.8)
    E = dual(name, K, v[:, None], v[None, :])
    assert dual(name, -K, v[:, None], v[None, :]) == pytest.approx(-E, rel=1e-13, abs=2e-15)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("exp", "fourier", "monomial")])
@pytest.mark.parametrize("order", [0, 1])
def test_zero_variance(name, order):
    """u = 0 almost surely: phi(0) E phi(v)."""
    a = get_activation(name)
    if order and not a.differentiable:
        pytest.skip("no derivative dual")
    phi = a.phi if order == 0 else a.dphi
    mean = a.mean(1.5) if order == 0 else a.derivative_mean(1.5)
    at_zero = float(np.asarray(phi(np.zeros(1)))[0])
    value = dual(name, [0.0, 0.0, 0.0], [0.0, 2.25, 0.0], [2.25, 0.0, 0.0], order)
    assert value == pytest.approx([at_zero * mean, at_zero * mean, at_zero**2], rel=1e-13, abs=1e-15)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([n for n in NAMES if get_activation(n).closed is not None]),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(-1, 1),
)
def test_never_nan_and_symmetric(name, p, q, rho):
    r = rho * np.sqrt(p) * np.sqrt(q)
    orders = (0, 1) if get_activation(name).differentiable else (0,)
    for order in orders:
        value, other = float(dual(name, r, p, q, order)), float(dual(name, r, q, p, order))
        assert not np.isnan(value)
        assert value == other


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["softplus", "tanh", "silu"]),
    st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(-1, 1)), min_size=1, max_size=5),
)
def test_series_never_nan_and_within_cauchy_schwarz(name, rows):
    p, q, rho = np.array(rows).T
    value = dual(name, rho * np.sqrt(p) * np.sqrt(q), p, q)
    bound = [
        np.sqrt(float(dual(name, a, a, a)) * float(dual(name, b, b, b))) for a, b in zip(p, q, strict=True)
    ]
    assert np.all(np.abs(value) <= np.array(bound) * (1 + 1e-12) + 1e-300)


@pytest.mark.parametrize("name", ["elu", "selu", "softplus", "tanh", "mish"])
@pytest.mark.parametrize("order", [0, 1])
def test_methods_agree(name, order):
    """Series / interpolation over many variances against a table per pair of variances."""
    K, v = inputs(30, 4, 0.5, 1.9, seed=3)
    E, error = dual(name, K, v[:, None], v[None, :], order, return_error=True)
    assert error < 1e-13 * np.abs(E).max()
    for i, j in [(0, 0), (0, 1), (3, 17), (29, 5), (11, 12)]:
        one = float(dual(name, K[i, j], v[i], v[j], order))
        assert abs(E[i, j] - one) < 2e-15 * max(1.0, np.abs(E).max())


@pytest.mark.parametrize("name", ["softplus", "silu"])
def test_series_against_two_dimensional_quadrature(name):
    """A tensor rule over both variables, which none of the package's methods uses."""
    z, w = trapezoid_rule(1 / 16, 9.0)
    a = get_activation(name)
    for p, q, rho in [(1.0, 0.5, 0.7), (1.3, 1.3, -0.4), (0.2, 2.0, 0.999)]:
        c, s = np.sqrt((1 + rho) / 2), np.sqrt((1 - rho) / 2)
        u = np.sqrt(p) * (c * z[:, None] + s * z[None, :])
        v = np.sqrt(q) * (c * z[:, None] - s * z[None, :])
        truth = w @ (a(u) * a(v)) @ w
        value = dual(name, [rho * np.sqrt(p * q)] * 2, [p, p], [q, q * (1 + 1e-12)])
        assert value == pytest.approx(truth, rel=2e-12)


def test_large_scale_tanh_is_a_sign():
    """tanh(s x) at s = 10, where the table is graded: against the conditional expectation, and near sign."""
    s2 = 100.0
    rho = np.array([-1.0, -0.3, 0.0, 0.8, 0.999, 1.0])
    value = dual("tanh", s2 * rho, s2, s2)
    x = np.sqrt((1 - np.abs(rho)) / 2)
    tanh = get_activation("tanh")
    for one, at, r in zip(value, x, rho, strict=True):
        truth = conditional_expectation(tanh.phi, (), None, 10.0, 10.0, np.array([at]), r < 0, nodes=24)
        assert one == pytest.approx(truth[0], abs=2e-14)
    assert np.all(np.abs(value - dual("sign", rho, 1.0, 1.0)) < 0.1)


@pytest.mark.parametrize("level", _core.isa_available())
def test_levels_agree(level):
    K, v = inputs(40, 4, 0.5, 1.5)
    args = (K, v[:, None], v[None, :])
    expected = {n: dual(n, *args) for n in ("relu", "gelu", "sin", "softplus", "elu", "hermite")}
    unit = {n: dual(n, K / np.sqrt(np.outer(v, v)), 1.0, 1.0) for n in ("tanh", "hard_tanh")}
    _core.isa_force(level)
    try:
        for name, truth in expected.items():
            assert dual(name, *args) == pytest.approx(truth, rel=1e-13, abs=1e-15)
        for name, truth in unit.items():
            assert dual(name, K / np.sqrt(np.outer(v, v)), 1.0, 1.0) == pytest.approx(
                truth, rel=1e-13, abs=1e-15
            )
    finally:
        _core.isa_force("")


@pytest.mark.parametrize("name", ["relu", "softplus", "elu"])
def test_threads_and_layout_do_not_matter(name):
    K, v = inputs(50, 4, 0.5, 1.5)
    E = dual(name, K, v[:, None], v[None, :], threads=1)
    assert np.array_equal(E, dual(name, K, v[:, None], v[None, :], threads=3))
    wide = np.full((50, 130), np.nan)
    wide[:, 10:110:2] = K
    assert np.array_equal(E, dual(name, wide[:, 10:110:2], v[:, None], v[None, :]))
    assert np.array_equal(E.reshape(5, 10, 50), dual(name, K.reshape(5, 10, 50), v.reshape(5, 10, 1), v))


def test_shapes_and_dtypes():
    assert dual("relu", 0.5, 1, 1).shape == ()
    assert dual("relu", [0.5], 1, 1).shape == (1,)
    assert dual("relu", np.zeros((0, 3)), 1, 1).shape == (0, 3)
    assert dual("relu", np.zeros((2, 1)), np.ones(3), 1).shape == (2, 3)
    assert dual("relu", np.float32([0.5]), 1.0, 1.0).dtype == np.float32
    assert dual("relu", np.float32([0.5]), np.ones(1), 1.0).dtype == np.float64
    assert dual("relu", [1], 1, 1).dtype == np.float64
    n = 200000
    many = dual("softplus", np.full(n, 0.1), np.linspace(0.5, 1, n), 1.0)
    assert many[[0, -1]] == pytest.approx(
        [float(dual("softplus", 0.1, v, 1.0)) for v in (0.5, 1.0)], rel=1e-13
    )


def test_smooth_callable_without_derivative():
    rho = np.linspace(-1, 1, 9)
    for order in (0, 1):
        value, error = dual(np.tanh, rho, 1.0, 1.0, order, return_error=True)
        assert value == pytest.approx(dual("tanh", rho, 1.0, 1.0, order), rel=1e-13, abs=1e-15)
        assert error < 1e-13
    quick = custom(lambda x: np.log1p(x * x), lambda x: 2 * x / (1 + x * x))
    assert dual(quick, rho, 1.0, 1.0, 1) == pytest.approx(
        dual(quick.phi, rho, 1.0, 1.0, 1), rel=1e-12, abs=1e-13
    )


def test_kinked_callable_says_how_far_it_got():
    rho = np.linspace(-1, 1, 5)
    truth = dual("relu", rho, 1.0, 1.0)
    value, error = dual(lambda x: np.maximum(x, 0), rho, 1.0, 1.0, return_error=True)
    assert 1e-8 < error < 1e-2
    assert np.max(np.abs(value - truth)) <= error
    with pytest.warns(AccuracyWarning, match="custom"):
        dual(lambda x: np.maximum(x, 0), rho, 1.0, 1.0)


def test_kinked_callable_with_its_kinks_is_exact():
    rho = np.array([-1.0, -0.5, 0.0, 0.9, 1.0])
    relu = custom(lambda x: np.maximum(x, 0), lambda x: np.where(x >= 0, 1.0, 0.0), kinks=(0.0,))
    for order in (0, 1):
        value, error = dual(relu, rho, 1.0, 1.0, order, return_error=True)
        assert value == pytest.approx(dual("relu", rho, 1.0, 1.0, order), abs=2e-15)
        assert error < 1e-13


def test_hermite_coefficients():
    """E phi(s Z) he_k(Z) of known functions, and Parseval."""
    for k in (0, 1, 5, 12):
        root = np.sqrt(float(np.prod(np.arange(1, k + 1, dtype=float))))
        assert get_activation("exp").hermite(k, 0.7) == pytest.approx(
            np.exp(0.245) * 0.7**k / root, rel=1e-12
        )
    assert get_activation("relu").hermite(2) == pytest.approx(1 / np.sqrt(4 * np.pi), rel=1e-14)
    assert get_activation("relu").hermite(3) == pytest.approx(0, abs=1e-15)
    assert get_activation("step").hermite(1) == pytest.approx(1 / np.sqrt(2 * np.pi), rel=1e-14)
    a = get_activation("silu")
    assert sum(a.hermite(k) ** 2 for k in range(40)) == pytest.approx(a.second_moment(), rel=1e-10)
    assert a.derivative_mean(0.8) == pytest.approx(a.hermite(1, 0.8) / 0.8, rel=1e-13)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("relu", 1.1, 1.0, 1.0), r"K: entry \(\) .* not a covariance"),
        (("softplus", [0.0, 1.1], 1.0, 1.0), r"K: entry \(1,\) .* not a covariance"),
        (("relu", [[0.0, 0.1]], 0.0, 1.0), "not a covariance"),
        (("relu", np.nan, 1.0, 1.0), "K: .*finite"),
        (("tanh", 0.0, -1.0, 1.0), "var1: entry .* variance"),
        (("relu", 0.0, 1.0, np.inf), "var2: .*finite"),
        (("relu", 0.0, 1.0, 1e101), "var2: .*1e100"),
        (("relu", np.zeros(2), np.ones(3), 1.0), "K, var1, var2: shapes"),
        (("rely", 0.0, 1.0, 1.0), "activation: unknown name 'rely'"),
        (("relu", 0.0, 1.0, 1.0, 2), "derivative: must be 0 or 1"),
        (("step", 0.0, 1.0, 1.0, 1), "derivative: step is not differentiable"),
    ],
)
def test_errors_name_the_argument(arguments, match):
    with pytest.raises(ValueError, match=match):
        dual(*arguments)


def test_wrong_types():
    with pytest.raises(TypeError, match="activation"):
        dual(3, 0.0, 1.0, 1.0)
    with pytest.raises(TypeError, match="K: real numbers"):
        dual("relu", 1j, 1.0, 1.0)
    with pytest.raises(TypeError, match="phi"):
        custom(3)
    with pytest.raises(ValueError, match="phi: must map"):
        custom(np.sum)
    with pytest.raises(ValueError, match="slope"):
        activations.leaky_relu(np.nan)
    with pytest.raises(ValueError, match="degree"):
        activations.rectified_monomial(9)
    with pytest.raises(ValueError, match="k: a non-negative"):
        get_activation("relu").hermite(-1)


def test_rounding_beyond_the_diagonal_is_clipped():
    assert dual("relu", 1.0 + 1e-12, 1.0, 1.0) == 0.5
    assert dual("step", np.float32(1.00001), np.float32(1), np.float32(1)) == np.float32(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_registry_entries_describe_themselves(name):
    a = get_activation(name)
    assert a.name == name
    assert a.formula
    assert a.dual_formula
    assert a.citation
    assert repr(a).startswith(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(a.c_sigma)
