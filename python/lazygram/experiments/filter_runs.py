"""SGD on one convolutional filter with synthetic inputs: runs shared by Figures 6.3(a) and (b)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazygram.arrays import Float64
from lazygram.experiments.base import Progress
from lazygram.problems.conv_filter import cut_batches, sgd_pass
from lazygram.problems.filter_inputs import FilterInputs

__all__ = ["sgd_distances", "start_filter"]

FLOOR = float(np.finfo(np.float64).tiny)  # logarithms of exact hits stay finite


def start_filter(start: Sequence[float], dim: int) -> Float64:
    """The start w0: the given coordinates, then zeros.

    Raises
    ------
    ValueError
        If there are more coordinates than dimensions.
    """
    if len(start) > dim:
        raise ValueError(f"start: has {len(start)} coordinates, the filter {dim}")
    return np.concatenate([np.asarray(start, dtype=np.float64), np.zeros(dim - len(start))])


def sgd_distances(
    inputs: FilterInputs,
    w0: Float64,
    *,
    step_size: float,
    batch_size: int,
    samples: int,
    epochs: int,
    seeds: Sequence[int],
    tell: Progress,
) -> Float64:
    """ln |w - e_1| after every epoch of SGD on fresh samples, w* = e_1; shape (seeds, epochs + 1)."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    w_star = np.tile(np.eye(inputs.dim)[0], (len(seeds), 1))
    w = np.tile(w0, (len(seeds), 1))
    distances = np.empty((len(seeds), epochs + 1))
    for epoch in range(epochs + 1):
        distances[:, epoch] = np.linalg.norm(w - w_star, axis=1)
        if epoch < epochs:
            tell(f"epoch {epoch} of {epochs}", epoch / epochs)
            Z = np.stack([inputs.sample(samples, generator) for generator in generators])
            w = sgd_pass(w, w_star, cut_batches(Z, batch_size), step_size)
    return np.asarray(np.log(np.maximum(distances, FLOOR)))
