"""The linearised network: training with a frozen Gram matrix, beside the run of the network itself.

A network replaced by its first-order expansion at the start has a constant Gram matrix K, and descent on its
weights is a recursion for its predictions alone,

    u(k+1) = u(k) - eta K dL/du(k),        f(x, k+1) = f(x, k) - eta K(x, X) dL/du(k),

for every loss, or du/dt = -K dL/du for gradient flow. With the quadratic loss and full batches
:mod:`lazygram.analysis.dynamics` solves it in closed form; here it is stepped, so that other losses,
minibatches and schedules can be compared as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from lazygram.analysis.spectrum import as_symmetric
from lazygram.arrays import (
    Float64,
    as_matrix,
    as_vector,
    check_nonnegative_int,
    check_positive_int,
)
from lazygram.networks.backend import on_host
from lazygram.random import seed_to_int
from lazygram.training.dense import batch_indices
from lazygram.training.history import History, record_steps
from lazygram.training.losses import Loss, get_loss
from lazygram.training.schedules import StepSizes

__all__ = ["LinearisedRun", "train_linearised"]


@dataclass(frozen=True)
class LinearisedRun:
    """What the linearised network did.

    Attributes
    ----------
    history : dict of str to ndarray
        "step" (records,), "loss" (records,), "predictions" (records, n) and, with test inputs,
        "test_predictions" (records, n_test).
    scale : float
        ``|u(0) - y|_2``, what distances are divided by.
    """

    history: History
    scale: float

    def distance(self, predictions: npt.ArrayLike, *, test: bool = False) -> Float64:
        """How far a network's predictions are from the linearised ones, at every record.

        Parameters
        ----------
        predictions : array_like, shape (records, n) or (records, n_test)
            ``run.history["predictions"]`` or ``["test_predictions"]`` of the same steps.
        test : bool, default False
            Which of the two.

        Returns
        -------
        ndarray, shape (records,)
            Root mean square of the difference over that of ``u(0) - y``; `inf` where it is not finite.

        Raises
        ------
        ValueError
            If the shapes differ, or there are no test predictions.
        """
        name = "test_predictions" if test else "predictions"
        if name not in self.history:
            raise ValueError("test: the linearised run was given no test inputs")
        own = self.history[name]
        other = np.asarray(predictions, dtype=np.float64)
        if other.shape != own.shape:
            raise ValueError(f"predictions: shape {own.shape} is needed, got {other.shape}")
        n, count = self.history["predictions"].shape[1], own.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.sqrt(np.square(other - own).sum(axis=1) / count) / (self.scale / np.sqrt(n))
        return np.where(np.isfinite(gap), gap, np.inf)


def train_linearised(
    gram: npt.ArrayLike,
    u0: npt.ArrayLike,
    y: npt.ArrayLike,
    steps: int,
    step_size: float | Callable[[int], float] | Iterable[float],
    *,
    loss: str | Loss = "quadratic",
    reduction: Literal["sum", "mean"] = "sum",
    batch_size: int | None = None,
    seed: int | np.random.Generator = 0,
    record_every: int | Iterable[int] = 1,
    gram_test: npt.ArrayLike | None = None,
    f0_test: npt.ArrayLike | None = None,
    flow: bool = False,
) -> LinearisedRun:
    """Descend with a frozen Gram matrix from the predictions of an initial network.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K: of the initial network (``network.gram(X)``, the linearised network itself) or of infinite width.
    u0, y : array_like, shape (n,)
        Predictions of the initial network, labels.
    steps : int
        Number of steps.
    step_size : float, callable or list of float
        eta, a function of the step, or one number for every step.
    loss, reduction, batch_size, seed
        As in :func:`lazygram.train`; the same seed draws the same batches.
    record_every : int or iterable of int
        As in :func:`lazygram.train`.
    gram_test : array_like, shape (n_test, n), optional
        K between test and training examples.
    f0_test : array_like, shape (n_test,), optional
        Predictions of the initial network at the test examples; needed with `gram_test`.
    flow : bool, default False
        Gradient flow, recorded at times step x `step_size` (one number); integrated to about 1e-8.

    Returns
    -------
    LinearisedRun

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or range; the message names it.
    FloatingPointError
        If the integrator of the flow fails.
    """
    K = as_symmetric(on_host(gram), "gram")
    n = len(K)
    u: Float64 = as_vector(on_host(u0), "u0", n, dtype=np.float64)
    labels: Float64 = as_vector(on_host(y), "y", n, dtype=np.float64)
    chosen = get_loss(loss)
    chosen.check_labels(labels)
    count = check_nonnegative_int(steps, "steps")
    sizes = StepSizes(step_size, count)
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: 'sum' or 'mean' is needed, got {reduction!r}")
    weight = 1.0 if reduction == "sum" else 1.0 / n
    batch = n if batch_size is None else check_positive_int(batch_size, "batch_size")
    if batch > n:
        raise ValueError(f"batch_size: at most n = {n}, got {batch}")
    if (gram_test is None) != (f0_test is None):
        raise ValueError("gram_test, f0_test: they belong together, give both or neither")
    cross: Float64 | None = None
    f: Float64 | None = None
    if gram_test is not None:
        cross = as_matrix(on_host(gram_test), "gram_test", dtype=np.float64, columns=n)
        f = as_vector(on_host(f0_test), "f0_test", len(cross), dtype=np.float64)

    recorded = record_steps(record_every, count)
    if flow:
        if batch < n or sizes.constant is None:
            raise ValueError("flow: goes with whole batches and one step size")
        slope_at = partial(_weighted_slope, chosen, labels, weight)
        path = _integrate(K, cross, u, f, slope_at, sizes.constant * np.array(recorded))
        losses = [weight * chosen.value(v, labels) for v in path[:, :n]]
        history: History = {"step": np.array(recorded), "loss": np.array(losses), "predictions": path[:, :n]}
        if f is not None:
            history["test_predictions"] = path[:, n:]
        return LinearisedRun(history, float(np.linalg.norm(u - labels)))
    key = seed_to_int(seed)
    rows: dict[str, list[object]] = {"step": [], "loss": [], "predictions": []}
    if f is not None:
        rows["test_predictions"] = []
    scale = float(np.linalg.norm(u - labels))
    for k in range(count + 1):
        if k in recorded:
            rows["step"].append(k)
            rows["loss"].append(weight * chosen.value(u, labels))
            rows["predictions"].append(u)
            if f is not None:
                rows["test_predictions"].append(f)
        if k == count:
            break
        slope = _weighted_slope(chosen, labels, weight, u)
        if batch < n:
            kept = np.zeros(n)
            index = batch_indices(key, k, n, batch)
            kept[index] = slope[index] * (n / batch)
            slope = kept
        with np.errstate(over="ignore", invalid="ignore"):  # too large a step diverges
            u = u - sizes[k] * (K @ slope)
            if cross is not None and f is not None:
                f = f - sizes[k] * (cross @ slope)
    return LinearisedRun({name: np.array(values) for name, values in rows.items()}, scale)


def _weighted_slope(loss: Loss, labels: Float64, weight: float, u: Float64) -> Float64:
    """dL/du."""
    return weight * loss.derivative(u, labels)


def _integrate(
    K: Float64,
    cross: Float64 | None,
    u: Float64,
    f: Float64 | None,
    slope: Callable[[Float64], Float64],
    times: Float64,
) -> Float64:
    """Predictions, training and then test, at the given times; one row each."""
    # Imported here: the integrators of SciPy would double the time of `import lazygram`.
    from scipy.integrate import solve_ivp

    n = len(u)
    start = u if f is None else np.concatenate([u, f])
    matrix = K if cross is None else np.concatenate([K, cross])
    if len(times) == 1:
        return start[None, :]
    done = solve_ivp(
        lambda _, state: -(matrix @ slope(state[:n])),
        (0.0, float(times[-1])),
        start,
        t_eval=times,
        rtol=1e-9,
        atol=1e-10,
        method="DOP853",
    )
    if not done.success:
        raise FloatingPointError(f"gradient flow: the integrator failed ({done.message})")
    return np.asarray(done.y.T)
