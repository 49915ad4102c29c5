"""Analysis of training: spectra and proven eigenvalue bounds, frozen-kernel predictions, theory.

    spectrum           eigenvalues; certified_lambda_min, a proven lower bound
    tracked            extreme eigenvalues of a matrix that moves a little at a time
    dynamics           predictions and losses under a constant Gram matrix, kernel predictor
    two_layer_bounds   formulas of the two-layer theory
    quantities         those formulas evaluated for given data
    theory             whether a run met them: report rows and table

Everything takes plain arrays (Gram matrices, histories) and depends on NumPy and SciPy alone.
"""

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

__all__ = [
    "FrozenDynamics",
    "TheoryRow",
    "TrackedSpectrum",
    "TwoLayerQuantities",
    "certified_lambda_min",
    "divergence_step_size",
    "eigenvalues",
    "format_report",
    "frozen_flow",
    "frozen_gd",
    "frozen_loss_curve",
    "kernel_predict",
    "lambda_max",
    "lambda_min",
    "operator_norm",
    "stable_step_size",
    "theory_report",
    "two_layer_quantities",
]
