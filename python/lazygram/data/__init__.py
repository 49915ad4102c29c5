"""Data sets for the command line and the experiments: synthetic, digits, files, MNIST IDX.

::

    load_dataset("digits", n=300, ...)
        |
        sources    synthetic.py  separated.py  digits.py  tables.py (npz, npy, csv)  idx.py (MNIST)
        |              each gives a Pool: raw rows, raw labels, perhaps its own test part
        prepare.py     classes -> +-1, seeded sub-sample, held-out part, unit rows, refusals
        |
        Dataset(X, y, X_test, y_test, name, description)

images.py gives images of digits or an IDX file without labels, for filters over their patches.

Nothing is downloaded and nothing is unpickled; scikit-learn is imported only for its digits.
"""

from lazygram.data.idx import read_idx
from lazygram.data.images import load_images
from lazygram.data.load import SOURCES, load_dataset
from lazygram.data.pool import Dataset
from lazygram.data.prepare import TASKS, parallel_rows
from lazygram.data.separated import separated_sphere, separation
from lazygram.data.synthetic import synthetic

__all__ = [
    "SOURCES",
    "TASKS",
    "Dataset",
    "load_dataset",
    "load_images",
    "parallel_rows",
    "read_idx",
    "separated_sphere",
    "separation",
    "synthetic",
]
