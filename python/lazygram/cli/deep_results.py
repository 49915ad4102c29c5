"""What a run of a deep network leaves: history, linearised model, summary, figure, weights and theory
report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

import lazygram
from lazygram.analysis import DeepQuantities, TheoryRow, kernel_predict
from lazygram.analysis.deep_runs import infinite_width, network_quantities, run_report
from lazygram.analysis.spectrum import gram_spectrum
from lazygram.cli.console import number
from lazygram.cli.deep_figure import deep_figure
from lazygram.cli.results import accuracy, print_report
from lazygram.data import Dataset
from lazygram.files import write_json, write_npz
from lazygram.networks import DeepNetwork, DeepReLUNetwork
from lazygram.plotting import save_figure
from lazygram.training import Run
from lazygram.training.linearised import LinearisedRun, train_linearised

__all__ = ["DeepReference", "write_deep_results"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DeepReference:
    """What a run is compared with, made before it starts.

    `gram_infinite` and `gram_infinite_test` are the infinite-width NTK on the training examples and between
    test and training examples, `layer_limits` the limits of G^(h)(0); all None for a deep ReLU network.
    """

    gram_initial: Float64Array
    gram_initial_test: Float64Array | None
    gram_infinite: Float64Array | None
    gram_infinite_test: Float64Array | None
    u0: Float64Array
    f0_test: Float64Array | None
    quantities: DeepQuantities | None
    layer_lambda_min: tuple[float, ...] | None

    @classmethod
    def of(cls, network: DeepNetwork, data: Dataset) -> DeepReference:
        """Compute them for a network that has not been trained yet."""
        initial, u0 = _array(network.gram(data.X)), _array(network.predict(data.X))
        test, f0_test = None, None
        if data.X_test is not None:
            test, f0_test = _array(network.gram(data.X_test, data.X)), _array(network.predict(data.X_test))
        if isinstance(network, DeepReLUNetwork):
            return cls(initial, test, None, None, u0, f0_test, None, None)
        limit = infinite_width(network)
        quantities = network_quantities(network, data.X, data.y)
        infinite = _array(limit.ntk(data.X))
        infinite_test = None if data.X_test is None else _array(limit.ntk(data.X_test, data.X))
        return cls(
            initial, test, infinite, infinite_test, u0, f0_test, quantities, quantities.layer_lambda_min
        )

    @property
    def lam(self) -> float | None:
        """lambda_min(K^(H)), the theorems' rate."""
        return None if self.quantities is None else self.quantities.lam

    @property
    def ntk_lambda_min(self) -> float:
        """Of the infinite-width NTK, or of the initial one where there is no other."""
        if self.quantities is not None:
            return self.quantities.ntk_lambda_min
        return gram_spectrum(self.gram_initial)[0]

    def linearised(self, run: Run, y: Float64Array, seed: int) -> dict[str, LinearisedRun]:
        """The linearised network with either Gram matrix, trained like the run (not for flow)."""
        if run.summary["method"] == "flow" or run.summary["step_size"] is None:
            return {}
        made = {}
        for name, gram, test in (
            ("initial", self.gram_initial, self.gram_initial_test),
            ("infinite", self.gram_infinite, self.gram_infinite_test),
        ):
            if gram is not None:
                steps = run.history["step"]
                made[name] = train_linearised(
                    gram,
                    self.u0,
                    y,
                    int(steps[-1]),
                    run.summary["step_size"],
                    loss=run.summary["loss"],
                    reduction=run.summary["reduction"],
                    batch_size=run.summary["batch_size"],
                    seed=seed,
                    record_every=steps.tolist(),
                    gram_test=test,
                    f0_test=self.f0_test,
                )
        return made


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
    linearised = reference.linearised(run, data.y, settings["seed"]) if finite else {}
    rows: list[TheoryRow] = []
    if finite:
        rows = run_report(network, data.X, data.y, run.summary, run.history, quantities=reference.quantities)
    run.save(folder / "history.npz")
    distances = _distances(run, linearised)
    if linearised:
        arrays: dict[str, npt.NDArray[Any]] = {"step": run.history["step"], **distances}
        for name, twin in linearised.items():
            arrays |= {f"{entry}_{name}": twin.history[entry] for entry in twin.history if entry != "step"}
        write_npz(folder / "predicted.npz", arrays)
    kernel_gap = _kernel_gap(run, data, reference)
    summary = {
        "lazygram": lazygram.__version__,
        "run": run.summary,
        "data": {"name": data.name, "description": data.description, "task": data.task},
        "settings": dict(settings),
        "lambda": reference.lam,
        "ntk_lambda_min": reference.ntk_lambda_min,
        "test_accuracy": accuracy(run, data),
        "linearised_distance": {name: float(values.max()) for name, values in distances.items()},
        "kernel_predictor_distance": kernel_gap,
        "theory": [dataclasses.asdict(row) for row in rows],
        "isa": lazygram.config()["isa_used"],
    }
    write_json(folder / "summary.json", summary)
    if save_weights and isinstance(run.network, DeepNetwork):
        names = run.network.parameter_names
        write_npz(
            folder / "weights.npz", dict(zip(names, map(np.asarray, run.network.parameters), strict=True))
        )
    width = network.widths[0] if isinstance(network, DeepReLUNetwork) else network.parameters[0].shape[0]
    figure = deep_figure(
        run.history,
        f"{data.name}, {arch}: n = {run.summary['n']}, m = {width}, H = {network.depth}, "
        f"{run.summary['method']}, {run.summary['loss']} loss, step size {number(run.summary['step_size'])}",
        names=run.summary["parameter_names"],
        limits=reference.layer_lambda_min,
        linearised={name: twin.history["loss"] for name, twin in linearised.items()},
        distances=distances,
        time=run.summary["method"] == "flow",
    )
    save_figure(figure, folder / "figure")
    _print(run, folder, console, data, rows, distances, kernel_gap, full_report)


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


def _kernel_gap(run: Run, data: Dataset, reference: DeepReference) -> dict[str, float] | None:
    """Test predictions of the trained network against both kernels' predictors (quadratic loss).

    Root mean square of the difference over that of the labels of the training set minus u(0).
    """
    if run.summary["loss"] != "quadratic" or "test_predictions" not in run.history:
        return None
    scale = float(np.sqrt(np.mean((reference.u0 - data.y) ** 2)))
    gaps = {}
    for name, gram, test in (
        ("initial", reference.gram_initial, reference.gram_initial_test),
        ("infinite", reference.gram_infinite, reference.gram_infinite_test),
    ):
        if gram is None or test is None:
            continue
        try:
            limit = kernel_predict(test, gram, data.y, reference.u0, reference.f0_test)
        except np.linalg.LinAlgError:  # singular to working precision: there is no such predictor
            continue
        gap = run.history["test_predictions"][-1] - limit
        gaps[name] = float(np.sqrt(np.mean(gap**2))) / scale
    return gaps


def _print(
    run: Run,
    folder: Path,
    console: Console,
    data: Dataset,
    rows: list[TheoryRow],
    distances: Mapping[str, Float64Array],
    kernel_gap: Mapping[str, float] | None,
    full_report: bool,
) -> None:
    """Print result, distance from the linearised network, theory against measurement, and the files."""
    summary = run.summary
    console.print(
        f"result   loss {number(summary['initial_loss'])} -> {number(summary['final_loss'])} in "
        f"{summary['steps_done']} steps of {number(summary['step_size'])}, "
        f"{summary['elapsed_seconds']:.1f} s",
        markup=False,
    )
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
