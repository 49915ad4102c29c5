"""What a run of an experiment left in its folder: read back, vouched for, or an error written down."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from lazygram._core import __version__
from lazygram.config import config
from lazygram.experiments.base import FILES, Experiment, Row
from lazygram.files import write_json

__all__ = ["ERROR_FILE", "Record", "is_finished", "load_record", "run_facts", "write_error"]

ERROR_FILE = "error.json"
_RESULTS = "results.json"


@dataclass(frozen=True)
class Record:
    """Everything but the data that a run of an experiment left, good or bad.

    Attributes
    ----------
    folder : Path
        Where it lies.
    id, title, source : str
        Of the experiment.
    parameters : dict
        All settings, as JSON has them.
    rows : list of Row
        Expected beside measured; empty after an error.
    notes, corrections : list of str
        For the reader.
    inferred : dict of str to str
        Settings that the text does not print, and where they come from.
    summary : dict
        Further numbers; lists of dictionaries with equal keys are tables.
    run : dict
        Version, preset, changed settings, duration, threads, machine, time; see :func:`run_facts`.
    error, traceback : str
        What the experiment raised; both empty otherwise.
    """

    folder: Path
    id: str
    title: str
    source: str
    parameters: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    inferred: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""

    @property
    def failed_rows(self) -> list[Row]:
        """Expectations that were not met."""
        return [row for row in self.rows if not row.passed]

    @property
    def verdict(self) -> Literal["PASS", "FAIL", "ERROR"]:
        """One word."""
        if self.error:
            return "ERROR"
        return "FAIL" if self.failed_rows else "PASS"

    @property
    def outcome(self) -> str:
        """The verdict in a line."""
        if self.error:
            return self.error
        failed = len(self.failed_rows)
        return f"{len(self.rows)} expectations, {f'{failed} not met' if failed else 'all met'}"


def load_record(folder: Path) -> Record | None:
    """Read what lies in `folder`; None if there is nothing, or nothing readable."""
    for name in (_RESULTS, ERROR_FILE):
        try:
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            known = {entry.name for entry in dataclasses.fields(Record)} - {"folder", "id", "rows"}
            return Record(
                folder=folder,
                id=found["experiment"],
                rows=[Row(**row) for row in found.get("rows", [])],
                **{key: value for key, value in found.items() if key in known},
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def is_finished(experiment: Experiment, parameters: Any, folder: Path) -> bool:
    """Whether `folder` holds all files of a run with these settings, of this version and this code.

    The code is the experiment's module and those beside it whose names begin like it (its expected
    numbers); a change elsewhere in the package counts when its version does.
    """
    record = load_record(folder)
    if record is None or record.error or not all((folder / name).exists() for name in FILES):
        return False
    return (
        record.id == experiment.id
        and record.parameters == json.loads(json.dumps(dataclasses.asdict(parameters)))
        and record.run.get("lazygram") == __version__
        and record.run.get("code") == _code_digest(experiment)
    )


def run_facts(
    experiment: Experiment, preset: str, changed: Mapping[str, Any], seconds: float, threads: int
) -> dict[str, Any]:
    """Facts about a run that just ended: version, code, settings' origin, duration, machine, time."""
    return {
        "lazygram": __version__,
        "code": _code_digest(experiment),
        "preset": preset,
        "changed": dict(changed),
        "seconds": round(seconds, 3),
        "threads": threads,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": _machine(),
    }


def write_error(
    experiment: Experiment,
    parameters: Any,
    folder: Path,
    error: str,
    traceback: str,
    facts: Mapping[str, Any],
) -> None:
    """Put the error of a run in place of its results; finished parts stay."""
    (folder / _RESULTS).unlink(missing_ok=True)
    write_json(
        folder / ERROR_FILE,
        {
            "experiment": experiment.id,
            "title": experiment.title,
            "source": experiment.source,
            "parameters": dataclasses.asdict(parameters),
            "inferred": experiment.inferred,
            "corrections": experiment.corrections,
            "run": facts,
            "error": error,
            "traceback": traceback,
        },
    )


def _code_digest(experiment: Experiment) -> str:
    """Hash of the sources that define the experiment."""
    function: Any = experiment.run
    while isinstance(function, functools.partial):
        function = function.func
    source = Path(getattr(sys.modules.get(function.__module__), "__file__", None) or "")
    digest = hashlib.sha256()
    for file in sorted(source.parent.glob(f"{source.stem}*.py")) if source.stem else []:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def _machine() -> dict[str, Any]:
    facts = config()
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": facts["isa_used"],
        "python": facts["python"],
        "numpy": facts["numpy"],
        "scipy": facts["scipy"],
        "blas": sorted({f"{blas['internal_api']} {blas['version']}" for blas in facts["blas"]}),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
