"""G^(h)(0) of wide networks against its limit, computed by quadrature from the recursion of the text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lazygram.networks import ConvResidualNetwork, DeepNetwork, FullyConnectedNetwork, ResidualNetwork


def softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def spread(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Inputs of the published spot values, without a random generator."""
    return (1.3 * np.sin(1.7 * (np.arange(np.prod(shape)) + 1) + k)).reshape(shape)


# K^(H)_00 and K^(H)_01: softplus, c_res = 1/2, X = spread((4, 3), 0), images spread((2, 2, 5), 3).
SPOTS = {
    ("fc", 2): (0.740209909955, 0.485435688000),
    ("fc", 3): (0.524046009403, 0.426459166461),
    ("fc", 4): (0.418971415094, 0.380267773595),
    ("residual", 2): (0.042619709453, 0.027950352599),
    ("residual", 3): (0.022600625301, 0.015585943955),
    ("residual", 4): (0.013873359112, 0.009787746574),
    ("conv", 1): (8.724830710318, -1.535141143678),
    ("conv", 2): (0.891613995921, 0.233174218135),
    ("conv", 3): (0.493370421426, 0.172388289149),
}
LINE = np.array([[-1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, -1]])


@pytest.mark.parametrize(("kind", "H"), SPOTS)
def test_the_reference_meets_the_spot_values(kind: str, H: int, reference: SimpleNamespace) -> None:
    X = spread((2, 2, 5), 3) if kind == "conv" else spread((4, 3), 0)[:, :, None]
    grams = reference.limit_grams(kind, X, H, softplus, sigmoid, 0.5, LINE if kind == "conv" else None)
    np.testing.assert_allclose(grams[H - 1][0, :2], SPOTS[kind, H], rtol=0, atol=1e-11)


def network_of(kind: str, width: int, H: int, seed: int) -> DeepNetwork:
    if kind == "conv":
        return ConvResidualNetwork(width, 2, 6, H, seed=seed)
    if kind == "fc":
        return FullyConnectedNetwork(width, 6, H, seed=seed)
    return ResidualNetwork(width, 6, H, seed=seed)


@pytest.mark.parametrize(("kind", "H"), [("fc", 3), ("residual", 3), ("conv", 2)])
def test_grams_converge_to_their_limits(
    kind: str, H: int, rng: np.random.Generator, reference: SimpleNamespace
) -> None:
    """Error 8 / sqrt(width) at the largest width, slope -1/2; the mean of the draws within its error bar."""
    n = 3 if kind == "conv" else 4
    X = rng.normal(size=(n, 12 if kind == "conv" else 6))
    norms = np.array([1.0, 0.7, 1.3, 1.6])[:n]  # unequal ones tell the pairings of a residual network apart
    X *= (norms / np.linalg.norm(X, axis=1))[:, None]
    images = X.reshape(n, 2, 6) if kind == "conv" else X[:, :, None]
    table = np.array([[i - 1, i, i + 1 if i < 5 else -1] for i in range(6)]) if kind == "conv" else None
    limits = reference.limit_grams(kind, images, H, softplus, sigmoid, 0.5, table)
    widths, draws = (48, 160, 512), 40
    errors = np.zeros((len(widths), H + 1))
    for w, width in enumerate(widths):
        grams = [network_of(kind, width, H, 100 * w + seed).layer_grams(X) for seed in range(draws)]
        for h, limit in enumerate(limits):
            drawn = np.array([gram[h] for gram in grams])
            errors[w, h] = np.mean(np.abs(drawn - limit).max(axis=(1, 2))) / np.abs(limit).max()
            deviation = np.abs(drawn.mean(axis=0) - limit)
            bar = drawn.std(axis=0, ddof=1) / np.sqrt(draws)
            # 5 standard errors of 40 draws; the bias at finite width is O(1/m).
            assert (deviation <= 5 * bar + 3 * np.abs(limit).max() / width).all()
    assert (errors[-1] <= 8 / np.sqrt(widths[-1])).all()
    slopes = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert ((slopes > -0.65) & (slopes < -0.35)).all(), slopes


def test_convolution_has_the_pixel_skip_term(reference: SimpleNamespace, rng: np.random.Generator) -> None:
    """G^(H)_00 for c_res = 1, where the formulas that circulate for K^(H) differ by a tenth and more."""
    X = rng.normal(size=(1, 12)) / np.sqrt(12)
    table = np.array([[i - 1, i, i + 1 if i < 5 else -1] for i in range(6)])
    limit = reference.limit_grams("conv", X.reshape(1, 2, 6), 3, softplus, sigmoid, 1.0, table)[2][0, 0]
    values = np.array([
        ConvResidualNetwork(200, 2, 6, 3, c_res=1.0, seed=s).layer_grams(X)[2][0, 0] for s in range(24)
    ])  # fmt: skip
    error = values.std(ddof=1) / np.sqrt(24)
    assert error < 0.03 * limit
    assert abs(values.mean() - limit) < 4 * error + 2 * limit / 200
