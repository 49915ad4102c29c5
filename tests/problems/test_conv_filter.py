"""One filter: gradients by differences, identities of Section 6.2, the theorems, starts, images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lazygram.optimizers import gradient_descent
from lazygram.problems.conv_filter import (
    cut_batches,
    filter_angle,
    gaussian_gradient,
    gradient_from_moments,
    population_gradient,
    predict,
    region_means,
    sample_gradients,
    sample_moments,
    sgd_pass,
)
from lazygram.problems.filter_inputs import (
    FilterInputs,
    GaussianInputs,
    NearbyPatches,
    SphereInputs,
    TruncatedNormalInputs,
)
from lazygram.problems.filter_theory import (
    ball_start,
    ball_start_bound,
    ball_start_probability,
    contraction,
    cross_constant,
    filter_step_size,
    growth_constant,
    largest_moment,
    robust_angle,
    sgd_step_size_order,
    sgd_steps_order,
    smallest_moment,
    start_angle,
)
from lazygram.problems.image_patches import gabor_filter, image_patches


def by_hand(w: Any, Z: Any) -> float:
    return sum(max(float(w @ z), 0.0) for z in Z) / len(Z)


def test_model_and_gradient_against_loops(rng: np.random.Generator) -> None:
    w, w_star, Z = rng.standard_normal(3), rng.standard_normal(3), rng.standard_normal((6, 4, 3))
    expected = [by_hand(w, z) for z in Z]
    np.testing.assert_allclose(predict(w, Z), expected, rtol=1e-14)
    slopes, h = sample_gradients(w, w_star, Z), 1e-6
    for i in range(3):
        step = h * np.eye(3)[i]
        up, down = (
            np.array([0.5 * (by_hand(w + s * step, z) - by_hand(w_star, z)) ** 2 for z in Z]) for s in (1, -1)
        )
        np.testing.assert_allclose(slopes[:, i], (up - down) / (2 * h), atol=1e-8)


def test_identities(rng: np.random.Generator) -> None:
    """Gradient from regions, for one patch and several; both terms of Lemma 6.1 are nonnegative."""
    for k in (1, 5):
        w, w_star, Z = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal((500, k, 4))
        gradient = sample_gradients(w, w_star, Z).mean(axis=0)
        moments = sample_moments(w, w_star, Z)
        np.testing.assert_allclose(gradient_from_moments(w, w_star, moments), gradient, atol=1e-12)
        if k == 1:
            difference = w - w_star
            terms = difference @ moments.both @ difference, difference @ moments.first @ w
            assert min(terms) >= 0
            assert gradient @ difference == pytest.approx(sum(terms), abs=1e-12)
        both, first, second = region_means(w, w_star, Z)
        np.testing.assert_allclose((both + first) @ w, predict(w, Z), atol=1e-14)
        np.testing.assert_allclose((both + second) @ w_star, predict(w_star, Z), atol=1e-14)


def test_gaussian_closed_form(rng: np.random.Generator) -> None:
    for dim in (2, 3, 6):
        w = rng.standard_normal(dim)
        exact = gaussian_gradient(w, 1.7 * np.eye(dim)[0])
        np.testing.assert_allclose(population_gradient(w, GaussianInputs(dim), 1.7), exact, atol=1e-13)
    w_star, w = rng.standard_normal((2, 3))
    terms = sample_gradients(w, w_star, rng.standard_normal((200_000, 1, 3)))
    z = (terms.mean(axis=0) - gaussian_gradient(w, w_star)) / (terms.std(axis=0) / np.sqrt(len(terms)))
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(gaussian_gradient(w_star, w_star), 0, atol=1e-15)


@pytest.mark.parametrize(
    "law",
    [TruncatedNormalInputs(4, 0.6), NearbyPatches(TruncatedNormalInputs(2, 1.0), 5, 0.4)],
    ids=repr,
)
def test_population_gradient_of_the_laws(law: FilterInputs, rng: np.random.Generator) -> None:
    w = np.array([0.2, -0.4, 0.1, 0.3])[: law.dim]
    terms = sample_gradients(w, np.eye(law.dim)[0], law.sample(100_000, rng))
    error = terms.std(axis=0) / np.sqrt(len(terms))
    assert np.abs((terms.mean(axis=0) - population_gradient(w, law)) / error).max() < 4.5
    np.testing.assert_allclose(population_gradient(np.eye(law.dim)[0], law), 0, atol=1e-12)


def test_sgd_is_a_loop_over_batches(rng: np.random.Generator) -> None:
    w, w_star, Z = (
        rng.standard_normal((3, 2)),
        rng.standard_normal((3, 2)),
        rng.standard_normal((3, 25, 4, 2)),
    )
    assert [part.shape[1] for part in cut_batches(Z, 10)] == [10, 10, 5]
    after = sgd_pass(w, w_star, cut_batches(Z, 10), 0.5)
    for run in range(3):
        point = w[run]
        for start in (0, 10, 20):
            part = Z[run, start : start + 10]
            point = point - 0.5 * sample_gradients(point, w_star[run], part).mean(axis=0)
        np.testing.assert_allclose(after[run], point, rtol=1e-12)
    np.testing.assert_array_equal(sgd_pass(w_star, w_star, cut_batches(Z, 10), 0.5), w_star)


def test_constants_of_exact_laws() -> None:
    assert growth_constant(SphereInputs(2)) == pytest.approx(1 / (2 * np.pi), rel=1e-9)
    for dim in (2, 7):
        assert growth_constant(GaussianInputs(dim)) == pytest.approx(1 / np.pi, rel=1e-9)
    expected = {0.25: 0.156, 0.5: 0.147, 1: 0.134, 2: 0.140, 10: 0.158}
    for sigma, beta in expected.items():  # not monotone in the smoothness
        assert growth_constant(TruncatedNormalInputs(2, sigma)) == pytest.approx(beta, abs=6e-4)
    assert cross_constant(SphereInputs(3)) == 0.0


def test_gamma_and_L_fall_with_the_angle() -> None:
    laws = (TruncatedNormalInputs(2, 0.25), TruncatedNormalInputs(6, 1.0), GaussianInputs(3))
    for law in laws:
        values = [law.moments(phi).eigenvalues() for phi in np.linspace(0, np.pi, 25)]
        assert (np.diff([value[0] for value in values]) <= 1e-15).all()
        assert (np.diff([value[-1] for value in values]) <= 1e-15).all()
        assert smallest_moment(law, 1.0) <= largest_moment(law, 1.0)


def test_closeness_of_patches() -> None:
    """gamma(0) falls and L_cross rises with the spread (20 patches on the circle)."""
    gammas = {0.05: 0.189, 0.3: 0.152, 3.0: 0.014}
    for spread, expected in gammas.items():
        law = NearbyPatches(TruncatedNormalInputs(2, 1.0), 20, spread)
        assert smallest_moment(law, 0.0) == pytest.approx(expected, rel=0.05)
    # As the angle and then the spread go to 0 only patches cut by the edge of w or of w* count: at each
    # edge density q(pi/2) / 2 times half of the other patches, in the direction of the edge.
    law = NearbyPatches(TruncatedNormalInputs(2, 1.0), 20, 0.002)
    density = float(law.base.density(np.array(np.pi / 2)))
    assert cross_constant(law, grid=5) == pytest.approx(0.95 * density / 2, rel=0.01)
    assert cross_constant(law, from_angle=0.1, grid=5) < 0.005
    wide = NearbyPatches(TruncatedNormalInputs(2, 1.0), 20, 0.3)
    assert cross_constant(wide, from_angle=0.1, grid=5) == pytest.approx(0.080, rel=0.05)


@pytest.mark.parametrize("sigma", [0.25, 1.0, 10.0])
def test_theorem_on_one_patch(sigma: float) -> None:
    """Theorem 6.2's contraction at its own step size, along the exact descent."""
    law, w_star = TruncatedNormalInputs(2, sigma), np.array([1.0, 0.0])
    beta = growth_constant(law)
    w = np.array([0.2, 0.4])
    for _ in range(15):
        distance = float(np.linalg.norm(w - w_star))
        phi = start_angle(distance, 1.0)
        assert filter_angle(w, w_star) <= phi + 1e-15
        eta = filter_step_size(law, phi, beta)
        w = w - eta * population_gradient(w, law)
        factor = contraction(eta, smallest_moment(law, phi))
        assert np.sum((w - w_star) ** 2) <= factor * distance**2 * (1 + 1e-14)


