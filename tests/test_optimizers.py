"""Optimisers against plain loops: steps, schedules, stopping, batches of starts, noise, momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lazygram.optimizers import (
    gradient_descent,
    minibatches,
    perturbed_gradient_descent,
    power_decay,
    sgd,
)

SCALES = np.array([1.0, 0.5, 0.1])


def slope(x: np.ndarray) -> np.ndarray:
    """Gradient of sum_j scales_j x_j^2 / 2 + x_j^4 / 4."""
    return SCALES * x + x**3


def test_descent_is_the_plain_loop_for_schedules_and_starts(rng: np.random.Generator) -> None:
    starts = rng.uniform(-1, 1, (4, 3))
    eta = power_decay(0.3, 10.0, 0.6)
    run = gradient_descent(
        slope,
        starts,
        eta,
        25,
        batched=True,
        record={"x": lambda x: x.copy(), "norm": lambda x: np.linalg.norm(x, axis=1)},
    )
    x = starts.copy()
    for t in range(25):
        np.testing.assert_array_equal(run.history["x"][t], x)
        x = x - 0.3 * (1 + t / 10.0) ** -0.6 * slope(x)
    np.testing.assert_array_equal(run.point, x)
    np.testing.assert_array_equal(run.history["norm"][-1], np.linalg.norm(x, axis=1))
    assert run.recorded_steps.tolist() == list(range(26))
    # One start alone is the same as in company, and needs no axis of starts.
    alone = gradient_descent(slope, starts[2], eta, 25)
    np.testing.assert_array_equal(alone.point, run.point[2])
    assert alone.steps.shape == ()
    assert alone.steps == 25
    np.testing.assert_array_equal(starts[2], run.history["x"][0, 2])  # the start is not written to


def test_tuples_of_arrays_and_float32(rng: np.random.Generator) -> None:
    U = rng.standard_normal((5, 2)).astype(np.float32)
    V = rng.standard_normal((4, 2)).astype(np.float32)
    run = gradient_descent(lambda p: (p[1].sum() * np.ones_like(p[0]), -p[1]), (U, V), 0.5, 2)
    assert run.point[0].dtype == run.point[1].dtype == np.float32
    np.testing.assert_allclose(run.point[1], 2.25 * V, rtol=1e-6)
    np.testing.assert_allclose(run.point[0], U - 0.5 * 2.5 * V.sum(), rtol=1e-5)


def test_records_thinned_and_ended_starts_keep_their_point(rng: np.random.Generator) -> None:
    starts = np.array([[1.0], [8.0], [0.0]])
    seen: list[int] = []
    run = gradient_descent(
        lambda x: x,
        starts,
        0.5,
        7,
        batched=True,
        record={"x": lambda x: x[:, 0].copy()},
        record_every=3,
        stop=lambda t, x: np.abs(x[:, 0]) <= 0.25,
        callback=lambda t, x: seen.append(t),
    )
    assert run.steps.tolist() == [2, 5, 0]
    assert run.stopped.all()
    assert run.point[:, 0].tolist() == [0.25, 0.25, 0.0]
    assert run.recorded_steps.tolist() == seen == [0, 3, 5]
    np.testing.assert_array_equal(run.history["x"], [[1.0, 8.0, 0.0], [0.25, 1.0, 0.0], [0.25, 0.25, 0.0]])


def test_divergence_is_told_and_leaves_others_alone() -> None:
    run = gradient_descent(lambda x: x**3, np.array([[0.1], [10.0]]), 0.5, 50, batched=True)
    assert run.diverged.tolist() == [False, True]
    assert run.steps[0] == 50
    assert run.steps[1] < 50
    expected = 0.1
    for _ in range(50):
        expected -= 0.5 * expected**3
    assert run.point[0, 0] == pytest.approx(expected, rel=1e-14)


def test_perturbed_descent_is_algorithm_2() -> None:
    """Against a plain loop with the same generators; saddle x0^2 - x1^2 / 2 at the origin."""

    def saddle(x: np.ndarray) -> np.ndarray:
        return x * np.array([2.0, -1.0])

    settings: dict[str, Any] = {"threshold": 0.05, "radius": 0.01, "wait": 3}
    starts = np.array([[0.5, 0.0], [0.001, 0.0], [0.0, 0.3]])
    run = perturbed_gradient_descent(saddle, starts, 0.1, 40, seed=[5, 6, 7], batched=True, **settings)
    for k, seed in enumerate((5, 6, 7)):
        generator = np.random.default_rng(seed)
        x, last, count = starts[k].copy(), -4, 0
        for t in range(40):
            if np.linalg.norm(saddle(x)) <= 0.05 and t - last > 3:
                direction = generator.standard_normal(2)
                xi = direction / np.linalg.norm(direction) * 0.01 * generator.random() ** 0.5
                assert np.linalg.norm(xi) <= 0.01
                x, last, count = x + xi, t, count + 1
            x = x - 0.1 * saddle(x)
        np.testing.assert_allclose(run.point[k], x, rtol=1e-12)
        assert run.perturbations[k] == count
    assert run.perturbations[0] > 0
    assert run.perturbations[2] == 0  # the gradient never was small
    # Without noise the second coordinate would be 0 for ever.
    assert gradient_descent(saddle, starts[1], 0.1, 40).point[1] == 0.0
    # Starts do not depend on one another, with one seed for all as well.
    some = perturbed_gradient_descent(saddle, starts, 0.1, 9, seed=3, batched=True, **settings)
    fewer = perturbed_gradient_descent(saddle, starts[:2], 0.1, 9, seed=3, batched=True, **settings)
    np.testing.assert_array_equal(some.point[:2], fewer.point)


def test_noise_is_uniform_in_the_ball() -> None:
    """P(|xi| <= s r) = s^d: mean of |xi|^d / r^d is 1/2, and the mean vector vanishes."""
    count, dim = 4000, 3
    run = perturbed_gradient_descent(
        np.zeros_like, np.zeros((count, dim)), 0.1, 1, threshold=1.0, radius=2.0, seed=1, batched=True
    )
    lengths = np.linalg.norm(run.point, axis=1) / 2.0
    assert lengths.max() <= 1.0
    # Standard errors: sqrt(1/12 / count) of the first, 2 sqrt(1/5 / count) of the coordinates.
    assert abs((lengths**dim).mean() - 0.5) < 4 * np.sqrt(1 / 12 / count)
    assert np.abs(run.point.mean(axis=0)).max() < 4 * 2 * np.sqrt(1 / (dim + 2) / count)


def test_sgd_sees_every_example_once_per_epoch_and_has_momentum() -> None:
    data = np.arange(7.0)
    batches: list[list[int]] = []

    def gradient(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
        batches.append(batch.tolist())
        return np.array([x[0] - data[batch].mean()])

    run = sgd(gradient, np.array([0.0]), 0.1, 6, draw=minibatches(7, 3), seed=4, momentum=0.5)
    for epoch in (batches[:3], batches[3:]):
        assert sorted(k for batch in epoch for k in batch) == list(range(7))
        assert [len(batch) for batch in epoch] == [3, 3, 1]
    x, v = 0.0, 0.0
    for batch in batches:
        v = 0.5 * v + (x - data[batch].mean())
        x -= 0.1 * v
    assert run.point[0] == pytest.approx(x, rel=1e-14)
    draw = minibatches(7, 7, epochs=False)
    assert sorted(draw(np.random.default_rng(0), 0)) == list(range(7))


def test_momentum_of_the_starts_that_go_on() -> None:
    run = sgd(
        lambda x, batch: x,
        np.array([[4.0], [1.0]]),
        0.2,
        5,
        draw=lambda generator, t: None,
        momentum=0.5,
        batched=True,
        stop=lambda t, x: np.abs(x[:, 0]) < 0.5,
    )
    for k, start in enumerate((4.0, 1.0)):
        x, v, t = start, 0.0, 0
        while t < 5 and not abs(x) < 0.5:
            v = 0.5 * v + x
            x -= 0.2 * v
            t += 1
        assert run.point[k, 0] == pytest.approx(x, rel=1e-14)
        assert run.steps[k] == t


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.0}, "step_size: must be positive"),
        ({"step_size": lambda t: 1.0 - t}, r"step_size\(1\): must be positive"),
        ({"steps": -1}, "steps: must not be negative"),
        ({"start": [np.nan]}, "start: all entries must be finite"),
        ({"start": ()}, "start: at least one array"),
        ({"start": 3.0, "batched": True}, "start: one first axis"),
        ({"gradient": lambda x: x[:1]}, r"gradient: shape \(2,\) is needed, got \(1,\)"),
        ({"gradient": lambda x: (x, x)}, "gradient: 1 arrays are needed, got 2"),
        (
            {"start": np.ones((2, 1)), "batched": True, "stop": lambda t, x: True},
            "stop: one verdict per start",
        ),
        ({"record_every": 0}, "record_every: must be positive"),
    ],
)
def test_arguments_are_checked(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"gradient": lambda x: x, "start": np.ones(2), "step_size": 0.1, "steps": 3}
    with pytest.raises(ValueError, match=message):
        gradient_descent(**{**arguments, **change})


def test_further_arguments_are_checked() -> None:
    perturbed: dict[str, Any] = {"threshold": 0.1, "radius": 0.1}
    with pytest.raises(ValueError, match="threshold: must be positive"):
        perturbed_gradient_descent(slope, np.ones(3), 0.1, 1, threshold=0.0, radius=1.0)
    with pytest.raises(ValueError, match=r"seed: one per start \(1\) is needed, got 2"):
        perturbed_gradient_descent(slope, np.ones(3), 0.1, 1, seed=[1, 2], **perturbed)
    with pytest.raises(TypeError, match="start: one array"):
        perturbed_gradient_descent(slope, (np.ones(3),), 0.1, 1, **perturbed)
    with pytest.raises(ValueError, match=r"start: shape \(d,\) is needed, got \(2, 2\)"):
        perturbed_gradient_descent(slope, np.ones((2, 2)), 0.1, 1, **perturbed)
    with pytest.raises(ValueError, match="batch_size: must be at most"):
        minibatches(3, 4)
    with pytest.raises(ValueError, match="momentum: must be in"):
        sgd(lambda x, b: x, np.ones(1), 0.1, 1, draw=minibatches(3, 1), momentum=1.0)
