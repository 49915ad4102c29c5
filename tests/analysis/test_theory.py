"""Two-layer theory: published numbers, algebra, Monte Carlo of every bound, and the report."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram.analysis import two_layer_bounds as bounds
from lazygram.analysis.theory import (
    TheoryRow,
    TwoLayerQuantities,
    format_report,
    theory_report,
    two_layer_quantities,
)

# --- A readable two-layer network ----------------------------------------------------------------


def unit_rows(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def infinite_gram(X: np.ndarray) -> np.ndarray:
    K = X @ X.T
    norms = np.linalg.norm(X, axis=1)
    cosine = np.clip(K / np.outer(norms, norms), -1.0, 1.0)
    np.fill_diagonal(cosine, 1.0)
    H = K * (np.pi - np.arccos(cosine)) / (2.0 * np.pi)
    return (H + H.T) / 2


def finite_gram(W: np.ndarray, X: np.ndarray) -> np.ndarray:
    active = (W @ X.T >= 0).astype(float)
    return (X @ X.T) * (active.T @ active) / len(W)


def predict(W: np.ndarray, a: np.ndarray, X: np.ndarray) -> np.ndarray:
    return np.maximum(W @ X.T, 0.0).T @ a / math.sqrt(len(a))


def train(X, y, W, a, eta, steps):  # type: ignore[no-untyped-def]
    """Gradient descent on the first layer; everything recorded at every step."""
    m = len(a)
    W0, H0, bits0 = W.copy(), finite_gram(W, X), W @ X.T >= 0
    W = W.copy()
    names = ("loss", "lambda_min", "gram_change", "max_distance", "pattern_change")
    history: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(steps + 1):
        e = predict(W, a, X) - y
        bits = W @ X.T >= 0
        H = finite_gram(W, X)
        history["loss"].append(0.5 * float(e @ e))
        history["lambda_min"].append(float(np.linalg.eigvalsh(H)[0]))
        history["gram_change"].append(float(np.linalg.norm(H - H0, 2)))
        history["max_distance"].append(float(np.linalg.norm(W - W0, axis=1).max()))
        history["pattern_change"].append(float((bits != bits0).mean()))
        W -= eta * a[:, None] * (bits * e) @ X / math.sqrt(m)
    arrays = {name: np.array(values) for name, values in history.items()}
    return arrays | {"step": np.arange(steps + 1), "time": eta * np.arange(steps + 1)}


def network(m: int, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((m, d)), rng.choice([-1.0, 1.0], size=m)


def equicorrelated(n: int, lambda_0: float) -> np.ndarray:
    """Diagonal 1/2 (unit-norm inputs) and smallest eigenvalue lambda_0."""
    return lambda_0 * np.eye(n) + (0.5 - lambda_0) * np.ones((n, n))


# --- Published numbers and closed forms ----------------------------------------------------------


def test_numbers_of_the_five_point_example() -> None:
    """n = 5, delta = .1, lambda_0 = .1158: Lemma 2.1 m = 9.3e4, R = 7.3e-5, eta = 1.2e-3."""
    q = two_layer_quantities(equicorrelated(5, 0.1158), width=1000, residual_norm=3.9, delta=0.1)
    assert q.lambda_0 == pytest.approx(0.1158, rel=1e-12)
    assert q.gram_width_sharp == pytest.approx(9.3e4, rel=0.01)
    assert q.radius_flow == pytest.approx(7.3e-5, rel=0.01)
    assert q.step_size_bound == pytest.approx(1.2e-3, rel=0.04)
    # m_flow = 4.3e12 and m_gd = 6.9e13 there, for |e0|^2 = 15.2 +- 0.2, the same in both.
    assert q.training_width_flow == pytest.approx(4.3e12, rel=0.02)
    assert q.training_width_gd == pytest.approx(6.9e13, rel=0.02)


def test_frobenius_bound_number() -> None:
    # n = 50: 116 / sqrt(m) at delta = .1.
    assert bounds.gram_frobenius_bound(50, 1, 0.1) == pytest.approx(116.0, rel=0.005)


def test_one_example_closed_forms() -> None:
    """n = 1, |x| = 1: H_inf = 1/2, everything by hand."""
    delta, e0, m = 0.2, 3.0, 400
    q = two_layer_quantities([[0.5]], width=m, residual_norm=e0, delta=delta, H_0=[[0.53]], y=[2.0])
    expected = {
        "lambda_0": 0.5,
        "lambda_max": 0.5,
        "failure_probability": 0.4,
        "expected_residual": math.sqrt(4.5),
        "gram_width_sharp": 32.0 * math.log(10.0),
        "gram_width_loose": 1024.0 * math.log(5.0),
        "gram_width_order": 4.0 * math.log(5.0),
        "gram_entry_bound": math.sqrt(math.log(10.0) / 800.0),
        "gram_frobenius_bound": math.sqrt(math.log(10.0) / 800.0),
        "gram_frobenius_bound_loose": 0.2 * math.sqrt(math.log(5.0)),
        "gram_tolerance": 0.125,
        "initial_gram_distance": 0.03,
        "initial_gram_frobenius": 0.03,
        "initial_gram_entry": 0.03,
        "initial_lambda_min": 0.53,
        "radius_flow": math.sqrt(2 * math.pi) / 160.0,
        "radius_gd": math.sqrt(2 * math.pi) / 320.0,
        "distance_flow": 2.0 * 3.0 / (20.0 * 0.5),
        "distance_gd": 4.0 * 3.0 / (20.0 * 0.5),
        "training_width_flow": 512.0 / math.pi * 9.0 / (0.04 / 16.0),
        "training_width_gd": 8192.0 / math.pi * 9.0 / (0.04 / 16.0),
        "training_width_residual_order": 9.0 / (0.04 / 16.0),
        "training_width_order": 16.0 / 0.008,
        "step_size_bound": 0.125,
        "step_size_order": 0.5,
        "step_size_divergence": 4.0,
        "flip_probability_flow": math.erf(math.sqrt(math.pi) / 160.0),
        "flip_count_flow": 400.0 * 2.0 / 160.0 / 0.2,
        "flip_count_gd": 400.0 * 2.0 / 320.0 / 0.2,
    }
    for name, value in expected.items():
        assert getattr(q, name) == pytest.approx(value, rel=1e-12), name
    assert q.required_width_gd == q.training_width_gd
    assert (q.n, q.width, q.unit_norm, q.residual_measured) == (1, 400, True, True)
    np.testing.assert_allclose(q.rate_flow([0.0, 2.0]), [1.0, math.exp(-1.0)])
    np.testing.assert_allclose(q.rate_gd(0.1, [0, 1, 2]), [1.0, 0.975, 0.975**2])
    # 1 - eta lam0 + 2 C eta R/delta (n^2 + n^1.5) + eta^2 n^2, with C R = delta lam0/16 at R_gd.
    assert q.one_step_factor(0.1) == pytest.approx(1 - 0.05 + 0.1 * 0.5 / 4 + 0.01, rel=1e-14)
    assert q.one_step_factor(0.1, radius=0.0) == pytest.approx(0.96, rel=1e-14)


def test_residual_by_markov_when_not_measured() -> None:
    H = 2.0 * equicorrelated(3, 0.2)  # inputs of norm sqrt 2
    q = two_layer_quantities(H, width=10, y=[1.0, -2.0, 0.0], delta=0.25)
    # E|e0|^2 = |y|^2 + (1/2) sum |x_i|^2 = 5 + 3
    assert q.expected_residual == pytest.approx(math.sqrt(8.0))
    assert q.residual_norm == pytest.approx(math.sqrt(32.0))
    assert not q.residual_measured
    assert not q.unit_norm
    assert q.max_input_norm == pytest.approx(math.sqrt(2.0))
    assert q.failure_probability == 0.75


positive = st.floats(1e-3, 1e3)


@given(n=st.integers(1, 3000), lambda_0=positive, delta=st.floats(1e-6, 0.999), residual=positive)
@settings(max_examples=150, deadline=None)
def test_thresholds_are_where_the_inequalities_turn(
    n: int, lambda_0: float, delta: float, residual: float
) -> None:
    for width, distance, radius in (
        (bounds.training_width_flow, bounds.distance_flow, bounds.radius_flow),
        (bounds.training_width_gd, bounds.distance_gd, bounds.radius_gd),
    ):
        m = width(n, lambda_0, delta, residual)
        R = radius(n, lambda_0, delta)
        assert distance(n, m * (1 + 1e-9), lambda_0, residual) < R  # type: ignore[arg-type]
        assert distance(n, m * (1 - 1e-9), lambda_0, residual) > R  # type: ignore[arg-type]
    # R_flow is where Lemma 2.2 uses up lambda_0 / 4.
    R = bounds.radius_flow(n, lambda_0, delta)
    assert bounds.gram_change_bound(n, R, delta) == pytest.approx(lambda_0 / 4, rel=1e-12)
    # The sharp width is where the Frobenius bound equals lambda_0 / 4, the loose one where the
    # text's chain does.
    m = bounds.gram_width(n, lambda_0, delta)
    assert bounds.gram_frobenius_bound(n, m, delta) == pytest.approx(lambda_0 / 4, rel=1e-9)  # type: ignore[arg-type]
    if n / delta > 1.03:
        loose = bounds.gram_width_loose(n, lambda_0, delta)
        assert bounds.gram_frobenius_bound_loose(n, loose, delta) == pytest.approx(  # type: ignore[arg-type]
            lambda_0 / 4, rel=1e-9
        )
        assert loose >= m
    # Within R_gd and the step-size bound one step contracts by 1 - eta lambda_0 / 2 or better.
    if lambda_0 <= 0.5 * n:
        R = bounds.radius_gd(n, lambda_0, delta)
        top = bounds.step_size_bound(n, lambda_0)
        for eta in (top, 0.3 * top):
            share = 1 - 1 / 8 - 1 / (8 * math.sqrt(n)) - eta * n * n / lambda_0
            factor = bounds.one_step_factor(n, lambda_0, delta, R, eta)
            assert factor == pytest.approx(1 - eta * lambda_0 * share, rel=1e-12)
            assert factor <= bounds.rate_gd(lambda_0, eta, 1) * (1 + 1e-15)


def test_rates() -> None:
    assert bounds.rate_gd(2.0, 0.25, 2) == 0.5625
    assert bounds.rate_gd(1.0, 3.0, 5) == 0.0  # no rate is claimed beyond 2 / lambda_0
    assert bounds.rate_gd(1.0, 3.0, 0) == 1.0
    assert bounds.rate_flow(2.0, 0.5) == pytest.approx(math.exp(-1.0))
    assert isinstance(bounds.rate_flow(2.0, 0.5), float)


# --- Monte Carlo: the inequalities themselves ----------------------------------------------------


def test_expected_initial_residual() -> None:
    rng = np.random.default_rng(0)
    X = unit_rows(3, 4, rng) * np.array([[0.5], [1.0], [2.0]])
    y = np.array([1.0, -0.5, 0.3])
    samples = []
    for _ in range(4000):
        W, a = network(6, 4, rng)
        samples.append(((predict(W, a, X) - y) ** 2).sum())
    mean, error = np.mean(samples), np.std(samples) / math.sqrt(len(samples))
    exact = bounds.expected_residual_squared(y, (X**2).sum(axis=1))
    assert abs(mean - exact) < 4 * error
    assert error < 0.05 * exact


def test_lemma_2_1_entrywise_coverage() -> None:
    rng = np.random.default_rng(1)
    n, d, m, delta, draws = 4, 3, 120, 0.3, 800
    X = unit_rows(n, d, rng)
    H, K = infinite_gram(X), np.abs(X @ X.T)
    bound = bounds.gram_entry_bound(n, m, delta)
    failures = sum(
        (np.abs(finite_gram(rng.standard_normal((m, d)), X) - H) > bound * K).any() for _ in range(draws)
    )
    assert failures / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


def test_lemma_2_1_at_the_sharp_width() -> None:
    rng = np.random.default_rng(2)
    X = np.eye(2)
    H, lambda_0, delta, draws = infinite_gram(X), 0.5, 0.3, 400
    m = math.ceil(bounds.gram_width(2, lambda_0, delta))
    failures = 0
    for _ in range(draws):
        H_0 = finite_gram(rng.standard_normal((m, 2)), X)
        near = np.linalg.norm(H_0 - H, 2) <= lambda_0 / 4
        failures += not near
        if near:
            assert np.linalg.eigvalsh(H_0)[0] >= 3 * lambda_0 / 4 - 1e-12
    assert failures / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


def test_lemma_2_1_printed_chain_fails_only_in_its_corner() -> None:
    """n = 1, m = 1: H(0) is 0 or 1, never within lambda_0/4 = 1/8 of 1/2."""
    delta = 0.9995
    assert bounds.gram_width_loose(1, 0.5, delta) < 1.0  # so the chain claims P >= 1 - delta > 0
    assert bounds.gram_width(1, 0.5, delta) > 1.0
    edge = 2.0 ** (-1 / 31)
    for delta, below in ((edge - 1e-6, False), (edge + 1e-6, True)):
        assert (bounds.gram_width_loose(1, 0.5, delta) < bounds.gram_width(1, 0.5, delta)) is below


def test_lemma_2_2_expected_change_within_a_radius() -> None:
    rng = np.random.default_rng(3)
    n, d, m, R, draws = 4, 3, 100, 0.1, 400
    X = unit_rows(n, d, rng)
    changes, envelopes = [], []
    for _ in range(draws):
        W = rng.standard_normal((m, d))
        H_0, z = finite_gram(W, X), W @ X.T
        # Push each neuron across the boundary of its nearest input: flips as much as it can.
        nearest = np.abs(z).argmin(axis=1)
        side = np.sign(z[np.arange(m), nearest])
        moved = finite_gram(W - R * side[:, None] * X[nearest], X)
        changes.append(np.abs(moved - H_0))
        flippable = np.abs(z) <= R
        either = flippable[:, :, None] | flippable[:, None, :]
        envelopes.append(either.mean(axis=0))
    bound = bounds.gram_entry_change_expectation(R)
    assert bound == pytest.approx(4 * R / math.sqrt(2 * math.pi))
    mean = np.mean(changes, axis=0)
    error = np.std(changes, axis=0) / math.sqrt(draws)
    assert (mean <= bound + 3 * error).all()
    # The supremum over ALL W in the ball is below the share of neurons that can flip at i or j.
    envelope = np.mean(envelopes, axis=0)
    envelope_error = np.std(envelopes, axis=0) / math.sqrt(draws)
    assert (mean <= envelope).all()
    assert (envelope <= bound + 3 * envelope_error).all()
    # Not vacuous: the bound is attained to a few per cent off the diagonal.
    assert envelope[~np.eye(n, dtype=bool)].max() > 0.85 * bound


def test_lemma_2_2_and_2_5_with_probability() -> None:
    rng = np.random.default_rng(4)
    n, d, m, R, delta, draws = 3, 3, 60, 0.05, 0.4, 500
    X = unit_rows(n, d, rng)
    many = far = 0
    fractions = []
    for _ in range(draws):
        flippable = np.abs(rng.standard_normal((m, d)) @ X.T) <= R
        fractions.append(flippable.mean())
        count = flippable.sum()
        many += count > bounds.flip_count_bound(n, m, R, delta)
        either = (flippable[:, :, None] | flippable[:, None, :]).mean(axis=0)
        total = (np.abs(X @ X.T) * either).sum()
        far += total > bounds.gram_change_bound(n, R, delta)
        # Lemma 2.5's event implies Lemma 2.2's.
        assert total <= 2 * n / m * count + 1e-12
    slack = 3 * math.sqrt(delta * (1 - delta) / draws)
    assert many / draws <= delta + slack
    assert far / draws <= delta + slack
    mean, error = np.mean(fractions), np.std(fractions) / math.sqrt(draws)
    assert abs(mean - bounds.flip_probability(R)) < 4 * error
    assert bounds.flip_probability(R) <= bounds.flip_probability_bound(R)
    assert bounds.flip_probability(R) / bounds.flip_probability_bound(R) > 0.98


def test_flippable_fraction_bound_holds_for_all_radii_at_once() -> None:
    rng = np.random.default_rng(5)
    n, d, m, delta, draws = 3, 3, 50, 0.2, 400
    X = 3.0 * unit_rows(n, d, rng)
    failures = 0
    for _ in range(draws):
        z = np.sort((np.abs(rng.standard_normal((m, d)) @ X.T) / 3.0).ravel())
        # The empirical fraction jumps at the data, so its worst radii are the data points.
        fraction = np.arange(1, n * m + 1) / (n * m)
        limit = [bounds.flippable_fraction_bound(R, n, m, delta) for R in z]
        failures += bool((fraction > limit).any())
    assert failures / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)
    assert bounds.flippable_fraction_bound(100.0, n, m, delta) == 1.0


def test_lemma_2_3_needs_the_factor_two() -> None:
    """n = 1, x = 1, m = 64, flow by small steps, 400 draws at once."""
    rng = np.random.default_rng(6)
    m, eta, steps, draws, lambda_0 = 64, 0.02, 1500, 400, 0.5
    w = rng.standard_normal((draws, m))
    a = rng.choice([-1.0, 1.0], size=(draws, m))
    y = rng.standard_normal(draws)
    start, lowest = w.copy(), np.full(draws, np.inf)
    distance = np.zeros(draws)
    e0 = np.abs((a * np.maximum(w, 0)).sum(axis=1) / 8.0 - y)
    for k in range(steps):
        e = (a * np.maximum(w, 0)).sum(axis=1) / 8.0 - y
        active = w >= 0
        lowest = np.minimum(lowest, active.mean(axis=1))
        premise = lowest >= lambda_0 / 2
        rate = bounds.rate_flow(lambda_0, eta * k)
        assert (e[premise] ** 2 <= rate * e0[premise] ** 2 * (1 + 1e-9) + 1e-30).all()
        w -= eta * e[:, None] * a * active / 8.0
        distance = np.maximum(distance, np.abs(w - start).max(axis=1))
    premise = lowest >= lambda_0 / 2
    assert premise.mean() > 0.9
    bound = np.array([bounds.distance_flow(1, m, lambda_0, e) for e in e0])
    assert (distance[premise] <= bound[premise]).all()
    printed = 0.5 * bound
    assert 0.2 < (distance[premise] > printed[premise]).mean() < 0.7


def test_theorem_2_3_one_step() -> None:
    """The one-step factor with the counted flippable neurons in the place of Lemma 2.5's bound."""
    rng = np.random.default_rng(7)
    n, d, m, delta, steps = 3, 4, 300, 0.1, 150
    X = unit_rows(n, d, rng)
    y = rng.standard_normal(n)
    lambda_0 = float(np.linalg.eigvalsh(infinite_gram(X))[0])
    W, a = network(m, d, rng)
    eta = bounds.step_size_bound(n, lambda_0)
    history = train(X, y, W, a, eta, steps)
    assert history["lambda_min"].min() >= lambda_0 / 2
    count = int((np.abs(W @ X.T) <= history["max_distance"].max()).sum())
    # The radius at which Lemma 2.5 would bound the count by exactly this.
    radius = count * delta / (bounds.ANTI_CONCENTRATION * m * n)
    assert bounds.flip_count_bound(n, m, radius, delta) == pytest.approx(count)
    ratios = history["loss"][1:] / history["loss"][:-1]
    factor = bounds.one_step_factor(n, lambda_0, delta, radius, eta)
    assert (ratios <= factor).all()
    e0 = math.sqrt(2 * history["loss"][0])
    assert history["max_distance"].max() <= bounds.distance_gd(n, m, lambda_0, e0)


