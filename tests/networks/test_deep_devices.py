"""Deep networks on arrays that NumPy cannot read: other devices of the strict API, stand-ins, meta."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from device_arrays import DeviceArray, on_device
from device_arrays import xp as fake_cupy

import lazygram
from lazygram.activations import registry
from lazygram.analysis.deep_runs import network_quantities, run_report
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
from lazygram.networks.backend import Backend
from lazygram.training import train_linearised

pytest.importorskip("array_api_compat")

# Wide enough in one layer for the operator norms that are found on the device.
NETWORKS: dict[str, Callable[..., DeepNetwork]] = {
    "fc": lambda **kw: FullyConnectedNetwork(100, 6, 2, **kw),
    "residual": lambda **kw: ResidualNetwork(24, 6, 3, "tanh", **kw),
    "conv": lambda **kw: ConvResidualNetwork(12, 1, (2, 3), 3, **kw),
    "relu": lambda **kw: DeepReLUNetwork([14, 10, 20], 6, **kw),
    "sparse": lambda **kw: SparseNetwork([convolution_map(2, 3, 3), dense_map(1, 9)], **kw),
}
PLACES = {
    "strict device1": ("device1", "float64"),
    "strict no_float64": ("no_float64", "float32"),
    "cupy": (None, "float64"),
    "cupy float32": (None, "float32"),
}


class Place:
    """A library, a device on it and a dtype."""

    def __init__(self, name: str) -> None:
        self.device, self.dtype = PLACES[name]
        if name.startswith("cupy"):
            self.xp: Any = fake_cupy
            return
        self.xp = pytest.importorskip("array_api_strict")
        # Without these no shape may depend on values: nothing is read back in between.
        self.xp.set_array_api_strict_flags(
            boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
        )
        self.device = self.xp.Device(self.device)

    def put(self, values: np.ndarray) -> Any:
        return self.xp.asarray(values, dtype=getattr(self.xp, self.dtype), device=self.device)

    def make(self, name: str) -> tuple[DeepNetwork, DeepNetwork]:
        """A network here and the same one of NumPy."""
        make = NETWORKS[name]
        return make(seed=4, dtype=self.dtype, xp=self.xp, device=self.device), make(seed=4, dtype=self.dtype)

    def stays(self, array: Any) -> None:
        assert not isinstance(array, np.ndarray)
        assert array.device == (self.device or "fake:0")

    def tolerance(self) -> float:
        return 1e-11 if self.dtype == "float64" else 2e-4


def host(array: Any) -> np.ndarray:
    if isinstance(array, DeviceArray):
        return array.get()
    strict = array.__array_namespace__()
    return np.asarray(array.to_device(strict.Device("CPU_DEVICE")))


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    special = types.ModuleType("cupyx.scipy.special")
    special.erf, special.erfc = on_device(scipy.special.erf), on_device(scipy.special.erfc)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)
    for name in ("cupyx", "cupyx.scipy"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    yield Place(request.param)
    if "array_api_strict" in sys.modules:
        sys.modules["array_api_strict"].reset_array_api_strict_flags()


@pytest.fixture
def X(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 6))


def test_arrays_cannot_be_read_by_accident(place: Place) -> None:
    """The stand-ins do what they are for."""
    array = place.put(np.ones((2, 2)))
    with pytest.raises((TypeError, RuntimeError)):
        np.asarray(array)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        array + np.ones((2, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_passes_and_grams_stay_on_the_device(place: Place, name: str, X: np.ndarray) -> None:
    there, here = place.make(name)
    x, weight = place.put(X), np.linspace(-1, 1, 5)
    one, two = there.forward(x), here.forward(X)
    pairs = [(one.outputs, two.outputs), *zip(one.features, two.features, strict=True)]
    pairs += zip(one.preactivations, two.preactivations, strict=True)
    pairs += zip(there.backpropagate(one), here.backpropagate(two), strict=True)
    for given in (weight, place.put(weight)):
        pairs += zip(there.backward(one, given), here.backward(two, weight), strict=True)
    pairs += zip(there.layer_grams(x), here.layer_grams(X), strict=True)
    pairs += zip(there.layer_grams(x, x[:2, :]), here.layer_grams(X, X[:2]), strict=True)
    pairs += zip(there.patterns(x), here.patterns(X), strict=True)
    pairs += [(there.gram(x), here.gram(X)), (there.predict(X), here.predict(X))]
    moved = there.with_parameters([0.5 * p for p in there.parameters])
    pairs += [(moved.predict(x), here.with_parameters([0.5 * p for p in here.parameters]).predict(X))]
    for ours, expected in pairs:
        place.stays(ours)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(host(ours), expected, rtol=0, atol=place.tolerance() * scale)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", ["gd", "sgd"])
def test_training_stays_on_the_device(
    place: Place, name: str, method: str, X: np.ndarray, tmp_path: Path
) -> None:
    there, here = place.make(name)
    y = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    options: dict[str, Any] = {"steps": 6, "step_size": lambda k: 0.01 / (1 + k), "record_every": 2}
    if method == "sgd":
        options |= {"method": "sgd", "batch_size": 2, "loss": "logistic", "reduction": "mean"}
    expected = lazygram.train(here, X, y, X_test=X, y_test=y, **options)
    x, labels = place.put(X), place.put(y)
    run = lazygram.train(there, x, labels, X_test=x, y_test=labels, **options)
    for p in run.network.parameters:
        place.stays(p)
    for quantity, values in expected.history.items():
        scale = max(1e-3, float(np.abs(values).max()))
        np.testing.assert_allclose(
            run.history[quantity], values, rtol=0, atol=20 * place.tolerance() * scale, err_msg=quantity
        )
    part = lazygram.train(there, x, labels, checkpoint=tmp_path / "c.npz", **(options | {"steps": 3}))
    assert part.summary["steps_done"] == 3
    rest = lazygram.train(there, x, labels, resume=tmp_path / "c.npz", **options)
    for p, q in zip(rest.network.parameters, run.network.parameters, strict=True):
        np.testing.assert_array_equal(host(p), host(q))


@pytest.mark.parametrize("name", ["fc", "residual", "conv", "relu"])
def test_theory_and_linearised_model_take_device_arrays(place: Place, name: str, X: np.ndarray) -> None:
    there, here = place.make(name)
    y = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    x, labels = place.put(X), place.put(y)
    loss = "logistic" if name == "relu" else "quadratic"
    run = lazygram.train(there, x, labels, 4, 1e-3, loss=loss)
    rows = run_report(there, x, labels, run.summary, run.history)
    plain = lazygram.train(here, X, y, 4, 1e-3, loss=loss)
    for row, expected in zip(rows, run_report(here, X, y, plain.summary, plain.history), strict=True):
        assert row.condition == expected.condition
        assert row.holds == expected.holds, row
    if name != "relu":
        found, wanted = network_quantities(there, x, labels), network_quantities(here, X, y)
        assert found.movement_bound == pytest.approx(wanted.movement_bound, rel=100 * place.tolerance())
    twin = train_linearised(
        there.gram(x),
        there.predict(x),
        labels,
        4,
        1e-3,
        loss=loss,
        gram_test=there.gram(x, x),
        f0_test=there.predict(x),
    )
    assert twin.distance(run.history["predictions"])[0] < 10 * place.tolerance()


def test_every_activation_on_the_device(place: Place, X: np.ndarray) -> None:
    for name, make in registry.items():
        if make().dphi is None or (name in ("erf", "gelu") and place.xp is not fake_cupy):
            continue
        network = FullyConnectedNetwork(8, 6, 2, name, dtype=place.dtype, xp=place.xp, device=place.device)
        plain = FullyConnectedNetwork(8, 6, 2, name, dtype=place.dtype)
        ours, expected = network.gram(place.put(X)), plain.gram(X)
        place.stays(ours)
        np.testing.assert_allclose(
            host(ours), expected, rtol=0, atol=20 * place.tolerance() * np.abs(expected).max(), err_msg=name
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_passes_without_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PyTorch's device "meta" arrays have a shape and nothing else: whoever reads a value fails."""
    torch = pytest.importorskip("torch")
    network = NETWORKS[name](xp="torch", device="meta")
    with pytest.raises((NotImplementedError, RuntimeError)):
        network.predict(torch.ones(5, 6))  # the check of the examples is the one place that reads
    monkeypatch.setattr(Backend, "matrix", lambda self, value, name, columns: self.asarray(value))
    x = torch.ones(5, 6)
    forward = network.forward(x)
    gradients = network.backward(forward, torch.ones(5, dtype=torch.float64, device="meta"))
    assert [tuple(g.shape) for g in gradients] == [tuple(p.shape) for p in network.parameters]
    arrays = [forward.outputs, *gradients, *network.backpropagate(forward), *network.patterns(x)]
    grams = [*network.layer_grams(x), *network.layer_grams(x, x[:2])]
    assert {tuple(G.shape) for G in grams} == {(5, 5), (5, 2)}
    assert {str(array.device) for array in arrays + grams} == {"meta"}


def test_a_device_without_double_precision_says_so() -> None:
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(ValueError, match=r"dtype: .*no_float64.* has no float64"):
        FullyConnectedNetwork(4, 3, 1, xp=strict, device=strict.Device("no_float64"))
