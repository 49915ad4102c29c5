"""Frozen-kernel dynamics against the plain recursion, matrix exponentials and ridge regression."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram.analysis.dynamics import (
    FrozenDynamics,
    divergence_step_size,
    frozen_flow,
    frozen_gd,
    frozen_loss_curve,
    kernel_predict,
    stable_step_size,
)


def problem(n: int = 6, rank: int | None = None, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((n, rank or n + 2))
    H = G @ G.T / n
    return (H + H.T) / 2, rng.standard_normal(n), rng.standard_normal(n)


def gd_loop(H: np.ndarray, u0: np.ndarray, y: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """The recursion itself: rows u(0), ..., u(steps)."""
    u = u0.copy()
    rows = [u.copy()]
    for _ in range(steps):
        u = u - eta * H @ (u - y)
        rows.append(u.copy())
    return np.array(rows)


# --- Gradient descent ----------------------------------------------------------------------------


@pytest.mark.parametrize("times_limit", [0.05, 0.5, 0.97, 1.0, 1.1])
@pytest.mark.parametrize("rank", [None, 3])
def test_gd_matches_the_loop(times_limit: float, rank: int | None) -> None:
    """Stable, marginal and divergent step sizes; regular and singular H."""
    H, u0, y = problem(rank=rank)
    eta = times_limit * 2.0 / np.linalg.eigvalsh(H)[-1]
    rows = gd_loop(H, u0, y, eta, 60)
    scale = np.abs(rows).max()
    np.testing.assert_allclose(frozen_gd(H, u0, y, eta, range(61)), rows, atol=1e-12 * scale)
    losses = 0.5 * ((rows - y) ** 2).sum(axis=1)
    np.testing.assert_allclose(
        frozen_loss_curve(H, u0, y, step_size=eta, steps=range(61)), losses, rtol=1e-10
    )


def test_gd_indefinite_matrix() -> None:
    rng = np.random.default_rng(4)
    G = rng.standard_normal((5, 5))
    H = (G + G.T) / 2
    u0, y = rng.standard_normal((2, 5))
    rows = gd_loop(H, u0, y, 0.2, 30)
    np.testing.assert_allclose(frozen_gd(H, u0, y, 0.2, range(31)), rows, atol=1e-12 * np.abs(rows).max())


def test_gd_any_order_of_steps() -> None:
    H, u0, y = problem()
    rows = gd_loop(H, u0, y, 0.1, 7)
    np.testing.assert_allclose(frozen_gd(H, u0, y, 0.1, [7, 0, 3, 3]), rows[[7, 0, 3, 3]], atol=1e-13)


def test_gd_one_by_one_closed_form() -> None:
    # u(k) = y + (1 - eta h)^k (u0 - y), with factors 1/2, 0, -1/2, -3.
    for eta, factor in [(0.25, 0.5), (0.5, 0.0), (0.75, -0.5), (2.0, -3.0)]:
        u = frozen_gd([[2.0]], [5.0], [1.0], eta, range(6))
        np.testing.assert_array_equal(u[:, 0], [1.0 + factor**k * 4.0 for k in range(6)])


def test_gd_diagonal_closed_form() -> None:
    h = np.array([0.5, 1.0, 4.0])
    steps = np.array([0, 1, 2, 9])
    u = frozen_gd(np.diag(h), np.zeros(3), np.ones(3), 0.25, steps)
    np.testing.assert_allclose(u, 1.0 - (1.0 - 0.25 * h) ** steps[:, None], rtol=1e-15)


def test_gd_is_accurate_after_very_many_steps() -> None:
    # (1 - 1e-7/3)^(3e8) with 40 digits; rounding 1 - x first is 5e-9 wrong here.
    eta, k = 1e-7 / 3.0, 300_000_000
    with mpmath.workdps(40):
        exact = float((1 - mpmath.mpf(eta)) ** k)
    u = frozen_gd([[1.0]], [1.0], [0.0], eta, [k])
    assert u[0, 0] == pytest.approx(exact, rel=1e-13, abs=0.0)


def test_null_space_of_the_kernel_never_moves() -> None:
    H = np.ones((2, 2))
    u = frozen_gd(H, [1.0, -1.0], [0.0, 0.0], 0.3, [0, 50])
    np.testing.assert_allclose(u[1], [1.0, -1.0], atol=1e-14)


def test_divergence_beyond_the_float_range_is_not_an_error() -> None:
    loss = frozen_loss_curve([[1.0]], [1.0], [0.0], step_size=10.0, steps=[0, 1000])
    assert loss[0] == 0.5
    assert loss[1] == math.inf
    # A component that is absent stays absent although its factor overflows.
    loss = frozen_loss_curve(np.diag([1.0, 100.0]), [1, 0], [0, 0], step_size=0.5, steps=[2000])
    assert loss[0] == 0.0
    assert not np.isfinite(frozen_gd([[1.0]], [1.0], [0.0], 10.0, [1000])).any()


# --- Gradient flow -------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [None, 3])
def test_flow_matches_matrix_exponential(rank: int | None) -> None:
    H, u0, y = problem(rank=rank, seed=2)
    times = np.array([0.0, 0.1, 0.7, 3.0, 20.0])
    expected = np.array([y + scipy.linalg.expm(-t * H) @ (u0 - y) for t in times])
    np.testing.assert_allclose(frozen_flow(H, u0, y, times), expected, atol=1e-13)
    losses = 0.5 * ((expected - y) ** 2).sum(axis=1)
    np.testing.assert_allclose(frozen_loss_curve(H, u0, y, times=times), losses, rtol=1e-10, atol=1e-26)


def test_flow_one_by_one_closed_form() -> None:
    u = frozen_flow([[3.0]], [2.0], [1.0], [0.0, 0.5])
    np.testing.assert_allclose(u[:, 0], [2.0, 1.0 + math.exp(-1.5)], rtol=1e-15)


def test_flow_loss_far_below_rounding_of_the_predictions() -> None:
    loss = frozen_loss_curve([[1.0]], [1.0], [0.9], times=[100.0])
    assert loss[0] == pytest.approx(0.5 * (1.0 - 0.9) ** 2 * math.exp(-200.0), rel=1e-12, abs=0.0)


def test_small_steps_approach_the_flow() -> None:
    H, u0, y = problem(seed=5)
    flow = frozen_flow(H, u0, y, [1.0])
    gaps = [np.abs(frozen_gd(H, u0, y, 1.0 / k, [k]) - flow).max() for k in (1000, 2000, 4000)]
    # First-order method: halving the step halves the distance.
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.02)
    assert gaps[1] / gaps[2] == pytest.approx(2.0, rel=0.02)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_property_permutation_and_monotonicity(seed: int, n: int) -> None:
    H, u0, y = problem(n=n, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    steps = np.arange(12)
    eta = stable_step_size(H)
    u = frozen_gd(H, u0, y, eta, steps)
    permuted = frozen_gd(H[np.ix_(order, order)], u0[order], y[order], eta, steps)
    np.testing.assert_allclose(permuted, u[:, order], atol=1e-11)
    loss = frozen_loss_curve(H, u0, y, step_size=eta, steps=steps)
    assert (np.diff(loss) <= 1e-14 * loss[0]).all()
    flow = frozen_loss_curve(H, u0, y, times=steps * eta)
    # (1 - x)^2 <= exp(-2 x) for 0 <= x <= 1: descent at a stable step is never behind the flow.
    assert (loss <= flow * (1 + 1e-10) + 1e-14 * loss[0]).all()


def test_one_decomposition_serves_all_questions() -> None:
    H, u0, y = problem()
    dynamics = FrozenDynamics(H, u0, y)
    np.testing.assert_array_equal(dynamics.gd(0.1, [0, 5]), frozen_gd(H, u0, y, 0.1, [0, 5]))
    np.testing.assert_array_equal(dynamics.flow([0.0, 5.0]), frozen_flow(H, u0, y, [0.0, 5.0]))
    np.testing.assert_allclose(dynamics.eigenvalues, np.linalg.eigvalsh(H), rtol=1e-12)


def test_float32_and_integer_input() -> None:
    H, u0, y = problem()
    single = frozen_gd(H.astype(np.float32), u0.astype(np.float32), y, 0.1, [3])
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, frozen_gd(H, u0, y, 0.1, [3]), atol=1e-5)
    np.testing.assert_allclose(frozen_flow([[1]], [1], [0], [0]), [[1.0]])


# --- Predictor -----------------------------------------------------------------------------------


def test_predictor_is_ridge_regression_in_feature_space() -> None:
    """K = Phi Phi^T: the primal ridge solution, least squares on the augmented system."""
    rng = np.random.default_rng(7)
    features, new = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
    y = rng.standard_normal(6)
    ridge = 0.3
    augmented = np.vstack([features, math.sqrt(ridge) * np.eye(4)])
    weights = np.linalg.lstsq(augmented, np.concatenate([y, np.zeros(4)]), rcond=None)[0]
    predicted = kernel_predict(new @ features.T, features @ features.T, y, ridge=ridge)
    np.testing.assert_allclose(predicted, new @ weights, atol=1e-13)


def test_predictor_interpolates_and_keeps_f0() -> None:
    H, u0, y = problem(seed=9)
    np.testing.assert_allclose(kernel_predict(H, H, y), y, atol=1e-11)
    np.testing.assert_allclose(kernel_predict(H, H, y, u0, u0), y, atol=1e-11)
    far = kernel_predict(np.zeros((2, 6)), H, y, u0, [0.25, -4.0])
    np.testing.assert_array_equal(far, [0.25, -4.0])


def test_predictor_closed_forms() -> None:
    # The Cholesky factor of 4 is exact, so these are too.
    assert kernel_predict([[3.0]], [[4.0]], [8.0])[0] == 6.0
    assert kernel_predict([[3.0]], [[4.0]], [8.0], [4.0], [0.5])[0] == 3.5
    assert kernel_predict([[3.0]], [[1.0]], [8.0], ridge=3.0)[0] == 6.0
    diagonal = kernel_predict([[1.0, 1.0]], np.diag([2.0, 4.0]), [2.0, 4.0])
    np.testing.assert_allclose(diagonal, [2.0], rtol=1e-15)


def test_predictor_is_the_limit_of_training_on_all_points() -> None:
    """Test point carried along: d f/dt = K (y - u), integrated to t = infinity by the frozen flow."""
    H, u0, y = problem(n=5, seed=12)
    rng = np.random.default_rng(1)
    K_test, f0 = rng.standard_normal((2, 5)), rng.standard_normal(2)
    joint = np.block([[np.zeros((2, 2)), -K_test], [np.zeros((5, 2)), -H]])
    # d/dt (f, e) = joint (f, e) with e = u - y: the exponential of a block-triangular matrix.
    horizon = 60.0 / np.linalg.eigvalsh(H)[0]
    state = scipy.linalg.expm(horizon * joint) @ np.concatenate([f0, u0 - y])
    np.testing.assert_allclose(kernel_predict(K_test, H, y, u0, f0), state[:2], rtol=1e-8)


def test_predictor_refuses_singular_kernels() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="H is not positive definite"):
        kernel_predict([[1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0])
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        kernel_predict([[1.0, 1.0]], np.diag([1.0, -1.0]), [1.0, 1.0])
    # Positive pivots, but no digit would be right.
    nearly = np.diag([1.0, 1e-17])
    with pytest.raises(np.linalg.LinAlgError, match="singular to working precision"):
        kernel_predict([[1.0, 1.0]], nearly, [1.0, 1.0])
    with pytest.raises(np.linalg.LinAlgError, match=r"H \+ 0.5 I is not positive definite"):
        kernel_predict([[1.0, 1.0]], np.diag([1.0, -1.0]), [1.0, 1.0], ridge=0.5)
    np.testing.assert_allclose(
        kernel_predict([[1.0, 1.0]], np.ones((2, 2)), [1.0, 1.0], ridge=1.0), [2.0 / 3.0]
    )


# --- Step sizes ----------------------------------------------------------------------------------


def test_step_sizes() -> None:
    H = np.diag([0.5, 4.0])
    assert stable_step_size(H) == 0.25
    assert divergence_step_size(H) == 0.5
    below = frozen_loss_curve(H, [1.0, 1.0], [0.0, 0.0], step_size=0.499, steps=[0, 400])
    above = frozen_loss_curve(H, [1.0, 1.0], [0.0, 0.0], step_size=0.501, steps=[0, 400])
    assert below[1] < below[0] < above[1]
    one = frozen_loss_curve([[4.0]], [1.0], [0.0], step_size=stable_step_size([[4.0]]), steps=[1])
    assert one[0] == 0.0


@pytest.mark.parametrize("function", [stable_step_size, divergence_step_size])
def test_step_size_needs_a_positive_eigenvalue(function) -> None:  # type: ignore[no-untyped-def]
    for H in (np.zeros((2, 2)), -np.eye(3)):
        with pytest.raises(ValueError, match=r"^H: no eigenvalue is positive"):
            function(H)


# --- Errors --------------------------------------------------------------------------------------

GOOD = (np.eye(2), np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: frozen_gd(np.ones((2, 3)), *GOOD[1:], 0.1, [1]), ValueError, "H: a square"),
        (lambda: frozen_gd([[1, 2], [0, 1]], *GOOD[1:], 0.1, [1]), ValueError, "H: is not symm"),
        (lambda: frozen_gd(GOOD[0], [0.0], GOOD[2], 0.1, [1]), ValueError, "u0: length 2"),
        (lambda: frozen_gd(GOOD[0], GOOD[1], [1, math.nan], 0.1, [1]), ValueError, "y: entry"),
        (lambda: frozen_gd(*GOOD, 0.0, [1]), ValueError, "step_size: must be positive"),
        (lambda: frozen_gd(*GOOD, 0.1, [-1]), ValueError, "steps: must not be negative"),
        (lambda: frozen_gd(*GOOD, 0.1, [0.5]), TypeError, "steps: integers"),
        (lambda: frozen_gd(*GOOD, 0.1, []), ValueError, "steps: is empty"),
        (lambda: frozen_flow(*GOOD, [-1.0]), ValueError, "times: must not be negative"),
        (lambda: frozen_flow(*GOOD, [[1.0, 2.0]]), ValueError, "times: a 1-D"),
        (lambda: frozen_loss_curve(*GOOD), ValueError, "step_size, steps, times"),
        (
            lambda: frozen_loss_curve(*GOOD, step_size=1.0, times=[1.0]),
            ValueError,
            "step_size, steps, times",
        ),
        (lambda: kernel_predict(np.ones((1, 3)), *GOOD[::2]), ValueError, "K_test: 2 columns"),
        (lambda: kernel_predict(np.ones(2), *GOOD[::2]), ValueError, "K_test: a 2-D"),
        (lambda: kernel_predict(*GOOD[:1], *GOOD[::2], u0=[0, 0]), ValueError, "u0, f0_test"),
        (
            lambda: kernel_predict(GOOD[0], GOOD[0], GOOD[1], [0, 0], [0]),
            ValueError,
            "f0_test: length 2",
        ),
        (lambda: kernel_predict(GOOD[0], GOOD[0], GOOD[1], ridge=-1), ValueError, "ridge: must"),
    ],
)
def test_errors_name_the_argument(call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=f"^{message}"):
        call()
