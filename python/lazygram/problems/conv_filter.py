"""One convolutional filter under any input law: model, gradients and their identities, SGD.

Model (Du, thesis 2019, chapter 6). An input is k patches Z_1..Z_k of R^p, here the rows of an array
(k, p);

    f(w, Z) = (1/k) sum_i relu(w . Z_i),   label f(w*, Z),   loss (1/2) E (f(w, Z) - label)^2.

All arrays of filters and inputs may carry leading axes, one entry per run. Laws to draw inputs from are
in :mod:`lazygram.problems.filter_inputs`, the constants and step sizes of the theorems in
:mod:`lazygram.problems.filter_theory`, patches of images in :mod:`lazygram.problems.image_patches`.
Descent on a gradient that is known exactly is :func:`lazygram.optimizers.gradient_descent`.

Where the thesis prints something else: in its proof of Theorem 6.2 the second term of the gradient
has the wrong sign and lacks ZZ'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lazygram.arrays import Float64, as_stack, check_positive_float, check_positive_int
from lazygram.problems.filter_inputs import FilterInputs, RegionMoments
from lazygram.problems.gaussian_cnn import angle_between

__all__ = [
    "cut_batches",
    "filter_angle",
    "gaussian_gradient",
    "gradient_from_moments",
    "population_gradient",
    "predict",
    "region_means",
    "sample_gradients",
    "sample_moments",
    "sgd_pass",
]


def predict(w: Any, Z: Any) -> Float64:
    """f(w, Z) of each input.

    Parameters
    ----------
    w : array_like, shape (..., p)
        Filters.
    Z : array_like, shape (..., n, k, p)
        Inputs; leading axes broadcast with those of `w`.

    Returns
    -------
    ndarray of float64, shape (..., n)
    """
    w = as_stack(w, "w", None)
    Z = as_stack(Z, "Z", None, None, w.shape[-1])
    return np.asarray(np.maximum(_products(Z, w), 0).mean(axis=-1))


def _products(Z: Float64, w: Float64) -> Float64:
    """W . Z_i of every patch, shape (..., n, k)."""
    *lead, n, k, p = Z.shape
    return np.asarray((Z.reshape(*lead, n * k, p) @ w[..., None])[..., 0].reshape(*w.shape[:-1], n, k))


def sample_gradients(w: Any, w_star: Any, Z: Any) -> Float64:
    """Gradient of the loss at each input: ``(f(w) - f(w*)) (1/k) sum_i Z_i 1{w . Z_i > 0}``.

    Parameters
    ----------
    w, w_star : array_like, shape (..., p)
        Filters.
    Z : array_like, shape (..., n, k, p)
        Inputs.

    Returns
    -------
    ndarray of float64, shape (..., n, p)
    """
    w = as_stack(w, "w", None)
    Z = as_stack(Z, "Z", None, None, w.shape[-1])
    hidden = _products(Z, w)
    error = np.maximum(hidden, 0).mean(axis=-1) - predict(w_star, Z)
    active = np.einsum("...nk,...nkp->...np", (hidden > 0).astype(np.float64), Z) / Z.shape[-2]
    return np.asarray(error[..., None] * active)


def region_means(w: Any, w_star: Any, Z: Any) -> tuple[Float64, Float64, Float64]:
    """Z++, Z+- and Z-+ of each input: mean patches over regions, signs of w first, of w* second.

    Z++ = (1/k) sum_i Z_i 1{w . Z_i >= 0, w* . Z_i >= 0}, and so on with < for a minus.

    Parameters
    ----------
    w, w_star : array_like, shape (p,)
        Filters.
    Z : array_like, shape (n, k, p)
        Inputs.

    Returns
    -------
    tuple of three ndarrays of float64, shape (n, p)
    """
    w = as_stack(w, "w", None)
    Z = as_stack(Z, "Z", None, None, w.shape[-1])
    own, teacher = _products(Z, w) >= 0, _products(Z, as_stack(w_star, "w_star", w.shape[-1])) >= 0
    regions = own & teacher, own & ~teacher, ~own & teacher
    means = [np.einsum("nk,nkp->np", region.astype(np.float64), Z) / Z.shape[1] for region in regions]
    return means[0], means[1], means[2]


def sample_moments(w: Any, w_star: Any, Z: Any) -> RegionMoments:
    """Second moments of the mean patches over a sample, in the coordinates of the inputs (p, p).

    For image data, whose law is not known; :class:`~lazygram.problems.filter_inputs.FilterInputs` have
    them exactly.
    """
    both, first, second = region_means(w, w_star, Z)
    n = len(both)
    return RegionMoments(
        both.T @ both / n, first.T @ first / n, both.T @ first / n, both.T @ second / n, first.T @ second / n
    )


def gradient_from_moments(w: Float64, w_star: Float64, moments: RegionMoments) -> Float64:
    """Gradient of the loss from second moments, an identity for every law and every sample.

    ``E[Z++ Z++'] (w - w*) + E[Z++ Z+-' + Z+- Z++' + Z+- Z+-'] w
    - E[Z++ Z-+' + Z+- Z++' + Z+- Z-+'] w*``; for k = 1 ``A_{w,w*} (w - w*) + A_{w,-w*} w``.

    Parameters
    ----------
    w, w_star : ndarray, shape (d,)
        Filters in the coordinates of the moments: those of the inputs, or the plane of w* and w.
    moments : RegionMoments
        As from :func:`sample_moments` or an input law.
    """
    m = moments
    along = (m.both_first + m.both_first.T + m.first) @ w
    against = (m.both_second + m.both_first.T + m.first_second) @ w_star
    return np.asarray(m.both @ (w - w_star) + along - against)


def filter_angle(w: Any, w_star: Any) -> Float64:
    """Phi: the angle in [0, pi] between filters, shape (..., p), none of them zero."""
    w = as_stack(w, "w", None)
    return angle_between(w, as_stack(w_star, "w_star", w.shape[-1]), "w")


def population_gradient(w: Any, inputs: FilterInputs, scale: float = 1.0) -> Float64:
    """Gradient of the population loss for a teacher ``w* = scale e_1``, by quadrature.

    Parameters
    ----------
    w : array_like, shape (p,)
        The filter, not zero.
    inputs : FilterInputs
        Law of the inputs.
    scale : float, default 1
        |w*|.

    Returns
    -------
    ndarray of float64, shape (p,)
    """
    w = as_stack(w, "w", inputs.dim)
    if w.ndim != 1:
        raise ValueError(f"w: a single filter is needed, got shape {w.shape}")
    across = float(np.linalg.norm(w[1:]))
    phi = float(np.arctan2(across, w[0]))
    plane = gradient_from_moments(np.array([w[0], across]), np.array([scale, 0.0]), inputs.moments(phi))
    # All vectors lie in the plane of e_1 and w, and so does the gradient.
    direction = w[1:] / across if across > 0 else np.eye(inputs.dim - 1)[0]
    return np.concatenate([plane[:1], plane[1] * direction])


def gaussian_gradient(w: Any, w_star: Any) -> Float64:
    """Population gradient for one patch Z ~ N(0, I), any p: closed form.

    ``w/2 - ((pi - phi) w* + |w*| sin(phi) w/|w|) / (2 pi)``.

    Parameters
    ----------
    w, w_star : array_like, shape (..., p)
        Filters; w not zero.
    """
    w = as_stack(w, "w", None)
    w_star = as_stack(w_star, "w_star", w.shape[-1])
    phi = angle_between(w, w_star, "w")[..., None]
    ratio = np.linalg.norm(w_star, axis=-1, keepdims=True) / np.linalg.norm(w, axis=-1, keepdims=True)
    return np.asarray(w / 2 - ((np.pi - phi) * w_star + ratio * np.sin(phi) * w) / (2 * np.pi))


def cut_batches(Z: Float64, batch_size: int) -> Iterator[Float64]:
    """Cut inputs of shape (..., n, k, p) into batches along n, in order; the last may be smaller."""
    batch_size = check_positive_int(batch_size, "batch_size")
    for start in range(0, Z.shape[-3], batch_size):
        yield Z[..., start : start + batch_size, :, :]


def sgd_pass(w: Any, w_star: Any, batches: Iterable[Float64], step_size: float) -> Float64:
    """Stochastic gradient descent over some minibatches, labels from the teacher, without noise.

    Parameters
    ----------
    w, w_star : array_like, shape (..., p)
        Filters and teachers; all runs of the leading axes go together.
    batches : iterable of ndarray, shape (..., b, k, p)
        Inputs of each step; the gradient is their mean.
    step_size : float
        eta.

    Returns
    -------
    ndarray of float64, shape (..., p)
        The filters after the last batch.
    """
    w = as_stack(w, "w", None)
    w_star = as_stack(w_star, "w_star", w.shape[-1])
    step_size = check_positive_float(step_size, "step_size")
    for Z in batches:
        hidden, teacher = _products(Z, w), _products(Z, w_star)
        error = np.maximum(hidden, 0).mean(axis=-1) - np.maximum(teacher, 0).mean(axis=-1)
        size, patches = hidden.shape[-2:]
        # One product over all patches of the batch: weight error / (b k) where active, else 0.
        weight = np.where(hidden > 0, error[..., None], 0.0) / (size * patches)
        flat = Z.reshape(*Z.shape[:-3], size * patches, Z.shape[-1])
        w = w - step_size * (weight.reshape(*w.shape[:-1], 1, size * patches) @ flat)[..., 0, :]
    return np.asarray(w)
