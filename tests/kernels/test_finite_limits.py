"""Finite random networks tend to the references at the rate 1/sqrt(width), and to no rival formula.

Seeds are fixed; bands are several standard errors wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import finite
import numpy as np
import oracle
import pytest
from kernel_networks import CASES, Case, Layers, inputs

Array = np.ndarray
WIDTHS = np.array([64, 256, 1024])


def mean_errors(
    draw: Callable[[np.random.Generator], Sequence[Array]], limits: Sequence[Array], draws: int
) -> list[float]:
    """Mean over draws of max|draw - limit| / max|limit|, for each of the limits."""
    rng = np.random.default_rng(5)
    samples = [draw(rng) for _ in range(draws)]
    return [
        float(np.mean([np.abs(sample[k] - limit).max() for sample in samples]) / np.abs(limit).max())
        for k, limit in enumerate(limits)
    ]


def check_rate(errors: list[list[float]], widths: Array, low: float, high: float) -> None:
    """Every error is below 8 / sqrt(width); their mean falls with a power of the width in the band."""
    table = np.array(errors)
    assert np.all(table <= 8 / np.sqrt(widths)[:, None])
    rate = np.polyfit(np.log(widths), np.log(table.mean(axis=1)), 1)[0]
    assert low <= rate <= high


def points(norms: tuple[float, ...], dim: int) -> Array:
    X = np.random.default_rng(11).standard_normal((len(norms), dim))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * np.array(norms)[:, None]


@pytest.mark.parametrize("name", ["fully connected", "resnet"])
def test_layer_grams_of_the_texts(name: str) -> None:
    X, act = points((1.0, 0.6, 1.4, 2.0), 6), oracle.ACTIVATIONS["softplus"]
    if name == "resnet":
        limits, layers = oracle.resnet(X, 3, act, 0.5).G, finite.resnet(6, 3, "softplus", 0.5)
    else:
        limits, layers = oracle.fully_connected(X, 3, act).G, finite.fully_connected(6, 3, "softplus")
    errors = [mean_errors(lambda rng, m=m: finite.draw(X, layers, m, rng).grams, limits, 6) for m in WIDTHS]
    check_rate(errors, WIDTHS, -0.65, -0.35)


def test_layer_grams_of_the_convolutional_resnet() -> None:
    X = np.random.default_rng(3).standard_normal((3, 2, 5))
    X /= np.linalg.norm(X, axis=(1, 2), keepdims=True)
    limits = oracle.conv_resnet(X, 3, oracle.ACTIVATIONS["softplus"], 0.5, oracle.neighbours((5,), (3,))).G
    layers = finite.conv_resnet(2, (5,), (3,), 3, "softplus", 0.5)
    widths = WIDTHS // 2
    errors = [mean_errors(lambda rng, m=m: finite.draw(X, layers, m, rng).grams, limits, 6) for m in widths]
    check_rate(errors, widths, -0.65, -0.35)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_composed_layers(case: Case) -> None:
    X = inputs(*case.shape)
    widths = np.array([32, 96, 288]) if len(case.shape) > 2 else np.array([64, 192, 576])
    errors = []
    for m in widths.tolist():
        layers = case.layers(m)

        def draw(rng: np.random.Generator, layers: Layers = layers, m: int = m) -> list[Array]:
            made = finite.draw(X, layers, m, rng, case.parameterisation)
            return [made.nngp, made.ntk]

        errors.append(mean_errors(draw, oracle.kernels(X, layers, case.parameterisation), 12))
    check_rate(errors, widths, -0.75, -0.25)


# --- rival formulas -----------------------------------------------------------------------------------


def projection(
    draw: Callable[[np.random.Generator], Array], right: Array, rival: Array, draws: int
) -> tuple[float, float]:
    """Place of the mean draw between `right` (0) and `rival` (1) along their difference, standard error."""
    rng = np.random.default_rng(8)
    direction = (rival - right) / np.sum((rival - right) ** 2)
    places = [float(np.sum((draw(rng) - right) * direction)) for _ in range(draws)]
    return float(np.mean(places)), float(np.std(places, ddof=1) / np.sqrt(draws))


def check_projection(place: float, error: float) -> None:
    # The bias of width m, of order 1/m, is below one standard error; the rival at 1 is far outside.
    assert abs(place) <= 4 * error
    assert error <= 0.1


def test_means_are_paired_across_examples() -> None:
    """ResNet: b_i goes with mu_j. The printed pairing b_i mu_i + b_j mu_j differs for unequal norms."""
    X, act, m = points((0.2, 1.0, 2.0, 4.0), 6), oracle.ACTIVATIONS["softplus"], 400
    limit = oracle.resnet(X, 2, act, 0.9)
    b, mu = limit.b[0], act.mean(np.diag(limit.S[1]))
    right = np.outer(b, mu) + np.outer(mu, b)
    printed = (b * mu)[:, None] + (b * mu)[None, :]

    def cross_terms(rng: np.random.Generator) -> Array:
        x = np.sqrt(oracle.c_sigma(act) / m) * act.phi(rng.standard_normal((m, 6)) @ X.T)
        products = x.T @ act.phi(rng.standard_normal((m, m)) @ x) / np.sqrt(m)
        return products + products.T

    check_projection(*projection(cross_terms, right, printed, 200))


def test_expectation_is_taken_with_the_layer_before() -> None:
    """FC, H = 2: D^(2) from the covariances of layer 1, not of layer 0 as printed."""
    X, act = points((1.0, 0.6, 1.4, 2.0), 6), oracle.ACTIVATIONS["softplus"]
    limit = oracle.fully_connected(X, 2, act)
    printed = oracle.c_sigma(act) * limit.S[1] * limit.D[0]
    layers = finite.fully_connected(6, 2, "softplus")
    place = projection(
        lambda rng: finite.draw(X, layers, 300, rng).grams[1], limit.last_hidden_gram, printed, 200
    )
    check_projection(*place)


def test_skip_of_the_convolutional_resnet_is_the_pixel_covariance() -> None:
    """The skip adds S^(h-1) of the pixels, not its sum over patches as printed."""
    rng = np.random.default_rng(3)
    X, act = rng.standard_normal((2, 2, 5)), oracle.ACTIVATIONS["softplus"]
    X /= np.linalg.norm(X, axis=(1, 2), keepdims=True)
    shifts = oracle.shift_matrices(oracle.neighbours((5,), (3,)), 5)
    limit = oracle.conv_resnet(X, 2, act, 0.5, oracle.neighbours((5,), (3,)))
    printed = limit.S[2] - limit.S[1] + sum(M @ limit.S[1] @ M.T for M in shifts)
    layers = finite.conv_resnet(2, (5,), (3,), 2, "softplus", 0.5)
    place = projection(
        lambda rng: finite.draw(X, layers, 200, rng).nngp, limit.nngp, np.einsum("ijll->ij", printed), 60
    )
    check_projection(*place)


# --- covariances and means of every layer -------------------------------------------------------------


def features(X: Array, table: Array, depth: int, m: int, skip: bool, rng: np.random.Generator) -> list[Array]:
    """x^(0) .. x^(H) of the texts, (n, channels, pixels), softplus; `skip`: a ResNet with c_res = 0.9."""
    act = oracle.ACTIVATIONS["softplus"]
    layers = [X]
    for h in range(depth):
        x = layers[-1]
        padded = np.concatenate([x, np.zeros((*x.shape[:2], 1))], axis=2)
        patches = padded[:, :, table].transpose(0, 1, 3, 2).reshape(len(x), -1, len(table))
        u = np.einsum("rc,icl->irl", rng.standard_normal((m, patches.shape[1])), patches, optimize=True)
        if skip and h > 0:
            layers.append(x + 0.9 / depth / np.sqrt(m) * act.phi(u))
        else:
            layers.append(np.sqrt(oracle.c_sigma(act) / m) * act.phi(u))
    return layers


@pytest.mark.parametrize("name", ["fully connected", "resnet", "conv resnet"])
def test_covariances_and_means_of_every_layer(name: str) -> None:
    """S^(h), all pairs of pixels, and b^(h): the mean of 40 networks within its standard error."""
    depth, m, draws, rng = 3, 300, 40, np.random.default_rng(7)
    act = oracle.ACTIVATIONS["softplus"]
    table = oracle.neighbours((4,), (3,)) if name == "conv resnet" else np.array([[0]])
    X = rng.standard_normal((3, 3, len(table)))
    X *= np.array([0.5, 1.0, 1.6])[:, None, None] / np.linalg.norm(X, axis=(1, 2), keepdims=True)
    if name == "fully connected":
        limits = oracle.fully_connected(X[..., 0], depth, act)
    elif name == "resnet":
        limits = oracle.resnet(X[..., 0], depth, act, 0.9)
    else:
        limits = oracle.conv_resnet(X, depth, act, 0.9, table)
    samples = [features(X, table, depth, m, name != "fully connected", rng) for _ in range(draws)]
    for h in range(1, depth + 1):
        S = np.array([np.einsum("icl,jck->ijlk", layers[h], layers[h]) for layers in samples])
        b = np.array([layers[h].sum(axis=1) / np.sqrt(m) for layers in samples])
        for values, limit in (
            (S, limits.S[h].reshape(S.shape[1:])),
            (b, limits.b[h - 1].reshape(b.shape[1:])),
        ):
            error = values.std(axis=0, ddof=1) / np.sqrt(draws)
            # The bias of width m, of order 1/m, is below one standard error.
            assert np.all(np.abs(values.mean(axis=0) - limit) <= 5 * error)
            assert error.max() <= 0.05 * np.abs(limit).max()
