"""Experiments of thesis chapters 4 and 7 and of the essay: plain loops, resuming, verdicts, figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lazygram.experiments import (
    balance_expected,
    essay_landscape_expected,
    essay_rank_expected,
    essay_width,
    fig4_1_expected,
    fig4_2,
    fig4_2_expected,
    fig7_2,
    fig7_3_4_expected,
    fig7_warmup,
    get_experiment,
    thm4_4_expected,
    thm4_5_expected,
)
from lazygram.experiments.base import ExperimentResult
from lazygram.plotting import figure_style

TINY: dict[str, dict[str, Any]] = {
    "fig4.1": {},
    "balance": {"step_sizes": (0.02, 0.01), "points": 2, "time": 2.0},
    "thm4.4": {"literal_steps": 200},
    "thm4.5": {"dimensions": (50, 200)},
    "fig4.2": {"n": 40, "dim": 30, "hidden": 12, "outputs": 3, "steps": 300, "step_size": 0.01},
    "fig7.warmup": {},
    "fig7.2": {"curvatures": (2.0,), "grid": 101},
    "fig7.3": {"curvatures": (1.0,), "steps": 400},
    "fig7.4": {"curvatures": (1.0,), "dim": 4, "steps": 150, "gd_starts": 3, "pgd_starts": 3},
    "essay.rank": {"draws": 40},
    "essay.landscape": {"widths": (1, 20), "starts": 2, "hidden": ((2,),), "steps": 6000, "linear_starts": 2},
    "essay.width": {"factors": (0.5, 2.0), "seeds": (1,), "train": 100, "test": 200},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ExperimentResult, Path]]:
    """One tiny run of each, with its parts."""
    found = {}
    for name, settings in TINY.items():
        experiment, folder = get_experiment(name), tmp_path_factory.mktemp("run")
        seen: list[float] = []

        def watch(message: str, done: float, seen: list[float] = seen) -> None:
            assert message
            seen.append(done)

        found[name] = experiment.run(experiment.parameters(True, settings), folder, watch), folder
        assert seen
        assert 0 <= min(seen) <= max(seen) <= 1
    return found


@pytest.mark.parametrize("name", TINY)
def test_a_second_run_takes_all_parts_and_gives_the_same(
    name: str, results: dict[str, tuple[ExperimentResult, Path]]
) -> None:
    experiment = get_experiment(name)
    first, folder = results[name]
    assert not any("Taken from" in note for note in first.notes)
    files = {file: file.stat().st_mtime_ns for file in (folder / "parts").iterdir()}
    assert files
    again = experiment.run(experiment.parameters(True, TINY[name]), folder, None)
    assert any("Taken from" in note for note in again.notes)
    assert {file: file.stat().st_mtime_ns for file in (folder / "parts").iterdir()} == files
    for key, values in first.arrays.items():
        np.testing.assert_array_equal(again.arrays[key], values)
    assert [dataclasses.asdict(row) for row in again.rows] == [dataclasses.asdict(row) for row in first.rows]
    json.dumps(dataclasses.asdict(experiment.parameters(True, TINY[name])))


@pytest.mark.parametrize("name", TINY)
def test_figures_are_drawn(name: str, results: dict[str, tuple[ExperimentResult, Path]]) -> None:
    with figure_style():
        figure = get_experiment(name).draw(results[name][0])
        figure.draw_without_rendering()
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            continue
        assert axes.lines or axes.patches
        assert axes.get_title(loc="left") or axes.get_title()  # three-dimensional ones have it in the middle
        assert axes.get_xlabel() or name == "balance"


def test_tiny_runs_meet_what_holds_at_any_size(
    results: dict[str, tuple[ExperimentResult, Path]],
) -> None:
    allowed = {
        "balance": "loss at the end",  # too short
        "fig4.2": "balanced",  # likewise
        "essay.width": "iterations",  # one seed
    }
    for name, (result, _) in results.items():
        failed = [row.name for row in result.rows if not row.passed]
        assert all(name in allowed and allowed[name] in row for row in failed), (name, failed)


Change = Callable[[dict[str, Any]], None]


def set_to(key: str, index: Any, value: float) -> Change:
    def change(arrays: dict[str, Any]) -> None:
        arrays[key] = arrays[key].copy()
        arrays[key][index] = value

    return change


def times(key: str, index: Any, factor: float) -> Change:
    def change(arrays: dict[str, Any]) -> None:
        arrays[key] = arrays[key].astype(float)
        arrays[key][index] *= factor

    return change


EXPECTATIONS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "fig4.1": fig4_1_expected.expectations,
    "balance": balance_expected.expectations,
    "thm4.4": thm4_4_expected.expectations,
    "thm4.5": thm4_5_expected.expectations,
    "fig4.2": fig4_2_expected.expectations,
    "fig7.warmup": lambda p, arrays: (fig7_warmup._expectations(p, arrays), []),
    "fig7.2": fig7_2._expectations,
    "fig7.3": fig7_3_4_expected.expectations,
    "essay.rank": essay_rank_expected.expectations,
    "essay.landscape": essay_landscape_expected.expectations,
    "essay.width": lambda p, arrays: (essay_width._expectations(p, arrays), []),
}
WRONG: list[tuple[str, Change, str]] = [
    ("fig4.1", times("value", (1, 100), 2.0), "f at step 100: regularised"),
    ("fig4.1", set_to("value", (0, -1), 1e-9), "plain: f at the end"),
    ("fig4.1", times("imbalance", (0, 300), 1.2), "plain: change of the imbalance"),
    ("fig4.1", set_to("imbalance", (1, -1), 1e-3), "regularised: imbalance"),
    ("fig4.1", times("norm_U", (0, -1), 1.1), "nuclear norm"),
    ("balance", set_to("layer", 2, 1e-9), "convolutional: layers"),
    ("balance", set_to("neuron", 0, 1e-9), "dense ReLU: neurons"),
    ("balance", set_to("linear", 1, 1e-9), "linear gap: linear gap"),
    ("balance", set_to("relu_gap", (), 1e-9), "linear identity"),
    ("balance", times("drift", (3, 0), 3.0), "sparse: slope"),
    ("thm4.4", set_to("imbalance", (1, 500), 0.5), "delta = 0.25: largest imbalance"),
    ("thm4.4", times("literal_value", -1, 1.1), "theorem's steps: largest rise"),
    ("thm4.4", set_to("value", (2, -1), 1e-6), "delta = 0.5: f at the end"),
    ("thm4.4", set_to("norm", (0, 3), 100.0), "delta = 0.05: largest of |U|^2"),
    ("thm4.5", set_to("reduction_error", (), 1e-9), "four scalars"),
    ("thm4.5", set_to("recursion_error", (), 1e-9), "recursion"),
    ("thm4.5", set_to("lemma", 3, 1), "h <= 0"),
    ("thm4.5", set_to("distance", (-1, 7), 0.1), "largest |uv^T - M|_F"),
    ("thm4.5", times("iterations", 0, 1.2), "d = 50: median"),
    ("thm4.5", times("scalars", (3, slice(None), 0), 1e4), "largest |a/b|"),
    ("fig4.2", times("norms", (1, -1, 0), 1.5), "unbalanced: change of |W1|^2"),
    ("fig4.2", times("explicit", 0, 1.01), "from its entries"),
    ("fig7.warmup", times("band_steps", 4, 1.5), "thin band"),
    ("fig7.warmup", times("far_steps", 0, 1.04), "R = 10"),
    ("fig7.warmup", times("arrival", 1, 3.0), "largest of these"),
    ("fig7.warmup", set_to("jumps", 2, 0.1), "jump of the Hessian"),
    ("fig7.2", set_to("jumps", (0, 2), 0.1), "jump of the Hessian"),
    ("fig7.2", set_to("stationary", 0, 0.1), "gradient at saddles"),
    ("fig7.2", set_to("saddle_values", 0, 1.0), "f + m nu"),
    ("fig7.2", set_to("saddle_curvatures", 0, 1.0), "Hessian - diag"),
    ("fig7.2", times("least_gradient", 0, 0.9), "least |gradient|"),
    ("fig7.2", times("slope", 0, 0.9), "steepest slope"),
    ("fig7.2", times("curvature", 0, 1.1), "largest curvature"),
    ("fig7.3", set_to("gd_rise", 0, 1e-3), "largest rise"),
    ("fig7.3", times("gd_times", (0, slice(None), 4), 1.3), "GD, median T_5"),
    ("fig7.3", times("gd_times", (0, 3, 4), 1.2), "largest T_(k+1)"),
    ("fig7.3", times("gd_times", (0, slice(None), slice(None)), 0.03), "least T_d"),
    ("fig7.3", times("pgd_end", (0, 2), 1.01), "distance of f from -d nu"),
    ("fig7.3", times("pgd_times", (0, slice(None), slice(3, None)), 1.4), "slope of these"),
    ("fig7.3", times("pgd_times", 0, 1.4), "PGD, mean T_(k+1)"),
    ("fig7.3", set_to("plateau", 0, 1.0), "fewest steps"),
    ("essay.rank", set_to("rank", 5, 19), "full rank"),
    ("essay.rank", set_to("repeated", (), 20), "one input twice"),
    ("essay.rank", times("relu_rank", 0, 0.5), "ReLU, n = width = 10"),
    ("essay.rank", times("readout", 1, 1.4), "width 10"),
    ("essay.rank", set_to("readout", (4, 0), 1e-9), "width 20"),
    ("essay.landscape", set_to("end", (1, 0), 1e-3), "width 20"),
    ("essay.landscape", set_to("end", 0, 0.05), "width 1: median"),
    ("essay.landscape", set_to("excess", (0, -1, 1), 1e-3), "linear"),
    ("essay.width", set_to("train_error", (0, 0), 0.01), "training error"),
    ("essay.width", set_to("iterations", (0, 1), 1e6), "iterations"),
    ("essay.width", set_to("test_error", (0, 1), 0.9), "test error"),
]


@pytest.mark.parametrize(("name", "change", "row"), WRONG)
def test_wrong_numbers_fail(
    name: str, change: Change, row: str, results: dict[str, tuple[ExperimentResult, Path]]
) -> None:
    parameters = get_experiment(name).parameters(True, TINY[name])
    before = {entry.name for entry in results[name][0].rows if not entry.passed}
    arrays = dict(results[name][0].arrays)
    change(arrays)
    rows, _ = EXPECTATIONS[name](parameters, arrays)
    failed = [entry.name for entry in rows if not entry.passed and entry.name not in before]
    assert any(row in entry for entry in failed), failed


def plain_three_layers(p: Any, start: str) -> tuple[np.ndarray, np.ndarray]:
    """Figure 4.2 as a plain loop over the three weight matrices."""
    X, Y = fig4_2._data(p)
    W1, W2, W3 = fig4_2._start(p, start)
    norms, losses = [], []
    for t in range(p.steps + 1):
        Z1 = X @ W1.T
        Z2 = np.maximum(Z1, 0) @ W2.T
        E = np.maximum(Z2, 0) @ W3.T - Y
        if t % 10 == 0:
            norms.append([np.sum(W**2) for W in (W1, W2, W3)])
            losses.append(np.sum(E**2) / (2 * p.n))
        D2 = (E @ W3) * (Z2 > 0) / p.n
        D1 = (D2 @ W2) * (Z1 > 0)
        W3 = W3 - p.step_size * E.T @ np.maximum(Z2, 0) / p.n
        W2 = W2 - p.step_size * D2.T @ np.maximum(Z1, 0)
        W1 = W1 - p.step_size * D1.T @ X
    return np.array(norms), np.array(losses)


def test_preactivations_in_place_of_the_first_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Against the plain loop, and the same bits with other stretches and after an interruption."""
    p = get_experiment("fig4.2").parameters(True, {**TINY["fig4.2"], "variance": 0.05, "steps": 90})
    whole = fig4_2.run(p)
    for s, start in enumerate(("balanced", "unbalanced")):
        norms, losses = plain_three_layers(p, start)
        # Roundings of sums in another order, over 90 steps.
        np.testing.assert_allclose(whole.arrays["norms"][s], norms, rtol=1e-11)
        np.testing.assert_allclose(whole.arrays["loss"][s], losses, rtol=1e-11)
        assert losses[-1] < 0.9 * losses[0]
    assert whole.arrays["step"].tolist() == list(range(0, 91, 10))
    variances = [np.mean(W**2) for W in fig4_2._start(p, "balanced")]
    np.testing.assert_allclose(variances, 0.05 * 36 / np.array([360, 144, 36]), rtol=0.6)

    monkeypatch.setattr(fig4_2, "_CHUNK", 25)
    seen: list[str] = []

    def stop(message: str, done: float) -> None:
        seen.append(message)
        if "unbalanced: iteration 0" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fig4_2.run(p, tmp_path, stop)
    assert len(list((tmp_path / "parts").iterdir())) == 4
    resumed = fig4_2.run(p, tmp_path)
    for key, values in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[key], values)


