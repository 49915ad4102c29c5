"""Checks of a request to `train` that the trainers of two-layer and deep networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["check_callbacks", "check_deep_request", "number_or_auto"]


def check_deep_request(network: Any, layers: str, memory_limit: int | None) -> None:
    """Refuse what is not a network, and options that deep networks do not have."""
    if not hasattr(network, "layer_grams"):
        raise TypeError(f"network: a TwoLayerReLU or deep network is needed, got {type(network).__name__}")
    if layers != "first":
        raise ValueError("layers: only for two-layer networks; use layer_step_sizes to freeze layers")
    if memory_limit is not None:
        raise ValueError("memory_limit: only for method 'event' of two-layer networks")


def number_or_auto(step_size: Any) -> Any:
    """Refuse schedules of step sizes."""
    if callable(step_size) or (isinstance(step_size, Iterable) and not isinstance(step_size, str)):
        raise TypeError(f"step_size: schedules are for deep networks; a number is needed, got {step_size!r}")
    return step_size


def check_callbacks(callbacks: Any) -> list[Callable[[Any], Any]]:
    """One callable or several, as a list; TypeError naming `callbacks` otherwise."""
    if not callable(callbacks) and not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: a callable or a list of callables is needed, got {callbacks!r}")
    checked = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in checked:
        if not callable(callback):
            raise TypeError(f"callbacks: callables are needed, got {callback!r}")
    return checked
