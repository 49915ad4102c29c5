"""phi and phi' on arrays of any library against the registry, which works in float64 with SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram.activations import polynomial, registry
from lazygram.networks.backend import Backend, get_backend
from lazygram.networks.elementwise import elementwise

POINTS = np.concatenate([np.linspace(-6, 6, 241), [-700.0, -90.0, -40.0, 40.0, 90.0, 700.0, 1e-12, -1e-12]])
GROWING = ("exp", "monomial", "hermite", "rectified_monomial")  # overflow, or lose digits, far out
WITHOUT_ARRAY_API = ("erf", "gelu")
# The registry writes these as cosines with a phase, which is rounded.
WAVES = {"sin": (np.sin, np.cos), "cos": (np.cos, lambda x: -np.sin(x))}


def points(name: str) -> np.ndarray:
    return POINTS[np.abs(POINTS) <= 6] if name in GROWING else POINTS


def backend(library: str, dtype: str = "float64") -> Backend:
    if library != "numpy":
        pytest.importorskip("array_api_compat")
        pytest.importorskip(library)
    return get_backend(library, dtype, None)


@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("name", registry)
def test_agrees_with_the_registry(name: str, library: str) -> None:
    b, activation = backend(library), registry[name]()
    x = points(name)
    if library == "array_api_strict" and name in WITHOUT_ARRAY_API:
        with pytest.raises(NotImplementedError, match="not part of the array API"):
            elementwise(activation, b)
        return
    ours = elementwise(activation, b)
    phi, dphi = WAVES.get(name, (activation.phi, activation.dphi))
    # Both sides are accurate to a few units in the last place.
    np.testing.assert_allclose(b.to_numpy(ours.phi(b.asarray(x))), phi(x), rtol=4e-14, atol=1e-300)
    if activation.dphi is None:
        with pytest.raises(ValueError, match=f"{name} has no derivative"):
            _ = ours.dphi
        return
    np.testing.assert_allclose(b.to_numpy(ours.dphi(b.asarray(x))), dphi(x), rtol=4e-14, atol=1e-15)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("name", registry)
def test_float32_stays_float32(name: str, library: str) -> None:
    b, activation = backend(library, "float32"), registry[name]()
    x = b.asarray(np.linspace(-3, 3, 31))
    ours = elementwise(activation, b)
    exact = b.to_numpy(x).astype(np.float64)
    for function, expected in ((ours.phi, activation.phi), (ours._dphi, activation.dphi)):
        if function is None:
            continue
        value = function(x)
        assert value.dtype == b.native_dtype
        np.testing.assert_allclose(b.to_numpy(value), expected(exact), rtol=5e-5, atol=5e-6)


def test_polynomials_with_coefficients() -> None:
    b = get_backend(None, "float64", None)
    ours = elementwise(polynomial([1.0, 0.0, -2.0, 0.5]), b)
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(ours.phi(x), 1 - 2 * x**2 + 0.5 * x**3, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(ours.dphi(x), -4 * x + 1.5 * x**2, rtol=1e-14, atol=1e-14)
    constant = elementwise(polynomial([3.0]), b)
    np.testing.assert_array_equal(constant.phi(x), np.full(9, 3.0))
    np.testing.assert_array_equal(constant.dphi(x), np.zeros(9))
