"""Checks of settings that many experiments share, and the exponent of a power law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_nonnegative_int, check_positive_int

__all__ = ["check_increasing", "check_seeds", "exponent"]


def check_increasing(values: Sequence[int], name: str) -> None:
    """Check that these are positive whole numbers, at least one, each above the one before.

    Raises
    ------
    ValueError, TypeError
        If they are not; the message begins with `name`.
    """
    _check(values, name)
    for value in values:
        check_positive_int(value, name)


def check_seeds(values: Sequence[int], name: str = "seeds") -> None:
    """Check that these are different seeds, at least one, in increasing order; 0 is one.

    Raises
    ------
    ValueError, TypeError
        If they are not; the message begins with `name`.
    """
    _check(values, name)
    for value in values:
        check_nonnegative_int(value, name)


def _check(values: Sequence[int], name: str) -> None:
    if not len(values):
        raise ValueError(f"{name}: at least one is needed")
    if sorted(set(values)) != list(values):
        raise ValueError(f"{name} must be increasing, got {', '.join(map(str, values))}")


def exponent(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Slope of ``log y`` against ``log x`` by least squares; NaN where it is not defined."""
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(across) < 2 or not ((across > 0).all() and (up > 0).all() and np.isfinite(up).all()):
        return float("nan")
    centred = np.log(across) - np.log(across).mean()
    return float(centred @ np.log(up) / (centred @ centred))
