"""Dense trainers: full-batch gradient descent and minibatch SGD on stored weights, in the compiled core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.gram import gram_of_patterns
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.patterns import PackedPatterns

__all__ = ["DenseState", "batch_indices"]


class _Now(NamedTuple):
    """Everything that changes with a step. Replaced as one object, so that Ctrl-C finds it whole."""

    step: int
    W: Array
    a: Array
    u: Float64
    bits: npt.NDArray[np.uint64]


class DenseState:
    """Weights, predictions and patterns of a network in training.

    Two sets of weights: a step reads one and writes the other, so an interrupted step leaves the state
    before it whole. Memory: twice width x (dim + outputs) numbers and twice n x width bits.
    """

    def __init__(
        self,
        initial: TwoLayerReLU,
        X: Array,
        *,
        train_output: bool,
        X_test: Array | None,
        threads: int | None,
        step: int = 0,
        weights: tuple[Array, Array] | None = None,
    ) -> None:
        self._initial = initial
        self._X = X
        self._X_test = X_test
        self._train_output = train_output
        self._threads = check_threads(threads)
        W, a = weights if weights is not None else (initial.weights(), np.array(initial.signs))
        first = (W, a, self._new_bits(X.shape[0]))
        self._buffers = (first, (np.empty_like(W), np.empty_like(a), np.empty_like(first[2])))
        self._now = _Now(step, W, a, self._new_predictions(X.shape[0]), first[2])
        self.forward()

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self._now.step

    @property
    def u(self) -> Float64:
        """Predictions f(x_i), (n,) or (n, outputs), as of the last forward pass on all examples."""
        return self._now.u

    @property
    def patterns(self) -> PackedPatterns:
        """Activation patterns, as of the last forward pass on all examples; overwritten two steps later."""
        return PackedPatterns(self._now.bits, self._initial.width)

    @property
    def weights(self) -> tuple[Array, Array]:
        """(W, a) of this step; overwritten two steps later."""
        return self._now.W, self._now.a

    def forward(self) -> None:
        """Predictions and patterns of all examples under the current weights."""
        u, bits = self._forward(self._X)
        self._now = self._now._replace(u=u, bits=bits)

    def advance(self, rho: Float64, step_size: float) -> None:
        """Full-batch step from rho = dL/du, and the forward pass after it."""
        self._descend(self._X, rho, self._now.bits, step_size, self._X)

    def forward_batch(self, batch: npt.NDArray[np.intp]) -> tuple[Float64, npt.NDArray[np.uint64]]:
        """Predictions and packed patterns of some examples under the current weights."""
        return self._forward(self._X[batch])

    def advance_batch(
        self,
        batch: npt.NDArray[np.intp],
        rho: Float64,
        bits: npt.NDArray[np.uint64],
        step_size: float,
    ) -> None:
        """Step on some examples; u and patterns of all examples are stale until `forward`."""
        none = np.empty((0, self._X.shape[1]), self._X.dtype)
        self._descend(self._X[batch], rho, bits, step_size, none)

    def gram(self) -> Float64:
        """H(k) of the examples, shape (n, n)."""
        return gram_of_patterns(self.patterns, self._X, threads=self._threads or None)

    def distances(self) -> Float64:
        """|w_r - w_r(0)|, float64, shape (width,)."""
        out = np.empty(self._initial.width)
        _core.weight_distances(self._now.W, self._initial.source, out, self._threads)
        return out

    def distance_bound(self) -> float:
        """Largest |w_r - w_r(0)|: here there is nothing cheaper than the distances themselves."""
        return float(self.distances().max())

    def test_predictions(self) -> Float64:
        """f on the test examples."""
        assert self._X_test is not None
        out = self._new_predictions(self._X_test.shape[0])
        with single_threaded_blas():
            _core.predict(self._now.W, self._now.a, self._X_test, out, self._threads, None)
        return out

    def network(self) -> TwoLayerReLU:
        """The trained network (a copy of the weights)."""
        return TwoLayerReLU._trusted(self._now.W.copy(), self._now.a.copy())

    def _new_bits(self, rows: int) -> npt.NDArray[np.uint64]:
        return np.empty((rows, _core.pattern_words(self._initial.width)), np.uint64)

    def _new_predictions(self, rows: int) -> Float64:
        return np.empty(self._initial.prediction_shape(rows))

    def _forward(self, X: Array) -> tuple[Float64, npt.NDArray[np.uint64]]:
        u, bits = self._new_predictions(X.shape[0]), self._new_bits(X.shape[0])
        with single_threaded_blas():
            _core.forward(self._now.W, self._now.a, X, u, bits, self._threads)
        return u, bits

    def _descend(
        self,
        X: Array,
        rho: Float64,
        bits: npt.NDArray[np.uint64],
        step_size: float,
        X_next: Array,
    ) -> None:
        """Update from `X`, forward pass on `X_next` (all examples, or none of them)."""
        now = self._now
        W, a, spare_bits = self._buffers[0 if now.W is not self._buffers[0][0] else 1]
        everything = X_next.shape[0] > 0
        u = self._new_predictions(X_next.shape[0])
        bits_next = spare_bits if everything else spare_bits[:0]
        with single_threaded_blas():
            _core.descend(
                now.W,
                now.a,
                W,
                a,
                X,
                np.ascontiguousarray(rho, np.float64),
                bits,
                step_size,
                self._train_output,
                X_next,
                u,
                bits_next,
                self._threads,
            )
        self._now = _Now(now.step + 1, W, a, *((u, bits_next) if everything else (now.u, now.bits)))


def batch_indices(seed: int, step: int, n: int, batch_size: int) -> npt.NDArray[np.intp]:
    """Examples of step `step`: `batch_size` of n, uniform without replacement, in increasing order.

    A generator of its own for every step (Philox, key = seed, counter = step): resuming at any step needs no
    stored generator state, and every trainer that uses this function sees the same batches.
    """
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    return np.sort(generator.choice(n, size=batch_size, replace=False)).astype(np.intp)