# --- Report --------------------------------------------------------------------------------------


def rows_by_text(rows: list[TheoryRow]) -> dict[str, TheoryRow]:
    table = {f"{row.source}: {row.condition}": row for row in rows}
    assert len(table) == len(rows)
    return table


def find(rows: list[TheoryRow], *parts: str) -> TheoryRow:
    hits = [r for r in rows if all(p in f"{r.name} {r.source} {r.condition}" for p in parts)]
    assert len(hits) == 1, hits
    return hits[0]


@pytest.fixture(scope="module")
def small_run():  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(8)
    X = unit_rows(4, 6, rng)
    y = rng.standard_normal(4)
    W, a = network(1500, 6, rng)
    H = infinite_gram(X)
    eta = 1.0 / float(np.linalg.eigvalsh(H)[-1])
    history = train(X, y, W, a, eta, 40)
    e0 = float(np.linalg.norm(predict(W, a, X) - y))
    quantities = two_layer_quantities(H, width=1500, residual_norm=e0, delta=0.1, H_0=finite_gram(W, X), y=y)
    return quantities, history, eta


def test_everything_holds_when_the_theorem_applies() -> None:
    """n = 1 with a small residual: the one place where the proven width is affordable."""
    rng = np.random.default_rng(9)
    X, m, delta = np.array([[0.6, 0.8]]), 6000, 0.5
    W, a = network(m, 2, rng)
    y = predict(W, a, X) + 0.1
    history = train(X, y, W, a, 0.1, 100)
    q = two_layer_quantities(infinite_gram(X), width=m, residual_norm=0.1, delta=delta, H_0=finite_gram(W, X))
    assert q.required_width_gd < m
    rows = theory_report(q, step_size=0.1, history=history)
    assert [row for row in rows if row.holds is not True] == []
    flow = theory_report(q, history=history, flow=True)
    assert [row for row in flow if row.holds is not True] == []


