"""Event-driven training through `train`: against the dense trainers, resumed, refused, recorded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lazygram
from lazygram.training import TrainingInterrupted, train
from lazygram.training.events import EventState
from lazygram.training.losses import QuadraticLoss, get_loss
from lazygram.training.reach import choose_method, forecast

# Both trainers work in float64; each step adds rounding of relative size n eps to numbers of size one.
ROUNDING = 1e-11
QUANTITIES = [
    "loss",
    "predictions",
    "lambda_min",
    "lambda_max",
    "gram_change",
    "max_distance",
    "mean_distance",
]


def problem(
    rng: np.random.Generator, n: int = 40, dim: int = 12, tests: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = rng.standard_normal((n + tests, dim))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X[:n], rng.standard_normal(n), X[n:]


def assert_same_history(event: lazygram.Run, dense: lazygram.Run, names: list[str]) -> None:
    for name in names:
        np.testing.assert_allclose(event.history[name], dense.history[name], rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("seeded", [True, False])
def test_equals_the_dense_trainer_for_hundreds_of_steps(rng: np.random.Generator, seeded: bool) -> None:
    X, y, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(777, 12, seed=3)
    if not seeded:
        network = lazygram.TwoLayerReLU.from_weights(network.weights(), network.signs)
    options: dict[str, Any] = {"record": "all", "record_every": 4, "X_test": X_test, "y_test": np.ones(6)}
    dense = train(network, X, y, 300, 0.5, method="gd", **options)
    event = train(network, X, y, 300, 0.5, method="event", **options)
    assert_same_history(event, dense, [*QUANTITIES, "test_predictions", "test_loss"])
    # Bits may differ where |z| is at rounding level only; here none does.
    np.testing.assert_array_equal(event.history["flips"], dense.history["flips"])
    np.testing.assert_array_equal(event.history["pattern_change"], dense.history["pattern_change"])
    assert event.network is not None
    assert dense.network is not None
    np.testing.assert_allclose(event.network.weights(), dense.network.weights(), atol=ROUNDING)
    assert event.event is not None
    np.testing.assert_array_equal(
        event.event.counts(), lazygram.coactivation_counts(dense.network.patterns(X))
    )
    np.testing.assert_allclose(event.event.gram(), dense.network.gram(X), atol=ROUNDING)


def test_logistic_loss_and_any_callable_loss(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(400, 12, seed=4)
    labels = np.sign(y)

    class Quartic:
        name = "quartic"
        curvature = np.inf

        def value(self, u: np.ndarray, y: np.ndarray) -> float:
            return float(((u - y) ** 4).sum()) / 4

        def derivative(self, u: np.ndarray, y: np.ndarray) -> np.ndarray:
            return (u - y) ** 3

        def check_labels(self, y: np.ndarray) -> None:
            pass

    for loss in ("logistic", Quartic()):
        dense = train(network, X, labels, 60, 0.2, loss=loss, record=["predictions"])
        event = train(network, X, labels, 60, 0.2, loss=loss, record=["predictions"], method="event")
        assert_same_history(event, dense, ["loss", "predictions"])


def test_a_derivative_alone_is_a_loss(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(400, 12, seed=4)

    def pull(u: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.tanh(u - y)

    plain = train(network, X, y, 40, 0.3, loss=pull, record=["predictions"], method="event")
    dense = train(network, X, y, 40, 0.3, loss=pull, record=["predictions"])
    assert_same_history(plain, dense, ["predictions"])
    assert np.isnan(plain.history["loss"]).all()
    assert plain.summary["stopped"] == "steps"
    assert plain.summary["loss"] == "pull"
    named = lazygram.DerivativeLoss(pull, lambda u, y: float(np.log(np.cosh(u - y)).sum()), 1.0, "log-cosh")
    lazygram.check_loss(named, y)
    event = train(network, X, y, 40, "auto", loss=named, record=["predictions"], method="event")
    dense = train(network, X, y, 40, "auto", loss=named, record=["predictions"])
    assert_same_history(event, dense, ["loss", "predictions"])
    assert event.history["loss"][-1] < event.history["loss"][0]
    diverged = train(network, X, y, 400, 1e300, loss=lambda u, y: u**3, method="event")
    assert diverged.summary["stopped"] == "diverged"


@pytest.mark.parametrize("readout", ["seed", "signs", "values"])
@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
def test_several_outputs_equal_the_dense_trainer(rng: np.random.Generator, readout: str, loss: str) -> None:
    X, _, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(500, 12, seed=3, outputs=4)
    if readout != "seed":
        a = rng.choice([-1.0, 1.0], (500, 4)) if readout == "signs" else rng.normal(size=(500, 4))
        network = lazygram.TwoLayerReLU.from_weights(network.weights(), a)
    labels = rng.integers(0, 4, 40)
    options: dict[str, Any] = {
        "loss": loss, "record": "all", "record_every": 5, "X_test": X_test, "y_test": rng.integers(0, 4, 6),
    }  # fmt: skip
    dense = train(network, X, labels, 100, 0.2, **options)
    event = train(network, X, labels, 100, 0.2, method="event", threads=1, **options)
    assert dense.history["predictions"].shape == (21, 40, 4)
    assert event.history["test_predictions"].shape == (21, 6, 4)
    assert_same_history(event, dense, [*QUANTITIES, "test_predictions", "test_loss"])
    np.testing.assert_array_equal(event.history["flips"], dense.history["flips"])
    assert event.history["loss"][-1] < event.history["loss"][0]
    assert event.network is not None
    assert dense.network is not None
    np.testing.assert_allclose(event.network.weights(), dense.network.weights(), atol=ROUNDING)


@pytest.mark.parametrize("size", [0.3, 2.0])
def test_output_weights_of_any_size(rng: np.random.Generator, size: float) -> None:
    X, y, _ = problem(rng)
    start = lazygram.TwoLayerReLU(500, 12, seed=3)
    network = lazygram.TwoLayerReLU.from_weights(start.weights(), size * rng.normal(size=500))
    dense = train(network, X, y, 100, record=["predictions", "flips", "max_distance"])
    event = train(
        network, X, y, 100, method="event",
        record=["predictions", "flips", "max_distance", "max_distance_bound"],
    )  # fmt: skip
    assert_same_history(event, dense, ["loss", "predictions", "max_distance"])
    np.testing.assert_array_equal(event.history["flips"], dense.history["flips"])
    assert (event.history["max_distance"] <= event.history["max_distance_bound"]).all()
    # A forecast that covers the clocks: no second forward pass.
    assert event.summary["engine"]["passes"] == 1


def test_several_outputs_resume_bitwise_and_batches(rng: np.random.Generator, tmp_path: Path) -> None:
    X, _, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=8, outputs=3)
    labels, path = rng.integers(0, 3, 40), tmp_path / "checkpoint.npz"
    options: dict[str, Any] = {"method": "event", "X_test": X_test, "loss": "cross_entropy"}
    whole = train(network, X, labels, 20, 0.5, **options)
    train(network, X, labels, 8, 0.5, checkpoint=path, threads=1, **options)
    rest = train(network, X, labels, 20, 0.5, resume=path, threads=2, **options)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(rest.history[name], values, err_msg=name)
    batches: dict[str, Any] = {"batch_size": 8, "seed": 9, "record": ["predictions"]}
    dense = train(network, X, labels, 50, 0.05, method="sgd", **batches)
    event = train(network, X, labels, 50, 0.05, method="event", **batches)
    assert_same_history(event, dense, ["loss", "predictions"])


def test_auto_step_size_of_several_outputs_is_stable(rng: np.random.Generator) -> None:
    X, _, _ = problem(rng)
    network = lazygram.TwoLayerReLU(500, 12, seed=8, outputs=3)
    run = train(network, X, rng.integers(0, 3, 40), 60, method="event")
    assert (np.diff(run.history["loss"]) < 0).all()
    # The largest eigenvalue of the whole Gram matrix of the gradient, from its definition.
    W, a = network.weights(), network.signs
    active = (X @ W.T >= 0).astype(float)
    G = np.einsum("ro,ir,ij,jr,rp->iojp", a, active, X @ X.T, active, a, optimize=True) / 500
    largest = np.linalg.eigvalsh(G.reshape(120, 120))[-1]
    assert 1 / largest == pytest.approx(run.summary["step_size"], rel=0.3)


def test_minibatches_are_those_of_sgd(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(500, 12, seed=5)
    dense = train(network, X, y, 80, 0.05, method="sgd", batch_size=8, seed=9, record=["predictions"])
    event = train(network, X, y, 80, 0.05, method="event", batch_size=8, seed=9, record=["predictions"])
    assert_same_history(event, dense, ["loss", "predictions"])


@pytest.mark.parametrize("every", [1, 7, [0, 3, 50]])
def test_records_of_flips_at_any_steps(rng: np.random.Generator, every: Any) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=6)
    options: dict[str, Any] = {"record": ["pattern_change", "flips"], "record_every": every}
    dense = train(network, X, y, 50, 0.5, **options)
    event = train(network, X, y, 50, 0.5, method="event", **options)
    for name in ("step", "flips", "pattern_change"):
        np.testing.assert_array_equal(event.history[name], dense.history[name])


@pytest.mark.parametrize("name", ["pattern_change", "flips"])
def test_pattern_quantities_are_recorded_one_without_the_other(rng: np.random.Generator, name: str) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=1)
    both = train(network, X, y, 30, 0.5, method="event", record=("pattern_change", "flips"), record_every=7)
    one = train(network, X, y, 30, 0.5, method="event", record=name, record_every=7)
    np.testing.assert_array_equal(one.history[name], both.history[name])
    assert set(one.history) == {"step", "time", "loss", name}


def test_small_steps_follow_the_gradient_flow(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng, n=10)
    network = lazygram.TwoLayerReLU(60, 12, seed=7)
    flow = train(network, X, y, 4, 0.5, method="flow", record=["predictions"])
    event = train(network, X, y, 4000, 5e-4, method="event", record=["predictions"], record_every=1000)
    # Euler's method: error about step / 2 times the second derivative, here of order one.
    np.testing.assert_allclose(event.history["predictions"], flow.history["predictions"], atol=1e-3)


@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_event_flow_follows_the_flow_within_its_estimate(rng: np.random.Generator, loss: str) -> None:
    X, y, _ = problem(rng, n=8)
    y = np.sign(y)
    network = lazygram.TwoLayerReLU(100, 12, seed=7)
    options: dict[str, Any] = {"loss": loss, "record": ["predictions"]}
    flow = train(network, X, y, 4, 0.5, method="flow", flow_tolerance=1e-6, **options)
    gaps, steps = [], []
    for tolerance in (1e-3, 1e-5):
        event = train(network, X, y, 4, 0.5, method="event-flow", flow_tolerance=tolerance, **options)
        facts = event.summary["flow"]
        gap = np.abs(event.history["predictions"] - flow.history["predictions"]).max()
        # The estimate is of the order of the error: within a factor of 3 above the reference's own error.
        assert gap <= 3 * facts["error"] + 1e-5
        gaps.append(gap)
        steps.append(facts["engine_steps"])
    # The global error falls at least like the square root of the tolerance.
    assert gaps[1] < gaps[0] / 10
    assert steps[0] < steps[1]


def test_event_flow_resumes_bitwise(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y, X_test = problem(rng, n=12)
    network, path = lazygram.TwoLayerReLU(200, 12, seed=7), tmp_path / "checkpoint.npz"
    options: dict[str, Any] = {"method": "event-flow", "X_test": X_test}
    whole = train(network, X, y, 6, 0.2, **options)
    train(network, X, y, 2, 0.2, checkpoint=path, **options)
    rest = train(network, X, y, 6, 0.2, resume=path, **options)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(rest.history[name], values, err_msg=name)
    assert rest.summary["flow"] == whole.summary["flow"]
    # Flips between records of many engine steps are differences of patterns.
    ends = network.patterns(X), rest.event.patterns if rest.event else None
    assert ends[1] is not None
    assert rest.history["pattern_change"][-1] == ends[0].flips(ends[1]).sum() / (12 * 200)
    with pytest.raises(ValueError, match="flow_tolerance"):
        train(network, X, y, 6, 0.2, resume=path, flow_tolerance=1e-3, **options)


def test_distances_at_chosen_steps(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=2)
    options: dict[str, Any] = {"method": "event", "record_every": 2}
    whole = train(network, X, y, 10, 0.5, record=["max_distance", "mean_distance"], **options)
    some = train(
        network, X, y, 10, 0.5, record=["max_distance", "mean_distance"], distance_every=[4, 10], **options
    )
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(some.history["max_distance"])), [2, 5])
    for name in ("max_distance", "mean_distance"):
        np.testing.assert_array_equal(some.history[name][[2, 5]], whole.history[name][[2, 5]])


def test_default_record_has_spectra_where_they_are_cheap(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    wide = lazygram.TwoLayerReLU(200_000, 12, seed=2, dtype="float32")
    run = train(wide, X, y, 20, 0.5, method="event", record_every=10)
    exact = np.linalg.eigvalsh(run.event.gram()) if run.event else None
    assert exact is not None
    assert run.history["lambda_min"][-1] == pytest.approx(exact[0], rel=1e-9)
    assert "max_distance_bound" in run.history
    narrow = train(lazygram.TwoLayerReLU(300, 12), X, y, 20, 0.5, method="event")
    assert "lambda_min" not in narrow.history
    assert "max_distance_bound" in narrow.history


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("every", [1, 4])
def test_resumed_run_equals_an_uninterrupted_one_bitwise(
    rng: np.random.Generator, tmp_path: Path, dtype: str, every: int
) -> None:
    X, y, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=8, dtype=dtype)
    options: dict[str, Any] = {
        "method": "event",
        "X_test": X_test,
        "record": ["predictions", "flips", "pattern_change", "gram_change"],
        "record_every": every,
    }
    whole = train(network, X, y, 30, **options)
    path = tmp_path / "checkpoint.npz"
    for stop, threads in ((13, 1), (21, 2)):
        train(network, X, y, stop, checkpoint=path, threads=threads, **{**options, "record_every": every})
        rest = train(network, X, y, 30, resume=path, threads=3 - threads, **options)
        keep = np.isin(rest.history["step"], whole.history["step"])
        for name in ("step", "predictions", "test_predictions", "pattern_change", "gram_change"):
            np.testing.assert_array_equal(rest.history[name][keep], whole.history[name], err_msg=name)
        # "flips" compares with the row before, and the stop may have added one.
        assert rest.history["flips"][-1] == whole.history["flips"][-1]


def test_pairs_that_slide_after_convergence(rng: np.random.Generator, tmp_path: Path) -> None:
    """Few nearly orthogonal examples: converged to rounding long before the end, pairs still slide."""
    X, y, _ = problem(rng, n=30, dim=60)
    network = lazygram.TwoLayerReLU(500, 60, seed=14)
    options: dict[str, Any] = {"record": ("loss", "predictions", "flips")}
    dense = train(network, X, y, 400, 0.5, method="gd", **options)
    event = train(network, X, y, 400, 0.5, method="event", **options)
    assert event.history["loss"][-1] < 1e-28
    np.testing.assert_allclose(event.history["predictions"], dense.history["predictions"], atol=ROUNDING)
    # As long as residuals are far above rounding, z is too: every flip is that of the dense loop.
    large = event.history["loss"] > 1e-12
    assert large.sum() > 60
    np.testing.assert_array_equal(event.history["flips"][large], dense.history["flips"][large])
    assert event.history["flips"][large][-20:].min() > 10  # and they do slide

    path = tmp_path / "checkpoint.npz"
    for interrupted in (90, 200):
        train(network, X, y, interrupted, 0.5, method="event", checkpoint=path, **options)
        rest = train(network, X, y, 400, 0.5, method="event", resume=path, **options)
        for name, values in event.history.items():
            np.testing.assert_array_equal(rest.history[name], values)

    # What is at rest is hardly looked at.
    longer = train(network, X, y, 1400, 0.5, method="event", **options)
    more = longer.summary["engine"]["due_pairs"] - event.summary["engine"]["due_pairs"]
    assert more < 0.1 * 1000 * event.history["flips"][large][-1]


def test_ctrl_c_leaves_a_checkpoint_that_goes_on(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=9)
    path = tmp_path / "checkpoint.npz"

    def interrupt(state: lazygram.training.StepState) -> None:
        if state.step == 5:
            raise KeyboardInterrupt

    whole = train(network, X, y, 12, 0.5, method="event")
    with pytest.raises(TrainingInterrupted) as caught:
        train(network, X, y, 12, 0.5, method="event", checkpoint=path, callbacks=interrupt)
    assert caught.value.run.summary["steps_done"] == 5
    rest = train(network, X, y, 12, 0.5, method="event", resume=path)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(rest.history[name], values)
    with pytest.raises(ValueError, match="method"):
        train(network, X, y, 12, 0.5, method="gd", resume=path)
    assert train(network, X, y, 12, 0.5, method="auto", resume=path).summary["method"] == "event"


def test_tolerance_callback_and_divergence(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(300, 12, seed=10)
    run = train(network, X, y, 500, method="event", tolerance=1e-3)
    assert run.summary["stopped"] == "tolerance"
    assert run.history["loss"][-1] <= 1e-3 < run.history["loss"][-2]
    run = train(network, X, y, 500, method="event", callbacks=lambda state: state.step == 3)
    assert run.summary["stopped"] == "callback"
    assert run.summary["steps_done"] == 3
    run = train(network, X, y, 5000, 1e8, method="event")
    assert run.summary["stopped"] == "diverged"
    assert np.isfinite(run.history["predictions"][:-1]).all()


def test_trajectory_does_not_depend_on_the_forecast(rng: np.random.Generator) -> None:
    X, y, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(600, 12, seed=11)
    runs = []
    for reach, threads in ((np.inf, 1), (0.0, 2), (2.0, 2)):
        state = EventState(network, X, X_test=X_test, reach=np.full(46, reach), threads=threads)
        rows = []
        for _ in range(25):
            state.advance(state.u - y, 0.5)
            rows.append(np.concatenate([state.u, state.test_predictions()]))
        runs.append((np.array(rows), state.patterns.bits, state.weights(100, 50)))
        assert state.stats["passes"] == 1 if np.isinf(reach) else state.stats["passes"] > 1
    for other in runs[1:]:
        for ours, theirs in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_forecast_covers_the_clocks_of_a_wide_network(rng: np.random.Generator) -> None:
    X, y, X_test = problem(rng, n=80, dim=40)
    network = lazygram.TwoLayerReLU(20000, 40, seed=12)
    run = train(network, X, y, 200, X_test=X_test, method="event")
    assert run.summary["engine"]["passes"] == 1
    # and not by tracking everything
    assert run.summary["engine"]["tracked_pairs"] < 0.7 * 20000 * 86


def test_distance_bound_is_a_bound(rng: np.random.Generator) -> None:
    X, y, X_test = problem(rng)
    network = lazygram.TwoLayerReLU(600, 12, seed=13)
    state = EventState(network, X, X_test=X_test, reach=np.full(46, np.inf))
    for _ in range(30):
        state.advance(state.u - y, 0.5)
        assert 0 < state.distances().max() <= state.distance_bound()


def test_auto_chooses_by_cost_and_says_so(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    wide, narrow = lazygram.TwoLayerReLU(50000, 12, seed=1), lazygram.TwoLayerReLU(50, 12, seed=1)
    run = train(wide, X, y, 300, 0.5, method="auto", record=["loss"], record_every=300)
    assert run.summary["method"] == "event"
    assert run.summary["choice"].startswith("event: estimated")
    run = train(narrow, X, y, 3, 0.5, method="auto")
    assert run.summary["method"] == "gd"
    assert run.summary["choice"].startswith("gd: estimated")
    run = train(narrow, X, y, 3, 0.5, method="auto", layers="both")
    assert run.summary["method"] == "gd"
    assert "layers" in run.summary["choice"]
    # Nothing pays for a single step: the forward pass is the same.
    assert choose_method(
        wide, X, y, X[:0], QuadraticLoss(), 0, 0.5, layers="first", resumed=None, threads=None
    )[0] == "gd"  # fmt: skip


def test_refusals_name_the_argument(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(64, 12, seed=1)
    with pytest.raises(ValueError, match="layers"):
        train(network, X, y, 3, 0.5, method="event", layers="both")
    several = lazygram.TwoLayerReLU(64, 12, seed=1, outputs=2)
    with pytest.raises(ValueError, match="network: method 'event-flow' needs one output"):
        train(several, X, np.column_stack([y, y]), 3, 0.5, method="event-flow")
    with pytest.raises(ValueError, match="distance_every: step 3 is not recorded"):
        train(network, X, y, 4, 0.5, method="event", record_every=2, distance_every=[3])
    with pytest.raises(ValueError, match="spectra: one of auto, exact"):
        train(network, X, y, 4, 0.5, spectra="lanczos")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size"):
        train(network, X, y, 3, 0.5, method="auto", batch_size=4)
    with pytest.raises(ValueError, match="memory_limit"):
        train(network, X, y, 3, 0.5, method="event", memory_limit=1000)
    with pytest.raises(ValueError, match="memory_limit"):
        train(network, X, y, 3, 0.5, method="event", memory_limit=-1)


MEMORY_SCRIPT = """
import ctypes, gc, resource
import numpy as np
import lazygram
from lazygram.training.reach import forecast
from lazygram.training.events import EventState
rng = np.random.default_rng(0)
X = rng.standard_normal((300, 100)).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
y = rng.standard_normal(300)
network = lazygram.TwoLayerReLU(400_000, 100, seed=1, dtype="float32")
lazygram.train(lazygram.TwoLayerReLU(512, 100, dtype="float32"), X, y, 2, 0.5, method="event")  # warm
seen = forecast(network, X, y, X[:0], lazygram.training.get_loss("quadratic"), 40, 0.5)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what earlier work left in the heap would be used again
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
state = EventState(network, X, X_test=X[:0], reach=seen.reach)
for _ in range(40):
    state.advance(state.u - y, 0.5)
with open("/proc/self/status") as status:  # VmHWM: ru_maxrss also counts the process that started this one
    peak = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(seen.memory, peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_as_planned() -> None:
    output = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], check=True, capture_output=True, text=True
    ).stdout
    planned, used = (float(word) for word in output.split())
    assert used == pytest.approx(planned, rel=0.1)


def test_forecast_of_a_diverging_run_tracks_everything(rng: np.random.Generator) -> None:
    X, y, _ = problem(rng)
    network = lazygram.TwoLayerReLU(64, 12, seed=1)
    seen = forecast(network, X, y, X[:0], get_loss("quadratic"), 100, 50.0)
    assert np.isinf(seen.reach).all()
    assert seen.tracked_pairs == 64 * 40
