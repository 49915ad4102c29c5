"""What is recorded and when: names, steps, shapes, agreement of sparse with dense records, saved runs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lazygram import Run, StepState, TwoLayerReLU, train
from lazygram.files import write_npz
from lazygram.training.history import QUANTITIES, Recorder, record_steps, recorded_quantities


def test_names() -> None:
    assert recorded_quantities("all") == recorded_quantities("default") == QUANTITIES
    assert recorded_quantities("flips") == ("loss", "flips")
    assert recorded_quantities(["max_distance", "loss"]) == ("loss", "max_distance")
    assert recorded_quantities([]) == ("loss",)
    with pytest.raises(ValueError, match="record: unknown quantity 'losss'"):
        recorded_quantities("losss")
    with pytest.raises(ValueError, match="record: unknown quantity 3"):
        recorded_quantities([3])
    with pytest.raises(TypeError, match="record: 'all' or a list of names"):
        recorded_quantities(3)


def test_steps() -> None:
    assert record_steps(1, 3) == [0, 1, 2, 3]
    assert record_steps(4, 10) == [0, 4, 8, 10]
    assert record_steps(100, 10) == [0, 10]
    assert record_steps([7, 2, 2], 10) == [0, 2, 7, 10]
    assert record_steps(np.array([3]), 10) == [0, 3, 10]
    assert record_steps([], 10) == [0, 10]
    assert record_steps(1, 0) == [0]
    for bad, kind, text in (
        (0, ValueError, "record_every: must be positive"),
        (-1, ValueError, "record_every: must not be negative"),
        (1.5, TypeError, "record_every: an integer"),
        ("12", TypeError, "record_every: an integer"),
        ([1, 11], ValueError, "record_every: step 11 is beyond the last step 10"),
        ([-1], ValueError, "record_every: must not be negative"),
        (None, TypeError, "record_every: an integer"),
    ):
        with pytest.raises(kind, match=text):
            record_steps(bad, 10)  # type: ignore[arg-type]


def test_shapes_and_dtypes(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, X_test, y_test = problem
    run = train(TwoLayerReLU(100, 9), X, y, 6, 0.1, X_test=X_test, y_test=y_test, record_every=4)
    assert {name: values.shape for name, values in run.history.items()} == {
        "predictions": (3, 12), "test_predictions": (3, 7),
        **dict.fromkeys(("step", "time", "loss", "test_loss", "lambda_min", "lambda_max", "gram_change",
                         "pattern_change", "flips", "max_distance", "mean_distance"), (3,)),
    }  # fmt: skip
    for name, values in run.history.items():
        assert values.dtype == (np.int64 if name in ("step", "flips") else np.float64), name


def test_sparse_records_agree_with_dense_ones(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(300, 9, seed=5)
    dense = train(network, X, y, 20, 0.8).history
    sparse = train(network, X, y, 20, 0.8, record_every=[3, 4, 11]).history
    steps = [0, 3, 4, 11, 20]
    np.testing.assert_array_equal(sparse["step"], steps)
    for name in set(QUANTITIES) - {"flips"}:
        np.testing.assert_array_equal(sparse[name], dense[name][steps], err_msg=name)
    assert sparse["flips"].sum() <= dense["flips"].sum()
    for name in QUANTITIES:  # alone, each quantity is what it is among the others
        alone = train(network, X, y, 20, 0.8, record=[name]).history
        assert set(alone) == {"step", "time", "loss", name}
        np.testing.assert_array_equal(alone[name], dense[name], err_msg=name)


def test_flips_are_counted_from_the_previous_record(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(300, 9, seed=5)
    patterns = [
        run.network.patterns(X).to_bool()
        for run in (train(network, X, y, k, 0.8, record=["loss"]) for k in (0, 3, 9))
        if run.network is not None
    ]
    history = train(network, X, y, 9, 0.8, record="flips", record_every=[3]).history
    expected = [0, (patterns[0] != patterns[1]).sum(), (patterns[1] != patterns[2]).sum()]
    np.testing.assert_array_equal(history["flips"], expected)


def test_zero_steps(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(300, 9, seed=5)
    run = train(network, X, y, 0)
    assert run.summary["stopped"] == "steps"
    assert len(run.history["loss"]) == 1
    np.testing.assert_array_equal(run.history["predictions"][0], network.predict(X))


def test_state_that_callbacks_see(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    seen: list[StepState] = []
    network = TwoLayerReLU(300, 9, seed=5)
    run = train(network, X, y, 6, 0.2, record_every=2, callbacks=[seen.append])  # type: ignore[list-item]
    assert [state.step for state in seen] == [0, 2, 4, 6]
    assert all(state.steps == 6 for state in seen)
    for k, state in enumerate(seen):
        np.testing.assert_array_equal(state.predictions, run.history["predictions"][k])
        assert state.loss == run.history["loss"][k]
        assert state.values["lambda_min"] == run.history["lambda_min"][k]
    assert all(a.elapsed <= b.elapsed for a, b in pairwise(seen))
    seen[-1].predictions[:] = np.nan  # what a callback does to its arrays stays with it
    seen[-1].values["loss"] = np.nan
    assert np.isfinite(run.history["predictions"]).all()


def test_callbacks_cannot_change_the_course(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem

    def meddle(state: StepState) -> None:
        state.predictions[:] = 100.0
        for value in state.values.values():
            if isinstance(value, np.ndarray):
                value[:] = 100.0

    network = TwoLayerReLU(300, 9, seed=5)
    run, plain = train(network, X, y, 6, 0.2, callbacks=meddle), train(network, X, y, 6, 0.2)
    np.testing.assert_array_equal(run.history["loss"], plain.history["loss"])
    np.testing.assert_array_equal(run.history["predictions"], plain.history["predictions"])


def test_every_callback_is_called_and_any_may_stop(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    steps: list[int] = []
    run = train(
        TwoLayerReLU(50, 9), X, y, 50, 0.1, callbacks=[lambda s: s.step >= 4, lambda s: steps.append(s.step)]
    )
    assert steps == [0, 1, 2, 3, 4]
    assert run.summary["stopped"] == "callback"
    assert run.summary["message"] == "a callback asked to stop at step 4"
    assert run.summary["steps_done"] == 4
    np.testing.assert_array_equal(run.history["step"], steps)


@pytest.mark.parametrize("method", ["gd", "sgd", "flow"])
def test_tolerance(problem, method: str) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    options = {"method": method, "batch_size": 12 if method == "sgd" else None}
    network = TwoLayerReLU(100, 9, seed=1)
    full = train(network, X, y, 60, 0.4, **options).history["loss"]  # type: ignore[arg-type]
    run = train(network, X, y, 60, 0.4, tolerance=0.05 * full[0], **options)  # type: ignore[arg-type]
    first = int(np.argmax(full <= 0.05 * full[0]))
    assert 0 < first < 60
    assert run.summary["stopped"] == "tolerance"
    assert run.summary["steps_done"] == first
    np.testing.assert_array_equal(run.history["loss"], full[: first + 1])
    if method == "gd":  # also between records, and then that step is recorded
        sparse = train(network, X, y, 60, 0.4, tolerance=0.05 * full[0], record_every=50)
        np.testing.assert_array_equal(sparse.history["step"], [0, first])


def test_history_holds_whole_rows_only(problem) -> None:  # type: ignore[no-untyped-def]
    """Ctrl-C between two appends of a row leaves the rows before it."""
    X, _, *_ = problem
    network = TwoLayerReLU(80, 9)

    class Rows(dict):  # type: ignore[type-arg]
        armed = False

        def setdefault(self, key, default=None):  # type: ignore[no-untyped-def]
            if self.armed and key == "flips":
                raise KeyboardInterrupt
            return super().setdefault(key, default)

    class State:
        u = np.zeros(12)
        patterns = network.patterns(X)

        def distances(self) -> np.ndarray:
            return np.zeros(80)

        def test_predictions(self) -> np.ndarray:
            return np.zeros(0)

    recorder = Recorder(("loss", "predictions", "flips"), X, None, 0.1, False)
    recorder.start(State.patterns, None)
    recorder.rows = Rows()
    recorder.record(0, 1.0, None, State())
    before = recorder.previous
    recorder.rows.armed = True
    with pytest.raises(KeyboardInterrupt):
        recorder.record(1, 0.5, None, State())
    assert {len(values) for values in recorder.rows.values()} == {1, 2}
    assert {len(values) for values in recorder.history().values()} == {1}
    assert recorder.previous is before


def test_saved_run(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    run = train(TwoLayerReLU(60, 9), X, y, 5)
    run.save(tmp_path / "run.npz")
    back = Run.load(tmp_path / "run.npz")
    assert back.network is None
    assert back.summary == run.summary == json.loads(json.dumps(run.summary))
    assert set(back.history) == set(run.history)
    for name, values in run.history.items():
        np.testing.assert_array_equal(back.history[name], values)
        assert back.history[name].dtype == values.dtype
    write_npz(tmp_path / "other.npz", {"loss": np.zeros(3)})
    with pytest.raises(ValueError, match=r"other\.npz: does not hold a run"):
        Run.load(tmp_path / "other.npz")