def test_report_of_an_ordinary_run(small_run) -> None:  # type: ignore[no-untyped-def]
    q, history, eta = small_run
    rows = theory_report(q, step_size=eta, history=history)
    rows_by_text(rows)
    # Conditions fail by orders of magnitude, conclusions hold: the normal case.
    assert find(rows, "Thm 2.3 (R' < R)").holds is False
    assert find(rows, "eta <= lam0/(4 n^2)").holds is False
    assert find(rows, "eta < 2/lmax").holds is True
    assert find(rows, "unit-norm").holds is True
    for parts in (
        ("rate",),
        ("lmin(H(k)) >= lam0/2",),
        ("Corollary 2.1",),
        ("Lemma 2.5",),
        ("Markov",),
        ("lmin(H(0))",),
    ):
        assert find(rows, *parts).holds is True, parts
    # Numbers, each computed here on its own.
    loss = history["loss"]
    lambda_0 = q.lambda_0
    rate = 1 - eta * lambda_0 / 2
    measured = find(rows, "rate")
    slowest = max((loss[k] / loss[0]) ** (1 / k) for k in range(1, len(loss)))
    assert measured.predicted == pytest.approx(rate)
    assert measured.measured == pytest.approx(slowest, rel=1e-9)
    step = find(rows, "contraction")
    assert step.measured == pytest.approx((loss[1:] / loss[:-1]).max(), rel=1e-9)
    assert step.predicted == pytest.approx(q.one_step_factor(eta))
    distance = history["max_distance"].max()
    row = find(rows, "Corollary 2.1")
    assert (row.predicted, row.measured) == (q.distance_gd, distance)
    row = find(rows, "Thm 2.3", "= R =")
    assert (row.predicted, row.measured, row.holds) == (q.radius_gd, distance, False)
    row = find(rows, "Lemma 2.5")
    assert row.measured == history["pattern_change"].max()
    assert row.predicted == pytest.approx(
        math.erf(distance / math.sqrt(2)) + math.sqrt(math.log(8 / 0.1) / 3000)
    )
    row = find(rows, "4 n^2 R/(sqrt(2pi) delta)")
    assert row.predicted == pytest.approx(4 * 16 * distance / (math.sqrt(2 * math.pi) * 0.1))
    row = find(rows, "|H(k)-H(0)|_2 <= lam0/4")
    assert (row.predicted, row.measured) == (lambda_0 / 4, history["gram_change"].max())
    row = find(rows, "|H(0)-Hinf|_2 <= lam0/4")
    assert row.measured == q.initial_gram_distance


