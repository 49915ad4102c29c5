"""Figures 6.3 and 6.4 at small sizes: against plain loops, resuming, verdicts, figures, MNIST files."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from lazygram.experiments import (
    fig6_3a,
    fig6_3a_expected,
    fig6_3b,
    fig6_3b_expected,
    fig6_3cd,
    fig6_3cd_expected,
    fig6_4,
    get_experiment,
)
from lazygram.experiments.image_filters import PatchedImages, start_around, train_filters
from lazygram.problems.filter_inputs import NearbyPatches, TruncatedNormalInputs

SMALL_A = fig6_3a.Parameters(
    dims=(2, 3), sigmas=(0.5, 2.0), samples=40, batch_size=7, epochs=3, seeds=(0, 4), exact_steps=30
)
SMALL_B = fig6_3b.Parameters(
    patches=3, spreads=(0.2, 1.0), dims=(2, 3), epochs=(2, 3), samples=30, seeds=(1,), constant_spreads=()
)
SMALL_CD = fig6_3cd.Parameters(n_images=60, filter_size=4, distances=(0.5, 1.0), epochs=2, seeds=(0, 1))
SMALL_4 = fig6_4.Parameters(n_images=60, seeds=(0,), gabor_degrees=(30.0, 60.0), epochs=2)
SMALL = {"fig6.3a": SMALL_A, "fig6.3b": SMALL_B, "fig6.3cd": SMALL_CD, "fig6.4": SMALL_4}


class Stop(Exception):
    """Stands for Ctrl-C in the middle of a run."""


def loop(w: Any, w_star: Any, batches: Any, eta: float) -> Any:
    """SGD with the sample gradient written out."""
    for Z in batches:
        step = 0.0
        for z in Z:
            error = np.maximum(z @ w, 0).mean() - np.maximum(z @ w_star, 0).mean()
            step = step + error * ((z @ w > 0)[:, None] * z).mean(axis=0) / len(Z)
        w = w - eta * step
    return w


def test_smoothness_against_a_plain_loop() -> None:
    result = fig6_3a.run(SMALL_A)
    for d, dim in enumerate(SMALL_A.dims):
        for s, sigma in enumerate(SMALL_A.sigmas):
            law = TruncatedNormalInputs(dim, sigma)
            for i, seed in enumerate(SMALL_A.seeds):
                rng, w_star = np.random.default_rng(seed), np.eye(dim)[0]
                w, expected = np.array([0.2, 0.4, 0.0][:dim]), []
                for _ in range(SMALL_A.epochs + 1):
                    expected.append(np.log(np.linalg.norm(w - w_star)))
                    Z = law.sample(SMALL_A.samples, rng)
                    w = loop(w, w_star, [Z[b : b + 7] for b in range(0, 40, 7)], 0.5)
                np.testing.assert_allclose(result.arrays["log_distance"][d, s, i], expected, rtol=1e-9)
    assert any("are compared for step size 0.5, batch 10" in note for note in result.notes)


def test_closeness_against_a_plain_loop() -> None:
    result = fig6_3b.run(SMALL_B)
    for dim, epochs in zip(SMALL_B.dims, SMALL_B.epochs, strict=True):
        for s, spread in enumerate(SMALL_B.spreads):
            law = NearbyPatches(TruncatedNormalInputs(dim, 1.0), 3, spread)
            rng, w_star = np.random.default_rng(1), np.eye(dim)[0]
            w = np.array([0.2, 0.4, 0.0][:dim])
            for _ in range(epochs):
                Z = law.sample(SMALL_B.samples, rng)
                w = loop(w, w_star, [Z[b : b + 10] for b in range(0, 30, 10)], 0.5)
            found = result.arrays[f"log_distance_{dim}"][s, 0, -1]
            assert found == pytest.approx(np.log(np.linalg.norm(w - w_star)), rel=1e-9)


def test_images_against_a_plain_loop() -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images[:60] / 16
    patches = np.array(
        [[image[r : r + 4, c : c + 4].ravel() for r in range(5) for c in range(5)] for image in images]
    )
    result = fig6_3cd.run(SMALL_CD)
    rng = np.random.default_rng(1)
    w_star, direction = rng.standard_normal(16), rng.standard_normal(16)
    w = w_star + np.linalg.norm(w_star) * direction / np.linalg.norm(direction)
    labels = np.maximum(patches @ w_star, 0).mean(axis=1)
    for epoch in range(3):
        error = np.maximum(patches @ w, 0).mean(axis=1) - labels
        expected = np.log((error**2).mean() / labels.mean() ** 2)
        assert result.arrays["log_loss"][1, 0, 1, epoch] == pytest.approx(expected, rel=1e-10)
        order = rng.permutation(60)
        if epoch < 2:
            w = loop(w, w_star, [patches[order[b : b + 10]] for b in range(0, 60, 10)], 0.5)
    np.testing.assert_allclose(result.arrays["w"][1, 0, 1], w, rtol=1e-10)
    assert any("stand in for MNIST" in note for note in result.notes)


def test_patches_made_on_demand_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import lazygram.experiments.image_filters as module

    rng = np.random.default_rng(2)
    images = rng.random((23, 6, 5))
    w_star = rng.standard_normal((2, 9))
    w0 = start_around(w_star, 0.5, rng.standard_normal(9))
    np.testing.assert_allclose(
        np.linalg.norm(w0 - w_star, axis=1), 0.5 * np.linalg.norm(w_star, axis=1), rtol=1e-13
    )
    runs = []
    for kept in (1 << 28, 0):
        monkeypatch.setattr(module, "_KEPT_BYTES", kept)
        monkeypatch.setattr(module, "_BLOCK", 500 if kept else 4)
        run = train_filters(
            PatchedImages(images, 3),
            w0,
            w_star,
            step_size=0.5,
            batch_size=5,
            epochs=3,
            rng=np.random.default_rng(0),
            tell=lambda message, done: None,
        )
        runs.append(run)
    np.testing.assert_allclose(runs[0].w, runs[1].w, rtol=1e-13)
    np.testing.assert_allclose(runs[0].log_loss, runs[1].log_loss, rtol=1e-12)
    assert runs[0].log_loss.shape == (2, 4)


def test_images_of_mnist_form(tmp_path: Path) -> None:
    """A folder with an images file alone is enough; bands are for the digits."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 9, 9), dtype=np.uint8)
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + images.tobytes())
    parameters = dataclasses.replace(SMALL_CD, images=str(tmp_path), n_images=0)
    result = fig6_3cd.run(parameters)
    assert result.summary["n"] == 30
    assert result.summary["patches"] == 36
    assert any("for the digits and the default settings only" in note for note in result.notes)
    assert not any("stand in" in note for note in result.notes)
    assert all("by distance" in row.name for row in result.rows)


