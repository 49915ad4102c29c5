"""What runs experiments, with tiny fake ones: resuming, failures, processes, Ctrl-C, settings, report."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import fake_experiments as fake
from click.testing import CliRunner, Result

from lazygram.cli.app import cli
from lazygram.cli.console import ProgressBoard, new_console
from lazygram.experiments import REGISTRY, Registry
from lazygram.experiments.base import at_least, at_most, holds, in_band, ordered, share_of, within_factor
from lazygram.experiments.parts import Parts
from lazygram.experiments.records import Record, is_finished, load_record
from lazygram.experiments.report import find_records, write_report
from lazygram.experiments.runner import available_processors, run_tasks
from lazygram.experiments.settings import parse_assignments, parse_value
from lazygram.experiments.task import Task

FAKES = Registry(
    {
        "fake.one": "fake_experiments:ONE",
        "fake.two": "fake_experiments:TWO",
        "fake.three": "fake_experiments:THREE",
    },
    package="",
)


class Watch:
    """Keeps what the runner tells."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.records: dict[str, Record] = {}

    def started(self, task: Task) -> None:
        self.events.append(("started", task.experiment.id))

    def progressed(self, task: Task, message: str, done: float) -> None:
        self.events.append(("progressed", task.experiment.id, message, done))

    def finished(self, task: Task, record: Record, reused: bool) -> None:
        self.events.append(("finished", task.experiment.id, reused))
        self.records[task.experiment.id] = record


def tasks(folder: Path, *names: str, **changes: Any) -> list[Task]:
    chosen = [FAKES[name] for name in names or FAKES]
    return [
        Task(entry, entry.parameters(False, changes), folder / entry.id, "full", changes) for entry in chosen
    ]


def computed(folder: Path) -> list[str]:
    """Numbers of the parts that were really computed, in order."""
    return (folder / "computed.txt").read_text().split()


# --- registry and settings -----------------------------------------------------------------------


def test_registry_selects_without_importing() -> None:
    table = Registry({"a.1": "no_such_module", "a.2": "no_such_module:X", "b": "neither"}, package="")
    assert table.select(["b", "a.*"]) == ["a.1", "a.2", "b"]
    assert table.select(["a.2,a.1"]) == ["a.1", "a.2"]
    assert table.select(["all"]) == list(table)
    with pytest.raises(ValueError, match=r"no experiment 'c\*'; there are a.1, a.2, b"):
        table.select(["a.1", "c*"])
    with pytest.raises(ModuleNotFoundError):
        table["b"]
    assert "c" not in table
    assert FAKES["fake.two"] is fake.TWO
    with pytest.raises(TypeError, match="does not define the experiment other"):
        Registry({"other": "fake_experiments:ONE"}, package="")["other"]