def test_flow_report_uses_theorem_2_2(small_run) -> None:  # type: ignore[no-untyped-def]
    q, history, _ = small_run
    rows = theory_report(q, history=history, flow=True)
    assert find(rows, "Lemma 2.3").predicted == q.distance_flow
    assert find(rows, "(R' < R)").predicted == q.training_width_flow
    assert find(rows, "= R =").predicted == q.radius_flow
    row = find(rows, "exp(-lam0 t)")
    assert row.predicted == pytest.approx(math.exp(-q.lambda_0))
    assert row.holds is True
    assert not any("step size" in row.name or "Thm 2.3" in row.source for row in rows)


def history_of(loss: list[float], steps: list[int] | None = None) -> dict[str, np.ndarray]:
    return {"step": np.array(steps or range(len(loss))), "loss": np.array(loss)}


def one_example(width: int = 100) -> TwoLayerQuantities:
    return two_layer_quantities([[0.5]], width=width, residual_norm=1.0)


def test_rate_row_looks_at_every_recorded_step() -> None:
    # eta = 1, lambda_0 = 1/2: the claim is |e(k)|^2 <= (3/4)^k |e(0)|^2.
    q = one_example()
    good = history_of([1.0, 0.7, 0.5, 0.1])
    assert find(theory_report(q, step_size=1.0, history=good), "rate").holds is True
    exact = history_of([1.0, 0.75, 0.5625])
    assert find(theory_report(q, step_size=1.0, history=exact), "rate").holds is True
    # Late by one step in the middle, fine at the end.
    late = history_of([1.0, 0.76, 0.2, 0.1])
    row = find(theory_report(q, step_size=1.0, history=late), "rate")
    assert row.holds is False
    assert row.measured == pytest.approx(0.76)
    sparse = history_of([1.0, 0.75**4, 0.75**10], [0, 4, 10])
    rows = theory_report(q, step_size=1.0, history=sparse)
    assert find(rows, "rate").holds is True
    assert find(rows, "contraction").measured == pytest.approx(0.75)


