"""The tile engine: accuracy against other ways to the same numbers, angles, odd inputs, errors."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import oracle
import pytest

import lazygram
import lazygram.expectations.interpolation as interpolation
from lazygram.activations import custom, get_activation
from lazygram.kernels import Program


def fully_connected(
    depth: int, activation: object = "relu", bias: float = 0.0, weight: float = 2.0
) -> Program:
    program = Program()
    for _ in range(depth):
        program.affine(weight, bias).activation(activation)  # type: ignore[arg-type]
    return program.affine(1.0, bias)


def relu_ntk(theta: mpmath.mpf, depth: int) -> mpmath.mpf:
    """NTK of `depth` ReLU layers with weight 2 and a last one, unit inputs, by the textbook recursion."""
    theta = mpmath.mpf(theta)
    total = k = 2 * mpmath.cos(theta)
    for layer in range(depth):
        rest = mpmath.pi - theta
        k = 2 * (mpmath.sin(theta) + rest * mpmath.cos(theta)) / (2 * mpmath.pi)
        total = total * rest / (2 * mpmath.pi)
        last = layer == depth - 1
        total = total * (1 if last else 2) + (1 if last else 2) * k
        # The angle of the next layer; K_ii stays 1. From 1 - cos, without cancellation.
        theta = 2 * mpmath.asin(mpmath.sqrt((1 - k) / 2))
        k = k * 2
    return total


@pytest.mark.parametrize("depth", [1, 3, 20])
def test_relu_at_every_angle(depth: int, isa_level: str) -> None:
    with mpmath.workdps(60):
        angles = [
            "0",
            "1e-12",
            "1e-9",
            "1e-6",
            "1e-3",
            "0.04",
            "0.05",
            "0.3",
            "1",
            "1.6",
            "2.5",
            "3.1",
            "3.14159",
        ]
        theta = [mpmath.mpf(a) for a in angles]
        truth = np.array([float(relu_ntk(t, depth)) for t in theta])
        # Small angles live in the second coordinate, where they are not rounded.
        x = np.array([[float(mpmath.cos(t)), float(mpmath.sin(t))] for t in theta])
    pole = np.array([[1.0, 0.0]])
    program = fully_connected(depth)
    for scale in (1.0, 1e-3, 70.0):
        ours = program.evaluate(x * scale, pole, outputs=("ntk",))["ntk"][:, 0] / scale
        np.testing.assert_allclose(ours, truth, rtol=0, atol=2e-13 * truth[0])
    general = program.evaluate(x, pole, outputs=("ntk",), general=True)["ntk"][:, 0]
    np.testing.assert_allclose(general, truth, rtol=0, atol=3e-8 * truth[0])
    # Away from 0 and pi a rounded inner product is as good.
    np.testing.assert_allclose(general[4:-1], truth[4:-1], rtol=0, atol=1e-11 * truth[0])
    single = program.evaluate(x.astype(np.float32), pole.astype(np.float32), outputs=("ntk",))["ntk"][:, 0]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, truth, rtol=0, atol=3e-6 * truth[0])


@pytest.mark.parametrize("name", ["relu", "erf", "softplus"])
@pytest.mark.parametrize("norms", ["equal", "different"])
def test_against_the_oracle(name: str, norms: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 4))
    if norms == "equal":
        x /= np.linalg.norm(x, axis=1, keepdims=True) / 1.2
    net = [
        ("dense", 1.3, 0.4, 8),
        ("act", name),
        ("dense", 1.1, None, 8),
        ("act", name),
        ("dense", 1.0, 0.2, 1),
    ]
    truth = oracle.kernels(x, net)
    program = Program(normalise_input=True)
    program.affine(1.69, 0.16).activation(name).affine(1.21).activation(name).affine(1.0, 0.04)
    run = program.prepare(x)
    assert run._core.by_angles == (norms == "equal")
    ours = program.evaluate(x)
    for kind, expected in (("nngp", truth.nngp), ("ntk", truth.ntk)):
        np.testing.assert_allclose(ours[kind], expected, rtol=0, atol=2e-12 * np.abs(expected).max())
        rectangle = program.evaluate(x[:4], x[4:])[kind]
        np.testing.assert_allclose(rectangle, expected[:4, 4:], rtol=0, atol=2e-12 * np.abs(expected).max())
        diagonal = program.evaluate(x, diagonal=True)[kind]
        np.testing.assert_allclose(diagonal, np.diag(expected), rtol=2e-12)
        np.testing.assert_array_equal(diagonal, np.diag(ours[kind]))


@pytest.mark.parametrize("name", ["elu", "hard_tanh", "step_then_smooth", "gelu", "leaky_relu", "abs"])
def test_activations_of_every_kind(name: str, rng: np.random.Generator) -> None:
    """Duals are tested elsewhere; here every way in which the engine can get them, at unequal variances."""
    x = rng.standard_normal((7, 3))
    activation = (
        custom(np.arctan, lambda t: 1 / (1 + t * t)) if name == "step_then_smooth" else get_activation(name)
    )
    k = x @ x.T
    theta = np.zeros_like(k)
    for _ in range(2):
        theta, k = 1.2 * theta + 1.2 * k + 0.1, 1.2 * k + 0.1
        v = np.diag(k)
        theta = theta * lazygram.dual(activation, k, v[:, None], v, derivative=1)
        k = lazygram.dual(activation, k, v[:, None], v)
    program = Program().affine(1.2, 0.1).activation(activation).affine(1.2, 0.1).activation(activation)
    ours = program.evaluate(x)
    np.testing.assert_allclose(ours["nngp"], k, rtol=0, atol=1e-12 * np.abs(k).max())
    np.testing.assert_allclose(ours["ntk"], theta, rtol=0, atol=1e-11 * np.abs(theta).max())


@pytest.mark.parametrize(("name", "least", "most"), [("softplus", 5.0, 9.0), ("elu", 1.1, 1.9)])
def test_unequal_norms_take_no_quadrature_per_entry(
    name: str, least: float, most: float, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Series with thousands of terms where phi is smooth, else tables combined per entry."""
    x = rng.standard_normal((18, 4))
    x *= np.geomspace(least, most, 18)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
    x[4] = 0.0
    k = x @ x.T
    v = np.diag(k)
    few = (k[:2], v[:2, None], v)
    if name in oracle.ACTIVATIONS:
        act = oracle.ACTIVATIONS[name]
        wanted = [act.dual(*few), act.derivative_dual(*few)]
    else:  # few entries: each by a quadrature that shares nothing with the tables
        wanted = [lazygram.dual(name, *few, derivative=d) for d in (0, 1)]

    one_by_one, entries = interpolation._one_by_one, []

    def counted(*arguments: Any) -> float:
        entries.append(arguments[3].size)
        return one_by_one(*arguments)

    monkeypatch.setattr(interpolation, "_one_by_one", counted)
    ours = Program().affine(1.0).activation(name).evaluate(x)
    for value, expected in ((ours["nngp"], wanted[0]), (ours["ntk"], k[:2] * wanted[1])):
        np.testing.assert_allclose(value[:2], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    block = Program().affine(1.0).activation(name).evaluate(x, x[1:], outputs=("ntk",))["ntk"]
    np.testing.assert_allclose(block, ours["ntk"][:, 1:], rtol=0, atol=1e-12 * np.abs(block).max())
    assert sum(entries) <= 6 * len(x)  # examples with themselves


def test_custom_activation_against_quadrature(rng: np.random.Generator) -> None:
    def phi(t: np.ndarray) -> np.ndarray:
        return t / (1 + t * t)  # poles at +-i

    def dphi(t: np.ndarray) -> np.ndarray:
        return (1 - t * t) / (1 + t * t) ** 2

    x = 0.3 * rng.standard_normal((5, 3))
    k = x @ x.T
    v = np.diag(k)
    expected = k * oracle.smooth_dual(dphi, 1.0)(k, v[:, None], v)
    ours = Program().affine(1.0).activation(custom(phi, dphi)).evaluate(x, outputs=("ntk",))["ntk"]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("bias", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_examples(bias: float, dtype: type, rng: np.random.Generator) -> None:
    x = rng.standard_normal((20, 6)).astype(dtype)
    x[1], x[2], x[3], x[4] = x[0], -x[0], 4 * x[0], 0
    ours = fully_connected(3, bias=bias).evaluate(x)
    for k in ours.values():
        assert np.isfinite(k).all()
        np.testing.assert_array_equal(k, k.T)
        np.testing.assert_allclose(k[1], k[0], rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(k[0]).max())
        smallest = np.linalg.eigvalsh(k.astype(np.float64))[0]
        assert smallest > -40 * np.finfo(dtype).eps * np.trace(k)
    assert bias or not ours["ntk"][4].any()


def test_spatial_programs_of_odd_sizes(rng: np.random.Generator) -> None:
    """More pairs than a tile, more pixels than a block: every pair as if it were alone."""
    x = rng.standard_normal((41, 2, 3, 7))
    y = rng.standard_normal((13, 2, 3, 7))
    for pooled in (False, True):
        program = Program((3, 7)).patches((3, 2)).affine(0.3, 0.1).activation("relu")
        program.patches(3, stride=2, padding="CIRCULAR").affine(0.2).activation("erf").emit("deep")
        (program.pool() if pooled else program.flatten()).affine(1.0)
        whole = program.evaluate(x, y, outputs=("ntk", "deep"))
        i, j = 37, 11
        single = program.evaluate(x[i : i + 1], y[j : j + 1], outputs=("ntk", "deep"))
        for name, array in whole.items():
            np.testing.assert_allclose(array[..., i, j], single[name][..., 0, 0], rtol=1e-13)
        own = program.evaluate(x, outputs=("ntk", "deep"))
        assert own["deep"].shape == ((8, 8, 41, 41) if pooled else (8, 41, 41))
        np.testing.assert_array_equal(own["ntk"], own["ntk"].T)
        if pooled:
            np.testing.assert_array_equal(own["deep"], own["deep"].transpose(1, 0, 3, 2))


def test_means_and_groups(rng: np.random.Generator) -> None:
    x = rng.standard_normal((260, 5))  # more than one octave's interpolation nodes
    act = oracle.ACTIVATIONS["softplus"]
    truth = oracle.resnet(x[:4], 3, act, 0.7)
    program = (
        Program()
        .emit("S0")
        .affine(1.0)
        .activation("softplus", oracle.c_sigma(act))
        .emit("S1")
        .emit_mean("b1")
    )
    for h in (2, 3):
        program.push().affine(1.0).activation("softplus").add(0.7 / 3, 1.0).emit(f"S{h}").emit_mean(f"b{h}")
    program.affine(1.0)
    ours = program.evaluate(x, outputs=("grams", "S0", "S1", "S2", "S3", "b1", "b2", "b3"))
    for h in range(4):
        np.testing.assert_allclose(ours["grams"][h][:4, :4], truth.G[h], rtol=1e-11)
        np.testing.assert_allclose(ours[f"S{h}"][:4, :4], truth.S[h], rtol=1e-11)
    for h in (1, 2, 3):
        np.testing.assert_allclose(ours[f"b{h}"][:4], truth.b[h - 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Program((0,)), "image"),
        (lambda: Program((2, 3, 4)), "image"),
        (lambda: Program().patches(3), "vectors"),
        (lambda: Program((4, 4)).patches((3, 3, 3)), "size"),
        (lambda: Program((4, 4)).patches(3, stride=0), "stride"),
        (lambda: Program((4, 4)).patches(3, padding="same"), "padding"),
        (lambda: Program((4, 4)).patches(5, padding="VALID"), "size"),
        (lambda: Program().affine(-1.0), "weight"),
        (lambda: Program().affine(1.0, float("nan")), "bias"),
        (lambda: Program().activation("no such"), "no such"),
        (lambda: Program().add(), "push"),
        (lambda: Program().dropout(0.0), "keep"),
        (lambda: Program().emit("ntk"), "taken"),
        (lambda: Program().emit("a").emit("a"), "taken"),
        (lambda: Program().push().evaluate(np.eye(2)), "stack"),
        (lambda: Program((2,)).evaluate(np.ones((2, 1, 2))), "flatten"),
        (lambda: Program((2,)).flatten().evaluate(np.ones((2, 2))), "X: shape"),
        (lambda: Program().evaluate(np.eye(2), np.ones((2, 3))), "X2"),
        (lambda: Program().evaluate(np.array([[np.inf, 1.0]])), "X"),
        (lambda: Program().evaluate(np.eye(2), outputs=("kernel",)), "outputs"),
        (lambda: Program().evaluate(np.eye(2), outputs=("grams",)), "grams"),
        (lambda: Program().evaluate(np.eye(2), np.eye(2), diagonal=True), "diagonal"),
        (lambda: Program().affine(1.0).activation("step").evaluate(np.eye(2)), "step is not differentiable"),
        (lambda: Program().affine(1e200).activation("relu").evaluate(np.eye(2)), "1e100"),
    ],
)
def test_errors(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
