"""Trainers of two-layer networks, one class for each method: how a run starts, moves and is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazygram.analysis.spectrum import lambda_max, lambda_min, operator_norm
from lazygram.analysis.tracked import spectrum_seconds
from lazygram.arrays import Array, Float64
from lazygram.gram import gram_infinite, gram_of_patterns
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.patterns import PackedPatterns
from lazygram.training.checkpoints import Checkpoint, checkpoint_setting, fingerprint
from lazygram.training.course import Load, Trainer
from lazygram.training.dense import DenseState, batch_indices
from lazygram.training.events import EVENT_DEFAULT, EVENT_SPECTRA, EventState, check_event_layers
from lazygram.training.history import BOUND, Recorder, recorded_quantities
from lazygram.training.reach import Forecast, choose_method, event_seconds, forecast
from lazygram.training.request import Request

__all__ = ["TwoLayerTrainer", "make_trainer"]

# Share of the estimated cost of a run that the default record of "event" may spend on spectra.
_SPECTRA_SHARE = 0.1


class TwoLayerTrainer(Trainer):
    """What the methods share; those of one output and of several are the same."""

    state: Any
    """What the recorder reads."""
    step_size: float

    def __init__(self, request: Request) -> None:
        self.request = request
        self.facts: dict[str, Any] = {}
        """For the summary of the run."""
        self.recorder = Recorder(
            recorded_quantities(self.quantities(), by_name=(BOUND,)),
            request.X,
            request.threads,
            0.0,
            request.X_test is not None,
            width=request.network.width,
            distances=request.distances,
            exact=request.spectra == "exact",
        )

    def quantities(self) -> Any:
        """The argument `record`, "default" replaced by what this method records."""
        return self.request.record

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state.step)

    @property
    def last_step_size(self) -> float:
        """Constant."""
        return self.step_size

    @property
    def predictions(self) -> Float64:
        """On the training examples, at this step."""
        u: Float64 = self.state.u
        return u

    def loss(self) -> float:
        """Of the predictions of this step."""
        return self.request.loss.value(self.state.u, self.request.y)

    def record(self, loss: float) -> dict[str, Any]:
        """Append this step to the history; returns the values by name."""
        request, test_loss = self.request, None
        if request.y_test is not None:
            test_loss = request.loss.value(self.state.test_predictions(), request.y_test)
        return self.recorder.record(self.step, loss, test_loss, self.state)

    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with. Asked for once a run: it hashes the data."""
        request, network = self.request, self.request.network
        return {
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
            "step_size": self.step_size,
            "record": list(self.recorder.quantities),
        }

    def summary(self) -> dict[str, Any]:
        """Plain facts about the request and its method."""
        request, network = self.request, self.request.network
        return {
            "method": request.method,
            "loss": request.loss.name,
            "layers": request.layers,
            "width": network.width,
            "dim": network.dim,
            "outputs": network.outputs,
            "n": int(request.X.shape[0]),
            "dtype": str(network.dtype),
            "seed": network.seed,
            "batch_size": request.batch_size,
            "step_size": self.step_size,
        }

    def finish(self) -> tuple[TwoLayerReLU | None, EventState | None]:
        """The trained network, or the state of event-driven descent, which can make it."""
        return self.state.network(), None

    def rho(self, batch: Any = slice(None)) -> Float64:
        """dL/du at the present predictions."""
        request = self.request
        return request.loss.derivative(self.state.u[batch], request.y[batch])

    def batch(self) -> tuple[Any, float]:
        """Examples of the step that follows, and the factor n / batch_size of their gradient."""
        request = self.request
        assert request.batch_size is not None
        n = request.X.shape[0]
        return batch_indices(request.seed, self.step, n, request.batch_size), n / request.batch_size

    def note_gram(self, gram_0: Float64) -> None:
        """Facts of the summary that compare H(0) with its limit."""
        gram_limit = gram_infinite(self.request.X.astype(np.float64), threads=self.request.threads)
        self.facts["lambda0"] = lambda_min(gram_limit)
        self.facts["gram_initial_distance"] = operator_norm(gram_0 - gram_limit)

    def auto_step_size(self, gram_0: Float64 | None) -> float:
        """1 / (curvature of the loss x largest eigenvalue of the Gram matrix of the gradient)."""
        assert gram_0 is not None
        request = self.request
        curvature = request.loss.curvature
        if not np.isfinite(curvature):
            raise ValueError("step_size: 'auto' needs a loss of bounded curvature; give a number")
        # H is the Gram matrix of the gradient for one output and |a_r| = 1. Larger output weights scale it
        # up; with several outputs it is (a^T a / width) x H as long as a does not depend on the patterns.
        signs = request.network.signs.astype(np.float64)
        if signs.ndim == 1:
            scale = float(np.abs(signs).max()) ** 2
        else:
            scale = float(np.linalg.eigvalsh(signs.T @ signs)[-1]) / len(signs)
        largest = scale * lambda_max(gram_0)
        trace_bound = scale * float(gram_0.diagonal().max())
        if request.layers == "both":
            x = request.X.astype(np.float64)
            second = gram_infinite(x, trained="second", threads=request.threads)
            largest += lambda_max(second)
            trace_bound += float(second.diagonal().max())
        if request.batch_size is not None:
            # Any batch: at most the whole spectrum, at most the trace of the batch's block; gradient x n / B.
            n = request.X.shape[0]
            largest = min(largest, request.batch_size * trace_bound) * n / request.batch_size
        if not largest > 0:
            raise ValueError("step_size: 'auto' found a zero Gram matrix; give a number")
        return 1.0 / (curvature * largest)


