"""Experiments of chapter 2, the notes and the essay: plain loops, closed forms, bands that catch faults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lazygram.experiments import (
    essay_gradient,
    essay_gradient_expected,
    get_experiment,
    lazy,
    lazy_expected,
    lecture,
    lecture_expected,
    lemma2,
    lemma2_expected,
    predictor,
    predictor_expected,
    thm2,
    thm2_expected,
)
from lazygram.experiments.base import Row
from lazygram.experiments.checks import (
    Fraction,
    IncreasingInts,
    NonNegativeInt,
    PositiveInts,
    Seeds,
    Settings,
    Some,
    exponent,
)
from lazygram.networks.two_layer import TwoLayerReLU

QUICK = ("lemma2", "thm2", "lazy", "predictor", "lecture", "essay.gradient")


def failed(result: tuple[list[Row], list[str]]) -> str:
    return "; ".join(row.name for row in result[0] if not row.passed)


def points(n: int, dim: int, seed: int, extra: int = 0) -> tuple[np.ndarray, ...]:
    """Unit vectors, labels and test points as the data set `synthetic` draws them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, dim))
    y = rng.standard_normal(n)
    Z = rng.standard_normal((extra, dim))
    return X / np.linalg.norm(X, axis=1, keepdims=True), y, Z / np.linalg.norm(Z, axis=1, keepdims=True)


def kernel(X: np.ndarray, Z: np.ndarray) -> np.ndarray:
    c = np.clip(X @ Z.T, -1, 1)
    c[np.abs(c - 1) < 1e-14] = 1.0
    return c * (np.pi - np.arccos(c)) / (2 * np.pi)


def descend(
    W: np.ndarray, a: np.ndarray, X: np.ndarray, y: np.ndarray, eta: float, steps: int
) -> list[np.ndarray]:
    """Weights of every step of gradient descent, as a plain loop."""
    found = [W]
    for _ in range(steps):
        active = W @ X.T >= 0
        e = a @ np.maximum(W @ X.T, 0) / np.sqrt(len(a)) - y
        W = W - eta / np.sqrt(len(a)) * a[:, None] * ((active * e) @ X)
        found.append(W)
    return found


def outputs(W: np.ndarray, a: np.ndarray, X: np.ndarray) -> np.ndarray:
    return np.asarray(a @ np.maximum(W @ X.T, 0) / np.sqrt(len(a)))


@pytest.mark.parametrize("name", QUICK)
def test_quick_preset_meets_its_bands(name: str, tmp_path: Path) -> None:
    experiment = get_experiment(name)
    seen: list[float] = []
    result = experiment.run(experiment.quick, tmp_path, lambda message, done: seen.append(done))
    assert [row.name for row in result.rows if not row.passed] == []
    assert len(result.rows) >= 8
    assert seen
    assert all(0 <= done <= 1 for done in seen)
    assert max(seen) > 0.5
    experiment.draw(result)


def test_lemma2_against_plain_numpy() -> None:
    p = lemma2.Parameters(
        n=8, dim=6, widths=(50, 400), seeds=(3,), flip_width=300, radii=(0.1, 0.4), starts=10
    )
    result = lemma2.run(p)
    X, _, _ = points(8, 6, 3)
    for w, width in enumerate(p.widths):
        M = (TwoLayerReLU(width, 6, seed=3).weights() @ X.T >= 0).astype(float)
        gap = X @ X.T * (M.T @ M) / width - kernel(X, X)
        assert result.arrays["gram_distance"][0, w] == pytest.approx(np.linalg.norm(gap, 2), rel=1e-9)
        bound = np.abs(X @ X.T) * np.sqrt(np.log(2 * 64 / 0.1) / (2 * width))
        assert result.arrays["entry_ratio"][0, w] == pytest.approx((np.abs(gap) / bound).max(), rel=1e-6)
    Z = np.abs(TwoLayerReLU(300, 6, seed=3).weights() @ X.T)
    for r, radius in enumerate(p.radii):
        A = radius >= Z
        assert result.arrays["flippable"][0, r] == pytest.approx(A.mean())
        reach = sum(abs(X[i] @ X[j]) * np.mean(A[:, i] | A[:, j]) for i in range(8) for j in range(8))
        assert result.arrays["gram_reach"][0, r] == pytest.approx(reach)


