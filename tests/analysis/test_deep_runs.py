"""Theory of network objects: what is taken out of networks and runs, against the plain-array functions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lazygram
from lazygram.analysis import zou
from lazygram.analysis.deep_runs import (
    architecture_of,
    infinite_width,
    network_constants,
    network_quantities,
    run_report,
)
from lazygram.data import separated_sphere, separation, synthetic
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
    SparseNetwork,
    dense_map,
)

NETWORKS = {
    "fc": FullyConnectedNetwork(20, 6, 2, "tanh"),
    "resnet": ResidualNetwork(20, 6, 3, c_res=0.7),
    "conv-resnet": ConvResidualNetwork(20, 2, (3,), 2),
}


def inputs(network: DeepNetwork, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    data = synthetic(n, 6, seed=1)
    return data.X.reshape(n, *network.input_shape), data.y


@pytest.mark.parametrize("kind", NETWORKS)
def test_constants_and_limits_of_each_architecture(kind: str) -> None:
    network = NETWORKS[kind]
    X, _ = inputs(network)
    assert architecture_of(network) == kind
    c = network_constants(network, X)
    assert (c.architecture, c.depth) == (kind, network.depth)
    assert c.c_sigma == pytest.approx(network.c_sigma)
    assert c.lipschitz == pytest.approx(1.0)  # softplus and tanh
    assert c.value_at_zero == pytest.approx(0.0 if kind == "fc" else math.log(2.0))
    largest = max(np.linalg.norm(W, 2) for W in network.parameters[:-1])
    assert c.weight_norm == pytest.approx(largest / math.sqrt(20))
    a = network.parameters[-1].reshape(20, -1)
    assert c.readout_norm == pytest.approx(np.linalg.norm(a, axis=0).max() / math.sqrt(20))
    if kind == "conv-resnet":
        assert (c.pixels, c.patch) == (3, 3)
    assert network_constants(network).feature_norm == 2.0  # the text's

    # The limit belongs to this network: a wider one of its kind comes closer to it than to the others'.
    limit = infinite_width(network).layer_grams(X)
    assert len(limit) == network.depth + 1
    q = network_quantities(network, *inputs(network))
    assert q.lam == pytest.approx(np.linalg.eigvalsh(limit[network.depth - 1])[0], rel=1e-6)
    assert q.initial is not None
    measured = network.layer_grams(X)[0] - limit[0]
    assert q.initial[0].operator == pytest.approx(np.linalg.norm(measured, 2), rel=1e-9)


def test_other_networks_are_refused() -> None:
    with pytest.raises(TypeError, match=r"network: Theorems .* are about other"):
        architecture_of(SparseNetwork([dense_map(1, 3)]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_report_of_a_run(kind: str) -> None:
    network = NETWORKS[kind]
    X, y = inputs(network)
    run = lazygram.train(network, X, y, 6, 0.01)
    rows = run_report(network, X, y, run.summary, run.history)
    rate = next(row for row in rows if "(1-eta lam/2)^k" in row.condition)
    lam = network_quantities(network, X, y).lam
    assert rate.predicted == pytest.approx(1 - 0.005 * lam)
    loss = run.history["loss"]
    assert rate.measured == pytest.approx(((loss[1:] / loss[0]) ** (1 / np.arange(1, 7))).max())
    # A common factor on all layers is a step size; different ones are another algorithm.
    halved = lazygram.train(network, X, y, 6, 0.02, layer_step_sizes=[0.5] * len(network.parameters))
    again = run_report(network, X, y, halved.summary, halved.history)
    assert [row.measured for row in again] == pytest.approx([row.measured for row in rows], nan_ok=True)
    factors = [1.0] * len(network.parameters)
    frozen = lazygram.train(network, X, y, 2, 0.01, layer_step_sizes=[0.0, *factors[1:]])
    assert run_report(network, X, y, frozen.summary, frozen.history) == []
    schedule = lazygram.train(network, X, y, 2, [0.01, 0.02])
    assert run_report(network, X, y, schedule.summary, schedule.history) == []
    signs = np.where(y > 0, 1.0, -1.0)
    margin = lazygram.train(network, X, signs, 2, 0.01, loss="logistic")
    assert run_report(network, X, signs, margin.summary, margin.history) == []


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_report_of_a_deep_relu_run(reduction: str) -> None:
    data = separated_sphere(5, 4, seed=3)
    network = DeepReLUNetwork(16, 4, 2)
    # The same trajectory: the sum is 5 times the mean, its step a fifth.
    eta = 0.05 if reduction == "mean" else 0.01
    run = lazygram.train(network, data.X, data.y, 8, eta, loss="logistic", reduction=reduction)
    rows = {row.condition: row for row in run_report(network, data.X, data.y, run.summary, run.history)}
    phi = separation(data.X, data.y)
    step = next(row for text, row in rows.items() if text.startswith("eta <="))
    assert step.measured == pytest.approx(0.05)
    assert step.predicted == pytest.approx(phi * 5.0**-3 * 2.0**-9 / 16)
    state = zou.ReLUState.at(network.parameters, network.v, data.X)
    norms = np.abs(np.linalg.norm(state.features[2], axis=1) - 1).max()
    measured = next(row.measured for text, row in rows.items() if text.startswith("max ||x_l,i|-1|"))
    assert measured is not None
    assert measured >= norms
    floor = next(row.measured for text, row in rows.items() if text.endswith(">= 1, smallest"))
    ratios = []
    for u, gradient in zip(run.history["predictions"], run.history["gradient_norm"], strict=True):
        slopes = 1 / (1 + np.exp(data.y * u))
        scaled = gradient[-1] / (1 if reduction == "mean" else 5)
        ratios.append(scaled**2 / (16 * phi / 5**5 * slopes.sum() ** 2))
    assert floor == pytest.approx(min(ratios))
    with pytest.raises(ValueError, match="y: both labels are needed"):
        run_report(network, data.X, np.ones(5), run.summary, run.history)
