"""The linearised network against closed forms, against itself with explicit features, and a wide network."""

from __future__ import annotations

import numpy as np
import pytest

import lazygram
from lazygram.analysis import FrozenDynamics
from lazygram.data import load_dataset
from lazygram.training.dense import batch_indices
from lazygram.training.linearised import train_linearised


@pytest.fixture
def problem(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """A linear model f = Phi w: its own linearisation, so that weights can be trained as a reference."""
    phi, phi_test = rng.standard_normal((6, 9)), rng.standard_normal((4, 9))
    return phi, phi_test, rng.standard_normal(9), rng.choice([-1.0, 1.0], 6)


def test_quadratic_loss_is_the_closed_form(problem) -> None:  # type: ignore[no-untyped-def]
    phi, phi_test, w, y = problem
    K, eta = phi @ phi.T, 0.01
    run = train_linearised(
        K, phi @ w, y, 40, eta, record_every=10, gram_test=phi_test @ phi.T, f0_test=phi_test @ w
    )
    assert run.history["step"].tolist() == [0, 10, 20, 30, 40]
    exact = FrozenDynamics(K, phi @ w, y)
    np.testing.assert_allclose(run.history["predictions"], exact.gd(eta, run.history["step"]), rtol=1e-10)
    np.testing.assert_allclose(run.history["loss"], exact.gd_loss(eta, run.history["step"]), rtol=1e-9)


def test_other_losses_batches_and_schedules_are_descent_on_weights(problem) -> None:  # type: ignore[no-untyped-def]
    phi, phi_test, w, y = problem
    sizes = [0.2 / (1 + k) for k in range(25)]
    run = train_linearised(
        phi @ phi.T,
        phi @ w,
        y,
        25,
        sizes,
        loss="logistic",
        reduction="mean",
        batch_size=2,
        seed=5,
        gram_test=phi_test @ phi.T,
        f0_test=phi_test @ w,
    )
    for k in range(26):
        u = phi @ w
        np.testing.assert_allclose(run.history["predictions"][k], u, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(run.history["test_predictions"][k], phi_test @ w, rtol=1e-9, atol=1e-12)
        assert run.history["loss"][k] == pytest.approx(np.mean(np.log1p(np.exp(-y * u))))
        if k < 25:
            rows = batch_indices(5, k, 6, 2)
            slope = -y[rows] / (1 + np.exp(y[rows] * u[rows]))
            w = w - sizes[k] * phi[rows].T @ slope / 2


def test_distance_to_a_network_shrinks_with_the_width() -> None:
    data = load_dataset("synthetic", n=8, dim=8, n_test=5, seed=1)
    gaps = []
    for width in (64, 4096):
        network = lazygram.TwoLayerReLU(width, 8, seed=2)
        run = lazygram.train(network, data.X, data.y, 60, 0.5, X_test=data.X_test, threads=1)
        twin = train_linearised(
            network.gram(data.X),
            network.predict(data.X),
            data.y,
            60,
            0.5,
            gram_test=network.gram(data.X_test, data.X),
            f0_test=network.predict(data.X_test),
        )
        gap = twin.distance(run.history["predictions"])
        assert gap[0] == pytest.approx(0.0, abs=1e-12)
        by_hand = np.linalg.norm(run.history["predictions"][7] - twin.history["predictions"][7])
        assert gap[7] == pytest.approx(by_hand / np.linalg.norm(network.predict(data.X) - data.y))
        gaps.append((gap.max(), twin.distance(run.history["test_predictions"], test=True).max()))
    # The gap falls like m^{-1/2}: a factor 8 here; 3 leaves room for the draw.
    assert gaps[1][0] < gaps[0][0] / 3
    assert gaps[1][1] < gaps[0][1] / 3


def test_divergence_is_infinite_distance() -> None:
    run = train_linearised(np.eye(2) * 1e200, [1.0, 2.0], [0.0, 0.0], 3, 1e200)
    assert np.isinf(run.distance(np.zeros((4, 2)))[-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_size": 0.0}, "step_size: must be positive"),
        ({"step_size": [0.1]}, "step_size: 3 numbers are needed"),
        ({"step_size": [0.1, -1.0, 0.1]}, "step_size: must be positive"),
        ({"reduction": "max"}, "reduction: 'sum' or 'mean'"),
        ({"batch_size": 3}, "batch_size: at most n = 2"),
        ({"gram_test": np.ones((1, 2))}, "gram_test, f0_test: they belong together"),
        ({"u0": [1.0]}, "u0: length 2"),
        ({"loss": "logistic"}, "y: the logistic loss needs labels"),
    ],
)
def test_arguments_are_checked(changes: dict[str, object], message: str) -> None:
    arguments = {"gram": np.eye(2), "u0": [1.0, 2.0], "y": [0.0, 0.0], "steps": 3, "step_size": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        train_linearised(**arguments)  # type: ignore[arg-type]


def test_distance_is_checked() -> None:
    run = train_linearised(np.eye(2), [1.0, 2.0], [0.0, 0.0], 3, 0.1)
    with pytest.raises(ValueError, match="test: the linearised run was given no test inputs"):
        run.distance(np.zeros((4, 2)), test=True)
    with pytest.raises(ValueError, match=r"predictions: shape \(4, 2\) is needed"):
        run.distance(np.zeros((3, 2)))


@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_flow_is_the_closed_form_or_the_limit_of_small_steps(loss: str) -> None:
    rng = np.random.default_rng(5)
    A, y = rng.normal(size=(6, 9)), np.sign(rng.normal(size=6))
    K, u0, cross, f0 = A @ A.T / 9, rng.normal(size=6), rng.normal(size=(2, 6)), rng.normal(size=2)
    shared = {"loss": loss, "gram_test": cross, "f0_test": f0}
    run = train_linearised(K, u0, y, 5, 0.3, flow=True, **shared)
    if loss == "quadratic":
        frozen = FrozenDynamics(K, u0, y).flow(0.3 * np.arange(6))
        np.testing.assert_allclose(run.history["predictions"], frozen, rtol=1e-7, atol=1e-8)
    # Two step sizes, extrapolated: Euler's error is a series in the step.
    coarse, fine = (
        train_linearised(K, u0, y, 5 * k, 0.3 / k, record_every=k, **shared).history for k in (400, 800)
    )
    for name in ("predictions", "test_predictions"):
        limit = 2 * fine[name] - coarse[name]
        np.testing.assert_allclose(run.history[name], limit, rtol=0, atol=2e-6)
    with pytest.raises(ValueError, match="flow: goes with whole batches"):
        train_linearised(K, u0, y, 5, 0.3, flow=True, batch_size=2)
    with pytest.raises(ValueError, match="flow: goes with whole batches and one step size"):
        train_linearised(K, u0, y, 2, [0.3, 0.2], flow=True)
    still = train_linearised(K, u0, y, 0, 0.3, flow=True)
    np.testing.assert_array_equal(still.history["predictions"], u0[None])
