"""Losses: values by their formulas, derivatives by finite differences, curvature bounds, look-up."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from lazygram import LogisticLoss, Loss, QuadraticLoss
from lazygram.training import ExponentialLoss, HingeLoss, SquaredHingeLoss, get_loss

MARGINS = [LogisticLoss(), HingeLoss(), SquaredHingeLoss(), ExponentialLoss()]


def test_quadratic(rng: np.random.Generator) -> None:
    loss = QuadraticLoss()
    assert loss.value(np.array([1.0, 2.0]), np.array([3.0, -1.0])) == 0.5 * (4 + 9)
    np.testing.assert_array_equal(loss.derivative(np.array([1.0, 2.0]), np.array([3.0, -1.0])), [-2.0, 3.0])
    assert loss.value(np.array([1e200]), np.array([0.0])) == np.inf


def test_logistic_against_mpmath() -> None:
    loss = LogisticLoss()
    for u in (-800.0, -30.0, -1.5, 0.0, 0.3, 40.0, 800.0):
        for y in (-1.0, 1.0):
            with mpmath.workdps(40):
                value = mpmath.log1p(mpmath.exp(-mpmath.mpf(y) * u))
                slope = -mpmath.mpf(y) / (1 + mpmath.exp(mpmath.mpf(y) * u))
            assert loss.value(np.array([u]), np.array([y])) == pytest.approx(float(value), rel=4e-16, abs=0)
            assert loss.derivative(np.array([u]), np.array([y]))[0] == pytest.approx(
                float(slope), rel=4e-16, abs=0
            )


def test_margin_losses_at_known_points() -> None:
    u, y = np.array([-2.0, 0.5, 1.0, 3.0]), np.array([1.0, -1.0, 1.0, 1.0])  # margins -2, -1/2, 1, 3
    assert HingeLoss().value(u, y) == 3.0 + 1.5
    np.testing.assert_array_equal(HingeLoss().derivative(u, y), [-1.0, 1.0, 0.0, 0.0])
    assert SquaredHingeLoss().value(u, y) == 0.5 * (9.0 + 2.25)
    np.testing.assert_array_equal(SquaredHingeLoss().derivative(u, y), [-3.0, 1.5, 0.0, 0.0])
    expected = np.exp(2) + np.exp(0.5) + np.exp(-1) + np.exp(-3)
    assert ExponentialLoss().value(u, y) == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(
        ExponentialLoss().derivative(u, y), [-np.exp(2), np.exp(0.5), -np.exp(-1), -np.exp(-3)], rtol=1e-15
    )
    assert ExponentialLoss().value(np.array([-1e4]), np.array([1.0])) == np.inf


@pytest.mark.parametrize("loss", [QuadraticLoss(), *MARGINS])
def test_derivative_by_differences(loss: Loss, rng: np.random.Generator) -> None:
    u, y, h = rng.normal(size=50), rng.choice([-1.0, 1.0], 50), 1e-6
    assert (np.abs(1 - y * u) > 1e-3).all()  # away from the kink of the hinge
    for i in range(50):
        one, label = u[i : i + 1], y[i : i + 1]
        slope = (loss.value(one + h, label) - loss.value(one - h, label)) / (2 * h)
        assert loss.derivative(one, label)[0] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("loss", [QuadraticLoss(), LogisticLoss()])
def test_derivative_and_curvature(loss: Loss, rng: np.random.Generator) -> None:
    u, y, h = rng.normal(size=50) * 3, rng.choice([-1.0, 1.0], 50), 1e-5

    def single(s: float, t: float) -> float:
        return loss.value(np.array([s]), np.array([t]))

    slope = [(single(s + h, t) - single(s - h, t)) / (2 * h) for s, t in zip(u, y, strict=True)]
    np.testing.assert_allclose(loss.derivative(u, y), slope, rtol=0, atol=1e-8)
    second = (loss.derivative(u + h, y) - loss.derivative(u - h, y)) / (2 * h)
    assert (second <= loss.curvature * (1 + 1e-8)).all()
    at_zero = (loss.derivative(np.array([h]), y[:1]) - loss.derivative(np.array([-h]), y[:1])) / (2 * h)
    assert at_zero[0] == pytest.approx(loss.curvature, rel=1e-6)  # the bound is attained


@pytest.mark.parametrize("loss", [QuadraticLoss(), *MARGINS])
def test_sum_over_examples_and_overflow(loss: Loss) -> None:
    u, y = np.array([0.3, -2.0, 5.0]), np.array([1.0, -1.0, -1.0])
    single = [loss.value(u[i : i + 1], y[i : i + 1]) for i in range(3)]
    assert loss.value(u, y) == pytest.approx(sum(single), rel=1e-15)
    for bad in (np.nan, -np.inf):  # a warning would be an error here
        assert not np.isfinite(loss.value(np.array([bad, 0.0]), np.array([1.0, 1.0])))


def test_labels() -> None:
    LogisticLoss().check_labels(np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"y: the logistic loss needs labels -1 and \+1, got 0.5 at 1"):
        LogisticLoss().check_labels(np.array([1.0, 0.5]))
    for loss in MARGINS:
        with pytest.raises(ValueError, match=f"y: the {loss.name} loss"):
            loss.check_labels(np.array([0.0]))


def test_get_loss() -> None:
    assert get_loss("quadratic") == QuadraticLoss()
    assert get_loss("logistic") == LogisticLoss()
    for loss in MARGINS:
        assert get_loss(loss.name) == loss
    own = LogisticLoss(name="mine")
    assert get_loss(own) is own
    assert isinstance(own, Loss)
    with pytest.raises(ValueError, match=r"loss: one of exponential, hinge, .* is needed, got 'cubic'"):
        get_loss("cubic")
    for bad in (None, 3, QuadraticLoss, np.square):
        with pytest.raises(TypeError, match=r"loss: a name or an object like lazygram\.Loss"):
            get_loss(bad)
