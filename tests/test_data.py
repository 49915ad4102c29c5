"""Data sets: what they contain, that seeds fix them, and what is refused with which words."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lazygram.data import Dataset, load_dataset, load_images, parallel_rows, read_idx, synthetic


def table(tmp_path: Path, X: Any, y: Any, name: str = "points.npz", **more: Any) -> Path:
    path = tmp_path / name
    np.savez(path, X=X, y=y, **more)
    return path


def points(n: int = 8, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * 3.0, rng.integers(0, 2, n).astype(float)


# --- synthetic ---------------------------------------------------------------------------------


def test_synthetic_is_uniform_on_the_sphere_with_normal_labels() -> None:
    n, d = 4000, 5
    data = synthetic(n, d, seed=3)
    np.testing.assert_allclose(np.linalg.norm(data.X, axis=1), 1.0, rtol=1e-14)
    # Uniform: mean 0, covariance I/d. An entry of x has variance 1/d, one of x x' at most
    # 3/(d (d + 2)); five standard errors over 5 + 15 comparisons.
    assert np.abs(data.X.mean(axis=0)).max() < 5 * np.sqrt(1 / d / n)
    covariance = data.X.T @ data.X / n
    assert np.abs(covariance - np.eye(d) / d).max() < 5 * np.sqrt(3 / (d * (d + 2)) / n)
    assert abs(data.y.mean()) < 5 / np.sqrt(n)
    assert abs(data.y.var() - 1) < 5 * np.sqrt(2 / n)
    assert data.X_test is None
    assert data.y_test is None


def test_synthetic_train_part_does_not_depend_on_the_test_part() -> None:
    alone, both = synthetic(6, 4, seed=9), synthetic(6, 4, n_test=3, seed=9)
    np.testing.assert_array_equal(alone.X, both.X)
    np.testing.assert_array_equal(alone.y, both.y)
    assert both.X_test is not None
    assert both.X_test.shape == (3, 4)
    assert not np.array_equal(synthetic(6, 4, seed=10).X, alone.X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0, "dim": 3}, "n: must be positive"),
        ({"n": 3, "dim": 1}, "dim must be at least 2"),
        ({"n": 3, "dim": 3, "n_test": -1}, "n_test"),
        ({"n": 3, "dim": 3, "seed": -1}, "seed"),
    ],
)
def test_synthetic_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic(**arguments)


def test_load_synthetic_defaults_and_refusals() -> None:
    data = load_dataset("synthetic", n=7)
    assert data.X.shape == (7, 7)
    assert data.task == "raw"
    with pytest.raises(ValueError, match="task: the labels of synthetic"):
        load_dataset("synthetic", task="classes")
    with pytest.raises(ValueError, match="classes: the labels of synthetic"):
        load_dataset("synthetic", classes=(0, 1))
    with pytest.raises(ValueError, match="labels is for files"):
        load_dataset("synthetic", labels="y.npy")
    with pytest.raises(ValueError, match="unknown data 'nosuch', expected one of digits"):
        load_dataset("nosuch")


# --- digits ------------------------------------------------------------------------------------


def test_digits_two_classes() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    data = load_dataset("digits", classes=(3, 8), n=100, n_test=20, seed=1)
    assert (data.X.shape, data.X_test.shape) == ((100, 64), (20, 64))  # type: ignore[union-attr]
    assert set(data.y) == {1.0, -1.0}
    assert data.name == "digits-3-8"
    np.testing.assert_allclose(np.linalg.norm(data.X, axis=1), 1.0, rtol=1e-14)
    # Every row is one of scikit-learn's, scaled, with its label; no row is used twice.
    images, labels = datasets.load_digits(return_X_y=True)
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    chosen = []
    for X, y in ((data.X, data.y), (data.X_test, data.y_test)):
        found = np.argmax(X @ unit.T, axis=1)  # type: ignore[operator]
        np.testing.assert_allclose(unit[found], X, atol=1e-14)
        np.testing.assert_array_equal(np.where(labels[found] == 3, 1.0, -1.0), y)
        assert set(labels[found]) == {3, 8}
        chosen += found.tolist()
    assert len(set(chosen)) == 120
    swapped = load_dataset("digits", classes=(8, 3), n=100, n_test=20, seed=1)
    np.testing.assert_array_equal(swapped.y, -data.y)


def test_digits_regression_is_standardised_over_the_training_part() -> None:
    pytest.importorskip("sklearn")
    data = load_dataset("digits", task="regression", n=200, n_test=50)
    assert abs(data.y.mean()) < 1e-14
    assert abs(data.y.std() - 1) < 1e-14
    both = np.concatenate([data.y, data.y_test])  # type: ignore[list-item]
    assert len(np.unique(np.round(both, 10))) == 10  # ten labels, one scale for both parts
    gaps = np.diff(np.unique(np.round(both, 10)))
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-8)


def test_digits_refuse() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="classes: digits has no label 11"):
        load_dataset("digits", classes=(3, 11))
    with pytest.raises(ValueError, match="classes must be two different labels"):
        load_dataset("digits", classes=(3, 3))
    with pytest.raises(ValueError, match="classes: digits has 10 different labels"):
        load_dataset("digits")
    with pytest.raises(ValueError, match="classes is for task 'classes'"):
        load_dataset("digits", task="regression", classes=(3, 8))
    with pytest.raises(ValueError, match="n: digits has 357 rows, 350 and 10 held out"):
        load_dataset("digits", classes=(3, 8), n=350, n_test=10)
    with pytest.raises(ValueError, match="n_test: digits has 357 rows"):
        load_dataset("digits", classes=(3, 8), n_test=357)
    with pytest.raises(ValueError, match="task must be one of classes, regression, raw"):
        load_dataset("digits", task="clustering")
    with pytest.raises(ValueError, match="dim is for synthetic data"):
        load_dataset("digits", dim=3)


def test_missing_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "lazygram\[sklearn\]"'):
        load_dataset("digits", classes=(3, 8))


def test_importing_data_does_not_import_scikit_learn() -> None:
    code = "import sys, lazygram.data; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- choice, scaling, refusals -----------------------------------------------------------------


def test_subsample_is_seeded_and_without_repetition(tmp_path: Path) -> None:
    X, y = points(30)
    path = table(tmp_path, X, y)
    one = load_dataset(path, n=10, n_test=5, seed=4, normalize=False)
    two = load_dataset(path, n=10, n_test=5, seed=4, normalize=False)
    np.testing.assert_array_equal(one.X, two.X)
    rows = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in one.X]
    rows += [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in one.X_test]  # type: ignore[union-attr]
    assert len(set(rows)) == 15
    np.testing.assert_array_equal(np.concatenate([one.y, one.y_test]), y[rows])  # type: ignore[list-item]
    assert not np.array_equal(load_dataset(path, n=10, seed=5, normalize=False).X, one.X)
    # Nothing to choose: the order of the file.
    np.testing.assert_array_equal(load_dataset(path, normalize=False).X, X)


def test_own_test_part_is_used_and_scaled_as_the_training_part(tmp_path: Path) -> None:
    X, _ = points(10)
    y = np.arange(10.0)
    path = table(tmp_path, X[:7], y[:7], X_test=X[7:], y_test=y[7:])
    data = load_dataset(path, n_test=2, task="regression")
    assert len(data.X) == 7
    assert data.X_test is not None
    assert data.y_test is not None
    assert len(data.X_test) == 2
    scale = (data.y_test * y[:7].std() + y[:7].mean()).round(12)
    assert set(scale) < {7.0, 8.0, 9.0}
    assert load_dataset(path).X_test is None
    with pytest.raises(ValueError, match="n_test: the test part of points has 3 rows, 4"):
        load_dataset(path, n_test=4)


def test_normalisation_survives_extreme_scales(tmp_path: Path) -> None:
    X, y = points(4)
    tiny = X * np.array([[1e-300], [1e300], [1.0], [1e-30]])
    data = load_dataset(table(tmp_path, tiny, y))
    expected = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(data.X, expected, rtol=1e-13)


def test_zero_rows_are_refused_by_name_or_dropped(tmp_path: Path) -> None:
    X, y = points(9)
    X[[2, 5]] = 0.0
    path = table(tmp_path, X, y)
    for normalize in (True, False):
        with pytest.raises(ValueError, match=r"rows 2, 5 are zero.*--drop-duplicates"):
            load_dataset(path, normalize=normalize)
    kept = load_dataset(path, drop_degenerate=True, normalize=False)
    np.testing.assert_array_equal(kept.X, np.delete(X, [2, 5], axis=0))
    np.testing.assert_array_equal(kept.y, np.delete(y, [2, 5]))
    X[3:] = 1.0
    with pytest.raises(ValueError, match="row 2 is zero"):
        load_dataset(table(tmp_path, X, y))
    with pytest.raises(ValueError, match="no rows are left"):
        load_dataset(table(tmp_path, np.zeros((3, 2)), np.zeros(3)), drop_degenerate=True)


def test_zero_test_rows_are_refused_where_they_cannot_be_scaled(tmp_path: Path) -> None:
    X, y = points(6)
    path = table(tmp_path, X, y, X_test=np.array([[0.0, 0, 0], [1, 2, 3]]), y_test=np.ones(2))
    with pytest.raises(ValueError, match=r"X_test of points: row 0 is zero"):
        load_dataset(path, n_test=2)
    assert load_dataset(path, n_test=2, normalize=False).X_test is not None


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_positive_multiples_are_refused_by_row(tmp_path: Path, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    X = np.round(rng.standard_normal((40, 6)) * 1000).astype(dtype)
    X[31] = X[4]
    X[17] = 3 * X[8]
    X[20] = -X[9]  # antiparallel is allowed: the Gram matrix stays definite
    path = table(tmp_path, X, np.arange(40.0))
    for normalize in (True, False):
        with pytest.raises(ValueError, match=r"rows 4 and 31, 8 and 17 are the same up to"):
            load_dataset(path, normalize=normalize)
    kept = load_dataset(path, drop_degenerate=True, normalize=False)
    np.testing.assert_array_equal(kept.y, np.delete(np.arange(40.0), [17, 31]))


def test_sampled_rows_keep_the_numbers_of_the_source(tmp_path: Path) -> None:
    X, _ = points(12)
    X[11] = X[0]
    path = table(tmp_path, X, np.arange(12.0))
    seen = []
    for seed in range(20):
        try:
            load_dataset(path, n=8, seed=seed)
        except ValueError as error:
            seen.append(str(error))
    assert 0 < len(seen) < 20
    assert all("rows 0 and 11" in message for message in seen)


def brute_force_parallel(X: np.ndarray, tolerance: float) -> set[tuple[int, int]]:
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    return {
        (i, j)
        for i in range(len(X))
        for j in range(i + 1, len(X))
        if np.linalg.norm(unit[i] - unit[j]) <= tolerance
    }


@pytest.mark.parametrize("d", [1, 2, 5])
def test_parallel_rows_against_all_pairs(d: int) -> None:
    rng = np.random.default_rng(d)
    for _ in range(20):
        X = rng.integers(-3, 4, (25, d)).astype(float)
        X = X[X.any(axis=1)]
        expected = brute_force_parallel(X, 1e-12)
        found = {tuple(pair) for pair in parallel_rows(X, 1e-12).tolist()}
        assert found <= expected
        # Every row that has a partner is in some pair.
        assert {i for pair in found for i in pair} == {i for pair in expected for i in pair}


def test_parallel_rows_many_equal_is_quick_and_none_is_empty() -> None:
    assert len(parallel_rows(np.ones((5000, 2)))) > 0
    assert parallel_rows(np.eye(3)).shape == (0, 2)
    assert parallel_rows(np.ones((1, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (np.where(np.arange(24).reshape(8, 3) == 5, np.nan, X), y), r"X of .*\(1, 2\)"),
        (lambda X, y: (X, np.where(np.arange(8) == 3, np.inf, y)), "y of points"),
        (lambda X, y: (X[:0], y[:0]), "X of points: needs rows"),
        (lambda X, y: (X[:, :0], y), "X of points: needs rows"),
        (lambda X, y: (X.reshape(2, 4, 3), y[:2]), "X must have 2 axes"),
        (lambda X, y: (X, y[:5]), "X has 8 rows but y 5"),
        (lambda X, y: (X + 1j, y), "X must hold real numbers"),
        (lambda X, y: (X, y.astype(str)), "y must hold real numbers"),
        (lambda X, y: (X, np.stack([y, y], axis=1)), "y must have 1 axes"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(table(tmp_path, *change(*points())))


def test_not_finite_labels_of_classes(tmp_path: Path) -> None:
    X, y = points()
    y[3] = np.nan
    with pytest.raises(ValueError, match="y of points: has entries that are not finite"):
        load_dataset(table(tmp_path, X, y), task="classes")


def test_classes_of_a_file_with_two_labels(tmp_path: Path) -> None:
    X, y = points(10)
    data = load_dataset(table(tmp_path, X, y * 5 + 1), task="classes")
    np.testing.assert_array_equal(data.y, np.where(y == 1, 1.0, -1.0))  # the larger is +1
    with pytest.raises(ValueError, match="y of points: all labels are 2, nothing to fit"):
        load_dataset(table(tmp_path, X, np.full(10, 2)), task="regression")


# --- files -------------------------------------------------------------------------------------


def test_npy_and_csv_agree_with_npz(tmp_path: Path) -> None:
    X, y = points()
    np.save(tmp_path / "a.npy", np.column_stack([X, y]))
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", y)
    np.savetxt(tmp_path / "a.csv", np.column_stack([X, y]), delimiter=",")
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    np.savetxt(tmp_path / "y.csv", y)
    named = np.column_stack([X[:, :1], y, X[:, 1:]])
    np.savetxt(tmp_path / "b.csv", named, delimiter=",", header="p,target,q,r", comments="")
    expected = load_dataset(table(tmp_path, X, y, "a.npz"))
    loaded: list[Dataset] = [
        load_dataset(tmp_path / "a.npy"),
        load_dataset(tmp_path / "x.npy", labels=tmp_path / "y.npy"),
        load_dataset(tmp_path / "x.npy", labels=tmp_path / "y.csv"),
        load_dataset(tmp_path / "a.csv"),
        load_dataset(tmp_path / "x.csv", labels=tmp_path / "y.npy"),
        load_dataset(tmp_path / "b.csv", label_column="target"),
    ]
    for data in loaded:
        np.testing.assert_array_equal(data.X, expected.X)
        np.testing.assert_array_equal(data.y, expected.y)


def test_csv_accepts_byte_order_mark_blank_lines_and_spaces(tmp_path: Path) -> None:
    text = "\ufeffa,b,label\r\n1, 2,0\r\n\r\n 3,5,1\r\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    data = load_dataset(tmp_path / "t.csv", normalize=False)
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 5]])
    np.testing.assert_array_equal(data.y, [0, 1])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1,2,3\n4,5\n", {}, r"t\.csv, line 2: 2 columns, before 3"),
        ("a,b\n1,2\n3,x\n", {}, r"t\.csv, line 3: column 2 is 'x', not a number"),
        ("1,2\n3,\n", {}, r"line 2: column 2 is '', not a number"),
        ("", {}, "holds no rows"),
        ("a,b\n", {}, "holds no rows"),
        ("1\n2\n", {}, "at least one input column and one label"),
        ("1,2\n3,4\n", {"label_column": "b"}, "label_column: .* has no header"),
        ("a,b\n3,4\n", {"label_column": "c"}, r"label_column: 'c' is not the name .*\(a, b\)"),
        ("b,b\n3,4\n", {"label_column": "b"}, "label_column: 'b' is not the name of one column"),
        ("1,2\n3,nan\n", {}, "y of t"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "t.csv", **options)


def test_bad_files(tmp_path: Path) -> None:
    X, y = points()
    np.savez(tmp_path / "nokey.npz", X=X, z=y)
    with pytest.raises(ValueError, match=r"nokey\.npz: has no array named y \(it has X, z\)"):
        load_dataset(tmp_path / "nokey.npz")
    np.savez(tmp_path / "half.npz", X=X, y=y, X_test=X)
    with pytest.raises(ValueError, match="X_test and y_test come together"):
        load_dataset(tmp_path / "half.npz")
    np.savez(tmp_path / "wide.npz", X=X, y=y, X_test=X[:, :2], y_test=y)
    with pytest.raises(ValueError, match="X_test has 2 columns, X 3"):
        load_dataset(tmp_path / "wide.npz")
    np.save(tmp_path / "flat.npy", y)
    with pytest.raises(ValueError, match=r"flat\.npy: must have 2 axes"):
        load_dataset(tmp_path / "flat.npy")
    np.save(tmp_path / "object.npy", np.array([[{}, 1]], dtype=object))
    with pytest.raises(ValueError, match=r"object\.npy: not a readable .npy"):
        load_dataset(tmp_path / "object.npy")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=r"binary\.csv: not a text file"):
        load_dataset(tmp_path / "binary.csv")
    np.savez(tmp_path / "zip.npz", X=X, y=y)
    (tmp_path / "zip.npy").write_bytes((tmp_path / "zip.npz").read_bytes())
    with pytest.raises(ValueError, match=r"zip\.npy: is an .npz file"):
        load_dataset(tmp_path / "zip.npy")
    with pytest.raises(FileNotFoundError):
        load_dataset(tmp_path / "missing.npz")


def test_bad_label_options(tmp_path: Path) -> None:
    X, y = points()
    path = table(tmp_path, X, y)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "short.npy", y[:3])
    np.save(tmp_path / "wide.npy", X)
    with pytest.raises(ValueError, match=r"labels is for \.npy and \.csv"):
        load_dataset(path, labels=tmp_path / "short.npy")
    with pytest.raises(ValueError, match=r"label_column is for \.csv"):
        load_dataset(path, label_column="y")
    with pytest.raises(ValueError, match=r"short\.npy: 3 labels for 8 rows"):
        load_dataset(tmp_path / "x.npy", labels=tmp_path / "short.npy")
    with pytest.raises(ValueError, match=r"wide\.npy: labels must be one column, found 3"):
        load_dataset(tmp_path / "x.npy", labels=tmp_path / "wide.npy")
    with pytest.raises(ValueError, match=r"expected a \.npy or \.csv"):
        load_dataset(tmp_path / "x.npy", labels=path)
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="labels or label_column, not both"):
        load_dataset(tmp_path / "c.csv", labels=tmp_path / "short.npy", label_column="a")


# --- IDX ---------------------------------------------------------------------------------------

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx_bytes(array: np.ndarray, code: str = "u1") -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[code], array.ndim, *array.shape)
    return header + array.astype(code).tobytes()


def mnist_folder(folder: Path, *, dot: bool = False, zipped: bool = False) -> np.ndarray:
    """Write a tiny data set in MNIST's layout; gives the training images."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (30, 4, 5))
    parts = {
        "train-images": (images[:20], 3),
        "train-labels": (np.arange(20) % 3, 1),
        "t10k-images": (images[20:], 3),
        "t10k-labels": (np.arange(10) % 3, 1),
    }
    folder.mkdir()
    for stem, (array, axes) in parts.items():
        name = f"{stem}{'.' if dot else '-'}idx{axes}-ubyte"
        content = idx_bytes(array)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return images[:20]


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_folder(tmp_path: Path, dot: bool, zipped: bool) -> None:
    images = mnist_folder(tmp_path / "m", dot=dot, zipped=zipped)
    spec = f"mnist-idx:{tmp_path / 'm'}"
    data = load_dataset(spec, task="raw", n_test=10, normalize=False)
    np.testing.assert_array_equal(data.X, images.reshape(20, 20))
    np.testing.assert_array_equal(data.y, np.arange(20) % 3)
    assert data.X_test is not None
    assert data.X_test.shape == (10, 20)
    two = load_dataset(spec, classes=(0, 2), n_test=3)
    assert (two.X.shape, set(two.y)) == ((13, 20), {1.0, -1.0})


