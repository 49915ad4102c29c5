"""How far the clocks of event-driven descent will run, and the cost: a forecast by the frozen kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.training.events import check_event_network
from lazygram.training.losses import Loss

__all__ = ["Forecast", "choose_method", "dense_seconds", "event_seconds", "forecast"]

# Networks whose predictions stand in for the unknown u(0): as many neurons as give its distribution.
_SAMPLES = 4
_SAMPLE_WIDTH = 2048
# What the clocks may exceed the forecast by before another forward pass is needed: the random u(0), and more
# for few examples, whose clocks scatter more (both measured).
_MARGIN = (1.2, 1.5)
_FORECAST_STEPS = 400

# Seconds, measured with one thread of an AVX-512 core near 3 GHz; ratios matter, not sizes.
_FLOP = {4: 1 / 90e9, 8: 1 / 45e9}
_SWEEP = 0.3e-9  # one pass over one pre-activation in a dense step: ReLU, sign, mask
_NORMAL = 1.5e-9  # one weight made from the seed
_PASS_ENTRY = 0.3e-9  # one entry of K and C in the pass of a step
_EVALUATION = (60e-9, 0.1e-9)  # one due pair: fixed part, part per example


@dataclass(frozen=True)
class Forecast:
    """Clock readings at the end of a run, and the plan that follows."""

    reach: Float64
    """Per column (examples, then test points), margin included; inf where all pairs must be tracked."""
    tracked_pairs: float
    memory: float
    """Bytes at the peak."""


def forecast(
    network: TwoLayerReLU,
    X: Array,
    y: Float64,
    X_test: Array,
    loss: Loss,
    steps: int,
    step_size: float | None,
    *,
    rate: float = 1.0,
    threads: int | None = None,
) -> Forecast:
    """Forecast by descent with the kernel frozen at infinite width, from sampled initial predictions.

    The clocks of column j are sums of max(+-K_ij g_i, 0) over steps and examples, so with A = sum |g| and
    S = sum g over the steps they come to (|K| A +- K S)_j / 2: two vectors are enough.

    Parameters
    ----------
    network, X, y, X_test, loss, steps
        The run; X_test may have no rows.
    step_size : float or None
        None stands for "auto".
    rate : float
        Factor on the forecast for minibatches, whose residuals are scaled up.
    threads : int, optional
        Threads of the core.

    Returns
    -------
    Forecast
        An error costs time, never exactness.
    """
    x = X.astype(np.float64)
    H = gram_infinite(x, threads=threads)
    curvature = loss.curvature if np.isfinite(loss.curvature) else 1.0
    largest = 1.05 * _power_iteration(H)
    eta = step_size if step_size is not None else 1.0 / (curvature * largest)
    # Small steps are lumped together: the sums of a decaying residual hardly depend on the step.
    lump = max(1.0, min(0.5 / (curvature * largest * eta), steps / 20), steps / _FORECAST_STEPS)
    if eta * curvature * largest < 2.0:
        lump = min(lump, max(1.0, 1.0 / (curvature * largest * eta)))
    H32 = H.astype(np.float32)
    u = _sampled_predictions(network, X, threads)
    A, S = np.zeros_like(u), np.zeros_like(u)
    done, last = 0.0, np.inf
    for _ in range(_FORECAST_STEPS):
        if done >= steps:
            break
        part = min(lump, steps - done)
        with np.errstate(all="ignore"):
            rho = np.column_stack([loss.derivative(u[:, s], y) for s in range(u.shape[1])])
            g = part * eta * rho
            A += np.abs(g)
            S += g
            u = u - H32 @ g.astype(np.float32)
        done += part
        size = float(np.abs(g).sum())
        if not np.isfinite(size):
            A[:] = np.inf
            break
        ratio = size / last if last > 0 else 0.0
        last = size
        # What is left of a geometric decay.
        if ratio < 1.0 and size < 2e-3 * float(A.sum()) * (1.0 - ratio):
            break
    else:
        A *= max(1.0, steps / done) ** 0.5  # cut short: what follows is smaller, but not nothing
    columns = np.concatenate([x, X_test.astype(np.float64)]) if X_test.shape[0] else x
    K = columns @ x.T
    if np.all(np.isfinite(A)):
        both, net = np.abs(K) @ A, K @ S
        margin = _MARGIN[0] + _MARGIN[1] / np.sqrt(X.shape[0])
        reach = margin * rate * ((both + np.abs(net)) / 2).max(axis=1)
    else:
        reach = np.full(columns.shape[0], np.inf)
    reach = np.asarray(reach, np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", columns, columns))
    reach[reach > 8.0 * np.sqrt(network.width) * norms] = np.inf  # nearly all pairs anyway
    plan = _core.plan_events(
        network.width, X, X_test, network.seed is not None, reach, check_threads(threads)
    )
    return Forecast(reach, float(plan["tracked_pairs"]), float(plan["total"]))


def choose_method(
    network: TwoLayerReLU,
    X: Array,
    y: Float64,
    X_test: Array,
    loss: Loss,
    steps: int,
    step_size: float | None,
    *,
    layers: str,
    resumed: str | None,
    threads: int | None,
) -> tuple[str, Forecast | None, str]:
    """Method "gd" or "event" by estimated cost, with the forecast for the latter and the reason in words.

    `resumed` is the method of the checkpoint that is continued: a run does not change its method.
    """
    if resumed is not None:
        return resumed, None, f"{resumed}: the method of the checkpoint"
    try:
        check_event_network(network, layers)
    except ValueError as error:
        return "gd", None, f"gd: {error}"
    seen = forecast(network, X, y, X_test, loss, steps, step_size, threads=threads)
    n, m, d, size = X.shape[0], network.width, network.dim, network.dtype.itemsize
    dense = dense_seconds(m, n, d, steps, size)
    event = event_seconds(m, n, n + X_test.shape[0], d, steps, size, seen.tracked_pairs)
    method = "event" if event < dense else "gd"
    why = f"{method}: estimated thread-seconds are {dense:.3g} for gd and {event:.3g} for event"
    return method, seen if method == "event" else None, why


def dense_seconds(width: int, n: int, dim: int, steps: int, itemsize: int) -> float:
    """Thread-seconds of the dense loop: two products of 2 n d m operations a step and the sweeps between."""
    return steps * width * n * (4.0 * dim * _FLOP[itemsize] + 4.0 * _SWEEP)


def event_seconds(
    width: int, n: int, columns: int, dim: int, steps: int, itemsize: int, tracked_pairs: float
) -> float:
    """Thread-seconds of event-driven descent: one product, a pass per step, evaluations.

    A pair that is ever due is looked at about three times while the residual decays (measured).
    """
    setup = width * (columns * (2.0 * dim * _FLOP[itemsize] + 2.0 * _SWEEP) + dim * _NORMAL)
    fixed, per_example = _EVALUATION
    return setup + steps * columns * n * _PASS_ENTRY + 3.0 * tracked_pairs * (fixed + per_example * n)


def _sampled_predictions(network: TwoLayerReLU, X: Array, threads: int | None) -> Float64:
    """Predictions (n, _SAMPLES) of networks like the one to be trained, at its initialisation."""
    n = X.shape[0]
    if network.antisymmetric:
        return np.zeros((n, 1))
    if network.seed is None:
        # Given weights: random rows of them. Their sum scales like that of independent neurons.
        generator = np.random.default_rng(0)
        count = min(network.width, _SAMPLE_WIDTH)
        out = np.empty((n, 1 if count == network.width else _SAMPLES))
        for s in range(out.shape[1]):
            rows = np.sort(generator.choice(network.width, count, replace=False))
            part = TwoLayerReLU.from_weights(network.weights(rows), network.signs[rows])
            out[:, s] = part.predict(X, threads=threads)
        return out
    out = np.empty((n, _SAMPLES))
    width = min(network.width, _SAMPLE_WIDTH)
    for s in range(_SAMPLES):
        like = TwoLayerReLU(width, network.dim, s, dtype=network.dtype)
        out[:, s] = like.predict(X, threads=threads)
    return out


def _power_iteration(H: Float64) -> float:
    with single_threaded_blas():
        v = np.ones(H.shape[0])
        value = 0.0
        for _ in range(12):
            w = H @ v
            value = float(np.linalg.norm(w) / np.linalg.norm(v))
            if value == 0.0:
                return 1e-300
            v = w / np.linalg.norm(w)
    return value