def test_listing_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, lazygram.experiments as e; all = [e.REGISTRY[name] for name in e.REGISTRY];"
        "print(*[m for m in ('matplotlib', 'sklearn', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_every_experiment_says_what_it_is() -> None:
    for name, entry in REGISTRY.items():
        assert entry.title
        assert entry.source
        assert type(entry.full) is type(entry.quick)
        assert 0 < entry.quick_seconds <= entry.full_seconds, name
        hints = {field.name for field in dataclasses.fields(entry.full)}
        for setting in hints:  # the defaults are such as --set can write
            text = str(getattr(entry.quick, setting)).replace("'", "")
            parsed = parse_assignments([f"{setting}={text}"], [entry])[name]
            assert parsed == {setting: getattr(entry.quick, setting)}


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("-1e4", int, -10000),
        ("1e-3", float, 1e-3),
        ("a,b", str, "a,b"),
        ("yes", bool, True),
        ("False", bool, False),
        ("none", float | None, None),
        ("2", float | None, 2.0),
        ("1,2,3", tuple[int, ...], (1, 2, 3)),
        ("(1, 2)", tuple[int, ...], (1, 2)),
        ("7", tuple[int, ...], (7,)),
        ("()", tuple[int, ...], ()),
        ("(1,2),(3,)", tuple[tuple[int, ...], ...], ((1, 2), (3,))),
        ("((1,2),[3])", tuple[tuple[int, ...], ...], ((1, 2), (3,))),
        ("a, 2", tuple[str, int], ("a", 2)),
    ],
)
def test_values_are_read_by_type(text: str, hint: Any, value: Any) -> None:
    parsed = parse_value(text, hint)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("repeats=1.5", "'1.5' is not a whole number"),
        ("repeats=inf", "'inf' is not a whole number"),
        ("value=x", "'x' is not a number"),
        ("flag=maybe", "neither true nor false"),
        ("mode=play", "'play' is none of work, raise, crash, wait"),
        ("widths=1,x", "'x' is not a whole number"),
        ("shapes=(1,2", "brackets of"),
        ("limit=x", "'x' is not a number"),
        ("colour=1", "colour is not a setting of fake.one; it has value, repeats"),
        ("value", "name=value or ID:name=value is needed"),
        ("other:value=1", "other is none of the experiments to run"),
    ],
)
def test_wrong_assignments(assignment: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"--set .*{message}"):
        parse_assignments([assignment], [fake.ONE])


def test_assignments_reach_those_they_are_for() -> None:
    changed = parse_assignments(["value=2", "fake.t*:value=3", "fake.two:repeats=4"], list(FAKES.values()))
    assert changed == {
        "fake.one": {"value": 2.0},
        "fake.two": {"value": 3.0, "repeats": 4},
        "fake.three": {"value": 3.0},
    }


def test_inferred_settings_must_exist() -> None:
    with pytest.raises(ValueError, match=r"inferred: no_such is not a setting of fake.one"):
        dataclasses.replace(fake.ONE, inferred={"no_such": "x"})


# --- rows, progress, parts -----------------------------------------------------------------------


def test_rows_tell_values_bands_and_notes() -> None:
    assert within_factor("x", "s", 2.0, 1.0, 2.0).passed
    assert within_factor("x", "s", 0.5, 1.0, 2.0).passed
    assert not within_factor("x", "s", 2.01, 1.0, 2.0).passed
    assert not within_factor("x", "s", float("nan"), 1.0, 2.0).passed
    assert at_least("x", "s", 1.0, 1.0).passed
    assert not at_least("x", "s", float("nan"), 1.0).passed
    assert holds("x", "s", True, "this", "that", note="n").note == "n"
    rows = [
        in_band("x", "s", 1.0, 0.0, 2.0, note="n"),
        within_factor("x", "s", 1.0, 1.0, 2.0, note="n"),
        at_most("x", "s", 1.0, 1.0, note="n"),
        at_least("x", "s", 1.0, 1.0, note="n"),
        ordered("x", "s", [1.0, 2.0], rising=True, note="n"),
    ]
    assert all(row.note == "n" and row.passed for row in rows)


def test_share_of_progress() -> None:
    seen: list[tuple[str, float]] = []
    stage = share_of(lambda message, done: seen.append((message, done)), 0.5, 0.25, "stage")
    inner = share_of(stage, 0.5, 0.5)
    inner("now", 0.5)
    inner("over", 2.0)
    assert seen == [("stage: now", 0.6875), ("stage: over", 0.75)]
    share_of(None, 0.0, 1.0)("silent", 0.5)


