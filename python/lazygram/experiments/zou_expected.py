"""Expected numbers for the deep ReLU networks of Zou et al., with the sources of their bands.

"theorem" rows are bounds with a printed constant. "infinite width" rows are limits that a few lines give: the
arc-cosine map of angles, the variance 1 - 1/pi of the output for a half/half read-out, the density of a
N(0, 2/m) pre-activation at 0, Bai and Yin's norms of Gaussian matrices. "NumPy reference" numbers were
measured by plain loops that share no code with this package (depth 4 with n = 20, d = 10 for the initial
network; depth 3 with m = 2048 for the region; n = 30, d = 10, depth 3 for training), two or three seeds each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from lazygram.experiments.base import Row, at_least, at_most, in_band, ordered, within_factor

__all__ = [
    "InitialMeasured",
    "RegionMeasured",
    "adversarial_constant",
    "arc_cosine_distances",
    "flip_share",
    "floor_at_infinite_width",
    "initial_rows",
    "region_rows",
    "slope",
    "sparse_norm",
]

Float64Array = npt.NDArray[np.float64]

_REFERENCE = "NumPy reference"
_REGION = 0.1  # radii up to here are small: densities at 0, constant gradients


def slope(widths: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Slope of log(values) over log(widths), least squares."""
    x, y = np.log(np.asarray(widths, dtype=np.float64)), np.log(np.asarray(values, dtype=np.float64))
    return float(np.polyfit(x, y, 1)[0])


