"""Large standard deviations: table-made duals against a fine two-dimensional trapezoidal rule in NumPy.

The rule is the direct reference of the symmetric frame u = su (c x + s y), v = sv (c x - s y). Its error
falls like exp(-2 pi d / (h max(su, sv))), d the distance of phi's nearest complex singularity:
below 1e-14 here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lazygram import dual

PHI: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "silu": lambda x: 0.5 * x * (1.0 + np.tanh(0.5 * x)),
}
RHOS = np.array([-0.5, 0.3, 0.9])


def trapezoid(phi: Callable[[np.ndarray], np.ndarray], su: float, sv: float, rho: float, h: float) -> float:
    count = int(9.5 / h)
    x = np.arange(-count, count + 1) * h
    weights = np.exp(-0.5 * x * x)
    weights /= weights.sum()
    c, s = np.sqrt((1.0 + rho) / 2.0), np.sqrt((1.0 - rho) / 2.0)
    total = 0.0
    for i in range(0, len(x), 256):
        a, b = c * x[i : i + 256, None], s * x[None]
        total += float(weights[i : i + 256] @ (phi(su * (a + b)) * phi(sv * (a - b))) @ weights)
    return total


@pytest.mark.parametrize(
    ("name", "su", "sv", "h"),
    [
        ("tanh", 10.0, 10.0, 0.03),
        ("sigmoid", 10.0, 10.0, 0.03),
        ("softplus", 10.0, 10.0, 0.03),
        ("silu", 10.0, 10.0, 0.03),
        ("tanh", 30.0, 5.0, 0.009),
    ],
)
def test_steep_duals(name: str, su: float, sv: float, h: float) -> None:
    wanted = np.array([trapezoid(PHI[name], su, sv, rho, h) for rho in RHOS])
    value = dual(name, RHOS * su * sv, su**2, sv**2)
    assert np.all(np.abs(value - wanted) <= 1e-13 * np.maximum(np.abs(wanted), 1e-3))
