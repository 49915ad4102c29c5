"""The theory of deep networks for network objects and their runs: limits, constants and report in one call.

The rest of :mod:`lazygram.analysis` takes plain arrays. Here they are taken out of a network of
:mod:`lazygram.networks` and its infinite-width counterpart of :mod:`lazygram.architectures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.activations import Activation
from lazygram.analysis import zou
from lazygram.analysis.deep_bounds import Architecture, NetworkConstants, propagation_constant
from lazygram.analysis.deep_quantities import (
    DeepQuantities,
    deep_quantities,
    lipschitz_constant,
    measured_constants,
)
from lazygram.analysis.deep_theory import deep_initial_report, deep_theory_report
from lazygram.analysis.rows import TheoryRow
from lazygram.analysis.zou_bounds import LOSS_CONSTANTS
from lazygram.analysis.zou_theory import zou_initial_report, zou_region_report, zou_training_report
from lazygram.data.separated import separation
from lazygram.duals import dual
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
)
from lazygram.networks.backend import on_host
from lazygram.training.losses import get_loss

__all__ = [
    "architecture_of",
    "dual_slopes",
    "infinite_width",
    "layer_limits",
    "network_constants",
    "network_quantities",
    "run_report",
]

Float64Array = npt.NDArray[np.float64]

_STEP = 1e-5  # relative, of the finite differences of a dual: an error of about its square

_PRODUCT_EXAMPLES = 2  # whose products of layers are decomposed for Theorem 5.1 (v), the costly part


def architecture_of(network: DeepNetwork) -> Architecture:
    """Which of the theorems' architectures a network is.

    Raises
    ------
    TypeError
        If it is none of them.
    """
    if isinstance(network, FullyConnectedNetwork):
        return "fc"
    if isinstance(network, ConvResidualNetwork):
        return "conv-resnet"
    if isinstance(network, ResidualNetwork):
        return "resnet"
    raise TypeError(f"network: Theorems 3.1-3.3 are about other architectures, got {network!r}")


def infinite_width(network: Any) -> Any:
    """The network of infinite width with the same layers: an object of :mod:`lazygram.architectures`."""
    from lazygram import architectures

    kind = architecture_of(network)
    if kind == "fc":
        return architectures.FullyConnected(network.depth, network.activation)
    if kind == "resnet":
        return architectures.ResNet(network.depth, network.activation, network.c_res)
    return architectures.ConvResNet(
        network.depth, network.activation, network.c_res, network.image, network.patch
    )


def layer_limits(network: Any, X: Any, X2: Any = None) -> list[Float64Array]:
    """Limits of the Gram matrices G^(h)(0) of a network's layers as its width grows.

    Parameters
    ----------
    network : FullyConnectedNetwork, ResidualNetwork, ConvResidualNetwork or DeepReLUNetwork
        At initialisation.
    X, X2 : array_like
        Examples, of any library; X2 = X by default.

    Returns
    -------
    list of ndarray, shape (n, n2)
        One for each parameter. Those of a deep ReLU network grow with the width: its W_l are sqrt(2/m_l)
        times standard normal ones, so the limits are m_l/2 times those of the fully connected ReLU network.

    Raises
    ------
    TypeError
        The architecture is another one.
    """
    x, x2 = _inputs(network, X), None if X2 is None else _inputs(network, X2)
    if not isinstance(network, DeepReLUNetwork):
        return list(infinite_width(network).layer_grams(x, x2))
    from lazygram.architectures import FullyConnected

    grams = FullyConnected(network.depth, "relu").layer_grams(x, x2)[:-1]  # v is not trained
    return [0.5 * m * K for m, K in zip(network.widths, grams, strict=True)]


def network_constants(network: Any, X: npt.ArrayLike | None = None) -> NetworkConstants:
    """Constants of the theory for a network; norms are measured if examples are given.

    Parameters
    ----------
    network : FullyConnectedNetwork, ResidualNetwork or ConvResidualNetwork
        At initialisation.
    X : array_like, optional
        Examples, for the norms of the features; without them norms have the texts' values.

    Raises
    ------
    TypeError, ValueError
        If the architecture is another one, the activation has no derivative, or the examples do not fit.
    """
    kind, phi = architecture_of(network), network.activation
    if phi.dphi is None:
        raise ValueError(f"network: the derivative of {phi.name} is not known")
    conv = kind == "conv-resnet"
    constants = NetworkConstants(
        kind,
        network.depth,
        c_sigma=network.c_sigma,
        lipschitz=lipschitz_constant(phi.dphi),
        value_at_zero=float(phi(0.0)),
        c_res=0.5 if kind == "fc" else network.c_res,
        pixels=int(np.prod(network.image)) if conv else 1,
        patch=int(np.prod(network.patch)) if conv else 1,
    )
    if X is None:
        return constants
    parameters = [_host(network, W) for W in network.parameters]
    features = [_host(network, x) for x in network.forward(X).features[1:]]
    return measured_constants(constants, parameters[:-1], parameters[-1], features)


def network_quantities(network: Any, X: Any, y: Any, *, delta: float = 0.1) -> DeepQuantities:
    """Evaluate Theorems 3.1-3.4 for an initial network and its data.

    Parameters
    ----------
    network : FullyConnectedNetwork, ResidualNetwork or ConvResidualNetwork
        At initialisation.
    X, y : array_like
        Examples and labels, of any library.
    delta : float, default 0.1
        Failure probability.

    Returns
    -------
    DeepQuantities

    Raises
    ------
    TypeError, ValueError
        As :func:`network_constants` and :func:`lazygram.analysis.deep_quantities`.
    """
    forward = network.forward(X)
    residual = _host(network, forward.outputs) - np.asarray(on_host(y), dtype=np.float64)
    constants, x = network_constants(network, X), _inputs(network, X)
    features = [_host(network, f) for f in forward.features[1:]]
    limit = infinite_width(network)
    return deep_quantities(
        constants,
        limit.layer_grams(x),
        width=network.width,
        residual_norm=float(np.linalg.norm(residual)),
        delta=delta,
        layer_grams=[_host(network, G) for G in network.layer_grams(X)],
        features=features,
        covariance_errors=_covariance_errors(features, limit.layer_covariances(x)[1:]),
        propagation_constant=_propagation_constant(constants, network.activation, limit, x),
    )


def _covariance_errors(features: Sequence[Float64Array], limits: Sequence[Float64Array]) -> list[float]:
    """``max |<x_i^(h), x_j^(h)> - S^(h)_ij|`` of every layer, over all pixels of a convolution."""
    errors = []
    for x, S in zip(features, limits, strict=True):
        pixels = x[:, :, None] if x.ndim == 2 else x
        products = np.einsum("icl,jcl->lij", pixels, pixels, optimize=True)
        errors.append(float(np.abs(products - S.reshape(products.shape)).max()))
    return errors


def _propagation_constant(
    constants: NetworkConstants, activation: Activation, limit: Any, X: npt.ArrayLike
) -> float:
    pairs = limit.pair_covariances(X)
    slopes = [dual_slopes(activation, A[..., 0, 1], A[..., 0, 0], A[..., 1, 1]) for A in pairs]
    return propagation_constant(
        constants,
        covariance=max(float(np.abs(A).max()) for A in pairs),
        mean=max(float(np.abs(b).max()) for b in limit.b(X)),
        dual_lipschitz=max(float(np.abs(slope).sum(axis=0).max()) for slope in slopes),
    )


def dual_slopes(
    activation: str | Activation, r: npt.ArrayLike, p: npt.ArrayLike, q: npt.ArrayLike
) -> Float64Array:
    """Derivatives of ``E[phi(u) phi(v)]`` in the variances p, q and the covariance r, by differences.

    Parameters
    ----------
    activation : str or Activation
        phi.
    r, p, q : array_like
        Covariances and variances, shapes that broadcast.

    Returns
    -------
    ndarray, shape (3, ...)
        In p, in q, in r; at a covariance of 1 - 4e-5 times r, which keeps the differences admissible. Zero
        where a variance is zero.
    """
    inside = np.asarray(r, dtype=np.float64) * (1.0 - 4.0 * _STEP)
    first, second = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    inside, first, second = np.broadcast_arrays(inside, first, second)
    changes = []
    for size, (dp, dq, dr) in zip((first, second, np.sqrt(first * second)), _STEP * np.eye(3), strict=True):
        up = dual(activation, inside + dr * size, first + dp * size, second + dq * size)
        down = dual(activation, inside - dr * size, first - dp * size, second - dq * size)
        with np.errstate(invalid="ignore", divide="ignore"):
            changes.append(np.where(size > 0.0, (up - down) / (2.0 * _STEP * size), 0.0))
    return np.array(changes)


def run_report(
    network: DeepNetwork,
    X: Any,
    y: Any,
    summary: Mapping[str, Any],
    history: Mapping[str, npt.ArrayLike],
    *,
    trained: DeepNetwork | None = None,
    quantities: DeepQuantities | None = None,
    delta: float = 0.1,
) -> list[TheoryRow]:
    """Theory report of a run: Theorems 3.1-3.4, or Zou et al.'s 5.1 and 5.3 for a deep ReLU network.

    Parameters
    ----------
    network : deep network
        Where the run started.
    X, y : array_like
        Its training examples and labels.
    summary, history : mappings
        ``run.summary`` and ``run.history``.
    trained : DeepReLUNetwork, optional
        ``run.network``, for what Theorem 5.3 says of the weights at the end.
    quantities : DeepQuantities, optional
        Of :func:`network_quantities`, if they are there already.
    delta : float, default 0.1
        Failure probability.

    Returns
    -------
    list of TheoryRow
        Of the initial network alone where the texts say nothing about the run: another loss than theirs,
        minibatches for Theorems 3.1-3.3, layers with step sizes of their own, a schedule for Zou et al.

    Raises
    ------
    TypeError, ValueError
        As :func:`network_quantities`.
    """
    flow = summary["method"] == "flow"
    factors = summary["layer_step_sizes"]
    same, constant = len(set(factors)) == 1, summary["step_size"] is not None
    eta: float | None = summary["step_size"] * factors[0] if same and constant and not flow else None
    if isinstance(network, DeepReLUNetwork):
        return _zou_report(network, X, y, summary, history, eta, trained, delta)
    if quantities is None:
        quantities = network_quantities(network, X, y, delta=delta)
    fits = summary["loss"] == "quadratic" and summary["reduction"] == "sum" and summary["method"] != "sgd"
    if not fits or not same or (eta is None and factors[0] != 1.0):
        return deep_initial_report(quantities)
    return deep_theory_report(
        quantities,
        step_size=eta,
        history=history,
        flow=flow,
        schedule=not flow and not constant,
        dtype=np.dtype(summary["dtype"]),
    )


def _zou_report(
    network: DeepReLUNetwork,
    X: Any,
    y: Any,
    summary: Mapping[str, Any],
    history: Mapping[str, npt.ArrayLike],
    eta: float | None,
    trained: DeepNetwork | None,
    delta: float,
) -> list[TheoryRow]:
    labels = np.asarray(on_host(y), dtype=np.float64)
    state = _relu_state(network, X)
    if not np.isin(labels, (-1.0, 1.0)).all():  # the assumptions are about two classes
        return []
    initial = zou.initial_quantities(state, labels, examples=_PRODUCT_EXAMPLES)
    phi, n = separation(state.features[0], labels), state.n
    if not np.isfinite(phi):
        raise ValueError("y: both labels are needed for the separation of the classes")
    rows = zou_initial_report(initial, [network.dim, *network.widths], n=n, separation=phi, delta=delta)
    if summary["loss"] not in LOSS_CONSTANTS or eta is None:
        return rows
    # The theory is about L_S, the mean; history may be of the sum.
    scale = 1.0 if summary["reduction"] == "mean" else 1.0 / n
    scaled = {name: np.asarray(values) for name, values in history.items()}
    for name in ("loss", "gradient_norm"):
        if name in scaled:
            scaled[name] = scale * scaled[name]
    loss, slopes = get_loss(summary["loss"]), None
    if "predictions" in scaled:
        slopes = np.array([np.abs(loss.derivative(u, labels)).sum() for u in scaled["predictions"]])
    rows += zou_training_report(
        n=n,
        depth=network.depth,
        width=min(network.widths),
        separation=phi,
        loss=LOSS_CONSTANTS[summary["loss"]],
        step_size=eta / scale,
        history=scaled,
        y=labels,
        slopes=slopes,
    )
    if isinstance(trained, DeepReLUNetwork):
        finite = all(np.isfinite(_host(trained, W)).all() for W in trained.parameters)
        end = _relu_state(trained, X) if finite else None
        slope = None if end is None else labels * loss.derivative(end.outputs, labels)
        # Weights that never moved, and losses that are all met, leave nothing to measure.
        if end is not None and slope is not None and summary["steps_done"] > 0 and slope.any():
            rows += zou_region_report(zou.region_quantities(state, end, labels, slope, phi), network.depth)
    return rows


def _relu_state(network: DeepReLUNetwork, X: Any) -> zou.ReLUState:
    weights = [_host(network, W) for W in network.parameters]
    return zou.ReLUState.at(weights, _host(network, network.v), _inputs(network, X))


def _inputs(network: DeepNetwork, X: Any) -> Float64Array:
    """Examples on the host in the shape that kernels take, which do not know images from vectors."""
    x = np.asarray(on_host(X), dtype=np.float64)
    if len(network.input_shape) > 1 and x.ndim == 2:
        return x.reshape(-1, *network.input_shape)
    return x


def _host(network: DeepNetwork, array: Any) -> Float64Array:
    """A NumPy array in float64 of an array of the network's library."""
    return np.asarray(network._backend.to_numpy(array), dtype=np.float64)