def arc_cosine_distances(c: float, depth: int) -> Float64Array:
    """Distances of unit features with inner product `c` at layer 0, in layers 0 .. depth of infinite width.

    ``c -> (sqrt(1 - c^2) + c (pi - arccos c))/pi`` from layer to layer (Cho and Saul, 2009, order 1).
    """
    distances = [math.sqrt(2.0 - 2.0 * c)]
    for _ in range(depth):
        c = (math.sqrt(1.0 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        distances.append(math.sqrt(2.0 - 2.0 * c))
    return np.array(distances)


def sparse_norm(s: int, m: float) -> float:
    """Norm of the s largest of m independent |N(0, 1)|, in the mean for large m."""
    if s >= m:
        return math.sqrt(m)
    # The threshold t with m P(|Z| > t) = s, and the second moment beyond it.
    t = float(scipy.special.ndtri(1.0 - 0.5 * s / m))
    density = math.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
    return math.sqrt(s + 2.0 * m * t * density)


@dataclass(frozen=True)
class InitialMeasured:
    """What zou.init measured; `arrays` as in the result of the experiment."""

    n: int
    dim: int
    depth: int
    widths: tuple[int, ...]
    sparsities: tuple[int, ...]
    separation: float
    smallest_distance: float
    beta: float
    arrays: dict[str, Any]
    limit_distances: Float64Array


def initial_rows(m: InitialMeasured) -> list[Row]:
    """Theorem 5.1 (i)-(viii)."""
    a, wide = m.arrays, m.widths[-1]
    deviation = a["norm_deviation"].max(axis=2).mean(axis=1)
    rows = []
    if (m.n, m.dim, m.depth) == (20, 10, 4):
        for w, width in enumerate(m.widths):
            name = f"(i) m = {width}: max ||x|-1| sqrt(m)"
            rows.append(in_band(name, _REFERENCE, float(deviation[w] * math.sqrt(width)), 3.0, 7.0))
    if len(m.widths) > 2:
        rows.append(
            in_band("(i) slope of max ||x|-1| in m", "m^-1/2", slope(m.widths, deviation), -0.62, -0.38)
        )
    edge = math.sqrt(2.0) * (1.0 + math.sqrt(m.dim / wide))
    first = float(a["weight_norms"][-1, :, 0].mean())
    rows.append(in_band(f"(i) m = {wide}: |W_1|_2", "sqrt(2)(1+sqrt(d/m))", first, 0.96 * edge, 1.04 * edge))
    if m.depth > 1:
        edge = 2.0 * math.sqrt(2.0)
        for label, value in (
            ("smallest", a["weight_norms"][-1, :, 1:].min()),
            ("largest", a["weight_norms"][-1, :, 1:].max()),
        ):
            name = f"(i) m = {wide}: |W_l|_2, l >= 2, {label}"
            rows.append(in_band(name, "2 sqrt(2)", float(value), 0.96 * edge, 1.04 * edge))
    for w, width in enumerate(m.widths):
        smallest = float(a["separation"][w].min()) / m.separation
        rows.append(
            at_least(f"(ii) m = {width}: smallest distance in any layer / phi", "theorem", smallest, 0.5)
        )
    last = float(a["pair_distance"][-1, :, -1].mean())
    rows.append(
        within_factor(
            f"(ii) m = {wide}: distance of the closest inputs in layer {m.depth}",
            "infinite width",
            last,
            float(m.limit_distances[-1]),
            1.0 + 8.0 / math.sqrt(wide * a["pair_distance"].shape[1]),
        )
    )
    variance = float(np.mean(a["output_draws"] ** 2))
    spread = 4.0 * math.sqrt(2.0 / len(a["output_draws"]))
    limit = 1.0 - 1.0 / math.pi
    rows.append(
        in_band(
            "(iii) variance of the output",
            "infinite width, 4 sigma",
            variance,
            limit * (1.0 - spread),
            limit * (1.0 + spread),
        )
    )
    rows += _count_rows(m)
    if m.depth == 4:
        product = float(a["product_norm"][-1].mean())
        rows.append(
            in_band(f"(v) m = {wide}: largest product of layers / L", _REFERENCE, product, 1.25, 1.45)
        )
    rows += _sparse_rows(m)
    rows.append(
        at_least(
            "(viii) smallest share of nodes with a gradient / (phi/n)",
            "theorem, constant 1",
            float(a["node_fraction"].min()) / (m.separation / m.n),
            1.0,
        )
    )
    return rows


def _count_rows(m: InitialMeasured) -> list[Row]:
    a = m.arrays
    largest = a["small_counts"].max(axis=2)
    rows = [
        at_most(
            f"(iv) m = {width}: small pre-activations / (m^1.5 beta)", "theorem", float(largest[w].max()), 2.0
        )
        for w, width in enumerate(m.widths)
    ]
    if m.n == 20 and m.depth == 4 and m.beta == 0.1:
        reference = {256: 1.17, 1024: 0.78, 4096: 0.64}
        for w, width in enumerate(m.widths):
            if width in reference:
                name = f"(iv) m = {width}: the same, mean of the seeds"
                rows.append(within_factor(name, _REFERENCE, float(largest[w].mean()), reference[width], 1.25))
    # P(|N(0, 2/m)| <= b/sqrt(m)) over b, exactly; 1/sqrt(pi) for small b.
    limit = math.erf(0.5 * m.beta) / m.beta
    rows.append(
        within_factor(
            f"(iv) m = {m.widths[-1]}: mean over all examples and layers",
            "N(0, 2/m) at 0",
            float(a["mean_counts"][-1].mean()),
            limit,
            1.07,
        )
    )
    return rows


def _sparse_rows(m: InitialMeasured) -> list[Row]:
    """Layers 2 .. L: W_1^T has only d columns, too few for sparse directions."""
    if m.depth < 2:
        return []
    a, wide, rows = m.arrays, m.widths[-1], []
    reference = {1: 0.315, 16: 0.26, 64: 0.21}
    for k, s in enumerate(m.sparsities):
        value = float(a["sparse_sup"][-1, :, 1:, k].max(axis=1).mean())
        scale = m.depth * math.sqrt(s * math.log(wide))
        rows.append(
            within_factor(
                f"(vi) m = {wide}, s = {s}: sup over sparse directions",
                "m normal entries",
                value,
                sparse_norm(s, wide) / scale,
                1.4,
                note="The largest of all examples and layers is compared with the mean of one.",
            )
        )
        if m.depth == 4 and s in reference and wide >= 256:
            name = f"(vi) m = {wide}, s = {s}: the same"
            rows.append(within_factor(name, _REFERENCE, value, reference[s], 1.5))
    if len(m.sparsities) > 1:
        sup = a["sparse_sup"][-1, :, 1:].max(axis=1).mean(axis=0)
        name = f"(vi) m = {wide}: sup / sqrt(s), by s"
        rows.append(ordered(name, "order statistics", sup.tolist(), rising=False))
    return rows


# --- zou.region ----------------------------------------------------------------------------------


def adversarial_constant() -> float:
    """Share of activations over tau^{2/3} that a perturbation of norm tau can flip in layer 1: (3/pi)^{1/3}.

    The smallest pre-activations up to a threshold b have ``sum z^2 = m^{3/2} b^3/(3 sqrt(pi)) = tau^2`` and
    number ``m^{3/2} b/sqrt(pi)``, from the density ``sqrt(m)/(2 sqrt(pi))`` of N(0, 2/m) at 0.
    """
    return math.pow(3.0 / math.pi, 1.0 / 3.0)


def flip_share(tau: float, depth: int, dim: int, width: int) -> list[float]:
    """Mean share of activations that a Gaussian direction of norm tau flips, layers 1 .. L, large width.

    A pre-activation N(0, 2/m) and its change N(0, s^2) are independent: they differ in sign with probability
    arctan(s/sqrt(2/m))/pi. The change is that of the features below, of norm D, through W (variance
    ``2 D^2/m``), and that of W itself, ``tau^2/(1 + sqrt(m_{l-1}/m))^2 / m``; half of the square remains.
    """
    shares, squared = [], 0.0
    for layer in range(depth):
        before = dim if layer == 0 else width
        own = (tau / (1.0 + math.sqrt(before / width))) ** 2
        change = 2.0 * squared + own
        shares.append(math.atan(math.sqrt(0.5 * change)) / math.pi)
        squared = 0.5 * change
    return shares


def floor_at_infinite_width(
    X: Float64Array, signed_slopes: Float64Array, depth: int, separation: float
) -> float:
    """``|grad_{W_L}|_F^2 / ((m phi/n^5)(sum|l'|)^2)`` for m to infinity, unit inputs.

    ``(1/n^2) sum_ij r_i r_j <x_i, x_j>_{L-1} m (pi - angle_ij)/(2 pi)`` with r = y l' and features of inner
    products given by the arc-cosine map (norm 1 in every layer).
    """
    n = len(X)
    cosine = np.clip(X @ X.T, -1.0, 1.0)
    np.fill_diagonal(cosine, 1.0)
    for _ in range(depth - 1):
        cosine = np.clip((np.sqrt(1.0 - cosine**2) + cosine * (np.pi - np.arccos(cosine))) / np.pi, -1.0, 1.0)
    active = (np.pi - np.arccos(cosine)) / (2.0 * np.pi)
    squared = float(signed_slopes @ (cosine * active) @ signed_slopes)
    return squared * float(n**3) / (separation * float(np.abs(signed_slopes).sum()) ** 2)


@dataclass(frozen=True)
class RegionMeasured:
    """What zou.region measured; `arrays` as in the result of the experiment."""

    n: int
    dim: int
    depth: int
    width: int
    taus: tuple[float, ...]
    arrays: dict[str, Any]
    floor: float


def region_rows(m: RegionMeasured) -> list[Row]:
    """Theorem 5.3 (ii), (iii), (vii), (viii) in both directions."""
    a, rows = m.arrays, []
    for t, tau in enumerate(m.taus):
        label = f"tau = {tau:g}"
        name = f"(ii) {label}: features' movement / (L sum |dW|), random"
        lipschitz = float(a["lipschitz"][0, t].max()) / m.depth
        if m.depth == 3 and m.n == 20:
            # 1/sqrt(2) of the weights' share 1/(1 + sqrt(d/m)), largest in layer 1; .23-.24 at m = 2048.
            rows.append(in_band(name, _REFERENCE, lipschitz, 0.21, 0.26))
        else:
            rows.append(at_most(name, "theorem, constant 1", lipschitz, 1.0))
    limit = adversarial_constant()
    for t, tau in enumerate(m.taus):
        if tau > _REGION:
            continue  # thresholds beyond which the density is no longer that at 0
        # k values with sum z^2 = tau^2: a Poisson process gives k a relative spread of 0.73/sqrt(k).
        expected = limit * tau ** (2.0 / 3.0) * m.width
        rows.append(
            within_factor(
                f"(iii) tau = {tau:g}: flips in layer 1 / (m tau^(2/3)), adversarial",
                "(3/pi)^(1/3)",
                float(a["pattern_change"][1, t, 0]),
                limit,
                1.0 + max(0.05, 2.5 / math.sqrt(expected)),
            )
        )
    for t, tau in enumerate(m.taus):
        shares = flip_share(tau, m.depth, m.dim, m.width)
        expected = shares[-1] * m.width * m.n
        if expected < 5.0:
            continue  # too few flips to count
        rows.append(
            within_factor(
                f"(iii) tau = {tau:g}: mean share of flips in layer {m.depth}, random",
                "arctan(.)/pi, infinite width",
                float(a["flips"][0, t, -1]),
                shares[-1],
                1.1 + 6.0 / math.sqrt(expected),
                note="Examples are correlated: the spread is larger than that of a binomial.",
            )
        )
    largest = a["pattern_change"][0].max(axis=1)
    rows.append(
        at_most(
            "(iii) largest flips / (m tau^(2/3)), random", "below the adversary", float(largest.max()), limit
        )
    )
    floors, ceilings = a["gradient_floor"], a["gradient_ceiling"]
    rows.append(
        at_least("(vii) gradient floor, smallest constant", "theorem, constant 1", float(floors.min()), 1.0)
    )
    rows.append(
        within_factor(
            f"(vii) gradient floor at tau = {m.taus[0]:g}, random",
            "infinite width, these data",
            float(floors[0, 0]),
            m.floor,
            1.0 + 8.0 / math.sqrt(m.width),
        )
    )
    near = np.array(m.taus) <= _REGION
    if near.any():
        spread = float(floors[:, near].max() / floors[:, near].min())
        name = f"(vii) gradient floor for tau <= {_REGION:g}, largest / smallest"
        rows.append(at_most(name, "constant in the region", spread, 1.15))
    rows.append(
        at_most(
            "(viii) gradient ceiling, largest constant", "theorem, constant 1", float(ceilings.max()), 1.0
        )
    )
    if m.depth == 3 and m.n == 20:
        rows.append(
            within_factor(
                "(viii) the same", _REFERENCE, float(ceilings.max()), 0.022, 2.0, note="Other data."
            )
        )
    return rows
