"""The choice of the instruction-set level: by hand, by LAZYGRAM_ISA, and loud failure."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lazygram import _core, config

LEVELS = ["baseline", "avx2", "avx512", "avx512_vpopcntdq"]


def import_with(value: str | None) -> subprocess.CompletedProcess[str]:
    """`import lazygram` in a fresh process with LAZYGRAM_ISA set; prints the level in use."""
    environment = {k: v for k, v in os.environ.items() if k != "LAZYGRAM_ISA"}
    if value is not None:
        environment["LAZYGRAM_ISA"] = value
    code = (
        "import lazygram; print(lazygram.config()['isa_used'], lazygram.TwoLayerReLU(9, 2).weights().shape)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.mark.parametrize("level", _core.isa_available())
def test_every_available_level_can_be_chosen(level: str) -> None:
    done = import_with(level)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == level


@pytest.mark.parametrize("value", [None, ""])
def test_the_highest_is_the_default(value: str | None) -> None:
    assert import_with(value).stdout.split()[0] == _core.isa_available()[-1]


@pytest.mark.parametrize("value", ["sse9", "AVX2", "avx2 ", "0"])
def test_nonsense_fails_the_import(value: str) -> None:
    done = import_with(value)
    assert done.returncode != 0
    assert f"ImportError: LAZYGRAM_ISA: unknown level '{value}'" in done.stderr
    assert "available here: baseline" in done.stderr


def test_what_cannot_run_fails_the_import() -> None:
    missing = [level for level in LEVELS if level not in _core.isa_available()]
    if not missing:
        pytest.skip("this machine has every level")
    for level in missing:
        done = import_with(level)
        assert done.returncode != 0
        assert f"LAZYGRAM_ISA: level '{level}' cannot run here" in done.stderr


def test_force_and_restore() -> None:
    before = _core.isa_used()
    for level in _core.isa_available():
        _core.isa_force(level)
        assert _core.isa_used() == level
        assert config()["isa_used"] == level
    with pytest.raises(ValueError, match="isa: unknown level 'sse9'"):
        _core.isa_force("sse9")
    assert _core.isa_used() == level  # a refused level changes nothing
    _core.isa_force("")
    assert _core.isa_used() == before


def test_levels_are_ordered() -> None:
    compiled, available = list(_core.isa_compiled()), list(_core.isa_available())
    assert compiled == LEVELS[: len(compiled)]
    assert available == compiled[: len(available)]  # a CPU that has a level has every level below
    assert "baseline" in available
