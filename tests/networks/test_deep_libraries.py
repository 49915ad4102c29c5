"""The same networks on NumPy, PyTorch and the strict array API; gradients and Grams against autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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

pytest.importorskip("array_api_compat")

NETWORKS = {
    "fc": lambda **kw: FullyConnectedNetwork(24, 6, 3, **kw),
    "residual": lambda **kw: ResidualNetwork(24, 6, 3, "tanh", **kw),
    "conv": lambda **kw: ConvResidualNetwork(12, 1, (2, 3), 3, **kw),
    "relu": lambda **kw: DeepReLUNetwork([14, 10, 20], 6, **kw),
    "sparse": lambda **kw: SparseNetwork([convolution_map(2, 3, 3), dense_map(1, 9)], **kw),
}


def host(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


@pytest.fixture
def X(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 6))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_library_gives_the_same(name: str, library: str, dtype: str, X: np.ndarray) -> None:
    pytest.importorskip(library)
    ours, theirs = NETWORKS[name](seed=4, dtype=dtype), NETWORKS[name](seed=4, dtype=dtype, xp=library)
    assert library in repr(theirs)
    for a, b in zip(ours.parameters, theirs.parameters, strict=True):
        np.testing.assert_array_equal(a, host(b))
    x = theirs.xp.asarray(X, dtype=getattr(theirs.xp, dtype))
    one, two = ours.forward(X), theirs.forward(x)
    weight = np.linspace(-1, 1, 5)
    pairs = [(one.outputs, two.outputs), *zip(one.features, two.features, strict=True)]
    pairs += zip(ours.backward(one, weight), theirs.backward(two, weight), strict=True)
    pairs += zip(ours.layer_grams(X), theirs.layer_grams(x), strict=True)
    pairs += zip(ours.layer_grams(X, X[:2]), theirs.layer_grams(x, x[:2, ...]), strict=True)
    pairs += zip(ours.patterns(X), theirs.patterns(x), strict=True)
    for a, b in pairs:
        assert type(b) is type(x)
        assert b.device == x.device
        if a.dtype != bool:
            assert b.dtype == x.dtype
        tolerance = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(host(b), a, rtol=0, atol=tolerance * max(1, np.abs(a).max()))


def test_input_may_be_of_another_library(X: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    network = FullyConnectedNetwork(8, 6, 2, seed=1)
    np.testing.assert_array_equal(network.predict(torch.from_numpy(X)), network.predict(X))
    on_torch = FullyConnectedNetwork(8, 6, 2, seed=1, xp=torch)
    assert on_torch.xp.__name__ == "array_api_compat.torch"
    np.testing.assert_array_equal(host(on_torch.predict(X)), host(on_torch.predict(torch.from_numpy(X))))
    single = FullyConnectedNetwork(8, 6, 2, seed=1, xp="torch", dtype="float32")
    assert single.predict(torch.from_numpy(X)).dtype == torch.float32
    for bad, message in (
        (torch.full((2, 6), torch.nan), "X: all entries must be finite"),
        (torch.ones(2, 5), "X: 6 columns"),
        (torch.ones(6), "X: a 2-D array"),
        (torch.ones(0, 6), "X: is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            on_torch.predict(bad)
    with pytest.raises(TypeError, match="X: real numbers"):
        on_torch.predict(torch.ones(2, 6, dtype=torch.complex64))
    with pytest.raises(ValueError, match="parameters: arrays of one library"):
        network.with_parameters([torch.ones(8, 6), np.ones((8, 8)), np.ones(8)])
    with pytest.raises(ValueError, match="all of one dtype"):
        network.with_parameters([torch.ones(8, 6), torch.ones(8, 8).double(), torch.ones(8)])
    moved = network.with_parameters([torch.from_numpy(p) for p in network.parameters])
    np.testing.assert_allclose(host(moved.predict(X)), network.predict(X), rtol=1e-12)


def test_custom_callable_must_keep_the_library(X: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    from lazygram.activations import custom

    network = FullyConnectedNetwork(
        8, 6, 2, custom(np.tanh, lambda x: 1 - np.tanh(x) ** 2), seed=1, xp="torch"
    ).with_parameters(FullyConnectedNetwork(8, 6, 2, seed=1, xp="torch").parameters)
    strings = custom(lambda x: np.asarray(np.tanh(np.asarray(x))))
    with pytest.raises(TypeError, match="activation: phi of custom must map an array of torch"):
        FullyConnectedNetwork(8, 6, 2, strings, seed=1, xp="torch").predict(torch.from_numpy(X))
    assert isinstance(network.parameters[0], torch.Tensor)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_grams_against_autograd(name: str, X: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    plain = NETWORKS[name](seed=4, xp="torch")
    network: DeepNetwork = plain.with_parameters([p.clone().requires_grad_() for p in plain.parameters])
    weight = torch.linspace(-1, 1, 5, dtype=torch.float64)
    loss = network.forward(X).outputs @ weight
    expected = torch.autograd.grad(loss, network.parameters)
    forward = plain.forward(X)
    for ours, theirs in zip(plain.backward(forward, weight), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    rows = [torch.autograd.grad(network.predict(x[None])[0], network.parameters) for x in X]
    for k, gram in enumerate(plain.layer_grams(X)):
        J = torch.stack([row[k].ravel() for row in rows])
        torch.testing.assert_close(gram, J @ J.T, rtol=0, atol=1e-12 * float(gram.abs().max()))


def test_smooth_activations_against_autograd(X: np.ndarray) -> None:
    """phi' as written against the derivative of phi as written."""
    torch = pytest.importorskip("torch")
    from lazygram.activations import registry
    from lazygram.networks.backend import get_backend
    from lazygram.networks.elementwise import elementwise

    backend = get_backend("torch", "float64", None)
    for name, make in registry.items():
        pair = elementwise(make(), backend)
        if pair._dphi is None:
            continue
        x = torch.linspace(-2.9, 2.9, 30, dtype=torch.float64, requires_grad=True)
        (expected,) = torch.autograd.grad(pair.phi(x).sum(), x)
        torch.testing.assert_close(pair.dphi(x).detach(), expected, rtol=1e-12, atol=1e-13, msg=name)


def test_without_array_api_compat(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy needs it not; other libraries are told what is missing."""
    import sys

    torch = pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "array_api_compat", None)
    FullyConnectedNetwork(3, 2, 1).gram(np.ones((2, 2)))
    with pytest.raises(ModuleNotFoundError, match=r"lazygram\[arrays\]"):
        FullyConnectedNetwork(3, 2, 1, xp=torch)
