"""Norms of weight changes against LAPACK's singular values."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram.networks.backend import get_backend
from lazygram.training.movement import frobenius_norm, largest_singular_value


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(
    "make",
    [
        lambda r: r.normal(size=(150, 150)),
        lambda r: r.normal(size=(150, 310)),
        lambda r: r.normal(size=(310, 150)),
        lambda r: r.normal(size=(200, 3)) @ r.normal(size=(3, 180)),
        lambda r: np.diag(np.r_[2.0, 2.0 - 1e-7, np.ones(198)]),
        lambda r: np.zeros((120, 120)),
        lambda r: np.eye(200),
        lambda r: r.normal(size=(40, 300)),
        lambda r: r.normal(size=70),
    ],
)
def test_operator_norm(make: object, library: str, rng: np.random.Generator) -> None:
    if library != "numpy":
        pytest.importorskip("array_api_compat")
        pytest.importorskip(library)
    matrix = make(rng)  # type: ignore[operator]
    exact = np.linalg.norm(matrix, 2)
    for dtype, tolerance in (("float64", 1e-8), ("float32", 3e-5)):
        b = get_backend(library, dtype, None)
        found = largest_singular_value(b, b.asarray(matrix))
        assert abs(found - exact) <= tolerance * exact
        assert abs(frobenius_norm(b, b.asarray(matrix)) - np.linalg.norm(matrix)) <= tolerance * exact


def test_not_finite() -> None:
    b = get_backend(None, "float64", None)
    for shape in ((5, 5), (200, 200)):
        assert np.isnan(largest_singular_value(b, np.full(shape, np.inf)))
