"""What a training run records, at which steps, and how each quantity is computed from the state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lazygram.analysis.spectrum import eigenvalues, operator_norm
from lazygram.arrays import Array, Float64, check_nonnegative_int, check_positive_int
from lazygram.patterns import PackedPatterns

__all__ = ["QUANTITIES", "History", "Recorder", "record_steps", "recorded_quantities"]

_GRAM = ("lambda_min", "lambda_max", "gram_change")
_PATTERN = ("pattern_change", "flips")
_DISTANCE = ("max_distance", "mean_distance")
QUANTITIES = ("loss", "predictions", *_GRAM, *_PATTERN, *_DISTANCE)
_TEST = ("test_predictions", "test_loss")

History = dict[str, Array]


class State(Protocol):
    """State of a trainer at one step, as the recorder reads it."""

    @property
    def u(self) -> Float64:
        """Predictions on the training examples."""

    @property
    def patterns(self) -> PackedPatterns:
        """Activation patterns of the training examples."""

    def gram(self) -> Float64:
        """H(k) of the training examples."""

    def distances(self) -> Float64:
        """|w_r - w_r(0)| for every neuron."""

    def test_predictions(self) -> Float64:
        """Predictions on the test examples."""


@runtime_checkable
class CountsFlips(Protocol):
    """A state that knows how many bits moved, so that nobody needs to compare patterns."""

    def changed_bits(self) -> int:
        """Bits that differ from step 0."""

    def flips_since(self, steps: int) -> int:
        """Bits that differ from those at the last recorded step, `steps` steps ago."""

    def recorded(self) -> None:
        """Called when a step has been recorded."""


def recorded_quantities(record: Any, known: tuple[str, ...] = QUANTITIES) -> tuple[str, ...]:
    """Names asked for by the argument `record`, of those in `known`: "default" and "all" are everything.

    Raises
    ------
    ValueError, TypeError
        Unknown names.
    """
    if isinstance(record, str):
        if record in ("default", "all"):
            return known
        record = (record,)
    try:
        names = tuple(record)
    except TypeError:
        raise TypeError(f"record: 'all' or a list of names is needed, got {record!r}") from None
    for name in names:
        if name not in known:
            raise ValueError(f"record: unknown quantity {name!r}; known: {', '.join(known)}")
    return tuple(name for name in known if name in names or name == "loss")


def record_steps(record_every: int | Iterable[int], steps: int) -> list[int]:
    """Steps at which a run of `steps` steps is recorded: 0, the last, and those asked for.

    Raises
    ------
    ValueError, TypeError
        Not a positive int or a list of steps within 0 .. steps.
    """
    if isinstance(record_every, Iterable):
        chosen = {check_nonnegative_int(k, "record_every") for k in record_every}
        if chosen and max(chosen) > steps:
            raise ValueError(f"record_every: step {max(chosen)} is beyond the last step {steps}")
    else:
        chosen = set(range(0, steps + 1, check_positive_int(record_every, "record_every")))
    return sorted(chosen | {0, steps})


@dataclass
class Recorder:
    """Collects the history of one run.

    `patterns_0`, `gram_0` are those of step 0; `H(k)` is formed only when a spectrum is recorded.
    """

    quantities: tuple[str, ...]
    X: Array
    threads: int | None
    step_size: float
    test: bool
    patterns_0: PackedPatterns | None = None
    gram_0: Float64 | None = None
    width: int = 0
    rows: dict[str, list[Any]] = field(default_factory=dict)
    done: tuple[int, PackedPatterns | None] = (0, None)
    """Whole rows, and the patterns of the last one: changed together, for Ctrl-C to find them consistent."""

    def start(self, patterns_0: PackedPatterns | None, gram_0: Float64 | None) -> None:
        """Reference of the run: patterns (and H, when spectra are recorded) of step 0."""
        self.patterns_0 = patterns_0
        self.gram_0 = gram_0

    @property
    def wants_gram(self) -> bool:
        """Whether any spectral quantity is recorded."""
        return any(name in self.quantities for name in _GRAM)

    def restore(self, history: History, previous: PackedPatterns | None) -> None:
        """Continue from the history of a checkpoint; `previous` are the last recorded patterns."""
        self.rows = {name: list(values) for name, values in history.items()}
        self.done = (len(history["step"]) if history else 0, previous)

    @property
    def previous(self) -> PackedPatterns | None:
        """Patterns of the last recorded step; None when no pattern quantity is recorded."""
        return self.done[1]

    def record(self, step: int, loss: float, test_loss: float | None, state: State) -> dict[str, Any]:
        """Append one step; returns the values by name."""
        values: dict[str, Any] = {"step": step, "time": step * self.step_size, "loss": loss}
        if "predictions" in self.quantities:
            values["predictions"] = state.u.copy()
        self._record_gram(values, state)
        patterns = None
        if isinstance(state, CountsFlips):
            self._record_flips(values, step, state)
        else:
            patterns = self._record_patterns(values, state)
        if any(name in self.quantities for name in _DISTANCE):
            distances = state.distances()
            values["max_distance"] = float(distances.max())
            with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges
                values["mean_distance"] = float(distances.mean())
        if self.test:
            values["test_predictions"] = state.test_predictions()
            if test_loss is not None:
                values["test_loss"] = test_loss
        for name, value in values.items():
            if name in ("step", "time", *_TEST) or name in self.quantities:
                self.rows.setdefault(name, []).append(value)
        self.done = (self.done[0] + 1, patterns)
        if isinstance(state, CountsFlips):
            state.recorded()
        return values

    def _record_gram(self, values: dict[str, Any], state: State) -> None:
        if not self.wants_gram:
            return
        assert self.gram_0 is not None
        H = state.gram()
        if "lambda_min" in self.quantities or "lambda_max" in self.quantities:
            spectrum = eigenvalues(H)
            values["lambda_min"], values["lambda_max"] = float(spectrum[0]), float(spectrum[-1])
        if "gram_change" in self.quantities:
            values["gram_change"] = operator_norm(H - self.gram_0)

    def _record_flips(self, values: dict[str, Any], step: int, state: CountsFlips) -> None:
        """The same for a state that has counted."""
        if "pattern_change" in self.quantities:
            values["pattern_change"] = state.changed_bits() / (self.X.shape[0] * self.width)
        if "flips" in self.quantities:  # the state keeps what it compares with only when they are asked for
            before = self.rows.get("step", [step])
            values["flips"] = state.flips_since(step - int(before[-1] if before else step))

    def _record_patterns(self, values: dict[str, Any], state: State) -> PackedPatterns | None:
        """Pattern changes into `values`; returns the patterns that the next "flips" compares with."""
        if not any(name in self.quantities for name in _PATTERN):
            return None
        assert self.patterns_0 is not None
        patterns = state.patterns
        total = patterns.shape[0] * patterns.shape[1]
        changed = int(self.patterns_0.flips(patterns, threads=self.threads).sum())
        values["pattern_change"] = changed / total
        before = self.previous if self.previous is not None else self.patterns_0
        values["flips"] = int(before.flips(patterns, threads=self.threads).sum())
        # The trainer reuses its buffers, so the patterns of this step are kept as a copy.
        return PackedPatterns(patterns.bits.copy(), patterns.width)

    def history(self) -> History:
        """Everything recorded so far as arrays, first axis = recorded steps."""
        whole = self.done[0]  # Ctrl-C may have come between two appends of the next row
        return {name: np.asarray(values[:whole]) for name, values in self.rows.items()}
