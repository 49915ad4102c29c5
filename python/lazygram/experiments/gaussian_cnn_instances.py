"""Random teachers and starts of the Gaussian CNN, shared by Figures 5.1 and 5.2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazygram.arrays import Float64
from lazygram.problems.gaussian_cnn import GaussianCNN

__all__ = ["draw_instances"]


def draw_instances(
    p: int, k: int, a_norm: float, seeds: Sequence[int]
) -> tuple[GaussianCNN, Float64, Float64]:
    """One teacher with |w*| = 1 and |a*| = a_norm, and one start of Theorem 5.4, per seed.

    Drawn from NumPy's default generator in the order w*, a*, v0, a0.

    Returns
    -------
    problem : GaussianCNN
        With one leading axis, the seeds.
    v, a : ndarray, shapes (seeds, p) and (seeds, k)
        The starts.
    """
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        w_star, a_star = rng.standard_normal(p), rng.standard_normal(k)
        single = GaussianCNN(w_star / np.linalg.norm(w_star), a_norm * a_star / np.linalg.norm(a_star))
        drawn.append((single.w_star, single.a_star, *single.start(rng)))
    w_stars, a_stars, v, a = (np.array(part) for part in zip(*drawn, strict=True))
    return GaussianCNN(w_stars, a_stars), v, a
