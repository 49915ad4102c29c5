"""Thin band, far start and the affine transfer: differences, continuity, step counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lazygram.optimizers import gradient_descent
from lazygram.problems.affine import Affine
from lazygram.problems.octopus import Octopus
from lazygram.problems.warm_up import FarStart, ThinBand


def steps_until_outside(problem: ThinBand | FarStart, start: list[float], limit: int = 2000) -> int:
    """Steps of size 1/4 until x leaves [-1, 1]^2 (a far start first has to enter it)."""

    def left(t: int, x: np.ndarray) -> np.ndarray:
        return np.abs(x[..., 1]) > 1

    run = gradient_descent(problem.gradient, np.array(start), 0.25, limit, stop=left, record_every=limit)
    assert run.stopped
    return int(run.steps)


@pytest.mark.parametrize("problem", [ThinBand(), FarStart(), Affine(FarStart(), [1.0, -2.0], 3.0)])
def test_derivatives_are_differences(problem: ThinBand, rng: np.random.Generator) -> None:
    x = rng.uniform([-3.5, -1], [1, 1], (200, 2))
    if isinstance(problem, Affine):
        x = 3 * x + [1, -2]
    h = 1e-5
    unit = h * np.eye(2)
    slope = (problem.value(x[:, None] + unit) - problem.value(x[:, None] - unit)) / (2 * h)
    np.testing.assert_allclose(problem.gradient(x), slope, atol=1e-8)  # h^2 times third derivatives < 200
    curvature = (problem.gradient(x[:, None] + unit) - problem.gradient(x[:, None] - unit)) / (2 * h)
    # Third derivatives jump at the two seams: errors of h times the jump in a strip of width h.
    np.testing.assert_allclose(problem.hessian(x), curvature, atol=2e-3)
    assert np.median(np.abs(problem.hessian(x) - curvature)) < 1e-9


def test_far_start_is_twice_continuously_differentiable() -> None:
    f = FarStart()
    for seam in (-2.0, -1.0):
        for other in (-0.9, 0.0, 0.7):
            one, two = np.array([seam - 1e-10, other]), np.array([seam + 1e-10, other])
            assert abs(f.value(one) - f.value(two)) < 1e-8
            assert np.abs(f.gradient(one) - f.gradient(two)).max() < 1e-8
            assert np.abs(f.hessian(one) - f.hessian(two)).max() < 1e-7
    grid = np.stack(np.meshgrid(np.linspace(-2, -1, 201), np.linspace(-1, 1, 41)), axis=-1)
    assert f.gradient(grid)[..., 0].max() <= -2.0 + 1e-14


@pytest.mark.parametrize("n", [1, 5, 40, 300])
def test_thin_band_takes_n_steps(n: int) -> None:
    assert abs(steps_until_outside(ThinBand(), [0.5, 1.5**-n]) - (n + 1)) <= 1


@pytest.mark.parametrize(("distance", "steps"), [(10, 26), (50, 135), (200, 541)])
def test_far_start_takes_long_after_its_arrival(distance: int, steps: int) -> None:
    start = [-distance - 0.5, 0.8]
    assert steps_until_outside(FarStart(), start) == steps
    assert abs(steps - distance * (1 + math.log(2) / math.log(1.5))) <= 2
    run = gradient_descent(
        FarStart().gradient, np.array(start), 0.25, 300, stop=lambda t, x: np.abs(x[0]) <= 1
    )
    assert 0.5 <= abs(run.point[1]) / (0.8 * 2.0**-distance) <= 2


@pytest.mark.parametrize(("centre", "steps"), [([0.0, 0.0, 0.0], 150), ([5.0, -3.0, 0.5], 40)])
def test_affine_transfer_of_descent(centre: list[float], steps: int, rng: np.random.Generator) -> None:
    """The iterates on the cube z + [-R, R]^d with R^2 eta are those on [-1, 1]^d with eta."""
    f, z, R = Octopus(3, 1.5), np.array(centre), 8.0
    x0 = rng.uniform(-1, 1, 3)
    moved = Affine(f, z, R)
    inner = gradient_descent(f.gradient, x0, 1 / 6, steps, record={"f": f.value, "x": np.copy})
    outer = gradient_descent(
        moved.gradient, z + R * x0, R**2 / 6, steps, record={"f": moved.value, "x": np.copy}
    )
    # At centre 0 scaling by 8 is exact; elsewhere z + R x rounds to 1e-15 and a saddle multiplies that by
    # 4/3 a step.
    tolerance = 1e-13 if not z.any() else 1e-15 * (4 / 3) ** steps
    np.testing.assert_allclose(
        outer.history["x"], z + R * inner.history["x"], rtol=1e-12, atol=10 * tolerance
    )
    np.testing.assert_allclose(outer.history["f"], inner.history["f"], rtol=1e-9)
    assert f.passed(inner.point) >= (2 if steps > 100 else 1)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"x: shape \(..., 2\) is needed, got \(3,\)"):
        ThinBand().value(np.zeros(3))
    with pytest.raises(ValueError, match="scale: must be positive"):
        Affine(ThinBand(), [0, 0], 0.0)
