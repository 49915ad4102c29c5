"""Theory of deep networks: formulas against readable algebra, a NumPy network, and the report's verdicts."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram.analysis import deep_bounds as bounds
from lazygram.analysis.deep_bounds import NetworkConstants
from lazygram.analysis.deep_quantities import (
    deep_quantities,
    layer_gaps,
    lipschitz_constant,
    measured_constants,
)
from lazygram.analysis.deep_theory import deep_theory_report
from lazygram.analysis.rows import TheoryRow, format_report

C_SOFTPLUS = 1.0854865029883434  # 1 / E[log(1 + e^Z)^2]


# --- A readable deep network: weights in a list, gradients by the chain rule ---------------------


def softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, z)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def scales(kind: str, depth: int, m: int, c_res: float = 0.5) -> list[float]:
    first = math.sqrt(C_SOFTPLUS / m)
    return [first] * depth if kind == "fc" else [first] + [c_res / (depth * math.sqrt(m))] * (depth - 1)


def forward(kind, W, X):  # type: ignore[no-untyped-def]
    xs, us = [X], []
    k = scales(kind, len(W), len(W[0]))
    for h, weights in enumerate(W):
        us.append(xs[-1] @ weights.T)
        skip = xs[-1] if kind == "resnet" and h > 0 else 0.0
        xs.append(skip + k[h] * softplus(us[-1]))
    return xs, us


def deltas(kind, W, a, us):  # type: ignore[no-untyped-def]
    k = scales(kind, len(W), len(W[0]))
    g, out = np.tile(a, (len(us[0]), 1)), []
    for h in reversed(range(len(W))):
        out.append(k[h] * sigmoid(us[h]) * g)
        g = out[-1] @ W[h] + (g if kind == "resnet" and h > 0 else 0.0)
    return out[::-1]


def grams(kind, W, a, X):  # type: ignore[no-untyped-def]
    xs, us = forward(kind, W, X)
    ds = deltas(kind, W, a, us)
    return [(x @ x.T) * (d @ d.T) for x, d in zip(xs[:-1], ds, strict=True)] + [xs[-1] @ xs[-1].T]


def train(kind, W, a, X, y, eta, steps):  # type: ignore[no-untyped-def]
    """Gradient descent on all layers; the history that a report needs, at every step."""
    W, a = [w.copy() for w in W], a.copy()
    W0, a0, G0 = [w.copy() for w in W], a.copy(), grams(kind, W, a, X)
    rows: dict[str, list[object]] = {"loss": [], "lmin": [], "change": [], "distance": []}
    for _ in range(steps + 1):
        xs, us = forward(kind, W, X)
        e = xs[-1] @ a - y
        G = grams(kind, W, a, X)
        rows["loss"].append(0.5 * e @ e)
        rows["lmin"].append([np.linalg.eigvalsh(g)[0] for g in G])
        rows["change"].append([np.linalg.norm(g - g0, 2) for g, g0 in zip(G, G0, strict=True)])
        moved = [np.linalg.norm(w - w0) for w, w0 in zip(W, W0, strict=True)]
        rows["distance"].append([*moved, np.linalg.norm(a - a0)])
        ds = deltas(kind, W, a, us)
        for h in range(len(W)):
            W[h] = W[h] - eta * (e[:, None] * ds[h]).T @ xs[h]
        a = a - eta * xs[-1].T @ e
    return {
        "step": np.arange(steps + 1),
        "loss": np.array(rows["loss"]),
        "layer_lambda_min": np.array(rows["lmin"]),
        "layer_gram_change": np.array(rows["change"]),
        "layer_distance": np.array(rows["distance"]),
    }


def network(m, d, depth, rng):  # type: ignore[no-untyped-def]
    sizes = [d] + [m] * depth
    return [rng.standard_normal((sizes[h + 1], sizes[h])) for h in range(depth)], rng.standard_normal(m)


def unit_rows(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def constants(kind: str, depth: int, **more: float) -> NetworkConstants:
    return NetworkConstants(kind, depth, C_SOFTPLUS, 1.0, math.log(2.0), **more)  # type: ignore[arg-type]


def row(report: list[TheoryRow], text: str) -> TheoryRow:
    found = [entry for entry in report if text in entry.condition]
    assert len(found) == 1, (text, [entry.condition for entry in report])
    return found[0]


# --- Orders and bounds ---------------------------------------------------------------------------


def test_width_and_step_orders_by_hand() -> None:
    # n = 10, H = 2, lam = 1/2: n/lam = 20.
    assert bounds.stability_width_order("fc", 10, 2, 0.5) == pytest.approx(20.0**4)
    assert bounds.stability_width_order("resnet", 10, 2, 0.5) == pytest.approx(20.0**4 / 64)
    assert bounds.stability_width_order("conv-resnet", 10, 2, 0.5) == pytest.approx(20.0**4 / 4)
    # For a deep ResNet the other term is the larger one: n^2/(lam^2 H^2) = 16, n^4/(lam^4 H^6) = 1/4.
    assert bounds.stability_width_order("resnet", 1, 4, 1 / 16) == pytest.approx(16.0)
    assert bounds.norm_width_order(10, 0.1) == pytest.approx(100.0)
    assert bounds.gram_width_order(10, 2, 0.5, 0.1) == pytest.approx(400.0 * math.log(200.0))
    assert bounds.step_size_order("fc", 10, 3, 0.5) == pytest.approx(0.005)
    assert bounds.step_size_order("resnet", 10, 3, 0.5) == pytest.approx(0.045)
    assert bounds.radius_order("fc", 10, 3, 0.5) == pytest.approx(0.05)
    assert bounds.radius_order("conv-resnet", 10, 3, 0.5) == pytest.approx(0.45)


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(bounds.ARCHITECTURES),
    n=st.integers(1, 1000),
    depth=st.integers(1, 50),
    lam=st.floats(1e-12, 10.0),
    delta=st.floats(1e-6, 0.99),
)
def test_the_required_width_is_the_largest(kind, n, depth, lam, delta) -> None:  # type: ignore[no-untyped-def]
    parts = (
        bounds.stability_width_order(kind, n, depth, lam),
        bounds.norm_width_order(n, delta),
        bounds.gram_width_order(n, depth, lam, delta),
    )
    assert bounds.required_width_order(kind, n, depth, lam, delta) == max(parts)
    # More examples or a smaller eigenvalue never need less.
    assert bounds.stability_width_order(kind, n + 1, depth, lam) >= parts[0]
    assert bounds.stability_width_order(kind, n, depth, lam / 2) >= parts[0]


def test_singular_matrices_need_infinite_width_and_allow_no_step() -> None:
    for kind in bounds.ARCHITECTURES:
        assert bounds.required_width_order(kind, 5, 3, 0.0, 0.1) == math.inf
        assert bounds.step_size_order(kind, 5, 3, 0.0) == 0.0
        assert bounds.movement_bound(constants(kind, 3), 5, 100, 0.0, 1.0) == math.inf


def test_growth_by_hand() -> None:
    # c_x = 2 sqrt(c_sigma) * 1 * 2
    assert bounds.growth(constants("fc", 3)) == pytest.approx((4.0 * math.sqrt(C_SOFTPLUS)) ** 3)
    tiny = constants("fc", 5, weight_norm=1e-3)
    assert bounds.growth(tiny) == 1.0  # c_x is at least 1
    assert bounds.growth(constants("resnet", 4)) == pytest.approx(0.5 * math.exp(2.0) / 4)
    conv = constants("conv-resnet", 4, pixels=5, patch=9)
    assert bounds.growth(conv) == pytest.approx(0.5 * math.sqrt(45.0) * math.exp(6.0) / 4)
    assert bounds.growth(constants("fc", 4000)) == math.inf


def test_movement_bound_by_hand() -> None:
    given = constants("resnet", 4, feature_norm=1.5, readout_norm=1.1)
    expected = 16 * 1.5 * 1.1 * (0.5 * math.exp(2.0) / 4) * math.sqrt(10) * 3.0 / (0.01 * math.sqrt(400))
    assert bounds.movement_bound(given, 10, 400, 0.01, 3.0) == pytest.approx(expected)


def test_one_gradient_obeys_the_bound_that_the_movement_bound_sums(rng: np.random.Generator) -> None:
    # sqrt(m) R' sums eta Q'(k) over all steps, Q'(k) <= (1 - eta lam/2)^{k/2} Q'(0) the bound on a gradient:
    # 4 Q'(0) / lam. So Q'(0) = lam sqrt(m) R' / 4.
    n, d, m, depth = 6, 5, 64, 3
    X, y = unit_rows(n, d, rng), rng.standard_normal(n)
    for kind in ("fc", "resnet"):
        W, a = network(m, d, depth, rng)
        xs, us = forward(kind, W, X)
        e = xs[-1] @ a - y
        c = measured_constants(constants(kind, depth), W, a, xs[1:])
        ceiling = bounds.movement_bound(c, n, m, 1.0, float(np.linalg.norm(e))) * math.sqrt(m) / 4
        ds = deltas(kind, W, a, us)
        layers = range(depth) if kind == "fc" else range(1, depth)
        for h in layers:
            gradient = (e[:, None] * ds[h]).T @ xs[h]
            assert np.linalg.norm(gradient) <= ceiling


def test_propagation_constant_by_hand() -> None:
    fc = constants("fc", 4)
    slope = math.log(2.0) + 1.0
    C1, M = math.sqrt(C_SOFTPLUS) * slope, 101.0
    first = max(2 * math.sqrt(1 + C1**2) * M, C1 * math.sqrt(M))
    got = bounds.propagation_constant(fc, covariance=1.0, mean=0.7, dual_lipschitz=0.4)
    assert got == pytest.approx(first * (2 * C_SOFTPLUS * 0.4) ** 2)
    res = constants("resnet", 4)
    C, B = 0.125 * slope, 71.0
    factor = 1 + 0.4 / 64 * 2 + C * B * 2 + C * math.sqrt(2 * M)
    got = bounds.propagation_constant(res, covariance=1.0, mean=0.7, dual_lipschitz=0.4)
    assert got == pytest.approx(first * factor**2)
    assert bounds.propagation_error(3.0, 10, 100, 5, 0.1) == pytest.approx(
        3.0 * math.sqrt(math.log(500.0) / 100)
    )


def test_pairwise_lambda_min_against_eigenvalues(rng: np.random.Generator) -> None:
    A = rng.standard_normal((6, 3))
    S = A @ A.T
    pairs = [(i, j) for i in range(6) for j in range(i)]
    expected = min(np.linalg.eigvalsh(S[np.ix_(p, p)])[0] for p in pairs)
    assert bounds.pairwise_lambda_min(S) == pytest.approx(expected, rel=1e-10)
    # Nearly parallel rows: the eigenvalue is exactly 2^-40.
    close = np.array([[1.0, 1.0 - 2.0**-40], [1.0 - 2.0**-40, 1.0]])
    assert bounds.pairwise_lambda_min(close) == pytest.approx(2.0**-40, rel=1e-3)
    assert bounds.pairwise_lambda_min(np.zeros((2, 2))) == 0.0
    with pytest.raises(ValueError, match="S: at least two rows"):
        bounds.pairwise_lambda_min(np.eye(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "cnn"}, "architecture: one of fc"),
        ({"depth": 0}, "depth: must be positive"),
        ({"c_sigma": math.nan}, "c_sigma: must be positive"),
        ({"pixels": 3}, "pixels, patch: must be 1 for fc"),
    ],
)
def test_constants_are_checked(changes: dict[str, object], message: str) -> None:
    settings_ = {"architecture": "fc", "depth": 2, "c_sigma": 1.0, "lipschitz": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        NetworkConstants(**settings_)  # type: ignore[arg-type]


# --- Measured on arrays --------------------------------------------------------------------------


def test_lipschitz_constants() -> None:
    assert lipschitz_constant(sigmoid) == pytest.approx(1.0)  # softplus
    assert lipschitz_constant(lambda z: 1 / np.cosh(z) ** 2) == 1.0  # tanh
    # cos(3 z) / 3 has no largest slope at a grid point, but one within the spacing of it.
    assert lipschitz_constant(lambda z: np.sin(3 * z)) == pytest.approx(1.0, abs=1e-6)


def test_layer_gaps_against_numpy(rng: np.random.Generator) -> None:
    K = np.eye(4) + 0.5
    G = K + 1e-2 * (lambda E: E + E.T)(rng.standard_normal((4, 4)))
    (gap,) = layer_gaps([G], [K])
    assert gap.operator == pytest.approx(np.linalg.norm(G - K, 2), rel=1e-10)
    assert gap.entry == pytest.approx(np.abs(G - K).max())
    assert gap.relative == pytest.approx(np.abs(G - K).max() / 1.5)
    assert gap.lambda_min == pytest.approx(np.linalg.eigvalsh(G)[0])
    with pytest.raises(ValueError, match="measured: 2 matrices are needed"):
        layer_gaps([G], [K, K])
    with pytest.raises(ValueError, match=r"measured\[0\]: shape \(3, 3\) is needed"):
        layer_gaps([G], [np.eye(3)])


def test_measured_constants_against_numpy(rng: np.random.Generator) -> None:
    W, a = network(30, 5, 2, rng)
    xs, _ = forward("fc", W, 2.0 * unit_rows(4, 5, rng))
    got = measured_constants(constants("fc", 2), W, a, xs[1:])
    assert got.weight_norm == pytest.approx(max(np.linalg.norm(w, 2) for w in W) / math.sqrt(30))
    assert got.readout_norm == pytest.approx(np.linalg.norm(a) / math.sqrt(30))
    assert got.feature_norm == pytest.approx(max(np.linalg.norm(x, axis=1).max() for x in xs[1:]))
    # A convolution: norms over channels and pixels, the readout per pixel.
    conv = constants("conv-resnet", 1, pixels=4, patch=3)
    x, readout = rng.standard_normal((2, 30, 4)), rng.standard_normal((30, 4))
    got = measured_constants(conv, W[:1], readout, [x])
    assert got.feature_norm == pytest.approx(max(np.linalg.norm(x[0]), np.linalg.norm(x[1])))
    assert got.readout_norm == pytest.approx(np.linalg.norm(readout, axis=0).max() / math.sqrt(30))
    with pytest.raises(ValueError, match="weights, features: 1 of each"):
        measured_constants(conv, W, readout, [x])


@functools.cache
def quantities(kind="fc", depth=2):  # type: ignore[no-untyped-def]
    """Quantities, network and data; a mean over wider networks stands in for the limit."""
    rng, n, m = np.random.default_rng(0), 4, 128
    X, y = unit_rows(n, 6, rng), rng.standard_normal(n)
    draws = [grams(kind, *network(384, 6, depth, rng), X) for _ in range(4)]
    limits = [np.mean([draw[h] for draw in draws], axis=0) for h in range(depth + 1)]
    W, a = network(m, 6, depth, rng)
    xs, _ = forward(kind, W, X)
    c = measured_constants(constants(kind, depth), W, a, xs[1:])
    q = deep_quantities(
        c,
        limits,
        width=m,
        residual_norm=float(np.linalg.norm(xs[-1] @ a - y)),
        layer_grams=grams(kind, W, a, X),
        features=xs[1:],
    )
    return q, limits, W, a, X, y


def test_quantities_against_direct_computation() -> None:
    q, limits, W, a, X, _ = quantities("resnet", 3)
    ntk = np.linalg.eigvalsh(np.sum(limits, axis=0))
    last = np.linalg.eigvalsh(limits[2])
    assert (q.lam, q.lam_max) == pytest.approx((last[0], last[-1]), rel=1e-10)
    assert (q.ntk_lambda_min, q.ntk_lambda_max) == pytest.approx((ntk[0], ntk[-1]), rel=1e-10)
    assert q.layer_lambda_min == pytest.approx([np.linalg.eigvalsh(K)[0] for K in limits], rel=1e-8)
    assert q.gram_tolerance == pytest.approx(last[0] / 4)
    assert q.step_size_divergence == pytest.approx(2 / ntk[-1])
    G = grams("resnet", W, a, X)
    assert q.initial is not None
    assert [gap.operator for gap in q.initial] == pytest.approx(
        [np.linalg.norm(g - k, 2) for g, k in zip(G, limits, strict=True)]
    )
    norms = np.array([np.linalg.norm(x, axis=1) for x in forward("resnet", W, X)[0][1:]])
    assert (q.smallest_norm, q.largest_norm) == pytest.approx((norms.min(), norms.max()))
    assert q.width_order == bounds.required_width_order("resnet", 4, 3, q.lam, 0.1)
    assert q.movement_bound == bounds.movement_bound(q.constants, 4, 128, q.lam, q.residual_norm)


def test_quantities_are_checked() -> None:
    K, c = [np.eye(3)] * 3, constants("fc", 2)
    with pytest.raises(ValueError, match="layer_limits: 3 matrices are needed, got 2"):
        deep_quantities(c, K[:2], width=10, residual_norm=1.0)
    with pytest.raises(ValueError, match="layer_limits: all must have shape"):
        deep_quantities(c, [*K[:2], np.eye(4)], width=10, residual_norm=1.0)
    with pytest.raises(ValueError, match=r"layer_limits\[0\]: is not positive semi-definite"):
        deep_quantities(c, [-np.eye(3), *K[:2]], width=10, residual_norm=1.0)
    with pytest.raises(ValueError, match="delta: must be a probability"):
        deep_quantities(c, K, width=10, residual_norm=1.0, delta=1.0)
    with pytest.raises(ValueError, match="residual_norm: must not be negative"):
        deep_quantities(c, K, width=10, residual_norm=-1.0)
    duplicated = np.ones((3, 3))
    assert deep_quantities(c, [duplicated] * 3, width=10, residual_norm=1.0).lam == 0.0


# --- The report ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "depth"), [("fc", 2), ("fc", 3), ("resnet", 3)])
def test_report_on_a_run(kind: str, depth: int) -> None:
    q, _, W, a, X, y = quantities(kind, depth)
    eta = 0.5 / q.ntk_lambda_max
    history = train(kind, W, a, X, y, eta, 30)
    report = deep_theory_report(q, step_size=eta, history=history)

    ratio = history["loss"] / history["loss"][0]
    k = history["step"]
    rate = row(report, "L(k) <= (1-eta lam/2)^k L(0)")
    assert rate.holds is bool((ratio <= (1 - eta * q.lam / 2) ** k * (1 + 1e-12)).all())
    assert rate.holds
    assert rate.measured == pytest.approx((ratio[1:] ** (1 / k[1:])).max())
    sharper = row(report, "L(k) <= (1-eta lmin(NTK)/2)^k L(0)")
    assert sharper.predicted == pytest.approx(1 - eta * q.ntk_lambda_min / 2)
    assert sharper.source == "not in the text"
    falls = row(report, "L(k+1) <= L(k)")
    assert falls.measured == pytest.approx((history["loss"][1:] / history["loss"][:-1]).max())

    change = row(report, "|G^(H)(k)-G^(H)(0)|_2 <= lam/4")
    assert change.measured == history["layer_gram_change"][:, depth - 1].max()
    assert change.holds is bool(change.measured <= q.lam / 4)
    smallest = row(report, "lmin(G^(H)(k)) >= lam/2")
    assert smallest.measured == history["layer_lambda_min"][:, depth - 1].min()

    moved = history["layer_distance"] / math.sqrt(q.width)
    if kind == "fc":
        assert row(report, "<= R'").measured == moved.max()
    else:
        rows = [entry for entry in report if "<= R'" in entry.condition]
        assert [entry.measured for entry in rows] == [moved[:, 1:depth].max(), moved[:, [0, depth]].max()]
        assert "not justified" in rows[1].source
    assert all(entry.holds for entry in report if "<= R'" in entry.condition)
    assert all(entry.name == "distance" for entry in report if "<= R" in entry.condition)
    assert row(report, "|W^(h)(k)-W^(h)(0)|_F/sqrt(m) <= R = lam").measured == moved.max()
    # Sufficient, not necessary: the order of the width is not met although the conclusions hold.
    assert row(report, "m >= the largest of these").holds is False
    assert "Thm 3." in format_report(report)


def test_a_worse_run_fails_the_rows_it_should() -> None:
    q, _, W, a, X, y = quantities("fc", 2)
    eta = 0.5 / q.ntk_lambda_max
    history = train("fc", W, a, X, y, eta, 10)
    slow = history | {"loss": np.where(history["step"] > 0, 0.999999999, 1.0)}
    assert not row(deep_theory_report(q, step_size=1.0, history=slow), "(1-eta lam/2)^k").holds
    rising = history | {"loss": 1.0 + history["step"]}
    assert not row(deep_theory_report(q, step_size=eta, history=rising), "L(k+1) <= L(k)").holds
    lost = history["layer_lambda_min"].copy()
    lost[5, 1] = math.nan
    assert not row(
        deep_theory_report(q, step_size=eta, history=history | {"layer_lambda_min": lost}), "lmin(G^(H)(k))"
    ).holds
    assert not row(
        deep_theory_report(q, step_size=3 / q.ntk_lambda_max, history=history), "eta < 2/lmax"
    ).holds


def test_what_was_not_recorded_has_no_verdict() -> None:
    q, *_ = quantities("resnet", 2)
    bare = dataclasses.replace(q, initial=None, smallest_norm=None, largest_norm=None)
    report = deep_theory_report(bare, step_size=0.1, history={"step": [0, 1]})
    for text in ("(1-eta lam/2)^k", "|x_i^(h)(0)| >= 1/2", "|G^(H)(0)-K^(H)|_2", "lmin(G^(H)(k))"):
        assert row(report, text).holds is None
    flow = deep_theory_report(q, history={"time": [0.0, 1.0], "loss": [1.0, math.exp(-2 * q.lam)]}, flow=True)
    assert row(flow, "L(t) <= exp(-lam t) L(0)").holds
    assert not row(flow, "L(t) <= exp(-lmin(NTK) t) L(0)").holds
    assert not [entry for entry in flow if entry.name == "step size"]


def test_convolutions_have_no_constant_for_their_norms() -> None:
    q, *_ = quantities("resnet", 2)
    conv = dataclasses.replace(q, constants=constants("conv-resnet", 2, pixels=9, patch=3))
    report = deep_theory_report(conv, step_size=0.1, history={"step": [0]})
    norms = [entry for entry in report if entry.name == "feature norms"]
    assert [entry.measured for entry in norms] == [q.smallest_norm, q.largest_norm]
    assert [entry.holds for entry in norms] == [None, None]
    assert "Thm 3.3" in row(report, "(1-eta lam/2)^k").source


def test_bad_histories_are_named() -> None:
    q, *_ = quantities("fc", 2)
    with pytest.raises(ValueError, match="step_size: needed"):
        deep_theory_report(q, history={"step": [0]})
    with pytest.raises(ValueError, match=r"history\['layer_distance'\]: shape \(2, layers\)"):
        deep_theory_report(q, step_size=1.0, history={"step": [0, 1], "layer_distance": [0.0, 1.0]})
    with pytest.raises(ValueError, match=r"history\['layer_lambda_min'\]: layer 2 is needed"):
        deep_theory_report(q, step_size=1.0, history={"step": [0], "layer_lambda_min": [[1.0]]})
