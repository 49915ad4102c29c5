"""What the training of a deep network records, layer by layer, and how it is computed from the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazygram.analysis.spectrum import eigenvalues, operator_norm
from lazygram.arrays import Float64
from lazygram.networks.backend import Backend
from lazygram.training.deep_state import DeepState
from lazygram.training.history import Recorder
from lazygram.training.movement import frobenius_norm, largest_singular_value

__all__ = ["DEEP_QUANTITIES", "DeepRecorder"]

_GRAM = ("layer_lambda_min", "layer_gram_change", "lambda_min", "lambda_max", "gram_change")
_MOVEMENT = ("layer_distance", "layer_movement", "layer_movement_op")
DEEP_QUANTITIES = ("loss", "predictions", *_GRAM, *_MOVEMENT, "pattern_change", "gradient_norm")


@dataclass
class DeepRecorder(Recorder):
    """Collects the history of one run of a deep network; the references are those of step 0."""

    backend: Backend | None = None
    grams_0: list[Float64] = field(default_factory=list)
    parameters_0: list[Any] = field(default_factory=list)
    signs_0: list[Any] = field(default_factory=list)

    @property
    def wants_gram(self) -> bool:
        """Whether any spectral quantity is recorded."""
        return any(name in self.quantities for name in _GRAM)

    def start_deep(self, state: DeepState, parameters_0: list[Any]) -> None:
        """References of the run, from the state of step 0."""
        if self.wants_gram:
            self.grams_0 = state.grams()
        if "pattern_change" in self.quantities:
            self.signs_0 = state.patterns()
        self.parameters_0 = parameters_0

    def record_deep(
        self, state: DeepState, loss: float, test_loss: float | None, rho: Float64, step_size: float
    ) -> dict[str, Any]:
        """Append one step; returns the values by name. `rho` is dL/du, `step_size` what led here."""
        values: dict[str, Any] = {"step": state.step, "time": state.time}
        values |= {"step_size": step_size, "loss": loss}
        if "predictions" in self.quantities:
            values["predictions"] = state.u.copy()
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges
            if self.wants_gram:
                values |= self._spectra(state)
            values |= self._movement(state)
            if "pattern_change" in self.quantities:
                values["pattern_change"] = self._pattern_change(state)
            if "gradient_norm" in self.quantities:
                assert self.backend is not None
                values["gradient_norm"] = np.array(
                    [frobenius_norm(self.backend, g) for g in state.gradient(rho)]
                )
        values = {
            name: value
            for name, value in values.items()
            if name in ("step", "time", "step_size") or name in self.quantities
        }
        if self.test:
            values["test_predictions"] = state.test_predictions()
            if test_loss is not None:
                values["test_loss"] = test_loss
        for name, value in values.items():
            self.rows.setdefault(name, []).append(value)
        self.done = (self.done[0] + 1, None)
        return values

    def _spectra(self, state: DeepState) -> dict[str, Any]:
        grams = state.grams()
        total, total_0 = sum(grams), sum(self.grams_0)
        if not np.isfinite(total).all():  # LAPACK would raise
            nothing = np.full(len(grams), np.nan)
            return {name: nothing if name.startswith("layer") else np.nan for name in _GRAM}
        values: dict[str, Any] = {}
        if "layer_lambda_min" in self.quantities:
            values["layer_lambda_min"] = np.array([eigenvalues(G)[0] for G in grams])
        if "layer_gram_change" in self.quantities:
            changes = [operator_norm(G - G_0) for G, G_0 in zip(grams, self.grams_0, strict=True)]
            values["layer_gram_change"] = np.array(changes)
        if "lambda_min" in self.quantities or "lambda_max" in self.quantities:
            spectrum = eigenvalues(total)
            values["lambda_min"], values["lambda_max"] = float(spectrum[0]), float(spectrum[-1])
        if "gram_change" in self.quantities:
            values["gram_change"] = operator_norm(total - total_0)
        return values

    def _movement(self, state: DeepState) -> dict[str, Any]:
        if not any(name in self.quantities for name in _MOVEMENT):
            return {}
        b = self.backend
        assert b is not None
        rows = []
        for W, W_0 in zip(state.parameters, self.parameters_0, strict=True):
            difference = W - W_0
            distance = frobenius_norm(b, difference)
            norm = largest_singular_value(b, difference) if "layer_movement_op" in self.quantities else 0.0
            rows.append((distance, distance / frobenius_norm(b, W_0), norm))
        return dict(zip(_MOVEMENT, np.array(rows).T, strict=True))

    def _pattern_change(self, state: DeepState) -> Float64:
        assert self.backend is not None
        b = self.backend
        changed = [
            b.total(b.cast(now != before)) / int(np.prod(before.shape))
            for now, before in zip(state.patterns(), self.signs_0, strict=True)
        ]
        return np.array(changed)
