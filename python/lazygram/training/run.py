"""`train`: checks the request, runs the chosen method, records, checkpoints, and returns a `Run`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from lazygram.analysis.spectrum import lambda_max, lambda_min, operator_norm
from lazygram.arrays import (
    Array,
    Float64,
    as_matrix,
    as_vector,
    check_nonnegative_int,
    check_positive_float,
    check_positive_int,
)
from lazygram.files import read_npz, write_npz
from lazygram.gram import gram_infinite, gram_of_patterns
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads
from lazygram.patterns import PackedPatterns
from lazygram.random import seed_to_int
from lazygram.training.checkpoints import (
    Checkpoint,
    checkpoint_setting,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from lazygram.training.dense import DenseState, batch_indices
from lazygram.training.events import EVENT_DEFAULT, EventState, check_event_network
from lazygram.training.history import History, Recorder, record_steps, recorded_quantities
from lazygram.training.losses import Loss, get_loss
from lazygram.training.reach import Forecast, choose_method, forecast
from lazygram.training.request import check_callbacks, check_deep_request, number_or_auto

if TYPE_CHECKING:
    from lazygram.networks.deep import DeepNetwork
    from lazygram.training.flow import FlowState
    from lazygram.training.schedules import StepSize

__all__ = ["METHODS", "Run", "StepState", "TrainingFailed", "TrainingInterrupted", "train"]

METHODS = ("gd", "sgd", "flow", "event", "auto")


@dataclass(frozen=True)
class StepState:
    """What a callback sees at a recorded step."""

    step: int
    steps: int
    loss: float
    predictions: Float64
    values: dict[str, Any]
    """Everything recorded at this step, by name."""
    elapsed: float
    """Seconds since the run began, earlier parts of a resumed run included."""


@dataclass
class Run:
    """Result of :func:`train`."""

    history: History
    """Recorded quantities by name; the first axis is the recorded steps."""
    summary: dict[str, Any]
    """Plain facts about the run: method, sizes, step size, why it stopped, ..."""
    network: Any = field(default=None, repr=False)
    """The trained network; None after :meth:`load`, and above half a gigabyte of weights with "event"."""
    event: EventState | None = field(default=None, repr=False)
    """State of method "event" at the end: weights of any rows, H, patterns, distances."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write history and summary (not the weights) to an .npz file, whole or not at all."""
        write_npz(path, {**self.history, "summary": np.array(json.dumps(self.summary))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        ValueError
            The file holds something else.
        """
        arrays = read_npz(path)
        if "summary" not in arrays:
            raise ValueError(f"{os.fspath(path)}: does not hold a run")
        summary = json.loads(str(arrays.pop("summary")))
        return cls(arrays, summary)


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during :func:`train`; `run` holds everything recorded until then."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted at step {run.summary['steps_done']}")
        self.run = run


class TrainingFailed(RuntimeError):
    """A callback or the trainer raised; `run` holds what was recorded, the cause is chained."""

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run


def train(
    network: TwoLayerReLU | DeepNetwork,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    steps: int,
    step_size: StepSize = "auto",
    *,
    loss: str | Loss = "quadratic",
    reduction: Literal["sum", "mean"] = "sum",
    method: str = "gd",
    layers: Literal["first", "both"] = "first",
    layer_step_sizes: Sequence[float] | None = None,
    batch_size: int | None = None,
    seed: int | np.random.Generator = 0,
    record: str | Iterable[str] = "default",
    record_every: int | Iterable[int] = 1,
    X_test: npt.ArrayLike | None = None,
    y_test: npt.ArrayLike | None = None,
    tolerance: float | None = None,
    callbacks: Callable[[StepState], Any] | Sequence[Callable[[StepState], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> Run:
    """Train a network and record how its Gram matrices, weights and predictions move.

    Gradient descent on ``L(W) = sum_i l(f(x_i), y_i)`` (no 1/n), in the dtype of the network; predictions and
    losses are float64. With the quadratic loss and ``layers="first"`` the training of a two-layer network is
    that of the text; all layers of a deep network are trained.

    Parameters
    ----------
    network : TwoLayerReLU or deep network
        Where training starts; it is not changed. Deep networks (:mod:`lazygram.networks`) are trained in
        their own array library, on their device.
    X : array_like, shape (n, dim)
        Training examples, no zero rows for a two-layer network.
    y : array_like, shape (n,)
        Labels.
    steps : int
        Number of steps; 0 records the initial state only.
    step_size : float, "auto", callable or list of float
        eta in ``w_r <- w_r - eta dL/dw_r``. "auto" is 1 / (curvature of the loss x largest eigenvalue of the
        Gram matrix at initialisation), half the limit of stability of the frozen kernel; for SGD the
        eigenvalue is bounded for the worst batch. For deep networks also a schedule: a function of the step,
        or one number for each step.
    loss : {"quadratic", "logistic", "hinge", "squared_hinge", "exponential"} or Loss
        See :mod:`lazygram.training.losses`.
    reduction : {"sum", "mean"}
        Deep networks: the loss is the sum over examples or, as in Zou et al., the mean.
    method : {"gd", "sgd", "flow", "event", "auto"}
        Full-batch gradient descent; minibatch SGD (gradient of the batch times n / batch_size, batches
        uniform without replacement, fresh at every step); gradient flow, integrated to times
        k * step_size with a local error of 1e-5 (float64 only, small networks). "event": the trajectory of
        "gd" (with `batch_size`: of "sgd"), exact up to rounding, at a cost of n^2 a step plus the pairs
        (neuron, example) that may change sign; first layer only, a_r = +-1. It pays for wide networks and
        many steps; "auto" chooses between "gd" and "event" by estimated cost and says so in
        ``summary["choice"]``. Deep networks have "gd", "sgd" and "flow".
    layers : {"first", "both"}
        What is trained of a two-layer network: the hidden layer as in the text, or the output layer too.
    layer_step_sizes : list of float, optional
        Deep networks: factor on the step size for each entry of ``network.parameters``; 0 freezes it.
    batch_size : int, optional
        Examples of an SGD step; needed for ``method="sgd"``, possible for "event", refused otherwise.
    seed : int or numpy.random.Generator
        Of the batches.
    record : "all", "default" or list of str
        Quantities to record, from ``lazygram.training.history.QUANTITIES``; the loss always is. "default" is
        all of them; for "event" loss, predictions, pattern_change and flips. The spectral ones (lambda_*,
        gram_change) cost O(n^3) at every recorded step, the distances with "event" a forward pass.
    record_every : int or list of int
        Record every so many steps, or at the given ones; step 0 and the last are always recorded.
    X_test, y_test : array_like, optional
        Test examples whose predictions are recorded ("test_predictions"), and their labels ("test_loss").
    tolerance : float, optional
        Stop at the first step with loss <= tolerance (for SGD: at a recorded step).
    callbacks : callable or list of callables
        Called as ``callback(state: StepState)`` at every recorded step; a true return value stops the run.
    checkpoint : path, optional
        File that is rewritten every `checkpoint_every` steps, at the end, and when the run is interrupted.
    checkpoint_every : int, optional
        Default: only at the end and when interrupted.
    resume : path, optional
        Go on from a checkpoint of the same run; a missing file is an error. The continued run equals an
        uninterrupted one bit for bit. `steps` counts from the very beginning and may be larger than before;
        the last step of the earlier part then stays in the history.
    threads : int, optional
        Threads of the core; all by default. The trajectory does not depend on it. For a deep network of NumPy
        arrays: threads of its BLAS.
    memory_limit : int, optional
        Bytes: method "event" refuses to start, or to go on, when it expects to need more.

    Returns
    -------
    Run
        ``run.history`` maps names to arrays: "step", "time" (step x step size), "loss", "predictions" (k, n),
        "lambda_min" and "lambda_max" of H(k) (first layer), "gram_change" = ||H(k) - H(0)||_2,
        "pattern_change" (fraction of activation bits that differ from step 0), "flips" (bits that differ from
        the previously recorded step), "max_distance" and "mean_distance" of ||w_r(k) - w_r(0)||_2,
        "test_predictions", "test_loss". ``run.summary`` has lambda0 = lambda_min(H_inf) and
        gram_initial_distance = ||H(0) - H_inf||_2 when these are recorded, and why the run stopped; for
        method "event" "engine": pairs tracked, evaluated, flipped, and seconds by phase.

        Deep networks record "step_size" (the one that led to the step), "lambda_min", "lambda_max" and
        "gram_change" of the empirical NTK, and per parameter, as arrays (records, layers): "layer_lambda_min"
        and "layer_gram_change" of G^(h)(k), "layer_distance" = ||W(k) - W(0)||_F, "layer_movement" = that
        over ||W(0)||_F, "layer_movement_op" = ||W(k) - W(0)||_2, "gradient_norm" = ||dL/dW||_F;
        "pattern_change" is (records, hidden layers).

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.
    TrainingInterrupted
        Ctrl-C; a KeyboardInterrupt that carries the run so far.
    TrainingFailed
        A callback raised; carries the run so far.

    Notes
    -----
    A loss that is no longer finite stops the run with ``summary["stopped"] == "diverged"`` and a message; the
    history up to and including that step is kept.

    References
    ----------
    Du, thesis (2019), ch. 2, gradient descent on the first layer and definition of H(k).
    """
    if not isinstance(network, TwoLayerReLU):
        check_deep_request(network, layers, memory_limit)
        from lazygram.training.deep import DeepTrainer  # needs scipy.special, which the rest does without

        return DeepTrainer(
            network, X, y, steps, step_size, loss=loss, reduction=reduction, method=method,
            batch_size=batch_size, seed=seed, layer_step_sizes=layer_step_sizes, record=record,
            record_every=record_every, X_test=X_test, y_test=y_test, tolerance=tolerance,
            callbacks=callbacks, checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume,
            threads=threads,
        ).run()  # fmt: skip
    if reduction != "sum":
        raise ValueError(f"reduction: a two-layer network is trained on the sum, got {reduction!r}")
    if layer_step_sizes is not None:
        raise ValueError("layer_step_sizes: only for deep networks")
    return _Trainer(
        network, X, y, steps, number_or_auto(step_size), loss, method, layers, batch_size, seed, record,
        record_every, X_test, y_test, tolerance, callbacks, checkpoint, checkpoint_every, resume, threads,
        memory_limit,
    ).run()  # fmt: skip


class _Trainer:
    """One call of `train`: checked request, state of the method, recorder."""

    def __init__(
        self,
        network: TwoLayerReLU,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        steps: int,
        step_size: float | Literal["auto"],
        loss: str | Loss,
        method: str,
        layers: str,
        batch_size: int | None,
        seed: int | np.random.Generator,
        record: str | Iterable[str],
        record_every: int | Iterable[int],
        X_test: npt.ArrayLike | None,
        y_test: npt.ArrayLike | None,
        tolerance: float | None,
        callbacks: Callable[[StepState], Any] | Sequence[Callable[[StepState], Any]],
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: int | None,
        resume: str | os.PathLike[str] | None,
        threads: int | None,
        memory_limit: int | None,
    ) -> None:
        if not isinstance(network, TwoLayerReLU):
            raise TypeError(f"network: a TwoLayerReLU is needed, got {type(network).__name__}")
        self.network = network
        self.X = as_matrix(X, "X", dtype=network.dtype, columns=network.dim, allow_zero_rows=False)
        n = self.X.shape[0]
        self.y: Float64 = as_vector(y, "y", length=n, dtype=np.float64)
        self.steps = check_nonnegative_int(steps, "steps")
        self.loss = get_loss(loss)
        self.loss.check_labels(self.y)
        if method not in METHODS:
            raise ValueError(f"method: one of {', '.join(METHODS)} is needed, got {method!r}")
        self.method = method
        if layers not in ("first", "both"):
            raise ValueError(f"layers: 'first' or 'both' is needed, got {layers!r}")
        self.layers = layers
        self.seed = seed_to_int(seed)
        self.X_test, self.y_test = self._check_test(X_test, y_test)
        check_threads(threads)
        self.threads = threads
        self.memory_limit = None if memory_limit is None else check_positive_int(memory_limit, "memory_limit")
        auto = isinstance(step_size, str)
        if auto and step_size != "auto":
            raise ValueError(f"step_size: a positive number or 'auto' is needed, got {step_size!r}")
        given = None if isinstance(step_size, str) else check_positive_float(step_size, "step_size")
        self.facts: dict[str, Any] = {}
        self.forecast: Forecast | None = None
        if method == "auto":
            if batch_size is not None:
                raise ValueError("batch_size: only for methods 'sgd' and 'event', got method 'auto'")
            self.method, self.forecast, self.facts["choice"] = choose_method(
                network, self.X, self.y, self._passengers(), self.loss, self.steps, given,
                layers=layers, resumed=None if resume is None else checkpoint_setting(resume, "method"),
                threads=threads,
            )  # fmt: skip
        elif method == "event":
            check_event_network(network, layers)
        self.batch_size = self._check_batch(batch_size, n)
        self.tolerance = None if tolerance is None else check_positive_float(tolerance, "tolerance")
        self.callbacks = check_callbacks(callbacks)
        self.checkpoint = checkpoint
        self.checkpoint_every = (
            None if checkpoint_every is None else check_positive_int(checkpoint_every, "checkpoint_every")
        )
        if checkpoint_every is not None and checkpoint is None:
            raise ValueError("checkpoint_every: needs a file in `checkpoint`")
        if method == "flow":
            if network.dtype != np.float64:
                raise ValueError("method: 'flow' needs a float64 network")
            if checkpoint is not None or resume is not None:
                raise ValueError("checkpoint: 'flow' cannot be checkpointed; use a small step of 'gd'")

        self.began = time.perf_counter()
        self.elapsed_before = 0.0
        if self.method == "event" and isinstance(record, str) and record == "default":
            record = EVENT_DEFAULT
        quantities = recorded_quantities(record)
        self.records = set(record_steps(record_every, self.steps))
        self.state: DenseState | EventState
        if self.method == "event":
            self._start_event(quantities, given, resume)
            return

        # The reference is always step 0 of the run, also when it is resumed.
        patterns_0 = network.patterns(self.X, threads=threads)
        gram_0: Float64 | None = None
        recorder = Recorder(quantities, self.X, threads, 0.0, self.X_test is not None)
        if recorder.wants_gram or auto:
            gram_0 = gram_of_patterns(patterns_0, self.X, threads=threads)
        if recorder.wants_gram:
            assert gram_0 is not None
            self._note_gram(gram_0)
        self.step_size = self._auto_step_size(gram_0) if given is None else given
        recorder.step_size = self.step_size
        recorder.start(patterns_0, gram_0)
        self.recorder = recorder

        step, weights = 0, None
        if resume is not None:
            loaded = load_checkpoint(resume, self._settings, self.steps)
            weights = (loaded.W, loaded.a)
            step = loaded.step
            self.elapsed_before = loaded.elapsed
            previous = (
                PackedPatterns(loaded.previous_bits, network.width)
                if loaded.previous_bits.size
                else patterns_0
            )
            recorder.restore(loaded.history, previous)
        self.state = self._make_state(step, weights)

    def _note_gram(self, gram_0: Float64) -> None:
        """Facts of the summary that compare H(0) with its limit."""
        gram_limit = gram_infinite(self.X.astype(np.float64), threads=self.threads)
        self.facts["lambda0"] = lambda_min(gram_limit)
        self.facts["gram_initial_distance"] = operator_norm(gram_0 - gram_limit)

    def _passengers(self) -> Array:
        """Test points that ride along with the examples."""
        return self.X[:0] if self.X_test is None else self.X_test

    def _start_event(
        self,
        quantities: tuple[str, ...],
        step_size: float | None,
        resume: str | os.PathLike[str] | None,
    ) -> None:
        """State and recorder of method "event"; its one forward pass gives H(0) as well."""
        recorder = Recorder(quantities, self.X, self.threads, 0.0, self.X_test is not None)
        recorder.width = self.network.width
        self.recorder = recorder
        loaded = None
        if resume is not None:
            self.step_size = step_size or float(checkpoint_setting(resume, "step_size"))
            loaded = load_checkpoint(resume, self._settings, self.steps)
            self.elapsed_before = loaded.elapsed
            recorder.restore(loaded.history, None)
            reach = loaded.engine["reach"]
        else:
            if self.forecast is None:
                n = self.X.shape[0]
                self.forecast = forecast(
                    self.network, self.X, self.y, self._passengers(), self.loss, self.steps, step_size,
                    rate=1.0 if self.batch_size is None else n / self.batch_size, threads=self.threads,
                )  # fmt: skip
            reach = self.forecast.reach
        state = EventState(
            self.network,
            self.X,
            X_test=self._passengers(),
            reach=reach,
            memory_limit=self.memory_limit,
            threads=self.threads,
            snapshot=None if loaded is None else loaded.engine,
        )
        self.state = state
        gram_0 = loaded.engine.get("gram_0") if loaded is not None else None
        if gram_0 is None and (recorder.wants_gram or step_size is None):
            gram_0 = state.gram()
        if loaded is None:
            self.step_size = self._auto_step_size(gram_0) if step_size is None else step_size
        recorder.step_size = self.step_size
        # Flips over several steps need a copy of the bits. Without one until now every step was recorded, so
        # the copy is due now, or right after the present step is recorded.
        gaps = np.diff(sorted(self.records))
        state.keeps_marks = "flips" in quantities and gaps.size > 0 and int(gaps.max()) > 1
        last = recorder.rows.get("step", [0])[-1]
        if state.keeps_marks and not state.marked and last == state.step:
            state.mark()
        if recorder.wants_gram:
            assert gram_0 is not None
            self._note_gram(gram_0)
            recorder.start(None, gram_0)

    def _check_batch(self, batch_size: int | None, n: int) -> int | None:
        if self.method not in ("sgd", "event"):
            if batch_size is not None:
                raise ValueError(f"batch_size: only for method 'sgd', got method {self.method!r}")
            return None
        if batch_size is None and self.method == "event":
            return None
        if batch_size is None:
            raise ValueError("batch_size: is needed for method 'sgd'")
        size = check_positive_int(batch_size, "batch_size")
        if size > n:
            raise ValueError(f"batch_size: at most the number of examples, {n}, got {size}")
        return size

    def _check_test(
        self, X_test: npt.ArrayLike | None, y_test: npt.ArrayLike | None
    ) -> tuple[Array | None, Float64 | None]:
        if X_test is None:
            if y_test is not None:
                raise ValueError("y_test: needs X_test")
            return None, None
        x = as_matrix(X_test, "X_test", dtype=self.network.dtype, columns=self.network.dim)
        if y_test is None:
            return x, None
        y: Float64 = as_vector(y_test, "y_test", length=x.shape[0], dtype=np.float64)
        return x, y

    def _auto_step_size(self, gram_0: Float64 | None) -> float:
        assert gram_0 is not None
        curvature = self.loss.curvature
        if not np.isfinite(curvature):
            raise ValueError("step_size: 'auto' needs a loss of bounded curvature; give a number")
        # H is the Gram matrix of the gradient for |a_r| = 1; larger output weights scale it up.
        scale = float(np.square(np.abs(self.network.signs).max(), dtype=np.float64))
        largest = scale * lambda_max(gram_0)
        trace_bound = scale * float(gram_0.diagonal().max())
        if self.layers == "both":
            second = gram_infinite(self.X.astype(np.float64), trained="second", threads=self.threads)
            largest += lambda_max(second)
            trace_bound += float(second.diagonal().max())
        if self.batch_size is not None:
            # Any batch: at most the whole spectrum, at most the trace of the batch's block; gradient x n / B.
            n = self.X.shape[0]
            largest = min(largest, self.batch_size * trace_bound) * n / self.batch_size
        if not largest > 0:
            raise ValueError("step_size: 'auto' found a zero Gram matrix; give a number")
        return 1.0 / (curvature * largest)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with; hashes the data, so it is made once."""
        return {
            "network": repr(self.network),
            "weights": fingerprint(self.network.source, self.network.signs)
            if self.network.seed is None
            else f"antisymmetric={self.network.antisymmetric}",
            "data": fingerprint(self.X, self.y),
            "test data": fingerprint(*(x for x in (self.X_test, self.y_test) if x is not None)),
            "loss": self.loss.name,
            "method": self.method,
            "layers": self.layers,
            "batch_size": self.batch_size,
            "seed": self.seed if self.batch_size is not None else None,
            "step_size": self.step_size,
            "record": list(self.recorder.quantities),
        }

    def _make_state(self, step: int, weights: tuple[Array, Array] | None) -> DenseState:
        if self.method == "flow":
            # Imported here: the integrators of SciPy would double the time of `import lazygram`.
            from lazygram.training.flow import FlowState

            return FlowState(
                self.network,
                self.X,
                self.y,
                self.loss,
                train_output=self.layers == "both",
                X_test=self.X_test,
                threads=self.threads,
            )
        return DenseState(
            self.network,
            self.X,
            train_output=self.layers == "both",
            X_test=self.X_test,
            threads=self.threads,
            step=step,
            weights=weights,
        )

    def run(self) -> Run:
        """All steps; history survives whatever ends them."""
        stopped, message = "steps", ""
        try:
            stopped, message = self._loop()
            self._save_checkpoint()
        except KeyboardInterrupt:
            message = f"interrupted after step {self.state.step}" + self._save_what_is_there()
            raise TrainingInterrupted(self._result("interrupted", message)) from None
        except Exception as error:
            message = f"failed after step {self.state.step}: {error}" + self._save_what_is_there()
            raise TrainingFailed(message, self._result("failed", message)) from error
        return self._result(stopped, message)

    def _save_what_is_there(self) -> str:
        """Checkpoint of a run that ended early; a failure to write it must not hide why, nor lose the run."""
        try:
            self._save_checkpoint()
        except OSError as error:
            return f"; no checkpoint was written: {error}"
        return ""

    def _loop(self) -> tuple[str, str]:
        seen = self.recorder.rows.get("step", [-1])[-1]  # a resumed run has recorded its step already
        while True:
            new = self.state.step != seen
            outcome = self._look(new)
            if outcome is not None:
                return outcome
            if new and self._checkpoint_due():
                self._save_checkpoint()
            if self.state.step == self.steps:
                return "steps", ""
            self._advance()

    def _look(self, new: bool) -> tuple[str, str] | None:
        """Record a new step, and see whether the run is over."""
        recording = self.state.step in self.records
        if self.method == "sgd" and isinstance(self.state, DenseState):
            if not recording:
                return None
            self.state.forward()  # SGD steps see only their batch
        loss = self.loss.value(self.state.u, self.y)
        diverged = not np.isfinite(loss)
        done = self.tolerance is not None and loss <= self.tolerance
        stop = False
        if new and (recording or diverged or done):
            stop = self._record(loss)
        if diverged:
            return "diverged", (
                f"the loss is {loss} at step {self.state.step}: step size {self.step_size:.6g} is too large"
            )
        if done:
            return "tolerance", f"loss {loss:.6g} <= {self.tolerance:.6g} at step {self.state.step}"
        return ("callback", f"a callback asked to stop at step {self.state.step}") if stop else None

    def _record(self, loss: float) -> bool:
        test_loss = None
        if self.y_test is not None:
            test_loss = self.loss.value(self.state.test_predictions(), self.y_test)
        return self._tell(loss, self.recorder.record(self.state.step, loss, test_loss, self.state))

    def _tell(self, loss: float, values: dict[str, Any]) -> bool:
        """Show a recorded step to the callbacks; whether one of them asks to stop."""
        shown = {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in values.items()}
        state = StepState(self.state.step, self.steps, loss, self.state.u.copy(), shown, self._elapsed())
        wishes = [
            bool(callback(state)) for callback in self.callbacks
        ]  # each is called, whatever the others say
        return any(wishes)

    def _advance(self) -> None:
        state = self.state
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported by `_look`
            if isinstance(state, EventState):
                state.advance(self._event_residual(state), self.step_size)
            elif self.method == "flow":
                following = min(k for k in self.records if k > state.step)
                cast("FlowState", state).advance_to(following, self.step_size)
            elif self.batch_size is not None:
                n = self.X.shape[0]
                batch = batch_indices(self.seed, state.step, n, self.batch_size)
                u, bits = state.forward_batch(batch)
                rho = self.loss.derivative(u, self.y[batch]) * (n / self.batch_size)
                state.advance_batch(batch, rho, bits, self.step_size)
            else:
                state.advance(self.loss.derivative(state.u, self.y), self.step_size)

    def _event_residual(self, state: EventState) -> Float64:
        if self.batch_size is None:
            return self.loss.derivative(state.u, self.y)
        # The batches of method "sgd": the same generator, the same scale, no residual outside.
        n = self.X.shape[0]
        batch = batch_indices(self.seed, state.step, n, self.batch_size)
        rho = np.zeros(n)
        rho[batch] = self.loss.derivative(state.u[batch], self.y[batch]) * (n / self.batch_size)
        return rho

    def _checkpoint_due(self) -> bool:
        every = self.checkpoint_every
        step = self.state.step
        return every is not None and step > 0 and step % every == 0

    def _save_checkpoint(self) -> None:
        if self.checkpoint is None:
            return
        engine: dict[str, Array] = {}
        if isinstance(self.state, EventState):
            W = a = np.empty(0, self.network.dtype)
            engine = self.state.snapshot()
            if self.recorder.gram_0 is not None:
                engine["gram_0"] = self.recorder.gram_0
        else:
            W, a = self.state.weights
        previous = self.recorder.previous
        save_checkpoint(
            self.checkpoint,
            Checkpoint(
                self._settings,
                self.state.step,
                W,
                a,
                np.empty((0, 0), np.uint64) if previous is None else previous.bits,
                self.recorder.history(),
                self._elapsed(),
                engine,
            ),
        )

    def _elapsed(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    def _result(self, stopped: str, message: str) -> Run:
        history = self.recorder.history()
        losses = history.get("loss", np.empty(0))
        summary = {
            "method": self.method,
            "loss": self.loss.name,
            "layers": self.layers,
            "width": self.network.width,
            "dim": self.network.dim,
            "n": int(self.X.shape[0]),
            "dtype": str(self.network.dtype),
            "seed": self.network.seed,
            "batch_size": self.batch_size,
            "step_size": self.step_size,
            "steps": self.steps,
            "steps_done": self.state.step,
            "stopped": stopped,
            "message": message,
            "initial_loss": float(losses[0]) if losses.size else None,
            "final_loss": float(losses[-1]) if losses.size else None,
            "elapsed_seconds": self._elapsed(),
            **self.facts,
        }
        state = self.state
        if isinstance(state, EventState):
            summary["engine"] = {**state.stats, "planned_bytes": state.plan["total"]}
            return Run(history, summary, state.network(), state)
        return Run(history, summary, state.network())
