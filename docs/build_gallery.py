"""Rebuilds the gallery from quick runs: figures, the measured block of every page, and the index.

    python docs/build_gallery.py [ID | GLOB ...] [--jobs N] [--runs DIR] [--gallery DIR]

Runs what is not finished (as ``lazygram reproduce --quick --out DIR`` does), then writes figures/ID.png and
the part of ID.md between the markers; the rest of a page is written by people. The index README.md is made
from all pages. Exit code 1 if a page is missing or an experiment did not run.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from lazygram.experiments import REGISTRY
from lazygram.experiments.records import Record
from lazygram.experiments.runner import run_tasks
from lazygram.experiments.task import Task
from lazygram.files import atomic_path, write_text

BEGIN, END = "<!-- run:begin -->", "<!-- run:end -->"
LARGEST = 100_000  # bytes of a figure
WIDEST = 1200  # pixels


USAGE = """\
```sh
lazygram reproduce --list                  # ids, titles, rough durations
lazygram reproduce fig2.1 'thm2*'          # some of them
lazygram reproduce all --quick --jobs 2    # all of them, two at a time
lazygram reproduce fig2.1 --list           # its settings, and which of them the text does not print
lazygram reproduce fig2.1 --set step_size=0.1
```

Every experiment leaves `data.npz`, `results.json`, `figure.png` and `figure.svg` in a folder of its own, and
`report.html` shows everything in the folder (`--out`, or `runs/full` and `runs/quick`) with expected beside
measured. What is finished is not run again unless the settings, the version or the experiment's own code
changed (`--force` runs it in any case); after Ctrl-C the same command goes on where it stopped."""


class Watch:
    """Prints how every experiment ended."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def started(self, task: Task) -> None:
        """Nothing to print yet."""

    def progressed(self, task: Task, message: str, done: float) -> None:
        """Quick runs need no progress."""

    def finished(self, task: Task, record: Record, reused: bool) -> None:
        """Keep the record."""
        self.records[task.experiment.id] = record
        print(f"{record.verdict:5} {task.experiment.id}: {record.outcome}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=["all"], metavar="ID")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"), help="results")
    parser.add_argument("--gallery", type=Path, default=Path(__file__).parent / "gallery", help="pages")
    options = parser.parse_args()
    watch = Watch()
    chosen = [REGISTRY[name] for name in REGISTRY.select(options.experiments)]
    tasks = [Task(entry, entry.parameters(True), options.runs / entry.id, "quick") for entry in chosen]
    run_tasks(tasks, watch, jobs=options.jobs)
    complete = True
    for entry in chosen:
        record, page = watch.records[entry.id], options.gallery / f"{entry.id}.md"
        if record.error or not page.exists():
            print(f"{entry.id}: {record.error or f'{page} is missing'}", file=sys.stderr)
            complete = False
            continue
        (options.gallery / "figures").mkdir(exist_ok=True)
        shrink(record.folder / "figure.png", options.gallery / "figures" / f"{entry.id}.png")
        write_text(page, with_block(page.read_text(encoding="utf-8"), block(record), page))
    write_text(options.gallery / "README.md", index(options.gallery))
    return 0 if complete else 1


def shrink(source: Path, target: Path) -> None:
    """Make a small PNG: no wider than a page, a palette, fewer pixels until it is small enough."""
    from PIL import Image

    with Image.open(source) as image:
        picture = image.convert("RGB")
    width, colors = min(WIDEST, picture.width), 256
    while True:
        size = (width, round(picture.height * width / picture.width))
        small = picture.resize(size, Image.Resampling.LANCZOS).quantize(colors, dither=Image.Dither.NONE)
        data = io.BytesIO()
        small.save(data, "PNG", optimize=True)
        if len(data.getvalue()) < LARGEST:
            break
        width, colors = int(0.85 * width), max(64, colors // 2)
    with atomic_path(target) as temporary:
        temporary.write_bytes(data.getvalue())


def block(record: Record) -> str:
    """Write the measured part of a page."""
    settings = ", ".join(f"{name} = {_setting(value)}" for name, value in record.parameters.items())
    rows = []
    for row in record.rows:
        name = f"{row.name} ({row.note})" if row.note else row.name
        cells = " | ".join(map(_cell, (name, row.expected, row.measured, row.source)))
        rows.append(f"| {'PASS' if row.passed else '**FAIL**'} | {cells} |")
    lines = [
        f"![{record.title}](figures/{record.id}.png)",
        "",
        f"*From `lazygram reproduce {record.id} --quick`: {settings}.*",
        "",
        "<details>",
        f"<summary>{record.outcome}</summary>",
        "",
        "| | quantity | expected | measured | expectation from |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "</details>",
        "",
        *(f"- {_cell(note)}" for note in record.notes if not note.startswith("Taken from")),
    ]
    return "\n".join(lines).rstrip() + "\n"


def with_block(text: str, measured: str, page: Path) -> str:
    """Put the block between the markers, under the heading "Figure" if there are none yet."""
    if BEGIN not in text:
        if "\n## Figure\n" not in text:
            raise SystemExit(f"{page}: no heading '## Figure'")
        text = text.replace("\n## Figure\n", f"\n## Figure\n\n{BEGIN}\n{END}\n", 1)
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{measured}{END}{after}"


def index(gallery: Path) -> str:
    """Write the list of all experiments that have a page."""
    lines = [
        "# Gallery",
        "",
        "Every figure, table and claim of the texts that this package reproduces, each with its expected",
        "numbers checked. The figures here are from the quick sizes (`lazygram reproduce ID --quick`);",
        "without `--quick` the sizes are those of the texts. This page and the measured parts of the others",
        "are made by `python docs/build_gallery.py`.",
        "",
        *USAGE.splitlines(),
        "",
        "| id | what | source |",
        "|---|---|---|",
    ]
    for name in REGISTRY:
        if (gallery / f"{name}.md").exists():
            entry = REGISTRY[name]
            lines.append(f"| [{name}]({name}.md) | {_cell(entry.title)} | {_cell(entry.source)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Keep a text from being read as markup."""
    for sign in "\\|*_<>":
        text = text.replace(sign, f"\\{sign}")
    return text


def _setting(value: object) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(_setting(item) for item in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
