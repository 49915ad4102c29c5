"""The options that choose a data set, shared by the commands that take one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from lazygram.cli.params import TwoLabels
from lazygram.data import TASKS, Dataset, load_dataset

__all__ = ["DataChoice", "data_options"]

F = TypeVar("F", bound=Callable[..., Any])
# Each two classes of the digits have 351 examples or more: 300 to train on, 50 to test.
_DIGITS_CLASSES, _DIGITS_N, _DIGITS_TEST = (3.0, 8.0), 300, 50
_MNIST_CLASSES, _MNIST_N = (3.0, 8.0), 300


@dataclass(frozen=True)
class DataChoice:
    """What the options say about the data."""

    source: str
    place: str | None
    n: int | None
    n_test: int | None
    dim: int | None
    classes: tuple[float, float] | None
    task: str | None
    labels: str | None
    label_column: str | None
    normalize: bool
    drop_duplicates: bool
    seed: int

    def load(self) -> Dataset:
        """Load the data set, with defaults that suit a first look.

        Raises
        ------
        click.UsageError
            If options do not go together.
        Others
            As :func:`lazygram.data.load_dataset`.
        """
        source, classes, n, n_test = self.source, self.classes, self.n, self.n_test
        if source == "mnist-idx":
            if self.place is None:
                raise click.UsageError(
                    "--data mnist-idx needs the folder of the IDX files: --data mnist-idx DIR"
                )
            source = f"mnist-idx:{self.place}"
        elif self.place is not None:
            raise click.UsageError(
                f"unexpected argument {self.place!r}; only --data mnist-idx takes a folder"
            )
        # A regression uses all labels; two of them are the default only where classes are wanted.
        two_of_ten = self.task in (None, "classes") and classes is None
        if source == "digits":
            classes = _DIGITS_CLASSES if two_of_ten else classes
            if n_test is None:
                n_test = _DIGITS_TEST if n is None or n <= _DIGITS_N else 0
            n = _DIGITS_N if n is None else n
        elif source.startswith("mnist-idx:"):
            classes = _MNIST_CLASSES if two_of_ten else classes
            n = _MNIST_N if n is None else n
        return load_dataset(
            source,
            n=n,
            dim=self.dim,
            n_test=0 if n_test is None else n_test,
            seed=self.seed,
            task=self.task,
            classes=classes,
            normalize=self.normalize,
            drop_degenerate=self.drop_duplicates,
            labels=self.labels,
            label_column=self.label_column,
        )


def data_options(command: F) -> F:
    """Add the data options; the command gets them as ``data_choice`` (a function of the seed)."""
    options = [
        click.option(
            "--data",
            "source",
            default="digits",
            show_default=True,
            metavar="SOURCE",
            help="digits (scikit-learn's), synthetic (unit sphere, N(0,1) labels), mnist-idx DIR, "
            "or a file: .npz (X, y), .npy or .csv (last column is the label).",
        ),
        click.argument("place", required=False, metavar="[DIR]"),
        click.option("--classes", type=TwoLabels(), help="Labels that become +1 and -1 (digits: 3,8)."),
        click.option(
            "--task",
            type=click.Choice(TASKS),
            help="Two classes, the label shifted and scaled, or the label as it is.  "
            "[default: classes for digits and MNIST, else raw]",
        ),
        click.option("--n", type=click.IntRange(1), help="Training examples (digits: 300)."),
        click.option("--n-test", type=click.IntRange(0), help="Held-out examples (digits: 50, else 0)."),
        click.option("--dim", type=click.IntRange(2), help="Dimension of synthetic inputs (default: n)."),
        click.option("--labels", metavar="FILE", help="Labels of a .npy or .csv file."),
        click.option("--label-column", metavar="NAME", help="Column of a .csv that is the label."),
        click.option(
            "--normalize/--no-normalize",
            default=True,
            show_default=True,
            help="Scale rows to unit norm.",
        ),
        click.option(
            "--drop-duplicates",
            is_flag=True,
            help="Drop zero rows and positive multiples of earlier rows, which are an error else.",
        ),
        click.option(
            "--data-seed",
            type=click.IntRange(0),
            help="Seed of the choice of rows and of synthetic data.  [default: --seed]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def data_choice(seed: int, options: dict[str, Any]) -> DataChoice:
    """Take the data options out of a command's keyword arguments."""
    data_seed = options.pop("data_seed")
    names = [name for name in DataChoice.__dataclass_fields__ if name != "seed"]
    chosen = {name: options.pop(name) for name in names}
    return DataChoice(**chosen, seed=seed if data_seed is None else data_seed)


def default_folder(stem: str) -> Path:
    """Give ``runs/<stem>``, or the first ``runs/<stem>-2``, ``-3``, ... that does not exist."""
    base = Path("runs")
    candidate, count = base / stem, 1
    while candidate.exists():
        count += 1
        candidate = base / f"{stem}-{count}"
    return candidate