def failed(rows_and_notes: Any) -> str:
    return "; ".join(row.name for row in rows_and_notes[0] if not row.passed)


def test_smoothness_bands() -> None:
    parameters = dataclasses.asdict(fig6_3a.Parameters(dims=(10,), sigmas=(0.25, 0.5, 1.0, 2.0, 10.0)))
    gamma = np.array([0.00326397, 0.01085771, 0.02147202, 0.02607574, 0.02770838])
    slopes = 50 * np.log(1 - 0.5 * gamma)
    curves = np.array([-4.1, -11.6, -22.1, -26.7, -28.3])[:, None] + slopes[:, None] * (np.arange(41) - 40)
    curves = np.repeat(curves[None, :, None], 5, axis=2)
    exact_gamma = np.array([0.0294, 0.0977, 0.1932, 0.2347, 0.2494])
    exact = np.log(1 - 0.5 * exact_gamma)[:, None] * np.arange(1001)
    exact = np.where(exact > np.log(1e-12), exact, np.nan)
    L = np.array([[0.4706, 0.4023, 0.3068, 0.2653, 0.2506]])

    def check(**change: Any) -> str:
        values = {"log_distance": curves, "exact_log_distance": exact, "L": L, "gamma": gamma[None]}
        measured = fig6_3a_expected.Measured(parameters, 50, exact_gamma=exact_gamma, **{**values, **change})
        return failed(fig6_3a_expected.expectations(measured))

    assert check() == ""
    assert "slope per epoch" in check(log_distance=1.15 * curves)
    assert "at epoch 40" in check(log_distance=curves + 0.9)
    assert "by sigma up to 2" in check(log_distance=curves[:, ::-1])
    assert "exact descent" in check(exact_log_distance=1.02 * exact)
    assert "L(0)/gamma(0)" in check(L=L[:, ::-1] ** 3)


def test_closeness_bands() -> None:
    parameters = dataclasses.asdict(fig6_3b.Parameters(seeds=(0,)))
    ten = np.linspace(-0.1, [-11.4, -10.4, -5.1, -2.8], 21).T[:, None]
    two = np.linspace(-0.1, [-51.5, -42.0, -13.0, -2.5], 11).T[:, None]  # a fifth of it at epoch 2
    constants = [np.array(row) for row in zip(*fig6_3b_expected._CONSTANTS.values(), strict=True)]

    def check(ten: Any = ten, two: Any = two, constants: Any = constants) -> str:
        values = (parameters, {10: ten, 2: two}, constants[0], constants[1], constants[1])
        return failed(fig6_3b_expected.expectations(fig6_3b_expected.Measured(*values)))

    assert check() == ""
    assert "p = 10, sigma_2 = 0.3" in check(ten=ten - 0.8)
    assert "p = 2, sigma_2 = 1" in check(two=two - 1.2)
    assert "by sigma_2" in check(ten=ten[::-1])
    assert "gamma(0)" in check(constants=[constants[0] * 1.06, constants[1]])
    assert "L_cross" in check(constants=[constants[0], constants[1][::-1]])


