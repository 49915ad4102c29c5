"""``lazygram gram``: Gram matrices of a data set, their spectrum and a proven lower bound."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import numpy.typing as npt

from lazygram.analysis import certified_lambda_min, eigenvalues
from lazygram.cli.console import new_console, new_table, number, waiting
from lazygram.cli.data_options import data_choice, data_options
from lazygram.cli.memory import gram_bytes, refuse_too_large, size_text
from lazygram.files import write_npz
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU

__all__ = ["gram"]

_EPS = float(np.finfo(np.float64).eps)


@click.command()
@data_options
@click.option(
    "--trained",
    type=click.Choice(["first", "second", "both"]),
    default="first",
    show_default=True,
    help="Layers that are trained: first is H_inf of the text, both the full tangent kernel.",
)
@click.option("--width", type=click.IntRange(1), help="Also H(0) of a random network of this width.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of network and data.")
@click.option("--threads", type=click.IntRange(1), help="Threads (all by default).")
@click.option("--out", metavar="FILE.npz", help="Write the matrices, X and y.")
def gram(
    trained: str,
    width: int | None,
    seed: int,
    threads: int | None,
    out: str | None,
    **options: Any,
) -> None:
    """Compute the infinite-width Gram matrix of a data set, and H(0) of a finite network.

    Prints size, extreme eigenvalues, condition number and a certified (proven) lower bound of the
    smallest eigenvalue, which allows for the documented rounding errors of the entries.

    \b
    Examples:
      lazygram gram
      lazygram gram --data synthetic --n 500 --dim 100 --width 16384
      lazygram gram --data points.csv --no-normalize --out gram.npz
    """
    if out is not None and not out.endswith(".npz"):
        raise click.BadParameter(f"{out!r} must end in .npz", param_hint="'--out'")
    if width is not None and trained != "first":
        raise click.UsageError("--width computes H of the first layer; it needs --trained first")
    console = new_console()
    data = data_choice(seed, options).load()
    n, d = data.X.shape
    need = gram_bytes(n, d, 1 if width is None else 2) + n * (width or 0) // 8
    refuse_too_large(need, f"Gram matrices of {n} examples (--n)")
    size = float(np.square(data.X).sum(axis=1).max())
    matrices: dict[str, npt.NDArray[Any]] = {}
    bounds: dict[str, float] = {}
    console.print(f"{data.description}; about {size_text(need)} of memory", markup=False)
    with waiting(console, "Gram matrix"):
        name = {"first": "H_inf", "second": "K_second", "both": "K_both"}[trained]
        matrices[name] = gram_infinite(data.X, trained=trained, threads=threads)  # type: ignore[arg-type]
        # Error of an entry, generously: the documented roundings of |x||x'| for the function of the
        # angle, and the d roundings of the inner product, which the arccosine magnifies up to
        # 1 / (2 pi sqrt(1 - 0.999^2)) + 1/2 < 5 times before the branch for parallel inputs.
        bounds[name] = (2 if trained == "both" else 1) * (64 + 8 * d) * _EPS * size
        if width is not None:
            network = TwoLayerReLU(width, d, seed=seed)
            matrices["H_0"] = network.gram(data.X, threads=threads)
            bounds["H_0"] = (4 + d) * _EPS * size  # counts are exact
    table = new_table(
        "matrix",
        "size",
        "lambda_min",
        "lambda_max",
        "condition",
        "certified lambda_min >=",
        right=("lambda_min", "lambda_max", "condition", "certified lambda_min >="),
    )
    for name, matrix in matrices.items():
        with waiting(console, f"spectrum of {name}"):
            values = eigenvalues(matrix)
            proven = certified_lambda_min(matrix, entry_error=bounds[name])
        low, high = float(values[0]), float(values[-1])
        condition = high / low if low > 0 else float("inf")
        table.add_row(name, f"{n} x {n}", f"{low:.8g}", f"{high:.8g}", number(condition), f"{proven:.8g}")
    console.print(table)
    if "H_0" in matrices:
        change = np.abs(eigenvalues(matrices["H_0"] - matrices["H_inf"])).max()
        console.print(f"||H_0 - H_inf||_2 = {change:.4g} at width {width}, seed {seed}")
    if out is not None:
        write_npz(out, {**matrices, "X": data.X, "y": data.y})
        console.print(f"written: {out}", markup=False)