def test_lemma2_bands_catch_wrong_numbers() -> None:
    rng = np.random.default_rng(0)
    widths, radii = (500, 2000), (0.01, 0.02)
    good = lemma2_expected.Measured(
        n=50,
        dim=20,
        widths=widths,
        radii=radii,
        delta=0.1,
        distance=np.full((5, 2), 2.5) / np.sqrt(widths),
        entry_ratio=np.full((5, 2), 0.7),
        flippable=np.full((5, 2), 1.0) * [0.00798, 0.01596],
        reach=np.full((5, 2), 1.0) * [7.5, 15.0],
        reach_slope=np.full(5, 750.0),
        lambda_0=np.full(5, 0.14),
        residuals=10 + rng.normal(10, 5, 4000),
        label_square=10.0,
        input_square=20.0,
        example=lemma2_expected._EXAMPLE,
    )
    change = lambda **values: failed(lemma2_expected.expectations(dataclasses.replace(good, **values)))  # noqa: E731
    assert change() == ""
    assert "||H(0) - Hinf||_2 sqrt(m)" in change(distance=good.distance * 1.5)
    assert "exponent" in change(distance=np.full((5, 2), 0.1))
    assert "its bound" in change(entry_ratio=good.entry_ratio * 2)
    assert "flippable share" in change(flippable=good.flippable * 1.1)
    assert "first order" in change(reach=good.reach * 0.5)
    assert "4 n^2 R" in change(reach=good.reach * 8)
    assert "E |y - u(0)|^2" in change(residuals=good.residuals + 1.0)
    assert "E |y - u(0)|^2" in change(residuals=good.residuals + 10.0)  # the text's constant 1
    example = dict(good.example) | {"radius R (flow)": 7.3e-5 * 2}
    assert "radius R" in change(example=example)
    notes = lemma2_expected.expectations(dataclasses.replace(good, delta=0.2, n=51))[1]
    assert any("delta = 0.1 only" in note for note in notes)
    assert any("n = 50, d = 20" in note for note in notes)


def test_thm2_against_a_plain_loop() -> None:
    p = thm2.Parameters(n=6, dim=5, widths=(40, 160), steps=25, seeds=(1,))
    result = thm2.run(p)
    X, y, _ = points(6, 5, 1)
    H = kernel(X, X)
    lam, V = np.linalg.eigh(H)
    eta = 1 / lam[-1]
    for w, width in enumerate(p.widths):
        network = TwoLayerReLU(width, 5, seed=1)
        a = network.signs
        weights = descend(network.weights(), a, X, y, eta, 25)
        u = np.array([outputs(W, a, X) for W in weights])
        e = u[0] - y
        frozen = y + ((1 - eta * lam) ** np.arange(26)[:, None] * (V.T @ e)) @ V.T
        gap = np.linalg.norm(u - frozen, axis=1).max() / np.linalg.norm(e)
        assert result.arrays["gap"][0, w] == pytest.approx(gap, rel=1e-8)
        far = np.linalg.norm(weights[-1] - weights[0], axis=1).max()
        far = max(np.linalg.norm(W - weights[0], axis=1).max() for W in weights)
        reach = 4 * np.sqrt(6) * np.linalg.norm(e) / (np.sqrt(width) * lam[0])
        assert result.arrays["distance_ratio"][0, w] == pytest.approx(far / reach, rel=1e-8)
        losses = 0.5 * ((u - y) ** 2).sum(axis=1)
        bound = losses[0] * (1 - eta * lam[0] / 2) ** np.arange(26)
        assert result.arrays["bound_ratio"][0, w] == pytest.approx((losses / bound)[1:].max(), rel=1e-8)
        least = min(
            np.linalg.eigvalsh(X @ X.T * ((W @ X.T >= 0).T.astype(float) @ (W @ X.T >= 0)) / width)[0]
            for W in weights
        )
        assert result.arrays["eigenvalue_ratio"][0, w] == pytest.approx(least / lam[0], rel=1e-7)


def test_thm2_divergence_fails_and_is_drawn() -> None:
    result = thm2.run(thm2.Parameters(n=5, dim=4, widths=(16,), steps=3000, step_factor=50.0, seeds=(0,)))
    assert "Theorem 2.3" in {row.source for row in result.rows if not row.passed}
    thm2.draw(result)


