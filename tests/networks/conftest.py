"""References that share no code with the package: one example at a time; limits by quadrature."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lazygram.parallel import single_threaded_blas


def patch_matrix(x: np.ndarray, image: tuple[int, ...], patch: tuple[int, ...]) -> np.ndarray:
    """phi(x) of one image (channels, pixels): column l the patch around pixel l, channel-major rows."""
    channels, p = x.shape
    grid = x.reshape(channels, *image)
    offsets = list(itertools.product(*(range(-(q // 2), q // 2 + 1) for q in patch)))
    out = np.zeros((channels * len(offsets), p))
    for column, place in enumerate(np.ndindex(*image)):
        for c in range(channels):
            for s, offset in enumerate(offsets):
                other = tuple(a + b for a, b in zip(place, offset, strict=True))
                if all(0 <= a < size for a, size in zip(other, image, strict=True)):
                    out[c * len(offsets) + s, column] = grid[(c, *other)]
    return out


def reference_forward(
    kind: str, parameters: list[np.ndarray], x: np.ndarray, phi: Any, **options: Any
) -> Any:
    """One example through the formulas of the text: (f, [x^(0), ...], [u^(1), ...])."""
    if kind == "relu":
        xs, us = [x], []
        for W in parameters:
            us.append(W.T @ xs[-1])
            xs.append(np.maximum(us[-1], 0))
        m = len(xs[-1])
        return xs[-1][: m // 2].sum() - xs[-1][m // 2 :].sum(), xs, us
    *weights, a = parameters
    H, m = len(weights), len(a)
    c, c_res = options["c_sigma"], options.get("c_res", 0.0)
    xs, us = [x], []
    for h, W in enumerate(weights, start=1):
        z = patch_matrix(xs[-1], options["image"], options["patch"]) if kind == "conv" else xs[-1]
        us.append(W @ z)
        if kind == "fc" or h == 1:
            xs.append(np.sqrt(c / m) * phi(us[-1]))
        else:
            xs.append(xs[-1] + c_res / (H * np.sqrt(m)) * phi(us[-1]))
    return (a * xs[-1]).sum(), xs, us


def patch_operator(channels: int, image: tuple[int, ...], patch: tuple[int, ...]) -> np.ndarray:
    """phi as a matrix on flattened images: its transpose is the adjoint."""
    p = int(np.prod(image))
    basis = np.eye(channels * p).reshape(-1, channels, p)
    return np.stack([patch_matrix(e, image, patch).ravel() for e in basis], axis=1)


def reference_gradient(
    kind: str, parameters: list[np.ndarray], x: np.ndarray, phi: Any, dphi: Any, **options: Any
) -> Any:
    """Output, pre-activations and gradient of the output in every parameter for one example."""
    f, xs, us = reference_forward(kind, parameters, x, phi, **options)
    if kind == "relu":
        m = len(xs[-1])
        g = np.concatenate([np.ones(m // 2), -np.ones(m - m // 2)])
        gradients = []
        for W, u, below in zip(parameters[::-1], us[::-1], xs[-2::-1], strict=True):
            delta = (u > 0) * g
            gradients.append(np.outer(below, delta))
            g = W @ delta
        return f, us, gradients[::-1]
    *weights, a = parameters
    H, m = len(weights), len(a)
    g, gradients = a, [xs[-1]]
    for h in range(H, 0, -1):
        residual = kind != "fc" and h > 1
        k = options["c_res"] / (H * np.sqrt(m)) if residual else np.sqrt(options["c_sigma"] / m)
        delta = k * dphi(us[h - 1]) * g
        back = weights[h - 1].T @ delta
        if kind == "conv":
            z = patch_matrix(xs[h - 1], options["image"], options["patch"])
            operator = patch_operator(xs[h - 1].shape[0], options["image"], options["patch"])
            gradients.append(delta @ z.T)
            back = (operator.T @ back.ravel()).reshape(xs[h - 1].shape)
        else:
            gradients.append(np.outer(delta, xs[h - 1]))
        g = back + g if residual else back
    return f, us, gradients[::-1]


# --- infinite width ---------------------------------------------------------------------------------


def expectation(phi: Callable[[Any], Any], p: float, q: float, r: float, psi: Any = None) -> float:
    """E[phi(u) psi(v)] for smooth functions, by the trapezoidal rule in the symmetric frame."""
    psi = phi if psi is None else psi
    t = np.arange(-9.5, 9.5001, 0.125)
    weight = np.exp(-(t**2) / 2)
    weight /= weight.sum()
    rho = np.clip(r / np.sqrt(p * q), -1, 1)
    c, s = np.sqrt((1 + rho) / 2), np.sqrt((1 - rho) / 2)
    X, Y = t[:, None], t[None, :]
    values = phi(np.sqrt(p) * (c * X + s * Y)) * psi(np.sqrt(q) * (c * X - s * Y))
    return float(weight @ values @ weight)


def limit_grams(
    kind: str, X: np.ndarray, H: int, phi: Any, dphi: Any, c_res: float = 0.5, neighbours: Any = None
) -> list[np.ndarray]:
    """lim G^(1), ..., G^(H+1) at initialisation; an example is (channels, pixels), often of one pixel."""
    one = np.ones((1, 1))
    c = 1 / expectation(phi, 1, 1, 1)
    n, p = len(X), X.shape[2]
    table = np.zeros((1, 1), int) if neighbours is None else neighbours
    S = np.einsum("icl,jcl->ijl", X, X)  # only equal pixels ever meet

    def aggregate(S: np.ndarray) -> np.ndarray:
        padded = np.concatenate([S, np.zeros((n, n, 1))], axis=2)
        return padded[:, :, table].sum(axis=3)

    def adjoint(T: np.ndarray) -> np.ndarray:
        out = np.zeros_like(T)
        for pixel, s in np.argwhere(table >= 0):
            out[:, :, table[pixel, s]] += T[:, :, pixel]
        return out

    def dual(P: np.ndarray, f: Any) -> np.ndarray:
        v = np.einsum("iil->il", P)
        out = np.empty_like(P)
        for i, j, k in np.ndindex(P.shape):
            out[i, j, k] = expectation(f, v[i, k], v[j, k], P[i, j, k])
        return out

    def mean(P: np.ndarray) -> np.ndarray:
        v = np.einsum("iil->il", P)
        return np.array([[expectation(phi, w, w, w, np.ones_like) for w in row] for row in v])

    P, D, t = [], [], []
    b = None
    for h in range(1, H + 1):
        P.append(aggregate(S))
        D.append(dual(P[-1], dphi))
        if kind == "fc" or h == 1:
            t.append(c)
            S, b = c * dual(P[-1], phi), np.sqrt(c) * mean(P[-1])
        else:
            step = c_res / H
            t.append(step**2)
            mu = mean(P[-1])
            cross = b[:, None] * mu[None] + mu[:, None] * b[None]
            S, b = S + step * cross + step**2 * dual(P[-1], phi), b + step * mu
    grams = [S.sum(axis=2)]
    B = np.ones((n, n, p)) * one
    for h in range(H, 0, -1):
        grams.append(t[h - 1] * (P[h - 1] * D[h - 1] * B).sum(axis=2))
        if h > 1:
            B = t[h - 1] * adjoint(D[h - 1] * B) + (0 if kind == "fc" else B)
    return grams[::-1]


@pytest.fixture(autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Products here are tiny: threads that wait for each other slow them a hundredfold on a busy machine."""
    with single_threaded_blas():
        yield


@pytest.fixture
def reference() -> SimpleNamespace:
    return SimpleNamespace(
        forward=reference_forward,
        gradient=reference_gradient,
        limit_grams=limit_grams,
        expectation=expectation,
    )