def test_rounding_floor_is_not_held_against_the_rate() -> None:
    q = one_example()
    floor = history_of([1.0, 1e-3, 1e-11, 1e-11], [0, 10, 50, 400])
    single = theory_report(q, step_size=1.0, history=floor, dtype="float32")
    assert find(single, "rate").holds is True
    double = theory_report(q, step_size=1.0, history=floor)
    assert find(double, "rate").holds is False


def test_diverged_run_is_reported_not_raised() -> None:
    q = one_example()
    history = history_of([1.0, 100.0, math.inf, math.nan]) | {
        "max_distance": np.array([0.0, 1.0, math.inf, math.nan]),
        "lambda_min": np.array([0.5, 0.5, math.nan, math.nan]),
    }
    rows = theory_report(q, step_size=5.0, history=history)
    assert find(rows, "rate").holds is False
    assert find(rows, "rate").measured == math.inf
    assert find(rows, "eta < 2/lmax").holds is False
    assert find(rows, "Corollary 2.1").measured == math.inf
    assert find(rows, "lmin(H(k))").holds is False
    assert "inf" in format_report(rows)


def test_already_fitted_network() -> None:
    q = two_layer_quantities([[0.5]], width=10, residual_norm=0.0)
    rows = theory_report(q, step_size=0.1, history=history_of([0.0, 0.0, 0.0]))
    assert find(rows, "rate").holds is True
    assert q.distance_gd == q.training_width_gd == 0.0
    rows = theory_report(q, step_size=0.1, history=history_of([0.0, 1.0]))
    assert find(rows, "rate").holds is False