def test_full_bands_of_figure_4_2() -> None:
    """The reference's numbers meet them, the printed ones do not."""
    experiment = get_experiment("fig4.2")
    step = np.arange(0, 10001, 10)
    growth = 1 / (1 + np.exp(-(step - 3500) / 150))
    balanced = 0.1 + growth[:, None] * np.array([43.69, 43.63, 43.62])
    late = 1 / (1 + np.exp(-(step - 1360) / 150))
    third = 0.1 + 42.78 * late
    unbalanced = np.stack([third + 9.876, third + 0.94, third], axis=1)
    loss = np.stack([100 * np.exp(-step / 400), 100 * np.exp(-step / 400)])
    arrays = {
        "step": step,
        "norms": np.stack([balanced, unbalanced]),
        "loss": loss,
        "explicit": np.array([balanced[-1, 0], unbalanced[-1, 0]]),
    }
    rows, notes = fig4_2_expected.expectations(experiment.full, arrays)
    assert [row.name for row in rows if not row.passed] == []
    assert len(rows) == 15
    assert any("contradicts" in note for note in notes)
    printed = {**arrays, "norms": arrays["norms"].copy()}
    printed["norms"][0, -1] = [42.90, 43.76, 43.68]
    printed["norms"][1, -1] = [55.50, 45.65, 45.46]
    failed = [row.name for row in fig4_2_expected.expectations(experiment.full, printed)[0] if not row.passed]
    assert any("balanced: largest difference" in name for name in failed)
    assert any("unbalanced: change of" in name for name in failed)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("fig4.1", {"rows": 0}, "rows: must be positive"),
        ("fig4.1", {"singular_values": ()}, "singular_values: at least one"),
        ("balance", {"step_sizes": (0.01, 0.02)}, "step_sizes: two or more decreasing"),
        ("thm4.4", {"deltas": (0.3, 0.2)}, "deltas must be increasing"),
        ("thm4.5", {"step": 0.0}, "step: must be positive"),
        ("fig4.2", {"steps": 5}, "steps: at least 10"),
        ("fig4.2", {"dtype": "int8"}, "dtype must be float32 or float64"),
        ("fig7.warmup", {"height": 1.5}, "height: must be at most 1"),
        ("fig7.warmup", {"bands": (5000,)}, "bands, distances: at most"),
        ("fig7.2", {"grid": 5}, "grid: at least 20"),
        ("fig7.3", {"curvatures": (0.5,)}, "L: must be at least gamma"),
        ("fig7.4", {"shown": 25}, "shown: there is no start 25"),
        ("essay.rank", {"relu_dim": (3,)}, "relu_dim: as many entries"),
        ("essay.landscape", {"hidden": ((0,),)}, "hidden: must be positive"),
        ("essay.width", {"batch": 500}, "batch: must be at most train = 400"),
        ("essay.width", {"momentum": 1.0}, "momentum: must be in"),
    ],
)
def test_settings_are_checked(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_experiment(name).parameters(overrides=change)