def test_thm2_bands_catch_wrong_numbers() -> None:
    good = thm2_expected.Measured(
        n=30,
        dim=30,
        widths=(256, 1024),
        steps=400,
        step_factor=1.0,
        gap=np.array([[0.044, 0.022]]),
        distance_ratio=np.full((1, 2), 0.02),
        bound_ratio=np.full((1, 2), 0.5),
        eigenvalue_ratio=np.full((1, 2), 0.9),
        required_width=np.full((1, 2), 1e17),
    )
    change = lambda **values: failed(thm2_expected.expectations(dataclasses.replace(good, **values)))  # noqa: E731
    assert change() == ""
    assert "m = 256: linearisation gap" in change(gap=good.gap * 2.1)
    assert "exponent of the gap" in change(gap=np.array([[0.03, 0.03]]))
    assert "largest distance / R'" in change(distance_ratio=good.distance_ratio * 1.4)
    assert "any seed" in change(distance_ratio=good.distance_ratio * 60)
    assert "|e(k)|^2" in change(bound_ratio=good.bound_ratio * 2.1)
    assert "lmin(H(k))" in change(eigenvalue_ratio=good.eigenvalue_ratio * 0.5)
    assert "gap" in change(gap=np.full((1, 2), np.nan))


def test_frozen_limits_of_one_example() -> None:
    # alpha = 2 r and nothing else pushes: above 0 a neuron with a_r alpha < 0 flips if it is nearer than
    # |alpha| / sqrt(m), below 0 none does: half of the signs, density 1 / sqrt(2 pi).
    X, residual = np.array([[0.6, 0.8]]), np.array([1.5])
    share, total = lazy_expected.frozen_limits(X, np.array([[0.5]]), residual, seed=0)
    assert share == pytest.approx(0.5 * 3.0 / np.sqrt(2 * np.pi))
    assert total == pytest.approx(np.sqrt(2) * 1.5)


def test_frozen_limits_of_orthogonal_examples() -> None:
    # Orthogonal inputs do not push each other: each behaves as if it were alone.
    share, total = lazy_expected.frozen_limits(np.eye(2), np.diag([0.5, 0.5]), np.array([1.0, 2.0]), seed=0)
    assert share == pytest.approx(0.5 * (2.0 + 4.0) / 2 / np.sqrt(2 * np.pi))
    assert total == pytest.approx(np.sqrt(2 * (1 + 4)))


def test_crossings_case_by_case() -> None:
    cross = lazy_expected._crossings
    one = lambda p, q: cross(p, np.array([q]))  # noqa: E731
    assert one(-3.0, -1.0) == pytest.approx(4.0)  # pushed down from above; q < 0 keeps it there
    assert one(3.0, 1.0) == pytest.approx(1.0)  # pushed up from below by q
    assert one(3.0, -1.0) == 0.0  # turned back on both sides
    # Slides: down from within 2 with probability 2/3, up from within 1 with probability 1/3.
    assert one(-3.0, 1.0) == pytest.approx(2 * 2 / 3 + 1 / 3)


def test_lazy_against_a_plain_loop() -> None:
    p = lazy.Parameters(n=6, dim=5, widths=(64,), steps=20, seeds=(2,))
    result = lazy.run(p)
    X, y, _ = points(6, 5, 2)
    eta = 1 / np.linalg.eigvalsh(kernel(X, X))[-1]
    network = TwoLayerReLU(64, 5, seed=2)
    weights = descend(network.weights(), network.signs, X, y, eta, 20)
    first, last = weights[0] @ X.T >= 0, weights[-1] @ X.T >= 0
    value = {name: values[0, 0] for name, values in result.arrays.items() if values.shape == (1, 1)}
    assert value["pattern_change"] == np.mean(first != last)
    moved = np.linalg.norm(weights[-1] - weights[0], axis=1)
    assert value["max_distance"] == pytest.approx(moved.max(), rel=1e-9)
    assert value["total_distance"] == pytest.approx(np.linalg.norm(moved), rel=1e-9)
    H = [X @ X.T * (M.T.astype(float) @ M) / 64 for M in (first, last)]
    assert value["gram_change"] == pytest.approx(np.linalg.norm(H[1] - H[0], 2), rel=1e-9)
    assert value["lambda_start"] == pytest.approx(np.linalg.eigvalsh(H[0])[0], rel=1e-8)