def test_singular_kernel_gives_infinite_widths() -> None:
    q = two_layer_quantities(0.5 * np.ones((3, 3)), width=10, residual_norm=1.0, y=[0.0, 1.0, 2.0])
    assert q.lambda_0 == 0.0
    for name in (f.name for f in dataclasses.fields(q) if "width_" in f.name):
        assert getattr(q, name) == math.inf, name
    for name in ("radius_flow", "radius_gd", "step_size_bound", "step_size_order", "flip_count_gd"):
        assert getattr(q, name) == 0.0, name
    assert q.distance_gd == q.distance_flow == math.inf
    rows = theory_report(q, step_size=0.1, history=history_of([1.0, 0.5]))
    assert find(rows, "lmin(Hinf) > 0").holds is False
    assert all(row.holds is False for row in rows if row.name == "width")
    # Zero inputs: nothing trains, and still no exception.
    q = two_layer_quantities(np.zeros((2, 2)), width=10, residual_norm=1.0)
    assert q.step_size_divergence == math.inf
    assert find(theory_report(q, step_size=1.0, history=history_of([1.0])), "rate").holds is None


def test_missing_records_are_said_to_be_missing() -> None:
    rows = theory_report(one_example(), step_size=0.1, history={"step": [0, 1]})
    unknown = [row for row in rows if row.holds is None]
    assert all(row.measured is None for row in unknown)
    assert len(unknown) == 11
    given = theory_report(
        one_example(),
        step_size=0.1,
        history={"step": [0, 1]},
        H_0_lambda_min=0.4,
        gram_initial_distance=0.1,
    )
    assert find(given, "lmin(H(0))").holds is True
    assert find(given, "|H(0)-Hinf|_2 <= lam0/4").holds is True
    from_history = theory_report(
        one_example(), step_size=0.1, history={"step": [0, 1], "lambda_min": [0.3, 0.3]}
    )
    assert find(from_history, "lmin(H(0))").measured == 0.3


