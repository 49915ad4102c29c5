"""Theory of network objects: what is taken out of networks and runs, against the plain-array functions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lazygram
from lazygram.analysis import zou
from lazygram.analysis.deep_bounds import propagation_constant
from lazygram.analysis.deep_runs import (
    architecture_of,
    dual_slopes,
    infinite_width,
    layer_limits,
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
    # The theorems do not speak of such runs, of their initial networks they do.
    about_start = [row for row in rows if row.name in INITIAL]
    signs = np.where(y > 0, 1.0, -1.0)
    margin = lazygram.train(network, X, signs, 2, 0.01, loss="logistic")
    for other in (frozen, margin):
        found = run_report(network, X, y, other.summary, other.history)
        assert [row.condition for row in found] == [row.condition for row in about_start]
        assert [row.measured for row in found] == pytest.approx(
            [row.measured for row in about_start], nan_ok=True
        )


INITIAL = ("lambda", "width", "feature norms", "propagation of the initial error", "initial Gram")


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_schedule_is_held_against_the_sum_of_its_steps(kind: str) -> None:
    network = NETWORKS[kind]
    X, y = inputs(network)
    steps = [0.02 / (1 + k) ** 0.5 for k in range(8)]
    run = lazygram.train(network, X, y, 8, steps)
    rows = run_report(network, X, y, run.summary, run.history)
    assert not [row for row in rows if row.name == "step size"]
    rate = next(row for row in rows if "exp(-lam t/2)" in row.condition)
    lam, t, loss = network_quantities(network, X, y).lam, np.cumsum(steps), run.history["loss"]
    assert rate.predicted == pytest.approx(math.exp(-lam / 2))
    assert rate.measured == pytest.approx(((loss[1:] / loss[0]) ** (1 / t)).max())
    # The claim is weaker than that of every single step.
    product = np.cumprod([1 - eta * lam / 2 for eta in steps])
    assert (product <= np.exp(-lam * t / 2)).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_propagation_of_the_initial_error(kind: str) -> None:
    """Theorem 3.4's sides, entry by entry, with the recursion's inputs as plain numbers."""
    network = NETWORKS[kind]
    X, y = inputs(network)
    q, limit = network_quantities(network, X, y), infinite_width(network)
    features = [x.reshape(4, 20, -1) for x in network.forward(X).features[1:]]
    for h, x in enumerate(features):
        S = limit.layer_covariances(X)[h + 1].reshape(-1, 4, 4)
        pairs = np.ndindex(S.shape)
        error = max(abs(x[i, :, p] @ x[j, :, p] - S[p, i, j]) for p, i, j in pairs)
        assert q.covariance_errors is not None
        assert q.covariance_errors[h] == pytest.approx(error, rel=1e-10)
    A = limit.pair_covariances(X)
    activation, reach = network.activation, 0.0
    for matrices in A:
        for M in matrices.reshape(-1, 2, 2):
            slopes = dual_slopes(activation, M[0, 1], M[0, 0], M[1, 1])
            reach = max(reach, float(np.abs(slopes).sum()))
    E = propagation_constant(
        network_constants(network, X),
        covariance=max(np.abs(M).max() for M in A),
        mean=max(np.abs(b).max() for b in limit.b(X)),
        dual_lipschitz=reach,
    )
    pixels = 3 if kind == "conv-resnet" else 1
    bound = E * math.sqrt(math.log(network.depth * 4 * pixels / 0.1) / 20)
    assert q.propagation_bound == pytest.approx(bound, rel=1e-9)
    run = lazygram.train(network, X, y, 2, 0.01)
    rows = [row for row in run_report(network, X, y, run.summary, run.history) if row.name == INITIAL[3]]
    errors = q.covariance_errors
    assert rows[0].measured == max(errors[: network.depth - 1])
    assert rows[0].predicted == q.propagation_bound
    assert rows[0].holds is True
    assert rows[1].measured == pytest.approx(errors[-1] / errors[0])
    flat = network_quantities(network, X.reshape(4, -1), y)
    assert flat == q  # images may come as rows


def test_dual_slopes_of_relu() -> None:
    # E[relu(u) relu(v)] = sqrt(pq) (sin t + (pi - t) cos t) / (2 pi), cos t = r / sqrt(pq).
    p, q, r = 1.2, 0.7, 0.4
    s = math.sqrt(p * q)
    t = math.acos(r / s)
    in_r = (math.pi - t) / (2 * math.pi)
    value = s * (math.sin(t) + (math.pi - t) * math.cos(t)) / (2 * math.pi)
    # Homogeneous of degree one in (p, q, r), and symmetric in p and q: p d/dp = q d/dq.
    common = (value - r * in_r) / 2
    np.testing.assert_allclose(dual_slopes("relu", r, p, q), [common / p, common / q, in_r], rtol=2e-4)


def test_limits_of_a_deep_relu_network() -> None:
    """m_l/2 times the arc-cosine recursion, by hand; a random network comes within its error bar."""
    X = synthetic(4, 6, seed=1).X * np.array([[1.0], [0.7], [1.3], [1.0]])
    widths = [400, 600, 300]
    limits = layer_limits(DeepReLUNetwork(widths, 6), X)
    S, slopes = [X @ X.T], []
    for _ in widths:
        norms = np.sqrt(S[-1].diagonal())
        cosine = np.clip(S[-1] / np.outer(norms, norms), -1, 1)
        t = np.arccos(cosine)
        slopes.append((math.pi - t) / math.pi)
        S.append(np.outer(norms, norms) * (np.sin(t) + (math.pi - t) * cosine) / math.pi)
    for h, m in enumerate(widths):
        np.testing.assert_allclose(limits[h], m / 2 * S[h] * np.prod(slopes[h:], axis=0), rtol=1e-6)
    drawn = np.array([DeepReLUNetwork(widths, 6, seed=s).layer_grams(X) for s in range(40)])
    bar = drawn.std(axis=0, ddof=1) / math.sqrt(40)
    # 5 standard errors, and a bias of O(1/m).
    assert (np.abs(drawn.mean(axis=0) - limits) <= 5 * bar + 3 * np.array(limits) / 300).all()
    cross = layer_limits(DeepReLUNetwork(widths, 6), X, X[:2])
    np.testing.assert_allclose(cross, np.array(limits)[:, :, :2], rtol=1e-6)


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


def test_report_on_the_last_weights_of_a_deep_relu_run() -> None:
    data = separated_sphere(5, 4, seed=3)
    network = DeepReLUNetwork(16, 4, 2)
    run = lazygram.train(network, data.X, data.y, 8, 0.05, loss="logistic", reduction="mean")
    assert isinstance(run.network, DeepReLUNetwork)
    short = run_report(network, data.X, data.y, run.summary, run.history)
    rows = run_report(network, data.X, data.y, run.summary, run.history, trained=run.network)
    assert [row.condition for row in rows[: len(short)]] == [row.condition for row in short]
    by_source = {row.source: row.measured for row in rows[len(short) :]}
    moved = [
        np.linalg.norm(W - V, 2) for W, V in zip(run.network.parameters, network.parameters, strict=True)
    ]
    first, last = network.forward(data.X), run.network.forward(data.X)
    assert by_source["Thm 5.3 (i), constant"] == pytest.approx(
        max(np.linalg.norm(W, 2) for W in run.network.parameters)
    )
    shifts = [
        np.linalg.norm(last.features[h] - first.features[h], axis=1).max() / sum(moved[:h]) for h in (1, 2)
    ]
    assert by_source["Thm 5.3 (ii), order"] == pytest.approx(max(shifts) / 2)
    flips = [(u > 0) != (v > 0) for u, v in zip(first.preactivations, last.preactivations, strict=True)]
    shares = max(flip.mean(axis=1).max() for flip in flips)
    assert by_source["Thm 5.3 (iii), order"] == pytest.approx(shares / (2 ** (4 / 3) * max(moved) ** (2 / 3)))
    # Never trained: there is no region.
    still = lazygram.train(network, data.X, data.y, 0, 0.05, loss="logistic", reduction="mean")
    assert run_report(network, data.X, data.y, still.summary, still.history, trained=still.network)[
        -1
    ].name != ("region")
