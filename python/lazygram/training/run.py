"""`train`: checks the request, runs the chosen method, records, checkpoints, and returns a `Run`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.files import read_npz, write_npz
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.training.checkpoints import Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from lazygram.training.events import EventState
from lazygram.training.history import History
from lazygram.training.losses import Loss
from lazygram.training.request import METHODS, Request, checked_request
from lazygram.training.trainers import make_trainer

__all__ = ["METHODS", "Run", "StepState", "TrainingFailed", "TrainingInterrupted", "train"]


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
    network: TwoLayerReLU | None = field(default=None, repr=False)
    """The trained network; None after :meth:`load`. With "event" its weights are made when they are asked
    for, which costs a forward pass, and it is None where they would take more than half a gigabyte."""
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


class _EventRun(Run):
    """A run whose weights exist on request only."""

    _made: TwoLayerReLU | None = None

    @property
    def network(self) -> TwoLayerReLU | None:
        if self._made is None and self.event is not None:
            self._made = self.event.network()
        return self._made

    @network.setter
    def network(self, value: TwoLayerReLU | None) -> None:
        self._made = value


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
    network: TwoLayerReLU,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    steps: int,
    step_size: float | Literal["auto"] = "auto",
    *,
    loss: str | Loss | Callable[[Float64, Float64], npt.ArrayLike] = "quadratic",
    method: str = "gd",
    layers: Literal["first", "both"] = "first",
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
    distance_every: int | Iterable[int] | None = None,
    spectra: Literal["auto", "exact"] = "auto",
    flow_tolerance: float = 1e-5,
    progress: Callable[[str, float], None] | None = None,
) -> Run:
    """Train a two-layer ReLU network and record how its Gram matrix and predictions move.

    Gradient descent on ``L(W) = sum_i l(f(x_i), y_i)`` (no 1/n), in the dtype of the network; predictions and
    losses are float64. With the quadratic loss and ``layers="first"`` this is the training of the text.

    Parameters
    ----------
    network : TwoLayerReLU
        Where training starts; it is not changed.
    X : array_like, shape (n, dim)
        Training examples, no zero rows.
    y : array_like, shape (n,) or (n, outputs)
        Labels; for several outputs also n integers 0 .. outputs-1, which become one-hot rows.
    steps : int
        Number of steps; 0 records the initial state only.
    step_size : float or "auto"
        eta in ``w_r <- w_r - eta dL/dw_r``. "auto" is 1 / (curvature of the loss x largest eigenvalue of the
        Gram matrix at initialisation), half the limit of stability of the frozen kernel; for SGD the
        eigenvalue is bounded for the worst batch.
    loss : {"quadratic", "logistic", "cross-entropy"}, Loss or callable
        See :mod:`lazygram.training.losses`; a function of (u, y) stands for dL/du, the recorded loss is then
        nan (give a :class:`DerivativeLoss` to name a value, too). "cross-entropy" (of the softmax) needs
        several outputs.
    method : {"gd", "sgd", "flow", "event", "event-flow", "auto"}
        Full-batch gradient descent; minibatch SGD (gradient of the batch times n / batch_size, batches
        uniform without replacement, fresh at every step); gradient flow, integrated to times
        k * step_size with a local error of `flow_tolerance` (float64 only, small networks). "event": the
        trajectory of "gd" (with `batch_size`: of "sgd"), exact up to rounding, at a cost of n^2 a step plus
        the pairs (neuron, example) that may change sign; first layer only. It pays for wide networks and
        many steps; "auto" chooses between "gd" and "event" by estimated cost and says so in
        ``summary["choice"]``. "event-flow": gradient flow in adaptive steps of the same engine, for wide
        networks of one output with a_r = +-1; ``summary["flow"]`` has their number and estimated error.
    layers : {"first", "both"}
        What is trained: the hidden layer as in the text, or the output layer too.
    batch_size : int, optional
        Examples of an SGD step; needed for ``method="sgd"``, possible for "event", refused otherwise.
    seed : int or numpy.random.Generator
        Of the batches.
    record : "all", "default" or list of str
        Quantities to record, from ``lazygram.training.history.QUANTITIES``; the loss always is. "default" is
        all of them; for "event" loss, predictions, pattern_change, flips and max_distance_bound, and the
        spectral ones (lambda_*, gram_change) where they are estimated to cost at most a tenth of the run. The
        distances cost "event" a forward pass.
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
        Threads of the core; all by default. The trajectory does not depend on it.
    memory_limit : int, optional
        Bytes: method "event" refuses to start, or to go on, when it expects to need more.
    distance_every : int or list of int, optional
        Compute recorded distances at these steps only, nan at the others; default: at every recorded step.
    spectra : {"auto", "exact"}
        "exact": every recorded spectrum by LAPACK, O(n^3) each. "auto" does so up to n = 500, and iterates
        above from the vectors of the last recorded step (:class:`lazygram.analysis.TrackedSpectrum`).
    flow_tolerance : float
        Of "flow": relative local error of the weights in a step. Of "event-flow": local error of the
        predictions in a step, relative to the largest initial residual.
    progress : callable, optional
        ``progress(what, share)``: called by method "event" now and then inside the forward pass and long
        steps, which no callback sees.

    Returns
    -------
    Run
        ``run.history`` maps names to arrays: "step", "time" (step x step size), "loss", "predictions" (k, n),
        "lambda_min" and "lambda_max" of H(k) (first layer), "gram_change" = ||H(k) - H(0)||_2,
        "pattern_change" (fraction of activation bits that differ from step 0), "flips" (bits that differ from
        the previously recorded step), "max_distance" and "mean_distance" of ||w_r(k) - w_r(0)||_2,
        "max_distance_bound" (never below the former; only when named, or by default with "event"),
        "test_predictions", "test_loss". Predictions of several outputs are (k, n, outputs). ``run.summary``
        has lambda0 = lambda_min(H_inf) and gram_initial_distance = ||H(0) - H_inf||_2 when these are
        recorded, and why the run stopped; for method "event" "engine": pairs tracked, evaluated, flipped,
        and seconds by phase.

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
    request = checked_request(
        network, X, y, steps, step_size, loss=loss, method=method, layers=layers, batch_size=batch_size,
        seed=seed, record=record, record_every=record_every, X_test=X_test, y_test=y_test,
        tolerance=tolerance, callbacks=callbacks, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every, resume=resume, threads=threads, memory_limit=memory_limit,
        distance_every=distance_every, spectra=spectra,
        flow_tolerance=flow_tolerance, progress=progress,
    )  # fmt: skip
    return _Course(request).run()


