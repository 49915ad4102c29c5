"""`train` for deep networks: the request checked, gradient descent, SGD or gradient flow, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
)
from lazygram.networks.backend import elementwise_threads, on_host
from lazygram.networks.deep import DeepNetwork
from lazygram.networks.sparse import SparseNetwork
from lazygram.parallel import check_threads
from lazygram.random import seed_to_int
from lazygram.training.checkpoints import Checkpoint, fingerprint
from lazygram.training.course import Course, CourseRequest, Load, PathLike, Trainer
from lazygram.training.deep_history import DEEP_QUANTITIES, DeepRecorder
from lazygram.training.deep_state import DeepFlowState, DeepState
from lazygram.training.dense import batch_indices
from lazygram.training.history import record_steps, recorded_quantities
from lazygram.training.losses import Loss, get_loss
from lazygram.training.request import check_batch_size, check_callbacks, check_checkpoints
from lazygram.training.result import Run, StepState
from lazygram.training.schedules import DecreasingStepSize, StepSize, StepSizes

__all__ = ["DEEP_METHODS", "DeepTrainer", "train_deep"]

DEEP_METHODS = ("gd", "sgd", "flow")

# Products of steps below this many (examples x parameters) gain less from threads than these cost.
_SMALL_STEP = 1 << 25


@dataclass
class DeepRequest(CourseRequest):
    """One call of `train` for a deep network, checked."""

    network: DeepNetwork
    x: Any
    y: Float64
    loss: Loss
    reduction: str
    method: str
    batch_size: int | None
    seed: int
    factors: list[float]
    step_sizes: StepSizes | DecreasingStepSize | None
    """None: "auto"; a schedule that begins with "auto"."""
    quantities: tuple[str, ...]
    x_test: Any
    y_test: Float64 | None
    flow_tolerance: float
    threads: int | None


def train_deep(
    network: DeepNetwork,
    X: Any,
    y: npt.ArrayLike,
    steps: int,
    step_size: StepSize,
    *,
    loss: Any,
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
    checkpoint: PathLike | None,
    checkpoint_every: int | None,
    resume: PathLike | None,
    threads: int | None,
    flow_tolerance: float,
) -> Run:
    """See `train`.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.
    """
    if isinstance(network, SparseNetwork) and network.outputs != 1:
        raise ValueError(f"network: training needs a single output, got {network.outputs}")
    x = network._examples(X, "X")
    n = int(x.shape[0])
    labels: Float64 = as_vector(on_host(y), "y", length=n, dtype=np.float64)
    count = check_nonnegative_int(steps, "steps")
    checked_loss = get_loss(loss)
    if checked_loss.name == "cross_entropy":
        raise ValueError(
            "loss: deep networks have one output; the cross-entropy of labels -1 and +1 is 'logistic'"
        )
    checked_loss.check_labels(labels)
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: 'sum' or 'mean' is needed, got {reduction!r}")
    if method not in DEEP_METHODS:
        raise ValueError(
            f"method: one of {', '.join(DEEP_METHODS)} is needed for a deep network, got {method!r}"
        )
    if method != "sgd" and batch_size is not None:
        raise ValueError(f"batch_size: only for method 'sgd', got method {method!r}")
    x_test, y_test_checked = _check_test(network, X_test, y_test)
    check_threads(threads)
    auto = isinstance(step_size, str)
    if auto and step_size != "auto":
        raise ValueError(f"step_size: a number, a schedule or 'auto' is needed, got {step_size!r}")
    rule: StepSizes | DecreasingStepSize | None
    if isinstance(step_size, DecreasingStepSize) and step_size.step_size == "auto":
        rule = step_size
    else:
        rule = None if isinstance(step_size, str) else StepSizes(step_size, count)
    if method == "flow":
        _check_flow(network, rule, checkpoint, resume)
    request = DeepRequest(
        steps=count,
        records=set(record_steps(record_every, count)),
        tolerance=None if tolerance is None else check_positive_float(tolerance, "tolerance"),
        callbacks=check_callbacks(callbacks),
        checkpoint=checkpoint,
        checkpoint_every=check_checkpoints(checkpoint, checkpoint_every),
        resume=resume,
        network=network,
        x=x,
        y=labels,
        loss=checked_loss,
        reduction=reduction,
        method=method,
        batch_size=check_batch_size(batch_size, n) if method == "sgd" else None,
        seed=seed_to_int(seed),
        factors=_check_factors(network, layer_step_sizes),
        step_sizes=rule,
        quantities=recorded_quantities(record, DEEP_QUANTITIES),
        x_test=x_test,
        y_test=y_test_checked,
        flow_tolerance=check_positive_float(flow_tolerance, "flow_tolerance"),
        threads=threads,
    )
    small = n * network.parameter_count < _SMALL_STEP
    limit = 1 if threads is None and small else threads
    with threadpool_limits(limits=limit, user_api="blas"), elementwise_threads(limit):
        return Course(request, DeepTrainer(request)).run()


class DeepTrainer(Trainer):
    """Gradient descent, SGD or gradient flow of all layers of a deep network."""

    recorder: DeepRecorder

    def __init__(self, request: DeepRequest) -> None:
        self.request = request
        self.facts = {}
        self.recorder = DeepRecorder(
            request.quantities,
            np.empty((0, 0)),
            request.threads,
            0.0,
            request.x_test is not None,
            backend=request.network._backend,
        )

    def begin(self, load: Load) -> None:
        request, network = self.request, self.request.network
        # The reference is always step 0 of the run, also when it is resumed.
        self.state = self._make_state(0, 0.0, None)
        self.recorder.start_deep(self.state, network.parameters)
        self.step_sizes = self._settle(request.step_sizes)
        loaded = load()
        if loaded is not None:
            self.recorder.restore(loaded.history, None, {})
            self._check_schedule(loaded)
            stored = [network._backend.asarray(loaded.engine[name]) for name in network.parameter_names]
            self.state = self._make_state(loaded.step, float(loaded.engine["time"]), stored)

    def _make_state(self, step: int, when: float, parameters: list[Any] | None) -> DeepState:
        request = self.request
        if request.method == "flow":
            return DeepFlowState(
                request.network,
                request.x,
                factors=request.factors,
                x_test=request.x_test,
                slope=self._slope,
                rtol=0.1 * request.flow_tolerance,  # the error grows from layer to layer
                atol=1e-4 * request.flow_tolerance,
            )
        return DeepState(
            request.network,
            request.x,
            factors=request.factors,
            x_test=request.x_test,
            step=step,
            time=when,
            parameters=parameters,
        )

    def _check_schedule(self, loaded: Checkpoint) -> None:
        """A schedule is known by its values: those of the earlier part must be the same."""
        for step, eta in zip(loaded.history["step"], loaded.history["step_size"], strict=True):
            here = self.step_sizes.before(int(step))
            if here != eta:
                raise ValueError(f"resume: the step size before step {step} was {eta}, here it is {here}")

    def _settle(self, rule: StepSizes | DecreasingStepSize | None) -> StepSizes:
        if isinstance(rule, StepSizes):
            return rule
        auto = self._auto_step_size()
        return StepSizes(auto if rule is None else replace(rule, step_size=auto), self.request.steps)

    def _auto_step_size(self) -> float:
        request, n = self.request, len(self.request.y)
        curvature = request.loss.curvature
        if not np.isfinite(curvature):
            raise ValueError("step_size: 'auto' needs a loss of bounded curvature; give a number")
        grams = self.recorder.grams_0 or self.state.grams()
        gram = sum(f * G for f, G in zip(request.factors, grams, strict=True))
        largest = lambda_max(gram)
        if request.batch_size is not None:
            # Any batch: at most the whole spectrum, at most the trace of its block; gradient x n / B.
            trace = request.batch_size * float(np.asarray(gram).diagonal().max())
            largest = min(largest, trace) * n / request.batch_size
        if request.reduction == "mean":
            largest /= n
        if not largest > 0:
            raise ValueError("step_size: 'auto' found a zero Gram matrix; give a number")
        return 1.0 / (curvature * largest)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def last_step_size(self) -> float:
        """The step size that led here; at step 0 the first one."""
        return self.step_sizes.before(self.state.step)

    @property
    def predictions(self) -> Float64:
        """On the training examples, at this step."""
        return self.state.u

    def look(self, recording: bool, new: bool) -> bool:
        if self.request.method != "sgd":
            return True
        if recording and new:
            self.state.forward()  # SGD steps see only their batch
        return recording

    def loss(self) -> float:
        """Of the predictions of this step."""
        return self._value(self.state.u, self.request.y)

    def _value(self, u: Float64, y: Float64) -> float:
        total = self.request.loss.value(u, y)
        return total / len(y) if self.request.reduction == "mean" else total

    def _slope(self, u: Float64, batch: npt.NDArray[np.intp] | None = None) -> Float64:
        """dL/du of the reduced loss, on a batch as an unbiased estimate of it."""
        request = self.request
        n = len(request.y)
        y = request.y if batch is None else request.y[batch]
        with np.errstate(over="ignore", invalid="ignore"):
            slope = request.loss.derivative(u, y)
            if request.reduction == "mean":
                return slope / len(y)
            return slope if batch is None else slope * (n / len(y))

    def record(self, loss: float) -> dict[str, Any]:
        """Append this step to the history; returns the values by name."""
        state, test_loss = self.state, None
        if self.request.y_test is not None:
            test_loss = self._value(state.test_predictions(), self.request.y_test)
        return self.recorder.record_deep(state, loss, test_loss, self._slope(state.u), self.last_step_size)

    def advance(self) -> None:
        state, request, eta = self.state, self.request, self.step_sizes[self.state.step]
        if isinstance(state, DeepFlowState):
            state.advance_to(min(k for k in request.records if k > state.step), eta)
        elif request.batch_size is not None:
            batch = batch_indices(request.seed, state.step, len(request.y), request.batch_size)
            u, done = state.forward_batch(batch)
            state.advance_batch(done, self._slope(u, batch), eta)
        else:
            state.advance(self._slope(state.u), eta)

    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with. Asked for once a run: it hashes the data."""
        request, network = self.request, self.request.network
        host = network._backend.to_numpy
        test = [host(x) for x in (request.x_test, request.y_test) if x is not None]
        return {
            "network": repr(network),
            "weights": fingerprint(*map(host, network.parameters)) if network.seed is None else "",
            "data": fingerprint(host(request.x), request.y),
            "test data": fingerprint(*test),
            "loss": request.loss.name,
            "reduction": request.reduction,
            "method": request.method,
            "layer_step_sizes": request.factors,
            "batch_size": request.batch_size,
            "seed": request.seed if request.batch_size is not None else None,
            "step_size": self.step_sizes.constant,
            "record": list(self.recorder.quantities),
        }

    def checkpoint_state(self) -> tuple[Array, Array, dict[str, Array]]:
        """Parameters by name, and the time."""
        network, state = self.request.network, self.state
        host = network._backend.to_numpy
        engine: dict[str, Array] = {
            name: host(p) for name, p in zip(network.parameter_names, state.parameters, strict=True)
        }
        engine["time"] = np.array(state.time)
        nothing = np.empty(0, network.dtype)
        return nothing, nothing, engine

    def summary(self) -> dict[str, Any]:
        """Plain facts about the request and its method."""
        request, network = self.request, self.request.network
        return {
            "method": request.method,
            "loss": request.loss.name,
            "reduction": request.reduction,
            "architecture": repr(network),
            "parameter_names": network.parameter_names,
            "depth": network.depth,
            "dim": network.dim,
            "n": len(request.y),
            "dtype": str(network.dtype),
            "seed": network.seed,
            "batch_size": request.batch_size,
            "step_size": self.step_sizes.constant,
            "schedule": self.step_sizes.text,
            "layer_step_sizes": request.factors,
        }

    def finish(self) -> tuple[DeepNetwork, None]:
        """The trained network."""
        return self.state.network(), None


def _check_factors(network: DeepNetwork, layer_step_sizes: Sequence[float] | None) -> list[float]:
    names = network.parameter_names
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


def _check_test(
    network: DeepNetwork, X_test: Any, y_test: npt.ArrayLike | None
) -> tuple[Any, Float64 | None]:
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test: needs X_test")
        return None, None
    x = network._examples(X_test, "X_test")
    if y_test is None:
        return x, None
    y: Float64 = as_vector(on_host(y_test), "y_test", length=int(x.shape[0]), dtype=np.float64)
    return x, y


def _check_flow(
    network: DeepNetwork,
    rule: StepSizes | DecreasingStepSize | None,
    checkpoint: PathLike | None,
    resume: PathLike | None,
) -> None:
    if network.dtype != np.float64 or network.xp is not np:
        raise ValueError("method: 'flow' needs a float64 network of NumPy arrays")
    if checkpoint is not None or resume is not None:
        raise ValueError("checkpoint: 'flow' cannot be checkpointed; use a small step of 'gd'")
    if isinstance(rule, DecreasingStepSize) or (rule is not None and rule.constant is None):
        raise ValueError("step_size: 'flow' needs one number, the time between two steps")
