"""The theory of deep networks for network objects and their runs: limits, constants and report in one call.

The rest of :mod:`lazygram.analysis` takes plain arrays. Here they are taken out of a network of
:mod:`lazygram.networks` and its infinite-width counterpart of :mod:`lazygram.architectures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import zou
from lazygram.analysis.deep_bounds import Architecture, NetworkConstants
from lazygram.analysis.deep_quantities import (
    DeepQuantities,
    deep_quantities,
    lipschitz_constant,
    measured_constants,
)
from lazygram.analysis.deep_theory import deep_theory_report
from lazygram.analysis.rows import TheoryRow
from lazygram.analysis.zou_bounds import LOSS_CONSTANTS
from lazygram.analysis.zou_theory import zou_initial_report, zou_training_report
from lazygram.data.separated import separation
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
)
from lazygram.training.losses import get_loss

__all__ = ["architecture_of", "infinite_width", "network_constants", "network_quantities", "run_report"]

Float64Array = npt.NDArray[np.float64]

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


def network_quantities(
    network: Any, X: npt.ArrayLike, y: npt.ArrayLike, *, delta: float = 0.1
) -> DeepQuantities:
    """Evaluate Theorems 3.1-3.3 for an initial network and its data.

    Parameters
    ----------
    network : FullyConnectedNetwork, ResidualNetwork or ConvResidualNetwork
        At initialisation.
    X, y : array_like
        Examples and labels.
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
    residual = _host(network, forward.outputs) - np.asarray(y, dtype=np.float64)
    return deep_quantities(
        network_constants(network, X),
        infinite_width(network).layer_grams(X),
        width=network.width,
        residual_norm=float(np.linalg.norm(residual)),
        delta=delta,
        layer_grams=[_host(network, G) for G in network.layer_grams(X)],
        features=[_host(network, x) for x in forward.features[1:]],
    )


def run_report(
    network: DeepNetwork,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    summary: Mapping[str, Any],
    history: Mapping[str, npt.ArrayLike],
    *,
    quantities: DeepQuantities | None = None,
    delta: float = 0.1,
) -> list[TheoryRow]:
    """Theory report of a run: Theorems 3.1-3.3, or Zou et al.'s for a deep ReLU network.

    Parameters
    ----------
    network : deep network
        Where the run started.
    X, y : array_like
        Its training examples and labels.
    summary, history : mappings
        ``run.summary`` and ``run.history``.
    quantities : DeepQuantities, optional
        Of :func:`network_quantities`, if they are there already.
    delta : float, default 0.1
        Failure probability.

    Returns
    -------
    list of TheoryRow
        Empty where the texts say nothing: another loss than theirs, minibatches for Theorems 3.1-3.3, layers
        with step sizes of their own, or a schedule.

    Raises
    ------
    TypeError, ValueError
        As :func:`network_quantities`.
    """
    flow = summary["method"] == "flow"
    same = len(set(summary["layer_step_sizes"])) == 1 and summary["step_size"] is not None
    eta: float | None = None if flow or not same else summary["step_size"] * summary["layer_step_sizes"][0]
    if isinstance(network, DeepReLUNetwork):
        if summary["loss"] not in LOSS_CONSTANTS or eta is None:
            return []
        return _zou_report(network, X, y, summary, history, eta, delta)
    fits = summary["loss"] == "quadratic" and summary["reduction"] == "sum" and summary["method"] != "sgd"
    if not fits or not same or (flow and summary["layer_step_sizes"][0] != 1.0):
        return []
    if quantities is None:
        quantities = network_quantities(network, X, y, delta=delta)
    return deep_theory_report(
        quantities, step_size=eta, history=history, flow=flow, dtype=np.dtype(summary["dtype"])
    )


def _zou_report(
    network: DeepReLUNetwork,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    summary: Mapping[str, Any],
    history: Mapping[str, npt.ArrayLike],
    eta: float,
    delta: float,
) -> list[TheoryRow]:
    labels = np.asarray(y, dtype=np.float64)
    state = zou.ReLUState.at([_host(network, W) for W in network.parameters], _host(network, network.v), X)
    initial = zou.initial_quantities(state, labels, examples=_PRODUCT_EXAMPLES)
    phi, n = separation(state.features[0], labels), state.n
    if not np.isfinite(phi):
        raise ValueError("y: both labels are needed for the separation of the classes")
    widths = [network.dim, *network.widths]
    # The theory is about L_S, the mean; history may be of the sum.
    scale = 1.0 if summary["reduction"] == "mean" else 1.0 / n
    scaled = {name: np.asarray(values) for name, values in history.items()}
    for name in ("loss", "gradient_norm"):
        if name in scaled:
            scaled[name] = scale * scaled[name]
    slopes = None
    if "predictions" in scaled:
        loss = get_loss(summary["loss"])
        slopes = np.array([np.abs(loss.derivative(u, labels)).sum() for u in scaled["predictions"]])
    return zou_initial_report(initial, widths, n=n, separation=phi, delta=delta) + zou_training_report(
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


def _host(network: DeepNetwork, array: Any) -> Float64Array:
    """A NumPy array in float64 of an array of the network's library."""
    return np.asarray(network._backend.to_numpy(array), dtype=np.float64)