@pytest.mark.parametrize("code", list(CODES))
def test_idx_types_and_axes(tmp_path: Path, code: str) -> None:
    for shape in ((5,), (2, 3), (2, 3, 2, 2)):
        array = np.arange(np.prod(shape)).reshape(shape)
        (tmp_path / "a").write_bytes(idx_bytes(array, code))
        back = read_idx(tmp_path / "a")
        np.testing.assert_array_equal(back, array)
        assert back.dtype == np.dtype(code).newbyteorder("=")


def test_bad_idx_files(tmp_path: Path) -> None:
    good = idx_bytes(np.arange(12).reshape(3, 4))
    for content, message in (
        (b"\0\0", "truncated: 2 bytes"),
        (b"\x89PNG" + good, "not an IDX file: its magic number is 0x89504e47"),
        (b"\0\0\x07\1" + good[4:], "not an IDX file: its magic number is 0x00000701"),
        (b"\0\0\x08\0", "states no axes"),
        (good[:9], "header ends before its 2 axis lengths"),
        (good[:-1], r"truncated: shape \(3, 4\) needs 12 bytes of data, found 11"),
        (good + b"\0", r"more data than its shape \(3, 4\)"),
        # A forged length must not make the reader ask for the memory.
        (b"\0\0\x08\2" + b"\xff" * 8 + b"abc", "truncated: shape"),
    ):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match=f"bad: .*{message}"):
            read_idx(tmp_path / "bad")
        (tmp_path / "bad.gz").write_bytes(gzip.compress(content))
        with pytest.raises(ValueError, match=message):
            read_idx(tmp_path / "bad.gz")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(good)[:-9])
    with pytest.raises(ValueError, match=r"cut\.gz: damaged or truncated gzip"):
        read_idx(tmp_path / "cut.gz")
    (tmp_path / "plain.gz").write_bytes(good)
    with pytest.raises(ValueError, match=r"plain\.gz: damaged or truncated gzip"):
        read_idx(tmp_path / "plain.gz")


