"""thm3.gd, thm3.depth, thm3.4 at tiny sizes: the numbers of plain loops, bands that bite, resuming,
figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lazygram.architectures import FullyConnected, ResNet
from lazygram.data import synthetic
from lazygram.experiments import REGISTRY, deep_depth, deep_gd, deep_propagation
from lazygram.experiments.base import ExperimentResult
from lazygram.experiments.deep_expected import TrainedCase, case_of, gd_rows
from lazygram.networks import FullyConnectedNetwork, ResidualNetwork

GD = deep_gd.Parameters(
    cases=("fc-2", "conv-resnet-2"),
    n=4,
    dim=5,
    widths=(16, 64),
    steps=(12, 8),
    conv_n=3,
    conv_widths=(8,),
    conv_steps=4,
    record_every=2,
)
DEPTH = deep_depth.Parameters(
    n=4, dim=5, fc_depths=(1, 3), resnet_depths=(2, 4), mc_cases=("fc-2",), mc_widths=(16, 64), mc_draws=2
)
PROPAGATION = deep_propagation.Parameters(n=3, dim=4, depth=3, width=32, draws=2, activations=("tanh",))


def failed(result: ExperimentResult) -> list[str]:
    return [row.name for row in result.rows if not row.passed]


def softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, z)


def test_registered() -> None:
    for name in ("thm3.gd", "thm3.depth", "thm3.4"):
        assert REGISTRY[name].id == name


# --- thm3.gd -------------------------------------------------------------------------------------


def descend(p: deep_gd.Parameters, width: int, steps: int) -> dict[str, Any]:
    """fc-2 by a plain loop from the network of the seed."""
    data = synthetic(p.n, p.dim, seed=p.seed)
    network = FullyConnectedNetwork(width, p.dim, 2, seed=p.seed)
    W1, W2, a = (W.copy() for W in network.parameters)
    start = [W1.copy(), W2.copy(), a.copy()]
    k = np.sqrt(network.c_sigma / width)
    eta = p.relative_step / np.linalg.eigvalsh(FullyConnected(2).ntk(data.X))[-1]
    losses, changes = [], []
    G0 = None
    for _ in range(steps + 1):
        u1 = data.X @ W1.T
        x1 = k * softplus(u1)
        u2 = x1 @ W2.T
        x2 = k * softplus(u2)
        e = x2 @ a - data.y
        d2 = k * a / (1 + np.exp(-u2))
        d1 = k * (d2 @ W2) / (1 + np.exp(-u1))
        G = (x1 @ x1.T) * (d2 @ d2.T)
        G0 = G if G0 is None else G0
        losses.append(0.5 * e @ e)
        changes.append(np.linalg.norm(G - G0, 2))
        last = (W1, W2, a)
        W1 = W1 - eta * (e[:, None] * d1).T @ data.X
        W2 = W2 - eta * (e[:, None] * d2).T @ x1
        a = a - eta * x2.T @ e
    distance = [np.linalg.norm(now - before) for now, before in zip(last, start, strict=True)]
    return {"loss": losses[::2], "gram_change": changes[::2], "distance": distance}


def test_gd_is_a_plain_loop_and_resumes(tmp_path: Path) -> None:
    result = deep_gd.run(GD, tmp_path)
    for width, steps in ((16, 12), (64, 8)):
        expected = descend(GD, width, steps)
        for name, values in expected.items():
            got = result.arrays[f"fc-2/{width}/{name}"]
            np.testing.assert_allclose(got, values, rtol=1e-8, atol=1e-11)
    lam = np.linalg.eigvalsh(FullyConnected(2).last_hidden_gram(synthetic(4, 5).X))[0]
    assert result.arrays["fc-2/lambda"][0] == pytest.approx(lam, rel=1e-6)
    theorem = [row for row in result.rows if row.source.startswith(("Theorem", "Lemma"))]
    assert len(theorem) >= 8
    # Other sizes than the reference's are held against the theorems only.
    assert not [row for row in result.rows if row.source == "NumPy reference"]
    again = deep_gd.run(GD, tmp_path)
    assert any("Taken from" in note for note in again.notes)
    for name, values in result.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)
    deep_gd.EXPERIMENT.save(result, tmp_path / "out")
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000


def test_gd_rows_catch_what_contradicts_the_theorem() -> None:
    step = np.arange(0, 20, 5)
    good: dict[str, Any] = {
        "step": step,
        "loss": 0.9**step,
        "distance": np.array([5.5, 4.7, 4.0]),
        "gram_change": np.array([0.0, 0.5, 1.0, 1.5]),
        "lambda_min": np.full(4, 0.01),
        "bound_times_lambda": np.array(1.0),
        "residual": np.array(2.0),
    }

    def bad(**changes: Any) -> list[str]:
        case = TrainedCase(case_of("fc-2"), 0.008, 0.02, 0.04, {128: good | changes})
        return [row.name for row in gd_rows([case], reference=True) if not row.passed]

    assert bad() == []
    assert len(bad(loss=np.ones(4))) == 3  # both rates, and it does not fall
    assert len(bad(loss=np.array([1.0, 0.5, 0.6, 0.4]))) == 1
    assert len(bad(lambda_min=np.full(4, 0.003))) == 1
    assert any("distance" in name for name in bad(distance=np.array([9.0, 4.7, 4.0])))
    assert any("(sqrt(m) R')" in name for name in bad(bound_times_lambda=np.array(1e-4)))
    assert any("|G^(H)(k)" in name for name in bad(gram_change=np.array([0.0, 9.0])))


@pytest.mark.parametrize("name", ["cnn-2", "fc", "fc-0", "fc--2", "resnet-x"])
def test_cases_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="cases: one of fc-H"):
        dataclasses.replace(GD, cases=(name,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (64, 16)}, "widths must be increasing"),
        ({"steps": (5,)}, "steps: one number for each of 2 widths"),
        ({"relative_step": 0.0}, "relative_step: must be positive"),
        ({"cases": ()}, "cases: at least one"),
    ],
)
def test_gd_parameters_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GD, **changes)


# --- thm3.depth ----------------------------------------------------------------------------------


def test_depth_against_direct_computation(tmp_path: Path) -> None:
    result = deep_depth.run(DEPTH, tmp_path)
    X = synthetic(4, 5, seed=0).X
    lam = [np.linalg.eigvalsh(ResNet(depth).last_hidden_gram(X))[0] for depth in (2, 4)]
    np.testing.assert_allclose(result.arrays["resnet_lambda"], lam, rtol=1e-6)
    ntk = [np.linalg.eigvalsh(FullyConnected(depth).ntk(X))[0] for depth in (1, 3)]
    np.testing.assert_allclose(result.arrays["fc_ntk"], ntk, rtol=1e-6)

    # One Monte Carlo network by hand: seed 1000 w + draw.
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 6))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    network = FullyConnectedNetwork(64, 6, 2, seed=1001)
    errors = [
        np.abs(G - K).max() / np.abs(K).max()
        for G, K in zip(network.layer_grams(inputs), FullyConnected(2).layer_grams(inputs), strict=True)
    ]
    np.testing.assert_allclose(result.arrays["fc-2/error"][1, 1], errors, rtol=1e-7)
    assert {"x, x: lmin(K^(2)), softplus", "x, -x: lmin(K^(2)), tanh (odd)"} <= {
        row.name for row in result.rows
    }
    assert not [name for name in failed(result) if "sqrt(m)" not in name]
    deep_depth.EXPERIMENT.save(result, tmp_path / "out")


def test_depth_reference_values_and_wrong_ones() -> None:
    p = dataclasses.replace(deep_depth.EXPERIMENT.full, mc_cases=())
    result = deep_depth.run(p)
    assert failed(result) == []
    assert sum(row.source == "NumPy reference" for row in result.rows) >= 13
    other = deep_depth.run(dataclasses.replace(p, seed=1, fc_depths=(1, 2), resnet_depths=(2, 3)))
    assert failed(other) == []
    # The chapter's rates depend on c_res: another one must not pass for the reference.
    wrong = deep_depth.run(dataclasses.replace(p, activation="tanh", fc_depths=(1, 2), resnet_depths=(2, 3)))
    assert not [row for row in wrong.rows if row.source == "NumPy reference"]


def test_depth_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="resnet_depths: a ResNet of depth 1"):
        dataclasses.replace(DEPTH, resnet_depths=(1, 2))
    with pytest.raises(ValueError, match="mc_widths must be increasing"):
        dataclasses.replace(DEPTH, mc_widths=(8, 8))


# --- thm3.4 --------------------------------------------------------------------------------------


def test_propagation_against_loops(tmp_path: Path) -> None:
    result = deep_propagation.run(PROPAGATION, tmp_path)
    X = synthetic(3, 4, seed=0).X
    for kind, limit, make in (
        ("fc", FullyConnected(3, "tanh"), FullyConnectedNetwork),
        ("resnet", ResNet(3, "tanh"), ResidualNetwork),
    ):
        S = limit.layer_covariances(X)
        for k in range(2):
            W = make(32, 4, 3, "tanh", seed=k).parameters
            x, errors = X, []
            for h in range(3):
                if kind == "fc" or h == 0:
                    x = np.sqrt(limit.c_sigma / 32) * np.tanh(x @ W[h].T)
                else:
                    x = x + 0.5 / (3 * np.sqrt(32)) * np.tanh(x @ W[h].T)
                errors.append(max(abs(x[i] @ x[j] - S[h + 1][i, j]) for i in range(3) for j in range(3)))
            np.testing.assert_allclose(
                result.arrays[f"tanh/{kind}/error"][k], np.array(errors) * np.sqrt(32), rtol=1e-8
            )
    assert failed(result) == []
    deep_propagation.EXPERIMENT.save(result, tmp_path / "out")


def test_amplification_is_the_derivative_of_the_recursion() -> None:
    # A relu layer maps the covariances (1 + t) S to (1 + t) times the old result: all derivatives together,
    # weighted with S, are the result itself; for one input the factor of a common error is 1. The covariance
    # is taken 4e-5 below the variance, to stay admissible, and that far is the derivative off.
    p = dataclasses.replace(PROPAGATION, activations=("relu",), n=1, draws=1)
    result = deep_propagation.run(p)
    np.testing.assert_allclose(result.arrays["relu/fc/amplification"], 1.0, rtol=4e-5)


def test_propagation_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="delta: must be between 0 and 1"):
        dataclasses.replace(PROPAGATION, delta=1.5)
    with pytest.raises(ValueError, match="activation"):
        dataclasses.replace(PROPAGATION, activations=("swoosh",))
