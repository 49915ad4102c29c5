"""Kernels recorded from neural-tangents (make_neural_tangents.py) against the package and oracle.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from compose import sequential
from kernel_networks import inputs

CASES = json.loads(Path(__file__).with_name("neural_tangents.json").read_text())["cases"]

# neural-tangents takes the angle of the derivative of ReLU from sqrt(1 - rho^2), of which rounding leaves
# 1e-8 at rho = 1: its own error on diagonals. Its other entries agree to the rounding of a few operations.
DIAGONAL, ELSEWHERE = 1e-8, 1e-13


def assert_agree(value: np.ndarray, recorded: list[list[float]], same: np.ndarray) -> None:
    wanted = np.array(recorded)
    error = np.abs(value - wanted) / np.abs(wanted).max()
    assert np.all(error <= np.where(same, DIAGONAL, ELSEWHERE))


@pytest.mark.parametrize("name", CASES)
def test_package(name: str) -> None:
    case: dict[str, Any] = CASES[name]
    X = inputs(*case["shape"])
    same = np.eye(len(X), dtype=bool)
    network = sequential(case["layers"], case["parameterisation"])
    square, block = network.nngp_and_ntk(X), network.nngp_and_ntk(X[:2], X[1:])
    for key in ("nngp", "ntk"):
        assert_agree(getattr(square, key), case[key], same)
        assert_agree(getattr(block, key), case[f"block_{key}"], same[:2, 1:])


@pytest.mark.parametrize("name", CASES)
def test_reference(name: str) -> None:
    case: dict[str, Any] = CASES[name]
    X = inputs(*case["shape"])
    made = oracle.kernels(X, case["layers"], case["parameterisation"])
    for key in ("nngp", "ntk"):
        assert_agree(getattr(made, key), case[key], np.eye(len(X), dtype=bool))
