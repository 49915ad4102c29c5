"""Networks with sparse and shared weights, as in the balancing theorem: W_h[i, j] = v_h[map(i, j)].

    f^(1) = W_1 x,  f^(h) = W_h s(f^(h-1)),  h = 2..H

A map holds for every place of W_h which number of v_h stands there, counted from 1, and 0 where there is
none. Dense layers and convolutions are special maps (Du, thesis, 2019, ch. 4, theorem on layers with shared
weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.activations import Activation, get_activation
from lazygram.arrays import Array, check_positive_float, check_positive_int
from lazygram.networks.backend import Backend, Buffers, get_backend
from lazygram.networks.deep import DeepNetwork, Forward, Pass, symmetrised
from lazygram.networks.elementwise import Elementwise, elementwise
from lazygram.networks.patches import check_image, check_patch, neighbour_table
from lazygram.random import seed_to_int, standard_normals

__all__ = ["SparseNetwork", "convolution_map", "dense_map"]

ActivationLike = str | Activation | Callable[[Any], Any]

# Numbers in a block of per-example derivatives when the Gram matrix of a layer without structure is formed.
_BLOCK = 1 << 22


def dense_map(rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Map of a full matrix: every place has a weight of its own."""
    r, c = check_positive_int(rows, "rows"), check_positive_int(columns, "columns")
    return np.arange(1, r * c + 1, dtype=np.int64).reshape(r, c)


def convolution_map(
    channels_in: int, channels_out: int, image: int | Iterable[int], patch: int | Iterable[int] = 3
) -> npt.NDArray[np.int64]:
    """Map of a convolution with odd window, stride 1 and zeros outside.

    Returns
    -------
    ndarray of int64, shape (channels_out x pixels, channels_in x pixels)
        Signals are channel-major, index channel x pixels + pixel. The weights are the filters W
        (channels_out, channels_in x q) of :class:`ConvResidualNetwork`, flattened.
    """
    c_in = check_positive_int(channels_in, "channels_in")
    c_out = check_positive_int(channels_out, "channels_out")
    axes = check_image(image)
    table = neighbour_table(axes, check_patch(patch, len(axes)))
    p, q = table.shape
    pixel, offset = np.nonzero(table >= 0)
    other = table[pixel, offset]
    places = np.zeros((c_out, p, c_in, p), dtype=np.int64)
    for o in range(c_out):
        for c in range(c_in):
            places[o, pixel, c, other] = 1 + (o * c_in + c) * q + offset
    return places.reshape(c_out * p, c_in * p)


class _Sharing:
    """One map: weights from v, and sums over the places that share a weight, by gathering alone."""

    def __init__(self, places: Array, backend: Backend) -> None:
        self.shape = places.shape
        self.count = int(places.max())
        self.dense = self.count == places.size and bool((places == dense_map(*places.shape)).all())
        self._backend = backend
        if self.dense:
            return
        # v has a zero at the end, for places without a weight.
        self._index = backend.indices(np.where(places == 0, self.count, places - 1).ravel())
        flat = places.ravel()
        order = np.argsort(flat, kind="stable")[np.count_nonzero(flat == 0) :]
        uses = np.bincount(flat, minlength=self.count + 1)[1:]
        table = np.full((self.count, max(1, int(uses.max()))), places.size)
        table[np.arange(table.shape[1]) < uses[:, None]] = order
        self._table = backend.indices(table.ravel())
        self._uses = table.shape[1]

    def matrix(self, v: Any) -> Any:
        """W with W[i, j] = v[map(i, j) - 1]."""
        b = self._backend
        if self.dense:
            return b.xp.reshape(v, self.shape)
        return b.xp.reshape(b.xp.take(b.concat([v, b.zeros((1,))], 0), self._index, axis=0), self.shape)

    def collect(self, full: Any) -> Any:
        """Sums of matrices (k, rows, columns) over the places of each weight: (k, count)."""
        b = self._backend
        k = full.shape[0]
        flat = b.xp.reshape(full, (k, -1))
        if self.dense:
            return flat
        padded = b.concat([flat, b.zeros((k, 1))], 1)
        taken = b.xp.reshape(b.xp.take(padded, self._table, axis=1), (k, self.count, self._uses))
        return b.xp.sum(taken, axis=2)


