"""Losses: values by their formulas, derivatives by finite differences, curvature bounds, look-up."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from lazygram import CrossEntropyLoss, DerivativeLoss, LogisticLoss, Loss, QuadraticLoss, check_loss
from lazygram.training import ExponentialLoss, HingeLoss, SquaredHingeLoss, get_loss
from lazygram.training.losses import as_targets

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
    with pytest.raises(
        ValueError, match=r"loss: one of cross_entropy, exponential, .* is needed, got 'cubic'"
    ):
        get_loss("cubic")
    for bad in (None, 3, QuadraticLoss):
        with pytest.raises(TypeError, match=r"loss: a name, an object like lazygram\.Loss or a"):
            get_loss(bad)


def test_cross_entropy_against_mpmath() -> None:
    loss = CrossEntropyLoss()
    for u in ([0.0, 0.0, 0.0], [3.0, -2.0, 0.5], [800.0, -800.0, 0.0], [-1e4, 1e4, 1e4]):
        for y in ([1.0, 0.0, 0.0], [0.25, 0.25, 0.5]):
            with mpmath.workdps(40):
                exponentials = [mpmath.exp(mpmath.mpf(x)) for x in u]
                total = mpmath.fsum(exponentials)
                value = mpmath.log(total) - mpmath.fsum(mpmath.mpf(p) * x for p, x in zip(y, u, strict=True))
                slope = [float(e / total - mpmath.mpf(p)) for e, p in zip(exponentials, y, strict=True)]
            assert loss.value(np.array([u]), np.array([y])) == pytest.approx(
                float(value), rel=1e-15, abs=1e-15
            )
            np.testing.assert_allclose(loss.derivative(np.array([u]), np.array([y])), [slope], atol=3e-16)
    assert not np.isfinite(loss.value(np.array([[np.inf, 0.0]]), np.array([[1.0, 0.0]])))


def test_curvature_of_the_cross_entropy_is_attained() -> None:
    loss, h = CrossEntropyLoss(), 1e-5
    y, along = np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, -1.0, 0.0]]) / np.sqrt(2)
    u = np.array([[0.0, 0.0, -40.0]])
    slope = (loss.derivative(u + h * along, y) - loss.derivative(u - h * along, y)) / (2 * h)
    assert float((slope * along).sum()) == pytest.approx(loss.curvature, rel=1e-8)


def test_several_outputs_are_summed(rng: np.random.Generator) -> None:
    u, y = rng.normal(size=(5, 3)), rng.choice([-1.0, 1.0], (5, 3))
    for loss in (QuadraticLoss(), LogisticLoss()):
        columns = [loss.value(u[:, o], y[:, o]) for o in range(3)]
        assert loss.value(u, y) == pytest.approx(sum(columns), rel=1e-14)
        np.testing.assert_array_equal(
            loss.derivative(u, y), np.column_stack([loss.derivative(u[:, o], y[:, o]) for o in range(3)])
        )


def test_check_loss_finds_wrong_derivatives(rng: np.random.Generator) -> None:
    y = rng.choice([-1.0, 1.0], 6)
    for loss in ("quadratic", "logistic"):
        assert check_loss(loss, y) < 1e-8
    assert check_loss("cross_entropy", np.eye(4)) < 1e-8

    def quartic(u: np.ndarray, y: np.ndarray) -> float:
        return float(((u - y) ** 4).sum())

    right = DerivativeLoss(lambda u, y: 4 * (u - y) ** 3, quartic, name="quartic")
    assert check_loss(right, y) < 1e-8
    with pytest.raises(ValueError, match="loss: its derivative differs"):
        check_loss(DerivativeLoss(lambda u, y: 3 * (u - y) ** 3, quartic), y)
    with pytest.raises(ValueError, match="loss: dl/du must have the shape of u"):
        check_loss(DerivativeLoss(lambda u, y: u[:2], quartic), y)
    with pytest.raises(ValueError, match="loss: has no value"):
        check_loss(np.subtract, y)


def test_targets_of_several_outputs() -> None:
    np.testing.assert_array_equal(as_targets([2, 0, 2], "y", 3, 3), np.eye(3)[[2, 0, 2]])
    np.testing.assert_array_equal(as_targets([[1, 2], [3, 4]], "y", 2, 2), [[1.0, 2.0], [3.0, 4.0]])
    for bad, text in (
        ([0, 3], "classes 0 .. 2"),
        ([0, -1], "classes 0 .. 2"),
        ([0.0, 1.0], "2 integer classes are needed"),
        ([0, 1, 2], "length 2"),
        (np.eye(2), r"shape \(2, 3\)"),
        ([[np.nan, 0, 1], [1, 0, 0]], "is nan"),
    ):
        with pytest.raises(ValueError, match=text):
            as_targets(bad, "y", 2, 3)
    with pytest.raises(ValueError, match="y: row 1 is not a probability"):
        CrossEntropyLoss().check_labels(np.array([[0.5, 0.5], [0.5, 0.6]]))
    with pytest.raises(ValueError, match="y: the cross-entropy loss needs a network of several outputs"):
        CrossEntropyLoss().check_labels(np.array([0.5, 0.5]))
