"""Analysis of training: spectra and proven eigenvalue bounds, frozen-kernel predictions, theory.

    spectrum           eigenvalues; certified_lambda_min, a proven lower bound
    tracked            extreme eigenvalues of a matrix that moves a little at a time
    dynamics           predictions and losses under a constant Gram matrix, kernel predictor
    two_layer_bounds   formulas of the two-layer theory
    quantities         those formulas evaluated for given data
    theory             whether a run met them: report rows
    deep_bounds, deep_quantities, deep_theory    the same for fully connected networks and ResNets
    zou_bounds, zou, zou_theory                  the same for deep ReLU networks
    rows               rows of a report and their table

Everything takes plain arrays (Gram matrices, histories) and depends on NumPy and SciPy alone.
"""

from lazygram.analysis.deep_bounds import NetworkConstants
from lazygram.analysis.deep_quantities import DeepQuantities, deep_quantities, layer_gaps, measured_constants
from lazygram.analysis.deep_theory import deep_theory_report
from lazygram.analysis.dynamics import (
    FrozenDynamics,
    divergence_step_size,
    frozen_flow,
    frozen_gd,
    frozen_loss_curve,
    kernel_predict,
    stable_step_size,
)
from lazygram.analysis.spectrum import (
    certified_lambda_min,
    eigenvalues,
    lambda_max,
    lambda_min,
    operator_norm,
)
from lazygram.analysis.theory import (
    TheoryRow,
    TwoLayerQuantities,
    format_report,
    theory_report,
    two_layer_quantities,
)
from lazygram.analysis.tracked import TrackedSpectrum
from lazygram.analysis.zou import ReLUState, initial_quantities, region_quantities
from lazygram.analysis.zou_theory import zou_initial_report, zou_training_report

__all__ = [
    "DeepQuantities",
    "FrozenDynamics",
    "NetworkConstants",
    "ReLUState",
    "TheoryRow",
    "TrackedSpectrum",
    "TwoLayerQuantities",
    "certified_lambda_min",
    "deep_quantities",
    "deep_theory_report",
    "divergence_step_size",
    "eigenvalues",
    "format_report",
    "frozen_flow",
    "frozen_gd",
    "frozen_loss_curve",
    "initial_quantities",
    "kernel_predict",
    "lambda_max",
    "lambda_min",
    "layer_gaps",
    "measured_constants",
    "operator_norm",
    "region_quantities",
    "stable_step_size",
    "theory_report",
    "two_layer_quantities",
    "zou_initial_report",
    "zou_training_report",
]
