"""The references themselves: published values, closed forms, and two independent ways to the same kernel."""

from __future__ import annotations

import finite
import numpy as np
import oracle
import pytest

# Values of another implementation to 12 decimals: entries [0][0] and [0][1] of K^(H), for softplus.
SPOT_FC = {
    2: (0.740209909955, 0.485435688000),
    3: (0.524046009403, 0.426459166461),
    4: (0.418971415094, 0.380267773595),
}
SPOT_RES = {
    2: (0.042619709453, 0.027950352599),
    3: (0.022600625301, 0.015585943955),
    4: (0.013873359113, 0.009787746575),
}
SPOT_CONV = {
    1: (8.724830710318, -1.535141143678),
    2: (0.891613995921, 0.233174218135),
    3: (0.493370421426, 0.172388289149),
}
SPOT_CONV_2D = (11.564467361561, 0.303996365695)
SPOT_RELU = (3.220858069347, 1.492761231620)
SOFTPLUS = oracle.ACTIVATIONS["softplus"]


def spot_inputs(*shape: int, shift: float) -> np.ndarray:
    return (1.3 * np.sin(1.7 * (np.arange(np.prod(shape)) + 1) + shift)).reshape(shape)


def entries(K: np.ndarray) -> np.ndarray:
    return K[0, :2]


@pytest.mark.parametrize("depth", SPOT_FC)
def test_spot_values_of_vectors(depth: int) -> None:
    X = spot_inputs(4, 3, shift=0)
    fc = oracle.fully_connected(X, depth, SOFTPLUS)
    res = oracle.resnet(X, depth, SOFTPLUS, 0.5)
    np.testing.assert_allclose(entries(fc.last_hidden_gram), SPOT_FC[depth], rtol=0, atol=1e-12)
    np.testing.assert_allclose(entries(res.last_hidden_gram), SPOT_RES[depth], rtol=0, atol=1e-12)


def test_spot_value_of_relu() -> None:
    fc = oracle.fully_connected(spot_inputs(4, 3, shift=0), 3, oracle.ACTIVATIONS["relu"])
    np.testing.assert_allclose(entries(fc.last_hidden_gram), SPOT_RELU, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", SPOT_CONV)
def test_spot_values_of_images(depth: int) -> None:
    X = spot_inputs(2, 2, 5, shift=3)
    conv = oracle.conv_resnet(X, depth, SOFTPLUS, 0.5, oracle.neighbours((5,), (3,)))
    np.testing.assert_allclose(entries(conv.last_hidden_gram), SPOT_CONV[depth], rtol=0, atol=2e-12)


def test_spot_value_of_two_dimensional_images() -> None:
    X = spot_inputs(2, 2, 12, shift=4)
    conv = oracle.conv_resnet(X, 2, SOFTPLUS, 0.5, oracle.neighbours((3, 4), (3, 3)))
    # The published value is of a rule with step 0.1 at variances up to 15, good to 1e-11 of the value.
    np.testing.assert_allclose(entries(conv.last_hidden_gram), SPOT_CONV_2D, rtol=1e-11, atol=0)


@pytest.mark.parametrize(
    ("p", "q", "rho"), [(1.0, 1.0, 0.3), (4.0, 0.25, -0.9), (9.0, 9.0, 1.0), (0.0, 2.0, 0.0)]
)
def test_trapezoidal_rule_against_a_closed_form(p: float, q: float, rho: float) -> None:
    # cos is entire: any strip is right, and a wide one makes the coarsest rule.
    k = rho * np.sqrt(p * q)
    arguments = (np.array(k), np.array(p), np.array(q))
    value = oracle.smooth_dual(np.cos, np.pi)(*arguments)
    assert abs(value - oracle.ACTIVATIONS["cos"].dual(*arguments)) <= 1e-15
    mean = oracle.smooth_mean(np.cos, np.pi)(np.array([p]))
    assert abs(mean - np.exp(-p / 2)) <= 1e-15


@pytest.mark.parametrize("name", ["softplus", "relu"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_texts_recursions_equal_the_interpreter(name: str, depth: int) -> None:
    """Backward products B^(h) on one side, the forward recursion of the tangent kernel on the other."""
    act = oracle.ACTIVATIONS[name]
    X = spot_inputs(4, 3, shift=0)
    image = spot_inputs(2, 2, 4, shift=1)
    pairs = [
        (oracle.fully_connected(X, depth, act), oracle.kernels(X, finite.fully_connected(3, depth, name))),
        (oracle.resnet(X, depth, act, 0.9), oracle.kernels(X, finite.resnet(3, depth, name, 0.9))),
        (
            oracle.conv_resnet(image, depth, act, 0.9, oracle.neighbours((4,), (3,))),
            oracle.kernels(image, finite.conv_resnet(2, (4,), (3,), depth, name, 0.9)),
        ),
    ]
    for text, composed in pairs:
        np.testing.assert_allclose(text.ntk, composed.ntk, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(text.nngp, composed.nngp, rtol=1e-13, atol=1e-14)


def test_same_padding_table() -> None:
    """Places of the field: an odd zero goes after the image."""
    table, image = oracle.window_table((5,), (4,), (2,), "SAME")
    assert image == (3,)
    assert table.tolist() == [[-1, 0, 1, 2], [1, 2, 3, 4], [3, 4, -1, -1]]
    table, image = oracle.window_table((3,), (2,), (1,), "CIRCULAR")
    assert table.tolist() == [[0, 1], [1, 2], [2, 0]]
