"""Runs the Python code of README.md and docs/, a file's blocks in order in one namespace; reads commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Complete commands: lines of blocks and of help texts' examples, and backquoted ones without a placeholder.
_COMMAND = re.compile(r"^ *(?:.*&& )?lazygram (.+)$|`lazygram ([^`<|]+)`", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_the_readme_has_code() -> None:
    assert _BLOCK.search(PAGES[0].read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        # Blank lines in front make tracebacks point at the line of the page.
        exec(compile("\n" * line + block.group(1), str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("[AC]*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def commands(text: str) -> list[str]:
    """Arguments of the complete commands in a text, once each."""
    found = (line or quoted for line, quoted in _COMMAND.findall(text))
    return sorted({command for command in found if not re.search(r"\b(ID|DIR)\b|--help", command)})


def test_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.npz").touch()  # the checkpoint that --resume reads
    pytest.importorskip("click")
    from lazygram.cli.app import cli
    from lazygram.experiments import REGISTRY
    from lazygram.experiments.settings import parse_assignments

    pages = [*PAGES, *sorted((ROOT / "docs" / "gallery").glob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    texts += [command.help or "" for command in cli.commands.values()]
    given = commands("\n".join(texts))
    assert len(given) > 80
    for command in given:
        name, *arguments = shlex.split(command, comments=True)
        context = cli.commands[name].make_context(name, arguments)  # parses, and runs nothing
        if name == "reproduce":
            chosen = [REGISTRY[entry] for entry in REGISTRY.select(context.params["experiments"])]
            changed = parse_assignments(context.params["assignments"], chosen)
            for entry in chosen:
                entry.parameters(context.params["quick"], changed[entry.id])
