"""Hermite coefficients a_k(s) = E[phi(s Z) he_k(Z)] for many standard deviations at once.

he_k are the orthonormal (probabilists') Hermite polynomials. One quadrature grid in z serves all s, so the
coefficients of S standard deviations are one matrix product. The error estimate has two parts: the
difference between two interleaved trapezoid rules (quadrature), and Parseval's identity
E[phi(s Z)^2] = sum_k a_k(s)^2 (truncation).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.expectations.rules import line_rule, trapezoid_rule

__all__ = [
    "LONG_TERMS",
    "MAX_TERMS",
    "Coefficients",
    "coefficients",
    "hermite_polynomials",
    "long_coefficients",
    "series",
    "single_coefficient",
]

Function = Callable[[Any], Any]

MAX_TERMS = 2048
LONG_TERMS = 65536  # of series that are stored, 512 KiB for a standard deviation
_BLOCK = 32  # the core's SERIES_BLOCK
_EPS = float(np.finfo(np.float64).eps)


def hermite_polynomials(z: Float64, terms: int) -> Float64:
    """Orthonormal Hermite polynomials he_0 .. he_{terms-1} at z, shape (terms, len(z))."""
    result = np.empty((terms, z.size))
    result[0] = 1.0
    if terms > 1:
        result[1] = z
    for k in range(1, terms - 1):
        result[k + 1] = (z * result[k] - np.sqrt(k) * result[k - 1]) / np.sqrt(k + 1.0)
    return result


_made: OrderedDict[float, Float64] = OrderedDict()


def _weighted_polynomials(step: float, terms: int) -> Float64:
    """w_j he_k(z_j), shape (terms, nodes); the longest table made for each of the last two steps is kept."""
    have = _made.get(step)
    if have is None or have.shape[0] < terms:
        z, w = trapezoid_rule(step)
        have = _made[step] = hermite_polynomials(z, terms) * w
    _made.move_to_end(step)
    while len(_made) > 2:
        _made.popitem(last=False)
    return have[:terms]


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of S standard deviations, padded for the core.

    Attributes
    ----------
    values : ndarray (S, terms)
        a_k(s), orthonormal convention; terms is a multiple of the core's block.
    length : ndarray of int32 (S,)
        Terms that matter (multiple of the block); the rest is below rounding.
    error : ndarray (S,)
        Estimate of the largest absolute error of sum_k a_k(s)^2 rho^k over rho in [-1, 1].
    quadrature : ndarray (S,)
        The part of it that the one-dimensional rule has; large only if phi has kinks.
    """

    values: Float64
    length: npt.NDArray[np.int32]
    error: Float64
    quadrature: Float64

    @property
    def smooth(self) -> bool:
        """Whether the trapezoid rule, which needs an analytic phi, was exact to rounding."""
        scale = np.maximum(np.sum(self.values**2, axis=1), 1e-3)
        return bool(np.all(self.quadrature <= 1e-12 * scale))

    @property
    def converged(self) -> bool:
        """Whether every series is exact to rounding."""
        scale = np.maximum(np.sum(self.values**2, axis=1), 1e-3)
        return bool(np.all(self.error <= 1e-13 * scale))


def _lengths(values: Float64, scale: Float64) -> npt.NDArray[np.int32]:
    """Number of leading terms (whole blocks) after which |a_k| stays below rounding."""
    blocks = np.abs(values).reshape(values.shape[0], -1, _BLOCK).max(axis=2)
    matters = blocks > 0.5 * _EPS * np.sqrt(scale)[:, None]
    last = matters.shape[1] - np.argmax(matters[:, ::-1], axis=1)
    last = np.where(matters.any(axis=1), last, 1)
    return (last * _BLOCK).astype(np.int32)


def _step_for(scale: float) -> float:
    # Features of width 1 in u are of width 1/scale in z; a power of two keeps the cache small.
    return float(2.0 ** -max(6, int(np.ceil(np.log2(8.0 * max(scale, 1e-300))))))


