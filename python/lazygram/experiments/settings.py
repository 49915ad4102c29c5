"""Settings from the command line: ``[ID:]name=value`` against the types of an experiment's parameters."""

from __future__ import annotations

import fnmatch
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union

from lazygram.experiments.base import Experiment

__all__ = ["parse_assignments", "parse_value"]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_assignments(
    assignments: Iterable[str], experiments: Sequence[Experiment]
) -> dict[str, dict[str, Any]]:
    """Read ``name=value`` (for all the experiments) and ``ID:name=value`` (for those that match the glob ID).

    Parameters
    ----------
    assignments : iterable of str
        As given; later ones win.
    experiments : sequence of Experiment
        Those that are to run. Every experiment that an assignment is for must have that setting.

    Returns
    -------
    dict
        Changed settings by experiment, with an entry for every one.

    Raises
    ------
    ValueError
        If an assignment cannot be read, is for no experiment, or names or values do not fit.
    """
    changed: dict[str, dict[str, Any]] = {entry.id: {} for entry in experiments}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        pattern, colon, name = target.rpartition(":")
        if not equals or not name:
            raise ValueError(f"--set {assignment}: name=value or ID:name=value is needed")
        chosen = [e for e in experiments if not colon or fnmatch.fnmatchcase(e.id, pattern)]
        if not chosen:
            raise ValueError(f"--set {assignment}: {pattern} is none of the experiments to run")
        for experiment in chosen:
            hints = typing.get_type_hints(type(experiment.full))
            if name not in hints:
                known = ", ".join(hints)
                raise ValueError(
                    f"--set {assignment}: {name} is not a setting of {experiment.id}; it has {known}"
                )
            try:
                changed[experiment.id][name] = parse_value(text.strip(), hints[name])
            except ValueError as error:
                raise ValueError(f"--set {assignment}: {error}") from None
    return changed


def parse_value(text: str, hint: Any) -> Any:
    """Read a value of the type `hint`: numbers, texts, truth values, Literal, ``X | None``, tuples of these.

    Elements of a tuple have commas between; brackets around are optional, and needed for tuples in tuples.

    Raises
    ------
    ValueError
        If `text` is no such value.
    """
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _parse_union(text, typing.get_args(hint))
    if origin is Literal:
        for choice in typing.get_args(hint):
            if text == str(choice):
                return choice
        raise ValueError(f"{text!r} is none of {', '.join(map(str, typing.get_args(hint)))}")
    if origin is tuple:
        return _parse_tuple(text, typing.get_args(hint))
    if hint is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{text!r} is neither true nor false")
        return _TRUTH[text.lower()]
    if hint is int:
        try:
            number = float(text)  # 1e4 is a whole number too
            return int(text) if text.lstrip("+-").isdigit() else _whole(number)
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is not a whole number") from None
    if hint is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
    if hint is str:
        return text
    raise ValueError("this setting cannot be changed from the command line")


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError
    return int(number)


def _parse_union(text: str, hints: tuple[Any, ...]) -> Any:
    if type(None) in hints and text.lower() == "none":
        return None
    problem = ""
    for hint in hints:
        if hint is not type(None):
            try:
                return parse_value(text, hint)
            except ValueError as error:
                problem = str(error)
    raise ValueError(problem)


def _parse_tuple(text: str, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = _split(_unwrap(text))
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(parse_value(part, hints[0]) for part in parts)
    if len(parts) != len(hints):
        raise ValueError(f"{len(hints)} values with commas between are needed, got {len(parts)}")
    return tuple(parse_value(part, hint) for part, hint in zip(parts, hints, strict=True))


def _unwrap(text: str) -> str:
    """Take off one pair of brackets that encloses all of `text`."""
    if len(text) < 2 or text[0] + text[-1] not in ("()", "[]"):
        return text
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and place < len(text) - 1:
            return text
    return text[1:-1]


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets; a comma at the end adds nothing."""
    parts, depth, current = [], 0, ""
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += sign
    if depth != 0:
        raise ValueError(f"brackets of {text!r} do not match")
    if current.strip():
        parts.append(current.strip())
    return parts