def test_theorem_on_several_patches() -> None:
    """Theorem 6.3 for a law that meets gamma > 6 L_cross: few inputs at right angles to w*."""
    law, w_star = NearbyPatches(TruncatedNormalInputs(2, 0.6), 2, 0.05), np.array([1.0, 0.0])
    beta, cross = growth_constant(law, grid=9), cross_constant(law, grid=9)
    w = np.array([0.75, 0.2])
    for _ in range(3):
        distance = float(np.linalg.norm(w - w_star))
        phi = start_angle(distance, 1.0)
        gamma = smallest_moment(law, phi)
        assert gamma > 6 * cross
        eta = filter_step_size(law, phi, beta, cross=cross, grid=5)
        w = w - eta * population_gradient(w, law)
        assert np.sum((w - w_star) ** 2) <= contraction(eta, gamma, cross) * distance**2


def test_rate_near_the_teacher() -> None:
    """ln |w - w*| changes by ln(1 - eta gamma(0)) a step in the end."""
    law = TruncatedNormalInputs(2, 0.5)
    run = gradient_descent(
        lambda w: population_gradient(w, law),
        np.array([0.2, 0.4]),
        0.5,
        200,
        record={"distance": lambda w: np.linalg.norm(w - [1.0, 0.0])},
    )
    slope = np.diff(np.log(run.history["distance"]))[-1]
    assert slope == pytest.approx(math.log(1 - 0.5 * smallest_moment(law, 0.0)), abs=1e-4)
    assert slope == pytest.approx(-0.0501, abs=1e-4)


