"""How far the clocks of event-driven descent will run, and the cost: a forecast by the frozen kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.training.events import check_event_layers
from lazygram.training.losses import Loss

__all__ = ["Forecast", "choose_method", "dense_seconds", "event_seconds", "forecast"]

# Networks whose predictions stand in for the unknown u(0): as many neurons as give its distribution.
_SAMPLES = 4
_SAMPLE_WIDTH = 512
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
_PAIR_ENTRY = 0.01e-9  # one bit product of the counts of a pair of outputs


@dataclass(frozen=True)
class _Readout:
    """What the forecast needs of the output weights."""

    units: bool
    largest: Float64
    """max_r |a_ro| of every output."""
    mean_square: Float64
    """mean_r a_ro^2."""

    @classmethod
    def of(cls, network: TwoLayerReLU) -> _Readout:
        if network.seed is not None:
            return cls(True, np.ones(network.outputs), np.ones(network.outputs))
        a = np.abs(network.signs.astype(np.float64)).reshape(network.width, -1)
        return cls(network.has_sign_readout, a.max(axis=0), (a * a).mean(axis=0))

    @property
    def scale(self) -> float:
        """Of the clocks: max |a_r| for one output."""
        return float(self.largest[0]) if self.largest.size == 1 else 1.0

    @property
    def curvature(self) -> float:
        """Factor on the largest eigenvalue of the Gram matrix that `train` uses for its step size."""
        return float(self.largest[0]) ** 2 if self.largest.size == 1 else float(self.mean_square.max())


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
    S = sum g over the steps they come to (|K| A +- K S)_j / 2: two vectors are enough. The one clock of
    several outputs takes the larger of both in every step and adds them up over outputs, each times the
    largest |a_ro|: (|K| A + sum |K g|)_j / 2. Outputs are taken as independent.

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
    largest *= _Readout.of(network).curvature
    eta = step_size if step_size is not None else 1.0 / (curvature * largest)
    # Small steps are lumped together: the sums of a decaying residual hardly depend on the step.
    lump = max(1.0, min(0.5 / (curvature * largest * eta), steps / 20), steps / _FORECAST_STEPS)
    if eta * curvature * largest < 2.0:
        lump = min(lump, max(1.0, 1.0 / (curvature * largest * eta)))
    readout = _Readout.of(network)
    # Predictions (n, samples x outputs).
    u = _sampled_predictions(network, X, threads)
    samples = u.shape[1] // network.outputs
    scales = np.tile(readout.mean_square, samples)
    columns = np.concatenate([x, X_test.astype(np.float64)]) if X_test.shape[0] else x
    K = columns @ x.T
    H32, K32 = H.astype(np.float32), K.astype(np.float32)
    A, S = np.zeros_like(u), np.zeros_like(u)
    moved = np.zeros((K.shape[0], u.shape[1]))  # sum of |K g|, for several outputs
    done, last = 0.0, np.inf
    for _ in range(_FORECAST_STEPS):
        if done >= steps:
            break
        part = min(lump, steps - done)
        with np.errstate(all="ignore"):
            rho = [
                loss.derivative(sample.reshape(y.shape), y).reshape(len(y), -1)
                for sample in np.split(u, samples, axis=1)
            ]
            g = part * eta * np.concatenate(rho, axis=1)
            A += np.abs(g)
            S += g
            with single_threaded_blas():  # products of a thin block: other threads would only wait
                if network.outputs > 1:
                    moved += np.abs(K32 @ g.astype(np.float32))
                u = u - scales * (H32 @ g.astype(np.float32))
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
    if np.all(np.isfinite(A)):
        margin = _MARGIN[0] + _MARGIN[1] / np.sqrt(X.shape[0])
        both = np.abs(K) @ A
        clocks = (both + (np.abs(K @ S) if network.outputs == 1 else moved)) / 2
        if network.outputs > 1:
            clocks = clocks.reshape(len(K), samples, -1) @ readout.largest
        reach = margin * rate * clocks.max(axis=1)
    else:
        reach = np.full(columns.shape[0], np.inf)
    reach = np.asarray(reach, np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", columns, columns))
    everything = 8.0 * np.sqrt(network.width) * norms / max(readout.scale, 1e-300)
    reach[reach > everything] = np.inf  # nearly all pairs anyway
    plan = _core.plan_events(
        network.width,
        X,
        X_test,
        network.seed is not None,
        reach,
        network.outputs,
        readout.units,
        readout.scale,
        check_threads(threads),
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
        check_event_layers(layers)
    except ValueError as error:
        return "gd", None, f"gd: {error}"
    seen = forecast(network, X, y, X_test, loss, steps, step_size, threads=threads)
    n, m, d, size = X.shape[0], network.width, network.dim, network.dtype.itemsize
    dense = dense_seconds(m, n, d, steps, size)
    event = event_seconds(
        m, n, n + X_test.shape[0], d, steps, size, seen.tracked_pairs, outputs=network.outputs
    )
    method = "event" if event < dense else "gd"
    why = f"{method}: estimated thread-seconds are {dense:.3g} for gd and {event:.3g} for event"
    return method, seen if method == "event" else None, why


def dense_seconds(width: int, n: int, dim: int, steps: int, itemsize: int) -> float:
    """Thread-seconds of the dense loop: two products of 2 n d m operations a step and the sweeps between."""
    return steps * width * n * (4.0 * dim * _FLOP[itemsize] + 4.0 * _SWEEP)


def event_seconds(
    width: int,
    n: int,
    columns: int,
    dim: int,
    steps: int,
    itemsize: int,
    tracked_pairs: float,
    *,
    outputs: int = 1,
) -> float:
    """Thread-seconds of event-driven descent: one product, a pass per step, evaluations.

    A pair that is ever due is looked at about three times while the residual decays (measured). Several
    outputs multiply the masked sums, and there are as many counts as pairs of outputs.
    """
    setup = width * (columns * (2.0 * dim * _FLOP[itemsize] + 2.0 * _SWEEP) + dim * _NORMAL)
    fixed, per_example = _EVALUATION
    pairs = outputs * (outputs + 1) / 2
    looks = 3.0 * tracked_pairs * (fixed + per_example * n * outputs)
    counted = (pairs - 1) * width * n * n * _PAIR_ENTRY
    return setup + counted + steps * pairs * columns * n * _PASS_ENTRY + looks


def _sampled_predictions(network: TwoLayerReLU, X: Array, threads: int | None) -> Float64:
    """Predictions (n, samples x outputs) of networks like the one to be trained, at its initialisation."""
    n = X.shape[0]
    if network.antisymmetric:
        return np.zeros((n, network.outputs))
    if network.seed is None:
        # Given weights: random rows of them. Their sum scales like that of independent neurons.
        generator = np.random.default_rng(0)
        count = min(network.width, _SAMPLE_WIDTH)
        signs = network.signs
        parts = []
        for _ in range(1 if count == network.width else _SAMPLES):
            rows = np.sort(generator.choice(network.width, count, replace=False))
            part = TwoLayerReLU.from_weights(network.weights(rows), signs[rows])
            parts.append(part.predict(X, threads=threads))
        return np.column_stack(parts)
    width = min(network.width, _SAMPLE_WIDTH)
    like = [
        TwoLayerReLU(width, network.dim, s, dtype=network.dtype, outputs=network.outputs)
        for s in range(_SAMPLES)
    ]
    return np.column_stack([sampled.predict(X, threads=threads) for sampled in like])


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