def test_lazy_bands_catch_wrong_numbers() -> None:
    widths = (4096, 16384)
    fall = np.array([[1.0, 0.5]])
    good = lazy_expected.Measured(
        widths=widths,
        lambda_0=np.array([0.2]),
        pattern_change=0.01 * fall,
        max_distance=0.3 * fall,
        total_distance=np.full((1, 2), 15.0),
        gram_change=0.02 * fall,
        lambda_start=np.array([[0.198, 0.199]]),
        lambda_least=np.array([[0.195, 0.198]]),
        start=np.full((1, 2), 8.0),
        final_loss=np.full((1, 2), 1e-9),
        distance_bound=30 * fall,
        frozen_patterns=0.01 * fall,
        frozen_total=np.full((1, 2), 15.0),
    )
    change = lambda **values: failed(lazy_expected.expectations(dataclasses.replace(good, **values)))  # noqa: E731
    flat = np.ones((1, 2))
    assert change() == ""
    assert "patterns changed: exponent" in change(pattern_change=0.005 * flat)
    assert "patterns changed / frozen" in change(pattern_change=0.0115 * fall)
    assert "largest distance: exponent" in change(max_distance=0.1 * flat)
    assert "all neurons together" in change(total_distance=15 * fall)
    assert "|W - W(0)|_F / frozen" in change(total_distance=16 * flat)
    assert "||H(k) - H(0)||_2: exponent" in change(gram_change=0.01 * flat)
    assert "R'" in change(distance_bound=0.2 * fall)
    assert "least lmin" in change(lambda_least=0.09 * flat)
    turned = {"widths": (1024, 16384), "lambda_start": good.lambda_start[:, ::-1]}
    assert "lmin(H(0)), by width" in change(**turned)
    assert "lmin(H(0)), by width" not in change(lambda_start=good.lambda_start[:, ::-1])


def test_predictor_against_a_plain_loop() -> None:
    p = predictor.Parameters(n=5, dim=4, n_test=7, widths=(60,), steps=15, seeds=(4,))
    result = predictor.run(p)
    X, y, Z = points(5, 4, 4, extra=7)
    H, K = kernel(X, X), kernel(Z, X)
    eta = 1 / np.linalg.eigvalsh(H)[-1]
    rms = []
    for antisymmetric in (True, False):
        network = TwoLayerReLU(60, 4, seed=4, antisymmetric=antisymmetric)
        W, a = network.weights(), network.signs
        f = outputs(descend(W, a, X, y, eta, 15)[-1], a, Z)
        bare = K @ np.linalg.solve(H, y)
        whole = outputs(W, a, Z) + K @ np.linalg.solve(H, y - outputs(W, a, X))
        differences = [f - bare] if antisymmetric else [f - whole, f - bare]
        rms += [np.sqrt(np.mean(d**2)) for d in differences]
    np.testing.assert_allclose(result.arrays["rms"][0, 0], rms, rtol=1e-8)
    assert result.arrays["predictor_rms"][0] == pytest.approx(np.sqrt(np.mean(bare**2)))


def test_predictor_bands_catch_wrong_numbers() -> None:
    rms = np.array([[[0.031, 0.031, 0.45], [0.016, 0.013, 0.4]]])
    good = predictor_expected.Measured(20, 10, (2000, 8000), 163, rms, np.array([0.418]))
    change = lambda **values: failed(predictor_expected.expectations(dataclasses.replace(good, **values)))  # noqa: E731
    assert change() == ""
    for c, variant in enumerate(predictor_expected.VARIANTS[:2]):
        worse = rms.copy()
        worse[:, :, c] *= 2.3
        assert f"m = 2000, {variant}" in change(rms=worse)
        flat = rms.copy()
        flat[:, :, c] = 0.025
        assert f"{variant}: exponent" in change(rms=flat)
    assert "bare kernel" in change(rms=rms * [1, 1, 0.4])
    assert "no test" not in change(n=21)


def test_frozen_rate_is_the_derivative_of_the_frozen_residual() -> None:
    H, e = np.diag([0.2, 1.0]), np.array([1.0, 3.0])
    times = np.array([0.0, 0.5, 4.0, 40.0])
    square = lambda t: np.exp(-0.4 * t) + 9 * np.exp(-2.0 * t)  # noqa: E731
    h = 1e-5
    expected = -(np.log(square(times + h)) - np.log(square(times - h))) / (4 * h)
    np.testing.assert_allclose(lecture_expected.frozen_rate(H, e, times), expected, rtol=1e-8)