def test_several_patches_and_sgd_orders() -> None:
    law = TruncatedNormalInputs(2, 1.0)
    beta = growth_constant(law)
    assert filter_step_size(law, 0.3, beta, cross=0.01) < filter_step_size(law, 0.3, beta)
    phi = robust_angle(law, 0.02)
    assert smallest_moment(law, phi) == pytest.approx(0.12, abs=1e-9)
    assert robust_angle(law, 0.0) == np.pi
    eta = sgd_step_size_order(0.2, 0.01, 2.0, 5.0, 1e-2)
    steps = sgd_steps_order(0.2, 0.01, 2.0, 5.0, 1e-2, 1.5)
    assert steps == pytest.approx(math.log(1.5 / 0.02) / (eta * (0.2 - 0.06)))
    for call in (lambda: filter_step_size(law, 0.3, beta, cross=0.05), lambda: robust_angle(law, 0.05)):
        with pytest.raises(ValueError, match="cross: gamma"):
            call()
    with pytest.raises(ValueError, match="distance: must be in"):
        start_angle(1.0, 1.0)


def test_starts_in_a_ball(rng: np.random.Generator) -> None:
    """Theorem 6.6: the exact probability against sampling and above the bound."""
    for dim, quoted in ((2, 0.438), (20, 0.424), (100, 0.421)):
        alpha = 1 / math.sqrt(8 * math.pi * dim)
        exact = ball_start_probability(alpha, dim)
        assert exact == pytest.approx(quoted, abs=4e-3)  # a Monte Carlo value
        assert ball_start_bound(alpha, dim) == pytest.approx(0.25)
        w_star = 3 * np.eye(dim)[0]
        w = ball_start(w_star, alpha, 20_000, rng)
        assert np.linalg.norm(w, axis=1).max() <= 3 * alpha
        inside = np.linalg.norm(w - w_star, axis=1) <= 3 * math.sqrt(1 - alpha**2)
        assert abs(inside.mean() - exact) < 4 * math.sqrt(0.25 / 20_000)


def test_patches_and_gabor_filter() -> None:
    images = np.arange(2 * 4 * 5, dtype=float).reshape(2, 4, 5)
    patches = image_patches(images, 3)
    assert patches.shape == (2, 6, 9)
    np.testing.assert_array_equal(patches[1, 4], images[1, 1:4, 1:4].ravel())
    np.testing.assert_array_equal(patches[0, 2], images[0, 0:3, 2:5].ravel())
    wave = gabor_filter(5, wavelength=4.0, angle=0.0, scale=2.0).reshape(5, 5)
    assert wave[2, 2] == 1.0
    assert wave[2, 4] == pytest.approx(-math.exp(-0.5))  # half a wave to the right
    assert wave[4, 2] == pytest.approx(math.exp(-0.5))  # along the crest
    tilted = gabor_filter(5, angle=math.pi / 4).reshape(5, 5)
    np.testing.assert_allclose(tilted, tilted.T, atol=1e-15)
    assert tilted[0, 4] == pytest.approx(math.exp(-1.0))  # x' = 0 there


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict(np.ones(3), np.ones((2, 4))), r"Z: last axes \(any, any, 3\)"),
        (lambda: sample_gradients(np.ones(2), np.ones(3), np.ones((1, 1, 2))), "Z: last axes"),
        (lambda: population_gradient(np.ones((2, 2)), SphereInputs(2)), "w: a single filter"),
        (lambda: filter_angle(np.zeros(2), np.ones(2)), "w: a zero vector"),
        (lambda: gaussian_gradient(np.zeros(2), np.ones(2)), "w: a zero vector"),
        (lambda: image_patches(np.ones((3, 3)), 2), "images: "),
        (lambda: image_patches(np.ones((1, 3, 3)), 4), "size: patches of side 4 do not fit"),
        (lambda: gabor_filter(5, wavelength=0.0), "wavelength: must be positive"),
        (lambda: ball_start_bound(2.0, 3), "alpha: must be at most 1"),
        (lambda: ball_start_probability(0.1, 1), "p: must be at least 2"),
        (lambda: cross_constant(SphereInputs(2), from_angle=4.0), "from_angle: must be in"),
        (lambda: list(cut_batches(np.ones((3, 1, 2)), 0)), "batch_size: must be positive"),
        (lambda: sgd_pass(np.ones(2), np.ones(2), [], -1.0), "step_size: must be positive"),
    ],
)
def test_errors_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
