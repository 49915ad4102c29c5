"""`train` for deep networks: the request checked, gradient descent, SGD or gradient flow, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lazygram.analysis.spectrum import lambda_max
from lazygram.arrays import (
    Array,
    Float64,
    as_vector,
    check_nonnegative_int,
    check_positive_float,
    check_positive_int,
)
from lazygram.networks.deep import DeepNetwork
from lazygram.networks.sparse import SparseNetwork
from lazygram.parallel import check_threads
from lazygram.random import seed_to_int
from lazygram.training.checkpoints import Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from lazygram.training.deep_history import DEEP_QUANTITIES, DeepRecorder
from lazygram.training.deep_state import DeepFlowState, DeepState
from lazygram.training.dense import batch_indices
from lazygram.training.history import record_steps, recorded_quantities
from lazygram.training.losses import Loss, get_loss
from lazygram.training.request import check_callbacks
from lazygram.training.run import Run, StepState, _Trainer
from lazygram.training.schedules import StepSize, StepSizes

__all__ = ["DEEP_METHODS", "DeepTrainer"]

DEEP_METHODS = ("gd", "sgd", "flow")

# Products of steps below this many (examples x parameters) gain less from threads than these cost.
_SMALL_STEP = 1 << 25


class DeepTrainer(_Trainer):
    """One call of `train` for a deep network; the loop, and how it ends, are those of two layers."""

    def __init__(
        self,
        network: DeepNetwork,
        X: Any,
        y: npt.ArrayLike,
        steps: int,
        step_size: StepSize,
        *,
        loss: str | Loss,
        reduction: str,
        method: str,
        batch_size: int | None,
        seed: int | np.random.Generator,
        layer_step_sizes: Sequence[float] | None,
        record: str | Iterable[str],
        record_every: int | Iterable[int],
        X_test: Any,
        y_test: npt.ArrayLike | None,
        tolerance: float | None,
        callbacks: Callable[[StepState], Any] | Sequence[Callable[[StepState], Any]],
        checkpoint: Any,
        checkpoint_every: int | None,
        resume: Any,
        threads: int | None,
    ) -> None:
        if isinstance(network, SparseNetwork) and network.outputs != 1:
            raise ValueError(f"network: training needs a single output, got {network.outputs}")
        self.deep = network
        self.x = network._examples(X, "X")
        n = int(self.x.shape[0])
        self.y: Float64 = as_vector(y, "y", length=n, dtype=np.float64)
        self.steps = check_nonnegative_int(steps, "steps")
        self.loss = get_loss(loss)
        self.loss.check_labels(self.y)
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction: 'sum' or 'mean' is needed, got {reduction!r}")
        self.reduction = reduction
        if method not in DEEP_METHODS:
            raise ValueError(
                f"method: one of {', '.join(DEEP_METHODS)} is needed for a deep network, got {method!r}"
            )
        self.method = method
        self.seed = seed_to_int(seed)
        self.batch_size = self._check_batch(batch_size, n)
        self.factors = self._check_factors(layer_step_sizes)
        self.x_test, self.y_test = self._check_test_examples(X_test, y_test)
        check_threads(threads)
        self.threads = threads
        self.tolerance = None if tolerance is None else check_positive_float(tolerance, "tolerance")
        self.callbacks = check_callbacks(callbacks)
        self.checkpoint = checkpoint
        if checkpoint_every is not None and checkpoint is None:
            raise ValueError("checkpoint_every: needs a file in `checkpoint`")
        self.checkpoint_every = (
            None if checkpoint_every is None else check_positive_int(checkpoint_every, "checkpoint_every")
        )
        auto = isinstance(step_size, str)
        if auto and step_size != "auto":
            raise ValueError(f"step_size: a number, a schedule or 'auto' is needed, got {step_size!r}")
        rule = None if isinstance(step_size, str) else StepSizes(step_size, self.steps)
        if method == "flow":
            self._check_flow(rule, resume)

        self.began = time.perf_counter()
        self.elapsed_before = 0.0
        self.facts: dict[str, Any] = {}
        quantities = recorded_quantities(record, DEEP_QUANTITIES)
        self.records = set(record_steps(record_every, self.steps))
        recorder = DeepRecorder(
            quantities, np.empty((0, 0)), threads, 0.0, self.x_test is not None, backend=network._backend
        )
        self.recorder = recorder
        # The reference is always step 0 of the run, also when it is resumed.
        with self._blas():
            state = self._make_deep_state(0, 0.0, None)
            recorder.start_deep(state, network.parameters)
            if rule is None:
                rule = StepSizes(self._auto_deep_step_size(state), self.steps)
            self.step_sizes = rule
            if resume is not None:
                loaded = load_checkpoint(resume, self._settings, self.steps)
                self.elapsed_before = loaded.elapsed
                recorder.restore(loaded.history, None)
                self._check_schedule(loaded)
                stored = [network._backend.asarray(loaded.engine[name]) for name in network.parameter_names]
                state = self._make_deep_state(loaded.step, float(loaded.engine["time"]), stored)
        self.deep_state = state
        self.state = cast(Any, state)  # what the loop of `train` looks at

    # --- checks -----------------------------------------------------------------------------------

    def _check_factors(self, layer_step_sizes: Sequence[float] | None) -> list[float]:
        names = self.deep.parameter_names
        if layer_step_sizes is None:
            return [1.0] * len(names)
        factors = as_vector(layer_step_sizes, "layer_step_sizes", dtype=np.float64)
        if factors.size != len(names):
            raise ValueError(
                f"layer_step_sizes: {len(names)} numbers are needed ({', '.join(names)}), got {factors.size}"
            )
        if factors.min() < 0.0 or factors.max() == 0.0:
            raise ValueError("layer_step_sizes: must not be negative, and not all zero")
        return [float(f) for f in factors]

    def _check_test_examples(self, X_test: Any, y_test: npt.ArrayLike | None) -> tuple[Any, Float64 | None]:
        if X_test is None:
            if y_test is not None:
                raise ValueError("y_test: needs X_test")
            return None, None
        x = self.deep._examples(X_test, "X_test")
        if y_test is None:
            return x, None
        y: Float64 = as_vector(y_test, "y_test", length=int(x.shape[0]), dtype=np.float64)
        return x, y

    def _check_flow(self, rule: StepSizes | None, resume: Any) -> None:
        if self.deep.dtype != np.float64 or self.deep.xp is not np:
            raise ValueError("method: 'flow' needs a float64 network of NumPy arrays")
        if self.checkpoint is not None or resume is not None:
            raise ValueError("checkpoint: 'flow' cannot be checkpointed; use a small step of 'gd'")
        if rule is not None and rule.constant is None:
            raise ValueError("step_size: 'flow' needs one number, the time between two steps")

    def _check_schedule(self, loaded: Checkpoint) -> None:
        """A schedule is known by its values: those of the earlier part must be the same."""
        for step, eta in zip(loaded.history["step"], loaded.history["step_size"], strict=True):
            here = self.step_sizes.before(int(step))
            if here != eta:
                raise ValueError(f"resume: the step size before step {step} was {eta}, here it is {here}")

    def _auto_deep_step_size(self, state: DeepState) -> float:
        curvature = self.loss.curvature
        if not np.isfinite(curvature):
            raise ValueError("step_size: 'auto' needs a loss of bounded curvature; give a number")
        grams = self.deep_recorder.grams_0 or state.grams()
        gram = sum(f * G for f, G in zip(self.factors, grams, strict=True))
        largest = lambda_max(gram)
        n = len(self.y)
        if self.batch_size is not None:
            # Any batch: at most the whole spectrum, at most the trace of its block; gradient x n / B.
            trace = self.batch_size * float(np.asarray(gram).diagonal().max())
            largest = min(largest, trace) * n / self.batch_size
        if self.reduction == "mean":
            largest /= n
        if not largest > 0:
            raise ValueError("step_size: 'auto' found a zero Gram matrix; give a number")
        return 1.0 / (curvature * largest)

    # --- the loop's parts ---------------------------------------------------------------------------

    @property
    def deep_recorder(self) -> DeepRecorder:
        """The recorder, as what it is."""
        assert isinstance(self.recorder, DeepRecorder)
        return self.recorder

    def run(self) -> Run:
        """All steps; history survives whatever ends them."""
        with self._blas():
            return super().run()

    def _blas(self) -> Any:
        threads = self.threads
        if threads is None and len(self.y) * self.deep.parameter_count < _SMALL_STEP:
            threads = 1
        return threadpool_limits(limits=threads, user_api="blas")

    def _make_deep_state(self, step: int, when: float, parameters: list[Any] | None) -> DeepState:
        if self.method == "flow":
            return DeepFlowState(
                self.deep, self.x, factors=self.factors, x_test=self.x_test, slope=self._slope
            )
        return DeepState(
            self.deep,
            self.x,
            factors=self.factors,
            x_test=self.x_test,
            step=step,
            time=when,
            parameters=parameters,
        )

    def _value(self, u: Float64, y: Float64) -> float:
        total = self.loss.value(u, y)
        return total / len(y) if self.reduction == "mean" else total

    def _slope(self, u: Float64, batch: npt.NDArray[np.intp] | None = None) -> Float64:
        """dL/du of the reduced loss, on a batch as an unbiased estimate of it."""
        n = len(self.y)
        y = self.y if batch is None else self.y[batch]
        with np.errstate(over="ignore", invalid="ignore"):
            slope = self.loss.derivative(u, y)
            if self.reduction == "mean":
                return slope / len(y)
            return slope if batch is None else slope * (n / len(y))

    def _look(self, new: bool) -> tuple[str, str] | None:
        """Record a new step, and see whether the run is over."""
        state = self.deep_state
        recording = state.step in self.records
        if self.method == "sgd":
            if not recording:
                return None
            if new:
                state.forward()  # SGD steps see only their batch
        loss = self._value(state.u, self.y)
        diverged = not np.isfinite(loss)
        done = self.tolerance is not None and loss <= self.tolerance
        stop = False
        if new and (recording or diverged or done):
            stop = self._record(loss)
        if diverged:
            eta = self.step_sizes.before(state.step)
            return "diverged", f"the loss is {loss} at step {state.step}: step size {eta:.6g} is too large"
        if done:
            return "tolerance", f"loss {loss:.6g} <= {self.tolerance:.6g} at step {state.step}"
        return ("callback", f"a callback asked to stop at step {state.step}") if stop else None

    def _record(self, loss: float) -> bool:
        state = self.deep_state
        test_loss = None
        if self.y_test is not None:
            test_loss = self._value(state.test_predictions(), self.y_test)
        eta = self.step_sizes.before(state.step)
        values = self.deep_recorder.record_deep(state, loss, test_loss, self._slope(state.u), eta)
        return self._tell(loss, values)

    def _advance(self) -> None:
        state, eta = self.deep_state, self.step_sizes[self.deep_state.step]
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported by `_look`
            if isinstance(state, DeepFlowState):
                state.advance_to(min(k for k in self.records if k > state.step), eta)
            elif self.batch_size is not None:
                batch = batch_indices(self.seed, state.step, len(self.y), self.batch_size)
                u, done = state.forward_batch(batch)
                state.advance_batch(done, self._slope(u, batch), eta)
            else:
                state.advance(self._slope(state.u), eta)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with; hashes the data, so it is made once."""
        host = self.deep._backend.to_numpy
        test = [host(x) for x in (self.x_test, self.y_test) if x is not None]
        return {
            "network": repr(self.deep),
            "weights": fingerprint(*map(host, self.deep.parameters)) if self.deep.seed is None else "",
            "data": fingerprint(host(self.x), self.y),
            "test data": fingerprint(*test),
            "loss": self.loss.name,
            "reduction": self.reduction,
            "method": self.method,
            "layer_step_sizes": self.factors,
            "batch_size": self.batch_size,
            "seed": self.seed if self.batch_size is not None else None,
            "step_size": self.step_sizes.constant,
            "record": list(self.recorder.quantities),
        }

    def _save_checkpoint(self) -> None:
        if self.checkpoint is None:
            return
        state, host = self.deep_state, self.deep._backend.to_numpy
        engine: dict[str, Array] = {
            name: host(p) for name, p in zip(self.deep.parameter_names, state.parameters, strict=True)
        }
        engine["time"] = np.array(state.time)
        nothing = np.empty(0, self.deep.dtype)
        save_checkpoint(
            self.checkpoint,
            Checkpoint(
                self._settings,
                state.step,
                nothing,
                nothing,
                np.empty((0, 0), np.uint64),
                self.recorder.history(),
                self._elapsed(),
                engine,
            ),
        )

    def _result(self, stopped: str, message: str) -> Run:
        history = self.recorder.history()
        losses = history.get("loss", np.empty(0))
        summary = {
            "method": self.method,
            "loss": self.loss.name,
            "reduction": self.reduction,
            "architecture": repr(self.deep),
            "parameter_names": self.deep.parameter_names,
            "depth": self.deep.depth,
            "dim": self.deep.dim,
            "n": len(self.y),
            "dtype": str(self.deep.dtype),
            "seed": self.deep.seed,
            "batch_size": self.batch_size,
            "step_size": self.step_sizes.constant,
            "layer_step_sizes": self.factors,
            "steps": self.steps,
            "steps_done": self.deep_state.step,
            "stopped": stopped,
            "message": message,
            "initial_loss": float(losses[0]) if losses.size else None,
            "final_loss": float(losses[-1]) if losses.size else None,
            "elapsed_seconds": self._elapsed(),
            **self.facts,
        }
        return Run(history, summary, self.deep_state.network())
