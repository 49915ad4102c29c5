"""Kernels at their edges: near and opposite inputs, zeros, dtypes, and what holds for every kernel."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import oracle
import pytest
from compose import sequential
from kernel_networks import CASES, RELU, Case, conv, dense, inputs

import lazygram
from lazygram import ConvResNet, FullyConnected, ResNet

Array = np.ndarray
EPS = float(np.finfo(np.float64).eps)


# --- near, equal and opposite inputs: ReLU networks at high precision ------------------------------------


def precise(x: Array, y: Array, w2: mp.mpf, b2: mp.mpf, hidden: int) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """NNGP kernel, NTK and smallest sine of an angle in a layer, of Dense, relu, ..., Dense, at 50 digits."""
    d = len(x)

    def inner(a: Array, b: Array) -> mp.mpf:
        return mp.fsum(mp.mpf(float(s)) * mp.mpf(float(t)) for s, t in zip(a, b, strict=True)) / d

    p, q, r, t = inner(x, x), inner(y, y), inner(x, y), mp.mpf(0)
    smallest = mp.mpf(1)
    for layer in range(hidden + 1):
        p, q, r = w2 * p + b2, w2 * q + b2, w2 * r + b2
        t = w2 * t + r
        if layer == hidden:
            break
        norm = mp.sqrt(p * q)
        if norm == 0:
            return mp.mpf(0), mp.mpf(0), smallest
        cosine = max(mp.mpf(-1), min(mp.mpf(1), r / norm))
        angle = mp.acos(cosine)
        smallest = min(smallest, mp.sin(angle))
        t = t * (mp.pi - angle) / (2 * mp.pi)
        r = norm * (mp.sin(angle) + (mp.pi - angle) * cosine) / (2 * mp.pi)
        p, q = p / 2, q / 2
    return r, t, smallest


def near_pairs() -> list[tuple[Array, Array]]:
    x = inputs(1, 5)[0]
    other = np.array([0.3, -1.0, 0.7, 0.2, 0.5])
    other -= other @ x / (x @ x) * x
    pairs = [
        (x, sign * scale * x + step * other)
        for step in (0.0, 1e-12, 1e-7, 1e-3)
        for sign, scale in ((1, 1), (1, 3), (-1, 1), (-1, 0.5))
    ]
    return [*pairs, (x, np.zeros(5)), (np.zeros(5), np.zeros(5))]


@pytest.mark.parametrize("b_std", [None, 0.3])
@pytest.mark.parametrize("hidden", [1, 4])
def test_near_equal_opposite_and_zero_inputs(hidden: int, b_std: float | None) -> None:
    w_std = 1.4
    layers = [dense(w_std, b_std), RELU] * hidden + [dense(w_std, b_std)]
    network = sequential(layers)
    for x, y in near_pairs():
        with mp.workdps(50):
            b2 = mp.mpf(0) if b_std is None else mp.mpf(b_std) ** 2
            args = (mp.mpf(w_std) ** 2, b2, hidden)
            nngp, ntk, sine = precise(x, y, *args)
            own, own2 = precise(x, x, *args), precise(y, y, *args)
            scale = [float(mp.sqrt(own[k] * own2[k])) for k in (0, 1)]
        made = network.nngp_and_ntk(x[None], y[None])
        assert abs(made.nngp[0, 0] - float(nngp)) <= 1e-13 * scale[0]
        # The derivative's dual has slope 1/sin(angle): roundings of inner products grow by that, up to the
        # square root of a rounding.
        growth = max(1e-13, 16 * hidden * EPS / max(float(sine), EPS**0.5 / 4))
        assert abs(made.ntk[0, 0] - float(ntk)) <= growth * scale[1]


def test_angles_of_networks_without_bias_lose_nothing() -> None:
    """Functions of the angle alone take it from differences of unit vectors: no loss between near inputs."""
    network = FullyConnected(3, "relu")
    for x, y in near_pairs()[:-2]:
        with mp.workdps(50):
            # c_sigma = 2 and no 1/d in the first layer.
            _, ntk, _ = precise(x, y, mp.mpf(2), mp.mpf(0), 3)
            wanted = float(ntk) * 5 / 2
            scale = float(np.linalg.norm(x) * np.linalg.norm(y)) * 4
        assert abs(network.ntk(x[None], y[None])[0, 0] - wanted) <= 1e-13 * scale


def test_repeated_inputs_have_the_value_of_the_diagonal() -> None:
    X = inputs(4, 5)
    X = np.concatenate([X, X[1:3], -X[:1]])
    for network in (FullyConnected(3, "relu"), sequential([dense(1.2, 0.3), RELU] * 3 + [dense()])):
        K = network.ntk(X)
        # Not the square root of a rounding, which is what a rounded correlation of 1 would leave.
        for i, j in ((1, 4), (2, 5)):
            np.testing.assert_allclose([K[i, j], K[j, j]], K[i, i], rtol=4 * EPS)


@pytest.mark.parametrize(
    "make", [lambda: [dense(1.3, 0.2), RELU, dense()], lambda: [dense(1.3), ("act", "softplus"), dense()]]
)
def test_zero_inputs(make: object) -> None:
    X = inputs(3, 4)
    X[1] = 0.0
    layers = make()  # type: ignore[operator]
    wanted = oracle.kernels(X, layers)
    made = sequential(layers).nngp_and_ntk(X)
    np.testing.assert_allclose(made.nngp, wanted.nngp, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(made.ntk, wanted.ntk, rtol=1e-13, atol=1e-15)


def test_zero_images_and_zero_patches() -> None:
    X = inputs(3, 2, 6)
    X[0], X[1, :, 2:] = 0.0, 0.0
    for last in ("flatten", "gap"):
        layers = [conv(3), RELU, conv(3), RELU, (last,), dense()]
        wanted = oracle.kernels(X, layers)
        made = sequential(layers).nngp_and_ntk(X)
        np.testing.assert_allclose(made.nngp, wanted.nngp, rtol=1e-13, atol=1e-16)
        np.testing.assert_allclose(made.ntk, wanted.ntk, rtol=1e-13, atol=1e-16)
        assert np.all(made.ntk[0] == 0.0)


# --- every kernel -----------------------------------------------------------------------------------------


def kernels_of_all_kinds() -> dict[
    str, tuple[lazygram.Sequential | FullyConnected | ResNet | ConvResNet, Array]
]:
    vectors = np.random.default_rng(1).standard_normal((150, 6))
    images = np.random.default_rng(2).standard_normal((14, 2, 4, 3))
    return {
        "fully connected relu": (FullyConnected(4, "relu"), vectors),
        "fully connected erf": (FullyConnected(3, "erf"), vectors),
        "resnet relu": (ResNet(3, "relu"), vectors),
        "biases": (sequential([dense(1.4, 0.3), RELU] * 3 + [dense()]), vectors),
        "conv resnet": (ConvResNet(3, "relu"), images),
        "pooled": (sequential(CASES["conv2d-pool"].layers(1)), images),
        "flattened": (sequential(CASES["conv2d-flatten"].layers(1)), images),
    }


@pytest.mark.parametrize("name", kernels_of_all_kinds())
def test_symmetric_positive_and_consistent(name: str) -> None:
    network, X = kernels_of_all_kinds()[name]
    n = len(X)
    for kind in ("nngp", "ntk"):
        K = getattr(network, kind)(X)
        assert K.dtype == np.float64
        assert np.array_equal(K, K.T)
        # Entries carry some 1e-14 of the diagonal; n of them make an eigenvalue.
        assert np.linalg.eigvalsh(K)[0] >= -1e-14 * n * K.max()
        assert np.array_equal(np.diag(K), getattr(network, kind)(X, diagonal=True))
        scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
        block = getattr(network, kind)(X[: n // 2], X[n // 3 :])
        error = np.abs(block - K[: n // 2, n // 3 :]) / scale[: n // 2, n // 3 :]
        # The same example on both sides is rounded like a near one: up to 1e-8 for ReLU's derivative.
        same = np.arange(n)[: n // 2, None] == np.arange(n)[None, n // 3 :]
        assert error[~same].max() <= 1e-13
        assert error[same].max() <= 2e-8
        assert np.array_equal(getattr(network, kind)(X, threads=1), K)


@pytest.mark.parametrize("name", kernels_of_all_kinds())
def test_single_precision(name: str) -> None:
    network, X = kernels_of_all_kinds()[name]
    x = X.astype(np.float32)
    for kind in ("nngp", "ntk"):
        K = getattr(network, kind)(x)
        assert K.dtype == np.float32
        assert np.array_equal(K, K.T)
        exact = getattr(network, kind)(x.astype(np.float64))
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        # A float32 rounding is 6e-8; kernels of angles may lose 1e-6 of the diagonal in all.
        assert np.abs(K - exact).max() <= 1e-6 * scale.max()


@pytest.mark.parametrize("name", ["dense", "conv1d-flatten", "conv2d-pool", "dense-residual-means"])
def test_every_instruction_set_level(name: str, isa_level: str) -> None:
    case = CASES[name]
    X = inputs(*case.shape)
    wanted = oracle.kernels(X, case.layers(1))
    made = sequential(case.layers(1)).nngp_and_ntk(X)
    np.testing.assert_allclose(made.nngp, wanted.nngp, rtol=1e-12, err_msg=isa_level)
    np.testing.assert_allclose(made.ntk, wanted.ntk, rtol=1e-12, err_msg=isa_level)


def test_invariances() -> None:
    """Rotations of vectors, shifts of images on a torus, permuted channels; homogeneity without biases."""
    X = inputs(5, 4)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    network = sequential([dense(1.4, 0.3), RELU, dense(1.2), ("act", "erf"), dense()])
    np.testing.assert_allclose(network.ntk(X @ Q), network.ntk(X), rtol=1e-12)
    plain = sequential([dense(1.4), RELU, dense(1.2), RELU, dense()])
    np.testing.assert_allclose(plain.ntk(3.0 * X), 9.0 * plain.ntk(X), rtol=1e-12)
    images = inputs(3, 2, 5, 4)
    torus = [
        conv(3, 2, padding="CIRCULAR"),
        RELU,
        ("scaled_residual", [conv(2, 3, padding="CIRCULAR"), RELU], 0.5),
    ]
    pooled, flat = sequential([*torus, ("gap",), dense()]), sequential([*torus, ("flatten",), dense()])
    shifted = np.roll(images, (2, 1), axis=(2, 3))
    np.testing.assert_allclose(pooled.ntk(shifted, images), pooled.ntk(images, images), rtol=1e-12)
    np.testing.assert_allclose(flat.ntk(shifted), flat.ntk(images), rtol=1e-12)
    assert np.abs(flat.ntk(shifted, images) / flat.ntk(images, images) - 1).max() > 0.05
    np.testing.assert_allclose(flat.ntk(images[:, ::-1]), flat.ntk(images), rtol=1e-12)


def test_order_of_memory_and_integers_do_not_matter() -> None:
    X = np.arange(24).reshape(4, 6) % 7
    network = sequential([dense(1.4, 0.3), RELU, dense()])
    wanted = network.ntk(X.astype(float))
    assert np.array_equal(network.ntk(X), wanted)
    assert np.array_equal(network.ntk(np.asfortranarray(X.astype(float))), wanted)
    assert np.array_equal(network.ntk(np.repeat(X, 2, axis=0)[::2]), wanted)
    assert np.array_equal(network.ntk(X.tolist()), wanted)


@pytest.mark.parametrize("case", [CASES["dense-dropout"], CASES["conv2d-dropout"]])
def test_dropout_changes_examples_with_themselves_alone(case: Case) -> None:
    X = inputs(*case.shape)
    layers = case.layers(1)
    dropped = sequential(layers).nngp(X)
    plain = sequential([item for item in layers if item[0] != "dropout"]).nngp(X)
    assert np.all(np.diag(dropped) > 1.05 * np.diag(plain))


def test_progress_and_operator_come_from_the_base_class() -> None:
    X = inputs(40, 5)
    network = lazygram.Sequential([lazygram.layers.Dense(), lazygram.layers.Activation("relu")])
    K = network.ntk(X)
    v = inputs(40, 2)
    np.testing.assert_allclose(network.operator(X) @ v, K @ v, rtol=1e-12, atol=1e-12)
    assert network.plan(X.shape).total > 0
