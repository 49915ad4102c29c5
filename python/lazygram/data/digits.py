"""Scikit-learn's 8 x 8 digits: real data that come with the library, so nothing is downloaded."""

from __future__ import annotations

import numpy as np

from lazygram.data.pool import Pool

__all__ = ["digits_pool"]


def digits_pool() -> Pool:
    """Give all 1,797 digits as rows of 64 pixels (0..16) with labels 0..9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed; the message says how to install it.
    """
    try:
        from sklearn.datasets import load_digits  # here: importing lazygram must not import it
    except ImportError as error:
        raise ImportError(
            'the digits come with scikit-learn, which is not installed: pip install "lazygram[sklearn]"'
        ) from error
    X, y = load_digits(return_X_y=True)
    return Pool.whole(
        np.asarray(X),
        np.asarray(y),
        name="digits",
        description="scikit-learn's 8 x 8 digits",
        default_task="classes",
    )
