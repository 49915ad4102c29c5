"""Random networks: published Philox vectors, independence of chunks, distribution of weights and signs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lazygram import TwoLayerReLU, _core
from lazygram.random import seed_to_int

ONES = 0xFFFFFFFF


# Known-answer vectors of philox4x32 with 10 rounds, published with Random123 (file kat_vectors).
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_published_philox_vectors(counter: list[int], key: list[int], expected: list[int]) -> None:
    assert list(_core.philox4x32(counter, key)) == expected


def box_muller(seed: int, row: int, block: int) -> list[float]:
    """The four weights of one block from the definition, with libm."""
    words = _core.philox4x32(
        [block, row & ONES, row >> 32, 0], [seed & ONES, seed >> 32]
    )  # counter: block, row low, row high, stream of the weights
    values = []
    for low, high in (words[:2], words[2:]):
        word = high << 32 | low
        radius = np.sqrt(-2 * np.log(((word >> 28) + 0.5) / 2**36))
        turn = ((word >> 26) & 3) + ((word & 0x3FFFFFF) + 0.5) / 2**26 - 0.5
        values += [radius * np.cos(turn * np.pi / 2), radius * np.sin(turn * np.pi / 2)]
    return values


def test_weights_follow_their_definition(isa_level: str) -> None:
    seed, width = 2**64 - 3, 2**34
    network = TwoLayerReLU(width, 10, seed=seed)
    for row in (0, 3, 2**33 + 1, width - 1):
        expected = [value for block in range(3) for value in box_muller(seed, row, block)][:10]
        np.testing.assert_allclose(network.weights(row)[0], expected, rtol=0, atol=4e-15)


def test_signs_follow_their_definition() -> None:
    seed = 77 + (5 << 32)
    signs = TwoLayerReLU(300, 2, seed=seed).signs
    for r in (0, 31, 32, 127, 128, 299):
        words = _core.philox4x32([r // 128, 0, 0, 1], [seed & ONES, seed >> 32])
        assert signs[r] == (1.0 if words[r // 32 % 4] >> r % 32 & 1 else -1.0)


@pytest.mark.parametrize("dim", [1, 4, 7, 130])
@pytest.mark.parametrize("antisymmetric", [False, True])
def test_any_chunk_gives_the_same_rows(isa_level: str, dim: int, antisymmetric: bool) -> None:
    network = TwoLayerReLU(1030, dim, seed=5, antisymmetric=antisymmetric)
    everything = network.weights()
    for rows in (slice(0, 1), slice(511, 514), slice(1029, None), slice(100, 900), slice(3, 1000, 97)):
        np.testing.assert_array_equal(network.weights(rows), everything[rows])
    np.testing.assert_array_equal(network.weights([7, -1, 7]), everything[[7, -1, 7]])
    np.testing.assert_array_equal(network.weights(514), everything[514:515])
    single = TwoLayerReLU(1030, dim, seed=5, antisymmetric=antisymmetric, dtype="float32")
    np.testing.assert_array_equal(single.weights(), everything.astype(np.float32))


def test_same_bits_at_every_level() -> None:
    levels = _core.isa_available()
    made = []
    for level in levels:
        _core.isa_force(level)
        made.append(TwoLayerReLU(2000, 33, seed=9).weights())
    _core.isa_force("")
    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])


def test_width_and_antisymmetry_do_not_change_the_first_rows() -> None:
    narrow, wide = TwoLayerReLU(100, 6, seed=1), TwoLayerReLU(10**8, 6, seed=1)
    np.testing.assert_array_equal(narrow.weights(), wide.weights(slice(0, 100)))
    pair = TwoLayerReLU(200, 6, seed=1, antisymmetric=True)
    np.testing.assert_array_equal(pair.weights(slice(0, 100)), narrow.weights())
    np.testing.assert_array_equal(pair.weights(slice(100, 200)), narrow.weights())
    np.testing.assert_array_equal(pair.signs, np.concatenate([narrow.signs, -narrow.signs]))


# Fixed seeds, so these either pass or fail for good; each rejects at p < 1e-3.
def test_weights_are_standard_normal() -> None:
    values = TwoLayerReLU(4000, 50, seed=31).weights()
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    for column in range(8):  # the four members of a block and the next block
        assert stats.kstest(values[:, column], "norm").pvalue > 1e-3
    edges = stats.norm.ppf(np.linspace(0, 1, 101))
    assert stats.chisquare(np.histogram(values, edges)[0]).pvalue > 1e-3
    assert 4.0 < np.abs(values).max() < 7.2  # P(max < 4.0) of 200000 normals is 3e-6


def test_weights_are_uncorrelated() -> None:
    values = TwoLayerReLU(20000, 12, seed=32).weights()
    squares = (values**2 - 1) / np.sqrt(2)
    for sample in (values, squares):
        correlation = np.corrcoef(sample, rowvar=False)[np.triu_indices(12, 1)]
        assert np.abs(correlation).max() < 4.5 / np.sqrt(20000)  # 66 pairs at 4.5 sigma: 5e-4
        assert abs(np.mean(sample[1:] * sample[:-1])) < 4 / np.sqrt(sample.size)
    other = TwoLayerReLU(20000, 12, seed=33).weights()
    assert abs(np.mean(values * other)) < 4 / np.sqrt(values.size)


def test_signs_are_fair_and_independent() -> None:
    signs = TwoLayerReLU(100_000, 3, seed=8).signs
    assert set(np.unique(signs)) == {-1.0, 1.0}
    words = (signs.reshape(-1, 4) > 0) @ [1, 2, 4, 8]
    assert stats.chisquare(np.bincount(words, minlength=16)).pvalue > 1e-3
    weights = TwoLayerReLU(100_000, 3, seed=8).weights()
    assert np.abs(signs @ weights / 100_000).max() < 4.5 / np.sqrt(100_000)


def test_different_seeds_differ() -> None:
    first = [TwoLayerReLU(4, 4, seed=s).weights().tobytes() for s in (0, 1, 2**32, 2**63, 2**64 - 1)]
    assert len(set(first)) == 5


def test_seeds() -> None:
    assert seed_to_int(np.int64(7)) == 7
    assert seed_to_int(2**64 - 1) == 2**64 - 1
    one, two = np.random.default_rng(4), np.random.default_rng(4)
    drawn = seed_to_int(one)
    assert drawn == seed_to_int(two) != seed_to_int(one)
    assert TwoLayerReLU(3, 2, seed=np.random.default_rng(4)).seed == drawn
    with pytest.raises(ValueError, match=r"seed: must be below 2\*\*64"):
        seed_to_int(2**64)
    with pytest.raises(ValueError, match="seed: must not be negative"):
        seed_to_int(-1)
    for bad in (1.5, "1", None, True, np.random.RandomState(0)):
        with pytest.raises(TypeError, match=r"batch_seed: an int or numpy\.random\.Generator"):
            seed_to_int(bad, "batch_seed")  # type: ignore[arg-type]
