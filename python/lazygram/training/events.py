"""Event-driven trainer: exact full-batch gradient descent that skips most pre-activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.patterns import PackedPatterns

__all__ = ["EVENT_DEFAULT", "EVENT_SPECTRA", "EventState", "check_event_layers"]

# What event-driven runs record unless told otherwise: what costs nothing at their scale.
EVENT_DEFAULT = ("loss", "predictions", "pattern_change", "flips", "max_distance_bound")
# And these, where they cost little beside the run itself.
EVENT_SPECTRA = ("lambda_min", "lambda_max", "gram_change")
# Weights of a trained network are made at the end of a run up to this many bytes.
_NETWORK_LIMIT = 1 << 29


def check_event_layers(layers: str) -> None:
    """Refuse what the method cannot do.

    Raises
    ------
    ValueError
        Both layers trained.
    """
    if layers != "first":
        raise ValueError("layers: method 'event' trains the first layer only; use method 'gd'")


class EventState:
    """State of event-driven gradient descent at one step.

    The hidden weights are never formed: the state is one bit per (neuron, example), the sum S of the scaled
    residuals, and a correction for each pair that changed sign. Anything else is computed on request.

    Parameters
    ----------
    initial : TwoLayerReLU
        Where training starts.
    X, X_test : ndarray
        Examples, and test points that ride along (may have no rows), dtype of the network.
    reach : ndarray, shape (n + n_test,)
        Clock readings up to which pairs are tracked from the start, see :mod:`lazygram.training.reach`.
    memory_limit : int, optional
        Bytes; a run that is expected to need more is refused.
    threads : int, optional
        Threads of the core. The trajectory does not depend on it, bit for bit.
    snapshot : dict, optional
        From :meth:`snapshot`, to go on from there. Costs one forward pass.
    progress : callable, optional
        Called now and then in what takes long, as ``progress(what, share done)``.

    Raises
    ------
    ValueError
        Sizes that do not fit, more memory than `memory_limit`.

    References
    ----------
    Du, thesis (2019), ch. 2, for the descent that is followed; docs/event_driven.md describes the method.
    """

    def __init__(
        self,
        initial: TwoLayerReLU,
        X: Array,
        *,
        X_test: Array,
        reach: Float64,
        memory_limit: int | None = None,
        threads: int | None = None,
        snapshot: dict[str, Array] | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        self._initial = initial
        self._X = X
        self._norm_bound: float | None = None
        self._n = X.shape[0]
        self._threads = check_threads(threads)
        kind = _core.EventDescentF32 if initial.dtype == np.float32 else _core.EventDescentF64
        readout = initial.readout
        self._progress = progress
        self.gram_0: Float64 | None = None
        """H(0), where the trainer left it."""
        with single_threaded_blas():
            self._engine = kind(
                initial.source,
                readout,
                X,
                X_test,
                reach,
                memory_limit or 0,
                snapshot,
                self._threads,
                self._reporter("forward pass"),
            )
        self._shape = initial.prediction_shape(X.shape[0] + X_test.shape[0])
        self._predictions = self._engine.predictions.reshape(self._shape)
        self.marked = snapshot is not None and snapshot["marked"].size > 0
        self.keeps_marks = False
        self.single_steps = True
        """Whether a step between two records is a step of the engine."""

    @property
    def step(self) -> int:
        """Number of steps done."""
        return int(self._engine.stats["steps"])

    @property
    def u(self) -> Float64:
        """Predictions f(x_i), shape (n,) or (n, outputs)."""
        predictions: Float64 = self._predictions[: self._n]
        return predictions

    @property
    def patterns(self) -> PackedPatterns:
        """Activation patterns of the examples (a copy: n x width bits)."""
        bits = np.empty((self._n, _core.pattern_words(self._initial.width)), np.uint64)
        self._engine.patterns(0, bits, self._threads)
        return PackedPatterns(bits, self._initial.width)

    @property
    def stats(self) -> dict[str, Any]:
        """Seconds by phase, and numbers of tracked, evaluated and flipped pairs so far."""
        return dict(self._engine.stats)

    @property
    def plan(self) -> dict[str, float]:
        """Bytes expected at the peak, by purpose."""
        return dict(self._engine.plan)

    def _reporter(self, what: str) -> Callable[[int, int], None] | None:
        progress = self._progress
        return None if progress is None else lambda done, total: progress(what, done / max(total, 1))

    def advance(self, rho: Float64, step_size: float) -> None:
        """One step from rho = dL/du, shape of `u`; zeros outside a minibatch.

        When a sum overflows the state stays as it is and the predictions become infinite.
        """
        rho = np.ascontiguousarray(rho, np.float64)
        with single_threaded_blas():  # a step may have to make another forward pass
            finite = self._engine.step(
                rho, float(step_size), self._threads, self._reporter(f"step {self.step + 1}")
            )
        self._predictions = (
            self._engine.predictions.reshape(self._shape) if finite else np.full(self._shape, np.inf)
        )

    def test_predictions(self) -> Float64:
        """f on the test points, which are followed at every step."""
        return np.array(self._predictions[self._n :])

    def gram(self) -> Float64:
        """H(k) of the examples, shape (n, n); costs n^2."""
        out = np.empty((self._engine.columns, self._n))
        self._engine.gram(out)
        return out[: self._n]

    def counts(self) -> npt.NDArray[np.int64]:
        """Integer co-activation counts of the examples, shape (n, n)."""
        out = np.empty((self._engine.columns, self._n), np.int64)
        self._engine.counts(out)
        return out[: self._n]

    def changed_bits(self) -> int:
        """Number of (example, neuron) pairs whose bit differs from step 0."""
        return int(self._engine.changed[: self._n].sum())

    def flips_since(self, steps: int) -> int:
        """Bits that differ from those `steps` steps ago, when the state was last recorded.

        Over more than one step they are compared with the copy that :meth:`mark` took then.
        """
        if steps <= 1 and self.single_steps:
            return int(self._engine.flips_in_last_step) if steps else 0
        return int(self._engine.differences_from_mark(self._threads))

    def recorded(self) -> None:
        """The state has been recorded: renew the copy of the bits, if one is kept."""
        if self.keeps_marks:
            self.mark()

    def mark(self) -> None:
        """Keep a copy of the bits for :meth:`flips_since`; n x width more bits."""
        self._engine.mark()
        self.marked = True

    def weights(self, begin: int = 0, count: int | None = None) -> Array:
        """Rows begin .. begin+count-1 of W(k), in the dtype of the network."""
        count = self._initial.width - begin if count is None else count
        out = np.empty((count, self._initial.dim), self._initial.dtype)
        with single_threaded_blas():
            self._engine.weights(begin, out, self._threads)
        return out

    def distances(self) -> Float64:
        """|w_r - w_r(0)| for every neuron, shape (width,); costs as much as W(0) X^T."""
        out = np.empty(self._initial.width)
        with single_threaded_blas():
            self._engine.distances(out, self._threads)
        return out

    def output_counts(self, first: int, second: int) -> Float64:
        """sum_r a_ro a_rp M_rj M_ri for outputs o = first <= p = second, shape (n, n).

        o < p where all output weights are +-1; not kept for signs of one output (see :meth:`counts`).
        """
        out = np.empty((self._engine.columns, self._n))
        self._engine.output_counts(first, second, out)
        return out[: self._n]

    def distance_bound(self) -> float:
        """Upper bound of max_r |w_r - w_r(0)|, at no cost: |X|_2 sum_k |g_k|_2 / sqrt(width).

        With several outputs, or other output weights, |g_k|_2 is sum_o max_r |a_ro| |g_ko|_2. |X|_2^2 =
        lambda_max(X X^T) is bounded by |(X X^T)^4|_F^{1/4}.
        """
        if self._norm_bound is None:
            x = self._X.astype(np.float64)
            K = x @ x.T
            square = K @ K.T  # a product with its own transpose takes half the operations
            fourth = square @ square.T
            # The slack covers the rounding of the products, n eps each.
            self._norm_bound = float(np.linalg.norm(fourth)) ** 0.25 * (1.0 + 1e-9)
        return float(np.sqrt(self._norm_bound / self._initial.width) * self._engine.path_length)

    def network(self) -> TwoLayerReLU | None:
        """The trained network; None when its weights would take more than half a gigabyte."""
        size = self._initial.width * self._initial.dim * self._initial.dtype.itemsize
        if size > _NETWORK_LIMIT:
            return None
        return TwoLayerReLU.from_weights(self.weights(), np.array(self._initial.signs))

    def snapshot(self) -> dict[str, Array]:
        """Everything that determines the rest of the trajectory, as arrays."""
        return dict(self._engine.snapshot())
