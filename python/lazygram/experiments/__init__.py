"""Published figures and tables, each one command: ``lazygram reproduce ID``.

An experiment is a module here that defines an :class:`~lazygram.experiments.base.Experiment`
(presets, run, expected numbers with bands, figure) and one line in the registry below.
"""

from lazygram.experiments import fig2_1
from lazygram.experiments.base import Experiment, ExperimentResult, Row

__all__ = ["REGISTRY", "Experiment", "ExperimentResult", "Row", "get_experiment"]

REGISTRY: dict[str, Experiment] = {entry.id: entry for entry in (fig2_1.EXPERIMENT,)}


def get_experiment(name: str) -> Experiment:
    """Find an experiment by its id.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those there are.
    """
    if name not in REGISTRY:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(REGISTRY)}")
    return REGISTRY[name]
