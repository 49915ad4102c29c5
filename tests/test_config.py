"""`config` and `show_config` say what is there; `import lazygram` stays light."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys

import numpy as np
import pytest
import scipy

import lazygram
from lazygram import _core


def test_facts() -> None:
    facts = lazygram.config()
    assert facts["version"] == lazygram.__version__ == importlib.metadata.version("lazygram")
    assert facts["numpy"] == np.__version__
    assert facts["scipy"] == scipy.__version__
    assert facts["python"] == platform.python_version()
    assert facts["machine"] == platform.machine()
    assert facts["isa_used"] in facts["isa_available"]
    assert set(facts["isa_available"]) <= set(facts["isa_compiled"])
    assert facts["threads"] == _core.max_threads() >= 1
    assert facts["threading"] in ("openmp", "std")
    assert isinstance(facts["cuda"], bool)
    assert any(library["internal_api"] for library in facts["blas"])


def test_printed_facts(capsys: pytest.CaptureFixture[str]) -> None:
    lazygram.show_config()
    printed = capsys.readouterr().out
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    facts = lazygram.config()
    assert set(lines) == set(facts)
    for name in ("version", "isa_used", "threads", "numpy"):
        assert lines[name] == str(facts[name])
    assert lines["isa_available"] == ", ".join(facts["isa_available"])


def test_threads_follow_the_environment() -> None:
    code = "import lazygram; print(lazygram.config()['threads'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"OMP_NUM_THREADS": "3"}, timeout=60
    )
    if lazygram.config()["threading"] == "openmp":
        assert done.stdout.strip() == "3", done.stderr


def test_import_is_light() -> None:
    code = "import sys, lazygram; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not {"sklearn", "matplotlib", "click", "rich", "torch", "pandas"} & set(done.stdout.split())


def test_public_names_exist() -> None:
    for name in lazygram.__all__:
        assert getattr(lazygram, name) is not None
