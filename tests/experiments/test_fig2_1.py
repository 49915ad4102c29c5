"""Figure 2.1 at a tiny size: the same numbers as a NumPy loop, resuming, verdicts, files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from click.testing import CliRunner

from lazygram.cli.app import cli
from lazygram.experiments import REGISTRY, get_experiment
from lazygram.experiments.base import at_most, in_band, ordered
from lazygram.experiments.fig2_1 import Parameters, draw, run
from lazygram.experiments.fig2_1_expected import Measured, expectations
from lazygram.networks.two_layer import TwoLayerReLU

TINY = Parameters(n=10, dim=8, widths=(32, 512), steps=12, step_size=0.5, seeds=(0, 3), dtype="float64")


def by_hand(p: Parameters, width: int, seed: int) -> dict[str, Any]:
    """The experiment for one width and seed as a plain loop."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((p.n, p.dim))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.standard_normal(p.n)
    network = TwoLayerReLU(width, p.dim, seed=seed)
    W, a = network.weights(), network.signs
    W0, M0 = W.copy(), W @ X.T >= 0
    H0 = X @ X.T * (M0.T.astype(float) @ M0) / width
    c = np.clip(X @ X.T, -1, 1)
    H = c * (np.pi - np.arccos(c)) / (2 * np.pi)
    np.fill_diagonal(H, 0.5)
    out: dict[str, Any] = {"loss": [], "pattern_change": [], "max_distance": [], "frozen_loss": []}
    frozen = None
    for _ in range(p.steps + 1):
        Z = W @ X.T
        e = a @ np.maximum(Z, 0) / np.sqrt(width) - y
        frozen = e.copy() if frozen is None else frozen - p.step_size * H @ frozen
        out["loss"].append(0.5 * e @ e)
        out["frozen_loss"].append(0.5 * frozen @ frozen)
        out["pattern_change"].append(np.mean((Z >= 0) != M0))
        out["max_distance"].append(np.linalg.norm(W - W0, axis=1).max())
        W = W - p.step_size / np.sqrt(width) * a[:, None] * (((Z >= 0) * e) @ X)
    out["lambda_min_initial"] = np.linalg.eigvalsh(H0)[0]
    out["lambda_0"] = np.linalg.eigvalsh(H)[0]
    return out


def test_numbers_against_a_plain_loop() -> None:
    result = run(TINY)
    assert result.arrays["loss"].shape == (2, 2, 13)
    for s, seed in enumerate(TINY.seeds):
        for w, width in enumerate(TINY.widths):
            expected = by_hand(TINY, width, seed)
            for name in ("loss", "frozen_loss", "max_distance"):
                # Rounding differs by the order of sums; max_distance at step 0 is exactly 0.
                np.testing.assert_allclose(result.arrays[name][s, w], expected[name], rtol=1e-10, atol=1e-14)
            np.testing.assert_array_equal(result.arrays["pattern_change"][s, w], expected["pattern_change"])
            assert result.arrays["lambda_min_initial"][s, w] == pytest.approx(
                expected["lambda_min_initial"], rel=1e-10
            )
            assert result.arrays["lambda_0"][s] == pytest.approx(expected["lambda_0"], rel=1e-9)
    assert any("neither the widths nor the step size" in note for note in result.notes)
    assert any("Reference numbers exist for n = d = 1000" in note for note in result.notes)


def test_finished_parts_are_kept_and_others_computed(tmp_path: Path) -> None:
    seen: list[str] = []

    class Stop(Exception):
        pass

    def stop_in_the_second_width(message: str, done: float) -> None:
        assert 0 <= done <= 1
        seen.append(message)
        if "width 512: initial" in message:
            raise Stop

    with pytest.raises(Stop):
        run(TINY, tmp_path, stop_in_the_second_width)
    parts = tmp_path / "parts"
    assert [file.name for file in parts.iterdir()] == ["width-32-seed-0.npz"]
    kept = (parts / "width-32-seed-0.npz").read_bytes()

    seen.clear()
    result = run(TINY, tmp_path, lambda message, done: seen.append(message))
    assert not any("seed 0, width 32" in message for message in seen)
    assert any("seed 0, width 512" in message for message in seen)
    assert (parts / "width-32-seed-0.npz").read_bytes() == kept
    fresh = run(TINY)
    for name, values in fresh.arrays.items():
        np.testing.assert_array_equal(result.arrays[name], values)
    assert any("Taken from an earlier" in note and "width-32-seed-0" in note for note in result.notes)

    # Other settings do not take these parts, a damaged part is computed again.
    seen.clear()
    run(dataclasses.replace(TINY, step_size=0.25), tmp_path, lambda text, done: seen.append(text))
    assert any("seed 0, width 32" in message for message in seen)
    (parts / "width-32-seed-3.npz").write_bytes(b"damaged")
    again = run(dataclasses.replace(TINY, step_size=0.25), tmp_path)
    assert np.isfinite(again.arrays["loss"]).all()


