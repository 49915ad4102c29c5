"""The Gaussian CNN: golden values, finite differences, Monte Carlo, invariants, both minima."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from lazygram.problems.gaussian_cnn import (
    GaussianCNN,
    angle_between,
    correlation,
    correlation_gap,
    sign_patterns,
    spurious_ratio,
    step_size_limit,
)

# Computed independently, from the formulas of the thesis with the corrected loss.
V, A = np.array([1.0, 2.0, -1.0]), np.array([1.0, -2.0, 0.5, 3.0])
GOLDEN = GaussianCNN([2.0, 0.0, 1.0], [-1.0, 0.5, 2.0, 1.0])


def random_instance(rng: np.random.Generator, p: int = 5, k: int = 4) -> tuple[GaussianCNN, Any, Any]:
    problem = GaussianCNN(rng.standard_normal(p), rng.standard_normal(k))
    return problem, rng.standard_normal(p), rng.standard_normal(k)


def by_theorem(problem: GaussianCNN, v: Any, a: Any) -> float:
    """Theorem 5.1, six terms with one prefactor, in 40 digits; the arguments are taken as exact."""
    with mpmath.workdps(40):
        w, b = ([mpmath.mpf(float(x)) for x in y] for y in (problem.w_star, problem.a_star))
        v, a = ([mpmath.mpf(float(x)) for x in y] for y in (v, a))
        W, n = mpmath.norm(w), mpmath.norm(v)
        phi = mpmath.acos(mpmath.fdot(v, w) / (W * n))
        g = (mpmath.pi - phi) * mpmath.cos(phi) + mpmath.sin(phi)
        six = (mpmath.pi - 1) * (W**2 * mpmath.fdot(b, b) + mpmath.fdot(a, a))
        six += W**2 * mpmath.fsum(b) ** 2 + mpmath.fsum(a) ** 2
        six -= 2 * W * ((g - 1) * mpmath.fdot(a, b) + mpmath.fsum(a) * mpmath.fsum(b))
        return float(six / (4 * mpmath.pi))


def test_golden_values() -> None:
    assert GOLDEN.angle(V) == pytest.approx(1.387192316515978, rel=1e-14)
    assert GOLDEN.loss(V, A) == pytest.approx(8.29810213868114, rel=1e-13)
    slope = GOLDEN.gradients(V, A)
    np.testing.assert_allclose(slope.filter, [-0.41796954555, 0.07599446283, -0.26598062990], atol=1e-10)
    expected = [-0.04296069425, -1.22751097055, -0.53741343386, 0.42270927880]
    np.testing.assert_allclose(slope.output, expected, atol=1e-10)
    expected = [2.37934736, 0.81317559, -0.75299619, 0.29111833]
    np.testing.assert_allclose(GOLDEN.spurious_output, expected, atol=1e-8)
    assert GOLDEN.spurious_loss == pytest.approx(6.03055864, abs=1e-8)


def test_correlation_against_high_precision() -> None:
    with mpmath.workdps(60):
        for phi in (0.0, 1e-12, 1e-6, 0.1, 0.2499, 0.2501, 1.0, 2.0, 2.89, 2.892, 3.1, np.pi):
            x = mpmath.mpf(float(phi))
            gap = 2 * mpmath.pi * mpmath.sin(x / 2) ** 2 - (mpmath.sin(x) - x * mpmath.cos(x))
            assert correlation_gap(phi) == pytest.approx(float(gap), rel=1e-14)
            # The argument of g is pi - phi with pi rounded: compare where that is exact.
            rest = mpmath.mpf(float(np.pi - phi))
            g = mpmath.sin(rest) - rest * mpmath.cos(rest)
            assert correlation(phi) == pytest.approx(float(g), rel=1e-14)
    assert correlation(0.0) == pytest.approx(np.pi, rel=1e-15)
    assert correlation(np.pi / 2) == pytest.approx(1.0, rel=1e-15)


def test_loss_against_six_terms_and_near_the_minimum(rng: np.random.Generator) -> None:
    for _ in range(5):
        problem, v, a = random_instance(rng)
        assert problem.loss(v, a) == pytest.approx(by_theorem(problem, v, a), rel=1e-12)
    # Six terms of order 1 cancel to 1e-20: the loss is exact there and never negative.
    problem, v, a = random_instance(rng)
    norm = np.linalg.norm(problem.w_star)
    near_v = problem.w_star + 1e-10 * v
    near_a = norm * problem.a_star * (1 + 1e-10)
    value = float(problem.loss(near_v, near_a))
    assert value > 0
    # Its rounding comes from a - W a*, known to 1e-16 / 1e-10, and from the angle alike.
    assert value == pytest.approx(by_theorem(problem, near_v, near_a), rel=1e-4)


@pytest.mark.parametrize("normalised", [True, False])
def test_gradients_are_differences_of_the_loss(rng: np.random.Generator, normalised: bool) -> None:
    problem, v, a = random_instance(rng)
    loss = problem.loss if normalised else problem.loss_unnormalised
    slope = (problem.gradients if normalised else problem.gradients_unnormalised)(v, a)
    h = 1e-5  # error h^2 / 6 times third derivatives, and 1e-16 / h of rounding
    for part, (point, gradient) in enumerate(((v, slope.filter), (a, slope.output))):
        for i in range(len(point)):
            step = np.zeros(len(point))
            step[i] = h
            moved = [(v + s * step, a) if part == 0 else (v, a + s * step) for s in (1, -1)]
            difference = (loss(*moved[0]) - loss(*moved[1])) / (2 * h)
            assert gradient[i] == pytest.approx(float(difference), abs=1e-8)


def test_unnormalised_is_the_rescaled_network(rng: np.random.Generator) -> None:
    problem, v, a = random_instance(rng)
    for scale in (0.5, 3.0):  # f(Z, c w, a / c) = f(Z, w, a)
        expected = problem.loss_unnormalised(v, a)
        assert problem.loss_unnormalised(scale * v, a / scale) == pytest.approx(float(expected), rel=1e-13)
        assert problem.loss(scale * v, a) == pytest.approx(float(problem.loss(v, a)), rel=1e-13)


def test_monte_carlo_of_the_finite_model(rng: np.random.Generator) -> None:
    problem, v, a = random_instance(rng)
    Z = rng.standard_normal((100_000, problem.p, problem.k))
    terms, slope = problem.sample_terms(Z, v, a), problem.gradients(v, a)
    columns = np.column_stack([terms.loss, terms.filter, terms.output])
    expected = np.concatenate([[problem.loss(v, a)], slope.filter, slope.output])
    z = (columns.mean(axis=0) - expected) / (columns.std(axis=0) / np.sqrt(len(Z)))
    assert np.abs(z).max() < 4.5
    errors = problem.predict(Z, v, a) - problem.predict(Z, problem.w_star, problem.a_star)
    z = ((errors**2).mean() / 2 - problem.loss_unnormalised(v, a)) / ((errors**2).std() / 2 / np.sqrt(len(Z)))
    assert abs(z) < 4.5
    # The thesis' text (5.3) lacks 1/(2 pi) in the last term: the sample tells them apart.
    printed = expected[0] - np.linalg.norm(problem.w_star) * a.sum() * problem.a_star.sum() * (
        1 - 1 / (2 * np.pi)
    )
    error = terms.loss.std() / np.sqrt(len(Z))
    assert abs(terms.loss.mean() - printed) > 20 * error
    # A sample gradient is the difference of the sample loss.
    h, Z = 1e-6, Z[:50]
    for i in range(problem.p):
        step = h * np.eye(problem.p)[i]
        up, down = (problem.sample_terms(Z, v + s * step, a).loss for s in (1, -1))
        np.testing.assert_allclose(
            problem.sample_terms(Z, v, a).filter[:, i], (up - down) / (2 * h), atol=1e-6
        )


def test_angles_are_exact_where_arccos_is_not() -> None:
    w = np.array([3.0, 0.0])
    for phi in (1e-12, 1e-9, 1e-4, 1.0, np.pi - 1e-9):
        v = np.array([np.cos(phi), np.sin(phi)])
        assert angle_between(v, w) == pytest.approx(phi, rel=1e-12 if phi < 1 else 1e-15)


def test_stationary_points(rng: np.random.Generator) -> None:
    for k in (1, 2, 7):
        problem, v, _ = random_instance(rng, k=k)
        norm = np.linalg.norm(problem.w_star)
        assert problem.loss(2 * problem.w_star, norm * problem.a_star) == pytest.approx(0.0, abs=1e-15)
        for filter_, output in (
            (problem.w_star, norm * problem.a_star),
            (-problem.w_star, problem.spurious_output),
        ):
            slope = problem.gradients(filter_, output)
            np.testing.assert_allclose(slope.filter, 0, atol=1e-14)
            np.testing.assert_allclose(slope.output, 0, atol=1e-14)
        a = problem.spurious_output
        assert problem.loss(-problem.w_star, a) == pytest.approx(float(problem.spurious_loss), rel=1e-13)
        assert a @ problem.a_star == pytest.approx(float(problem.spurious_overlap), rel=1e-12)
        ones = np.ones((k, k))
        solved = np.linalg.solve(ones + (np.pi - 1) * np.eye(k), (ones - np.eye(k)) @ problem.a_star)
        np.testing.assert_allclose(a, norm * solved, rtol=1e-12, atol=1e-14)
        assert (problem.ratio < spurious_ratio(k)) == (problem.spurious_overlap < 0)
        # Degenerate in the angle: the loss rises by W |a_sp.a*| delta^3 / (6 pi).
        delta = 1e-3
        across = v - (v @ problem.w_star) / norm**2 * problem.w_star
        across /= np.linalg.norm(across)
        moved = -np.cos(delta) * problem.w_star / norm + np.sin(delta) * across
        rise = problem.loss(moved, a) - problem.spurious_loss
        expected = -norm * problem.spurious_overlap * delta**3 / (6 * np.pi)
        # Relative error delta^2 of the law, and 1e-15 of losses of order 1.
        assert rise == pytest.approx(float(expected), rel=1e-3, abs=1e-13)


def test_batches_are_the_single_runs(rng: np.random.Generator) -> None:
    shapes = {"w": (3, 1, 5), "a": (3, 1, 4)}
    batch = GaussianCNN(rng.standard_normal(shapes["w"]), rng.standard_normal(shapes["a"]))
    v, a = rng.standard_normal((3, 2, 5)), rng.standard_normal((3, 2, 4))
    run = batch.descend(v, a, 0.1, 20, record_every=7)
    assert run.step.tolist() == [0, 7, 14, 20]
    for i in range(3):
        single = GaussianCNN(batch.w_star[i, 0], batch.a_star[i, 0])
        for j in range(2):
            one = single.descend(v[i, j], a[i, j], 0.1, 20)
            np.testing.assert_allclose(run.v[i, j], one.v, rtol=1e-13)
            np.testing.assert_allclose(run.a[i, j], one.a, rtol=1e-13)
            for name in ("angle", "loss", "output_distance", "sum_gap", "norm", "overlap"):
                np.testing.assert_allclose(
                    getattr(run, name)[:, i, j], getattr(one, name)[run.step], rtol=1e-12, atol=1e-15
                )


def test_invariants_of_a_descent() -> None:
    """|v| never decreases (v . dl/dv = 0), Lemma 5.5, and both gradients at the old point."""
    rng = np.random.default_rng(7)
    runs, eta = 30, 0.1
    # Unit lengths: the lemma is about small steps, and a step turns v by eta |w*| |a*| |a| / |v|.
    w, b, v, a = (rng.standard_normal((runs, size)) for size in (6, 5, 6, 5))
    w, b, v, a = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (w, b, v, a))
    problem = GaussianCNN(w, b)
    slope = problem.gradients(v, a)
    np.testing.assert_allclose((v * slope.filter).sum(axis=-1), 0, atol=1e-14)
    one = problem.descend(v, a, eta, 1)
    np.testing.assert_allclose(one.v, v - eta * slope.filter, rtol=1e-15)
    np.testing.assert_allclose(one.a, a - eta * slope.output, rtol=1e-15)

    run = problem.descend(v, a, eta, 300)
    assert (np.diff(run.norm, axis=0) >= -1e-15 * run.norm[1:]).all()
    lemma = (run.overlap > 0) & (run.angle < np.pi / 2)
    rate = problem.filter_norm * (np.pi - run.angle) * run.overlap / (2 * np.pi * run.norm**2)
    bound = (1 - eta * np.cos(run.angle) * rate) * np.sin(run.angle) ** 2
    excess = np.sin(run.angle[1:]) ** 2 - bound[:-1]
    assert lemma[:-1].sum() > 1000
    assert excess[lemma[:-1]].max() <= 1e-15


def test_four_signs_have_one_good_start(rng: np.random.Generator) -> None:
    """Theorem 5.4: exactly one of the four patterns meets Theorem 5.3's conditions."""
    for _ in range(50):
        problem = GaussianCNN(rng.standard_normal(4), rng.standard_normal(3))
        v, a = problem.start(rng)
        assert np.linalg.norm(v) == pytest.approx(1.0)
        radius = abs(problem.total) * problem.filter_norm / np.sqrt(3)
        assert np.linalg.norm(a) <= radius
        assert problem.good_start(*sign_patterns(v, a)).sum() == 1