def test_parts_depend_on_their_settings(tmp_path: Path) -> None:
    calls: list[str] = []

    def compute(text: str) -> dict[str, Any]:
        calls.append(text)
        return {"x": np.arange(3.0), "y": 1.5}

    first = Parts(tmp_path)
    fresh = first.get("p", {"a": 1, "b": (1, 2)}, lambda: compute("first"))
    assert first.notes() == []
    again = Parts(tmp_path)
    found = again.get("p", {"b": (1, 2), "a": 1}, lambda: compute("again"))
    assert calls == ["first"]
    assert again.notes()[0].endswith("s of computing: p.")
    assert 0 < again.seconds < 1
    for name, value in fresh.items():
        np.testing.assert_array_equal(found[name], value)
    Parts(tmp_path).get("p", {"a": 2, "b": (1, 2)}, lambda: compute("settings"))
    Parts(tmp_path, format=2).get("p", {"a": 2, "b": (1, 2)}, lambda: compute("format"))
    (tmp_path / "parts" / "p.npz").write_bytes(b"damaged")
    Parts(tmp_path).get("p", {"a": 2, "b": (1, 2)}, lambda: compute("damaged"))
    many = Parts(tmp_path)
    for name in ("p", *"abcdef", *"abcdef"):
        many.get(name, {"a": 2, "b": (1, 2)}, lambda: {"x": 1})
    assert many.notes()[0].endswith("p, a, b, c and 3 more.")
    Parts(None).get("p", {"a": 2, "b": (1, 2)}, lambda: compute("no folder"))
    assert calls == ["first", "settings", "format", "damaged", "no folder"]


# --- running -------------------------------------------------------------------------------------


def test_finished_experiments_are_not_run_again(tmp_path: Path) -> None:
    todo = tasks(tmp_path, "fake.one")
    folder = tmp_path / "fake.one"
    first = Watch()
    run_tasks(todo, first, jobs=1)
    assert [event[0] for event in first.events] == ["started", "progressed", "progressed", "finished"]
    record = first.records["fake.one"]
    assert (record.verdict, record.outcome) == ("PASS", "2 expectations, all met")
    assert record.run["preset"] == "full"
    assert record.inferred == {"value": "chosen & <invented>"}
    assert sorted(file.name for file in folder.iterdir() if file.is_file()) == [
        "computed.txt",
        "data.npz",
        "figure.png",
        "figure.svg",
        "results.json",
    ]
    again = Watch()
    run_tasks(todo, again, jobs=1)
    assert again.events == [("finished", "fake.one", True)]
    assert computed(folder) == ["0", "1"]

    # Anything that could change the result makes it run again; finished parts still count.
    run_tasks(tasks(tmp_path, "fake.one", repeats=3), Watch(), jobs=1)
    assert computed(folder) == ["0", "1", "2"]
    (folder / "figure.svg").unlink()
    assert not is_finished(fake.ONE, fake.ONE.parameters(overrides={"repeats": 3}), folder)
    run_tasks(tasks(tmp_path, "fake.one", repeats=3), Watch(), jobs=1)
    assert is_finished(fake.ONE, fake.ONE.parameters(overrides={"repeats": 3}), folder)
    results = json.loads((folder / "results.json").read_text())
    for name in ("lazygram", "code"):
        other = results | {"run": results["run"] | {name: "another"}}
        (folder / "results.json").write_text(json.dumps(other))
        assert not is_finished(fake.ONE, fake.ONE.parameters(overrides={"repeats": 3}), folder)

    # --force forgets the parts too.
    run_tasks(todo, Watch(), jobs=1, force=True)
    assert computed(folder) == ["0", "1", "2", "0", "1"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_experiment_that_raises_does_not_stop_the_others(tmp_path: Path, jobs: int) -> None:
    todo = [
        *tasks(tmp_path, "fake.one", value=3.0),
        *tasks(tmp_path, "fake.two", mode="raise"),
        *tasks(tmp_path, "fake.three"),
    ]
    watch = Watch()
    run_tasks(todo, watch, jobs=jobs)
    verdicts = {name: record.verdict for name, record in watch.records.items()}
    assert verdicts == {"fake.one": "FAIL", "fake.two": "ERROR", "fake.three": "PASS"}
    error = watch.records["fake.two"]
    assert error.outcome == "RuntimeError: no <such> luck"
    assert "fake_experiments.py" in error.traceback
    assert not (tmp_path / "fake.two" / "results.json").exists()
    assert [row.name for row in watch.records["fake.one"].failed_rows] == ["square & <value>", "square"]

    # A failed band is a result; an error is tried again, and goes when it is mended.
    again = Watch()
    run_tasks(todo[:2], again, jobs=1)
    assert ("finished", "fake.one", True) in again.events
    assert ("started", "fake.two") in again.events
    run_tasks(tasks(tmp_path, "fake.two"), again, jobs=1)
    assert again.records["fake.two"].verdict == "PASS"
    assert not (tmp_path / "fake.two" / "error.json").exists()


def test_processes_share_the_threads_and_survive_a_crash(tmp_path: Path) -> None:
    todo = [*tasks(tmp_path, "fake.one", mode="crash"), *tasks(tmp_path, "fake.two", "fake.three")]
    watch = Watch()
    before = dict(os.environ)
    run_tasks(todo, watch, jobs=2)
    assert dict(os.environ) == before
    assert watch.records["fake.one"].error == "its process ended with code 7"
    pids = set()
    for name in ("fake.two", "fake.three"):
        assert watch.records[name].verdict == "PASS"
        with np.load(tmp_path / name / "data.npz") as data:
            assert int(data["threads"]) == max(1, available_processors() // 2)
        pids.add(json.loads((tmp_path / name / "results.json").read_text())["summary"]["pid"])
    assert os.getpid() not in pids
    order = [event[1] for event in watch.events if event[0] == "started"]
    assert set(order) == set(FAKES)


def test_an_experiment_that_cannot_travel_is_an_error(tmp_path: Path) -> None:
    one, two, three = tasks(tmp_path)
    local = dataclasses.replace(one.experiment, draw=lambda result: fake.draw(result))
    watch = Watch()
    run_tasks([dataclasses.replace(one, experiment=local), two, three], watch, jobs=2)
    assert "pickle" in watch.records["fake.one"].error
    assert {watch.records[name].verdict for name in ("fake.two", "fake.three")} == {"PASS"}


_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {place!r})
from test_infrastructure import Watch, tasks
from lazygram.experiments.runner import run_tasks
if __name__ == "__main__":
    todo = tasks(Path({folder!r}), mode="wait")
    try:
        run_tasks(todo, Watch(), jobs={jobs})
    except KeyboardInterrupt:
        sys.exit(130)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("jobs", "group"), [(1, False), (2, False), (2, True)])
