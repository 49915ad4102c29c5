"""Checks that the settings of experiments share; errors name the setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["check_each"]


def check_each(
    values: Iterable[Any], name: str, check: Callable[[Any, str], Any], *, increasing: bool = False
) -> None:
    """Check every entry of a setting that is a tuple.

    Parameters
    ----------
    values : iterable
        The setting.
    name : str
        Its name, for errors.
    check : callable
        ``check(value, name)`` raises if `value` does not fit.
    increasing : bool, default False
        Whether the entries must increase.

    Raises
    ------
    TypeError, ValueError
        What `check` raises, or if there is no entry or they do not increase.
    """
    given = tuple(values)
    if not given:
        raise ValueError(f"{name}: at least one is needed")
    for value in given:
        check(value, name)
    if increasing and sorted(set(given)) != list(given):
        raise ValueError(f"{name} must be increasing, got {', '.join(map(str, given))}")
