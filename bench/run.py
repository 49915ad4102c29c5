"""Runs the benchmark cases: ``python bench/run.py [--case NAME ...] [--repeats N] [--quick] [--json FILE]``.

Every case times lazygram against what a practitioner has today, in turns in one process, and prints medians,
spread and ratios. Peers that are not installed (torch, numkong, neural-tangents) are left out and named.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import Result, machine


def cases() -> dict[str, object]:
    """Modules bench/case_*.py by name; each has ``run(repeats, quick) -> list[Result]``."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("case_"):
            found[module.name.removeprefix("case_")] = importlib.import_module(module.name)
    return found


def main() -> None:
    known = cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", action="append", choices=sorted(known), help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the cases run")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    options = parser.parse_args()
    if options.list:
        for name, module in sorted(known.items()):
            print(f"{name:24} {(module.__doc__ or '').splitlines()[0]}")
        return
    facts = machine()
    print(
        ", ".join(
            f"{key} {facts[key]}" for key in ("cpu", "isa_used", "threads", "numpy", "scipy", "version")
        )
    )
    results: list[Result] = []
    for name in options.case or sorted(known):
        for result in known[name].run(options.repeats, options.quick):  # type: ignore[attr-defined]
            result.print()
            results.append(result)
    if options.json:
        text = json.dumps({"machine": facts, "results": [r.as_dict() for r in results]}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