def test_start_is_uniform_in_the_ball() -> None:
    problem = GaussianCNN([1.0, 0.0], [1.0, 2.0, 0.0])
    rng = np.random.default_rng(3)
    a = np.array([problem.start(rng)[1] for _ in range(4000)])
    # (|a| / R)^k is uniform: mean 1/2, standard error 1 / sqrt(12 n).
    share = (np.linalg.norm(a, axis=1) / (3 / np.sqrt(3))) ** 3
    assert abs(share.mean() - 0.5) < 4 / np.sqrt(12 * len(a))
    assert np.abs(a.mean(axis=0)).max() < 4 * np.sqrt(3 / 5 / len(a))  # E a_i^2 = R^2 / 5


def test_both_outcomes() -> None:
    """From the good start to the global minimum; the spurious point at the rate 1/t where it attracts."""
    rng = np.random.default_rng(1)
    w, b = rng.standard_normal(25), rng.standard_normal(20)
    problem = GaussianCNN(w / np.linalg.norm(w), b / np.linalg.norm(b))
    v, a = sign_patterns(*problem.start(rng))
    run = problem.descend(v, a, 0.1, 2000, record_every=1000)
    good = problem.good_start(v, a)
    assert run.angle[1][good].item() < 1e-3
    failed = run.angle[-1] > 3
    assert failed.any()
    assert 0.1333 <= problem.spurious_loss < 0.14045
    overlap, delta = abs(problem.spurious_overlap), np.pi - run.angle[-1][failed]
    # The output weights lag behind by a further order of delta^3.
    rise = run.loss[-1][failed] - problem.spurious_loss
    np.testing.assert_allclose(rise, overlap * delta**3 / (6 * np.pi), rtol=0.05)
    np.testing.assert_allclose(delta, 2 * np.pi / (0.1 * overlap * 2000), rtol=0.2)


