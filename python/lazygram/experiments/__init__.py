"""Published figures, tables and claims, each one command: ``lazygram reproduce ID``.

    registry    finds experiments, imports them when they are used
    base        what an experiment is: presets, run, expected numbers with bands, figure, files
    parts       finished parts of a run, for going on after an interruption
    settings    settings from the command line
    task        one experiment to run, with its settings and folder
    records     what a run left in its folder, and whether it is still valid
    runner      runs tasks: what is finished already, in which order
    pool        processes for that, side by side
    report      one HTML file about everything in a folder

An experiment is a module here that defines an :class:`~lazygram.experiments.base.Experiment`, with its
expected numbers in a module of their own, and one line in the table below.
"""

from lazygram.experiments.base import Experiment, ExperimentResult, Row
from lazygram.experiments.registry import Registry

__all__ = ["REGISTRY", "Experiment", "ExperimentResult", "Registry", "Row", "get_experiment"]

REGISTRY = Registry(
    {
        # Two-layer networks: thesis chapter 2, lecture notes
        "fig2.1": "fig2_1",
        "lemma2": "lemma2",
        "thm2": "thm2",
        "lazy": "lazy",
        "predictor": "predictor",
        "lecture": "lecture",
        # Deep networks: thesis chapter 3
        "thm3.gd": "deep_gd",
        "thm3.depth": "deep_depth",
        "thm3.4": "deep_propagation",
        # Balance of layers, matrix factorisation: thesis chapter 4
        # Convolutional filters: thesis chapter 5
        # Gaussian input: thesis chapter 6
        # Saddle points: thesis chapter 7
        # Deep ReLU networks: Zou et al.
        "zou.init": "zou_init",
        "zou.region": "zou_region",
        "zou.training": "zou_training",
        # Landscape: essay
        "essay.gradient": "essay_gradient",
    },
    package=__name__,
)


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
