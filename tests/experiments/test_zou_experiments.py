"""zou.init, zou.region, zou.training at tiny sizes: independent numbers, bands that bite, resuming."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lazygram.data import separated_sphere
from lazygram.experiments import REGISTRY, zou_expected, zou_init, zou_region, zou_training
from lazygram.networks import DeepReLUNetwork

INIT = zou_init.Parameters(
    n=6, dim=5, depth=3, widths=(16, 32), seeds=(0, 1), sparsities=(1, 4), output_draws=30, output_width=16
)
REGION = zou_region.Parameters(n=5, dim=4, depth=2, width=64, taus=(0.01, 0.1))
TRAINING = zou_training.Parameters(
    n=6,
    dim=4,
    depth=2,
    losses=("logistic", "hinge"),
    widths=(16, 64),
    seeds=(0,),
    batch_sizes=(2,),
    sgd_widths=(16,),
    target=0.3,
    max_steps=400,
)


def test_registered() -> None:
    for name in ("zou.init", "zou.region", "zou.training"):
        assert REGISTRY[name].id == name


# --- Closed forms of the expectations -------------------------------------------------------------


def test_arc_cosine_distances_by_monte_carlo(rng: np.random.Generator) -> None:
    c, m = 0.3, 200_000
    W = rng.standard_normal((m, 2))
    x, y = np.maximum(W[:, 0], 0), np.maximum(c * W[:, 0] + math.sqrt(1 - c * c) * W[:, 1], 0)
    cosine = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    got = zou_expected.arc_cosine_distances(c, 1)
    assert got[0] == pytest.approx(math.sqrt(2 - 2 * c))
    assert got[1] == pytest.approx(math.sqrt(2 - 2 * cosine), rel=0.01)  # 5 standard errors of 2e-3


def test_sparse_norm_by_monte_carlo(rng: np.random.Generator) -> None:
    m = 2000
    squares = np.sort(rng.standard_normal((200, m)) ** 2, axis=1)[:, ::-1]
    for s in (16, 64, 2000):
        # The mean of the norm; for few entries the quantile that defines it is 2 to 3 per cent off.
        mean = np.sqrt(squares[:, :s].sum(axis=1)).mean()
        assert zou_expected.sparse_norm(s, m) == pytest.approx(mean, rel=0.03)


def test_flip_share_against_networks() -> None:
    # Shares of flips at tau = 0.3 over 16 networks: about 30 flips an example, examples correlated, so that a
    # network's share has a spread of some 12 %; norms of directions are 2 % below their asymptotic edge.
    data = separated_sphere(12, 6, seed=2)
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(16):
        network = DeepReLUNetwork(500, 6, 2, seed=seed)
        moved = []
        for W in network.parameters:
            direction = rng.standard_normal(W.shape)
            moved.append(W + 0.3 * direction / np.linalg.norm(direction, 2))
        pairs = zip(network.patterns(data.X), network.with_parameters(moved).patterns(data.X), strict=True)
        shares.append([np.mean(a != b) for a, b in pairs])
    np.testing.assert_allclose(np.mean(shares, axis=0), zou_expected.flip_share(0.3, 2, 6, 500), rtol=0.1)


def test_floor_at_infinite_width_against_a_wide_network() -> None:
    data = separated_sphere(8, 6, seed=4)
    slopes = -np.linspace(0.2, 0.8, 8)
    expected = zou_expected.floor_at_infinite_width(data.X, data.y * slopes, 2, 0.3)
    values = []
    for seed in range(4):
        network = DeepReLUNetwork(1500, 6, 2, seed=seed)
        gradient = network.backward(network.forward(data.X), data.y * slopes / 8)[1]
        values.append((gradient**2).sum() / (1500 * 0.3 / 8**5 * np.abs(slopes).sum() ** 2))
    assert np.mean(values) == pytest.approx(expected, rel=0.1)  # spread of one network about 8 %


# --- zou.init ------------------------------------------------------------------------------------


def test_init_against_direct_computation(tmp_path: Path) -> None:
    result = zou_init.run(INIT, tmp_path)
    data = separated_sphere(6, 5, seed=0)
    network = DeepReLUNetwork(32, 5, 3, seed=1)
    forward = network.forward(data.X)
    for layer, x in enumerate(forward.features[1:]):
        deviation = np.abs(np.linalg.norm(x, axis=1) - 1).max()
        assert result.arrays["norm_deviation"][1, 1, layer] == pytest.approx(deviation)
    assert result.arrays["output_std"][1, 1] == pytest.approx(np.sqrt(np.mean(forward.outputs**2)))
    small = [np.mean(np.abs(u) <= 0.1 / math.sqrt(32)) / 0.1 for u in forward.preactivations]
    np.testing.assert_allclose(result.arrays["mean_counts"][1, 1], small)
    outputs = [DeepReLUNetwork(16, 5, 3, seed=2 + k).predict(data.X[:1])[0] for k in range(3)]
    np.testing.assert_allclose(result.arrays["output_draws"][:3], outputs, rtol=1e-10)
    again = zou_init.run(INIT, tmp_path)
    assert any("Taken from" in note for note in again.notes)
    zou_init.EXPERIMENT.save(result, tmp_path / "out")


def test_init_bands_bite() -> None:
    result = zou_init.run(INIT)
    phi = result.summary["smallest_distance"]
    measured = zou_expected.InitialMeasured(
        6, 5, 3, INIT.widths, INIT.sparsities, 0.3, phi, 0.1, result.arrays, np.full(4, 0.5)
    )

    def names(**changes: np.ndarray) -> set[str]:
        rows = zou_expected.initial_rows(dataclasses.replace(measured, arrays=result.arrays | changes))
        return {row.name for row in rows if not row.passed}

    honest = names()
    for start, changes in (
        ("(iii)", {"output_draws": 3.0 * np.ones(30)}),
        ("(iv)", {"small_counts": np.full((2, 2, 3), 2.5)}),
        ("(viii)", {"node_fraction": np.zeros((2, 2))}),
        # A distance below phi/2 contradicts the theorem.
        ("(ii)", {"separation": np.full_like(result.arrays["separation"], 0.1)}),
    ):
        assert any(name.startswith(start) for name in names(**changes) - honest), start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (32, 16)}, "widths must be increasing"),
        ({"widths": (15,)}, "widths: must be even"),
        ({"beta": 0.0}, "beta: must be positive"),
        ({"seeds": ()}, "seeds: at least one"),
    ],
)
def test_init_parameters_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(INIT, **changes)


# --- zou.region ----------------------------------------------------------------------------------


def test_region_against_direct_computation(tmp_path: Path) -> None:
    result = zou_region.run(REGION, tmp_path)
    data = separated_sphere(5, 4, seed=0)
    network = DeepReLUNetwork(64, 4, 2, seed=0)
    # Random directions at tau = 0.1, rebuilt: the largest share of flips of an example in layer 2.
    rng = np.random.default_rng(1)
    moved = []
    for W in network.parameters:
        direction = rng.standard_normal(W.shape)
        moved.append(W + 0.1 * direction / np.linalg.norm(direction, 2))
    after = network.with_parameters(moved).patterns(data.X)
    flips = [np.mean(a != b, axis=1) for a, b in zip(network.patterns(data.X), after, strict=True)]
    np.testing.assert_allclose(result.arrays["flips"][0, 1], [share.mean() for share in flips])
    np.testing.assert_allclose(
        result.arrays["pattern_change"][0, 1], [share.max() / 0.1 ** (2 / 3) for share in flips], rtol=1e-6
    )
    np.testing.assert_allclose(result.arrays["tau"][0], [0.01, 0.1], rtol=1e-6)
    assert result.arrays["lipschitz"].shape == (2, 2, 2)
    assert all(row.passed for row in result.rows if "smallest constant" in row.name)
    again = zou_region.run(REGION, tmp_path)
    np.testing.assert_array_equal(again.arrays["gradient_floor"], result.arrays["gradient_floor"])
    zou_region.EXPERIMENT.save(result, tmp_path / "out")


def test_region_bands_bite() -> None:
    result = zou_region.run(REGION)
    floor = result.summary["infinite_width_floor"]
    measured = zou_expected.RegionMeasured(5, 4, 2, 64, REGION.taus, result.arrays, floor)

    def bad(**changes: np.ndarray) -> set[str]:
        rows = zou_expected.region_rows(dataclasses.replace(measured, arrays=result.arrays | changes))
        return {row.name.split()[0] for row in rows if not row.passed}

    assert "(iii)" in bad(pattern_change=3.0 * result.arrays["pattern_change"])
    assert "(vii)" in bad(gradient_floor=np.full((2, 2), 0.5))
    assert "(viii)" in bad(gradient_ceiling=np.full((2, 2), 1.5))
    assert "(ii)" in bad(lipschitz=np.full((2, 2, 2), 2.5))


def test_region_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="taus must be increasing"):
        dataclasses.replace(REGION, taus=(0.1, 0.01))
    with pytest.raises(ValueError, match="width: must be even"):
        dataclasses.replace(REGION, width=3)


# --- zou.training --------------------------------------------------------------------------------


def test_training_against_a_plain_loop(tmp_path: Path) -> None:
    result = zou_training.run(TRAINING, tmp_path)
    data = separated_sphere(6, 4, separation=0.2, seed=0)
    network = DeepReLUNetwork(16, 4, 2, seed=0)
    W1, W2 = (W.copy() for W in network.parameters)
    v, steps = network.v, 0
    losses = []
    while True:
        z1 = data.X @ W1
        x1 = np.maximum(z1, 0)
        z2 = x1 @ W2
        margin = data.y * (np.maximum(z2, 0) @ v)
        losses.append(np.mean(np.log1p(np.exp(-margin))))
        if losses[-1] <= 0.3:
            break
        slope = -data.y / (1 + np.exp(margin)) / 6
        d2 = slope[:, None] * v * (z2 > 0)
        d1 = (d2 @ W2.T) * (z1 > 0)
        W1, W2, steps = W1 - data.X.T @ d1 / 16, W2 - x1.T @ d2 / 16, steps + 1
    assert result.arrays["logistic/16/steps"][0] == steps
    np.testing.assert_allclose(result.arrays["logistic/16/loss"], losses, rtol=1e-9)
    moved = max(
        np.linalg.norm(now - before, 2) for now, before in zip((W1, W2), network.parameters, strict=True)
    )
    assert result.arrays["logistic/16/movement"][0] == pytest.approx(moved, rel=1e-8)
    assert result.arrays["sgd-2/16/final_loss"][0] <= 0.3
    assert not [row.name for row in result.rows if "final L_S" in row.name and not row.passed]
    zou_training.EXPERIMENT.save(result, tmp_path / "out")


def test_training_bands_bite() -> None:
    result = zou_training.run(dataclasses.replace(TRAINING, losses=("logistic",), batch_sizes=()))
    runs = [("logistic", "logistic", 0, width) for width in TRAINING.widths]

    def bad(**changes: float) -> list[str]:
        arrays = dict(result.arrays)
        for name, value in changes.items():
            arrays[f"logistic/64/{name}"] = np.array([value])
        measured = zou_training.TrainingMeasured(runs, TRAINING.target, arrays, True)
        return [row.name for row in zou_training.training_rows(measured) if not row.passed]

    honest = set(bad())
    assert any("final L_S" in name for name in set(bad(final_loss=0.5)) - honest)
    assert any("errors" in name for name in set(bad(errors=1)) - honest)
    assert any("falls" in name for name in set(bad(rises=2)) - honest)
    assert any("by width" in name for name in set(bad(movement=9.0)) - honest)
    assert any("floor" in name for name in set(bad(floor=0.5)) - honest)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": ("quadratic",)}, "losses: of logistic"),
        ({"batch_sizes": (7,)}, "batch_sizes: at most n = 6"),
        ({"sgd_widths": (3,)}, "sgd_widths: must be even"),
        ({"target": -1.0}, "target: must be positive"),
    ],
)
def test_training_parameters_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TRAINING, **changes)
