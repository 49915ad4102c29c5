"""Deep networks against the formulas of the text, one example at a time; gradients; Gram matrices; errors."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lazygram import TwoLayerReLU
from lazygram.activations import custom
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
    SparseNetwork,
    convolution_map,
    dense_map,
)
from lazygram.networks import backend as backend_module
from lazygram.networks.backend import elementwise_threads, get_backend
from lazygram.networks.patches import Patches

EPS = np.finfo(float).eps

NETWORKS = {
    "fc": lambda **kw: FullyConnectedNetwork(24, 6, 3, **kw),
    "fc one layer": lambda **kw: FullyConnectedNetwork(24, 6, 1, "tanh", **kw),
    "residual": lambda **kw: ResidualNetwork(24, 6, 4, "silu", c_res=0.9, **kw),
    "conv": lambda **kw: ConvResidualNetwork(12, 2, 3, 3, c_res=0.7, **kw),
    "conv two axes": lambda **kw: ConvResidualNetwork(10, 1, (2, 3), 2, "tanh", patch=(5, 3), **kw),
    "relu": lambda **kw: DeepReLUNetwork(16, 6, 3, **kw),
    "relu widths": lambda **kw: DeepReLUNetwork([14, 9, 20], 6, **kw),
    "sparse": lambda **kw: SparseNetwork(
        [convolution_map(2, 4, 3), convolution_map(4, 3, 3), dense_map(1, 9)], ["relu", "tanh"], **kw
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> DeepNetwork:
    return NETWORKS[request.param](seed=3)


@pytest.fixture
def X(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 6))


def softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def kind_and_options(
    network: DeepNetwork, phi: Any, reference: SimpleNamespace
) -> tuple[str, dict[str, Any]]:
    options: dict[str, Any] = {"c_sigma": 1 / reference.expectation(phi, 1, 1, 1)}
    if isinstance(network, ConvResidualNetwork):
        return "conv", options | {"c_res": network.c_res, "image": network.image, "patch": network.patch}
    if isinstance(network, ResidualNetwork):
        return "residual", options | {"c_res": network.c_res}
    return "fc", options


@pytest.mark.parametrize("name", ["fc", "fc one layer", "residual", "conv", "conv two axes"])
def test_forward_is_the_text_formula(name: str, X: np.ndarray, reference: SimpleNamespace) -> None:
    network = NETWORKS[name](seed=3)
    phi = {"softplus": softplus, "tanh": np.tanh, "silu": lambda x: x / (1 + np.exp(-x))}[
        network.activation.name
    ]
    kind, options = kind_and_options(network, phi, reference)
    forward = network.forward(X)
    for i, x in enumerate(X):
        example = x.reshape(network.channels, -1) if kind == "conv" else x
        f, xs, us = reference.forward(kind, network.parameters, example, phi, **options)
        np.testing.assert_allclose(forward.outputs[i], f, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(forward.features + forward.preactivations, xs + us, strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(network.predict(X), forward.outputs)


@pytest.mark.parametrize("name", ["relu", "relu widths"])
def test_deep_relu_forward_is_the_formula(name: str, X: np.ndarray, reference: SimpleNamespace) -> None:
    network = NETWORKS[name](seed=3)
    forward = network.forward(X)
    for i, x in enumerate(X):
        f, xs, us = reference.forward("relu", network.parameters, x, None)
        np.testing.assert_allclose(forward.outputs[i], f, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(forward.features + forward.preactivations, xs + us, strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-12, atol=1e-13)
    assert [tuple(W.shape) for W in network.parameters] == list(
        zip((6, *network.widths[:-1]), network.widths, strict=True)
    )
    half = network.widths[-1] // 2
    np.testing.assert_array_equal(network.v, [1.0] * half + [-1.0] * half)


def test_convolution_input_layouts(X: np.ndarray) -> None:
    network = ConvResidualNetwork(8, 1, (2, 3), 2, seed=1)
    expected = network.predict(X)
    np.testing.assert_array_equal(network.predict(X.reshape(5, 1, 2, 3)), expected)
    np.testing.assert_array_equal(network.predict(X.reshape(5, 1, 6)), expected)
    with pytest.raises(ValueError, match=r"X: shape \(n, 1, 2, 3\)"):
        network.predict(X.reshape(5, 2, 3, 1))


def directional(network: DeepNetwork, X: np.ndarray, directions: list[np.ndarray]) -> np.ndarray:
    """d/dt f(X; parameters + t directions) at 0, central difference extrapolated once: error O(h^4)."""

    def slope(h: float) -> np.ndarray:
        moved = [
            network.with_parameters([p + t * d for p, d in zip(network.parameters, directions, strict=True)])
            for t in (h, -h)
        ]
        return (moved[0].predict(X) - moved[1].predict(X)) / (2 * h)

    return (4 * slope(5e-5) - slope(1e-4)) / 3


def test_gradient_against_finite_differences(
    network: DeepNetwork, X: np.ndarray, rng: np.random.Generator
) -> None:
    weight = rng.normal(size=5)
    forward = network.forward(X)
    gradients = network.backward(forward, weight)
    assert [g.shape for g in gradients] == [p.shape for p in network.parameters]
    for k in range(len(gradients)):
        directions = [np.zeros_like(p) for p in network.parameters]
        directions[k] = rng.normal(size=directions[k].shape)
        expected = directional(network, X, directions) @ weight
        # Rounding of the difference: eps f / h, a few 1e-11 of the size of f.
        assert abs((gradients[k] * directions[k]).sum() - expected) <= 2e-9 * (1 + abs(expected))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "sparse"])
def test_backpropagated_derivatives(name: str, X: np.ndarray, rng: np.random.Generator) -> None:
    """df/du^(h) . V = df along a change of W^(h) that moves u^(h) by V, checked on the last example alone."""
    network = NETWORKS[name](seed=3)
    forward = network.forward(X)
    deltas = network.backpropagate(forward)
    assert [d.shape for d in deltas] == [u.shape for u in forward.preactivations]
    for h, delta in enumerate(deltas):
        directions = [np.zeros_like(p) for p in network.parameters]
        directions[h] = rng.normal(size=directions[h].shape)
        if isinstance(network, DeepReLUNetwork):
            moved = forward.features[h] @ directions[h]
        elif isinstance(network, ConvResidualNetwork):
            step = [p + d for p, d in zip(network.parameters, directions, strict=True)]
            moved = network.with_parameters(step).forward(X).preactivations[h] - forward.preactivations[h]
        else:
            moved = forward.features[h] @ directions[h].T
        expected = directional(network, X, directions)
        np.testing.assert_allclose((delta * moved).reshape(5, -1).sum(axis=1), expected, rtol=2e-8, atol=2e-8)


def jacobians(network: DeepNetwork, X: np.ndarray) -> list[np.ndarray]:
    """Explicit Jacobian of every parameter, one example at a time."""
    rows = [network.backward(network.forward(x[None]), [1.0]) for x in X]
    return [np.stack([row[k].ravel() for row in rows]) for k in range(len(network.parameters))]


def test_gram_is_that_of_the_jacobian(network: DeepNetwork, X: np.ndarray, rng: np.random.Generator) -> None:
    X2 = rng.normal(size=(3, 6))
    J, J2 = jacobians(network, X), jacobians(network, X2)
    grams, rectangular = network.layer_grams(X), network.layer_grams(X, X2)
    assert len(grams) == len(network.parameters) == len(network.parameter_names)
    for k, (G, R) in enumerate(zip(grams, rectangular, strict=True)):
        # Sums of fewer than 10^4 products each: 1e-13 of the largest entry is a wide margin.
        np.testing.assert_allclose(G, J[k] @ J[k].T, rtol=0, atol=1e-13 * np.abs(G).max())
        np.testing.assert_allclose(R, J[k] @ J2[k].T, rtol=0, atol=1e-13 * np.abs(G).max())
    np.testing.assert_allclose(network.gram(X), sum(grams), rtol=1e-14)
    np.testing.assert_allclose(network.gram(X, X2), sum(rectangular), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("xp", [None, "torch"])
@pytest.mark.parametrize(
    ("image", "patch"), [((1,), (3,)), ((2,), (7,)), ((5,), (3,)), ((2, 3), (3, 5)), ((4, 1), (5, 3))]
)
def test_patches_and_their_adjoint(
    image: tuple[int, ...], patch: tuple[int, ...], xp: str | None, rng: np.random.Generator
) -> None:
    """<phi(x), z> = <x, phi^T(z)>, also for windows larger than the image."""
    if xp is not None:
        pytest.importorskip(xp)
    backend = get_backend(xp, "float64", None)
    patches = Patches(image, patch, backend)
    x = rng.normal(size=(2, patches.pixels, 3))
    z = rng.normal(size=(2 * patches.pixels, patches.size * 3))
    forward = backend.to_numpy(patches.gather(backend.asarray(x)))
    back = backend.to_numpy(patches.adjoint(backend.asarray(z)))
    assert (forward * z).sum() == pytest.approx((x * back).sum(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_grams_are_exactly_symmetric(name: str, X: np.ndarray) -> None:
    """Also in float32, where blocks of a product and their mirror images differ by rounding."""
    for G in NETWORKS[name](seed=3, dtype="float32").layer_grams(X):
        np.testing.assert_array_equal(G, G.T)


@pytest.mark.parametrize("activation", ["softplus", "gelu"])
def test_threads_of_elementwise_passes_change_nothing(
    activation: str, monkeypatch: pytest.MonkeyPatch, X: np.ndarray
) -> None:
    monkeypatch.setattr(backend_module, "_BLOCK", 32)
    network = FullyConnectedNetwork(16, X.shape[1], 2, activation, seed=3)
    results = []
    for threads in (1, 2, 3, 8):
        with elementwise_threads(threads):
            results.append(np.array(network.layer_grams(X)))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_an_activation_that_raises_or_warns_does_so_on_every_thread(
    monkeypatch: pytest.MonkeyPatch, X: np.ndarray
) -> None:
    monkeypatch.setattr(backend_module, "_BLOCK", 16)

    def broken(x: np.ndarray) -> np.ndarray:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("no such value")
        return x

    network = FullyConnectedNetwork(16, X.shape[1], 1, custom(broken, np.ones_like))
    with elementwise_threads(2), pytest.raises(RuntimeError, match="no such value"):
        network.predict(X)
    growing = FullyConnectedNetwork(16, X.shape[1], 1, "exp")
    huge = 1e4 * X
    with elementwise_threads(4), np.errstate(over="ignore", invalid="ignore"):
        growing.predict(huge)
    with elementwise_threads(4), np.errstate(over="raise"), pytest.raises(FloatingPointError):
        growing.predict(huge)


def test_gram_in_tiles(monkeypatch: pytest.MonkeyPatch, X: np.ndarray) -> None:
    """Tiles of examples change nothing."""
    from lazygram.networks import layered, sparse

    for name in ("conv", "sparse"):
        network = NETWORKS[name](seed=3)
        whole = network.layer_grams(X)
        monkeypatch.setattr(layered, "_TILE", 60)
        monkeypatch.setattr(sparse, "_BLOCK", 100)
        for G, T in zip(whole, network.layer_grams(X), strict=True):
            np.testing.assert_allclose(T, G, rtol=0, atol=1e-14 * np.abs(G).max())
        monkeypatch.undo()


def test_one_step_moves_predictions_by_the_gram(
    network: DeepNetwork, X: np.ndarray, rng: np.random.Generator
) -> None:
    """u(k+1) - u(k) = -eta sum_h G^(h) (u - y) + O(eta^2)."""
    y = rng.normal(size=5)
    forward = network.forward(X)
    e = forward.outputs - y
    gradients = network.backward(forward, e)
    G = network.gram(X)
    gaps = []
    for eta in (1e-4, 1e-5):
        after = network.with_parameters(
            [p - eta * g for p, g in zip(network.parameters, gradients, strict=True)]
        )
        gaps.append(np.linalg.norm(after.predict(X) - forward.outputs + eta * G @ e))
    assert gaps[0] / np.linalg.norm(1e-4 * G @ e) < 0.1
    assert 80 < gaps[0] / gaps[1] < 125  # order 2


def test_patterns_are_the_signs(network: DeepNetwork, X: np.ndarray) -> None:
    forward = network.forward(X)
    patterns = network.patterns(X)
    hidden = forward.preactivations[: len(patterns)]
    assert len(patterns) == network.depth - isinstance(network, SparseNetwork)
    for bits, u in zip(patterns, hidden, strict=True):
        assert bits.dtype == bool
        np.testing.assert_array_equal(bits, u > 0)


@pytest.mark.parametrize("make", [
    lambda: FullyConnectedNetwork(20, 6, 3, "relu", seed=4),
    lambda: FullyConnectedNetwork(20, 6, 3, "leaky_relu", seed=4),
    lambda: DeepReLUNetwork([14, 10, 20], 6, seed=4),
])  # fmt: skip
def test_homogeneous_layers_are_balanced(make: Any, X: np.ndarray) -> None:
    """<W^(h), dL/dW^(h)> is the same for all trained layers, at every parameter value (thesis, ch. 4)."""
    network = make()
    weight = np.sin(np.arange(5.0))
    gradients = network.backward(network.forward(X), weight)
    flows = [float((W * g).sum()) for W, g in zip(network.parameters, gradients, strict=True)]
    assert max(flows) - min(flows) <= 1e-13 * max(1.0, np.abs(flows).max())
    np.testing.assert_allclose(flows[0], network.predict(X) @ weight, rtol=1e-12)  # Euler: f is homogeneous


def test_deep_relu_is_inactive_at_zero() -> None:
    network = DeepReLUNetwork.from_parameters([np.array([[0.0, 1.0]])])
    assert not network.patterns([[1.0]])[0][0, 0]
    np.testing.assert_array_equal(network.backward(network.forward([[1.0]]), [1.0])[0], [[0.0, -1.0]])
    shallow = FullyConnectedNetwork.from_parameters([np.zeros((1, 1)), np.ones(1)], "relu")
    assert shallow.patterns([[1.0]])[0][0, 0]


def test_weights_come_from_the_seed() -> None:
    network = FullyConnectedNetwork(50, 7, 3, seed=5)
    np.testing.assert_array_equal(network.parameters[0], TwoLayerReLU(50, 7, seed=5).weights())
    deeper = FullyConnectedNetwork(50, 7, 4, seed=5)
    for h in range(3):
        np.testing.assert_array_equal(network.parameters[h], deeper.parameters[h])
    single = FullyConnectedNetwork(50, 7, 3, seed=5, dtype="float32")
    for ours, theirs in zip(single.parameters, network.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float32))
    other = FullyConnectedNetwork(50, 7, 3, seed=6)
    assert not np.isin(other.parameters[1], network.parameters[1]).any()
    values = np.concatenate([p.ravel() for p in network.parameters])
    assert np.unique(values).size == values.size  # no layer repeats another
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / values.size)


def test_initialisation_of_zou() -> None:
    network = DeepReLUNetwork([400, 100, 200], 30, seed=2)
    for W, m in zip(network.parameters, network.widths, strict=True):
        assert abs(W.var() * m / 2 - 1) < 4 * np.sqrt(2 / W.size)


def test_from_parameters_and_with_parameters(network: DeepNetwork, X: np.ndarray) -> None:
    options: dict[str, Any] = {}
    if isinstance(network, SparseNetwork):
        options = {"maps": network.maps, "activations": network.activations}
    elif not isinstance(network, DeepReLUNetwork):
        options["activation"] = network.activation
        if isinstance(network, (ResidualNetwork, ConvResidualNetwork)):
            options["c_res"] = network.c_res
        if isinstance(network, ConvResidualNetwork):
            options |= {"image": network.image, "patch": network.patch}
    again = type(network).from_parameters(network.parameters, **options)
    assert again.seed is None
    assert repr(again) == repr(network).replace("seed=3", "from_parameters")
    np.testing.assert_array_equal(again.predict(X), network.predict(X))
    doubled = network.with_parameters([2 * p for p in network.parameters])
    np.testing.assert_array_equal(doubled.parameters[0], 2 * network.parameters[0])
    assert network.parameter_count == sum(p.size for p in network.parameters)


def test_float32_stays_float32(network: DeepNetwork, X: np.ndarray) -> None:
    single = network.with_parameters([p.astype(np.float32) for p in network.parameters])
    forward = single.forward(X)
    arrays = [forward.outputs, *forward.features, *forward.preactivations]
    arrays += [*single.backward(forward, np.ones(5)), *single.layer_grams(X), single.gram(X)]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    exact = network.gram(X)
    # A few thousand terms of float32, of either sign: errors of 1e-5 of the largest entry.
    np.testing.assert_allclose(single.gram(X), exact, rtol=0, atol=2e-5 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FullyConnectedNetwork(0, 3), "width: must be positive"),
        (lambda: FullyConnectedNetwork(3, 3, 0), "depth: must be positive"),
        (lambda: FullyConnectedNetwork(3, 3, dtype="float16"), "dtype: float32 or float64"),
        (lambda: FullyConnectedNetwork(3, 3, activation="nonsense"), "activation: unknown name"),
        (lambda: FullyConnectedNetwork(3, 3, device="cuda"), "device: NumPy arrays live on the cpu"),
        (lambda: ResidualNetwork(3, 3, c_res=0.0), "c_res: must be positive"),
        (lambda: ConvResidualNetwork(3, 1, 4, patch=2), "patch: odd sizes"),
        (lambda: ConvResidualNetwork(3, 1, (4, 4, 4)), "image: one or two axes"),
        (lambda: ConvResidualNetwork(3, 1, (4, 4), patch=(3, 3, 3)), "patch: 2 sizes"),
        (lambda: DeepReLUNetwork(5, 3, 2), "width: the last one must be even"),
        (lambda: DeepReLUNetwork(4, 3), "depth: is needed"),
        (lambda: DeepReLUNetwork([4, 4], 3, 3), "depth: 2 widths are given"),
        (lambda: FullyConnectedNetwork(3, 3).with_parameters([]), "parameters: 3 arrays"),
        (
            lambda: FullyConnectedNetwork(3, 2, 1).with_parameters([np.ones((3, 3)), np.ones(3)]),
            r"parameters: W1 has shape \(3, 3\)",
        ),
        (
            lambda: FullyConnectedNetwork.from_parameters([np.full((3, 3), np.nan), np.ones(3)]),
            "parameters: W1 has entries that are not finite",
        ),
        (lambda: FullyConnectedNetwork(3, 2).predict(np.ones((2, 3))), "X: 2 columns"),
        (lambda: FullyConnectedNetwork(3, 2).predict([[np.inf, 0]]), r"X: entry \(0, 0\) is inf"),
        (
            lambda: FullyConnectedNetwork(3, 2).backward(
                FullyConnectedNetwork(3, 2).forward(np.ones((2, 2))), np.ones(3)
            ),
            r"dloss_du: shape \(2,\)",
        ),
        (lambda: FullyConnectedNetwork(3, 2, activation="step").gram(np.ones((2, 2))), "step has no deriv"),
        (lambda: SparseNetwork([]), "maps: at least one"),
        (lambda: SparseNetwork([[[2]]]), "maps: layer 1 must use every weight"),
        (lambda: SparseNetwork([[[1, -1]]]), "maps: layer 1 has negative"),
        (lambda: SparseNetwork([np.eye(2)]), "maps: layer 1 must be a matrix of integers"),
        (lambda: SparseNetwork([dense_map(2, 3), dense_map(1, 3)]), "maps: layer 2 has 3 columns"),
        (lambda: SparseNetwork([dense_map(2, 3)], ["relu"]), "activations: 0 are needed"),
        (lambda: SparseNetwork([dense_map(2, 3)]).gram(np.ones((2, 3))), "maps: the last layer"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_forward_pass_of_other_layers_is_refused(X: np.ndarray) -> None:
    for name in ("fc", "sparse"):
        network = NETWORKS[name](seed=3)
        other = FullyConnectedNetwork(9, X.shape[1], 3).forward(X)
        with pytest.raises(ValueError, match=r"forward: layers of .* neurons are needed, got"):
            network.backward(other, np.ones(len(X)))
        with pytest.raises(ValueError, match="forward: layers of"):
            network.backpropagate(other)


def test_libraries_and_devices_that_are_not_there() -> None:
    with pytest.raises(ModuleNotFoundError, match="xp: the array library 'numpyy' cannot be imported"):
        FullyConnectedNetwork(3, 2, xp="numpyy")
    pytest.importorskip("array_api_compat")
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="device: torch refuses 'nowhere'"):
        FullyConnectedNetwork(3, 2, xp="torch", device="nowhere")


def test_custom_activation(X: np.ndarray) -> None:
    from lazygram.activations import custom

    ours = FullyConnectedNetwork(20, 6, 2, custom(np.tanh, lambda x: 1 / np.cosh(x) ** 2), seed=1)
    known = FullyConnectedNetwork(20, 6, 2, "tanh", seed=1)
    np.testing.assert_allclose(ours.predict(X), known.predict(X), rtol=1e-12)
    np.testing.assert_allclose(ours.gram(X), known.gram(X), rtol=1e-12)
    bare = FullyConnectedNetwork(20, 6, 2, custom(np.tanh), seed=1)
    np.testing.assert_allclose(bare.predict(X), known.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="custom has no derivative"):
        bare.gram(X)
