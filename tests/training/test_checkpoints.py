"""Checkpoint and resume: the continued run equals an uninterrupted one bit for bit, after SIGKILL too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from lazygram import Run, StepState, TrainingInterrupted, TwoLayerReLU, train
from lazygram.files import read_npz, write_npz


def assert_same(one: Run, two: Run) -> None:
    """Histories, weights and facts agree bit for bit."""
    assert set(one.history) == set(two.history)
    for name, values in one.history.items():
        np.testing.assert_array_equal(values, two.history[name], err_msg=name)
        assert values.dtype == two.history[name].dtype
    assert one.network is not None
    assert two.network is not None
    np.testing.assert_array_equal(one.network.weights(), two.network.weights())
    np.testing.assert_array_equal(one.network.signs, two.network.signs)
    facts = [{k: v for k, v in run.summary.items() if k != "elapsed_seconds"} for run in (one, two)]
    np.testing.assert_equal(facts[0], facts[1])  # NaN equals NaN here


def interrupt_at(step: int):  # type: ignore[no-untyped-def]
    def callback(state: StepState) -> None:
        if state.step == step:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("method", ["gd", "sgd"])
@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resume_is_exact(problem, tmp_path: Path, method: str, layers: str, dtype: str) -> None:  # type: ignore[no-untyped-def]
    X, y, X_test, y_test = problem
    network = TwoLayerReLU(300, 9, seed=1, dtype=dtype)
    options = {
        "method": method, "layers": layers, "batch_size": 5 if method == "sgd" else None, "seed": 3,
        "X_test": X_test, "y_test": y_test,
    }  # fmt: skip
    whole = train(network, X, y, 20, 0.1, **options)  # type: ignore[arg-type]
    file = tmp_path / "c.npz"
    with pytest.raises(TrainingInterrupted) as caught:
        train(network, X, y, 20, 0.1, checkpoint=file, callbacks=interrupt_at(9), **options)  # type: ignore[arg-type]
    assert caught.value.run.summary["stopped"] == "interrupted"
    assert_same(whole, train(network, X, y, 20, 0.1, resume=file, **options))  # type: ignore[arg-type]
    # resumed once more, with the same file written and read
    with pytest.raises(TrainingInterrupted):
        train(network, X, y, 20, 0.1, resume=file, checkpoint=file, callbacks=interrupt_at(15), **options)  # type: ignore[arg-type]
    assert_same(whole, train(network, X, y, 20, 0.1, resume=file, checkpoint=file, **options))  # type: ignore[arg-type]
    assert_same(whole, train(network, X, y, 20, 0.1, resume=file, **options))  # type: ignore[arg-type]  # nothing left to do
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_resume_between_records(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The checkpoint lies at a step that is not recorded; flips are still counted from the last record."""
    X, y, *_ = problem
    network = TwoLayerReLU(300, 9, seed=1)
    whole = train(network, X, y, 20, 0.8, record_every=7)
    file = tmp_path / "c.npz"
    steps: list[int] = []
    original = np.load  # the checkpoint is read while the run goes on

    def look(state: StepState) -> None:
        if file.exists():
            with original(file) as data:
                steps.append(json.loads(str(data["meta"]))["step"])
        if state.step == 14:
            raise RuntimeError("stop without saving at 14")

    train(network, X, y, 10, 0.8, record_every=7, checkpoint=file, checkpoint_every=5, callbacks=look)
    assert steps == [5, 5]  # at the records of step 7 and 10, before the last save
    resumed = train(network, X, y, 20, 0.8, record_every=7, resume=file)
    np.testing.assert_array_equal(resumed.history["step"], [0, 7, 10, 14, 20])
    for name in whole.history:
        if name != "flips":
            np.testing.assert_array_equal(np.delete(resumed.history[name], 2, axis=0), whole.history[name])