class GradientDescent(TwoLayerTrainer):
    """Full batches on stored weights."""

    state: DenseState

    def begin(self, load: Load) -> None:
        request, recorder = self.request, self.recorder
        patterns_0 = request.network.patterns(request.X, threads=request.threads)
        gram_0: Float64 | None = None
        if recorder.wants_gram or request.step_size is None:
            gram_0 = gram_of_patterns(patterns_0, request.X, threads=request.threads)
        if recorder.wants_gram:
            assert gram_0 is not None
            self.note_gram(gram_0)
        self.step_size = self.auto_step_size(gram_0) if request.step_size is None else request.step_size
        recorder.step_size = self.step_size
        recorder.start(patterns_0, gram_0)
        loaded = load()
        step, weights = 0, None
        if loaded is not None:
            step, weights = loaded.step, (loaded.W, loaded.a)
            previous = patterns_0
            if loaded.previous_bits.size:
                previous = PackedPatterns(loaded.previous_bits, request.network.width)
            recorder.restore(loaded.history, previous, loaded.engine)
        self.state = self.make_state(step, weights)

    def make_state(self, step: int, weights: tuple[Array, Array] | None) -> DenseState:
        request = self.request
        return DenseState(
            request.network,
            request.X,
            train_output=request.layers == "both",
            X_test=request.X_test,
            threads=request.threads,
            step=step,
            weights=weights,
        )

    def advance(self) -> None:
        self.state.advance(self.rho(), self.step_size)

    def checkpoint_state(self) -> tuple[Array, Array, dict[str, Array]]:
        W, a = self.state.weights
        return W, a, {}


class StochasticDescent(GradientDescent):
    """Minibatches: a step sees its batch only."""

    def look(self, recording: bool, new: bool) -> bool:
        if recording:
            self.state.forward()
        return recording

    def advance(self) -> None:
        batch, scale = self.batch()
        u, bits = self.state.forward_batch(batch)
        rho = self.request.loss.derivative(u, self.request.y[batch]) * scale
        self.state.advance_batch(batch, rho, bits, self.step_size)


class GradientFlow(GradientDescent):
    """Runge-Kutta on the weights, from one recorded time to the next."""

    def make_state(self, step: int, weights: tuple[Array, Array] | None) -> DenseState:
        # Imported here: the integrators of SciPy would double the time of `import lazygram`.
        from lazygram.training.flow import FlowState

        request = self.request
        return FlowState(
            request.network,
            request.X,
            request.y,
            request.loss,
            train_output=request.layers == "both",
            X_test=request.X_test,
            threads=request.threads,
            rtol=request.flow_tolerance,
            atol=1e-2 * request.flow_tolerance,
        )

    def advance(self) -> None:
        following = min(k for k in self.request.records if k > self.state.step)
        self.state.advance_to(following, self.step_size)  # type: ignore[attr-defined]


