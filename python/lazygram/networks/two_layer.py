"""The two-layer ReLU network f(x) = m^{-1/2} sum_r a_r max(w_r . x, 0), given by a seed or by arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, Float64, as_matrix, as_real_array, as_vector, check_positive_int
from lazygram.gram import gram_of_patterns
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.patterns import PackedPatterns, patterns_of
from lazygram.random import seed_to_int

__all__ = ["TwoLayerReLU"]


class _Stored(NamedTuple):
    W: Array
    a: Array


class TwoLayerReLU:
    """Two-layer ReLU network of the NTK parameterisation.

    ``f(x) = width^{-1/2} sum_r a_r max(w_r . x, 0)``; at initialisation w_r ~ N(0, I_dim) and a_r is uniform
    on {-1, +1}. Built like this the network is only a seed: weights are made when they are needed
    (counter-based, the same in any chunk and for any number of threads), so a width of 10^8 costs
    nothing until something is computed. :meth:`from_weights` holds given arrays instead.

    Parameters
    ----------
    width : int
        Number of hidden neurons m.
    dim : int
        Input dimension d.
    seed : int or numpy.random.Generator
        Same seed, same network. From a Generator one 64-bit integer is drawn.
    dtype : {"float64", "float32"}
        Of weights and pre-activations. The float32 weights of a seed are its float64 ones rounded.
    outputs : int
        Number k of outputs, which share the hidden layer: a_r is a vector of k values, f(x) too. With one
        output (the text's network) both are numbers.
    antisymmetric : bool
        The second half of the neurons repeats the first with opposite a_r, so that f is zero at the
        start, up to the rounding of its sum (needed by the bare kernel predictor). `width` must be even.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 2, eq. for f(W, a, x).
    """

    def __init__(
        self,
        width: int,
        dim: int,
        seed: int | np.random.Generator = 0,
        *,
        dtype: npt.DTypeLike = "float64",
        antisymmetric: bool = False,
        outputs: int = 1,
    ) -> None:
        self._width = check_positive_int(width, "width")
        self._dim = check_positive_int(dim, "dim")
        self._outputs = check_positive_int(outputs, "outputs")
        self._dtype = _check_dtype(dtype)
        if antisymmetric and self._width % 2:
            raise ValueError(f"width: must be even for an antisymmetric network, got {width}")
        self._random: _core.RandomNetwork | None = _core.RandomNetwork(
            seed_to_int(seed), self._width, self._dim, bool(antisymmetric)
        )
        self._stored: _Stored | None = None

    @classmethod
    def from_weights(cls, W: npt.ArrayLike, a: npt.ArrayLike) -> TwoLayerReLU:
        """Network with given parameters.

        Parameters
        ----------
        W : array_like, shape (width, dim)
            Hidden weights, row r = w_r; float32 and float64 are kept, the rest becomes float64.
        a : array_like, shape (width,) or (width, outputs)
            Output weights, any real numbers.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        weights = as_matrix(W, "W")
        readout = as_real_array(a, "a")
        if readout.ndim != 2 or readout.shape[1] == 1:
            return cls._trusted(weights, as_vector(a, "a", length=weights.shape[0], dtype=weights.dtype))
        if readout.shape[0] != weights.shape[0]:
            raise ValueError(f"a: {weights.shape[0]} rows are needed, got {readout.shape[0]}")
        return cls._trusted(weights, as_matrix(a, "a", dtype=weights.dtype))

    @classmethod
    def _trusted(cls, W: Array, a: Array) -> TwoLayerReLU:
        """Network with these arrays as they are: contiguous, of one dtype; not finite after divergence."""
        network = cls.__new__(cls)
        network._width, network._dim = W.shape
        network._dtype = W.dtype
        network._outputs = 1 if a.ndim == 1 else a.shape[1]
        network._random = None
        network._stored = _Stored(W, a)
        return network

    @property
    def width(self) -> int:
        """Number of hidden neurons m."""
        return int(self._width)

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return int(self._dim)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self._outputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return np.dtype(self._dtype)

    @property
    def seed(self) -> int | None:
        """Seed as a 64-bit integer; None for a network made from arrays."""
        return None if self._random is None else int(self._random.seed)

    @property
    def antisymmetric(self) -> bool:
        """Whether the network was built as an antisymmetric pair."""
        return self._random is not None and bool(self._random.antisymmetric)

    @property
    def source(self) -> Any:
        """What the core takes as the neurons: the weight matrix or the random network."""
        return self._random if self._stored is None else self._stored.W

    @property
    def signs(self) -> Array:
        """Output weights a, shape (width,) or (width, outputs), dtype of the network (a copy)."""
        if self._stored is not None:
            return np.array(self._stored.a)
        assert self._random is not None
        columns = np.empty((self._outputs, self._width), self._dtype)
        for output, column in enumerate(columns):
            self._random.signs(0, column, output)
        return columns[0] if self._outputs == 1 else np.ascontiguousarray(columns.T)

    @property
    def readout(self) -> Array | None:
        """What the core takes as the output weights: None for the signs of a seed (one output)."""
        if self._stored is not None:
            return self._stored.a
        return None if self._outputs == 1 else self.signs

    @property
    def has_sign_readout(self) -> bool:
        """Whether all output weights are -1 or +1."""
        return self._stored is None or bool(np.all(np.abs(self._stored.a) == 1))

    def weights(self, rows: int | slice | npt.ArrayLike | None = None) -> Array:
        """Rows of W.

        Parameters
        ----------
        rows : int, slice or 1-D array of int, optional
            Which neurons; all by default (width x dim numbers). Negative ones count from the end.

        Returns
        -------
        ndarray, shape (k, dim)
            A copy, in the dtype of the network; a single int gives k = 1.

        Raises
        ------
        IndexError, TypeError
            Out of range, or not integers.
        """
        index = _row_indices(rows, self._width)
        if self._stored is not None:
            return np.array(self._stored.W[index])
        assert self._random is not None
        if isinstance(index, slice):
            start, stop, step = index.indices(self._width)
            if step == 1:
                out = np.empty((max(stop - start, 0), self._dim), self._dtype)
                if out.size:
                    self._random.weights(start, out)
                return out
            index = np.arange(start, stop, step)
        out = np.empty((len(index), self._dim), self._dtype)
        for k, row in enumerate(index):
            self._random.weights(int(row), out[k : k + 1])
        return out

    def predict(self, X: npt.ArrayLike, *, threads: int | None = None) -> Float64:
        """Predictions f(x_i).

        Parameters
        ----------
        X : array_like, shape (n, dim)
            Examples, converted to the dtype of the network.
        threads : int, optional
            Threads; all by default. The result does not depend on it.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, outputs)
            Sums over neurons are taken in float64.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        x = self._examples(X, "X")
        out = np.empty(self.prediction_shape(x.shape[0]))
        with single_threaded_blas():
            _core.predict(self.source, self.readout, x, out, check_threads(threads), None)
        return out

    def prediction_shape(self, n: int) -> tuple[int, ...]:
        """Shape of predictions on n examples: (n,), or (n, outputs) for several outputs."""
        return (n,) if self._outputs == 1 else (n, self._outputs)

    def patterns(self, X: npt.ArrayLike, *, threads: int | None = None) -> PackedPatterns:
        """Packed activation patterns of X, shape (n, width); see :func:`lazygram.activation_patterns`."""
        return patterns_of(self.source, self._width, self._examples(X, "X"), threads=threads)

    def gram(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        threads: int | None = None,
    ) -> Float64:
        """Gram matrix H of the first layer, float64, shape (n, n2).

        ``H_ij = (x_i . x_j) #{r : both active} / width``; the weights are never stored for a network given by
        a seed. Arguments and errors as in :func:`lazygram.gram_finite`. H does not involve a: for a_r other
        than +-1 it is the Gram matrix of the gradient only up to the weights a_r^2.
        """
        x = self._examples(X, "X")
        x2 = None if X2 is None else self._examples(X2, "X2")
        patterns = self.patterns(x, threads=threads)
        patterns2 = None if x2 is None else self.patterns(x2, threads=threads)
        return gram_of_patterns(patterns, x, patterns2, x2, threads=threads)

    def __repr__(self) -> str:
        origin = "from_weights" if self._random is None else f"seed={self.seed}"
        outputs = "" if self.outputs == 1 else f", outputs={self.outputs}"
        return f"TwoLayerReLU(width={self.width}, dim={self.dim}, {origin}, dtype={self.dtype}{outputs})"

    def _examples(self, X: npt.ArrayLike, name: str) -> Array:
        return as_matrix(X, name, dtype=self._dtype, columns=self._dim)


def _check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        result = np.dtype(object if dtype is None else dtype)
    except TypeError:
        result = np.dtype(object)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: float32 or float64 is needed, got {dtype!r}")
    return result


def _row_indices(rows: Any, width: int) -> Any:
    """A slice, or an array of indices in [0, width)."""
    if rows is None:
        return slice(0, width)
    if isinstance(rows, slice):
        return rows
    index = np.atleast_1d(np.asarray(rows))
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise TypeError("rows: an int, a slice or a 1-D array of ints is needed")
    if index.size and (index.min() < -width or index.max() >= width):
        raise IndexError(f"rows: out of range for width {width}")
    return np.where(index < 0, index + width, index)