@pytest.mark.parametrize("method", ["gd", "sgd"])
def test_resume_from_a_step_without_record(
    problem, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    from lazygram.training.trainers import GradientDescent, StochasticDescent

    trainer = GradientDescent if method == "gd" else StochasticDescent
    X, y, *_ = problem
    network = TwoLayerReLU(300, 9, seed=1)
    options = {"method": method, "batch_size": 5 if method == "sgd" else None, "record_every": 7}
    whole = train(network, X, y, 20, 0.4, **options)  # type: ignore[arg-type]
    file = tmp_path / "c.npz"
    advance, calls = trainer.advance, []

    def interrupted(self) -> None:  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        advance(self)

    monkeypatch.setattr(trainer, "advance", interrupted)
    with pytest.raises(TrainingInterrupted) as caught:
        train(network, X, y, 20, 0.4, checkpoint=file, **options)  # type: ignore[arg-type]
    assert caught.value.run.summary["steps_done"] == 10
    monkeypatch.undo()
    assert_same(whole, train(network, X, y, 20, 0.4, resume=file, **options))  # type: ignore[arg-type]


def test_network_from_arrays_and_more_steps(problem, tmp_path: Path, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU.from_weights(rng.normal(size=(70, 9)), rng.normal(size=70))
    file = tmp_path / "c.npz"
    train(network, X, y, 8, 0.1, checkpoint=file)
    assert_same(train(network, X, y, 15, 0.1), train(network, X, y, 15, 0.1, resume=file))
    with pytest.raises(ValueError, match="steps: the checkpoint is already at step 8"):
        train(network, X, y, 7, 0.1, resume=file)


def test_a_run_that_was_over_stays_over(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network, file = TwoLayerReLU(200, 9, seed=1), tmp_path / "c.npz"
    for options, why in (
        ({"tolerance": 2.0}, "tolerance"),
        ({"step_size": 50.0, "record_every": 50}, "diverged"),
    ):
        arguments = {"step_size": 0.1, **options}
        run = train(network, X, y, 3000, checkpoint=file, **arguments)  # type: ignore[arg-type]
        assert run.summary["stopped"] == why
        assert 0 < run.summary["steps_done"] < 3000
        assert_same(run, train(network, X, y, 3000, resume=file, **arguments))  # type: ignore[arg-type]


def test_other_runs_are_refused(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X, y, X_test, y_test = problem
    network = TwoLayerReLU(40, 9, seed=1)
    file = tmp_path / "c.npz"
    base = {"X_test": X_test, "y_test": y_test}
    train(network, X, y, 3, 0.1, checkpoint=file, **base)
    cases = [
        (TwoLayerReLU(40, 9, seed=2), X, y, 0.1, base, "its network is"),
        (TwoLayerReLU(41, 9, seed=1), X, y, 0.1, base, "its network is"),
        (TwoLayerReLU(40, 9, seed=1, dtype="float32"), X, y, 0.1, base, "its network is"),
        (TwoLayerReLU(40, 9, seed=1, antisymmetric=True), X, y, 0.1, base, "its weights is"),
        (TwoLayerReLU.from_weights(network.weights(), network.signs), X, y, 0.1, base, "its network is"),
        (network, X + 1e-12, y, 0.1, base, "its data is"),
        (network, X, y[::-1], 0.1, base, "its data is"),
        (network, X[:-1], y[:-1], 0.1, base, "its data is"),
        (network, X, y, 0.2, base, "its step_size is 0.1, here it is 0.2"),
        (network, X, y, 0.1, {**base, "layers": "both"}, "its layers is 'first', here it is 'both'"),
        (network, X, y, 0.1, {**base, "method": "sgd", "batch_size": 3}, "its method is 'gd'"),
        (network, X, np.sign(y), 0.1, {**base, "loss": "logistic", "y_test": None}, "belongs to another run"),
        (network, X, y, 0.1, {**base, "record": "loss"}, "its record is"),
        (network, X, y, 0.1, {}, "its test data is"),
        (network, X, y, 0.1, {"X_test": X_test}, "its test data is"),
        (network, X, y, 0.1, {"X_test": X_test, "y_test": y_test + 1}, "its test data is"),
    ]
    for net, inputs, labels, step, options, text in cases:
        with pytest.raises(ValueError, match=r"resume: .*c\.npz belongs to another run: .*") as caught:
            train(net, inputs, labels, 5, step, resume=file, **options)
        assert text in str(caught.value)
    sgd = {"method": "sgd", "batch_size": 3}
    train(network, X, y, 3, 0.1, checkpoint=file, seed=1, **sgd)
    for options, text in (
        ({"seed": 2}, "its seed is 1, here it is 2"),
        ({"seed": 1, "batch_size": 4}, "its batch_size is 3"),
    ):
        with pytest.raises(ValueError, match=text):
            train(network, X, y, 5, 0.1, resume=file, **{**sgd, **options})


def test_files_that_are_no_checkpoints(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network, file = TwoLayerReLU(40, 9, seed=1), tmp_path / "c.npz"
    with pytest.raises(FileNotFoundError):
        train(network, X, y, 5, 0.1, resume=file)
    run = train(network, X, y, 3, 0.1, checkpoint=file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c\.npz: not a readable \.npz file"):
        train(network, X, y, 5, 0.1, resume=file)
    run.save(file)
    with pytest.raises(ValueError, match=r"resume: .*c\.npz is not a checkpoint of lazygram"):
        train(network, X, y, 5, 0.1, resume=file)
    file.write_bytes(whole)
    arrays = read_npz(file)
    meta = json.loads(str(arrays["meta"]))
    write_npz(file, {**arrays, "meta": np.array(json.dumps({**meta, "format": 99}))})
    with pytest.raises(ValueError, match=r"resume: .* has format 99, this version reads 1"):
        train(network, X, y, 5, 0.1, resume=file)


def test_checkpoint_that_cannot_be_written_keeps_the_run(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from lazygram import TrainingFailed

    X, y, *_ = problem
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    network = TwoLayerReLU(40, 9, seed=1)
    with pytest.raises(TrainingFailed, match=r"failed after step 4: .*no checkpoint was written") as failed:
        train(network, X, y, 4, 0.1, checkpoint=blocked / "c.npz")
    assert isinstance(failed.value.__cause__, OSError)
    assert len(failed.value.run.history["loss"]) == 5
    with pytest.raises(TrainingInterrupted) as interrupted:
        train(network, X, y, 9, 0.1, checkpoint=blocked / "c.npz", callbacks=interrupt_at(2))
    assert "no checkpoint was written" in interrupted.value.run.summary["message"]
    assert len(interrupted.value.run.history["loss"]) == 3


def test_resume_after_kill(problem, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL at any moment: the file is whole, and the run goes on from it to the same end."""
    X, y, *_ = problem
    np.savez(tmp_path / "data.npz", X=X, y=y)
    script = textwrap.dedent("""
        import sys, time
        import numpy as np
        from lazygram import TwoLayerReLU, train
        data = np.load(sys.argv[1] + "/data.npz")
        train(
            TwoLayerReLU(600, 9, seed=1), data["X"], data["y"], 100_000, 0.1, record=["loss", "flips"],
            record_every=10, checkpoint=sys.argv[1] + "/c.npz", checkpoint_every=1, threads=1,
        )
    """)
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    file = tmp_path / "c.npz"
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    step = json.loads(str(read_npz(file)["meta"]))["step"]
    assert step > 0
    network, options = TwoLayerReLU(600, 9, seed=1), {"record": ["loss", "flips"], "record_every": 10}
    assert_same(
        train(network, X, y, step + 25, 0.1, **options),  # type: ignore[arg-type]
        train(network, X, y, step + 25, 0.1, resume=file, **options),  # type: ignore[arg-type]
    )
