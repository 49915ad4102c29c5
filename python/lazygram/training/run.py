"""`train`: the request checked, the trainer of its network and method chosen, its course run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.training.course import Course
from lazygram.training.losses import Loss
from lazygram.training.request import check_deep_options, checked_request, number_or_auto
from lazygram.training.result import Run, StepState
from lazygram.training.trainers import make_trainer

if TYPE_CHECKING:
    from lazygram.networks.deep import DeepNetwork
    from lazygram.training.schedules import StepSize

__all__ = ["train"]


def train(
    network: TwoLayerReLU | DeepNetwork,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    steps: int,
    step_size: StepSize = "auto",
    *,
    loss: str | Loss | Callable[[Float64, Float64], npt.ArrayLike] = "quadratic",
    reduction: Literal["sum", "mean"] = "sum",
    method: str = "gd",
    layers: Literal["first", "both"] = "first",
    layer_step_sizes: Sequence[float] | None = None,
    batch_size: int | None = None,
    seed: int | np.random.Generator = 0,
    record: str | Iterable[str] = "default",
    record_every: int | Iterable[int] = 1,
    X_test: npt.ArrayLike | None = None,
    y_test: npt.ArrayLike | None = None,
    tolerance: float | None = None,
    callbacks: Callable[[StepState], Any] | Sequence[Callable[[StepState], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
    distance_every: int | Iterable[int] | None = None,
    spectra: Literal["auto", "exact"] = "auto",
    flow_tolerance: float = 1e-5,
    progress: Callable[[str, float], None] | None = None,
) -> Run:
    """Train a network and record how its Gram matrices, weights and predictions move.

    Gradient descent on ``L(W) = sum_i l(f(x_i), y_i)`` (no 1/n), in the dtype of the network; predictions and
    losses are float64. With the quadratic loss and ``layers="first"`` the training of a two-layer network is
    that of the text; all layers of a deep network are trained.

    Parameters
    ----------
    network : TwoLayerReLU or deep network
        Where training starts; it is not changed. Deep networks (:mod:`lazygram.networks`) are trained in
        their own array library, on their device.
    X : array_like, shape (n, dim)
        Training examples, no zero rows for a two-layer network.
    y : array_like, shape (n,) or (n, outputs)
        Labels; for several outputs also n integers 0 .. outputs-1, which become one-hot rows.
    steps : int
        Number of steps; 0 records the initial state only.
    step_size : float, "auto", callable or list of float
        eta in ``w_r <- w_r - eta dL/dw_r``. "auto" is 1 / (curvature of the loss x largest eigenvalue of the
        Gram matrix at initialisation), half the limit of stability of the frozen kernel; for SGD the
        eigenvalue is bounded for the worst batch. For deep networks also a schedule: a function of the step,
        or one number for each step.
    loss : str, Loss or callable
        "quadratic", "logistic", "hinge", "squared_hinge", "exponential" or "cross_entropy"; see
        :mod:`lazygram.training.losses`; a function of (u, y) stands for dL/du, the recorded loss is then
        nan (give a :class:`DerivativeLoss` to name a value, too). "cross_entropy" (of the softmax) needs
        several outputs.
    reduction : {"sum", "mean"}
        Deep networks: the loss is the sum over examples or, as in Zou et al., the mean.
    method : {"gd", "sgd", "flow", "event", "event-flow", "auto"}
        Full-batch gradient descent; minibatch SGD (gradient of the batch times n / batch_size, batches
        uniform without replacement, fresh at every step); gradient flow, integrated to times
        k * step_size with a local error of `flow_tolerance` (float64 only, small networks). "event": the
        trajectory of "gd" (with `batch_size`: of "sgd"), exact up to rounding, at a cost of n^2 a step plus
        the pairs (neuron, example) that may change sign; first layer only. It pays for wide networks and
        many steps; "auto" chooses between "gd" and "event" by estimated cost and says so in
        ``summary["choice"]``. "event-flow": gradient flow in adaptive steps of the same engine, for wide
        networks of one output with a_r = +-1; ``summary["flow"]`` has their number and estimated error. Deep
        networks have "gd", "sgd" and "flow".
    layers : {"first", "both"}
        What is trained of a two-layer network: the hidden layer as in the text, or the output layer too.
    layer_step_sizes : list of float, optional
        Deep networks: factor on the step size for each entry of ``network.parameters``; 0 freezes it.
    batch_size : int, optional
        Examples of an SGD step; needed for ``method="sgd"``, possible for "event", refused otherwise.
    seed : int or numpy.random.Generator
        Of the batches.
    record : "all", "default" or list of str
        Quantities to record, from ``lazygram.training.history.QUANTITIES``; the loss always is. "default" is
        all of them; for "event" loss, predictions, pattern_change, flips and max_distance_bound, and the
        spectral ones (lambda_*, gram_change) where they are estimated to cost at most a tenth of the run. The
        distances cost "event" a forward pass.
    record_every : int or list of int
        Record every so many steps, or at the given ones; step 0 and the last are always recorded.
    X_test, y_test : array_like, optional
        Test examples whose predictions are recorded ("test_predictions"), and their labels ("test_loss").
    tolerance : float, optional
        Stop at the first step with loss <= tolerance (for SGD: at a recorded step).
    callbacks : callable or list of callables
        Called as ``callback(state: StepState)`` at every recorded step; a true return value stops the run.
    checkpoint : path, optional
        File that is rewritten every `checkpoint_every` steps, at the end, and when the run is interrupted.
    checkpoint_every : int, optional
        Default: only at the end and when interrupted.
    resume : path, optional
        Go on from a checkpoint of the same run; a missing file is an error. The continued run equals an
        uninterrupted one bit for bit. `steps` counts from the very beginning and may be larger than before;
        the last step of the earlier part then stays in the history.
    threads : int, optional
        Threads of the core; all by default. The trajectory does not depend on it. For a deep network of NumPy
        arrays: threads of its BLAS.
    memory_limit : int, optional
        Bytes: method "event" refuses to start, or to go on, when it expects to need more.
    distance_every : int or list of int, optional
        Compute recorded distances at these steps only, nan at the others; default: at every recorded step.
    spectra : {"auto", "exact"}
        "exact": every recorded spectrum by LAPACK, O(n^3) each. "auto" does so up to n = 500, and iterates
        above from the vectors of the last recorded step (:class:`lazygram.analysis.TrackedSpectrum`).
    flow_tolerance : float
        Of "flow": relative local error of the weights in a step. Of "event-flow": local error of the
        predictions in a step, relative to the largest initial residual.
    progress : callable, optional
        ``progress(what, share)``: called by method "event" now and then inside the forward pass and long
        steps, which no callback sees.

    Returns
    -------
    Run
        ``run.history`` maps names to arrays: "step", "time" (step x step size), "loss", "predictions" (k, n),
        "lambda_min" and "lambda_max" of H(k) (first layer), "gram_change" = ||H(k) - H(0)||_2,
        "pattern_change" (fraction of activation bits that differ from step 0), "flips" (bits that differ from
        the previously recorded step), "max_distance" and "mean_distance" of ||w_r(k) - w_r(0)||_2,
        "max_distance_bound" (never below the former; only when named, or by default with "event"),
        "test_predictions", "test_loss". Predictions of several outputs are (k, n, outputs). ``run.summary``
        has lambda0 = lambda_min(H_inf) and gram_initial_distance = ||H(0) - H_inf||_2 when these are
        recorded, and why the run stopped; for method "event" "engine": pairs tracked, evaluated, flipped,
        and seconds by phase.

        Deep networks record "step_size" (the one that led to the step), "lambda_min", "lambda_max" and
        "gram_change" of the empirical NTK, and per parameter, as arrays (records, layers): "layer_lambda_min"
        and "layer_gram_change" of G^(h)(k), "layer_distance" = ||W(k) - W(0)||_F, "layer_movement" = that
        over ||W(0)||_F, "layer_movement_op" = ||W(k) - W(0)||_2, "gradient_norm" = ||dL/dW||_F;
        "pattern_change" is (records, hidden layers).

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.
    TrainingInterrupted
        Ctrl-C; a KeyboardInterrupt that carries the run so far.
    TrainingFailed
        A callback raised; carries the run so far.

    Notes
    -----
    A loss that is no longer finite stops the run with ``summary["stopped"] == "diverged"`` and a message; the
    history up to and including that step is kept.

    References
    ----------
    Du, thesis (2019), ch. 2, gradient descent on the first layer and definition of H(k).
    """
    if not isinstance(network, TwoLayerReLU):
        check_deep_options(network, layers, memory_limit, distance_every, spectra, progress)
        from lazygram.training.deep import train_deep  # needs scipy.special, which the rest does without

        return train_deep(
            network, X, y, steps, step_size, loss=loss, reduction=reduction, method=method,
            batch_size=batch_size, seed=seed, layer_step_sizes=layer_step_sizes, record=record,
            record_every=record_every, X_test=X_test, y_test=y_test, tolerance=tolerance,
            callbacks=callbacks, checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume,
            threads=threads, flow_tolerance=flow_tolerance,
        )  # fmt: skip
    if reduction != "sum":
        raise ValueError(f"reduction: a two-layer network is trained on the sum, got {reduction!r}")
    if layer_step_sizes is not None:
        raise ValueError("layer_step_sizes: only for deep networks")
    request = checked_request(
        network, X, y, steps, number_or_auto(step_size), loss=loss, method=method, layers=layers,
        batch_size=batch_size, seed=seed, record=record, record_every=record_every, X_test=X_test,
        y_test=y_test, tolerance=tolerance, callbacks=callbacks, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every, resume=resume, threads=threads, memory_limit=memory_limit,
        distance_every=distance_every, spectra=spectra, flow_tolerance=flow_tolerance,
        progress=progress,
    )  # fmt: skip
    return Course(request, make_trainer(request)).run()