def coefficients(
    phi: Function, scales: Float64, *, from_primitive: bool = False, max_terms: int = MAX_TERMS
) -> Coefficients:
    """Hermite coefficients of phi(s Z) for each s, with as many terms as convergence needs.

    Parameters
    ----------
    phi : callable
        Vectorised function on float64 arrays.
    scales : ndarray (S,)
        Standard deviations, >= 0.
    from_primitive : bool
        phi is a primitive of the function wanted: its coefficients follow by Gaussian integration by
        parts, a_k[phi'](s) = sqrt(k + 1) a_{k+1}[phi](s) / s.
    max_terms : int
        Where to stop when the series does not converge (the error estimate then says so).
    """
    step = _step_for(float(np.max(scales, initial=0.0)))
    z, w = trapezoid_rule(step)
    samples = np.asarray(phi(np.multiply.outer(scales, z)), dtype=np.float64)
    second = (samples * samples) @ w
    terms = 64
    while True:
        polynomials = _weighted_polynomials(step, terms + _BLOCK)
        values = _wanted(samples @ polynomials.T, scales, from_primitive)
        total = np.sum(values**2, axis=1)
        scale = np.maximum(total if from_primitive else second, 1e-300)
        tail = np.zeros_like(second) if from_primitive else np.abs(second - total)
        # Parseval's difference cannot see below rounding; the terms themselves can.
        last = np.sum(values[:, -_BLOCK:] ** 2, axis=1)
        if np.all((tail <= 16 * _EPS * scale) & (last <= 2 * _EPS * scale)) or terms >= max_terms:
            break
        terms = min(2 * terms, max_terms)
    # Beyond rounding the decay may be algebraic, for which the tail is a multiple of terms * (last term).
    ahead = last * np.where(last > 4 * _EPS * scale, 2.0 * terms / _BLOCK, 1.0)
    truncation = np.where(tail <= 64 * _EPS * scale, ahead, tail)
    # Every other node is the same rule with twice the step. Copied: BLAS takes no strides of two.
    half, nodes = (np.ascontiguousarray(a[:, (z.size // 2) % 2 :: 2]) for a in (samples, polynomials))
    coarse = _wanted(2.0 * half @ nodes.T, scales, from_primitive)
    quadrature = 2.0 * np.sqrt(np.sum((values - coarse) ** 2, axis=1) * scale)
    error = truncation + quadrature + 8 * _EPS * scale
    if from_primitive:
        # Rounding of the primitive's coefficients is amplified by sqrt(k) / s.
        factor = np.sqrt(np.arange(1.0, values.shape[1] + 1)) / np.maximum(scales, 1e-300)[:, None]
        error = error + _EPS * np.sqrt(second) * np.sum(np.abs(values) * factor, axis=1)
    values = np.ascontiguousarray(values[:, :terms])
    length = _lengths(values, scale)
    longest = int(length.max())
    return Coefficients(np.ascontiguousarray(values[:, :longest]), length, error, quadrature)


def _wanted(values: Float64, scales: Float64, from_primitive: bool) -> Float64:
    """The coefficients themselves, or those of the derivative."""
    if not from_primitive:
        return values
    factor = np.sqrt(np.arange(1.0, values.shape[1])) / np.maximum(scales, 1e-300)[:, None]
    result: Float64 = values[:, 1:] * factor
    return result


def long_coefficients(
    phi: Function, scales: Float64, *, max_terms: int = 131072, tolerance: float = 0.1
) -> tuple[Float64, Float64] | None:
    """Coefficients of smooth but steep functions: as many terms as needed, without storing polynomials.

    Stops where the squares of the last 256 sum to `tolerance` roundings of E[phi(s Z)^2].

    Returns
    -------
    values : ndarray (S, terms)
    error : ndarray (S,)
        As in :class:`Coefficients`. None instead of both if max_terms do not suffice.
    """
    z, w = trapezoid_rule(_step_for(float(np.max(scales))))
    samples = np.asarray(phi(np.multiply.outer(scales, z)), dtype=np.float64)
    second = (samples * samples) @ w
    weighted = np.ascontiguousarray((samples * w).T)
    scale = np.maximum(second, 1e-300)
    previous, current = np.zeros_like(z), np.ones_like(z)
    polynomials = np.empty((256, z.size))
    blocks: list[Float64] = []
    found = np.zeros_like(second)
    for begin in range(0, max_terms, 256):
        for i in range(256):
            polynomials[i] = current
            k = begin + i
            previous *= -np.sqrt(k)
            previous += z * current
            previous *= 1.0 / np.sqrt(k + 1.0)
            previous, current = current, previous
        block = polynomials @ weighted
        blocks.append(block)
        found += np.sum(block * block, axis=0)
        last = np.sum(block * block, axis=0)
        if np.all(last <= tolerance * _EPS * scale):
            error = np.abs(second - found) + last + 8 * _EPS * scale
            return np.ascontiguousarray(np.concatenate(blocks).T), error
    return None


def series(phi: Function, scales: Float64, *, from_primitive: bool = False) -> Coefficients:
    """:func:`coefficients`, or the long ones of steep smooth functions where those do not converge."""
    made = coefficients(phi, scales, from_primitive=from_primitive)
    if from_primitive or made.converged:
        return made
    longer = long_coefficients(phi, scales, max_terms=LONG_TERMS, tolerance=2.0)
    if longer is None:
        return made
    values, error = longer
    length = _lengths(values, np.sum(values * values, axis=1))
    values = np.ascontiguousarray(values[:, : int(length.max())])
    return Coefficients(values, length, error, np.zeros_like(error))


def single_coefficient(phi: Function, k: int, scale: float, features: Float64, widths: Float64) -> float:
    """a_k(scale) by a composite rule split at the features: also exact for kinked phi."""
    width = min(1.0, 4.0 / np.sqrt(k + 1.0))
    z, w = line_rule(features, widths, max_width=width)
    polynomial = hermite_polynomials(z, k + 1)[k]
    return float(np.sum(w * np.asarray(phi(scale * z), dtype=np.float64) * polynomial))
