"""The small convolutional classifier: direct sums, differences, images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from lazygram.problems.conv_classifier import ConvClassifier, template_images


def test_scores_against_direct_convolutions(rng: np.random.Generator) -> None:
    net = ConvClassifier(0.5, classes=4, channels=2, size=6)
    assert net.filters == (2, 4)
    weights = tuple(rng.standard_normal(w.shape) for w in net.initial(dtype=np.float64))
    images = rng.standard_normal((3, 6, 6, 2))
    fields = images
    for filters, bias in (weights[:2], weights[2:4]):
        kernels = filters.reshape(3, 3, fields.shape[-1], -1)
        fields = np.stack(
            [
                [
                    sum(
                        correlate(image[..., c], kernels[..., c, k], mode="same")
                        for c in range(image.shape[-1])
                    )
                    + bias[k]
                    for k in range(kernels.shape[-1])
                ]
                for image in fields
            ]
        ).transpose(0, 2, 3, 1)
        fields = np.maximum(fields, 0)
    pooled = (fields[:, ::2, ::2] + fields[:, 1::2, ::2] + fields[:, ::2, 1::2] + fields[:, 1::2, 1::2]) / 4
    expected = pooled.reshape(3, -1) @ weights[4] + weights[5]
    np.testing.assert_allclose(net.scores(weights, images), expected, rtol=1e-12, atol=1e-12)
    labels = np.array([0, 3, 1])
    chance = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert net.loss(weights, images, labels) == pytest.approx(-np.log(chance[range(3), labels]).mean())
    assert net.errors(weights, images, expected.argmax(axis=1)) == 0.0


def test_gradient_is_the_difference_of_the_loss(rng: np.random.Generator) -> None:
    net = ConvClassifier(0.75, classes=3, channels=2, size=4)
    weights = tuple(0.5 * rng.standard_normal(w.shape) for w in net.initial(dtype=np.float64))
    images, labels = rng.standard_normal((5, 4, 4, 2)), np.array([0, 1, 2, 2, 0])
    gradients, h = net.gradient(weights, images, labels), 1e-6
    for layer, gradient in enumerate(gradients):
        assert gradient.shape == weights[layer].shape
        for k in range(0, gradient.size, max(1, gradient.size // 7)):
            losses = []
            for sign in (1, -1):
                moved = [w.copy() for w in weights]
                moved[layer].flat[k] += sign * h
                losses.append(net.loss(tuple(moved), images, labels))
            assert gradient.flat[k] == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-8)


def test_initial_weights_and_single_precision() -> None:
    net = ConvClassifier(8)
    weights = net.initial(3)
    assert {w.dtype for w in weights} == {np.dtype(np.float32)}
    for w, gain in zip(weights[::2], (2, 2, 1), strict=True):
        # Standard error of a variance: sqrt(2 / size) of it.
        assert w.var() * len(w) / gain == pytest.approx(1.0, abs=4 * np.sqrt(2 / w.size))
    images, labels, _ = template_images(20, seed=1)
    assert {g.dtype for g in net.gradient(weights, images, labels)} == {np.dtype(np.float32)}


def test_images() -> None:
    images, labels, templates = template_images(3000, noise=0.5, seed=5)
    assert images.shape == (3000, 8, 8, 3)
    assert templates.shape == (10, 8, 8, 3)
    np.testing.assert_allclose((templates**2).mean(axis=(1, 2, 3)), 1.0, rtol=1e-5)
    # Each image is one of the nine shifts of its template but for the noise.
    shifts = [np.roll(templates, (a, b), axis=(1, 2)) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    gaps = np.stack([((images - shifted[labels]) ** 2).mean(axis=(1, 2, 3)) for shifted in shifts])
    assert gaps.min(axis=0).mean() == pytest.approx(0.25, rel=0.03)
    np.testing.assert_allclose(np.bincount(gaps.argmin(axis=0)) / 3000, 1 / 9, atol=0.025)
    np.testing.assert_allclose(np.bincount(labels) / 3000, 0.1, atol=4 * np.sqrt(0.09 / 3000))
    # Other images of the same classes.
    more, _, same = template_images(5, seed=6, templates=templates)
    assert same is templates
    assert more.shape == (5, 8, 8, 3)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="size: must be even"):
        ConvClassifier(1, size=7)
    with pytest.raises(ValueError, match=r"images: shape \(n, 8, 8, 3\) is needed"):
        ConvClassifier(1).scores(ConvClassifier(1).initial(), np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="noise: must be positive"):
        template_images(2, noise=0.0)
