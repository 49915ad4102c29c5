"""The four scalars against the full vectors, the limit law against its definition and a simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lazygram.problems.gaussian_cnn import GaussianCNN, correlation, spurious_ratio
from lazygram.problems.gaussian_cnn_reduced import (
    Reduced,
    critical_angle,
    draw_starts,
    limit_probability,
    reduced_step,
    success_outcomes,
    teacher_output,
)

# Thesis, Section 5.5.2: closed form as |a*| -> 0 for p = 6, evaluated independently to 3 digits.
LIMITS = {
    25: (0.500, 0.545, 0.711, 1, 1, 1),
    36: (0.500, 0.532, 0.641, 0.875, 1, 1),
    49: (0.500, 0.523, 0.601, 0.762, 0.998, 1),
    64: (0.500, 0.518, 0.576, 0.692, 0.887, 1),
    81: (0.500, 0.514, 0.560, 0.647, 0.792, 0.986),
    100: (0.500, 0.511, 0.548, 0.616, 0.727, 0.892),
}


def test_scalars_are_the_full_dynamics(rng: np.random.Generator) -> None:
    p, k, eta, steps = 7, 6, 0.1, 200
    w = rng.standard_normal(p)
    problem = GaussianCNN(w / np.linalg.norm(w), rng.standard_normal(k))
    v, a = rng.standard_normal((4, p)), rng.standard_normal((4, k))

    def reduce(v: Any, a: Any) -> Reduced:
        u = v @ problem.w_star
        across = np.linalg.norm(v - u[:, None] * problem.w_star, axis=1)
        return Reduced(u, across, a @ problem.a_star, a.sum(axis=1))

    state = reduce(v, a)
    for _ in range(steps):
        state = reduced_step(state, k, float(problem.total), float(problem.a_star @ problem.a_star), eta)
    run = problem.descend(v, a, eta, steps)
    full = reduce(run.v, run.a)
    for name in ("u", "x", "s", "angle"):
        np.testing.assert_allclose(getattr(state, name), getattr(full, name), rtol=1e-11, atol=1e-12)


def test_teacher_has_the_ratio() -> None:
    for k, rho, norm in ((25, 25, 1.0), (9, 0, 0.3), (9, 4, 2.0), (1, 1, 1.0)):
        a = teacher_output(k, rho, norm)
        assert a.sum() ** 2 == pytest.approx(rho * norm**2, abs=1e-12)
        assert np.linalg.norm(a) == pytest.approx(norm, rel=1e-14)


def test_starts_are_those_of_the_full_model() -> None:
    """Moments of u = cos phi0 and of the projections of a point uniform in a ball."""
    p, k, n = 6, 9, 20000
    a_star = teacher_output(k, 4.0, 2.0)
    starts = draw_starts(a_star, p, n, np.random.default_rng(0))
    np.testing.assert_allclose(starts.u**2 + starts.q**2, 1.0, rtol=1e-13)
    radius = abs(a_star.sum()) / np.sqrt(k)
    second = radius**2 / (k + 2)  # E a_i^2
    for values, variance in ((starts.u, 1 / p), (starts.x, second * 4), (starts.s, second * k)):
        assert abs(values.mean()) < 4 * np.sqrt(variance / n)
        assert abs((values**2).mean() / variance - 1) < 4 * np.sqrt(2 / n)
    assert (starts.x * starts.s).mean() == pytest.approx(second * a_star.sum(), rel=0.1)
    with pytest.raises(ValueError, match="p: must be at least 2"):
        draw_starts(a_star, 1, 3, np.random.default_rng(0))


def test_limit_probability() -> None:
    for k, row in LIMITS.items():
        for rho, expected in zip((0, 1, 4, 9, 16, 25), row, strict=True):
            assert limit_probability(k, rho, 6) == pytest.approx(expected, abs=6e-4)
            phi = critical_angle(k, rho)
            if rho > spurious_ratio(k):
                assert phi is None
                continue
            assert phi is not None
            g = float(correlation(phi))
            saddle = rho / k * (k + g - 1) / (k + np.pi - 1) + (1 - rho / k) * (g - 1) / (np.pi - 1)
            assert abs(saddle) < 1e-12
            if rho < 25:
                assert limit_probability(k, rho, 6) < 1
    assert limit_probability(10, 0, 3) == pytest.approx(0.5, abs=1e-12)
    # p = 2: phi0 is uniform on [0, pi].
    assert limit_probability(25, 4, 2) == pytest.approx(critical_angle(25, 4) / np.pi, rel=1e-10)  # type: ignore[operator]


def test_saddle_separates() -> None:
    """At phi_c the settled output weights are orthogonal to a*, for the full model too."""
    k, rho = 9, 2.0
    phi = critical_angle(k, rho)
    assert phi is not None
    problem = GaussianCNN([1.0, 0.0], teacher_output(k, rho))
    v = [np.cos(phi), np.sin(phi)]
    slope = problem.gradients(v, np.zeros(k)).output
    curvature = (np.ones((k, k)) + (np.pi - 1) * np.eye(k)) / (2 * np.pi)
    settled = np.linalg.solve(curvature, -slope)
    assert settled @ problem.a_star == pytest.approx(0.0, abs=1e-13)


def test_simulation_reaches_the_limit() -> None:
    """At |a*| = 0.3 the probability is the limit's, up to 4 standard errors and 0.01 for the |a*| left."""
    k, rho, draws = 9, 1, 1000
    a_star = teacher_output(k, rho, 0.3)
    starts = draw_starts(a_star, 6, draws, np.random.default_rng([k, rho]))
    found = success_outcomes([(a_star, starts)], 0.1, failures_from=3000, max_steps=60_000)[0]
    expected = limit_probability(k, rho, 6)
    assert found.unresolved == 0
    error = np.sqrt(expected * (1 - expected) / draws)
    assert abs(found.probability - expected) < 4 * error + 0.01