class SparseNetwork(DeepNetwork):
    """Network of layers with sparse, shared weights.

    Parameters
    ----------
    maps : list of array_like of int, shapes (d_h, d_{h-1})
        0 where W_h is zero, k >= 1 where it is v_h[k - 1]; every k up to the largest must occur.
    activations : str, Activation or list of them
        s between layers: one for all gaps, or one for each of the H - 1 gaps.
    seed, dtype, xp, device
        As for :class:`FullyConnectedNetwork`.
    scales : list of float, optional
        Standard deviations of v_1, ..., v_H at initialisation; by default sqrt(2 / weights of a row).

    Notes
    -----
    `depth` is the number H of weight layers. Outputs have shape (n,) when the last layer has one row, else
    (n, rows); Gram matrices are defined for one row only. `forward` gives features x^(0) = x, x^(h) =
    s(f^(h)) for h < H, and pre-activations f^(1), ..., f^(H).

    :class:`lazygram.problems.balancing.HomogeneousNetwork` is the same as a plain function of the weights.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 4; Du, Hu, Lee, NeurIPS 2018.
    """

    def __init__(
        self,
        maps: Sequence[npt.ArrayLike],
        activations: ActivationLike | Sequence[ActivationLike] = "relu",
        *,
        seed: int | np.random.Generator = 0,
        scales: Sequence[float] | None = None,
        dtype: npt.DTypeLike = "float64",
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._describe(maps, activations)
        sizes = [int(places.max()) for places in self._maps]
        if scales is None:
            busiest = [int((places > 0).sum(axis=1).max()) for places in self._maps]
            scales = [math.sqrt(2.0 / count) for count in busiest]
        if len(scales) != len(sizes):
            raise ValueError(
                f"scales: {len(sizes)} numbers are needed, one for each layer, got {len(scales)}"
            )
        backend = get_backend(xp, dtype, device)
        key = seed_to_int(seed)
        drawn = standard_normals(key, [(1, size) for size in sizes], backend.dtype)
        factors = [backend.dtype.type(check_positive_float(s, "scales")) for s in scales]
        self._assume([backend.asarray(v[0] * f) for v, f in zip(drawn, factors, strict=True)], backend, key)

    @classmethod
    def from_parameters(
        cls,
        parameters: Sequence[Any],
        maps: Sequence[npt.ArrayLike],
        activations: ActivationLike | Sequence[ActivationLike] = "relu",
    ) -> SparseNetwork:
        """Network with given v_1, ..., v_H.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        network = cls.__new__(cls)
        network._describe(maps, activations)
        network._assume(*network._check_parameters(list(parameters)), None)
        return network

    def _describe(
        self, maps: Sequence[npt.ArrayLike], activations: ActivationLike | Sequence[ActivationLike]
    ) -> None:
        self._maps = [_check_map(places, h) for h, places in enumerate(maps, start=1)]
        if not self._maps:
            raise ValueError("maps: at least one layer is needed")
        for h, (below, above) in enumerate(zip(self._maps[:-1], self._maps[1:], strict=True), start=2):
            if above.shape[1] != below.shape[0]:
                raise ValueError(
                    f"maps: layer {h} has {above.shape[1]} columns, the layer below {below.shape[0]} rows"
                )
        gaps = len(self._maps) - 1
        if isinstance(activations, (str, Activation)) or callable(activations):
            activations = [activations] * gaps
        if len(activations) != gaps:
            raise ValueError(f"activations: {gaps} are needed, one for each gap, got {len(activations)}")
        self.activations = [get_activation(activation) for activation in activations]

    def _assume(self, parameters: list[Any], backend: Backend, seed: int | None) -> None:
        if getattr(self, "_backend", None) is not backend:
            self._backend = backend
            self._sharings = [_Sharing(places, backend) for places in self._maps]
            self._elementwise: list[Elementwise] = [elementwise(s, backend) for s in self.activations]
        self._parameters = parameters
        self._seed = seed

    @property
    def depth(self) -> int:
        """Number of weight layers H."""
        return len(self._maps)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (int(self._maps[0].shape[1]),)

    @property
    def parameter_names(self) -> list[str]:
        """v1, ..., vH."""
        return [f"v{h}" for h in range(1, self.depth + 1)]

    @property
    def maps(self) -> list[Array]:
        """The maps (copies)."""
        return [np.array(places) for places in self._maps]

    @property
    def outputs(self) -> int:
        """Rows of the last layer."""
        return int(self._maps[-1].shape[0])

    def _shapes(self) -> list[tuple[int, ...]]:
        return [(int(places.max()),) for places in self._maps]

    def matrices(self) -> list[Any]:
        """W_1, ..., W_H."""
        return [s.matrix(v) for s, v in zip(self._sharings, self._parameters, strict=True)]

    def _propagate(self, x: Any, buffers: Buffers | None) -> Pass:
        features, preactivations = [x], []
        for h, W in enumerate(self.matrices()):
            preactivations.append(self._backend.matmul(features[-1], W.T))
            if h < self.depth - 1:
                features.append(self._elementwise[h].phi(preactivations[-1]))
        outputs = preactivations[-1]
        return Pass(outputs[:, 0] if self.outputs == 1 else outputs, features, preactivations)

    def _deltas(self, done: Pass, weight: Any, buffers: Buffers | None) -> list[Any]:
        b = self._backend
        if weight is None:
            self._check_single_output()
            weight = b.zeros((done.outputs.shape[0],)) + 1.0
        deltas = [b.xp.reshape(weight, (-1, self.outputs))]
        matrices = self.matrices()
        for h in reversed(range(self.depth - 1)):
            slope = self._elementwise[h].dphi(done.preactivations[h])
            deltas.append(slope * b.matmul(deltas[-1], matrices[h + 1]))
        return deltas[::-1]

    def _gradients(self, done: Pass, weight: Any, deltas: list[Any], into: Callable[[int], Any]) -> list[Any]:
        b = self._backend
        gradients = []
        for sharing, delta, x in zip(self._sharings, deltas, done.features, strict=True):
            full = b.matmul(delta.T, x)
            gradients.append(sharing.collect(b.xp.reshape(full, (1, *full.shape)))[0, :])
        return gradients

    def forward(self, X: Any) -> Forward:
        """Outputs, features and pre-activations; see the notes of the class."""
        done = self._propagate(self._examples(X, "X"), None)
        return Forward(done.outputs, done.features, done.preactivations)

    def backpropagate(self, forward: Forward) -> list[Any]:
        """Derivatives df(x_i)/df^(h) of the single output, h = 1..H."""
        return self._deltas(self._pass(forward), None, None)

    def _pass(self, forward: Forward) -> Pass:
        self._check_forward(forward, [int(places.shape[0]) for places in self._maps])
        return Pass(forward.outputs, forward.features, forward.preactivations)

    def backward(self, forward: Forward, dloss_du: Any) -> list[Any]:
        """Gradients in v_1, ..., v_H; `dloss_du` has the shape of the outputs."""
        done = self._pass(forward)
        weight = self._backend.asarray(dloss_du if self._backend.owns(dloss_du) else np.asarray(dloss_du))
        if tuple(weight.shape) != tuple(done.outputs.shape):
            raise ValueError(
                f"dloss_du: shape {tuple(done.outputs.shape)} is needed, got {tuple(weight.shape)}"
            )
        return self._gradients(done, weight, self._deltas(done, weight, None), lambda _: None)

    def layer_grams(self, X: Any, X2: Any = None) -> list[Any]:
        """Gram matrices of the single output in v_1, ..., v_H.

        A dense layer is a product of two Gram matrices. A map in general leaves no product to exploit: its
        derivatives are formed for a block of examples at a time.
        """
        self._check_single_output()
        one = self._propagate(self._examples(X, "X"), None)
        two = one if X2 is None else self._propagate(self._examples(X2, "X2"), None)
        return self._grams(one, self._deltas(one, None, None), two)

    def _grams(self, one: Pass, deltas: list[Any], two: Pass) -> list[Any]:
        b = self._backend
        deltas2 = deltas if two is one else self._deltas(two, None, None)
        grams = []
        for sharing, x, p, x2, q in zip(
            self._sharings, one.features, deltas, two.features, deltas2, strict=True
        ):
            if sharing.dense:
                grams.append(b.matmul(x, x2.T) * b.matmul(p, q.T))
            else:
                blocks = [
                    b.concat([b.matmul(mine, theirs.T) for theirs in _derivatives(b, sharing, q, x2)], 1)
                    for mine in _derivatives(b, sharing, p, x)
                ]
                grams.append(b.concat(blocks, 0))
        return [symmetrised(G) for G in grams] if two is one else grams

    def _signs(self, done: Pass) -> list[Any]:
        return [u >= 0.0 for u in done.preactivations[:-1]]

    def patterns(self, X: Any) -> list[Any]:
        """Signs of f^(1), ..., f^(H-1), boolean: f >= 0."""
        return self._signs(self._propagate(self._examples(X, "X"), None))

    def _check_single_output(self) -> None:
        if self.outputs != 1:
            raise ValueError(f"maps: the last layer must have one row here, got {self.outputs}")

    def __repr__(self) -> str:
        sizes = [self.dim, *(int(places.shape[0]) for places in self._maps)]
        return f"SparseNetwork(sizes={sizes}, weights={self.parameter_count}, {self._origin()})"


def _derivatives(b: Backend, sharing: _Sharing, delta: Any, x: Any) -> Iterable[Any]:
    """df(x_i)/dv for blocks of examples."""
    rows, columns = sharing.shape
    block = max(1, _BLOCK // (rows * columns))
    for begin in range(0, x.shape[0], block):
        rows_of_block = slice(begin, min(begin + block, x.shape[0]))
        p, z = delta[rows_of_block, :], x[rows_of_block, :]
        k = p.shape[0]
        yield sharing.collect(b.xp.reshape(p, (k, rows, 1)) * b.xp.reshape(z, (k, 1, columns)))


def _check_map(places: npt.ArrayLike, h: int) -> Array:
    array = np.asarray(places)
    if array.ndim != 2 or array.dtype.kind not in "iu" or array.size == 0:
        raise ValueError(f"maps: layer {h} must be a matrix of integers, got {array.dtype} {array.shape}")
    if array.min() < 0:
        raise ValueError(f"maps: layer {h} has negative entries")
    used = np.unique(array[array > 0])
    if used.size == 0 or int(used[-1]) != used.size:
        raise ValueError(f"maps: layer {h} must use every weight from 1 to its largest entry")
    return array.astype(np.int64)
