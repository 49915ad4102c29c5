"""The report over all experiments in a folder: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from lazygram._core import __version__
from lazygram.experiments.base import Row
from lazygram.experiments.records import Record, load_record
from lazygram.files import write_text

__all__ = ["find_records", "write_report"]

_LARGEST_SVG = 400_000  # bytes; a figure with more marks than that is shown as PNG
_RANK = {"ERROR": 0, "FAIL": 1, "PASS": 2}
_WORDS = {"PASS": "all expectations met", "FAIL": "expectations not met", "ERROR": "did not run to the end"}

_CSS = """
:root { color-scheme: light; --line: #ddd; --soft: #666; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem;
  margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 0; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
h4 { font-size: .9rem; margin: .8rem 0 .2rem; }
section { border-top: 2px solid #222; margin-top: 3rem; padding-top: .8rem; }
p.source, p.facts { color: var(--soft); margin: .2rem 0; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; border: 1px solid var(--line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0;
  border-bottom: 1px solid var(--line); }
th { border-bottom-color: #222; }
td.number { white-space: nowrap; text-align: right; }
.verdict { font-weight: 700; white-space: nowrap; }
.PASS { color: #00694c; }
.FAIL, .ERROR { color: #b03000; }
tr.missed td { background: #fdf1ec; }
.why { color: var(--soft); font-size: .85rem; }
.inferred { color: #8a5a00; font-size: .85rem; }
pre { background: #f6f6f6; padding: .7rem; overflow-x: auto; font-size: .8rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; }
nav td, nav th { padding-right: 1.2rem; }
@media print { section { break-before: page; } details > * { display: block; } }
"""


def find_records(folder: str | os.PathLike[str], order: Sequence[str] = ()) -> list[Record]:
    """Results of all experiments that lie in subfolders of `folder`, by id as in `order`, others after."""
    places = {name: place for place, name in enumerate(order)}
    found = [load_record(child) for child in sorted(Path(folder).iterdir()) if child.is_dir()]
    records = [record for record in found if record is not None]
    return sorted(records, key=lambda record: places.get(record.id, len(places)))


def write_report(records: Sequence[Record], path: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML file about `records`, whole or not at all.

    Contents with verdicts (failures first), then for every experiment its figure, expected beside measured,
    notes, corrections of the text, settings with those that the text does not print marked, and facts about
    the run. Figures are embedded; nothing is loaded from elsewhere.

    Raises
    ------
    OSError
        If a figure cannot be read or the file cannot be written.
    """
    parts = [_head(records), _contents(records), *map(_section, records)]
    body = "\n".join(parts)
    write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>lazygram: {len(records)} experiments</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n",
    )


def _head(records: Sequence[Record]) -> str:
    counts = {word: sum(record.verdict == word for record in records) for word in _RANK}
    rows = sum(len(record.rows) for record in records)
    missed = sum(len(record.failed_rows) for record in records)
    seconds = sum(float(record.run.get("seconds", 0.0)) for record in records)
    told = ", ".join(
        f'<span class="verdict {word}">{counts[word]} {word}</span> ({_WORDS[word]})'
        for word in ("PASS", "FAIL", "ERROR")
        if counts[word]
    )
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return (
        "<h1>lazygram: experiments of the texts, expected beside measured</h1>\n"
        f"<p>{len(records)} experiments: {told}. {rows} expectations, {missed} not met.</p>\n"
        f'<p class="facts">Written {now} by lazygram {escape(__version__)}. '
        f"Computing time of the experiments: {_duration(seconds)}. {_machines(records)}</p>\n"
        '<p class="facts">Bands come from theory, from the texts, or from references that share no code with '
        "this package. An expectation that is not met stays FAIL.</p>"
    )


def _machines(records: Iterable[Record]) -> str:
    """Machines and versions, each once."""
    seen = {_machine(record.run.get("machine")) for record in records}
    return "; ".join(escape(text) for text in sorted(seen - {""}))


def _machine(facts: Any) -> str:
    if not isinstance(facts, dict):
        return ""
    return (
        f"{facts.get('processor')} ({facts.get('processors')} processors, {facts.get('isa')}), "
        f"{facts.get('system')}, Python {facts.get('python')}, NumPy {facts.get('numpy')}, "
        f"SciPy {facts.get('scipy')}, {', '.join(facts.get('blas', []))}"
    )


def _contents(records: Sequence[Record]) -> str:
    lines = []
    for record in sorted(records, key=lambda record: _RANK[record.verdict]):
        lines.append(
            f'<tr><td class="verdict {record.verdict}">{record.verdict}</td>'
            f'<td><a href="#{_anchor(record)}">{escape(record.id)}</a></td>'
            f"<td>{escape(record.title)}</td><td>{escape(record.outcome)}</td>"
            f'<td class="number">{_duration(record.run.get("seconds"))}</td>'
            f"<td>{escape(_preset(record))}</td></tr>"
        )
    head = "<tr><th></th><th>id</th><th>title</th><th>outcome</th><th>time</th><th>settings</th></tr>"
    return f'<nav class="wide"><table>{head}\n' + "\n".join(lines) + "\n</table></nav>"


def _section(record: Record) -> str:
    run = record.run
    parts = [
        f'<section id="{_anchor(record)}">',
        f'<h2><span class="verdict {record.verdict}">{record.verdict}</span> '
        f"{escape(record.id)}: {escape(record.title)}</h2>",
        f'<p class="source">{escape(record.source)}</p>',
        f"<p>{escape(record.outcome)}.</p>" if not record.error else _error(record),
        _figure(record),
        _expectations(record.rows),
        _numbers(record.summary),
        _list("Notes", record.notes),
        _list("Corrections to the text", record.corrections),
        _settings(record),
        f'<p class="facts">{_preset(record)}; {_duration(run.get("seconds"))} with {run.get("threads", "?")} '
        f"thread(s); lazygram {escape(str(run.get('lazygram', '?')))}; finished "
        f"{escape(str(run.get('finished', '?')))}. {escape(_machine(run.get('machine')))}</p>",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _error(record: Record) -> str:
    trace = ""
    if record.traceback:
        trace = f"<details><summary>Traceback</summary><pre>{escape(record.traceback)}</pre></details>"
    return f'<p class="ERROR">{escape(record.error)}</p>{trace}'


def _figure(record: Record) -> str:
    if record.error:
        return ""
    svg, png = record.folder / "figure.svg", record.folder / "figure.png"
    small = svg.exists() and svg.stat().st_size <= _LARGEST_SVG
    file, kind = (svg, "svg+xml") if small else (png, "png")
    if not file.exists():
        return ""
    # As an image, not as elements: the ids inside of two figures could be the same.
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    text = escape(f"Figure of {record.id}: {record.title}", quote=True)
    return f'<figure><img src="data:image/{kind};base64,{data}" alt="{text}"></figure>'


def _expectations(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = []
    for row in rows:
        word = "PASS" if row.passed else "FAIL"
        why = f'<div class="why">{escape(row.note)}</div>' if row.note else ""
        kind = "met" if row.passed else "missed"
        lines.append(
            f'<tr class="{kind}">'
            f'<td class="verdict {word}">{word}</td><td>{escape(row.name)}{why}</td>'
            f"<td>{escape(row.expected)}</td><td>{escape(row.measured)}</td><td>{escape(row.source)}</td></tr>"
        )
    head = "<tr><th></th><th>quantity</th><th>expected</th><th>measured</th><th>expectation from</th></tr>"
    return (
        f'<h3>Expected and measured</h3>\n<div class="wide"><table>{head}\n'
        + "\n".join(lines)
        + "</table></div>"
    )


def _numbers(summary: dict[str, Any]) -> str:
    """Further numbers: tables as tables, single ones in one."""
    blocks, single = [], []
    for name, value in summary.items():
        title = escape(name.replace("_", " "))
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            head = "".join(f"<th>{escape(key.replace('_', ' '))}</th>" for key in value[0])
            rows = "".join(
                "<tr>" + "".join(f"<td>{escape(_value(cell))}</td>" for cell in row.values()) + "</tr>\n"
                for row in value
            )
            blocks.append(f'<h4>{title}</h4>\n<div class="wide"><table><tr>{head}</tr>\n{rows}</table></div>')
        elif isinstance(value, dict):
            single += [(f"{title}: {escape(key)}", _value(entry)) for key, entry in value.items()]
        else:
            single.append((title, _value(value)))
    if single:
        rows = "".join(f"<tr><td>{name}</td><td>{escape(text)}</td></tr>\n" for name, text in single)
        blocks.append(f'<div class="wide"><table>{rows}</table></div>')
    if not blocks:
        return ""
    return f"<details><summary>Further numbers</summary>\n{''.join(blocks)}</details>"


def _list(title: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<h3>{title}</h3>\n<ul>{items}</ul>"


def _settings(record: Record) -> str:
    lines = []
    changed = record.run.get("changed", {})
    for name, value in record.parameters.items():
        marks = ["changed"] if name in changed else []
        if name in record.inferred:
            marks.append(f"not in the text: {record.inferred[name]}")
        mark = f'<span class="inferred">{escape("; ".join(marks))}</span>' if marks else ""
        lines.append(f"<tr><td>{escape(name)}</td><td>{escape(_value(value))}</td><td>{mark}</td></tr>")
    head = "<tr><th>setting</th><th>value</th><th></th></tr>"
    return f'<h3>Settings</h3>\n<div class="wide"><table>{head}\n' + "\n".join(lines) + "</table></div>"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"({_value(item)})" if isinstance(item, list) else _value(item) for item in value)
    if value is None:
        return "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _preset(record: Record) -> str:
    preset = str(record.run.get("preset", "?"))
    return f"{preset}, changed" if record.run.get("changed") else preset


def _anchor(record: Record) -> str:
    return escape(record.id, quote=True)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return "?"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