def test_outcomes_against_full_vectors() -> None:
    k, rho, p, n = 9, 2.0, 6, 60
    rng = np.random.default_rng(5)
    w = np.eye(p)[0]
    problem = GaussianCNN(w, teacher_output(k, rho))
    starts = [problem.start(rng) for _ in range(n)]
    v, a = (np.array(part) for part in zip(*starts, strict=True))
    run = problem.descend(v, a, 0.1, 3000, record_every=3000)
    state = Reduced(v[:, 0], np.linalg.norm(v[:, 1:], axis=1), a @ problem.a_star, a.sum(axis=1))
    found = success_outcomes([(problem.a_star, state)], 0.1, max_steps=3000)[0]
    assert found.successes == (run.angle[-1] < 0.3).sum()
    assert found.failures == (run.angle[-1] > np.pi - 0.3).sum()
    assert 0 < found.failures < n
    assert found.draws == n


def test_teachers_together_are_teachers_alone() -> None:
    cells = []
    for k, rho in ((25, 4.0), (9, 0.0), (36, 9.0)):
        a_star = teacher_output(k, rho, 0.8)
        cells.append((a_star, draw_starts(a_star, 6, 200, np.random.default_rng([k]))))
    seen: list[tuple[int, float]] = []
    together = success_outcomes(cells, 0.1, show=lambda step, share: seen.append((step, share)))
    assert together == [success_outcomes([cell], 0.1)[0] for cell in cells]
    assert seen[-1] == (max(outcome.steps for outcome in together), 1.0)


def test_above_the_critical_ratio_starts_near_pi_come_back() -> None:
    k, rho = 25, 16.0
    a_star = teacher_output(k, rho)
    starts = Reduced(np.full(3, -1.0), np.full(3, 0.28), np.full(3, -0.5), np.zeros(3))
    cell = [(a_star, starts)]
    assert success_outcomes(cell, 0.1)[0].probability == 1.0
    # Just above it the way back takes thousands of steps.
    slow = [(teacher_output(36, 13.0, 0.65), Reduced(*(part.copy() for part in vars(starts).values())))]
    outcome = success_outcomes(slow, 0.1)[0]
    assert outcome.probability == 1.0
    assert outcome.steps > 2000
    # Looking for failures from the start would count them as such.
    assert success_outcomes(cell, 0.1, failures_from=0)[0].probability == 0.0
    # Undecided runs are told, not guessed.
    short = success_outcomes(cell, 0.1, max_steps=3)[0]
    assert short.unresolved == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: teacher_output(4, 5.0), "rho: .* between 0 and k = 4"),
        (lambda: teacher_output(4, 1.0, -1.0), "norm: must be positive"),
        (lambda: critical_angle(4, -1.0), "rho: "),
        (lambda: limit_probability(4, 1.0, 1), "p: must be at least 2"),
        (
            lambda: success_outcomes([(np.ones(4), Reduced(*np.ones((4, 2))))], 5.0),
            "step_size: must be in",
        ),
    ],
)
def test_errors_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
