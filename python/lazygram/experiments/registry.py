"""The table of experiments: finds one by id or several by pattern, imports a module when it is used."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from lazygram.experiments.base import Experiment

__all__ = ["Registry"]

_DEFAULT_NAME = "EXPERIMENT"


class Registry(Mapping[str, Experiment]):
    """Experiments by id, in the order of the table, each imported when it is first asked for.

    Parameters
    ----------
    table : mapping of str to str
        Id to place: the name of a module. The experiment is its ``EXPERIMENT``; ``"module:NAME"`` says
        otherwise where a module defines several.
    package : str
        Package of the modules; empty for modules that belong to none.
    """

    def __init__(self, table: Mapping[str, str], package: str) -> None:
        self._table = dict(table)
        self._package = package

    def __getitem__(self, name: str) -> Experiment:
        if name not in self._table:
            raise KeyError(name)
        module, _, attribute = self._table[name].partition(":")
        full = f"{self._package}.{module}" if self._package else module
        experiment = getattr(import_module(full), attribute or _DEFAULT_NAME)
        if not isinstance(experiment, Experiment) or experiment.id != name:
            raise TypeError(f"{self._table[name]} does not define the experiment {name}")
        return experiment

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Ids that match any of the patterns, in the order of the table, without importing anything.

        Parameters
        ----------
        patterns : iterable of str
            Ids, globs (``fig7.*``), several of either with commas between, or ``all``.

        Raises
        ------
        ValueError
            If a pattern matches nothing; the message lists what there is.
        """
        chosen: set[str] = set()
        for pattern in [part.strip() for given in patterns for part in given.split(",")]:
            found = list(self) if pattern == "all" else fnmatch.filter(self, pattern)
            if not found:
                raise ValueError(f"no experiment {pattern!r}; there are {', '.join(self)}")
            chosen.update(found)
        return [name for name in self if name in chosen]
