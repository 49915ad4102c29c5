"""From raw rows to a Dataset: labels, seeded choice of rows, unit norm, refusal of bad rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_matrix, as_vector, check_nonnegative_int, check_positive_int
from lazygram.data.pool import Dataset, Pool
from lazygram.random import seed_to_int

__all__ = ["TASKS", "parallel_rows", "prepare"]

TASKS = ("classes", "regression", "raw")
_NAMED = 5  # rows or pairs that one message names


def prepare(
    pool: Pool,
    *,
    n: int | None = None,
    n_test: int = 0,
    seed: int | np.random.Generator = 0,
    task: str | None = None,
    classes: tuple[float, float] | None = None,
    normalize: bool = True,
    drop_degenerate: bool = False,
) -> Dataset:
    """Choose, scale and check the rows of `pool`; see :func:`lazygram.data.load_dataset`."""
    task = pool.default_task if task is None else task
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    if classes is not None and task != "classes":
        raise ValueError(f"classes is for task 'classes', the task is {task!r}")
    if pool.X.ndim != 2 or pool.X.size == 0:
        raise ValueError(f"X of {pool.name}: needs rows and columns, its shape is {pool.X.shape}")
    rng = np.random.default_rng(seed_to_int(seed))

    if task == "classes":
        pair = _two_classes(pool.y, classes, pool.name)
        keep = np.isin(pool.y, pair)
        pool = _take(pool, np.flatnonzero(keep))
        if pool.X_test is not None and pool.y_test is not None:
            keep = np.isin(pool.y_test, pair)
            pool = replace(pool, X_test=pool.X_test[keep], y_test=pool.y_test[keep])
    if drop_degenerate:
        pool = _drop(pool)
    train, X_test, y_test, test_rows = _sample(pool, n, n_test, rng)

    X = as_matrix(train.X, f"X of {pool.name}", dtype=np.float64)
    y = as_vector(train.y, f"y of {pool.name}", length=len(X), dtype=np.float64)
    _refuse(X, train)
    X = _unit_rows(X) if normalize else X
    if X_test is not None and y_test is not None:
        X_test = as_matrix(X_test, f"X_test of {pool.name}", dtype=np.float64)
        y_test = as_vector(y_test, f"y_test of {pool.name}", length=len(X_test), dtype=np.float64)
        zero = ~X_test.any(axis=1)
        if normalize and zero.any():
            raise ValueError(
                f"X_test of {pool.name}: {_listed(test_rows[zero])} zero and cannot be scaled to unit norm"
            )
        X_test = _unit_rows(X_test) if normalize else X_test

    name, what = pool.name, "labels as given"
    if task == "classes":
        y = np.where(y == pair[0], 1.0, -1.0)
        y_test = None if y_test is None else np.where(y_test == pair[0], 1.0, -1.0)
        name, what = f"{name}-{pair[0]:g}-{pair[1]:g}", f"{pair[0]:g} -> +1, {pair[1]:g} -> -1"
    elif task == "regression":
        centre, scale = y.mean(), y.std()
        if scale == 0:
            raise ValueError(f"y of {pool.name}: all labels are {y[0]:g}, nothing to fit")
        y = (y - centre) / scale
        y_test = None if y_test is None else (y_test - centre) / scale
        what = f"labels less {centre:.4g}, over {scale:.4g}"
    rows = "unit-norm rows" if normalize else "rows as given"
    description = f"{pool.description}: {len(X)} examples of dimension {X.shape[1]}, {rows}, {what}"
    return Dataset(X, y, X_test, y_test, name, description, task)


def _two_classes(y: npt.NDArray[Any], classes: tuple[float, float] | None, name: str) -> tuple[float, float]:
    """Check the two labels asked for, or find them where the source has just two."""
    present = np.unique(y)
    if not np.isfinite(present).all():
        raise ValueError(f"y of {name}: has entries that are not finite")
    if classes is None:
        if len(present) != 2:
            raise ValueError(
                f"classes: {name} has {len(present)} different labels; name two of them, or use "
                "task 'regression'"
            )
        return float(present[1]), float(present[0])  # the larger label is the +1 class
    if len(classes) != 2 or classes[0] == classes[1]:
        raise ValueError(f"classes must be two different labels, got {classes}")
    for label in classes:
        if label not in present:
            known = ", ".join(f"{value:g}" for value in present[:20])
            more = ", ..." if len(present) > 20 else ""
            raise ValueError(f"classes: {name} has no label {label:g} (it has {known}{more})")
    return float(classes[0]), float(classes[1])


def _take(pool: Pool, chosen: npt.NDArray[Any]) -> Pool:
    """Keep the chosen rows of the training part."""
    return replace(pool, X=pool.X[chosen], y=pool.y[chosen], rows=pool.rows[chosen])


def _drop(pool: Pool) -> Pool:
    """Drop zero rows and every row that is a positive multiple of an earlier one."""
    X = as_matrix(pool.X, f"X of {pool.name}", dtype=np.float64)
    keep = X.any(axis=1)
    pool = _take(pool, np.flatnonzero(keep))
    X, tolerance = X[keep], _tolerance(pool.X)
    while len(X):
        pairs = parallel_rows(X, tolerance)
        if not len(pairs):
            break
        keep = np.ones(len(X), dtype=bool)
        keep[pairs.max(axis=1)] = False
        X, pool = X[keep], _take(pool, np.flatnonzero(keep))
    if not len(X):
        raise ValueError(f"X of {pool.name}: no rows are left after dropping zero rows")
    if pool.X_test is not None and pool.y_test is not None:
        nonzero = pool.X_test.any(axis=1)
        pool = replace(pool, X_test=pool.X_test[nonzero], y_test=pool.y_test[nonzero])
    return pool


def _sample(
    pool: Pool, n: int | None, n_test: int, rng: np.random.Generator
) -> tuple[Pool, npt.NDArray[Any] | None, npt.NDArray[Any] | None, npt.NDArray[np.int64]]:
    """Choose training rows and test rows: from the source's test part, or held out of the pool."""
    available = len(pool.X)
    n_test = check_nonnegative_int(n_test, "n_test")
    own_test = pool.X_test is not None and pool.y_test is not None
    held_out = 0 if own_test else n_test
    if n is None:
        n = available - held_out
        if n < 1:
            raise ValueError(
                f"n_test: {pool.name} has {available} rows, cannot hold out {held_out} and train"
            )
    n = check_positive_int(n, "n")
    if n + held_out > available:
        held = f" and {held_out} held out" if held_out else ""
        raise ValueError(f"n: {pool.name} has {available} rows, {n}{held} were asked for")
    # Without a choice to make, the rows stay in the order of the source.
    if n == available:
        train, order = pool, np.arange(available)
    else:
        order = rng.permutation(available)
        train = _take(pool, order[:n])
    none = np.empty(0, dtype=np.int64)
    if pool.X_test is not None and pool.y_test is not None:
        total = len(pool.X_test)
        if n_test > total:
            raise ValueError(
                f"n_test: the test part of {pool.name} has {total} rows, {n_test} were asked for"
            )
        if n_test == 0:
            return train, None, None, none
        chosen = np.arange(total) if n_test == total else rng.permutation(total)[:n_test]
        return train, pool.X_test[chosen], pool.y_test[chosen], chosen
    if held_out == 0:
        return train, None, None, none
    chosen = order[n : n + held_out]
    return train, pool.X[chosen], pool.y[chosen], pool.rows[chosen]


