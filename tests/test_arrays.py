"""The one rule for inputs: what is accepted, what becomes of it, and what is said otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram.arrays import (
    as_matrix,
    as_stack,
    as_vector,
    check_nonnegative_int,
    check_positive_float,
    check_positive_int,
)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float64"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("bool", "float64"),
        (">f8", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_dtypes(dtype: str, expected: str) -> None:
    given = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    for result in (as_matrix(given, "X"), as_vector(given[0], "y")):
        assert result.dtype == np.dtype(expected)
        assert result.dtype.isnative
    np.testing.assert_array_equal(as_matrix(given, "X"), [[1, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout_becomes_contiguous(dtype: str, rng: np.random.Generator) -> None:
    base = rng.normal(size=(6, 8)).astype(dtype)
    frozen = base.copy()
    frozen.flags.writeable = False
    for given in (
        base,
        np.asfortranarray(base),
        base[::2, ::-1],
        base[:, 3:5],
        base.T,
        frozen,
        base.tolist(),
    ):
        result = as_matrix(given, "X", dtype=dtype)
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, np.array(given, dtype))
        column = as_vector(np.asarray(given)[:, 1], "y", dtype=dtype)
        assert column.flags.c_contiguous
        np.testing.assert_array_equal(column, np.array(given, dtype)[:, 1])
    assert as_matrix(frozen, "X") is frozen  # nothing to do, nothing copied


def test_dlpack_without_the_array_protocol() -> None:
    class OnlyDLPack:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **options: object) -> object:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.array.__dlpack_device__()

    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(as_matrix(OnlyDLPack(array), "X"), array)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (np.ones(3), ValueError, r"X: a 2-D array .* got shape \(3,\)"),
        (np.ones((2, 2, 2)), ValueError, r"X: a 2-D array"),
        (3.0, ValueError, r"X: a 2-D array"),
        (np.ones((0, 3)), ValueError, r"X: is empty, shape \(0, 3\)"),
        (np.ones((3, 0)), ValueError, r"X: is empty"),
        ([[1.0, np.nan]], ValueError, r"X: entry \(0, 1\) is nan"),
        ([[1.0], [np.inf]], ValueError, r"X: entry \(1, 0\) is inf"),
        ([[1.0], [-np.inf]], ValueError, r"X: entry \(1, 0\) is -inf"),
        ([[1.0, 2.0], [3.0]], ValueError, r"X: not a rectangular array"),
        ([["a", "b"]], TypeError, r"X: real numbers are needed"),
        ([[1j]], TypeError, r"X: real numbers are needed, got dtype complex128"),
        ([[None]], TypeError, r"X: real numbers are needed"),
        (None, TypeError, r"X: real numbers are needed"),
        ({"a": 1}, TypeError, r"X: real numbers are needed"),
        (np.array([["2020-01-01"]], "datetime64[D]"), TypeError, r"X: real numbers"),
    ],
)
def test_bad_matrices(value: object, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        as_matrix(value, "X")


def test_conversion_that_overflows_is_reported() -> None:
    with pytest.raises(ValueError, match=r"W: entry \(0, 1\) is inf"):
        as_matrix([[1.0, 1e300]], "W", dtype=np.float32)


def test_columns_and_zero_rows() -> None:
    X = np.array([[1.0, 2.0], [0.0, 0.0]])
    assert as_matrix(X, "X", columns=2) is X
    with pytest.raises(ValueError, match="X2: 3 columns are needed, got 2"):
        as_matrix(X, "X2", columns=3)
    with pytest.raises(ValueError, match="X: row 1 is zero"):
        as_matrix(X, "X", allow_zero_rows=False)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (np.ones((2, 2)), ValueError, r"y: a 1-D array is needed, got shape \(2, 2\)"),
        (1.0, ValueError, "y: a 1-D array"),
        ([], ValueError, "y: is empty"),
        ([1.0, np.nan], ValueError, r"y: entry \(1,\) is nan"),
        (["x"], TypeError, "y: real numbers"),
        ([1.0, 2.0, 3.0], ValueError, "y: length 2 is needed, got 3"),
    ],
)
def test_bad_vectors(value: object, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        as_vector(value, "y", length=2)


def test_single_column_is_a_vector() -> None:
    np.testing.assert_array_equal(as_vector([[1], [2]], "y"), [1.0, 2.0])


def test_stacks_of_runs() -> None:
    assert as_stack([[1, 2], [3, 4]], "v", 2).dtype == np.float64
    assert as_stack(np.ones((3, 4, 2), np.float32), "Z", None, 2).shape == (3, 4, 2)
    for bad, shape, text in (
        (np.ones((3, 2)), (3,), r"v: last axes \(3\) are needed, got shape \(3, 2\)"),
        (np.ones(2), (None, 2), r"v: last axes \(any, 2\) are needed, got shape \(2,\)"),
        (1.0, (None,), r"v: last axes \(any\) are needed, got shape \(\)"),
        (np.ones((0, 2)), (2,), "v: is empty"),
        ([1.0, np.inf], (2,), r"v: entry \(1,\) is inf"),
    ):
        with pytest.raises(ValueError, match=text):
            as_stack(bad, "v", *shape)


def test_integers() -> None:
    assert check_positive_int(np.int32(5), "steps") == 5
    assert type(check_positive_int(np.int32(5), "steps")) is int
    assert check_nonnegative_int(0, "steps") == 0
    for bad in (1.0, "3", None, True, np.bool_(True), [1]):
        with pytest.raises(TypeError, match="steps: an integer is needed"):
            check_positive_int(bad, "steps")
    with pytest.raises(ValueError, match="steps: must be positive, got 0"):
        check_positive_int(0, "steps")
    with pytest.raises(ValueError, match="steps: must not be negative, got -1"):
        check_nonnegative_int(-1, "steps")


def test_floats() -> None:
    assert check_positive_float(np.float32(0.5), "tolerance") == 0.5
    assert check_positive_float(2, "tolerance") == 2.0
    for bad in (0, -1.0, np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="tolerance: must be positive and finite"):
            check_positive_float(bad, "tolerance")
    for bad in ("1", None, True, [1.0], 1j):
        with pytest.raises(TypeError, match="tolerance: a number is needed"):
            check_positive_float(bad, "tolerance")
