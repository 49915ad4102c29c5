"""The two records of a data set: Pool as read from its source, Dataset as given to training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Dataset", "Pool"]


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels, ready for training.

    Attributes
    ----------
    X : ndarray of float64, shape (n, d)
        Training inputs, one example per row; rows of unit norm unless that was switched off.
    y : ndarray of float64, shape (n,)
        Training labels.
    X_test, y_test : ndarray of float64, shapes (n_test, d) and (n_test,), or None
        The held-out part, scaled as the training part is.
    name : str
        Short name, fit for a file name ("digits-3-8").
    description : str
        One line for people: what the rows and the labels are.
    task : {"classes", "regression", "raw"}
        What the labels are: +-1, standardised numbers, or the numbers of the source.
    """

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    X_test: npt.NDArray[np.float64] | None
    y_test: npt.NDArray[np.float64] | None
    name: str
    description: str
    task: str = "raw"


@dataclass(frozen=True)
class Pool:
    """Rows and labels as the source has them (any real dtype), before choice and scaling.

    `rows` says which rows of the source these are, so that messages can name them; `default_task`
    is what the labels are taken for when the caller does not say.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]
    name: str
    description: str
    default_task: str
    X_test: npt.NDArray[Any] | None = None
    y_test: npt.NDArray[Any] | None = None

    @classmethod
    def whole(
        cls,
        X: npt.NDArray[Any],
        y: npt.NDArray[Any],
        *,
        name: str,
        description: str,
        default_task: str,
        X_test: npt.NDArray[Any] | None = None,
        y_test: npt.NDArray[Any] | None = None,
    ) -> Pool:
        """Make a pool of all rows of a source."""
        rows = np.arange(len(X), dtype=np.int64)
        return cls(X, y, rows, name, description, default_task, X_test, y_test)