def test_bad_starts_end_at_the_spurious_point() -> None:
    """Theorem 5.5, which needs rho <= 1/2: every start that meets its conditions fails."""
    rng = np.random.default_rng(4)
    kept = []
    while len(kept) < 15:
        w, b = rng.standard_normal(5), rng.standard_normal(8)
        problem = GaussianCNN(w / np.linalg.norm(w), b / np.linalg.norm(b))
        v, a = sign_patterns(*problem.start(rng))
        bad = np.flatnonzero(problem.bad_start(v, a))
        if len(bad):
            assert problem.ratio <= 0.5
            kept.append((problem.w_star, problem.a_star, v[bad[0]], a[bad[0]]))
    w_stars, a_stars, v, a = (np.array(part) for part in zip(*kept, strict=True))
    problem = GaussianCNN(w_stars, a_stars)
    run = problem.descend(v, a, 0.1, 4000, record_every=50)
    assert (run.overlap[1:] < 0).all()
    assert (np.diff(run.angle, axis=0) > 0).all()
    assert run.angle[-1].min() > 3
    np.testing.assert_allclose(run.a, problem.spurious_output, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianCNN([0.0, 0.0], [1.0]), "w_star: must not be zero"),
        (lambda: GaussianCNN([1.0], [[0.0], [1.0]]), "a_star: must not be zero"),
        (lambda: GaussianCNN([np.nan], [1.0]), "w_star: entry"),
        (lambda: GOLDEN.loss([1.0, 2.0], A), r"v: last axes \(3\) are needed"),
        (lambda: GOLDEN.loss(np.zeros(3), A), "v: a zero vector"),
        (lambda: GOLDEN.loss_unnormalised(np.zeros(3), A), "w: a zero vector"),
        (lambda: GOLDEN.gradients_unnormalised(np.zeros(3), A), "w: a zero vector"),
        (lambda: GOLDEN.gradients(V, [1.0]), r"a: last axes \(4\) are needed"),
        (lambda: GOLDEN.descend(V, A, step_size_limit(4), 3), "step_size: must be below"),
        (lambda: GOLDEN.descend(V, A, 0.1, -1), "steps: must not be negative"),
        (lambda: GOLDEN.descend(V, A, 0.1, 3, record_every=0), "record_every: must be positive"),
        (lambda: GOLDEN.predict(np.ones((2, 3, 3)), V, A), r"Z: last axes \(3, 4\) are needed"),
        (lambda: spurious_ratio(0), "k: must be positive"),
    ],
)
def test_errors_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_step_size_limit_is_sharp() -> None:
    """The output weights' largest curvature is (k + pi - 1) / (2 pi), along the vector of ones."""
    for eta, grows in ((0.999, False), (1.001, True)):
        distance = np.ones(4)  # a - W a* along the vector of ones
        slope = (distance.sum() + (np.pi - 1) * distance) / (2 * np.pi)
        after = distance - eta * step_size_limit(4) * slope
        assert (np.linalg.norm(after) > np.linalg.norm(distance)) == grows
    problem = GaussianCNN([1.0, 0.0], np.ones(4))
    slope = problem.gradients([1.0, 0.0], 2 * np.ones(4)).output
    np.testing.assert_allclose(slope, (4 + np.pi - 1) / (2 * np.pi), rtol=1e-14)