class _Course:
    """The course of one call of `train`: steps, records, checkpoints, and what is left when it ends."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.began = time.perf_counter()
        self.elapsed_before = 0.0
        self.trainer = make_trainer(request)
        self.recorder = self.trainer.recorder
        self.trainer.begin(self._load)

    def run(self) -> Run:
        """All steps; history survives whatever ends them."""
        stopped, message = "steps", ""
        try:
            stopped, message = self._loop()
            self._save_checkpoint()
        except KeyboardInterrupt:
            message = f"interrupted after step {self.trainer.step}" + self._save_what_is_there()
            raise TrainingInterrupted(self._result("interrupted", message)) from None
        except Exception as error:
            message = f"failed after step {self.trainer.step}: {error}" + self._save_what_is_there()
            raise TrainingFailed(message, self._result("failed", message)) from error
        return self._result(stopped, message)

    def _loop(self) -> tuple[str, str]:
        seen = self.recorder.rows.get("step", [-1])[-1]  # a resumed run has recorded its step already
        while True:
            new = self.trainer.step != seen
            outcome = self._look(new)
            if outcome is not None:
                return outcome
            if new and self._checkpoint_due():
                self._save_checkpoint()
            if self.trainer.step == self.request.steps:
                return "steps", ""
            self._advance()

    def _advance(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported by `_look`
            self.trainer.advance()

    def _look(self, new: bool) -> tuple[str, str] | None:
        """Record a new step, and see whether the run is over."""
        request, step = self.request, self.trainer.step
        recording = step in request.records
        if not self.trainer.look(recording):
            return None
        u = self.trainer.state.u
        loss = request.loss.value(u, request.y)
        # A loss that is known by its derivative alone has no value; then the predictions tell.
        diverged = not np.isfinite(loss) and not (np.isnan(loss) and bool(np.isfinite(u).all()))
        done = request.tolerance is not None and loss <= request.tolerance
        stop = False
        if new and (recording or diverged or done):
            stop = self._record(loss)
        if diverged:
            return "diverged", (
                f"the loss is {loss} at step {step}: step size {self.trainer.step_size:.6g} is too large"
            )
        if done:
            return "tolerance", f"loss {loss:.6g} <= {request.tolerance:.6g} at step {step}"
        return ("callback", f"a callback asked to stop at step {step}") if stop else None

    def _record(self, loss: float) -> bool:
        request, trainer = self.request, self.trainer
        test_loss = None
        if request.y_test is not None:
            test_loss = request.loss.value(trainer.state.test_predictions(), request.y_test)
        values = self.recorder.record(trainer.step, loss, test_loss, trainer.state)
        shown = {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in values.items()}
        u = trainer.state.u.copy()
        state = StepState(trainer.step, request.steps, loss, u, shown, self._elapsed())
        wishes = [
            bool(callback(state)) for callback in request.callbacks
        ]  # each is called, whatever the others say
        return any(wishes)

    def _load(self, step_size: float) -> Checkpoint | None:
        """The checkpoint to go on from, if one was named."""
        self.trainer.step_size = step_size
        if self.request.resume is None:
            return None
        loaded = load_checkpoint(self.request.resume, self._settings, self.request.steps)
        self.elapsed_before = loaded.elapsed
        return loaded

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with; hashes the data, so it is made once."""
        request = self.request
        network = request.network
        settings = {
            "network": repr(network),
            "weights": fingerprint(network.source, network.signs)
            if network.seed is None
            else f"antisymmetric={network.antisymmetric}",
            "data": fingerprint(request.X, request.y),
            "test data": fingerprint(*(x for x in (request.X_test, request.y_test) if x is not None)),
            "loss": request.loss.name,
            "method": request.method,
            "layers": request.layers,
            "batch_size": request.batch_size,
            "seed": request.seed if request.batch_size is not None else None,
            "step_size": self.trainer.step_size,
            "record": list(self.recorder.quantities),
        }
        if request.method == "event-flow":
            settings["flow_tolerance"] = request.flow_tolerance
        return settings

    def _checkpoint_due(self) -> bool:
        every = self.request.checkpoint_every
        step = self.trainer.step
        return every is not None and step > 0 and step % every == 0

    def _save_what_is_there(self) -> str:
        """Checkpoint of a run that ended early; a failure to write it must not hide why, nor lose the run."""
        try:
            self._save_checkpoint()
        except OSError as error:
            return f"; no checkpoint was written: {error}"
        return ""

    def _save_checkpoint(self) -> None:
        if self.request.checkpoint is None:
            return
        W, a, more = self.trainer.checkpoint_state()
        previous = self.recorder.previous
        save_checkpoint(
            self.request.checkpoint,
            Checkpoint(
                self._settings,
                self.trainer.step,
                W,
                a,
                np.empty((0, 0), np.uint64) if previous is None else previous.bits,
                self.recorder.history(),
                self._elapsed(),
                {**more, **self.recorder.spectrum_state()},
            ),
        )

    def _elapsed(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    def _result(self, stopped: str, message: str) -> Run:
        request, trainer = self.request, self.trainer
        history = self.recorder.history()
        losses = history.get("loss", np.empty(0))
        network, event = trainer.finish()
        summary = {
            "method": request.method,
            "loss": request.loss.name,
            "layers": request.layers,
            "width": request.network.width,
            "dim": request.network.dim,
            "outputs": request.network.outputs,
            "n": int(request.X.shape[0]),
            "dtype": str(request.network.dtype),
            "seed": request.network.seed,
            "batch_size": request.batch_size,
            "step_size": trainer.step_size,
            "steps": request.steps,
            "steps_done": trainer.step,
            "stopped": stopped,
            "message": message,
            "initial_loss": float(losses[0]) if losses.size else None,
            "final_loss": float(losses[-1]) if losses.size else None,
            "elapsed_seconds": self._elapsed(),
            **trainer.facts,
        }
        return Run(history, summary, network) if event is None else _EventRun(history, summary, None, event)
