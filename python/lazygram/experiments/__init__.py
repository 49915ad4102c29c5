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
        # Balance of layers, matrix factorisation: thesis chapter 4
        "fig4.1": "fig4_1",
        "balance": "balance",
        "thm4.4": "thm4_4",
        "thm4.5": "thm4_5",
        "fig4.2": "fig4_2",
        # Gaussian input, two layers: thesis chapter 5
        "fig5.1": "fig5_1",
        "fig5.2": "fig5_2",
        "table5.1": "table5_1",
        # One convolutional filter: thesis chapter 6
        "fig6.3a": "fig6_3a",
        "fig6.3b": "fig6_3b",
        "fig6.3cd": "fig6_3cd",
        "fig6.4": "fig6_4",
        # Saddle points: thesis chapter 7
        "fig7.warmup": "fig7_warmup",
        "fig7.2": "fig7_2",
        "fig7.3": "fig7_3_4:FIG7_3",
        "fig7.4": "fig7_3_4:FIG7_4",
        # Deep ReLU networks: Zou et al.
        # Landscape: essay
        "essay.gradient": "essay_gradient",
        "essay.rank": "essay_rank",
        "essay.landscape": "essay_landscape",
        "essay.width": "essay_width",
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
