"""Networks that are a chain of layers: their passes, gradients and Gram matrices.

    x^(h) = [x^(h-1) +] k_h sigma(W^(h) phi(x^(h-1))),  f = <a, x^(H)>

with phi the identity or the patches of a convolution. One chain of products serves all architectures; they
differ in scales k_h, in which layers have a skip connection, in phi and in whether a is trained (Du, thesis,
ch. 3).

In the products an example is one row of features, in a convolution one row for each pixel; public results
have the shapes of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygram.activations import Activation
from lazygram.networks.backend import Backend, Buffers
from lazygram.networks.deep import DeepNetwork, Forward, Pass, symmetrised
from lazygram.networks.elementwise import Elementwise, elementwise
from lazygram.networks.patches import Patches

__all__ = ["LayeredNetwork"]

# Numbers in a tile of pixel covariances (n_block pixels x n2 pixels).
_TILE = 1 << 22


class LayeredNetwork(DeepNetwork):
    """A chain of layers with scales, skip connections, patches and a linear readout."""

    activation: Activation
    _scales: tuple[float, ...]
    _skips: tuple[bool, ...]
    _elementwise: Elementwise
    _patches: Patches | None = None

    def _assume(self, parameters: list[Any], backend: Backend, seed: int | None) -> None:
        if getattr(self, "_backend", None) is not backend:
            self._backend = backend
            self._prepare()
        self._parameters = parameters
        self._seed = seed

    def _prepare(self) -> None:
        """Make what depends on the backend alone."""
        self._elementwise = self._make_elementwise(self._backend)

    def _make_elementwise(self, backend: Backend) -> Elementwise:
        return elementwise(self.activation, backend)

    @property
    def depth(self) -> int:
        """Number of hidden layers H."""
        return len(self._scales)

    @property
    def scales(self) -> tuple[float, ...]:
        """k_1, ..., k_H."""
        return self._scales

    @property
    def parameter_names(self) -> list[str]:
        """W1, ..., WH, a."""
        return [*(f"W{h}" for h in range(1, self.depth + 1)), "a"]

    # --- what convolutions and fixed readouts do differently ------------------------------------

    def _matrix(self, h: int) -> Any:
        """Weights of layer h (from 0) as the products take them: (outputs, inputs)."""
        return self._parameters[h]

    def _weight_gradient(self, h: int, delta: Any, z: Any, out: Any) -> Any:
        """delta^T z in the shape of parameter h."""
        return self._backend.matmul(delta.T, z, out)

    def _inputs(self, h: int, x: Any) -> Any:
        """phi(x), what layer h (from 0) multiplies with its weights."""
        return x

    def _readout(self) -> Any:
        """a as one row per output row of an example: shape (rows per example, width)."""
        return self._backend.xp.reshape(self._parameters[-1], (1, -1))

    def _readout_gradient(self, weighted: Any) -> Any:
        """Gradient in a from sum_i weight_i x_i^(H), shape (rows per example, width)."""
        return self._backend.xp.reshape(weighted, (-1,))

    def _public(self, rows: Any) -> Any:
        """Rows in the shape of the text."""
        return rows

    def _rows(self, array: Any) -> Any:
        """The inverse of :meth:`_public`."""
        return array

    def _positive(self, u: Any) -> Any:
        return u >= 0.0

    # --- passes ---------------------------------------------------------------------------------

    def _propagate(self, x: Any, buffers: Buffers | None) -> Pass:
        b = self._backend
        features, preactivations = [self._rows_of_examples(x)], []
        for h in range(self.depth):
            z = self._inputs(h, features[-1])
            W = self._matrix(h)
            shape = (z.shape[0], W.shape[0])
            u = b.matmul(z, W.T, _buffer(buffers, f"u{h}", shape))
            preactivations.append(u)
            out = _buffer(buffers, f"x{h + 1}", shape)
            features.append(self._activate(h, u, features[-1], out))
        readout = self._readout()
        flat = b.xp.reshape(features[-1], (-1, readout.shape[0] * readout.shape[1]))
        return Pass(b.matmul(flat, b.xp.reshape(readout, (-1,))), features, preactivations)

    def _rows_of_examples(self, x: Any) -> Any:
        return x

    def _activate(self, h: int, u: Any, before: Any, out: Any) -> Any:
        phi, k = self._elementwise.phi, self._scales[h]
        if self._skips[h]:
            return self._backend.rowwise(lambda u, x: x + k * phi(u), u, before, out=out)
        if k == 1.0:
            return self._backend.rowwise(phi, u, out=out)
        return self._backend.rowwise(lambda u: k * phi(u), u, out=out)

    def _deltas(self, done: Pass, weight: Any, buffers: Buffers | None) -> list[Any]:
        b, xp = self._backend, self._backend.xp
        dphi, readout = self._elementwise.dphi, self._readout()
        n = done.outputs.shape[0]
        g = xp.reshape(readout, (1, *readout.shape))
        if weight is None:
            g = xp.broadcast_to(g, (n, *readout.shape))
        else:
            g = xp.reshape(weight, (-1, 1, 1)) * g
        g = xp.reshape(g, done.features[-1].shape)
        deltas: list[Any] = []
        for h in reversed(range(self.depth)):
            k, u = self._scales[h], done.preactivations[h]
            delta = b.rowwise(
                lambda u, g, k=k: k * dphi(u) * g if k != 1.0 else dphi(u) * g,
                u, g, out=_buffer(buffers, f"delta{h}", tuple(u.shape)),
            )  # fmt: skip
            deltas.append(delta)
            if h:
                shape = tuple(done.features[h].shape)
                back = self._back(h, delta, buffers)
                if self._skips[h]:
                    g = b.rowwise(lambda p, q: p + q, back, g, out=_buffer(buffers, f"g{h}", shape))
                else:
                    g = back
        return deltas[::-1]

    def _back(self, h: int, delta: Any, buffers: Buffers | None) -> Any:
        """phi^T(W^T delta): derivative in the features below layer h (from 0), skip connection left out."""
        W = self._matrix(h)
        return self._backend.matmul(delta, W, _buffer(buffers, f"back{h}", (delta.shape[0], W.shape[1])))

    def _gradients(self, done: Pass, weight: Any, deltas: list[Any], into: Callable[[int], Any]) -> list[Any]:
        gradients = [
            self._weight_gradient(h, delta, self._inputs(h, done.features[h]), into(h))
            for h, delta in enumerate(deltas)
        ]
        if self._trains_readout:
            b = self._backend
            rows, width = self._readout().shape
            flat = b.xp.reshape(done.features[-1], (-1, rows * width))
            gradients.append(self._readout_gradient(b.xp.reshape(b.matmul(weight, flat), (rows, width))))
        return gradients

    @property
    def _trains_readout(self) -> bool:
        return len(self._parameters) > self.depth

    # --- public -----------------------------------------------------------------------------------

    def forward(self, X: Any) -> Forward:
        """Outputs, features and pre-activations of all layers; see :meth:`DeepNetwork.forward`."""
        done = self._propagate(self._examples(X, "X"), None)
        return Forward(
            done.outputs,
            [self._public(x) for x in done.features],
            [self._public(u) for u in done.preactivations],
        )

    def _pass(self, forward: Forward) -> Pass:
        self._check_forward(forward, [int(self._matrix(h).shape[0]) for h in range(self.depth)])
        return Pass(
            forward.outputs,
            [self._rows(x) for x in forward.features],
            [self._rows(u) for u in forward.preactivations],
        )

    def backpropagate(self, forward: Forward) -> list[Any]:
        """delta^(h) = k_h sigma'(u^(h)) o g^(h); g^(H) = a, g^(h-1) = phi^T(W^(h)^T delta^(h)) [+ g^(h)]."""
        return [self._public(delta) for delta in self._deltas(self._pass(forward), None, None)]

    def backward(self, forward: Forward, dloss_du: Any) -> list[Any]:
        """Gradients sum_i dloss_du_i delta_i^(h) phi(x_i^(h-1))^T, and sum_i dloss_du_i x_i^(H) for a."""
        done = self._pass(forward)
        weight = self._weights(dloss_du, done.outputs.shape[0], "dloss_du")
        return self._gradients(done, weight, self._deltas(done, weight, None), lambda _: None)

    def layer_grams(self, X: Any, X2: Any = None) -> list[Any]:
        """G^(h) = (phi(x)^T phi(x')) o (delta^T delta'), summed over pairs of pixels; see the base class."""
        one = self._propagate(self._examples(X, "X"), None)
        two = one if X2 is None else self._propagate(self._examples(X2, "X2"), None)
        return self._grams(one, self._deltas(one, None, None), two)

    def _grams(self, one: Pass, deltas: list[Any], two: Pass) -> list[Any]:
        deltas2 = deltas if two is one else self._deltas(two, None, None)
        grams = []
        for h, (p, q) in enumerate(zip(deltas, deltas2, strict=True)):
            grams.append(self._layer_gram(h, one.features[h], p, two.features[h], q))
        if self._trains_readout:
            rows, width = self._readout().shape
            flat = [self._backend.xp.reshape(x.features[-1], (-1, rows * width)) for x in (one, two)]
            grams.append(self._backend.matmul(flat[0], flat[0].T if two is one else flat[1].T))
        return [symmetrised(G) for G in grams] if two is one else grams

    def _layer_gram(self, h: int, x: Any, p: Any, x2: Any, q: Any) -> Any:
        b = self._backend
        features = b.matmul(x, x.T if x2 is x else x2.T)  # same array twice: half the work in BLAS
        return b.rowwise(
            lambda c, d: c * d, features, b.matmul(p, p.T if q is p else q.T), out=_reuse(b, features)
        )

    def _signs(self, done: Pass) -> list[Any]:
        return [self._positive(u) for u in done.preactivations]

    def patterns(self, X: Any) -> list[Any]:
        """Signs of the pre-activations, boolean, shaped like them: u >= 0."""
        return [self._public(signs) for signs in self._signs(self._propagate(self._examples(X, "X"), None))]


