"""One entrance to all data sets: a short text names the source, keywords say what to take."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lazygram.data.digits import digits_pool
from lazygram.data.idx import mnist_pool
from lazygram.data.pool import Dataset
from lazygram.data.prepare import prepare
from lazygram.data.synthetic import synthetic
from lazygram.data.tables import SUFFIXES, table_pool

__all__ = ["SOURCES", "load_dataset"]

SOURCES = ("digits", "synthetic", "mnist-idx:DIR", "FILE.npz", "FILE.npy", "FILE.csv")
_DEFAULT_N = 200  # examples of the synthetic data when the caller does not say


def load_dataset(
    spec: str | os.PathLike[str],
    *,
    n: int | None = None,
    dim: int | None = None,
    n_test: int = 0,
    seed: int | np.random.Generator = 0,
    task: str | None = None,
    classes: tuple[float, float] | None = None,
    normalize: bool = True,
    drop_degenerate: bool = False,
    labels: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
) -> Dataset:
    """Load a data set and make it ready for training.

    Parameters
    ----------
    spec : str or path-like
        ``"digits"`` (scikit-learn's), ``"synthetic"`` (thesis, Section 2.4),
        ``"mnist-idx:DIR"`` (a folder of IDX files, see :func:`lazygram.data.idx.mnist_pool`), or
        a ``.npz``, ``.npy`` or ``.csv`` file (see :func:`lazygram.data.tables.table_pool`).
    n : int, optional
        Training examples, drawn without replacement with `seed`; all rows that are not held out
        by default (200 for synthetic data).
    dim : int, optional
        Dimension of synthetic inputs, `n` by default. The other sources have their own.
    n_test : int, default 0
        Test examples: from the source's own test part if it has one, else held out.
    seed : int or numpy.random.Generator, default 0
        Fixes the choice of rows, and the synthetic data.
    task : {"classes", "regression", "raw"}, optional
        "classes": two labels become +1 and -1 and all other rows are left out. "regression":
        labels are shifted and scaled to mean 0 and variance 1 over the training part. "raw":
        labels as they are. By default "classes" for digits and MNIST, "raw" for the rest.
    classes : (float, float), optional
        The labels that become +1 and -1, in this order. By default the larger and the smaller
        one where the data have just two.
    normalize : bool, default True
        Scale rows to unit norm.
    drop_degenerate : bool, default False
        Drop zero rows and positive multiples of earlier rows instead of refusing them.
    labels, label_column
        For files, see :func:`lazygram.data.tables.table_pool`.

    Returns
    -------
    Dataset
        Arrays in float64.

    Raises
    ------
    OSError
        If a file cannot be read.
    ImportError
        If scikit-learn is needed and missing.
    TypeError, ValueError
        If an argument does not fit, a file is not as documented, an entry is not finite, a row
        is zero, or two rows are positive multiples of each other (both make the infinite-width
        Gram matrix singular). The message names the argument, or the rows, counted from 0.

    Examples
    --------
    >>> from lazygram.data import load_dataset
    >>> data = load_dataset("synthetic", n=4, dim=3, seed=1)
    >>> data.X.shape, data.y.shape
    ((4, 3), (4,))
    """
    source = os.fspath(spec)
    suffix = Path(source).suffix.lower()
    if source != "synthetic" and dim is not None:
        raise ValueError(f"dim is for synthetic data; the dimension of {source!r} is its own")
    if suffix not in SUFFIXES and (labels is not None or label_column is not None):
        name = "labels" if labels is not None else "label_column"
        raise ValueError(f"{name} is for files, not for {source!r}")
    if source == "synthetic":
        for name, value in (("task", task if task != "raw" else None), ("classes", classes)):
            if value is not None:
                raise ValueError(f"{name}: the labels of synthetic data are N(0, 1), task 'raw'")
        n = _DEFAULT_N if n is None else n
        return synthetic(n, n if dim is None else dim, n_test=n_test, seed=seed)
    if source == "digits":
        pool = digits_pool()
    elif source.startswith("mnist-idx:") and source != "mnist-idx:":
        pool = mnist_pool(source.removeprefix("mnist-idx:"))
    elif suffix in SUFFIXES:
        pool = table_pool(source, labels=labels, label_column=label_column)
    else:
        raise ValueError(f"unknown data {source!r}, expected one of {', '.join(SOURCES)}")
    return prepare(
        pool,
        n=n,
        n_test=n_test,
        seed=seed,
        task=task,
        classes=classes,
        normalize=normalize,
        drop_degenerate=drop_degenerate,
    )
