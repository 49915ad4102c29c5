"""FullyConnected, ResNet, ConvResNet: every quantity of the texts against oracle.py, known properties."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from kernel_networks import inputs
from test_kernel_oracle import SPOT_CONV, SPOT_CONV_2D, SPOT_FC, SPOT_RELU, SPOT_RES, spot_inputs

import lazygram
from lazygram import ConvResNet, FullyConnected, ResNet

Array = np.ndarray
SOFTPLUS = oracle.ACTIVATIONS["softplus"]


def assert_close(value: Array, wanted: Array, scale: float = 1.0) -> None:
    """To 1e-12 of the largest entry: a few roundings per layer, no cancellation."""
    assert value.shape == wanted.shape
    assert np.all(np.abs(value - wanted) <= 1e-12 * scale * max(1.0, np.abs(wanted).max()))


# --- published values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", SPOT_FC)
def test_spot_values_of_vectors(depth: int) -> None:
    X = spot_inputs(4, 3, shift=0)
    np.testing.assert_allclose(
        FullyConnected(depth).last_hidden_gram(X)[0, :2], SPOT_FC[depth], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(ResNet(depth).last_hidden_gram(X)[0, :2], SPOT_RES[depth], rtol=0, atol=1e-12)


def test_spot_value_of_relu() -> None:
    value = FullyConnected(3, "relu").last_hidden_gram(spot_inputs(4, 3, shift=0))
    np.testing.assert_allclose(value[0, :2], SPOT_RELU, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", SPOT_CONV)
def test_spot_values_of_images(depth: int) -> None:
    value = ConvResNet(depth, image=(5,)).last_hidden_gram(spot_inputs(2, 2, 5, shift=3))
    np.testing.assert_allclose(value[0, :2], SPOT_CONV[depth], rtol=0, atol=2e-12)


def test_spot_value_of_two_dimensional_images() -> None:
    X = spot_inputs(2, 2, 12, shift=4).reshape(2, 2, 3, 4)
    value = ConvResNet(2, patch=(3, 3)).last_hidden_gram(X)
    np.testing.assert_allclose(value[0, :2], SPOT_CONV_2D, rtol=1e-11, atol=0)


# --- every quantity against the reference -----------------------------------------------------------------


def compare(network: FullyConnected | ResNet | ConvResNet, X: Array, limits: oracle.Limits) -> None:
    image = limits.S[0].ndim == 4

    def diagonal(S: Array) -> Array:
        return np.einsum("ijll->lij", S) if image else S

    covariances = network.layer_covariances(X)
    assert len(covariances) == network.depth + 1
    for value, wanted in zip(covariances, limits.S, strict=True):
        assert_close(value, diagonal(wanted))
    for value, wanted in zip(network.b(X), limits.b, strict=True):
        assert_close(value, wanted)
    for value, wanted in zip(network.layer_grams(X), limits.G, strict=True):
        assert_close(value, wanted)
    if network.activation.closed is None:
        return  # the rest takes the same way for every activation
    for h, wanted in enumerate(limits.G, start=1):
        assert_close(network.layer_gram(h, X), wanted)
    assert_close(network.ntk(X), limits.ntk)
    assert_close(network.last_hidden_gram(X), limits.last_hidden_gram)
    assert_close(network.nngp(X), np.einsum("ijll->ij", limits.S[-1]) if image else limits.S[-1])
    # Rectangular blocks and the diagonal are parts of the square kernels.
    assert_close(network.ntk(X[:2], X[1:]), limits.ntk[:2, 1:])
    assert_close(network.last_hidden_gram(X[:1], X[1:]), limits.last_hidden_gram[:1, 1:])
    assert_close(network.ntk(X, diagonal=True), np.diag(limits.ntk))
    for value, wanted in zip(network.layer_grams(X[:1], X), limits.G, strict=True):
        assert_close(value, wanted[:1])
    for value, wanted in zip(network.layer_covariances(X[:1], X), limits.S, strict=True):
        assert_close(value, diagonal(wanted)[..., :1, :])


@pytest.mark.parametrize(("name", "depth"), [("softplus", 3), ("relu", 4), ("erf", 1), ("erf", 3)])
def test_fully_connected(name: str, depth: int) -> None:
    X = inputs(4, 3)
    compare(FullyConnected(depth, name), X, oracle.fully_connected(X, depth, oracle.ACTIVATIONS[name]))


@pytest.mark.parametrize(
    ("name", "depth", "c_res"), [("softplus", 3, 0.9), ("relu", 4, 0.5), ("relu", 1, 0.5), ("erf", 2, 0.7)]
)
def test_resnet(name: str, depth: int, c_res: float) -> None:
    X = inputs(4, 3)
    limits = oracle.resnet(X, depth, oracle.ACTIVATIONS[name], c_res)
    compare(ResNet(depth, name, c_res), X, limits)


@pytest.mark.parametrize(
    ("depth", "image", "patch", "name"),
    [
        (1, (5,), 3, "erf"),
        (2, (4,), (3,), "softplus"),
        (3, (5,), (3,), "relu"),
        (2, (4,), 5, "relu"),
        (2, (3, 4), (3, 1), "erf"),
        (3, (3, 3), 3, "relu"),
    ],
)
def test_conv_resnet(depth: int, image: tuple[int, ...], patch: int | tuple[int, ...], name: str) -> None:
    X = inputs(3, 2, *image)
    sizes = (patch,) * len(image) if isinstance(patch, int) else patch
    table = oracle.neighbours(image, sizes)
    flat = X.reshape(3, 2, -1)
    limits = oracle.conv_resnet(flat, depth, oracle.ACTIVATIONS[name], 0.7, table)
    compare(ConvResNet(depth, name, 0.7, image=image, patch=patch), X, limits)


def test_pair_covariances() -> None:
    X, X2 = inputs(3, 4), inputs(2, 4, seed=1.0)
    network = ResNet(3)
    S = [network.layer_covariances(np.concatenate([X, X2]))[h] for h in range(3)]
    for A, covariance in zip(network.pair_covariances(X, X2), S, strict=True):
        assert A.shape == (3, 2, 2, 2)
        for i in range(3):
            for j in range(2):
                pair = np.ix_([i, 3 + j], [i, 3 + j])
                np.testing.assert_allclose(A[i, j], covariance[pair], rtol=1e-13)


@pytest.mark.parametrize(
    ("image", "patch", "name"),
    [
        ((5,), 3, "softplus"),
        ((1,), 3, "relu"),
        ((3,), 7, "erf"),
        ((2, 3), (5, 3), "relu"),
        ((4, 2), (1, 3), "erf"),
    ],
)
def test_all_pairs_of_pixels(image: tuple[int, ...], patch: int | tuple[int, ...], name: str) -> None:
    """S^(h) and A^(h) whole: p x p and 2p x 2p for every pair of examples."""
    X, H = inputs(4, 2, *image), 3
    sizes = (patch,) * len(image) if isinstance(patch, int) else patch
    table = oracle.neighbours(image, sizes)
    limits = oracle.conv_resnet(X.reshape(4, 2, -1), H, oracle.ACTIVATIONS[name], 0.7, table)
    network = ConvResNet(H, name, 0.7, patch=patch)
    p, shifts = len(table), oracle.shift_matrices(table, len(table))
    whole = network.layer_covariances(X, pixels="pairs")
    block = network.layer_covariances(X[:1], X[2:], pixels="pairs")
    diagonal = network.layer_covariances(X)
    for h, S in enumerate(limits.S):
        # (n, n, p, p) there, (p, p, n, n) here; one pixel needs no axes.
        wanted = S.transpose(2, 3, 0, 1) if p > 1 else S[..., 0, 0]
        assert_close(whole[h], wanted)
        assert_close(block[h], wanted[..., :1, 2:])
        if p > 1:
            assert np.array_equal(whole[h], whole[h].transpose(1, 0, 3, 2))
            assert_close(np.einsum("llij->lij", whole[h]), diagonal[h], scale=0.1)
    pairs = network.pair_covariances(X, pixels="pairs")
    pairs_block = network.pair_covariances(X[:1], X[2:], pixels="pairs")
    slim = network.pair_covariances(X)
    for h in range(H):
        P = sum(M @ limits.S[h] @ M.T for M in shifts)
        both = np.einsum("iilk->ilk", P)
        for i in range(4):
            for j in range(4):
                A = np.block([[both[i], P[i, j]], [P[j, i], both[j]]])
                assert_close(pairs[h][i, j], A)
                at = slim[h][:, i, j] if p > 1 else slim[h][None, i, j]
                for pixel in range(p):
                    assert_close(at[pixel], A[np.ix_([pixel, p + pixel], [pixel, p + pixel])])
        assert_close(pairs_block[h], pairs[h][:1, 2:], scale=0.1)


def test_networks_of_vectors_have_one_pixel() -> None:
    X = inputs(3, 4)
    for network in (FullyConnected(2, "erf"), ResNet(2, "erf")):
        for method in (network.layer_covariances, network.pair_covariances):
            for a, b in zip(method(X), method(X, pixels="pairs"), strict=True):
                assert np.array_equal(a, b)
    for call in (network.layer_covariances, network.pair_covariances):
        with pytest.raises(ValueError, match="pixels: 'diagonal' or 'pairs'"):
            call(X, pixels="all")  # type: ignore[arg-type]


def test_layers_are_planned() -> None:
    """The plan counts what the methods return; too much is refused before it starts."""
    network = ConvResNet(2, "relu")
    names = ["S0", "S1", "S2"]
    X = inputs(4, 2, 3, 2)
    for pixels in ("diagonal", "pairs"):
        made = network.layer_covariances(X, pixels=pixels)  # type: ignore[arg-type]
        plan = network.plan(X.shape, outputs=names, pixels=pixels)  # type: ignore[arg-type]
        assert plan.output == sum(S.nbytes for S in made)
    assert network.plan(X.shape, outputs=["b1"]).output == network.b(X)[0].nbytes
    assert network.plan(X.shape, 7, outputs=["grams"]).output == 3 * 4 * 7 * 8
    many = np.broadcast_to(X[:1], (20_000, *X.shape[1:]))
    with pytest.raises(MemoryError, match="GiB"):
        network.layer_covariances(many, pixels="pairs")
    with pytest.raises(ValueError, match="outputs: the program has no 'S3'; it has nngp, ntk, grams, S0"):
        network.plan(X.shape, outputs=["S3"])


def test_one_hidden_layer_is_the_two_layer_network() -> None:
    """H = 1: c_sigma times the two-layer matrices; c_sigma = 2 for ReLU."""
    X = inputs(5, 4)
    kernels = lazygram.two_layer_kernels(X)
    for network in (FullyConnected(1, "relu"), ResNet(1, "relu")):
        np.testing.assert_allclose(network.last_hidden_gram(X), 2 * lazygram.gram_infinite(X), rtol=1e-13)
        np.testing.assert_allclose(network.nngp(X), 2 * kernels.nngp, rtol=1e-13)
        np.testing.assert_allclose(network.ntk(X), 2 * kernels.ntk, rtol=1e-13)


def test_composed_layers_give_the_same_networks() -> None:
    from lazygram.layers import Activation, Conv, Dense, Flatten, Residual

    X = inputs(4, 3)
    first = [Dense(3**0.5), Activation("gelu", normalised=True)]
    block = Residual([Dense(), Activation("gelu")], scale=0.5 / 3)
    made = lazygram.Sequential([*first, block, block, Dense()])
    np.testing.assert_allclose(made.ntk(X), ResNet(3, "gelu").ntk(X), rtol=1e-13)
    image = inputs(3, 2, 4, 3)
    first = [Conv(3, w_std=18**0.5), Activation("gelu", normalised=True)]
    block = Residual([Conv(3, w_std=3.0), Activation("gelu")], scale=0.5 / 3)
    made = lazygram.Sequential([*first, block, block, Flatten(), Dense(12**0.5)])
    np.testing.assert_allclose(made.ntk(image), ConvResNet(3, "gelu").ntk(image), rtol=1e-13)


# --- properties that the texts state ---------------------------------------------------------------------


def unit_points(n: int, dim: int, seed: int = 0) -> Array:
    X = np.random.default_rng(seed).standard_normal((n, dim))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def smallest(K: Array) -> float:
    return float(np.linalg.eigvalsh(K)[0])


def test_smallest_eigenvalue_falls_geometrically_for_fully_connected() -> None:
    """A factor of about 0.31 per layer for softplus and any generic points: below 0.45 on every step."""
    X = unit_points(10, 10)
    values = [smallest(FullyConnected(h).last_hidden_gram(X)) for h in (2, 3, 4, 5, 6, 7, 8)]
    ratios = np.array(values[1:]) / np.array(values[:-1])
    assert np.all((ratios > 0.2) & (ratios < 0.45))
    assert abs(np.mean(ratios) - 0.31) < 0.04


def test_smallest_eigenvalue_of_resnet_falls_like_the_square_of_the_depth() -> None:
    """lambda_min(K^(H)) H^2 / c_res^2 does not depend on the depth (Proposition 3.2: >= kappa)."""
    X = unit_points(10, 10)
    scaled = [smallest(ResNet(h).last_hidden_gram(X)) * (h / 0.5) ** 2 for h in (2, 4, 8, 16)]
    assert max(scaled) / min(scaled) < 1.15
    assert scaled == sorted(scaled)
    full = [smallest(ResNet(h).ntk(X)) for h in (2, 4, 8, 16)]
    assert max(full) / min(full) < 1.1


def test_repeated_inputs_make_the_matrix_singular() -> None:
    """Proposition 3.1 needs different directions; x and 2x, or x and -x, do for softplus but not for tanh."""
    X = unit_points(5, 4)
    for network in (FullyConnected(3), ResNet(3)):
        repeated = network.last_hidden_gram(np.concatenate([X, X[:1]]))
        assert abs(smallest(repeated)) <= 1e-14 * np.abs(repeated).max()
        assert smallest(network.last_hidden_gram(np.concatenate([X, 2 * X[:1]]))) > 1e-5
        assert smallest(network.last_hidden_gram(np.concatenate([X, -X[:1]]))) > 1e-5
    odd = FullyConnected(2, "tanh").last_hidden_gram(np.concatenate([X, -X[:1]]))
    assert abs(smallest(odd)) <= 1e-13


def test_duplicate_of_one_layer_bounds_the_next() -> None:
    """Corrected Lemma 3.25: smallest eigenvalues of the pairs stay above those of S^(1) - b b^T."""
    X = unit_points(6, 5, seed=3)
    network = ResNet(8, c_res=0.9)
    S, b = network.layer_covariances(X), network.b(X)[0]

    def smallest_pair(K: Array) -> float:
        pairs = [(i, j) for i in range(6) for j in range(i)]
        return min(smallest(K[np.ix_(pair, pair)]) for pair in pairs)

    # S^(1) meets the bound with equality (inputs of one norm have one b): up to rounding of its entries.
    bound = smallest_pair(S[1] - np.outer(b, b)) - 4 * np.finfo(float).eps * S[1].max()
    assert all(smallest_pair(K) >= bound for K in S[1:])


# --- settings and text ----------------------------------------------------------------------------------


def test_errors() -> None:
    with pytest.raises(ValueError, match="depth: must be positive"):
        FullyConnected(0)
    with pytest.raises(TypeError, match="depth: an integer"):
        ResNet(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="c_res: must be positive"):
        ResNet(2, c_res=0.0)
    with pytest.raises(ValueError, match="activation: unknown"):
        FullyConnected(2, "nosuch")
    with pytest.raises(ValueError, match="patch: odd"):
        ConvResNet(2, patch=2)
    with pytest.raises(ValueError, match=r"patch: .* does not fit"):
        ConvResNet(2, image=(4,), patch=(3, 3))
    with pytest.raises(ValueError, match="image: one or two"):
        ConvResNet(2, image=(1, 2, 3))
    with pytest.raises(ValueError, match=r"X: images of \(4,\) pixels"):
        ConvResNet(2, image=(4,)).ntk(np.ones((2, 1, 5)))
    with pytest.raises(ValueError, match=r"X: ConvResNet needs shape .* got \(n, 5\)"):
        ConvResNet(2).ntk(np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"X: ResNet needs shape \(n, d\), got \(n, 2, 5\)"):
        ResNet(2).ntk(np.ones((3, 2, 5)))
    with pytest.raises(ValueError, match="h: between 1 and 3"):
        FullyConnected(2).layer_gram(4, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"patch: .* does not fit"):
        ConvResNet(2, patch=(3, 3)).ntk(np.ones((2, 1, 5)))


def test_text_and_properties() -> None:
    network = ConvResNet(3, lazygram.activations.elu(0.5), 0.25, image=(4, 5), patch=(3, 1))
    assert repr(network) == "ConvResNet(3, elu(alpha=0.5), c_res=0.25, image=(4, 5), patch=(3, 1))"
    assert (network.depth, network.c_res, network.patch, network.image) == (3, 0.25, (3, 1), (4, 5))
    assert repr(FullyConnected(2)) == "FullyConnected(2, 'softplus')"
    assert repr(ResNet(4, "relu")) == "ResNet(4, 'relu', c_res=0.5)"
    assert FullyConnected(1, "relu").c_sigma == pytest.approx(2.0, rel=1e-15)
    assert ResNet(4).activation.name == "softplus"
