"""Hermite coefficients a_k(s) = E[phi(s Z) he_k(Z)] for many standard deviations at once.

he_k are the orthonormal (probabilists') Hermite polynomials. One quadrature grid in z serves all s, so the
coefficients of S standard deviations are one matrix product. The error estimate has two parts: the
difference between two interleaved trapezoid rules (quadrature), and Parseval's identity
E[phi(s Z)^2] = sum_k a_k(s)^2 (truncation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.expectations.rules import line_rule, trapezoid_rule

__all__ = ["MAX_TERMS", "Coefficients", "coefficients", "hermite_polynomials"]

Function = Callable[[Any], Any]

MAX_TERMS = 2048
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


@lru_cache(maxsize=4)
def _weighted_polynomials(step: float, terms: int) -> Float64:
    z, w = trapezoid_rule(step)
    return hermite_polynomials(z, terms) * w


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
    """

    values: Float64
    length: npt.NDArray[np.int32]
    error: Float64

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
    scale = np.maximum(second, 1e-300)
    terms = 64
    while True:
        values = samples @ _weighted_polynomials(step, terms + _BLOCK).T
        tail = np.abs(second - np.sum(values**2, axis=1))
        # Parseval's difference cannot see below rounding; the terms themselves can.
        last = np.sum(values[:, -_BLOCK:] ** 2, axis=1)
        if np.all((tail <= 16 * _EPS * scale) & (last <= 2 * _EPS * scale)) or terms >= max_terms:
            break
        terms = min(2 * terms, max_terms)
    truncation = np.where(tail <= 64 * _EPS * scale, last, tail)
    # Every other node is the same rule with twice the step.
    start = (z.size // 2) % 2
    coarse = 2.0 * samples[:, start::2] @ _weighted_polynomials(step, terms + _BLOCK)[:, start::2].T
    quadrature = 2.0 * np.sqrt(np.sum((values - coarse) ** 2, axis=1) * scale)
    if from_primitive:
        positive = np.maximum(scales, 1e-300)[:, None]
        values = values[:, 1:] * np.sqrt(np.arange(1.0, values.shape[1])) / positive
        # Rounding of the primitive's coefficients is amplified by sqrt(k) / s.
        growth = np.sqrt(values.shape[1]) / positive[:, 0]
        noise = _EPS * np.sqrt(scale) * growth
        size = np.maximum(np.sqrt(np.sum(values**2, axis=1)), noise)
        error = np.sqrt(truncation) * growth * size + quadrature * growth**2 + noise * size
        scale = np.maximum(size * size, 1e-300)
    else:
        error = truncation + quadrature + 8 * _EPS * scale
    values = np.ascontiguousarray(values[:, :terms])
    length = _lengths(values, scale)
    longest = int(length.max())
    return Coefficients(np.ascontiguousarray(values[:, :longest]), length, error)


def single_coefficient(
    phi: Function, k: int, scale: float, features: Float64, widths: Float64
) -> float:
    """a_k(scale) by a composite rule split at the features: also exact for kinked phi."""
    width = min(1.0, 4.0 / np.sqrt(k + 1.0))
    z, w = line_rule(features, widths, max_width=width)
    polynomial = hermite_polynomials(z, k + 1)[k]
    return float(np.sum(w * np.asarray(phi(scale * z), dtype=np.float64) * polynomial))
