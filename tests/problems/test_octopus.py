"""The octopus function: golden values, finite differences, continuity, exact escape times."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram.optimizers import gradient_descent
from lazygram.problems.octopus import Octopus

TAU = math.e
LARGE = (1.0, 1.5, 2.0, math.e, 3.0)


def printed(x: np.ndarray, L: float, gamma: float, tau: float) -> float:
    """The function as the specification prints its four cases, one point in loops."""
    y = np.abs(np.asarray(x, dtype=float))
    d, i = len(y), 0
    while i < d and y[i] >= 2 * tau:
        i += 1
    f = sum(L * (y[j] - 4 * tau) ** 2 for j in range(i)) - i * tau**2 * (37 * L + 13 * gamma) / 6
    if i == d:
        return f
    z, u = y[i] - tau, (y[i] - 2 * tau) / tau
    if y[i] <= tau:
        return f - gamma * y[i] ** 2 + sum(L * y[j] ** 2 for j in range(i + 1, d))
    f += -gamma * y[i] ** 2 + (10 * gamma - 14 * L) / (3 * tau) * z**3
    f += (5 * L - 3 * gamma) / (2 * tau**2) * z**4
    if i + 1 < d:
        f += (-gamma - (L + gamma) * (10 * u**3 + 15 * u**4 + 6 * u**5)) * y[i + 1] ** 2
    return f + sum(L * y[j] ** 2 for j in range(i + 2, d))


def points_everywhere(rng: np.random.Generator, d: int, count: int) -> np.ndarray:
    """Points of the domain in all of its pieces, with all signs."""
    points = rng.uniform(0, TAU, (count, d))
    passed = rng.integers(0, d + 1, count)
    lead = np.arange(d) < passed[:, None]
    points = np.where(lead, rng.uniform(2 * TAU, 6 * TAU, (count, d)), points)
    active = np.arange(d) == passed[:, None]
    points = np.where(active, rng.uniform(0, 2 * TAU, (count, d)), points)
    return points * rng.choice([-1.0, 1.0], (count, d))


def test_golden_values() -> None:
    f = Octopus(4, 2.0)
    x = np.array(
        [
            [0.7 * TAU, 0.5, -0.3, 0.2],
            [-1.5 * TAU, 0.5, -0.3, 0.2],
            [3 * TAU, -5 * TAU, 1.5 * TAU, 0.6 * TAU],
            [3 * TAU, -5 * TAU, 2.5 * TAU, 1.5 * TAU],
            [4 * TAU, -4 * TAU, 4 * TAU, 4 * TAU],
        ]
    )
    values = [-2.86063749, -20.16581228, -203.94718465, -279.16777574, -428.56525374]
    slopes = [
        [-3.80559456, 2, -1.2, 0.8],
        [16.14745098, 0.5, -1.2, 0.8],
        [-10.87312731, -10.87312731, -21.13464122, 1.63096910],
        [-10.87312731, -10.87312731, -16.30969097, -15.63012051],
        [0, 0, 0, 0],
    ]
    # Printed with eight decimals.
    np.testing.assert_allclose(f.value(x), values, atol=6e-9)
    np.testing.assert_allclose(f.gradient(x), slopes, atol=6e-9)
    assert f.g1(np.float64(1.5 * TAU)) == pytest.approx(-20.55081228, abs=6e-9)
    assert f.g2(np.float64(1.5 * TAU)) == pytest.approx(0.5, abs=1e-14)
    nu = {1.0: 61.57547, 1.5: 84.35839, 2.0: 107.14131, math.e: 139.87043, 3.0: 152.70716}
    for L, expected in nu.items():
        assert Octopus(2, L).nu == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize("L", LARGE)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_value_is_the_printed_one_and_derivatives_are_its_differences(
    L: float, d: int, rng: np.random.Generator
) -> None:
    gamma = 0.8
    f = Octopus(d, L, gamma, 1.1 * TAU)
    x = 1.1 * points_everywhere(rng, d, 60)
    expected = [printed(point, L, gamma, 1.1 * TAU) for point in x]
    # Rounding of sums of numbers up to d nu.
    np.testing.assert_allclose(f.value(x), expected, atol=1e-12 * d * f.nu)
    assert f.value(x[0]) == f.value(x)[0]
    h = 1e-5
    unit = h * np.eye(d)
    kept = (f.contains(x[:, None] + unit) & f.contains(x[:, None] - unit)).all(axis=1)
    x = x[kept]
    assert len(x) > 40
    # Second-order differences: error h^2 f'''/6 ~ 1e-9, rounding 1e-16 * 1e3 / h ~ 1e-8; across one of the
    # seams of the third derivative the same orders.
    slope = (f.value(x[:, None] + unit) - f.value(x[:, None] - unit)) / (2 * h)
    np.testing.assert_allclose(f.gradient(x), slope, atol=1e-6)
    curvature = (f.gradient(x[:, None] + unit) - f.gradient(x[:, None] - unit)) / (2 * h)
    hessian = f.hessian(x)
    np.testing.assert_allclose(hessian, curvature, atol=1e-3)  # third derivatives jump: h times the jump
    np.testing.assert_array_equal(hessian, np.swapaxes(hessian, 1, 2))
    assert np.median(np.abs(hessian - curvature)) < 1e-8


@pytest.mark.parametrize("L", LARGE)
def test_value_gradient_and_hessian_are_continuous(L: float, rng: np.random.Generator) -> None:
    d, f = 4, Octopus(4, L)
    for n, edge in itertools.product(range(d), (TAU, 2 * TAU)):
        for signs in itertools.product((-1.0, 1.0), repeat=d):
            x = rng.uniform(0, TAU, d)
            x[:n] = rng.uniform(2 * TAU, 6 * TAU, n)
            below, above = x.copy(), x.copy()
            below[n], above[n] = edge * (1 - 1e-10), edge * (1 + 1e-10)
            one, other = signs * below, signs * above
            assert abs(f.value(one) - f.value(other)) < 1e-6
            assert np.abs(f.gradient(one) - f.gradient(other)).max() < 1e-6
            assert np.abs(f.hessian(one) - f.hessian(other)).max() < 1e-6


def test_stationary_points() -> None:
    f = Octopus(5, 2.0)
    saddles = f.saddles()
    np.testing.assert_array_equal(f.gradient(saddles), 0.0)
    # The parts of f at a saddle are exact but for the product m nu.
    np.testing.assert_allclose(f.value(saddles), -f.nu * np.arange(5), rtol=1e-15)
    for m, hessian in enumerate(f.hessian(saddles)):
        assert sorted(np.diag(hessian)) == [-2.0] + 4 * [4.0]
        assert hessian[m, m] == -2.0
        np.testing.assert_array_equal(hessian, np.diag(np.diag(hessian)))
    minimum = f.minimum() * [1, -1, 1, 1, -1]
    np.testing.assert_array_equal(f.gradient(minimum), 0.0)
    np.testing.assert_array_equal(f.hessian(minimum), 4.0 * np.eye(5))
    assert f.value(minimum) == pytest.approx(-5 * f.nu, rel=1e-15)
    assert f.passed(minimum) == 5


@pytest.mark.parametrize("L", [1.0, 1.5, 2.0, 3.0])
def test_bounds_in_the_buffer(L: float) -> None:
    """Bounds of the slope along the tube: the upper one holds, the printed lower one does not."""
    f = Octopus(2, L)
    y, following = np.linspace(TAU, 2 * TAU, 2001)[:-1], np.linspace(0, TAU, 41)
    slope = f.gradient(np.stack(np.meshgrid(y, following, indexing="ij"), axis=-1))[..., 0]
    assert slope.max() <= -2 * TAU * (1 - 1e-14)
    alone = {1.0: 1.033, 1.5: 1.025, 2.0: 1.022, 3.0: 1.020}[L]
    worst = {1.0: 1.83, 1.5: 1.59, 2.0: 1.48, 3.0: 1.37}[L]
    assert slope[:, 0].min() / (-4 * L * TAU) == pytest.approx(alone, abs=6e-4)
    assert slope.min() / (-4 * L * TAU) == pytest.approx(worst, abs=6e-3)
    curvature = {1.0: 3.33, 1.5: 6.48, 2.0: 9.71, 3.0: 16.2}[L]
    on_path = f.hessian(np.stack([y, np.zeros_like(y)], axis=-1))[:, 0, 0]
    assert np.abs(on_path).max() == pytest.approx(curvature, rel=4e-3)
    assert (f.g2(y) <= L).all()
    assert (f.g2(y) >= -1.0 - 1e-12).all()
    assert (f.g2_slope(y) <= 0).all()


EXACT = {
    1.0: [6, 22, 65, 182, 502, 1365, 3703, 10038, 27205, 73720],
    1.5: [8, 35, 127, 442, 1520, 5187, 17690, 60320, 205664, 701207],
    2.0: [11, 51, 218, 905, 3730, 15321, 62921, 258380, 1060992, 4356750],
    3.0: [14, 90, 507, 2799, 15403, 84674, 465424, 2558244, 14061546, 77290095],
}


@pytest.mark.parametrize("L", EXACT)
def test_exact_escape_times(L: float) -> None:
    start = np.array([0.5, -0.4, 0.3, -0.2, 0.1] * 2)
    times = Octopus(10, L).escape_times(start, 1 / (4 * L))
    assert np.abs(times - EXACT[L]).max() <= 1
    np.testing.assert_array_equal(Octopus(5, L).escape_times(start[:5], 1 / (4 * L)), times[:5])


@pytest.mark.parametrize("L", [1.0, 2.0])
def test_escape_times_are_those_of_plain_descent(L: float, rng: np.random.Generator) -> None:
    """For other step sizes and random starts, as far as float64 does not underflow."""
    d, f = 4, Octopus(4, L)
    starts = rng.uniform(-1, 1, (12, d))
    eta = 0.18 / L
    run = gradient_descent(
        f.gradient, starts, eta, 900, batched=True, record={"passed": f.passed, "value": f.value}
    )
    passed, expected = run.history["passed"], np.full((12, d), np.inf)
    for k in range(d):
        reached = passed > k
        expected[:, k] = np.where(reached.any(axis=0), reached.argmax(axis=0), np.inf)
    times = f.escape_times(starts, eta)
    np.testing.assert_array_equal(np.where(times <= 900, times, np.inf), expected)
    assert np.isfinite(expected).sum() > 30
    assert np.diff(run.history["value"], axis=0).max() < 1e-9


def test_underflow_is_why_logarithms_are_kept() -> None:
    f = Octopus(10, 1.0)
    start = np.array([0.5, -0.4, 0.3, -0.2, 0.1] * 2)
    run = gradient_descent(f.gradient, start, 0.25, 4200, record={"passed": f.passed}, record_every=4200)
    assert f.escape_times(start, 0.25)[6] < 4200
    assert run.history["passed"][-1] == 6


@settings(max_examples=60, deadline=None)
@given(
    share=st.floats(0.02, 0.98),
    L=st.sampled_from([1.0, math.e, 3.0]),
    start=st.lists(st.floats(1e-3, 1.0), min_size=3, max_size=3),
)
def test_escape_is_at_least_as_slow_as_lemma_7_2(share: float, L: float, start: list[float]) -> None:
    times = Octopus(3, L).escape_times(start, share * 0.5 / L)
    assert times[-1] > (L + 1.0) ** 2
    assert (np.diff(times) > 0).all()


def test_ratio_of_escape_times() -> None:
    expected = {1.0: 2.7095, 1.5: 3.4094, 2.0: 4.1063, 3.0: 5.4966, math.e: 5.1052}
    for L, kappa in expected.items():
        f = Octopus(12, L)
        assert f.escape_ratio(1 / (4 * L)) == pytest.approx(kappa, abs=6e-5)
        times = f.escape_times(np.full(12, 0.4), 1 / (4 * L))
        assert times[-1] / times[-2] == pytest.approx(kappa, rel=1e-3)
    assert Octopus(3, 2.0).escape_ratio(0.0025) == pytest.approx(3.015, abs=6e-4)
    assert Octopus(3, 2.0).escape_ratio(0.245) == pytest.approx(10.8, abs=0.05)
    assert Octopus(3, 2.0).escape_ratio(1e-7) == pytest.approx(3.0, abs=1e-5)


def test_starts_on_the_way_and_zero_coordinates() -> None:
    f = Octopus(3, 2.0)
    times = f.escape_times(np.array([3 * TAU, -1.7 * TAU, 0.5]), 0.125)
    run = gradient_descent(
        f.gradient, np.array([3 * TAU, -1.7 * TAU, 0.5]), 0.125, 60, record={"passed": f.passed}
    )
    passed = run.history["passed"]
    assert times.tolist() == [0, (passed >= 2).argmax(), (passed >= 3).argmax()]
    assert f.escape_times([0.5, 0.0, 0.5], 0.125).tolist()[1:] == [np.inf, np.inf]
    assert f.escape_times([0.0, 0.5, 0.5], 0.125).tolist() == [np.inf] * 3
    assert f.gradient([0.0, 0.0, 0.5]).tolist() == [0.0, 0.0, 2.0]


def test_domain_and_arguments() -> None:
    f = Octopus(3, 2.0)
    inside = np.array([[1, -1, 1], [6 * TAU, 1.9 * TAU, -TAU], [6 * TAU] * 3, [-2 * TAU, 2 * TAU, 1.5 * TAU]])
    outside = np.array([[6.1 * TAU, 0, 0], [0, 1.1 * TAU, 0], [3 * TAU, 0, 1.1 * TAU], [np.nan, 0, 0]])
    assert f.contains(inside).all()
    assert not f.contains(outside).any()
    for method in (f.value, f.gradient, f.hessian):
        for point in outside:
            with pytest.raises(ValueError, match=r"x: \[.*\] is outside the domain"):
                method(np.stack([inside[0], point]))
    tube = Octopus(3, 2.0, mirrored=False)
    assert tube.value(np.abs(inside)).tolist() == f.value(inside).tolist()
    with pytest.raises(ValueError, match="outside the domain"):
        tube.gradient([-0.1, 0, 0])
    with pytest.raises(ValueError, match=r"x: shape \(..., 3\) is needed, got \(4,\)"):
        f.value(np.zeros(4))
    with pytest.raises(ValueError, match="L: must be at least gamma = 2"):
        Octopus(3, 1.0, 2.0)
    with pytest.raises(ValueError, match="tau: must be at least e"):
        Octopus(3, 1.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="dim: must be positive"):
        Octopus(0, 1.0)
    with pytest.raises(ValueError, match=r"step_size: must be below 1 / \(2 L\) = 0.25, got 0.25"):
        f.escape_times(np.ones(3), 0.25)