def test_divergence_is_told_and_fails() -> None:
    result = run(dataclasses.replace(TINY, widths=(32,), seeds=(0,), step_size=1e9, steps=60))
    assert any("diverged after step" in note for note in result.notes)
    assert not result.passed
    assert np.isnan(result.arrays["loss"][0, 0, -1])
    draw(result)


def test_files_and_command(tmp_path: Path) -> None:
    experiment = get_experiment("fig2.1")
    result = run(TINY)
    written = experiment.save(result, tmp_path)
    assert [file.name for file in written] == [
        "data.npz",
        "results.json",
        "figure.png",
        "figure.svg",
    ]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "figure.svg").read_bytes()
    experiment.save(result, tmp_path)
    assert (tmp_path / "figure.svg").read_bytes() == first
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["parameters"]["widths"] == [32, 512]
    assert len(told["rows"]) == len(result.rows)
    with np.load(tmp_path / "data.npz", allow_pickle=False) as data:
        np.testing.assert_array_equal(data["loss"], result.arrays["loss"])


def test_command_reports_failed_expectations(tmp_path: Path) -> None:
    # Two epochs of n = d = 200: the Gram matrices are as expected, the curves are not compared.
    options = ["--quick", "--set", "widths=500", "--set", "steps=2", "--set", "seeds=0"]
    done = CliRunner().invoke(cli, ["reproduce", "fig2.1", *options, "--out", str(tmp_path)])
    assert done.exit_code == (1 if "FAIL" in done.stdout else 0)
    assert "lmin(H(0))" in done.stdout
    assert "only the Gram matrices were compared" in done.stdout
    # A step size that diverges does not meet the text's statements.
    changes = ("widths=500", "steps=120", "seeds=0", "step_size=50")
    options = ["--quick", *(word for change in changes for word in ("--set", change))]
    done = CliRunner().invoke(cli, ["reproduce", "fig2.1", *options, "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "FAIL" in done.stdout
    assert "not met" in done.stdout


def measured(**change: Any) -> Measured:
    """Numbers of one seed at n = d = 1000, step size 1, as a NumPy loop gave them."""
    widths = (1000, 2000, 5000, 10000)
    loss = np.full((1, 4, 101), np.nan)
    loss[0, :, 0] = [1047.0, 647.0, 682.0, 859.0]
    loss[0, :, 20] = [1.73e-3, 1.24e-3, 1.04e-3, 9.55e-4]
    loss[0, :, 100] = 1e-11
    frozen = np.full((1, 4, 101), np.nan)
    frozen[0, :, 20] = loss[0, :, 20] / (1 + 20 / np.sqrt(widths))
    residual = np.sqrt(2 * loss[:, :, 0])
    values: dict[str, Any] = {
        "n": 1000,
        "dim": 1000,
        "widths": widths,
        "steps": 100,
        "step_size": 1.0,
        "dtype": "float32",
        "loss": loss,
        "frozen_loss": frozen,
        "pattern_percent": np.array([[2.41, 1.42, 0.914, 0.703]]),
        "max_distance": np.array([[2.319, 1.336, 0.875, 0.674]]),
        "initial_residual": residual,
        "distance_bound": 4 * np.sqrt(1000) * residual / np.sqrt(widths) / 0.2461,
        "lambda_min_initial": np.array([[0.2429, 0.2444, 0.2454, 0.2457]]),
        "lambda_0": np.array([0.2461]),
        "lambda_max": np.array([1.2461]),
    }
    values.update(change)
    return Measured(**values)


def failed(m: Measured) -> str:
    rows, notes = expectations(m)
    assert not notes
    return "; ".join(row.name for row in rows if not row.passed)


def test_reference_numbers_meet_their_bands_and_wrong_ones_do_not() -> None:
    assert failed(measured()) == ""
    good = measured()
    assert "largest distance" in failed(measured(max_distance=good.max_distance * 1.2))
    assert "patterns changed" in failed(measured(pattern_percent=good.pattern_percent * 0.8))
    assert "lmax" in failed(measured(lambda_max=good.lambda_max * 1.1))
    assert "lambda_0" in failed(measured(lambda_0=good.lambda_0 * 1.02))
    assert "lmin(H(0))" in failed(measured(lambda_min_initial=good.lambda_min_initial[:, ::-1]))
    assert "loss at epoch 20" in failed(measured(loss=good.loss[:, ::-1]))
    assert "frozen" in failed(measured(frozen_loss=good.loss * 0.5))
    broken = good.max_distance.copy()
    broken[0, 2] = np.nan
    assert "m = 5000: largest distance" in failed(measured(max_distance=broken))


def test_other_step_sizes_compare_what_can_be_compared() -> None:
    good = measured()
    widths = np.array(good.widths)
    loss, frozen = good.loss.copy(), good.frozen_loss.copy()
    # One epoch is as long as ten of step size 1/10; the raw losses are in no order at epoch 20.
    loss[0, :, 20] = [118.2, 109.7, 126.4, 140.0]
    loss[0, :, 100] = [1.288, 1.010, 0.935, 0.937]
    frozen[0, :, 100] = loss[0, :, 100] / (1 + 10 / np.sqrt(widths))
    small = measured(
        step_size=0.1,
        loss=loss,
        frozen_loss=frozen,
        pattern_percent=np.array([[2.22, 1.31, 0.846, 0.649]]),
        max_distance=np.array([[2.247, 1.283, 0.847, 0.654]]),
    )
    rows, notes = expectations(small)
    assert [row.name for row in rows if not row.passed] == []
    assert any("loss at epoch 100 over frozen" in row.name for row in rows)
    assert sum("m = 1000: loss at epoch 100" in row.name for row in rows) == 1
    assert len(notes) == 1
    assert "at step size 1 only" in notes[0]
    rows, notes = expectations(measured(step_size=0.01))
    assert not any("loss" in row.name for row in rows)
    assert any("too few for widths to differ" in note for note in notes)


def test_rows() -> None:
    assert in_band("x", "s", 1.0, 1.0, 2.0).passed
    assert not in_band("x", "s", float("nan"), 1.0, 2.0).passed
    assert at_most("x", "s", 2.0, 2.0).passed
    assert not at_most("x", "s", float("nan"), 2.0).passed
    assert ordered("x", "s", [1.0, 2.0, 3.0], rising=True).passed
    assert not ordered("x", "s", [1.0, 1.0], rising=True).passed
    assert ordered("x", "s", [3.0], rising=True).passed
    falling = ordered("x", "s", [3.0, 1.0, 1.5, 1.0], rising=False)
    assert not falling.passed
    assert falling.measured == "3 > 1 !> 1.5 > 1"
    assert ordered("x", "s", [3.0, 1.0, 1.5], rising=False, slack=0.6).passed
    assert not ordered("x", "s", [1.0, 0.9, 1.5], rising=False, slack=0.6).passed
    assert ordered("x", "s", [3.0, 9.0, 1.0], rising=False, ends_only=True).passed
    assert not ordered("x", "s", [1.0, float("nan")], rising=True).passed
    assert not ordered("x", "s", [1.0, float("nan")], rising=True, ends_only=True).passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n: must be positive"),
        ({"steps": 0}, "steps: must be positive"),
        ({"widths": ()}, "widths: at least one"),
        ({"widths": (5, 3)}, "widths must be increasing, got 5, 3"),
        ({"seeds": (-1,)}, "seeds: must not be negative"),
        ({"step_size": 0.0}, "step_size: must be positive"),
        ({"dtype": "int8"}, "dtype must be float32 or float64"),
        ({"colour": "red"}, "colour is not a setting of fig2.1; it has n, dim"),
    ],
)
def test_parameters_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_experiment("fig2.1").parameters(overrides=change)


def test_registry() -> None:
    for name, experiment in REGISTRY.items():
        assert experiment.id == name
        assert experiment.title
        assert experiment.source
    with pytest.raises(ValueError, match="there are"):
        get_experiment("fig9")