def test_inputs_not_of_unit_norm_are_flagged() -> None:
    q = two_layer_quantities(np.diag([0.5, 2.0]), width=10, residual_norm=1.0)
    row = find(theory_report(q, step_size=0.1, history=history_of([1.0])), "unit-norm")
    assert row.holds is False
    assert row.measured == pytest.approx(2.0)


def test_format_report(small_run) -> None:  # type: ignore[no-untyped-def]
    q, history, eta = small_run
    rows = theory_report(q, step_size=eta, history=history)
    text = format_report(rows)
    lines = text.splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[0].split() == ["quantity", "condition", "predicted", "measured", "holds", "source"]
    assert text.isascii()
    assert all(line == line.rstrip() for line in lines)
    for line, row in zip(lines[2:], rows, strict=True):
        assert line.startswith(row.name)
        assert line.endswith(row.source)
        assert row.condition in line
    close = format_report([TheoryRow("a", "b", "c", 1 - 2e-7, None, None)])
    assert "1-2.00e-07" in close
    assert close.splitlines()[2].split() == ["a", "c", "1-2.00e-07", "-", "-", "b"]
    assert format_report([]).count("\n") == 1


# --- Errors --------------------------------------------------------------------------------------

H2 = equicorrelated(2, 0.3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"H_inf": np.ones((2, 3))}, ValueError, "H_inf: a square"),
        ({"H_inf": [[0.5, 0.9], [0.9, 0.5]]}, ValueError, "H_inf: is not positive semi-definite"),
        ({"H_inf": [[-1.0]]}, ValueError, "H_inf: is not positive semi-definite"),
        ({"width": 0}, ValueError, "width: must be positive"),
        ({"width": 2.5}, TypeError, "width: an integer"),
        ({"delta": 1.0}, ValueError, "delta: must be a probability"),
        ({"delta": 0.0}, ValueError, "delta: must be positive"),
        ({"residual_norm": -1.0}, ValueError, "residual_norm: must be finite"),
        ({"residual_norm": math.nan}, ValueError, "residual_norm: must be finite"),
        ({"residual_norm": None}, ValueError, "residual_norm: needed"),
        ({"H_0": np.eye(3)}, ValueError, r"H_0: shape \(2, 2\)"),
        ({"y": [1.0]}, ValueError, "y: length 2"),
    ],
)
def test_quantities_errors(arguments, error, message) -> None:  # type: ignore[no-untyped-def]
    call = {"H_inf": H2, "width": 10, "residual_norm": 1.0} | arguments
    with pytest.raises(error, match=f"^{message}"):
        two_layer_quantities(call.pop("H_inf"), **call)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_size": None}, "step_size: needed"),
        ({"step_size": -1.0}, "step_size: must be positive"),
        ({"history": {"loss": [1.0]}}, "history: has no 'step'"),
        ({"history": {"step": [0, 1]}, "flow": True}, "history: has no 'time'"),
        ({"history": {"step": [1, 2]}}, r"history\['step'\]: must be a vector that starts at 0"),
        ({"history": {"step": [0, 2, 2]}}, r"history\['step'\]: must increase"),
        ({"history": {"step": [0, 1], "loss": [1.0]}}, r"history\['loss'\]: shape \(2,\)"),
    ],
)
def test_report_errors(arguments, message) -> None:  # type: ignore[no-untyped-def]
    call = {"step_size": 0.1, "history": {"step": [0]}} | arguments
    with pytest.raises(ValueError, match=f"^{message}"):
        theory_report(one_example(), **call)


