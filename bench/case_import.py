"""Start-up: `import lazygram` against `import numpy, scipy.linalg`, whole processes."""

from __future__ import annotations

import subprocess
import sys

from harness import Result, side_by_side


def _process(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def run(repeats: int, quick: bool) -> list[Result]:
    ours, rest = side_by_side(
        ("import lazygram", lambda: _process("import lazygram")),
        [
            ("import numpy, scipy.linalg", lambda: _process("import numpy, scipy.linalg")),
            ("an empty process", lambda: _process("pass")),
        ],
        1 if quick else max(repeats, 5),
    )
    return [Result("import", "process start to end", ours, rest, "<= 1.3x import numpy, scipy.linalg")]
