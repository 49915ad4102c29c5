"""What a run of a deep network leaves: history, linearised model, summary, figure, weights and theory
report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

import lazygram
from lazygram.analysis import DeepQuantities, TheoryRow, kernel_predict
from lazygram.analysis.deep_quantities import LayerGap, layer_gaps
from lazygram.analysis.deep_runs import layer_limits, network_quantities, run_report
from lazygram.analysis.spectrum import gram_spectrum
from lazygram.cli.console import number
from lazygram.cli.deep_figure import deep_figure
from lazygram.cli.results import accuracy, print_report
from lazygram.data import Dataset
from lazygram.files import write_json, write_npz
from lazygram.networks import DeepNetwork, DeepReLUNetwork
from lazygram.plotting import save_figure
from lazygram.training import DecreasingStepSize, LinearisedRun, Run, train_linearised
from lazygram.training.schedules import StepSize

__all__ = ["DeepReference", "write_deep_results"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DeepReference:
    """What a run is compared with, made before it starts.

    Tangent kernels are those of the run's step sizes: every layer's Gram matrix times the layer's factor.

    Attributes
    ----------
    gram_initial, gram_infinite : ndarray, shape (n, n)
        Of the initial network and of infinite width, on the training examples.
    gram_initial_test, gram_infinite_test : ndarray, shape (n_test, n), or None
        Between test and training examples.
    u0, f0_test : ndarray, shapes (n,) and (n_test,)
        Predictions of the initial network.
    gaps : list of LayerGap
        ``G^(h)(0)`` against its limit, layer by layer.
    layer_lambda_min : tuple of float
        Smallest eigenvalue of the limits.
    quantities : DeepQuantities or None
        Of Theorems 3.1-3.4; None for a deep ReLU network.
    """

    gram_initial: Float64Array
    gram_initial_test: Float64Array | None
    gram_infinite: Float64Array
    gram_infinite_test: Float64Array | None
    u0: Float64Array
    f0_test: Float64Array | None
    gaps: list[LayerGap]
    layer_lambda_min: tuple[float, ...]
    quantities: DeepQuantities | None

    @classmethod
    def of(cls, network: DeepNetwork, data: Dataset, factors: Sequence[float] | None = None) -> DeepReference:
        """Compute them for a network that has not been trained yet."""
        weights = factors or [1.0] * len(network.parameters)

        def weighted(layers: Sequence[npt.ArrayLike]) -> Float64Array:
            return np.asarray(sum(w * _array(G) for w, G in zip(weights, layers, strict=True)))

        grams, limits = network.layer_grams(data.X), layer_limits(network, data.X)
        initial_test = infinite_test = f0_test = None
        if data.X_test is not None:
            initial_test = weighted(network.layer_grams(data.X_test, data.X))
            infinite_test = weighted(layer_limits(network, data.X_test, data.X))
            f0_test = _array(network.predict(data.X_test))
        has_theorems = not isinstance(network, DeepReLUNetwork)
        return cls(
            weighted(grams),
            initial_test,
            weighted(limits),
            infinite_test,
            _array(network.predict(data.X)),
            f0_test,
            layer_gaps(grams, limits),
            tuple(gram_spectrum(K)[0] for K in limits),
            network_quantities(network, data.X, data.y) if has_theorems else None,
        )

    @property
    def lam(self) -> float | None:
        """lambda_min(K^(H)), the theorems' rate."""
        return None if self.quantities is None else self.quantities.lam

    @property
    def ntk_lambda_min(self) -> float:
        """Of the infinite-width NTK."""
        return gram_spectrum(self.gram_infinite)[0]

    def linearised(
        self, run: Run, y: Float64Array, seed: int, step_size: StepSize
    ) -> dict[str, LinearisedRun]:
        """The linearised network with either Gram matrix, trained like the run."""
        summary, steps = run.summary, run.history["step"]
        first = float(run.history["step_size"][0])  # what "auto" came to
        rule: float | DecreasingStepSize = first
        if isinstance(step_size, DecreasingStepSize):
            rule = dataclasses.replace(step_size, step_size=first)
        return {
            name: train_linearised(
                gram,
                self.u0,
                y,
                int(steps[-1]),
                rule,
                loss=summary["loss"],
                reduction=summary["reduction"],
                batch_size=summary["batch_size"],
                seed=seed,
                record_every=steps.tolist(),
                gram_test=test,
                f0_test=self.f0_test,
                flow=summary["method"] == "flow",
            )
            for name, gram, test in self._kernels()
        }

    def _kernels(self) -> list[tuple[str, Float64Array, Float64Array | None]]:
        return [
            ("initial", self.gram_initial, self.gram_initial_test),
            ("infinite", self.gram_infinite, self.gram_infinite_test),
        ]

    def predictor_gaps(self, run: Run, y: Float64Array) -> dict[str, float] | None:
        """Test predictions of the trained network against both kernels' predictors (quadratic loss).

        Root mean square of the difference over that of the labels of the training set minus u(0).
        """
        if run.summary["loss"] != "quadratic" or "test_predictions" not in run.history:
            return None
        scale = float(np.sqrt(np.mean((self.u0 - y) ** 2)))
        gaps = {}
        for name, gram, test in self._kernels():
            if test is None:
                continue
            try:
                limit = kernel_predict(test, gram, y, self.u0, self.f0_test)
            except np.linalg.LinAlgError:  # singular to working precision: there is no such predictor
                continue
            gap = run.history["test_predictions"][-1] - limit
            gaps[name] = float(np.sqrt(np.mean(gap**2))) / scale
        return gaps