class EventDescent(TwoLayerTrainer):
    """The trajectory of the dense methods, by events; its one forward pass gives H(0) as well."""

    state: EventState
    single_steps = True

    def __init__(self, request: Request, seen: Forecast | None) -> None:
        self._seen = seen
        if request.resume is None and seen is None:
            rate = 1.0 if request.batch_size is None else request.X.shape[0] / request.batch_size
            self._seen = forecast(
                request.network, request.X, request.y, request.passengers, request.loss, request.steps,
                request.step_size, rate=rate, threads=request.threads,
            )  # fmt: skip
        super().__init__(request)

    def quantities(self) -> Any:
        request = self.request
        if not (isinstance(request.record, str) and request.record == "default"):
            return request.record
        if request.resume is not None:
            return checkpoint_setting(request.resume, "record") or EVENT_DEFAULT
        assert self._seen is not None
        n, network = request.X.shape[0], request.network
        whole = event_seconds(
            network.width, n, n + request.passengers.shape[0], network.dim, request.steps,
            network.dtype.itemsize, self._seen.tracked_pairs, outputs=network.outputs,
        )  # fmt: skip
        spectra = (len(request.records) + 1) * spectrum_seconds(n)
        return EVENT_DEFAULT + EVENT_SPECTRA if spectra <= _SPECTRA_SHARE * whole else EVENT_DEFAULT

    def begin(self, load: Load) -> None:
        request, recorder = self.request, self.recorder
        loaded = None
        if request.resume is not None:
            self.step_size = request.step_size or float(checkpoint_setting(request.resume, "step_size"))
            loaded = load()
        if loaded is not None:
            reach = loaded.engine["reach"]
        else:
            assert self._seen is not None
            reach = self._seen.reach
        # Flips over several steps need a copy of the bits.
        gaps = np.diff(sorted(request.records))
        several = not self.single_steps or (gaps.size > 0 and int(gaps.max()) > 1)
        keeps_marks = "flips" in recorder.quantities and several
        n, width = request.X.shape[0], request.network.width
        self._mark_bytes = 8 * width * (-(-n // 64) - (-request.passengers.shape[0] // 64)) * keeps_marks
        limit = request.memory_limit
        state = EventState(
            request.network,
            request.X,
            X_test=request.passengers,
            reach=reach,
            memory_limit=None if limit is None else max(1, limit - self._mark_bytes),
            threads=request.threads,
            snapshot=None if loaded is None else loaded.engine,
            progress=request.progress,
        )
        self.state = state
        gram_0 = state.gram() if loaded is None else loaded.engine["gram_0"]
        state.gram_0 = gram_0
        if loaded is None:
            auto = request.step_size is None
            self.step_size = self.auto_step_size(gram_0) if auto else float(request.step_size or 0.0)
        recorder.step_size = self.step_size
        if recorder.wants_gram:
            self.note_gram(gram_0)
            recorder.start(None, gram_0)
        if loaded is not None:
            recorder.restore(loaded.history, None, loaded.engine)
        # Without a copy of the bits until now every step was recorded, so the copy is due now, or right after
        # the present step is recorded.
        state.single_steps = self.single_steps
        state.keeps_marks = keeps_marks
        last = recorder.rows.get("step", [0])[-1]
        if state.keeps_marks and not state.marked and last == (loaded.step if loaded else 0):
            state.mark()

    def advance(self) -> None:
        self.state.advance(self.event_residual(), self.step_size)

    def event_residual(self) -> Float64:
        if self.request.batch_size is None:
            return self.rho()
        # The batches of method "sgd": the same generator, the same scale, no residual outside.
        batch, scale = self.batch()
        rho = np.zeros_like(self.request.y)
        rho[batch] = self.rho(batch) * scale
        return rho

    def checkpoint_state(self) -> tuple[Array, Array, dict[str, Array]]:
        empty = np.empty(0, self.request.network.dtype)
        engine = self.state.snapshot()
        assert self.state.gram_0 is not None
        return empty, empty, {**engine, "gram_0": self.state.gram_0}

    def finish(self) -> tuple[TwoLayerReLU | None, EventState | None]:
        planned = self.state.plan["total"] + self._mark_bytes
        self.facts["engine"] = {**self.state.stats, "planned_bytes": planned}
        return None, self.state


class EventFlow(EventDescent):
    """Gradient flow in adaptive steps, each an exact step of event-driven descent."""

    single_steps = False

    def begin(self, load: Load) -> None:
        # Imported here: the integrators of SciPy would double the time of `import lazygram`.
        from lazygram.training.event_flow import EventFlowIntegrator

        restored: list[Checkpoint] = []

        def remember() -> Checkpoint | None:
            loaded = load()
            if loaded is not None:
                restored.append(loaded)
            return loaded

        super().begin(remember)
        request = self.request
        self._flow = EventFlowIntegrator(self.state, request.y, request.loss, request.flow_tolerance)
        self._step = 0
        for loaded in restored:
            self._step = loaded.step
            self._flow.restore(loaded.engine["flow"])

    @property
    def step(self) -> int:
        return self._step

    def advance(self) -> None:
        following = min(k for k in self.request.records if k > self._step)
        self._flow.advance_to(following * self.step_size)
        self._step = following

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "flow_tolerance": self.request.flow_tolerance}

    def checkpoint_state(self) -> tuple[Array, Array, dict[str, Array]]:
        W, a, engine = super().checkpoint_state()
        return W, a, {**engine, "flow": self._flow.state()}

    def finish(self) -> tuple[TwoLayerReLU | None, EventState | None]:
        self.facts["flow"] = self._flow.facts()
        return super().finish()


def make_trainer(request: Request) -> TwoLayerTrainer:
    """The trainer of a request; decides method "auto" and says so in the trainer's facts.

    Raises
    ------
    ValueError
        The method cannot do what is asked for.
    """
    seen, choice = None, None
    if request.method == "auto":
        resumed = None if request.resume is None else checkpoint_setting(request.resume, "method")
        request.method, seen, choice = choose_method(
            request.network, request.X, request.y, request.passengers, request.loss, request.steps,
            request.step_size, layers=request.layers, resumed=resumed, threads=request.threads,
        )  # fmt: skip
    trainer: TwoLayerTrainer
    if request.method in ("event", "event-flow"):
        check_event_layers(request.layers)
        if request.method == "event-flow":
            network = request.network
            if network.outputs > 1 or not network.has_sign_readout:
                raise ValueError(
                    "network: method 'event-flow' needs one output with a_r = +-1; use small steps of 'event'"
                )
        kind = EventDescent if request.method == "event" else EventFlow
        trainer = kind(request, seen)
    else:
        trainer = {"gd": GradientDescent, "sgd": StochasticDescent, "flow": GradientFlow}[request.method](
            request
        )
    if choice is not None:
        trainer.facts["choice"] = choice
    return trainer