def test_image_bands() -> None:
    parameters = dataclasses.asdict(fig6_3cd.Parameters())
    ends = np.array([list(row.values()) for row in fig6_3cd_expected._FINAL.values()])
    loss = np.linspace(ends + 8.7, ends, 61, axis=-1)[None]
    ones = np.ones((1, 2, 4, 2))

    def check(loss: Any = loss, distance: float = 0.1, cosine: float = 0.95) -> str:
        values = (parameters, loss, distance * ones, cosine * ones)
        return failed(fig6_3cd_expected.expectations(fig6_3cd_expected.Measured(*values)))

    assert check() == ""
    assert "at epoch 60" in check(loss + 1.6)
    assert "by distance" in check(loss[:, :, ::-1])
    assert "fall of ln loss" in check(ends[None, ..., None] + (loss - ends[None, ..., None]) / 2)
    assert "|w - w*|/|w*|" in check(distance=0.01)
    assert "cosine" in check(cosine=0.8)
    assert "by distance" in check(np.full_like(loss, np.nan))


def test_finished_parts_are_kept(tmp_path: Path) -> None:
    for name, trigger, kept in (
        ("fig6.3a", "p = 2, sigma = 2", ["p-2-sigma-0.5.npz"]),
        ("fig6.3b", "p = 2, sigma_2 = 1", ["p-2-spread-0.2.npz"]),
        ("fig6.3cd", "seed 1", ["seed-0.npz"]),
    ):

        def stop(message: str, done: float, trigger: str = trigger) -> None:
            assert 0 <= done <= 1
            if trigger in message:
                raise Stop

        experiment, folder = get_experiment(name), tmp_path / name
        with pytest.raises(Stop):
            experiment.run(SMALL[name], folder, stop)
        assert [file.name for file in (folder / "parts").iterdir()] == kept
        resumed, fresh = experiment.run(SMALL[name], folder, None), experiment.run(SMALL[name], None, None)
        for key, values in fresh.arrays.items():
            np.testing.assert_array_equal(resumed.arrays[key], values)
        assert any("Taken from an earlier" in note for note in resumed.notes)


def test_learned_filters(tmp_path: Path) -> None:
    result = fig6_4.run(SMALL_4)
    arrays = result.arrays
    assert arrays["w"].shape == (3, 25)
    distance = np.linalg.norm(arrays["w0"] - arrays["w_star"], axis=1)
    np.testing.assert_allclose(distance, np.linalg.norm(arrays["w_star"], axis=1), rtol=1e-12)
    for filters, column in ((arrays["w0"], 0), (arrays["w"], 1)):
        pairs = zip(filters, arrays["w_star"], strict=True)
        expected = [w @ teacher / np.linalg.norm(w) / np.linalg.norm(teacher) for w, teacher in pairs]
        np.testing.assert_allclose(arrays["cosine"][:, column], expected, rtol=1e-12)
    # Two epochs on 60 images are too few, and that is told.
    assert len(result.rows) == 3
    assert not result.passed


@pytest.mark.parametrize("name", list(SMALL))
def test_figures_are_drawn(tmp_path: Path, name: str) -> None:
    experiment = get_experiment(name)
    result = experiment.run(SMALL[name], None, None)
    assert len(experiment.save(result, tmp_path)) == 4
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("fig6.3a", {"sigmas": (1.0, 0.5)}, "sigmas must be increasing"),
        ("fig6.3a", {"dims": (1,)}, "start: has 2 coordinates, the filter 1"),
        ("fig6.3a", {"dims": ()}, "dims: at least one"),
        ("fig6.3a", {"samples": 0}, "samples: must be positive"),
        ("fig6.3b", {"spreads": (-1.0, 1.0)}, "spreads must be positive and increasing"),
        ("fig6.3b", {"epochs": (3,)}, r"epochs: one per dimension \(2\)"),
        ("fig6.3cd", {"distances": (1.0, 0.5)}, "distances must be positive and increasing"),
        ("fig6.3cd", {"step_size": 0.0}, "step_size: must be positive"),
        ("fig6.4", {"gabor_degrees": ()}, "gabor_degrees: at least one"),
    ],
)
def test_parameters_are_checked(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_experiment(name).parameters(overrides=change)