def write_deep_results(
    run: Run,
    network: DeepNetwork,
    folder: Path,
    console: Console,
    *,
    arch: str,
    data: Dataset,
    reference: DeepReference,
    settings: Mapping[str, Any],
    step_size: StepSize,
    save_weights: bool,
    full_report: bool,
) -> None:
    """Write the files of a run, whole or not at all each, and print the report.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    finite = bool(np.isfinite(run.history["loss"][0]))
    linearised = reference.linearised(run, data.y, settings["seed"], step_size) if finite else {}
    rows: list[TheoryRow] = []
    if finite:
        trained = run.network if isinstance(run.network, DeepNetwork) else None
        rows = run_report(
            network,
            data.X,
            data.y,
            run.summary,
            run.history,
            trained=trained,
            quantities=reference.quantities,
        )
    run.save(folder / "history.npz")
    distances = _distances(run, linearised)
    if linearised:
        arrays: dict[str, npt.NDArray[Any]] = {"step": run.history["step"], **distances}
        for name, twin in linearised.items():
            arrays |= {f"{entry}_{name}": twin.history[entry] for entry in twin.history if entry != "step"}
        write_npz(folder / "predicted.npz", arrays)
    kernel_gap = reference.predictor_gaps(run, data.y)
    names = run.summary["parameter_names"]
    summary = {
        "lazygram": lazygram.__version__,
        "run": run.summary,
        "data": {"name": data.name, "description": data.description, "task": data.task},
        "settings": dict(settings),
        "lambda": reference.lam,
        "ntk_lambda_min": reference.ntk_lambda_min,
        "initial_gram": {
            name: {
                "distance_to_limit": gap.operator,
                "relative_entry": gap.relative,
                "lambda_min": gap.lambda_min,
                "limit_lambda_min": limit,
            }
            for name, gap, limit in zip(names, reference.gaps, reference.layer_lambda_min, strict=True)
        },
        "covariance_errors": None if reference.quantities is None else reference.quantities.covariance_errors,
        "test_accuracy": accuracy(run, data),
        "linearised_distance": {name: float(values.max()) for name, values in distances.items()},
        "kernel_predictor_distance": kernel_gap,
        "theory": [dataclasses.asdict(row) for row in rows],
        "isa": lazygram.config()["isa_used"],
    }
    write_json(folder / "summary.json", summary)
    if save_weights and isinstance(run.network, DeepNetwork):
        write_npz(
            folder / "weights.npz", dict(zip(names, map(np.asarray, run.network.parameters), strict=True))
        )
    width = network.widths[0] if isinstance(network, DeepReLUNetwork) else network.parameters[0].shape[0]
    figure = deep_figure(
        run.history,
        f"{data.name}, {arch}: n = {run.summary['n']}, m = {width}, H = {network.depth}, "
        f"{run.summary['method']}, {run.summary['loss']} loss, step size {_step_size(run)}",
        names=names,
        limits=reference.layer_lambda_min,
        initial_gaps=[gap.operator for gap in reference.gaps],
        linearised={name: twin.history["loss"] for name, twin in linearised.items()},
        distances=distances,
        reduction=run.summary["reduction"],
        time=run.summary["method"] == "flow",
    )
    save_figure(figure, folder / "figure")
    _print(run, folder, console, data, rows, reference.gaps, distances, kernel_gap, full_report)


def _step_size(run: Run) -> str:
    schedule: str | None = run.summary["schedule"]
    return number(run.summary["step_size"]) if schedule is None else schedule


def _array(values: Any) -> Float64Array:
    return np.asarray(values, dtype=np.float64)


def _distances(run: Run, linearised: Mapping[str, LinearisedRun]) -> dict[str, Float64Array]:
    """Distance of the network's predictions from the linearised ones, training and test."""
    found = {}
    for name, twin in linearised.items():
        found[f"distance_{name}"] = twin.distance(run.history["predictions"])
        if "test_predictions" in twin.history and "test_predictions" in run.history:
            found[f"test_distance_{name}"] = twin.distance(run.history["test_predictions"], test=True)
    return found


def _print(
    run: Run,
    folder: Path,
    console: Console,
    data: Dataset,
    rows: list[TheoryRow],
    initial: Sequence[LayerGap],
    distances: Mapping[str, Float64Array],
    kernel_gap: Mapping[str, float] | None,
    full_report: bool,
) -> None:
    """Print result, distance from the linearised network, theory against measurement, and the files."""
    summary = run.summary
    console.print(
        f"result   loss {number(summary['initial_loss'])} -> {number(summary['final_loss'])} in "
        f"{summary['steps_done']} steps of {_step_size(run)}, "
        f"{summary['elapsed_seconds']:.1f} s",
        markup=False,
    )
    gaps = ", ".join(
        f"{name} {number(gap.operator)}"
        for name, gap in zip(summary["parameter_names"], initial, strict=True)
    )
    console.print(f"initial  distance of G^(h)(0) from its infinite-width limit: {gaps}", markup=False)
    for name, text in (("initial", "G(0)"), ("infinite", "infinite-width NTK")):
        if f"distance_{name}" in distances:
            parts = [f"training {number(float(distances[f'distance_{name}'].max()))}"]
            if f"test_distance_{name}" in distances:
                parts.append(f"test {number(float(distances[f'test_distance_{name}'].max()))}")
            if kernel_gap is not None and name in kernel_gap:
                parts.append(f"test, end against predictor {number(kernel_gap[name])}")
            console.print(
                f"frozen   largest distance from training with {text}: {', '.join(parts)}", markup=False
            )
    print_report(run, folder, console, data, rows, full_report)