def test_lecture_bands_catch_wrong_numbers() -> None:
    # The flow of a constant H = diag(0.2, 1), n = 2: t counts n times as fast as for the sum.
    time = np.linspace(0, 40, 81)
    square = np.exp(-0.2 * time) + 9 * np.exp(-1.0 * time)
    rate = (0.2 * np.exp(-0.2 * time) + 9 * np.exp(-1.0 * time)) / square
    good = lecture_expected.Measured(
        n=2,
        lambda_0=0.2,
        quotient=0.92,
        first_rate=0.92,
        time=time,
        residual=square,
        doubled_time=time / 2,
        doubled_residual=square,
        lambda_min=np.full(81, 0.2),
        lambda_max=np.full(81, 1.0),
        rate=rate,
        frozen_rate=rate,
    )

    def change(**values: Any) -> str:
        return failed(lecture_expected.expectations(dataclasses.replace(good, **values)))

    assert change() == ""
    slow = 10 * np.exp(-0.15 * time)  # faster than the notes' bound, slower than the right one
    assert change(residual=slow, doubled_residual=slow).startswith("|e(t)|^2 / (exp(-2 lambda t/n)")
    assert "lambda_0 t/n" in change(residual=10 * np.exp(-0.05 * time))
    assert "largest |log ratio|" in change(doubled_residual=square**0.5)
    assert "exp(-4 lambda t/n)" in change(doubled_residual=square**0.5)
    assert "Rayleigh quotient" in change(first_rate=0.92 * 1.001)
    assert "least rate / lmin" in change(rate=good.rate * 0.5)
    assert "largest rate" in change(rate=good.rate * 10)
    assert "frozen kernel" in change(frozen_rate=good.frozen_rate * 1.2)
    assert "least lmin(H(t))" in change(lambda_0=0.5)


def test_lecture_against_the_flow_of_its_own_gram_matrix() -> None:
    result = lecture.run(lecture.Parameters(n=4, dim=6, width=300, records=40, time=1.0))
    arrays = result.arrays
    X, y, _ = points(4, 6, 0)
    network = TwoLayerReLU(300, 6, seed=0)
    W, a = network.weights(), network.signs
    # The same flow by many small steps; the loss is the average.
    eta = arrays["time"][-1] / 8000
    weights = descend(W, a, X, y, eta / 4, 8000)[::200]
    square = [np.sum((outputs(V, a, X) - y) ** 2) for V in weights]
    np.testing.assert_allclose(arrays["residual"], square, rtol=2e-3)
    least = [
        np.linalg.eigvalsh(X @ X.T * ((V @ X.T >= 0).T.astype(float) @ (V @ X.T >= 0)) / 300)[0]
        for V in weights
    ]
    np.testing.assert_allclose(arrays["lambda_min"], least, rtol=0.02)  # a neuron more or less


def test_gradient_hessian_and_identity_against_numpy() -> None:
    p = essay_gradient.Parameters(n=5, dim=4, widths=(12,), steps=4, record_every=2, seeds=(0,))
    result = essay_gradient.run(p)
    X, y, _ = points(5, 4, 0)
    network = TwoLayerReLU(12, 4, seed=0)
    a = network.signs
    weights = descend(network.weights(), a, X, y, 1 / np.linalg.eigvalsh(kernel(X, X))[-1], 4)
    for k, W in enumerate(weights[::2]):
        e = outputs(W, a, X) - y
        G = a[:, None] * (((W @ X.T >= 0) * e) @ X) / np.sqrt(12)
        # Read off a step of 2^-20: ten digits are left.
        assert result.arrays["neuron"][0, 0, k] == pytest.approx(np.linalg.norm(G, axis=1).max(), rel=1e-7)
        assert result.arrays["whole"][0, 0, k] == pytest.approx(np.linalg.norm(G), rel=1e-7)
        assert result.arrays["identity"][0, 0, k] == pytest.approx(np.linalg.norm(G), rel=1e-9)
        assert result.arrays["residual_l1"][0, 0, k] == pytest.approx(np.abs(e).sum(), rel=1e-9)
    # The Hessian block by block, as the corrected text has it.
    by_hand = essay_gradient_expected.hessian_by_hand(network, X).reshape(12, 4, 12, 4)
    active = network.weights() @ X.T >= 0
    for r, s in ((0, 0), (2, 7)):
        block = sum(a[r] * a[s] * active[r, j] * active[s, j] * np.outer(X[j], X[j]) for j in range(5)) / 12
        np.testing.assert_allclose(by_hand[r, :, s], block, atol=1e-15)


