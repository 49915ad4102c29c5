"""Ctrl-C: long core calls return within a second, training hands over what it has recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from lazygram import StepState, TrainingFailed, TrainingInterrupted, TwoLayerReLU, _core, train

READY = 'print("ready", flush=True)'

# Each would take long at the lowest level. The second and third are one tile of work: left from inside.
LONG_CALLS = {
    "gram": f"{READY}; lazygram.TwoLayerReLU(2**22, 400, seed=0).gram(np.ones((300, 400)))",
    "one tile of counts": f"""{READY}; lazygram.coactivation_counts(
        lazygram.PackedPatterns._trusted(
            np.broadcast_to(np.zeros((1, 2**21), np.uint64), (128, 2**21)), 2**27))""",
    "one panel of patterns": f"""X = np.ones((2 * 10**6, 50)); {READY}
    lazygram.patterns.patterns_of(np.ones((512, 50)), 512, X, threads=None)""",
    "predict": f"{READY}; lazygram.TwoLayerReLU(2**28, 50, seed=0).predict(np.ones((300, 50)))",
    "set-up of events": f"""X = np.random.default_rng(0).normal(size=(300, 400)); {READY}
    lazygram.train(lazygram.TwoLayerReLU(2**22, 400), X, np.ones(300), 5, 0.1, method="event")""",
    "train": """lazygram.train(
        lazygram.TwoLayerReLU(2**14, 50), np.random.default_rng(0).normal(size=(300, 50)), np.ones(300),
        10**6, 1e-3, record=["loss"], record_every=10**6,
        callbacks=lambda state: print("ready", flush=True))""",
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_sigint_returns_within_a_second(name: str) -> None:
    script = f"""
import time
import numpy as np
import lazygram
lazygram._core.isa_force("baseline")
try:
    {LONG_CALLS[name]}
except KeyboardInterrupt as error:
    print(type(error).__name__, time.time(), flush=True)
"""
    waited = []
    for _ in range(6):  # another process may hold the machine once, hardly six times
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            sent = time.time()
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        kind, when = output.split()
        assert kind == ("TrainingInterrupted" if name == "train" else "KeyboardInterrupt")
        waited.append(float(when) - sent)
        if waited[-1] < 1:
            break
    assert min(waited) < 1


def test_interrupted_training_carries_the_run(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(200, 9, seed=1)
    plain = train(network, X, y, 10, 0.1)

    def interrupt(state: StepState) -> None:
        if state.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="interrupted at step 6") as caught:
        train(network, X, y, 10, 0.1, callbacks=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    run = caught.value.run
    assert run.summary["stopped"] == "interrupted"
    assert run.summary["message"] == "interrupted after step 6"
    assert run.summary["steps_done"] == 6
    for name, values in run.history.items():
        np.testing.assert_array_equal(values, plain.history[name][:7])
    assert run.network is not None
    after = train(network, X, y, 6, 0.1).network
    assert after is not None
    np.testing.assert_array_equal(run.network.weights(), after.weights())


def test_real_signal_leaves_whole_rows_and_weights(rng: np.random.Generator) -> None:
    """SIGINT at arbitrary moments: history and weights are those of some step of the uninterrupted run."""
    X = rng.normal(size=(40, 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y, network = rng.normal(size=40), TwoLayerReLU(2000, 8, seed=1)
    plain = train(network, X, y, 60, 0.2)
    for delay in (0.003, 0.02, 0.05, 0.09):
        timer: list[threading.Timer] = []

        def begin(state: StepState, delay: float = delay, timer: list[threading.Timer] = timer) -> None:
            if not timer:
                timer.append(threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)))
                timer[0].start()

        with pytest.raises(TrainingInterrupted) as caught:
            train(network, X, y, 10**6, 0.2, callbacks=begin)
        run = caught.value.run
        assert len({len(values) for values in run.history.values()}) == 1
        rows = min(len(run.history["step"]), 61)
        for name, values in run.history.items():
            np.testing.assert_array_equal(values[:rows], plain.history[name][:rows], err_msg=name)
        done = run.summary["steps_done"]
        assert done - 1 <= run.history["step"][-1] <= done
        if done <= 60:
            after = train(network, X, y, done, 0.2, record=["loss"]).network
            assert after is not None
            assert run.network is not None
            np.testing.assert_array_equal(run.network.weights(), after.weights())


def test_callback_that_raises(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem

    def fail(state: StepState) -> None:
        if state.step == 3:
            raise ZeroDivisionError("mine")

    with pytest.raises(TrainingFailed, match="failed after step 3: mine") as caught:
        train(TwoLayerReLU(50, 9), X, y, 10, 0.1, callbacks=fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.run.summary["stopped"] == "failed"
    np.testing.assert_array_equal(caught.value.run.history["step"], [0, 1, 2, 3])


def test_core_reports_the_signal_itself() -> None:
    """In this process too: the core polls, raises KeyboardInterrupt, and works again afterwards."""
    network, X = TwoLayerReLU(2**24, 20, seed=0), np.ones((60, 20))
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        network.predict(X)
    assert TwoLayerReLU(100, 20).predict(X).shape == (60,)
    assert _core.isa_used() in _core.isa_available()