class ConvolutionalLayers(LayeredNetwork):
    """The parts of a chain that differ when features are images, (n, pixels, channels) in the products."""

    _patches: Patches

    def _pixels_first(self, weights: Any) -> Any:
        """(m, channels x q) with channel-major columns, as in the text, to offset-major ones."""
        b, q = self._backend, self._patches.size
        m, columns = weights.shape
        split = b.permute(b.xp.reshape(weights, (m, columns // q, q)), (0, 2, 1))
        return b.xp.reshape(split, (m, columns))

    def _matrix(self, h: int) -> Any:
        return self._pixels_first(self._parameters[h])

    def _weight_gradient(self, h: int, delta: Any, z: Any, out: Any) -> Any:
        b, q = self._backend, self._patches.size
        product = b.matmul(delta.T, z)
        m, columns = product.shape
        split = b.permute(b.xp.reshape(product, (m, q, columns // q)), (0, 2, 1))
        if out is None:
            return b.xp.reshape(split, (m, columns))
        b.xp.reshape(out, (m, columns // q, q))[...] = split
        return out

    def _inputs(self, h: int, x: Any) -> Any:
        return self._patches.gather(self._images(x))

    def _images(self, rows: Any) -> Any:
        pixels = self._patches.pixels
        return self._backend.xp.reshape(rows, (rows.shape[0] // pixels, pixels, rows.shape[1]))

    def _rows_of_examples(self, x: Any) -> Any:
        return self._rows(self._backend.xp.reshape(x, (x.shape[0], -1, self._patches.pixels)))

    def _readout(self) -> Any:
        return self._parameters[-1].T

    def _readout_gradient(self, weighted: Any) -> Any:
        return weighted.T

    def _public(self, rows: Any) -> Any:
        return self._backend.permute(self._images(rows), (0, 2, 1))

    def _rows(self, array: Any) -> Any:
        n, channels, pixels = array.shape
        return self._backend.xp.reshape(self._backend.permute(array, (0, 2, 1)), (n * pixels, channels))

    def _back(self, h: int, delta: Any, buffers: Buffers | None) -> Any:
        product = super()._back(h, delta, buffers)
        folded = self._patches.adjoint(product)
        return self._backend.xp.reshape(folded, (delta.shape[0], folded.shape[2]))

    def _layer_gram(self, h: int, x: Any, p: Any, x2: Any, q: Any) -> Any:
        b, pixels = self._backend, self._patches.pixels
        n, n2 = x.shape[0] // pixels, x2.shape[0] // pixels
        block = max(1, _TILE // (pixels * pixels * n2))
        tiles = []
        for begin in range(0, n, block):
            rows = slice(begin * pixels, min(begin + block, n) * pixels)
            size = (rows.stop - rows.start) // pixels
            shape = (size, pixels, n2, pixels)
            S = b.xp.reshape(b.matmul(x[rows, :], x2.T), shape)
            D = b.xp.reshape(b.matmul(p[rows, :], q.T), shape)
            tiles.append(b.xp.sum(self._patches.covariance(S) * D, axis=(1, 3)))
        return b.concat(tiles, 0)


def _buffer(buffers: Buffers | None, name: str, shape: tuple[int, ...]) -> Any:
    return None if buffers is None else buffers.get(name, shape)


def _reuse(backend: Backend, array: Any) -> Any:
    """`array` as its own output, where the library allows it and no derivative is taken through it."""
    return array if backend.is_numpy else None
