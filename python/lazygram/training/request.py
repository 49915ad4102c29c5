"""The arguments of `train`, checked: everything that does not depend on how the method works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import (
    Array,
    Float64,
    as_matrix,
    check_nonnegative_int,
    check_positive_float,
    check_positive_int,
)
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads
from lazygram.random import seed_to_int
from lazygram.training.course import CourseRequest, PathLike
from lazygram.training.history import record_steps
from lazygram.training.losses import Loss, as_targets, get_loss

__all__ = [
    "METHODS",
    "Request",
    "check_batch_size",
    "check_callbacks",
    "check_checkpoints",
    "check_deep_options",
    "checked_request",
    "number_or_auto",
]

METHODS = ("gd", "sgd", "flow", "event", "event-flow", "auto")
_FLOWS = ("flow", "event-flow")
_SPECTRA = ("auto", "exact")


@dataclass
class Request(CourseRequest):
    """One call of `train` for a two-layer network. "auto" is the method asked for until it is decided."""

    network: TwoLayerReLU
    X: Array
    y: Float64
    step_size: float | None
    """None: "auto"."""
    loss: Loss
    method: str
    layers: str
    batch_size: int | None
    seed: int
    record: Any
    distances: set[int] | None
    """Records at which distances are computed; None: at all, where they are recorded."""
    spectra: str
    X_test: Array | None
    y_test: Float64 | None
    flow_tolerance: float
    threads: int | None
    memory_limit: int | None
    progress: Callable[[str, float], None] | None

    @property
    def passengers(self) -> Array:
        """Test points that ride along with the examples; may have no rows."""
        return self.X[:0] if self.X_test is None else self.X_test


def checked_request(
    network: TwoLayerReLU,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    steps: int,
    step_size: float | str,
    *,
    loss: Any,
    method: str,
    layers: str,
    batch_size: int | None,
    seed: int | np.random.Generator,
    record: str | Iterable[str],
    record_every: int | Iterable[int],
    X_test: npt.ArrayLike | None,
    y_test: npt.ArrayLike | None,
    tolerance: float | None,
    callbacks: Callable[[Any], Any] | Sequence[Callable[[Any], Any]],
    checkpoint: PathLike | None,
    checkpoint_every: int | None,
    resume: PathLike | None,
    threads: int | None,
    memory_limit: int | None,
    distance_every: int | Iterable[int] | None,
    spectra: str,
    flow_tolerance: float,
    progress: Callable[[str, float], None] | None,
) -> Request:
    """See `train`.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.
    """
    x = as_matrix(X, "X", dtype=network.dtype, columns=network.dim, allow_zero_rows=False)
    targets = as_targets(y, "y", x.shape[0], network.outputs)
    count = check_nonnegative_int(steps, "steps")
    checked_loss = get_loss(loss)
    checked_loss.check_labels(targets)
    # A derivative of the wrong shape is said now, not after the forward pass.
    slope = np.shape(checked_loss.derivative(np.zeros_like(targets), targets))
    if slope != targets.shape:
        raise ValueError(f"loss: dl/du must have the shape of u, {targets.shape}, got {slope}")
    if method not in METHODS:
        raise ValueError(f"method: one of {', '.join(METHODS)} is needed, got {method!r}")
    if layers not in ("first", "both"):
        raise ValueError(f"layers: 'first' or 'both' is needed, got {layers!r}")
    x_test, targets_test = _check_test(network, X_test, y_test)
    check_threads(threads)
    if isinstance(step_size, str) and step_size != "auto":
        raise ValueError(f"step_size: a positive number or 'auto' is needed, got {step_size!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: a callable is needed, got {progress!r}")
    if method == "flow":
        if network.dtype != np.float64:
            raise ValueError("method: 'flow' needs a float64 network")
        if checkpoint is not None or resume is not None:
            raise ValueError("checkpoint: 'flow' cannot be checkpointed; use a small step of 'gd'")
    if spectra not in _SPECTRA:
        raise ValueError(f"spectra: one of {', '.join(_SPECTRA)} is needed, got {spectra!r}")
    records = set(record_steps(record_every, count))
    return Request(
        network=network,
        X=x,
        y=targets,
        steps=count,
        step_size=None if isinstance(step_size, str) else check_positive_float(step_size, "step_size"),
        loss=checked_loss,
        method=method,
        layers=layers,
        batch_size=_check_batch(batch_size, method, x.shape[0]),
        seed=seed_to_int(seed),
        record=record,
        records=records,
        distances=None if distance_every is None else _distance_steps(distance_every, records, count),
        spectra=spectra,
        X_test=x_test,
        y_test=targets_test,
        tolerance=None if tolerance is None else check_positive_float(tolerance, "tolerance"),
        flow_tolerance=check_positive_float(flow_tolerance, "flow_tolerance"),
        callbacks=check_callbacks(callbacks),
        checkpoint=checkpoint,
        checkpoint_every=check_checkpoints(checkpoint, checkpoint_every),
        resume=resume,
        threads=threads,
        memory_limit=None if memory_limit is None else check_positive_int(memory_limit, "memory_limit"),
        progress=progress,
    )


def _distance_steps(every: int | Iterable[int], records: set[int], steps: int) -> set[int]:
    if isinstance(every, Iterable):
        chosen = set(record_steps(every, steps)) & set(every)
        missing = sorted(chosen - records)
        if missing:
            raise ValueError(f"distance_every: step {missing[0]} is not recorded, see record_every")
        return chosen
    return set(record_steps(check_positive_int(every, "distance_every"), steps)) & records


def _check_batch(batch_size: int | None, method: str, n: int) -> int | None:
    if method == "auto" and batch_size is not None:
        raise ValueError("batch_size: only for methods 'sgd' and 'event', got method 'auto'")
    if method not in ("sgd", "event"):
        if batch_size is not None:
            raise ValueError(f"batch_size: only for method 'sgd', got method {method!r}")
        return None
    if batch_size is None and method == "event":
        return None
    return check_batch_size(batch_size, n)


def _check_test(
    network: TwoLayerReLU, X_test: npt.ArrayLike | None, y_test: npt.ArrayLike | None
) -> tuple[Array | None, Float64 | None]:
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test: needs X_test")
        return None, None
    x = as_matrix(X_test, "X_test", dtype=network.dtype, columns=network.dim)
    if y_test is None:
        return x, None
    return x, as_targets(y_test, "y_test", x.shape[0], network.outputs)


def check_batch_size(batch_size: int | None, n: int) -> int:
    """Examples of an SGD step, between 1 and n."""
    if batch_size is None:
        raise ValueError("batch_size: is needed for method 'sgd'")
    size = check_positive_int(batch_size, "batch_size")
    if size > n:
        raise ValueError(f"batch_size: at most the number of examples, {n}, got {size}")
    return size


def check_checkpoints(checkpoint: PathLike | None, every: int | None) -> int | None:
    """Steps between two checkpoints, which need a file."""
    if every is None:
        return None
    if checkpoint is None:
        raise ValueError("checkpoint_every: needs a file in `checkpoint`")
    return check_positive_int(every, "checkpoint_every")


def check_deep_options(
    network: Any, layers: str, memory_limit: int | None, distance_every: Any, spectra: str, progress: Any
) -> None:
    """Refuse what is not a network, and options that deep networks do not have."""
    if not hasattr(network, "layer_grams"):
        raise TypeError(f"network: a TwoLayerReLU or deep network is needed, got {type(network).__name__}")
    if layers != "first":
        raise ValueError("layers: only for two-layer networks; use layer_step_sizes to freeze layers")
    if memory_limit is not None:
        raise ValueError("memory_limit: only for method 'event' of two-layer networks")
    if progress is not None:
        raise ValueError("progress: only for method 'event' of two-layer networks; use callbacks")
    if distance_every is not None:
        raise ValueError("distance_every: only for two-layer networks")
    if spectra != "auto":
        raise ValueError("spectra: only for two-layer networks; those of deep networks are exact")


def number_or_auto(step_size: Any) -> Any:
    """Refuse schedules of step sizes."""
    if callable(step_size) or (isinstance(step_size, Iterable) and not isinstance(step_size, str)):
        raise TypeError(f"step_size: schedules are for deep networks; a number is needed, got {step_size!r}")
    return step_size


def check_callbacks(callbacks: Any) -> list[Callable[[Any], Any]]:
    """One callable or several, as a list; TypeError naming `callbacks` otherwise."""
    if not callable(callbacks) and not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: a callable or a list of callables is needed, got {callbacks!r}")
    checked = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in checked:
        if not callable(callback):
            raise TypeError(f"callbacks: callables are needed, got {callback!r}")
    return checked