def test_float32_kernel_is_judged_in_its_own_precision() -> None:
    rng = np.random.default_rng(10)
    X = unit_rows(4, 5, rng)
    X[3] = X[0]
    q = two_layer_quantities(infinite_gram(X).astype(np.float32), width=5, residual_norm=1.0)
    assert q.lambda_0 == 0.0
    assert q.unit_norm


def test_quantities_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        one_example().width = 3  # type: ignore[misc]


def test_a_bound_of_the_distance_decides_when_it_is_small_enough() -> None:
    X = np.eye(3)
    q = two_layer_quantities(infinite_gram(X), width=10**6, residual_norm=1.0)
    base = {"step": np.arange(3), "gram_change": np.zeros(3), "pattern_change": np.zeros(3)}
    allowed = q.radius_gd

    def rows(**more: np.ndarray) -> dict[str, TheoryRow]:
        report = theory_report(q, step_size=0.01, history={**base, **more})
        return {row.name: row for row in report if row.predicted == allowed or "distance" in row.name}

    small, large = np.array([0.0, 0.1, 0.5]) * allowed, np.array([0.0, 1.0, 2.0]) * allowed
    assert rows(max_distance=small)["distance"].holds is True
    assert rows(max_distance=large)["distance"].holds is False
    assert rows(max_distance_bound=small)["distance (bound)"].holds is True
    assert rows(max_distance_bound=large)["distance (bound)"].holds is None
    assert rows(max_distance_bound=large)["distance (bound)"].measured == large[-1]
    # Computed at some steps only: the bound speaks; at all steps: the distance.
    gaps = np.array([0.0, np.nan, 0.4 * allowed])
    assert rows(max_distance=gaps, max_distance_bound=small)["distance (bound)"].measured == small[-1]
    assert rows(max_distance=large, max_distance_bound=2 * large)["distance"].holds is False
    assert rows()["distance"].measured is None
