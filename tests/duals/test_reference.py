"""Duals against reference.json (high precision, by make_reference.py) and against published constants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lazygram.activations as activations
from lazygram.duals import dual

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text())


def make(case):
    name, _, text = case.partition(":")
    return activations.registry[name](*(float(t) for t in text.split(",") if t))


def inputs_of(case):
    key = "smooth_inputs" if case in REFERENCE["smooth"] else "inputs"
    return np.array(REFERENCE[key]).T


CASES = [
    (case, order) for case, both in REFERENCE["values"].items() for order in (0, 1) if both[order] is not None
]


KINKED = ("elu", "selu", "hard_tanh", "hard_sigmoid")


def tolerance(case, truth, p, q):
    """The specification's, 1e-13 max(|value|, 1e-3), with two exceptions, relative to a pair's largest value.

    Tables of kinked activations add polynomials of order one, so 1e-15 where the dual crosses zero. Standard
    deviations above 3: terms of series and tables cancel at negative correlations, 5e-15; at 1000 the kinks
    are resolved to 1e-16 / 1000 of the line only, 2e-15 per unit of standard deviation.
    """
    bound = 1e-13 * np.maximum(np.abs(truth), 1e-3)
    for pair in np.unique(np.stack([p, q]), axis=1).T:
        at = (p == pair[0]) & (q == pair[1])
        largest, scale = np.max(np.abs(truth[at])), np.sqrt(max(pair))
        if case in KINKED:
            bound[at] += 1e-15 * largest * (2 * scale if scale > 3.0 else 1.0)
        elif scale > 3.0 and case in REFERENCE["smooth"]:
            bound[at] += 5e-15 * largest
    return bound


def agree(value, truth, bound):
    """|value - truth| <= bound where truth is finite, equal where it has overflowed."""
    finite = np.isfinite(truth)
    assert np.array_equal(value[~finite], truth[~finite])
    error = np.abs(value[finite] - truth[finite])
    worst = np.max(error / bound[finite], initial=0.0)
    assert worst <= 1.0, (worst, value, truth)


@pytest.mark.parametrize(("case", "order"), CASES)
def test_one_pair_of_variances_at_a_time(case, order):
    """Tables and closed forms, one (var1, var2) per call."""
    p, q, r = inputs_of(case)
    truth = np.array(REFERENCE["values"][case][order])
    activation = make(case)
    for pair in np.unique(np.stack([p, q]), axis=1).T:
        at = (p == pair[0]) & (q == pair[1])
        value = dual(activation, r[at], pair[0], pair[1], order)
        agree(value, truth[at], tolerance(case, truth[at], p[at], q[at]))


@pytest.mark.parametrize(("case", "order"), CASES)
def test_all_variances_in_one_call(case, order):
    """Series and interpolation, every entry with its own variances."""
    p, q, r = inputs_of(case)
    truth = np.array(REFERENCE["values"][case][order])
    value = dual(make(case), r, p, q, order)
    assert np.array_equal(value, dual(make(case), r, q, p, order))
    agree(value, truth, tolerance(case, truth, p, q))


@pytest.mark.parametrize(("case", "order"), CASES)
def test_float32(case, order):
    p, q, r = inputs_of(case)
    p, q, r = (a.astype(np.float32) for a in (p, q, r))
    # Rounding r can leave the PSD cone by one unit; the function clips there.
    wide = [a.astype(np.float64) for a in (p, q, r)]
    edge = np.sqrt(wide[0] * wide[1])
    value = dual(make(case), r, p, q, order)
    truth = dual(make(case), np.clip(wide[2], -edge, edge), wide[0], wide[1], order)
    assert value.dtype == np.float32
    with np.errstate(over="ignore"):
        expected = truth.astype(np.float32)
    # Standard deviations that agree in float32 are one: 1.2e-7 relative.
    bound = 4e-7 * np.maximum(np.abs(expected), 1e-3)
    agree(value, expected, bound)


# shared constants: 1 / E phi(Z)^2, known independently to 16 digits
C_SIGMA = {
    "relu": 2.0,
    "leaky_relu:0.1": 1.98019801980198,
    "abs": 1.0,
    "softplus": 1.0854865029883434,
    "sigmoid": 3.408559841623103,
    "tanh": 2.5361754332174538,
    "silu": 2.8107611240744711,
    "elu": 1.5505188080679272,
    "gelu": 2.3517156140733729,
    "erf": 2.1525788606075985,
    "sin": 2.3130352854993313,
    "cos": 1.7615941559557649,
}


@pytest.mark.parametrize("case", C_SIGMA)
def test_c_sigma(case):
    assert make(case).c_sigma == pytest.approx(C_SIGMA[case], rel=2e-15, abs=0)


def test_spot_values_of_two_layer_kernels():
    """H_inf and the NNGP matrix of X = 1.3 sin(1.7 (k + 1)), 4 x 3 (specification, section 8)."""
    X = 1.3 * np.sin(1.7 * (np.arange(12) + 1)).reshape(4, 3)
    K = X @ X.T
    v = np.diag(K)
    step = dual("relu", K, v[:, None], v[None, :], 1)
    relu = dual("relu", K, v[:, None], v[None, :])
    assert (K * step)[0, :2] == pytest.approx([1.610429034674, 0.549265779444], abs=2e-12)
    assert relu[0, :2] == pytest.approx([1.610429034674, 0.904245365819], abs=2e-12)


def test_spot_values_of_a_deep_softplus_kernel():
    """K^(2) and K^(3) of the fully connected softplus network (specification, sections 3.3 and 8)."""
    X = 1.3 * np.sin(1.7 * (np.arange(12) + 1)).reshape(4, 3)
    c = activations.softplus().c_sigma
    S = X @ X.T
    for expected in ([0.740209909955, 0.485435688000], [0.524046009403, 0.426459166461]):
        v = np.diag(S)
        S = c * dual("softplus", S, v[:, None], v[None, :])
        v = np.diag(S)
        kernel = c * S * dual("softplus", S, v[:, None], v[None, :], 1)
        assert kernel[0, :2] == pytest.approx(expected, abs=2e-12)
