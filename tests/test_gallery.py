"""The gallery: every experiment has a page with what it must say, figures are small, it can be rebuilt."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from lazygram.experiments import REGISTRY

DOCS = Path(__file__).parents[1] / "docs"
GALLERY = DOCS / "gallery"
HEADINGS = ["Claim", "Figure", "What it shows", "How to vary it", "Corrections to the text"]
PAGES = sorted(page.stem for page in GALLERY.glob("*.md") if page.stem != "README")


def test_pages_and_experiments_are_the_same() -> None:
    assert set(PAGES) == set(REGISTRY)
    figures = {file.stem for file in (GALLERY / "figures").iterdir()}
    assert figures == set(REGISTRY)


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str) -> None:
    text = (GALLERY / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}: ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert re.search(r"^\*Source: .+\*$", text, re.MULTILINE)
    sections = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    assert f"lazygram reproduce {name}" in sections[3]
    # The measured part is there, of this experiment, with all of its expectations.
    assert text.count("<!-- run:begin -->") == text.count("<!-- run:end -->") == 1
    assert f"(figures/{name}.png)" in sections[1]
    assert re.search(r"<summary>\d+ expectations", sections[1])
    # Settings that the page tells to change exist.
    known = vars(REGISTRY[name].full)
    assert set(re.findall(r"--set (\w+)=", text)) <= set(known)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (GALLERY / target).exists(), target


@pytest.mark.parametrize("name", PAGES)
def test_figure_is_a_small_png(name: str) -> None:
    data = (GALLERY / "figures" / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 100_000


def test_index_names_every_page() -> None:
    index = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\.md\)", index, re.MULTILINE) == [(n, n) for n in REGISTRY]


def test_gallery_can_be_rebuilt(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    shutil.copytree(GALLERY, gallery)
    page = gallery / "lemma2.md"
    before = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"<!-- run:begin -->.*<!-- run:end -->\n", "", before, flags=re.DOTALL))
    (gallery / "figures" / "lemma2.png").unlink()
    (gallery / "README.md").unlink()
    command = [sys.executable, str(DOCS / "build_gallery.py"), "lemma2", "--jobs", "1"]
    places = ["--runs", str(tmp_path / "runs"), "--gallery", str(gallery)]
    subprocess.run([*command, *places], check=True, timeout=100, capture_output=True)
    after = page.read_text(encoding="utf-8")
    assert [line for line in after.splitlines() if line.startswith("| ")] != []

    # Everything around the measured part is as it was; the measured numbers may differ by rounding.
    def outside(text: str) -> str:
        return re.sub(r"<!-- run:begin -->.*<!-- run:end -->\n*", "", text, flags=re.DOTALL)

    assert outside(after).split() == outside(before).split()
    assert (gallery / "figures" / "lemma2.png").stat().st_size < 100_000
    assert (gallery / "README.md").read_text() == (GALLERY / "README.md").read_text()
    (gallery / "lemma2.md").unlink()
    done = subprocess.run([*command, *places], check=False, timeout=100, capture_output=True, text=True)
    assert done.returncode == 1
    assert "lemma2.md is missing" in done.stderr