def test_interrupt_stops_all_processes_and_keeps_parts(tmp_path: Path, jobs: int, group: bool) -> None:
    # A terminal sends Ctrl-C to the whole group, the processes of the pool included.
    script = tmp_path / "script.py"
    place = str(Path(__file__).parent)
    script.write_text(_SCRIPT.format(place=place, folder=str(tmp_path), jobs=jobs))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while len(waiting := list(tmp_path.glob("*/waiting"))) < jobs:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)  # into the sleep
    pids = [int(file.read_text()) for file in waiting]
    assert all(map(alive, pids))
    if group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert not any(map(alive, pids))
    # Nothing of an interrupted experiment counts as a result, and its first part is not computed again.
    name = waiting[0].parent.name
    assert load_record(tmp_path / name) is None
    run_tasks(tasks(tmp_path, name), Watch(), jobs=1)
    assert computed(tmp_path / name) == ["0", "1"]


# --- command and report --------------------------------------------------------------------------


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lazygram.cli.reproduce.REGISTRY", FAKES)
    monkeypatch.chdir(tmp_path)


def command(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["reproduce", *arguments], prog_name="lazygram")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.usefixtures("fakes")
def test_command_runs_several_and_reports() -> None:
    done = command("fake.o*", "fake.two", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "2 experiments: 2 PASS, 0 FAIL, 0 ERROR" in done.stdout
    assert "note: a <note>" in done.stdout
    assert "correction to the text: 1 must be <2>." in done.stdout
    assert Path("runs/full/report.html").exists()
    again = command("fake.one", "--jobs", "1")
    assert again.exit_code == 0
    assert "--force runs it again" in again.stdout
    # The report is about everything in the folder.
    assert Path("runs/full/report.html").read_text().count("<section") == 2

    failing = command(
        "all", "--quick", "--jobs", "1", "--set", "fake.one:value=3", "--set", "fake.two:mode=raise"
    )
    assert failing.exit_code == 1
    assert "3 experiments: 1 PASS, 1 FAIL, 1 ERROR" in failing.stdout
    assert "ERROR  RuntimeError: no <such> luck" in failing.stdout
    told = json.loads(Path("runs/quick/fake.one/results.json").read_text())
    assert told["run"]["changed"] == {"value": 3.0}
    assert told["run"]["preset"] == "quick"
    assert told["parameters"]["repeats"] == 1


@pytest.mark.usefixtures("fakes")
def test_command_interrupted_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Task, *arguments: Any) -> None:
        if self.experiment.id == "fake.two":
            raise KeyboardInterrupt
        return perform(self, *arguments)

    perform = Task.perform
    monkeypatch.setattr(Task, "perform", interrupted)
    done = command("all", "--jobs", "1")
    assert done.exit_code == 130
    assert "1 of 3 experiments are finished" in done.stderr
    assert Path("runs/full/report.html").read_text().count("<section") == 1
    monkeypatch.undo()
    monkeypatch.setattr("lazygram.cli.reproduce.REGISTRY", FAKES)