def test_bad_mnist_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        load_dataset(f"mnist-idx:{tmp_path / 'none'}")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="not a folder"):
        load_dataset(f"mnist-idx:{tmp_path / 'file'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte, .*\.gz"):
        load_dataset(f"mnist-idx:{tmp_path / 'empty'}")

    folder = tmp_path / "m"
    mnist_folder(folder)
    spec = f"mnist-idx:{folder}"
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.arange(19) % 3))
    with pytest.raises(ValueError, match="20 train images but 19 labels"):
        load_dataset(spec)
    labels.write_bytes(idx_bytes(np.zeros((20, 1))))
    with pytest.raises(ValueError, match="has 2 axes, expected 1"):
        load_dataset(spec)
    labels.write_bytes(idx_bytes(np.arange(20) % 3))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.ones((10, 2, 2))))
    with pytest.raises(ValueError, match="test images have 4 pixels, train images 20"):
        load_dataset(spec)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        load_dataset(spec)


def test_images(tmp_path: Path) -> None:
    """Bytes from a file or a folder become numbers in [0, 1]; labels are not looked for."""
    expected = mnist_folder(tmp_path / "m", zipped=True)
    (tmp_path / "m" / "train-labels-idx1-ubyte.gz").unlink()
    folder, file = tmp_path / "m", tmp_path / "m" / "train-images-idx3-ubyte.gz"
    for source in (folder, file, f"mnist-idx:{folder}"):
        images, name = load_images(source)
        np.testing.assert_array_equal(images * 255, expected)
        assert name == "IDX images of m"
    assert load_images(folder, n=3)[0].shape == (3, 4, 5)
    images, name = load_images("digits")
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert "digits" in name
    with pytest.raises(ValueError, match=r"n: 99 images wanted, .* has 20"):
        load_images(folder, n=99)
    with pytest.raises(FileNotFoundError, match=r"has none of train-images-idx3-ubyte"):
        load_images(tmp_path)
    (tmp_path / "labels").write_bytes(idx_bytes(np.arange(4)))
    with pytest.raises(ValueError, match=r"labels: images are bytes with three axes, this is uint8 of shape"):
        load_images(tmp_path / "labels")
