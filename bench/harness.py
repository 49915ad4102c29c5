"""Times named cases side by side: ours and the others' in turn, medians with spread, ratios, JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lazygram


@dataclass
class Timing:
    """Seconds of one side of a case."""

    name: str
    seconds: list[float]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "repeats": len(self.seconds),
            "note": self.note,
        }


@dataclass
class Result:
    """One case: our timing first, then the others'; `facts` are further measured numbers."""

    case: str
    title: str
    ours: Timing
    others: list[Timing]
    target: str
    facts: dict[str, Any] = field(default_factory=dict)

    def ratios(self) -> dict[str, tuple[float, float, float]]:
        """Other / ours, repeat by repeat: minimum, median, maximum."""
        out = {}
        for other in self.others:
            pairs = [b / a for a, b in zip(self.ours.seconds, other.seconds, strict=False)]
            out[other.name] = (min(pairs), statistics.median(pairs), max(pairs))
        return out

    def as_dict(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "title": self.title,
            "target": self.target,
            "ours": self.ours.row(),
            "others": [other.row() for other in self.others],
            "ratio_other_over_ours": self.ratios(),
            "facts": self.facts,
        }

    def print(self) -> None:
        print(f"\n== {self.case}: {self.title}")
        print(f"   target: {self.target}")
        ratios = self.ratios()
        for timing in [self.ours, *self.others]:
            spread = f"{min(timing.seconds):.4g} .. {max(timing.seconds):.4g} s"
            ratio = ""
            if timing.name in ratios:
                low, middle, high = ratios[timing.name]
                ratio = f"  {middle:8.2f} x ours ({low:.2f} .. {high:.2f})"
            note = f"  [{timing.note}]" if timing.note else ""
            print(f"   {timing.name:38} {timing.median:10.4g} s  ({spread}){ratio}{note}")
        for name, value in self.facts.items():
            print(f"   {name}: {value:.4g}" if isinstance(value, float) else f"   {name}: {value}")


def side_by_side(
    ours: tuple[str, Callable[[], Any]],
    others: list[tuple[str, Callable[[], Any]]],
    repeats: int,
    *,
    slow: Collection[str] = (),
) -> tuple[Timing, list[Timing]]:
    """Time all sides in turn, `repeats` rounds after one warm-up round, so that drift hits all alike.

    Sides named in `slow` run once, without a warm-up.
    """
    sides = [ours, *others]
    seconds: dict[str, list[float]] = {name: [] for name, _ in sides}
    for name, call in sides:
        if name not in slow:
            call()
    for turn in range(repeats):
        for name, call in sides:
            if name in slow and turn:
                continue
            # BLAS workers spin for a while after a product and would take a core from the next side.
            time.sleep(0.1)
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    timings = [Timing(name, seconds[name]) for name, _ in sides]
    return timings[0], timings[1:]


def peer(repeats: int, case: str, *arguments: object) -> list[Timing]:
    """neural-tangents on the same case, in its own environment; nothing when there is none.

    LAZYGRAM_PEER_PYTHON names the interpreter of an environment with neural-tangents 0.6.5 (it needs
    jax 0.4.23, "numpy<2", "scipy<1.13"). Its process runs alone, right after ours, not in turns with it.
    """
    python = os.environ.get("LAZYGRAM_PEER_PYTHON")
    if not python:
        return []
    script = Path(__file__).with_name("peer_neural_tangents.py")
    command = [python, str(script), case, str(repeats), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [Timing("neural-tangents (own process)", json.loads(done.stdout.splitlines()[-1]))]


class Peer:
    """neural-tangents on one case in a process of its own, round by round, in turn with other sides."""

    def __init__(self, case: str, *arguments: object) -> None:
        script = Path(__file__).with_name("peer_neural_tangents.py")
        command = [os.environ["LAZYGRAM_PEER_PYTHON"], str(script), case, "0", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds()  # compiles

    def seconds(self) -> float:
        """Of one round, by its own clock."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            for line in handle:
                if line.startswith("model name"):
                    name = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    return {"cpu": name, "system": platform.system(), **lazygram.config()}
