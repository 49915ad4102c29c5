"""Zou et al.'s quantities against loops, finite differences, closed forms and adversaries by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate

from lazygram.analysis import zou, zou_bounds
from lazygram.analysis.rows import TheoryRow
from lazygram.analysis.zou import ReLUState
from lazygram.analysis.zou_bounds import LOSS_CONSTANTS
from lazygram.analysis.zou_theory import zou_initial_report, zou_training_report
from lazygram.data import separated_sphere, separation


def network(widths, d, rng):  # type: ignore[no-untyped-def]
    sizes = [d, *widths]
    pairs = itertools.pairwise(sizes)
    W = [rng.standard_normal((before, after)) * math.sqrt(2 / after) for before, after in pairs]
    return W, np.repeat([1.0, -1.0], widths[-1] // 2)


def output(W, v, x):  # type: ignore[no-untyped-def]
    """One example, as the text writes it."""
    for w in W:
        x = np.maximum(w.T @ x, 0.0)
    return v @ x


def logistic_slope(z: np.ndarray) -> np.ndarray:
    return -1.0 / (1.0 + np.exp(z))


@pytest.fixture
def small(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    data = separated_sphere(7, 5, seed=3)
    W, v = network([10, 12, 8], 5, rng)
    return ReLUState.at(W, v, data.X), data


# --- State, gradients ----------------------------------------------------------------------------


def test_outputs_and_backward_against_loops_and_differences(small, rng) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    expected = [output(state.weights, state.v, x) for x in data.X]
    np.testing.assert_allclose(state.outputs, expected, rtol=1e-13)
    # The derivative of f in x_1, by central differences of the rest of the network.
    step = 1e-6
    for i in range(3):
        for k in range(10):
            shifted = [state.features[1][i] + s * step * np.eye(10)[k] for s in (1, -1)]
            values = [output(state.weights[1:], state.v, x) for x in shifted]
            assert state.backward[1][i, k] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-8)


def test_gradient_norms_against_the_gradient_itself(small) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    signed = data.y * logistic_slope(data.y * state.outputs)
    operator, frobenius = zou.gradient_norms(state, signed)

    def loss(W):  # type: ignore[no-untyped-def]
        z = data.y * np.array([output(W, state.v, x) for x in data.X])
        return np.mean(np.log1p(np.exp(-z)))

    for layer, W in enumerate(state.weights):
        gradient, step = np.zeros_like(W), 1e-6
        for index in np.ndindex(W.shape):
            values = []
            for sign in (1, -1):
                moved = [w.copy() for w in state.weights]
                moved[layer][index] += sign * step
                values.append(loss(moved))
            gradient[index] = (values[0] - values[1]) / (2 * step)
        assert frobenius[layer] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
        assert operator[layer] == pytest.approx(np.linalg.norm(gradient, 2), rel=1e-6)


def test_states_are_checked(rng: np.random.Generator) -> None:
    W, v = network([6, 4], 3, rng)
    with pytest.raises(ValueError, match="weights: at least one"):
        ReLUState.at([], v, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"weights\[1\]: 6 rows are needed"):
        ReLUState.at([W[0], W[1].T], v, np.ones((2, 3)))
    with pytest.raises(ValueError, match="v: length 4 is needed"):
        ReLUState.at(W, v[:3], np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(20, 300), (300, 400), (450, 260)])
def test_spectral_norm_small_and_large(shape: tuple[int, int], rng: np.random.Generator) -> None:
    A = rng.standard_normal(shape)
    assert zou.spectral_norm(A) == pytest.approx(np.linalg.norm(A, 2), rel=1e-4)
    assert zou.spectral_norm(np.zeros(shape)) == 0.0


# --- Theorem 5.1 ---------------------------------------------------------------------------------


def test_initial_quantities_against_loops(small) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    got = zou.initial_quantities(state, data.y, beta=0.05, sparsities=(1, 3, 50), node_threshold=0.3)
    W, n, L = state.weights, 7, 3
    xs = [data.X.T]
    for w in W:
        xs.append(np.maximum(w.T @ xs[-1], 0.0))
    for layer in range(1, L + 1):
        norms = np.linalg.norm(xs[layer], axis=0)
        assert got.norm_deviation[layer - 1] == pytest.approx(np.abs(norms - 1).max())
    for layer, x in enumerate(xs):
        unit = x / np.linalg.norm(x, axis=0)
        pairs = [(i, j) for i in range(n) for j in range(n) if data.y[i] > data.y[j]]
        assert got.separation[layer] == pytest.approx(
            min(np.linalg.norm(unit[:, i] - unit[:, j]) for i, j in pairs)
        )
    for layer, w in enumerate(W):
        assert got.weight_norms[layer] == pytest.approx(np.linalg.norm(w, 2), rel=1e-10)
        m = w.shape[1]
        counts = [np.sum(np.abs(w.T @ xs[layer][:, i]) <= 0.05) for i in range(n)]
        assert got.small_counts[layer] == pytest.approx(max(counts) / (m**1.5 * 0.05))
    assert got.output_max == pytest.approx(max(abs(output(W, state.v, x)) for x in data.X))

    # (v) and (vi) with the matrices multiplied out.
    S = [[np.diag((w.T @ xs[k][:, i] > 0).astype(float)) for k, w in enumerate(W)] for i in range(n)]
    norms = []
    for i in range(n):
        for a in range(L):
            for b in range(a + 1, L):
                product = W[b].T
                for r in range(b - 1, a - 1, -1):
                    product = product @ S[i][r] @ W[r].T
                norms.append(np.linalg.norm(product, 2))
    assert got.product_norm == pytest.approx(max(norms) / L, rel=1e-8)
    for a in range(L):
        sup = np.zeros((n, 3))
        for i in range(n):
            form = state.v
            for r in range(L - 1, a - 1, -1):
                form = form @ S[i][r] @ W[r].T
            largest = np.sort(np.abs(form))[::-1]
            sup[i] = [np.linalg.norm(largest[:s]) for s in (1, 3, 50)]
        scale = L * np.sqrt(np.array([1, 3, 50]) * math.log(12))
        np.testing.assert_allclose(got.sparse_sup[a], sup.max(axis=0) / scale, rtol=1e-10)


def test_nodes_with_a_gradient_against_loops(small) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    got = zou.initial_quantities(state, data.y, node_draws=3, node_threshold=0.3, seed=11)
    rng = np.random.default_rng(11)
    x = state.features[2]
    for fraction in got.node_fraction:
        a = rng.random(7)
        gradients = np.array(
            [
                sum(a[i] * data.y[i] * (state.preactivations[2][i, j] > 0) * x[i] for i in range(7)) / 7
                for j in range(8)
            ]
        )
        assert fraction == np.mean(np.linalg.norm(gradients, axis=1) >= 0.3 * a.max() / 7)


def test_one_example_of_one_class_and_one_layer(rng: np.random.Generator) -> None:
    W, v = network([6], 3, rng)
    got = zou.initial_quantities(ReLUState.at(W, v, np.ones((1, 3))), [1.0])
    assert math.isnan(got.product_norm)
    assert np.isinf(got.separation).all()
    with pytest.raises(ValueError, match=r"y: labels -1 and \+1 are needed, got 0.5"):
        zou.initial_quantities(ReLUState.at(W, v, np.ones((1, 3))), [0.5])


def test_initial_network_concentrates_as_the_theory_says(rng: np.random.Generator) -> None:
    # Infinite width: norms 1, |W_1|_2 -> sqrt(2)(1 + sqrt(d/m)), |W_l|_2 -> 2 sqrt(2), E count/(m^1.5 beta)
    # = 1/sqrt(pi); fluctuations are O(m^{-1/2}), the edge of the spectrum O(m^{-2/3}).
    m, data = 1000, separated_sphere(6, 8, seed=1)
    W, v = network([m, m, m], 8, rng)
    got = zou.initial_quantities(ReLUState.at(W, v, data.X), data.y, beta=1.0 / math.sqrt(m), examples=1)
    assert got.norm_deviation.max() < 8 / math.sqrt(m)
    assert got.weight_norms[0] == pytest.approx(math.sqrt(2) * (1 + math.sqrt(8 / m)), rel=0.03)
    assert got.weight_norms[1:] == pytest.approx(2 * math.sqrt(2), rel=0.03)
    # beta at 1/sqrt(m) is not small: P(|N(0, 2/m)| <= beta) = erf(1/2). Largest of 18 counts, 4 sigma.
    expected = math.erf(0.5)
    sigma = math.sqrt(expected * (1 - expected) / m)
    assert np.abs(got.small_counts - expected).max() < 4.5 * sigma + 0.1 * got.norm_deviation.max() + 0.02
    # Angles follow the arc-cosine map c -> (sqrt(1-c^2) + c (pi - arccos c))/pi of layer to layer.
    c = 1 - got.separation[0] ** 2 / 2
    for layer in (1, 2, 3):
        c = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        assert got.separation[layer] == pytest.approx(math.sqrt(2 - 2 * c), rel=0.12)


# --- Theorem 5.3 ---------------------------------------------------------------------------------


def test_region_quantities_against_loops(small, rng) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    moved = state.with_weights([w + 0.05 * rng.standard_normal(w.shape) for w in state.weights])
    slopes = logistic_slope(data.y * moved.outputs)
    got = zou.region_quantities(state, moved, data.y, slopes, 0.3)
    steps = [np.linalg.norm(a - b, 2) for a, b in zip(moved.weights, state.weights, strict=True)]
    assert got.tau == pytest.approx(max(steps))
    assert got.weight_norm == pytest.approx(max(np.linalg.norm(w, 2) for w in moved.weights))
    for layer in range(3):
        gap = np.linalg.norm(moved.features[layer + 1] - state.features[layer + 1], axis=1).max()
        assert got.lipschitz[layer] == pytest.approx(gap / sum(steps[: layer + 1]))
        flips = (moved.preactivations[layer] > 0) != (state.preactivations[layer] > 0)
        assert got.pattern_change[layer] == pytest.approx(flips.mean(axis=1).max() / got.tau ** (2 / 3))
    assert got.touched == pytest.approx(flips.any(axis=0).mean() / (7 * got.tau ** (2 / 3)))
    operator, frobenius = zou.gradient_norms(moved, data.y * slopes)
    total = np.abs(slopes).sum()
    assert got.gradient_floor == pytest.approx(frobenius[-1] ** 2 / (8 * 0.3 / 7**5 * total**2))
    assert got.gradient_ceiling == pytest.approx(operator.max() / (9 * math.sqrt(8) / 7 * total))


def test_random_perturbation_has_its_norm(small) -> None:  # type: ignore[no-untyped-def]
    state, _ = small
    moved = zou.random_perturbation(state, 0.02, seed=4)
    for new, old in zip(moved, state.weights, strict=True):
        assert np.linalg.norm(new - old, 2) == pytest.approx(0.02)
    again = zou.random_perturbation(state, 0.02, seed=4)
    np.testing.assert_array_equal(moved[0], again[0])


def test_adversary_flips_what_it_can_and_no_more(rng: np.random.Generator) -> None:
    data = separated_sphere(4, 6, seed=5)
    W, v = network([2000, 4], 6, rng)
    state = ReLUState.at(W, v, data.X)
    for tau in (0.01, 0.05):
        moved = state.with_weights(zou.adversarial_perturbation(state, tau, example=2))
        change = moved.weights[0] - W[0]
        assert np.linalg.norm(change, 2) <= tau * (1 + 1e-12)
        assert np.linalg.matrix_rank(change) == 1
        flips = int((moved.patterns[0][2] != state.patterns[0][2]).sum())
        # No change of norm tau flips k nodes unless the k smallest squares sum to at most tau^2 |x|^2.
        z2 = np.sort(state.preactivations[0][2] ** 2)
        assert flips <= int(np.searchsorted(np.cumsum(z2), tau**2, side="right")) <= flips + 1
        # Pre-activations N(0, 2/m): (3/pi)^{1/3} m tau^{2/3} in the mean.
        expected = (3 / math.pi) ** (1 / 3) * 2000 * tau ** (2 / 3)
        assert flips == pytest.approx(expected, rel=4 / math.sqrt(expected))
    with pytest.raises(ValueError, match=r"example: must be in 0\.\.3"):
        zou.adversarial_perturbation(state, 0.1, example=4)


def test_region_is_checked(small) -> None:  # type: ignore[no-untyped-def]
    state, data = small
    with pytest.raises(ValueError, match="perturbed: has the weights of centre"):
        zou.region_quantities(state, state, data.y, -np.ones(7), 0.3)
    other = ReLUState.at([*state.weights, np.ones((8, 2))], [1, -1], data.X)
    with pytest.raises(ValueError, match="perturbed: must have the layers"):
        zou.region_quantities(state, other, data.y, -np.ones(7), 0.3)
    with pytest.raises(ValueError, match="slopes: all are 0"):
        zou.region_quantities(state, state, data.y, np.zeros(7), 0.3)


# --- Formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logistic", "exponential", "squared_hinge", "hinge"])
def test_losses_meet_their_assumptions(name: str) -> None:
    z = np.linspace(-8, 8, 4001)
    z = z[z != 1.0]
    values = {
        "logistic": (np.logaddexp(0, -z), 1 / (1 + np.exp(z))),
        "exponential": (np.exp(-z), np.exp(-z)),
        "squared_hinge": (np.maximum(1 - z, 0) ** 2 / 2, np.maximum(1 - z, 0)),
        "hinge": (np.maximum(1 - z, 0), (z < 1).astype(float)),
    }
    loss, slope = values[name]
    c = LOSS_CONSTANTS[name]
    with np.errstate(invalid="ignore"):
        second = np.where(loss > 0, c.alpha_1 * loss**c.p, 0.0)
    assert (slope >= np.minimum(c.alpha_0, second) * (1 - 1e-12)).all()
    if math.isfinite(c.smoothness):
        assert np.abs(np.diff(slope) / np.diff(z)).max() <= c.smoothness * (1 + 1e-9)


@pytest.mark.parametrize("name", sorted(LOSS_CONSTANTS))
def test_descent_time_against_quadrature(name: str) -> None:
    c, n, m, phi, first, last = LOSS_CONSTANTS[name], 6, 50, 0.2, 0.9, 0.03
    steep = 0.0
    if math.isfinite(c.alpha_1):
        steep = scipy.integrate.quad(lambda z: (n * z) ** (-2 * c.p), last, first)[0] / c.alpha_1**2
    flat = (first - last) / c.alpha_0**2
    got = zou_bounds.descent_time(n, m, phi, first, last, c)
    assert got == pytest.approx(n**5 / (m * phi) * (flat + steep), rel=1e-9)
    assert zou_bounds.descent_time(n, m, phi, 0.1, 0.1, c) == 0.0
    with pytest.raises(ValueError, match="accuracy: must be positive"):
        zou_bounds.descent_time(n, m, phi, 1.0, 0.0, c)


def test_orders_by_hand() -> None:
    assert zou_bounds.radius_order(10, 2, 0.1) == pytest.approx(1e-9 * 2.0**-17 * 1e-3)
    tau = zou_bounds.radius_order(10, 2, 0.1)
    assert zou_bounds.time_order(10, 2, 0.1) == pytest.approx(tau**2 * 1e-3 * 0.1 / 16)
    # With tau put in: L^-38 n^-21 phi^7.
    assert zou_bounds.time_order(10, 2, 0.1) == pytest.approx(2.0**-38 * 1e-21 * 1e-7)
    assert zou_bounds.step_size_order(10, 2, 100, 0.1) == pytest.approx(0.1 * 1e-3 * 2.0**-9 / 100)
    assert zou_bounds.pattern_ceiling(8, 1e-3) == pytest.approx(16 * 0.01)
    assert zou_bounds.norm_deviation(10, 2, 100, 0.1) == pytest.approx(0.2 * math.sqrt(math.log(200)))
    assert zou_bounds.gradient_floor(10, 100, 0.3, 2.0) == pytest.approx(100 * 0.3 / 1e5 * 4)
    assert zou_bounds.gradient_ceiling(10, 100, 3, 2.0) == pytest.approx(9 * 10 / 10 * 2)


# --- Reports -------------------------------------------------------------------------------------


def row(report: list[TheoryRow], text: str) -> TheoryRow:
    found = [entry for entry in report if text in entry.condition]
    assert len(found) == 1, (text, [entry.condition for entry in report])
    return found[0]


def test_initial_report(rng: np.random.Generator) -> None:
    data = separated_sphere(6, 5, seed=2)
    phi = separation(data.X, data.y)
    W, v = network([200, 300], 5, rng)
    measured = zou.initial_quantities(ReLUState.at(W, v, data.X), data.y)
    report = zou_initial_report(measured, [5, 200, 300], n=6, separation=phi)
    assert row(report, ">= phi/2").predicted == pytest.approx(phi / 2)
    assert row(report, ">= phi/2").holds
    assert row(report, "max m_l <= 2 min m_l").holds
    assert row(report, "<= 2, beta").measured == measured.small_counts.max()
    norms = row(report, "max ||x_l,i|-1|")
    assert norms.predicted == pytest.approx(2 * math.sqrt(math.log(120) / 200))
    constant = row(report, "|W_b^T prod Sigma W^T|_2 / L")
    assert constant.holds is None
    assert constant.measured == measured.product_norm
    assert not row(zou_initial_report(measured, [5, 100, 300], n=6, separation=phi), "max m_l").holds
    assert not row(zou_initial_report(measured, [5, 200, 300], n=6, separation=3.9), ">= phi/2").holds
    with pytest.raises(ValueError, match="widths: 3 are needed"):
        zou_initial_report(measured, [5, 200], n=6, separation=phi)


def test_training_report() -> None:
    history = {
        "step": np.array([0, 10, 30]),
        "loss": np.array([0.8, 0.4, 0.1]),
        "predictions": np.array([[0.1, 0.1], [0.1, -0.1], [1.0, -2.0]]),
        "layer_movement_op": np.array([[0.0, 0.0], [0.1, 0.2], [0.3, 0.2]]),
        "pattern_change": np.array([[0.0, 0.0], [0.1, 0.05], [0.2, 0.3]]),
        "gradient_norm": np.array([[2.0, 1.0], [1.0, 0.5], [0.5, 0.2]]),
    }
    slopes = np.array([1.0, 0.5, 0.1])
    settings = {"n": 2, "depth": 2, "width": 50, "separation": 0.5, "step_size": 0.02, "y": [1.0, -1.0]}
    logistic = LOSS_CONSTANTS["logistic"]
    report = zou_training_report(loss=logistic, history=history, slopes=slopes, **settings)  # type: ignore[arg-type]
    assert row(report, "max_l |W_l(k)-W_l(0)|_2").measured == 0.3
    assert not row(report, "max_l |W_l(k)-W_l(0)|_2").holds
    assert row(report, "k eta <= T").measured == pytest.approx(0.6)
    patterns = row(report, "share of nodes changed")
    assert (patterns.measured, patterns.predicted) == pytest.approx((0.3, 2 ** (4 / 3) * 0.3 ** (2 / 3)))
    floors = history["gradient_norm"][:, 1] ** 2 / (50 * 0.5 / 32 * slopes**2)
    assert row(report, ">= 1, smallest").measured == pytest.approx(floors.min())
    ceilings = history["gradient_norm"].max(axis=1) / (4 * math.sqrt(50) / 2 * slopes)
    assert row(report, "<= 1, largest").measured == pytest.approx(ceilings.max())
    time = row(report, "k eta until L_S")
    assert time.measured == pytest.approx(0.6)
    assert time.predicted == pytest.approx(zou_bounds.descent_time(2, 50, 0.5, 0.8, 0.1, logistic))
    assert row(report, "L(k+1) <= L(k)").measured == pytest.approx((0.1 / 0.4) ** (1 / 20))
    assert row(report, "y_i f(x_i) <= 0").measured == 0.0
    bare = zou_training_report(loss=logistic, history={"step": [0, 1]}, **settings)  # type: ignore[arg-type]
    assert all(entry.holds is None for entry in bare if entry.name not in ("step size", "time"))


# --- The data ------------------------------------------------------------------------------------


def test_separated_sphere() -> None:
    data = separated_sphere(40, 6, mu=0.4, separation=0.5, n_test=10, seed=9)
    X, y = np.vstack([data.X, data.X_test]), np.concatenate([data.y, data.y_test])
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-14)
    assert (X[:, -1] == 0.4).all()
    assert set(y) == {-1.0, 1.0}
    gaps = np.linalg.norm(X[:, None] - X[None], axis=2)[y[:, None] != y[None]]
    assert gaps.min() >= 0.5
    assert separation(X, y) == pytest.approx(gaps.min())
    np.testing.assert_array_equal(separated_sphere(40, 6, mu=0.4, separation=0.5, seed=9).X, data.X)
    assert separation(X[:1], y[:1]) == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 2}, "dim: must be at least 3"),
        ({"mu": 1.0}, "mu: must be below 1"),
        ({"separation": 2.0}, "separation: points are at most 1.73 apart"),
        ({"dim": 10, "separation": 1.73}, "separation: no place for point 2 of 10"),
    ],
)
def test_separated_sphere_is_checked(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        separated_sphere(**({"n": 10, "dim": 4} | arguments))  # type: ignore[arg-type]
