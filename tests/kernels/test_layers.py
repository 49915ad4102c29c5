"""Layers and Sequential: kernels against the interpreter of oracle.py, errors, text."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from compose import layers as build
from compose import sequential
from hypothesis import HealthCheck, given, settings
from kernel_networks import CASES, RELU, Case, Layers, conv, dense, inputs, random_networks

import lazygram
from lazygram.layers import (
    Activation,
    AvgPool,
    Conv,
    Dense,
    Dropout,
    FanInConcat,
    FanInProduct,
    FanInSum,
    Flatten,
    GlobalAvgPool,
    Identity,
    LayerNorm,
    Residual,
)

Array = np.ndarray


def assert_close(value: Array, wanted: Array, diagonal: Array) -> None:
    """Entries to 1e-12 of sqrt(K_ii K_jj), the scale of their covariances.

    Angles of the kinked activations here stay away from 0 and pi, so that nothing amplifies roundings.
    """
    scale = np.sqrt(np.outer(diagonal[: value.shape[0]], diagonal[-value.shape[1] :]))
    assert np.all(np.abs(value - wanted) <= 1e-12 * scale)


def check(shape: tuple[int, ...], layers: Layers, parameterisation: str = "ntk") -> None:
    X = inputs(*shape)
    wanted = oracle.kernels(X, layers, parameterisation)
    network = sequential(layers, parameterisation)
    made = network.nngp_and_ntk(X)
    for value, reference in zip(made, wanted, strict=True):
        assert_close(value, reference, np.diag(reference))
        assert np.array_equal(value, value.T)
    np.testing.assert_allclose(network.ntk(X, diagonal=True), np.diag(made.ntk), rtol=1e-14)
    block = network.nngp_and_ntk(X[:1], X[1:])
    for value, reference in zip(block, wanted, strict=True):
        assert_close(value, reference[:1, 1:], np.diag(reference))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_of_everything(case: Case) -> None:
    check(case.shape, case.layers(7), case.parameterisation)


@given(random_networks())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_compositions(network: tuple[tuple[int, ...], Layers]) -> None:
    shape, layers = network
    check((3, *shape), layers)


@given(random_networks())
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_compositions_in_the_standard_parameterisation(
    network: tuple[tuple[int, ...], Layers],
) -> None:
    shape, layers = network
    check((2, *shape), layers, "standard")


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_windows_of_convolutions(window: int, stride: int, padding: str) -> None:
    for last in ("flatten", "gap"):
        layers = [conv(window, stride=stride, padding=padding, b_std=0.2), RELU, (last,), dense()]
        check((2, 2, 7), layers)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize(("window", "stride"), [((2, 3), (1, 2)), ((3, 2), (2, 3)), ((1, 1), (2, 1))])
def test_windows_of_pools(window: tuple[int, int], stride: tuple[int, int], padding: str) -> None:
    pool = ("avgpool", window, stride, padding)
    check((2, 2, 4, 5), [conv(3, 3), RELU, pool, dense(1.2), RELU, ("flatten",), dense()])


def test_images_and_vectors_of_one_pixel_agree() -> None:
    layers = [dense(1.4, 0.3), RELU, dense(1.2, 0.1), RELU]
    X = inputs(4, 3)
    vectors = sequential([*layers, dense()]).nngp_and_ntk(X)
    for last in ("flatten", "gap"):
        images = sequential([*layers, (last,), dense()]).nngp_and_ntk(X[:, :, None])
        for a, b in zip(vectors, images, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_pairs_of_pixels_are_carried_for_pooling_alone() -> None:
    body = [Conv(3), Activation("relu"), Conv(3, 2), Activation("relu")]
    flat = lazygram.Sequential([*body, Flatten(), Dense()])
    pooled = lazygram.Sequential([*body, GlobalAvgPool(), Dense()])
    assert flat.summary((2, 6, 5)).endswith("up to 30 pixels")
    assert pooled.summary((2, 6, 5)).endswith("up to 30^2 pairs of pixels")
    shape = (100, 2, 6, 5)
    assert flat.plan(shape, threads=1).scratch < pooled.plan(shape, threads=1).scratch


def test_two_layer_kernels_are_the_simplest_network() -> None:
    """f = a . relu(W x) / sqrt(m) with W ~ N(0, 1) is Dense(sqrt(d)), relu, Dense(1)."""
    X = inputs(6, 4)
    wanted = lazygram.two_layer_kernels(X)
    body = [Dense(2.0), Activation("relu")]
    made = lazygram.Sequential([*body, Dense()]).nngp_and_ntk(X)
    np.testing.assert_allclose(made.nngp, wanted.nngp, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(made.ntk, wanted.ntk, rtol=1e-13, atol=1e-14)
    first = lazygram.Sequential([*body, Dense(trained=False)]).ntk(X)
    np.testing.assert_allclose(first, lazygram.gram_infinite(X), rtol=1e-13, atol=1e-14)
    second = lazygram.Sequential([Dense(2.0, trained=False), Activation("relu"), Dense()]).ntk(X)
    np.testing.assert_allclose(second, wanted.nngp, rtol=1e-13, atol=1e-14)


def test_zero_bias_counts_in_the_standard_parameterisation() -> None:
    """b_std = 0.0 is a bias that starts at zero and is trained; None is no bias."""
    X = inputs(3, 4)
    made = [sequential([dense(1.0, b, 5)], "standard").ntk(X) for b in (None, 0.0)]
    np.testing.assert_allclose(made[1] - made[0], 1.0, rtol=1e-13)
    np.testing.assert_allclose(made[0], X @ X.T, rtol=1e-13)


def test_normalised_activation_keeps_unit_variance() -> None:
    X = inputs(3, 4)
    X /= np.linalg.norm(X, axis=1, keepdims=True) / 2.0  # |x|^2 = d = 4: variance 1
    for name in ("tanh", "relu", "gelu"):
        network = lazygram.Sequential([Dense(), Activation(name, normalised=True)] * 3)
        np.testing.assert_allclose(network.nngp(X, diagonal=True), 1.0, rtol=1e-12)


def test_fan_in_forms_agree() -> None:
    """Residual, FanInSum with scaled weights, nested Sequential and Identity say the same."""
    X = inputs(4, 3)
    start = [Dense(1.3), Activation("softplus")]
    block = [Dense(0.8), Activation("relu")]
    networks = [
        [*start, Residual(block), Dense()],
        [*start, FanInSum([block, []]), Dense()],
        [*start, FanInSum([Identity(), lazygram.Sequential(block)]), Dense()],
        [lazygram.Sequential(start), Residual(block, shortcut=[Identity()], scale=1.0), Dense()],
        # relu is homogeneous: a factor of the branch is one of its weights.
        [*start, Residual([Dense(1.6), Activation("relu")], scale=0.5), Dense()],
    ]
    wanted = lazygram.Sequential(networks[0]).nngp_and_ntk(X)
    for layers in networks[1:4]:
        made = lazygram.Sequential(layers).nngp_and_ntk(X)
        np.testing.assert_allclose(made.nngp, wanted.nngp, rtol=1e-14)
        np.testing.assert_allclose(made.ntk, wanted.ntk, rtol=1e-14)
    np.testing.assert_allclose(lazygram.Sequential(networks[4]).nngp(X), wanted.nngp, rtol=1e-14)


def test_depth_three_sum_and_shares() -> None:
    layers: Layers = [
        dense(1.2),
        RELU,
        ("sum", [[dense(0.5), RELU], [dense(0.7), ("act", "erf")], [], [dense(0.9, 0.3)]]),
        ("concat", [[dense(0.5), RELU], [dense()], []], [1.0, 2.0, 4.0]),
        dense(),
    ]
    check((3, 4), layers)


def test_callables_and_objects_are_activations() -> None:
    X = inputs(3, 4)
    named = lazygram.Sequential([Dense(), Activation("tanh"), Dense()]).ntk(X)
    plain = lazygram.Sequential([Dense(), Activation(np.tanh), Dense()]).ntk(X)
    np.testing.assert_allclose(plain, named, rtol=1e-11)
    made = lazygram.activations.leaky_relu(0.3)
    network = lazygram.Sequential([Dense(), Activation(made), Dense()])
    assert "leaky_relu(slope=0.3)" in repr(network)
    assert network.nngp(X).shape == (3, 3)


def test_step_has_an_nngp_kernel_and_no_tangent_kernel() -> None:
    X = inputs(3, 4)
    network = lazygram.Sequential([Dense(), Activation("step"), Dense()])
    cosine = X @ X.T / np.sqrt(np.outer(np.sum(X * X, 1), np.sum(X * X, 1)))
    wanted = (np.pi - np.arccos(np.clip(cosine, -1, 1))) / (2 * np.pi)
    np.testing.assert_allclose(network.nngp(X), wanted, atol=1e-8)
    with pytest.raises(ValueError, match="not differentiable"):
        network.ntk(X)


# --- networks without a limit, and settings -------------------------------------------------------------

IMPOSSIBLE: dict[str, tuple[tuple[int, ...], list[Any], str, str]] = {
    "activation of the input": (
        (3, 4),
        [Activation("relu"), Dense()],
        "ntk",
        r"layers\[0\]: the input is not",
    ),
    "two activations": (
        (3, 4),
        [Dense(), Activation("relu"), Activation("erf"), Dense()],
        "ntk",
        r"layers\[2\]: what comes before it is not Gaussian",
    ),
    "activation of pooled features": (
        (3, 2, 4),
        [Conv(3), Activation("relu"), AvgPool(2), Activation("relu"), Flatten()],
        "ntk",
        r"layers\[3\]",
    ),
    "pixels left": ((3, 2, 4), [Conv(3), Activation("relu"), Dense()], "ntk", r"layers: .*4 pixels.*Flatten"),
    "convolution of vectors": ((3, 4), [Conv(3)], "ntk", r"layers\[0\]: needs pixels"),
    "pooling of vectors": ((3, 4), [Dense(), GlobalAvgPool()], "ntk", r"layers\[1\]: needs pixels"),
    "filter of the wrong dimension": (
        (3, 2, 4),
        [Conv((3, 3)), Flatten()],
        "ntk",
        r"layers\[0\]: filter \(3, 3\) has 2 axes",
    ),
    "window too large": ((3, 2, 4), [Conv(5, padding="VALID"), Flatten()], "ntk", "does not fit"),
    "skip of the input": (
        (3, 4),
        [Residual([Dense(), Activation("relu")]), Dense()],
        "ntk",
        r"layers\[0\]: the input itself cannot be",
    ),
    "dependent branches": (
        (3, 4),
        [Dense(), FanInSum([[], Identity()]), Dense()],
        "ntk",
        "must be independent",
    ),
    "hidden dependence": (
        (3, 4),
        [Dense(), FanInSum([[], [Residual([Dense()])]]), Dense()],
        "ntk",
        "must be independent",
    ),
    "mean of a concatenation": (
        (3, 4),
        [
            Dense(),
            Activation("relu"),
            FanInConcat([[], [Dense()]]),
            Residual([Dense(), Activation("relu")]),
        ],
        "ntk",
        r"layers\[3\]: the mean",
    ),
    "different pixels": (
        (3, 2, 4),
        [Conv(3), FanInSum([[Conv(3, 2)], [Conv(3)]]), Flatten()],
        "ntk",
        "same pixels",
    ),
    "different widths": (
        (3, 4),
        [Dense(), FanInSum([[Dense(width=3)], [Dense(width=4)]])],
        "ntk",
        "same width",
    ),
    "some widths": (
        (3, 4),
        [Dense(), FanInConcat([[Dense(width=3)], [Dense()]])],
        "ntk",
        "some branches have a width",
    ),
    "norm of features": (
        (3, 4),
        [Dense(), Activation("relu"), LayerNorm(), Dense()],
        "ntk",
        r"layers\[2\]: its input must be centred",
    ),
    "dropout of the input": ((3, 4), [Dropout(0.5), Dense()], "ntk", r"layers\[0\]: an input has finitely"),
    "no width": ((3, 4), [Dense(), Activation("relu"), Dense()], "standard", r"layers\[2\]: .*give width="),
    "place in branches": (
        (3, 4),
        [Dense(), FanInSum([[Dense()], [Activation("relu"), Activation("relu")]])],
        "ntk",
        r"layers\[1\].branches\[1\]\[1\]",
    ),
    "place in a residual": (
        (3, 4),
        [Dense(), lazygram.Sequential([Identity(), Residual([Dense(), GlobalAvgPool()])])],
        "ntk",
        r"layers\[1\].layers\[1\].branch\[1\]: needs pixels",
    ),
    "two parameterisations": (
        (3, 4),
        [lazygram.Sequential([Dense()], parameterisation="standard")],
        "ntk",
        "parameterisation 'standard' inside",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_networks(name: str) -> None:
    shape, layers, parameterisation, message = IMPOSSIBLE[name]
    network = lazygram.Sequential(layers, parameterisation=parameterisation)
    with pytest.raises(ValueError, match=message):
        network.ntk(inputs(*shape))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(-1.0), ValueError, "w_std: must not be negative"),
        (lambda: Dense("1"), TypeError, "w_std: a number"),
        (lambda: Dense(1.0, np.nan), ValueError, "b_std: must be finite"),
        (lambda: Dense(width=0), ValueError, "width: must be positive"),
        (lambda: Conv(0), ValueError, "filter: must be positive"),
        (lambda: Conv((1, 2, 3)), ValueError, "filter: one or two numbers"),
        (lambda: Conv(2.5), TypeError, "filter: an integer"),
        (lambda: Conv(3, padding="same"), ValueError, "padding: 'SAME'"),
        (lambda: AvgPool(2, stride=0), ValueError, "stride: must be positive"),
        (lambda: LayerNorm(-1.0), ValueError, "eps: must not be negative"),
        (lambda: Dropout(1.0), ValueError, "rate: must be below 1"),
        (lambda: Activation("nosuch"), ValueError, "activation: unknown name"),
        (lambda: Activation(3), TypeError, "activation: a name"),
        (lambda: Residual([Dense]), TypeError, r"branch\[0\]: a layer is needed, got the class Dense"),
        (lambda: Residual([Dense()], scale="half"), TypeError, "scale: a number"),
        (lambda: Dense(trained="no"), TypeError, "trained: True or False"),
        (lambda: LayerNorm(pixels=3), TypeError, "pixels: True or False"),
        (lambda: Activation("relu", normalised="yes"), TypeError, "normalised: True or False"),
        (lambda: FanInConcat([[], []], 0.5), TypeError, "shares: a list of numbers"),
        (lambda: Residual([Dense()], scale=np.inf), ValueError, "scale: must be finite"),
        (lambda: FanInSum([[Dense()]]), ValueError, "branches: at least two"),
        (lambda: FanInSum(Dense()), TypeError, "branches: a list of branches"),
        (lambda: FanInProduct([Dense(), "x"]), TypeError, r"branches\[1\]: a layer or a list"),
        (lambda: FanInConcat([[], []], [1.0]), ValueError, "shares: 2 positive numbers"),
        (lambda: FanInConcat([[], []], [1.0, 0.0]), ValueError, "shares: 2 positive numbers"),
        (lambda: lazygram.Sequential([]), ValueError, "layers: at least one"),
        (lambda: lazygram.Sequential("ab"), TypeError, "layers: a layer or a list"),
        (
            lambda: lazygram.Sequential([Dense()], parameterisation="mup"),
            ValueError,
            "parameterisation: 'ntk'",
        ),
    ],
)
def test_bad_settings(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_bad_inputs_are_named() -> None:
    network = lazygram.Sequential([Dense(), Activation("relu"), Dense()])
    for X, message in [
        (np.ones(3), "X: "),
        (np.full((2, 2), np.nan), "X: entry"),
        (np.ones((0, 3)), "X: is empty"),
    ]:
        with pytest.raises(ValueError, match=message):
            network.ntk(X)
    with pytest.raises(ValueError, match="X2: "):
        network.ntk(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"shape: \(d,\), .* got 4"):
        network.summary(4)  # type: ignore[arg-type]


def test_overflow_is_an_error() -> None:
    steep = lazygram.Sequential([Dense(), Activation("exp"), Dense()])
    with pytest.raises(ValueError, match="X: ntk overflows float64"):
        steep.ntk(np.full((2, 3), 40.0))
    single = np.full((2, 3), 1e25, np.float32)
    with pytest.raises(ValueError, match="X: nngp overflows float32"):
        lazygram.Sequential([Dense(), Activation("relu")]).nngp(single)
    assert np.isfinite(lazygram.Sequential([Dense(), Activation("relu")]).nngp(single.astype(float))).all()


# --- text ---------------------------------------------------------------------------------------------


def test_repr_rebuilds_the_network() -> None:
    """repr is an expression; the network that it makes has the same kernels."""
    names = {name: getattr(lazygram.layers, name) for name in lazygram.layers.__all__}
    for case in CASES.values():
        network = sequential(case.layers(7), case.parameterisation)
        again = eval(repr(network), names)
        assert repr(again) == repr(network)
        X = inputs(*case.shape)
        assert np.array_equal(again.ntk(X), network.ntk(X))


def test_layers_are_values() -> None:
    assert Dense(1.0) == Dense()
    assert Conv(3) != Conv((3,))
    assert build([dense()]) == [Dense()]
    assert repr(Dense(1.5, trained=False)) == "Dense(w_std=1.5, trained=False)"
    with pytest.raises(AttributeError):
        Dense().w_std = 2.0  # type: ignore[misc]


def test_text_and_summary() -> None:
    network = lazygram.Sequential(
        [
            Conv(3, stride=2, width=8),
            Activation("relu"),
            Residual([Conv(3, width=8), Activation("tanh")], scale=0.5),
            GlobalAvgPool(),
            Dense(b_std=0.1),
        ]
    )
    assert str(network).splitlines() == [
        "Sequential (ntk parameterisation)",
        "  Conv(3, stride=2, width=8)",
        "  Activation('relu')",
        "  Residual (scale 0.5)",
        "    shortcut: identity",
        "    branch:",
        "      Conv(3, width=8)",
        "      Activation('tanh')",
        "  GlobalAvgPool()",
        "  Dense(b_std=0.1)",
    ]
    rows = network.summary((2, 5, 6)).splitlines()
    assert rows[2].split() == ["input", "2", "x", "5", "x", "6"]
    assert rows[3].endswith("8 x 3 x 3")
    assert rows[-2].split() == ["4", "Dense(b_std=0.1)", "width"]
    assert rows[-1] == "carried for two images: up to 30^2 pairs of pixels"
    with pytest.raises(ValueError, match=r"layers\[0\]: needs pixels"):
        network.summary((2,))
