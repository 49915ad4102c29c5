"""Spectra against closed forms and multiprecision; the certified bound against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram.analysis import spectrum
from lazygram.analysis.spectrum import (
    certified_lambda_min,
    eigenvalues,
    lambda_max,
    lambda_min,
    operator_norm,
)

EPS = float(np.finfo(np.float64).eps)


def exactly_semidefinite(A: list[list[Fraction]]) -> bool:
    """Whether a symmetric rational matrix is positive semi-definite: LDL^T without rounding."""
    A = [row[:] for row in A]
    n = len(A)
    for k in range(n):
        pivot = A[k][k]
        if pivot < 0:
            return False
        if pivot == 0:
            if any(A[i][k] != 0 for i in range(k + 1, n)):
                return False
            continue
        for i in range(k + 1, n):
            ratio = A[i][k] / pivot
            if ratio:
                for j in range(k + 1, n):
                    A[i][j] -= ratio * A[k][j]
    return True


def rational(A: np.ndarray) -> list[list[Fraction]]:
    """The symmetric matrix with the lower triangle of A, exactly."""
    n = len(A)
    return [[Fraction(float(A[max(i, j), min(i, j)])) for j in range(n)] for i in range(n)]


def is_lower_bound(bound: float, A: list[list[Fraction]]) -> bool:
    shift = Fraction(bound)
    n = len(A)
    return exactly_semidefinite([[A[i][j] - (shift if i == j else 0) for j in range(n)] for i in range(n)])


def exact_lambda_min(A: np.ndarray) -> float:
    with mpmath.workdps(60):
        values = mpmath.eigsy(mpmath.matrix(A.tolist()), eigvals_only=True)
        return float(min(values))


def hilbert(n: int) -> np.ndarray:
    return np.array([[1.0 / (i + j + 1) for j in range(n)] for i in range(n)])


def random_symmetric(n: int, rng: np.random.Generator) -> np.ndarray:
    G = rng.standard_normal((n, n))
    return np.tril(G) + np.tril(G, -1).T


def gram(n: int, rank: int, rng: np.random.Generator) -> np.ndarray:
    G = rng.standard_normal((n, rank))
    K = G @ G.T
    return np.tril(K) + np.tril(K, -1).T


def allowance(A: np.ndarray, smallest: float) -> float:
    """(n + 10) eps trace(A - lambda_min I): the accuracy the certificate states.

    The error bound of the factorisation itself is gamma_{n+1} trace / 2 in units of eps, the rest
    is the shift below the approximate eigenvalue.
    """
    n = len(A)
    return (n + 10) * EPS * (float(np.trace(A)) - n * smallest)


def second_difference(n: int) -> np.ndarray:
    return 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    base = gram(7, 9, rng)
    return {
        "gram": base,
        "gram-1": gram(1, 2, rng),
        "gram-2": gram(2, 3, rng),
        "rank-deficient": gram(8, 3, rng),
        "indefinite": random_symmetric(8, rng),
        "negative-definite": -gram(6, 9, rng),
        "hilbert-6": hilbert(6),
        "hilbert-10": hilbert(10),
        "hilbert-13": hilbert(13),
        "ones": np.ones((6, 6)),
        "nearly-parallel": np.array([[1.0, 1.0 - EPS], [1.0 - EPS, 1.0]]),
        "exchange": np.eye(5)[::-1].copy(),
        "huge": np.ldexp(base, 1015),
        "tiny": np.ldexp(base, -1030),
        "subnormal": np.array([[5e-324, 5e-324], [5e-324, 1e-323]]),
        "graded": np.diag(2.0 ** np.arange(0, -160, -20)) + 1e-60 * (np.ones((8, 8)) - np.eye(8)),
        "wide-range": np.array([[1e300, 1e-10, 0.0], [1e-10, 1.0, 1e-300], [0.0, 1e-300, 1e-300]]),
        "second-difference": second_difference(9),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_certified_bound_is_below_the_exact_value(name: str) -> None:
    A = CASES[name]
    assert is_lower_bound(certified_lambda_min(A), rational(A))


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("huge", "tiny", "subnormal", "wide-range")]
)
def test_certified_bound_is_tight(name: str) -> None:
    A = CASES[name]
    exact = exact_lambda_min(A)
    assert exact - certified_lambda_min(A) <= allowance(A, exact)


def test_scaling_by_a_power_of_two_scales_the_bound() -> None:
    A = CASES["gram"]
    bound = certified_lambda_min(A)
    for power in (-900, -1, 3, 1000):
        assert certified_lambda_min(np.ldexp(A, power)) == math.ldexp(bound, power)


def test_diagonal_and_one_by_one_are_exact() -> None:
    assert certified_lambda_min([[0.1]]) == 0.1
    assert certified_lambda_min([[-3]]) == -3.0
    assert certified_lambda_min(np.diag([0.3, 1e-320, 7.0])) == 1e-320
    assert certified_lambda_min(np.zeros((4, 4))) == 0.0


def test_positive_certificate_needs_more_than_rounding() -> None:
    # Singular matrices, for which LAPACK's value may come out positive.
    rng = np.random.default_rng(8)
    for n in (2, 5, 12, 30):
        # Small integers: the Gram matrix is formed exactly and has rank n - 1.
        G = rng.integers(-4, 5, size=(n, n - 1)).astype(float)
        assert certified_lambda_min(G @ G.T) <= 0.0
    assert certified_lambda_min(np.ones((6, 6))) <= 0.0
    assert certified_lambda_min(CASES["gram"]) > 0.0


@pytest.mark.parametrize("n", [3, 6, 9, 12, 14])
def test_hilbert_true_matrix_through_entry_error(n: int) -> None:
    # Entries are rounded from 1/(i+j-1) <= 1 to nearest, hence off by at most 2^-54.
    error = 2.0**-54
    true = [[Fraction(1, i + j + 1) for j in range(n)] for i in range(n)]
    stored = hilbert(n)
    bound = certified_lambda_min(stored, entry_error=error)
    assert is_lower_bound(bound, true)
    assert certified_lambda_min(stored) - bound == pytest.approx(n * error, rel=1e-6, abs=1e-18)


def test_entry_error_of_a_diagonal_matrix_is_subtracted_and_rounded_down() -> None:
    bound = certified_lambda_min([[1.0]], entry_error=1e-30)
    assert bound < 1.0
    assert bound == math.nextafter(1.0, 0.0)


@given(
    entries=st.lists(st.integers(-9, 9), min_size=21, max_size=21),
    n=st.integers(1, 6),
    power=st.integers(-1060, 1000),
)
@settings(max_examples=120, deadline=None)
def test_property_small_integer_matrices(entries: list[int], n: int, power: int) -> None:
    A = np.zeros((n, n))
    A[np.tril_indices(n)] = np.ldexp(np.array(entries[: n * (n + 1) // 2], dtype=float), power)
    A = np.tril(A) + np.tril(A, -1).T
    assert is_lower_bound(certified_lambda_min(A), rational(A))


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 7), rank=st.integers(1, 7))
@settings(max_examples=80, deadline=None)
def test_property_gram_matrices(seed: int, n: int, rank: int) -> None:
    A = gram(n, rank, np.random.default_rng(seed))
    bound = certified_lambda_min(A)
    assert is_lower_bound(bound, rational(A))
    smallest = lambda_min(A)
    # lambda_min itself is only good to a few eps |A|: its own error is added to the allowance.
    assert smallest - bound <= allowance(A, smallest) + 20 * EPS * operator_norm(A)


def test_bound_does_not_rest_on_the_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    original = scipy.linalg.lapack.dpotrf
    rng = np.random.default_rng(3)

    def sloppy(matrix: np.ndarray, **options: int) -> tuple[np.ndarray, int]:
        factor, info = original(matrix, **options)
        return factor * (1.0 + 1e-9 * np.tril(rng.standard_normal(factor.shape))), info

    A = CASES["gram"]
    honest = certified_lambda_min(A)
    monkeypatch.setattr(spectrum.scipy.linalg.lapack, "dpotrf", sloppy)
    bound = certified_lambda_min(A)
    assert is_lower_bound(bound, rational(A))
    assert bound < honest - 1e-12


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_residual_bound_covers_the_rounding_of_its_own_product(n: int) -> None:
    """B = fl(L L^T): the computed residual vanishes, the exact one does not."""
    rng = np.random.default_rng(n)
    L = np.tril(rng.uniform(0.3, 1.0, (n, n)))
    B = L @ L.T
    E, exact = rational(L), rational(B)
    for i in range(n):
        for j in range(n):
            row_i = [E[i][k] if k <= i else Fraction(0) for k in range(n)]
            row_j = [E[j][k] if k <= j else Fraction(0) for k in range(n)]
            exact[i][j] -= sum(a * b for a, b in zip(row_i, row_j, strict=True))
    assert any(value != 0 for row in exact for value in row)
    bound = spectrum._factor_residual(B, L)
    for sign in (1, -1):  # -bound I <= B - L L^T <= bound I
        assert exactly_semidefinite(
            [[sign * exact[i][j] + (bound if i == j else 0) for j in range(n)] for i in range(n)]
        )


def test_bound_survives_a_wrong_approximate_eigenvalue(monkeypatch: pytest.MonkeyPatch) -> None:
    A = CASES["gram"]
    for wrong in (-1.0, 0.5):
        monkeypatch.setattr(spectrum, "_one_eigenvalue", lambda matrix, index, w=wrong: w)
        assert is_lower_bound(certified_lambda_min(A), rational(A))


def test_large_matrix_with_known_spectrum() -> None:
    n = 300
    A = second_difference(n)
    exact = 4.0 * math.sin(math.pi / (2 * (n + 1))) ** 2
    bound = certified_lambda_min(A)
    assert 0.0 < bound <= exact
    # Row sums instead of the trace: far inside the stated n eps trace = 4e-11.
    assert exact - bound < 1e-12


def test_lower_triangle_is_what_counts() -> None:
    A = gram(5, 8, np.random.default_rng(0))
    bent = A.copy()
    bent[np.triu_indices(5, 1)] *= 1.0 + 4 * EPS
    assert certified_lambda_min(bent) == certified_lambda_min(A)
    assert lambda_min(bent) == lambda_min(A)


def test_out_of_range_bound_is_minus_infinity() -> None:
    big = 1.7e308
    assert certified_lambda_min([[-big, big], [big, -big]]) == -math.inf


def test_float32_is_taken_exactly() -> None:
    A = gram(6, 9, np.random.default_rng(5)).astype(np.float32)
    A = np.tril(A) + np.tril(A, -1).T
    assert certified_lambda_min(A) == certified_lambda_min(A.astype(np.float64))
    assert is_lower_bound(certified_lambda_min(A), rational(A))


def test_inexact_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"2\*\*53"):
        certified_lambda_min(np.array([[2**53 + 1]]))
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(TypeError, match="wider than float64"):
            certified_lambda_min(np.eye(2, dtype=np.longdouble))


@pytest.mark.parametrize("error", [-1.0, math.nan, math.inf])
def test_entry_error_must_be_a_bound(error: float) -> None:
    with pytest.raises(ValueError, match="entry_error"):
        certified_lambda_min(np.eye(2), entry_error=error)


def test_input_is_left_alone() -> None:
    A = np.asfortranarray(CASES["gram"])
    kept = A.copy()
    A.setflags(write=False)
    certified_lambda_min(A)
    eigenvalues(A)
    assert (kept == A).all()


# --- Plain spectra -------------------------------------------------------------------------------


def test_eigenvalues_of_the_second_difference() -> None:
    n = 40
    exact = 2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))
    A = second_difference(n)
    np.testing.assert_allclose(eigenvalues(A), exact, atol=40 * EPS)
    assert lambda_min(A) == pytest.approx(exact[0], abs=40 * EPS)
    assert lambda_max(A) == pytest.approx(exact[-1], abs=40 * EPS)
    assert operator_norm(A) == pytest.approx(exact[-1], abs=40 * EPS)


def test_operator_norm_sees_the_negative_end() -> None:
    assert operator_norm(np.diag([1.0, -3.0, 2.0])) == 3.0
    assert operator_norm([[0, 2], [2, 0]]) == pytest.approx(2.0, rel=4 * EPS)


def test_spectra_match_multiprecision() -> None:
    A = CASES["indefinite"]
    with mpmath.workdps(40):
        exact = sorted(float(v) for v in mpmath.eigsy(mpmath.matrix(A.tolist()), eigvals_only=True))
    np.testing.assert_allclose(eigenvalues(A), exact, atol=100 * EPS)
    assert operator_norm(A) == pytest.approx(max(abs(exact[0]), abs(exact[-1])), rel=50 * EPS)


@pytest.mark.parametrize(
    "function", [eigenvalues, lambda_min, lambda_max, operator_norm, certified_lambda_min]
)
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.ones((2, 3)), ValueError, "square"),
        (np.ones(3), ValueError, "2-D"),
        (np.empty((0, 0)), ValueError, "empty"),
        ([[1.0, math.nan], [math.nan, 1.0]], ValueError, "finite"),
        ([[1.0, 2.0], [2.1, 1.0]], ValueError, "not symmetric"),
        ([[1.0, 1e308], [-1e308, 1.0]], ValueError, "not symmetric"),
        (np.eye(2) * 1j, TypeError, "real"),
    ],
)
def test_invalid_matrices(function, bad, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=f"^A.*{message}"):
        function(bad)