def _unit_rows(X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale rows to unit norm, without overflow of squares."""
    scaled: npt.NDArray[np.float64] = X / np.abs(X).max(axis=1, keepdims=True)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled


def _tolerance(X: npt.NDArray[Any]) -> float:
    """How far two unit rows may be apart and still be one direction written with rounding."""
    precision = np.finfo(X.dtype).eps if X.dtype.kind == "f" else np.finfo(np.float64).eps
    return 8.0 * float(precision)


def _refuse(X: npt.NDArray[np.float64], source: Pool) -> None:
    """Refuse zero rows and rows that are positive multiples of each other, naming them."""
    cure = "remove them, or set drop_degenerate=True (--drop-duplicates)"
    zero = ~X.any(axis=1)
    if zero.any():
        raise ValueError(
            f"X of {source.name}: {_listed(source.rows[zero])} zero, which makes the "
            f"infinite-width Gram matrix singular; {cure}"
        )
    pairs = parallel_rows(X, _tolerance(source.X))
    if len(pairs):
        listed = ", ".join(f"{min(a, b)} and {max(a, b)}" for a, b in source.rows[pairs[:_NAMED]].tolist())
        more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
        raise ValueError(
            f"X of {source.name}: rows {listed}{more} are the same up to a positive factor, "
            f"which makes the infinite-width Gram matrix singular; {cure}"
        )


def _listed(rows: npt.NDArray[np.int64]) -> str:
    """Write "row 3 is" or "rows 3, 4, 5, ... are"."""
    if len(rows) == 1:
        return f"row {rows[0]} is"
    dots = ", ..." if len(rows) > _NAMED else ""
    return f"rows {', '.join(str(row) for row in rows[:_NAMED])}{dots} are"


def parallel_rows(
    X: npt.NDArray[np.float64], tolerance: float = 8.0 * float(np.finfo(np.float64).eps)
) -> npt.NDArray[np.int64]:
    """Find pairs of rows that are positive multiples of each other.

    Such a pair makes the infinite-width Gram matrix singular. Rows are scaled to unit norm and
    sorted along one fixed direction, so that only near neighbours are compared: O(n d + n log n)
    for data without such pairs, never an n x n matrix.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Finite rows, none zero.
    tolerance : float, default 8 times the rounding unit
        Largest distance between two unit rows that count as one direction.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Pairs, in order of their first row. Empty only if there are none; where there are many,
        not every pair of a group need be listed, but each group appears.
    """
    unit = _unit_rows(X)
    direction = np.random.default_rng(0).standard_normal((X.shape[1],))
    direction /= np.linalg.norm(direction)
    along = unit @ direction
    order = np.argsort(along, kind="stable")
    along = along[order]
    slack = tolerance + 1e-14  # the projection's own rounding
    found: list[npt.NDArray[np.int64]] = []
    for offset in range(1, len(X)):
        near = np.flatnonzero(along[offset:] - along[:-offset] <= slack)
        if not len(near):
            break
        first, second = order[near], order[near + offset]
        same = np.linalg.norm(unit[first] - unit[second], axis=1) <= tolerance
        found.append(np.stack([first[same], second[same]], axis=1))
        # Groups show up among direct neighbours; going on would list every pair of a big group.
        if offset >= 16 and any(len(pairs) for pairs in found):
            break
    pairs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    pairs = np.sort(pairs, axis=1)
    result: npt.NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int64)
    return result
