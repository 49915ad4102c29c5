"""Quadrature rules for expectations under N(0, 1), graded towards kinks and steep places."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lazygram.arrays import Float64

__all__ = ["gauss_panels", "graded_edges", "line_rule", "normal_density", "trapezoid_rule"]

# exp(-REACH^2 / 2) = 2.8e-43: what lies beyond is below rounding for every function of the registry.
REACH = 14.0


def normal_density(z: Float64) -> Float64:
    """Density of N(0, 1)."""
    density: Float64 = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return density


@lru_cache(maxsize=32)
def _legendre(nodes: int) -> tuple[Float64, Float64]:
    x, w = np.polynomial.legendre.leggauss(nodes)
    return x, w


def gauss_panels(edges: Float64, nodes: int) -> tuple[Float64, Float64]:
    """Gauss-Legendre nodes and weights on the panels between consecutive edges.

    Parameters
    ----------
    edges : ndarray, shape (..., m + 1)
        Increasing along the last axis; panels of length zero are allowed.
    nodes : int
        Nodes per panel.

    Returns
    -------
    z, w : ndarray, shape (..., m * nodes)
    """
    x, w = _legendre(nodes)
    centre = 0.5 * (edges[..., 1:] + edges[..., :-1])[..., None]
    half = 0.5 * np.diff(edges, axis=-1)[..., None]
    shape = (*edges.shape[:-1], -1)
    return (centre + half * x).reshape(shape), (half * w).reshape(shape)


def graded_edges(
    features: Float64, widths: Float64, *, reach: float = REACH, max_width: float = 1.0
) -> Float64:
    """Panel boundaries on [-reach, reach] that shrink geometrically (by 2) towards each feature.

    The panels next to feature i have about widths[i]; no panel is wider than max_width.
    """
    parts = [np.linspace(-reach, reach, int(np.ceil(2 * reach / max_width)) + 1)]
    for feature, width in zip(features, widths, strict=True):
        if abs(feature) >= reach:
            continue
        levels = max(0, int(np.ceil(np.log2(max_width / width))) + 1) if width < max_width else 1
        steps = width * 2.0 ** np.arange(levels)
        parts.append(np.concatenate([[feature], feature + steps, feature - steps]))
    edges = np.unique(np.clip(np.concatenate(parts), -reach, reach))
    # Boundaries that differ by rounding only would make panels without a meaning.
    keep = np.concatenate([[True], np.diff(edges) > 1e-14 * reach])
    result: Float64 = edges[keep]
    return result


def line_rule(
    features: Float64,
    widths: Float64,
    *,
    nodes: int = 20,
    reach: float = REACH,
    max_width: float = 1.0,
) -> tuple[Float64, Float64]:
    """Composite Gauss-Legendre rule for E[f(Z)], Z ~ N(0, 1): nodes and weights (density included).

    Exact to rounding for f that is analytic between the features with the stated widths as its
    length scale there (and 1, or the distance to the feature, elsewhere).
    """
    z, w = gauss_panels(graded_edges(features, widths, reach=reach, max_width=max_width), nodes)
    return z, w * normal_density(z)


@lru_cache(maxsize=16)
def trapezoid_rule(step: float, reach: float = REACH) -> tuple[Float64, Float64]:
    """Trapezoid rule for E[f(Z)]: converges exponentially in 1/step for f analytic in a strip."""
    count = int(np.ceil(reach / step))
    z: Float64 = step * np.arange(-count, count + 1, dtype=np.float64)
    return z, step * normal_density(z)