class Page(html.parser.HTMLParser):
    """Checks that every element is closed in order, and collects what the page refers to."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style",):
            self.text.append(data)


def test_report_holds_everything_and_needs_nothing(tmp_path: Path) -> None:
    run_tasks(
        [
            *tasks(tmp_path, "fake.one"),
            *tasks(tmp_path, "fake.two", value=3.0),
            *tasks(tmp_path, "fake.three", mode="raise"),
        ],
        Watch(),
        jobs=1,
    )
    (tmp_path / "other").mkdir()  # neither results nor an error
    records = find_records(tmp_path, ["fake.two", "fake.one"])
    assert [record.id for record in records] == ["fake.two", "fake.one", "fake.three"]
    report = tmp_path / "report.html"
    write_report(records, report)
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.ids == ["fake.two", "fake.one", "fake.three"]
    anchors = [reference for reference in page.references if reference.startswith("#")]
    # Contents: what went wrong first.
    assert anchors == ["#fake.three", "#fake.two", "#fake.one"]
    embedded = [reference for reference in page.references if not reference.startswith("#")]
    assert len(embedded) == 2
    assert all(reference.startswith("data:image/svg+xml;base64,") for reference in embedded)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "http" not in text
    assert "url(" not in text
    words = " ".join(page.text)
    for expected in (
        "1 PASS",
        "1 FAIL",
        "1 ERROR",
        "square & <value>",
        "known <reason>",
        "a <note>",
        "1 must be <2>.",
        "not in the text: chosen & <invented>",
        "changed",
        "RuntimeError: no <such> luck",
        "Traceback",
        "nowhere <at all>",
        "2 expectations, 2 not met",
        "0.5 .. 1.5",
    ):
        assert expected in words, expected
    assert text.count('<tr class="missed">') == 2
    # A figure with very many marks is shown as PNG.
    svg = tmp_path / "fake.one" / "figure.svg"
    svg.write_text(svg.read_text() + " " * 500_000)
    write_report(find_records(tmp_path), report)
    assert "data:image/png;base64," in report.read_text()


def test_board_tells_now_and_then_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBoard(new_console(), {"a": 3.0, "b": 1.0}) as board:
        board.show("a", "going", 0.5)
        assert board.share == pytest.approx(0.375)
        board._when["b"] -= 100.0
        board.show("b", "long [%]", 0.25)
        board.end("a")
        assert board.share == pytest.approx(0.8125)
    assert capsys.readouterr().out == "b  25%  long [%]\n"
    assert ProgressBoard(new_console(), {}).share == 1.0