def test_gradient_bands_catch_wrong_numbers() -> None:
    step, widths = np.arange(0, 41, 2), (100, 10000)
    residual = np.tile(5 * 0.8**step, (2, 2, 1))
    root = np.sqrt(widths)[None, :, None]
    H = np.diag([1.0, 2.0])
    good = essay_gradient_expected.Measured(
        n=10,
        dim=10,
        widths=widths,
        share=0.01,
        step=step,
        hessian=H,
        hessian_differences=H,
        neuron=0.4 * residual / root,
        whole=0.7 * residual,
        identity=0.7 * residual,
        residual=residual,
        residual_l1=2.5 * residual,
        bound=np.sqrt(10) * 5 * 0.9**step / root,
    )

    def change(**values: Any) -> str:
        return failed(essay_gradient_expected.expectations(dataclasses.replace(good, **values)))

    assert change() == ""
    assert "m^-1/2 |e|_1" in change(neuron=good.neuron * 8)
    assert "(sqrt(n/m) |e|)" in change(neuron=good.neuron * 8)
    assert "(k/2)" in change(neuron=good.neuron * 8)
    assert "sqrt(e^T H e)" in change(whole=good.whole * 1.01)
    narrower = np.array([[[1.0], [0.1]]])
    assert "whole gradient at the start" in change(whole=good.whole * narrower)
    assert "one neuron at the start" in change(neuron=good.neuron / narrower)
    assert "one neuron's gradient is small" in change(neuron=good.neuron / narrower)
    assert "Hessian by differences" in change(hessian_differences=H * 1.001)
    assert "least eigenvalue" in change(hessian_differences=np.diag([-1.0, 2.0]))
    sooner = good.whole * np.stack([np.ones(21), 0.9**step])[None]
    assert "widest / narrowest" in change(whole=sooner)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lemma2", {"delta": 1.0}, "delta: must be between 0 and 1"),
        ("lemma2", {"radii": ()}, "radii: at least one"),
        ("lemma2", {"radii": (-1.0,)}, "radii: must be positive"),
        ("thm2", {"step_factor": 0.0}, "step_factor: must be positive"),
        ("thm2", {"widths": (4, 2)}, "widths must be increasing, got 4, 2"),
        ("lazy", {"seeds": ()}, "seeds: at least one"),
        ("lazy", {"steps": 0}, "steps: must be positive"),
        ("predictor", {"widths": (3,)}, "widths must be even"),
        ("lecture", {"seed": -1}, "seed: must not be negative"),
        ("lecture", {"time": 0.0}, "time: must be positive"),
        ("essay.gradient", {"share": 1.0}, "share: must be between 0 and 1"),
        ("essay.gradient", {"record_every": 0}, "record_every: must be positive"),
    ],
)
def test_parameters_are_checked(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_experiment(name).parameters(overrides=change)


@dataclass(frozen=True)
class _Nested(Settings):
    """Every kind of check, and checks within checks."""

    count: NonNegativeInt = 0
    share: Fraction = 0.5
    widths: IncreasingInts = (1, 2)
    seeds: Seeds = (0, 5)
    names: Some[str] = ("a",)
    deep: tuple[PositiveInts, ...] = ((1, 2), ())
    free: tuple[float, ...] | None = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "^count: must not be negative"),
        ({"share": 1.0}, "^share: must be between 0 and 1, got 1.0"),
        ({"share": float("nan")}, "^share: must be positive and finite"),
        ({"widths": ()}, "^widths: at least one"),
        ({"widths": (0, 2)}, "^widths: must be positive, got 0"),
        ({"widths": (2, 1)}, "^widths must be increasing, got 2, 1"),
        ({"seeds": (1, 1)}, "^seeds must be increasing"),
        ({"names": ()}, "^names: at least one"),
        ({"deep": ((1,), (0,))}, "^deep: must be positive, got 0"),
    ],
)
def test_settings_are_checked_as_their_types_say(change: dict[str, Any], message: str) -> None:
    _Nested()
    with pytest.raises(ValueError, match=message):
        _Nested(**change)


def test_settings_of_a_wrong_kind() -> None:
    with pytest.raises(TypeError, match=r"^count: an integer"):
        _Nested(count=1.5)  # type: ignore[arg-type]


def test_exponent() -> None:
    assert exponent([1.0, 10.0, 100.0], [5.0, 0.5, 0.05]) == pytest.approx(-1.0)
    assert np.isnan(exponent([1.0, 2.0], [1.0, 0.0]))
    assert np.isnan(exponent([1.0], [1.0]))
