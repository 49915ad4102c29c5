"""The command line: what the commands write and print, and how they fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from click.testing import CliRunner, Result

import lazygram
from lazygram.cli.app import cli
from lazygram.cli.console import ProgressLine, new_console, number

SMALL = ["--data", "synthetic", "--n", "12", "--dim", "6"]
TRAIN = ["train", *SMALL, "--width", "64", "--steps", "6"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands write to folders under the current one by default."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments), prog_name="lazygram")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ok(*arguments: str) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result


def refused(*arguments: str) -> str:
    """Run what must fail as bad input: code 2, one line on stderr, which is returned."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("lazygram: ")
    assert "Traceback" not in result.output
    return lines[0]


def history(folder: str | Path) -> dict[str, np.ndarray]:
    with np.load(Path(folder) / "history.npz", allow_pickle=False) as archive:
        return dict(archive)


# --- the group ---------------------------------------------------------------------------------


def test_version_help_and_info() -> None:
    assert ok("--version").stdout == f"lazygram {lazygram.__version__}\n"
    assert "Commands:" in ok("--help").stdout
    assert ok().stdout == ok("--help").stdout
    assert "isa_used" in ok("info").stdout
    for command in ("train", "gram", "reproduce", "info"):
        text = ok(command, "--help").stdout
        assert "Examples:" in text
        assert f"lazygram {command}" in text


def test_unknown_commands_and_options() -> None:
    assert "No such command 'bogus'" in refused("bogus")
    assert "--bogus" in refused("train", "--bogus")
    assert "see 'lazygram train --help'" in refused("train", "--bogus")


def test_main_without_click_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; import lazygram.cli; lazygram.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        'lazygram: the command line needs click, which is not installed: pip install "lazygram[cli]"'
    )


def test_a_fault_keeps_its_traceback_and_bad_input_shows_it_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAZYGRAM_TRACEBACK", "1")
    result = CliRunner().invoke(cli, ["gram", "--data", "nosuch"])
    assert isinstance(result.exception, ValueError)


# --- train -------------------------------------------------------------------------------------


def test_train_writes_what_was_measured() -> None:
    result = ok(*TRAIN, "--out", "r", "--save-weights", "--dtype", "float64", "--n-test", "3")
    assert {path.name for path in Path("r").iterdir()} == {
        "figure.png",
        "history.npz",
        "predicted.npz",
        "summary.json",
        "weights.npz",
    }
    assert Path("r/figure.png").read_bytes().startswith(b"\x89PNG")
    recorded = history("r")
    np.testing.assert_array_equal(recorded["step"], np.arange(7))
    assert recorded["predictions"].shape == (7, 12)
    assert recorded["test_predictions"].shape == (7, 3)

    # The same training by hand, from the weights of the same seed.
    data = lazygram.data.load_dataset("synthetic", n=12, dim=6, n_test=3)
    network = lazygram.TwoLayerReLU(64, 6, seed=0)
    W, a = network.weights(), network.signs
    summary = json.loads(Path("r/summary.json").read_text())
    eta = summary["run"]["step_size"]
    for k in range(6):
        Z = W @ data.X.T
        e = a @ np.maximum(Z, 0) / 8 - data.y
        assert recorded["loss"][k] == pytest.approx(0.5 * e @ e, rel=1e-12)
        W = W - eta / 8 * a[:, None] * (((Z >= 0) * e) @ data.X)
    with np.load("r/weights.npz", allow_pickle=False) as weights:
        np.testing.assert_allclose(weights["W"], W, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(weights["a"], a)

    # And what a constant kernel predicts: powers of I - eta H instead of eigenvectors.
    c = np.clip(data.X @ data.X.T, -1, 1)
    H = c * (np.pi - np.arccos(c)) / (2 * np.pi)
    np.fill_diagonal(H, 0.5)
    e = recorded["predictions"][0] - data.y
    with np.load("r/predicted.npz", allow_pickle=False) as predicted:
        for k in range(7):
            assert predicted["frozen_loss_infinite"][k] == pytest.approx(0.5 * e @ e, rel=1e-9)
            e = e - eta * H @ e
    assert summary["lambda_0"] == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-9)
    assert summary["run"]["stopped"] == "steps"
    assert summary["test_accuracy"] is None  # labels are no classes

    output = result.stdout
    for text in ("lambda_0", "theory", "lmin(H(k)) >= lam0/2", "result   loss", "written  r:"):
        assert text in output
    names = {row["source"] for row in summary["theory"]}
    assert "Lemma 2.1" in names
    assert len(summary["theory"]) > output.count("Lemma") + output.count("Thm")  # the rest is here


def test_train_default_folder_is_numbered_and_out_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lazygram.cli.results.save_figure", lambda *arguments: [])  # slow
    ok(*TRAIN)
    ok(*TRAIN)
    assert sorted(os.listdir("runs")) == [
        "synthetic-m64-gd-seed0",
        "synthetic-m64-gd-seed0-2",
    ]
    folder = "runs/synthetic-m64-gd-seed0"
    assert f"--out: {folder} already holds a run" in refused(*TRAIN, "--out", folder)
    ok(*TRAIN, "--out", folder, "--overwrite", "--seed", "1")
    assert json.loads(Path(folder, "summary.json").read_text())["run"]["seed"] == 1


def test_train_on_digits_reports_test_accuracy() -> None:
    pytest.importorskip("sklearn")
    arguments = ("--n", "60", "--n-test", "20", "--width", "512", "--steps", "30", "--out", "r")
    result = ok("train", *arguments)
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["data"]["name"] == "digits-3-8"
    accuracy = np.mean(
        np.sign(history("r")["test_predictions"][-1])
        == lazygram.data.load_dataset("digits", classes=(3, 8), n=60, n_test=20).y_test
    )
    assert summary["test_accuracy"] == accuracy
    assert f"{round(20 * accuracy)} of 20 right" in result.stdout


@pytest.mark.parametrize(
    ("options", "panels"),
    [
        (("--method", "sgd", "--batch-size", "4"), set()),
        (("--method", "flow"), {"frozen_loss_infinite", "frozen_loss_initial"}),
        (("--method", "event"), {"frozen_loss_infinite", "frozen_loss_initial"}),
        (("--method", "event", "--batch-size", "4"), set()),
        (("--method", "event-flow"), {"frozen_loss_infinite", "frozen_loss_initial"}),
        (("--layers", "both"), {"frozen_loss_infinite"}),
        (("--antisymmetric",), {"frozen_loss_infinite", "frozen_loss_initial"}),
        (("--step-size", "0.25", "--record-every", "4"), None),
    ],
)
def test_train_methods(options: tuple[str, ...], panels: set[str] | None) -> None:
    ok(*TRAIN, *options, "--out", "r", "--full-report")
    assert history("r")["step"][-1] == 6
    predicted = Path("r/predicted.npz")
    if panels is None:
        assert history("r")["step"].tolist() == [0, 4, 6]
        assert history("r")["time"][-1] == 1.5
    elif not panels:
        assert not predicted.exists()
    else:
        with np.load(predicted, allow_pickle=False) as archive:
            assert set(archive.files) - {"step"} == panels


def test_train_by_events_makes_one_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("the run itself gives H(0)")

    monkeypatch.setattr(lazygram.TwoLayerReLU, "gram", forbidden)
    monkeypatch.setattr(lazygram.TwoLayerReLU, "patterns", forbidden)
    ok("train", *SMALL, "--width", "20000", "--steps", "10", "--method", "event", "--out", "r")
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["run"]["engine"]["passes"] == 1
    rows = {row["name"] + row["condition"]: row for row in summary["theory"]}
    # Distances by their bound: known where it is small enough, undecided where not, never "not recorded".
    bounded = [row for name, row in rows.items() if name.startswith("distance (bound)")]
    assert len(bounded) == 2
    assert all(row["measured"] > 0 and row["holds"] in (True, None) for row in bounded)
    assert {row["holds"] for name, row in rows.items() if "bounded distance" in name} <= {True, False}
    assert history("r")["max_distance_bound"].shape == history("r")["step"].shape


def test_frozen_prediction_of_both_layers_is_near_a_wide_network() -> None:
    ok("train", *SMALL, "--width", "20000", "--steps", "10", "--layers", "both", "--out", "r")
    with np.load("r/predicted.npz", allow_pickle=False) as archive:
        predicted = archive["frozen_loss_infinite"]
    loss = history("r")["loss"]
    np.testing.assert_allclose(predicted, loss, rtol=0.1)  # O(1/sqrt(m)), of a loss that halves
    assert loss[-1] < 0.6 * loss[0]


def test_train_tolerance_and_zero_steps() -> None:
    ok(*TRAIN, "--steps", "500", "--tolerance", "1e-3", "--out", "r")
    assert history("r")["loss"][-1] <= 1e-3
    assert json.loads(Path("r/summary.json").read_text())["run"]["stopped"] == "tolerance"
    ok(*TRAIN, "--steps", "0", "--out", "zero")
    assert history("zero")["step"].tolist() == [0]


def test_train_divergence_keeps_the_history() -> None:
    result = run(*TRAIN, "--steps", "3000", "--step-size", "50", "--out", "r")
    assert result.exit_code == 3, result.output
    assert result.stderr.startswith("lazygram: diverged: the loss is ")
    assert len(result.stderr.splitlines()) == 1
    loss = history("r")["loss"]
    assert len(loss) > 1
    assert np.isfinite(loss[0])
    assert not np.isfinite(loss[-1])
    assert Path("r/figure.png").exists()
    summary = json.loads(Path("r/summary.json").read_text())  # strict JSON: no Infinity in it
    assert summary["run"]["stopped"] == "diverged"


def test_train_resumed_equals_uninterrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazygram.cli.results.save_figure", lambda *arguments: [])  # slow
    ok(*TRAIN, "--steps", "10", "--out", "whole")
    ok(*TRAIN, "--steps", "4", "--checkpoint", "c.npz", "--out", "r")
    ok(*TRAIN, "--steps", "10", "--resume", "c.npz", "--out", "r")  # no --overwrite needed
    whole, resumed = history("whole"), history("r")
    for name in set(whole) - {"summary"}:
        np.testing.assert_array_equal(whole[name], resumed[name], err_msg=name)
    message = refused(*TRAIN, "--steps", "10", "--resume", "c.npz", "--seed", "5", "--out", "x")
    assert "resume: c.npz belongs to another run" in message
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--width", "0"), "'--width'"),
        (("--width", "many"), "'--width'"),
        (("--steps", "-1"), "'--steps'"),
        (("--step-size", "0"), "'--step-size': 0 is not positive"),
        (("--step-size", "nan"), "'--step-size': nan is not positive"),
        (("--step-size", "fast"), "'--step-size': 'fast' is neither a number nor 'auto'"),
        (("--method", "adam"), "'--method'"),
        (("--method", "sgd"), "--method sgd needs --batch-size"),
        (("--batch-size", "3"), "--batch-size is for --method sgd or event, not gd"),
        (("--method", "sgd", "--batch-size", "13"), "batch_size: at most the number of examples"),
        (("--method", "flow", "--dtype", "float32"), "--dtype float64"),
        (("--loss", "hinge"), "--loss hinge is for deep networks"),
        (("--loss", "logistic"), "y: the logistic loss needs labels -1 and +1"),
        (("--dtype", "float16"), "'--dtype'"),
        (("--seed", "-1"), "'--seed'"),
        (("--tolerance", "0"), "'--tolerance'"),
        (("--record-every", "0"), "'--record-every'"),
        (("--threads", "0"), "'--threads'"),
        (("--checkpoint-every", "5"), "--checkpoint-every needs --checkpoint"),
        (("--resume", "none.npz"), "'--resume'"),
        (("--antisymmetric", "--width", "3"), "--antisymmetric needs an even --width, got 3"),
        (("--classes", "3"), "'--classes': '3' is not two labels"),
        (("--classes", "3,8"), "classes: the labels of synthetic data are N(0, 1)"),
        (("--task", "sorting"), "'--task'"),
        (("--dim", "1"), "'--dim'"),
        (("--labels", "y.npy"), "labels is for files"),
        (("somewhere",), "unexpected argument 'somewhere'; only --data mnist-idx takes a folder"),
    ],
)
def test_train_refuses(options: tuple[str, ...], message: str) -> None:
    assert message in refused(*TRAIN, *options)
    assert not Path("runs").exists() or not os.listdir("runs")


def test_train_refuses_data(tmp_path: Path) -> None:
    assert "unknown data 'nosuch'" in refused("train", "--data", "nosuch")
    assert "missing.csv: No such file" in refused("train", "--data", "missing.csv")
    assert "--data mnist-idx needs the folder" in refused("train", "--data", "mnist-idx")
    assert "gone: no such folder" in refused("train", "--data", "mnist-idx", "gone")
    Path("bad.csv").write_text("1,2\n3,x\n")
    assert "bad.csv, line 2: column 2" in refused("train", "--data", "bad.csv")
    Path("twice.csv").write_text("1,2,0\n5,1,1\n2,4,0\n")
    assert "rows 0 and 2 are the same up to" in refused("gram", "--data", "twice.csv")
    assert "rows" in ok("gram", "--data", "twice.csv", "--drop-duplicates").stdout


def test_train_refuses_an_unwritable_folder_before_training() -> None:
    Path("file").write_text("")
    message = refused(*TRAIN, "--out", "file/r")
    assert "file" in message
    assert Path("file").read_text() == ""


def test_what_cannot_fit_is_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazygram.cli.memory.physical_memory", lambda: 2**20)
    message = refused("gram", "--data", "synthetic", "--n", "400")
    assert "Gram matrices of 400 examples (--n) need about 11 MiB" in message
    assert "this machine has 1 MiB" in message
    assert "--n 12 and --width 1000000 need about" in refused(*TRAIN, "--width", "1000000")
    assert not Path("runs").exists()


def test_interrupt_outside_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lazygram.cli.data_options.load_dataset", interrupted)
    result = run(*TRAIN)
    assert (result.exit_code, result.stderr.strip()) == (130, "lazygram: interrupted")
    monkeypatch.setattr("lazygram.experiments.fig2_1.synthetic", interrupted)
    result = run("reproduce", "fig2.1", "--quick", "--out", "r")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr


def test_train_without_matplotlib_fails_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'pip install "lazygram[cli]"' in refused(*TRAIN)
    assert not Path("runs").exists()


def test_progress_is_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(new_console(), "job") as line:
        for k in range(101):
            line.show(f"step [{k}]", k / 100, last=k == 100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "job   0%  step [0]"
    assert lines[-1] == "job 100%  step [100]"
    assert 5 <= len(lines) <= 12
    assert not any("\x1b" in text for text in lines)


def test_progress_on_a_terminal_shows_loss_lambda_and_flips() -> None:
    script = shutil.which("script")
    if script is None:
        pytest.skip("needs the program script to make a terminal")
    command = " ".join([sys.executable, "-m", "lazygram.cli", *TRAIN, "--steps", "400"])
    done = subprocess.run(
        [script, "-qec", command, "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"},
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    for text in ("loss", "lambda_min", "flips", "\x1b["):
        assert text in done.stdout


def test_number() -> None:
    assert [number(x) for x in (None, float("nan"), 1.0, 1 + 1e-15, 12345.0, 1e-30)] == [
        "-",
        "-",
        "1",
        "1",
        "1.234e+04",
        "1e-30",
    ]
    assert number(1 - 2.5e-6) == "1 - 2.50e-06"


# --- a real process ----------------------------------------------------------------------------


def test_interrupt_in_a_real_process_keeps_what_was_recorded(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "lazygram.cli", "train", "--data", "synthetic", "--n", "60"),
        *("--width", "4096", "--steps", "100000", "--record-every", "5", "--out", "r"),
        *("--checkpoint", "c.npz"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training"):
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.startswith("lazygram: interrupted after step ")
    assert len(err.splitlines()) == 1
    assert "written  r:" in out
    recorded = history(tmp_path / "r")
    done = json.loads((tmp_path / "r/summary.json").read_text())["run"]["steps_done"]
    assert 0 < len(recorded["step"]) == len(recorded["loss"])
    assert recorded["step"][-1] <= done < 100000
    assert (tmp_path / "r/figure.png").exists()
    resumed = [*command[:-1], str(tmp_path / "c.npz"), "--resume", str(tmp_path / "c.npz")]
    resumed[resumed.index("100000")] = str(done + 5)
    again = subprocess.run(resumed, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert again.returncode == 0, again.stderr
    assert history(tmp_path / "r")["step"][-1] == done + 5


# --- gram --------------------------------------------------------------------------------------


def test_gram_prints_and_writes() -> None:
    result = ok("gram", *SMALL, "--width", "500", "--seed", "3", "--out", "g.npz")
    with np.load("g.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    X = arrays["X"]
    c = np.clip(X @ X.T, -1, 1)
    H = c * (np.pi - np.arccos(c)) / (2 * np.pi)
    np.fill_diagonal(H, 0.5)
    np.testing.assert_allclose(arrays["H_inf"], H, atol=1e-14)
    active = lazygram.TwoLayerReLU(500, 6, seed=3).weights() @ X.T >= 0
    np.testing.assert_allclose(arrays["H_0"], X @ X.T * (active.T.astype(float) @ active) / 500, atol=1e-14)
    values = np.linalg.eigvalsh(H)
    row = next(line for line in result.stdout.splitlines() if line.startswith("H_inf"))
    name, *size, low, high, condition, proven = row.split()
    assert (name, size) == ("H_inf", ["12", "x", "12"])
    assert float(low) == pytest.approx(values[0], rel=1e-6)
    assert float(high) == pytest.approx(values[-1], rel=1e-6)
    assert float(condition) == pytest.approx(values[-1] / values[0], rel=1e-3)
    assert float(proven) <= values[0] * (1 + 1e-7)
    assert float(proven) > 0.999 * values[0]
    change = np.abs(np.linalg.eigvalsh(arrays["H_0"] - H)).max()
    assert f"||H_0 - H_inf||_2 = {change:.4g}" in result.stdout


def test_gram_of_both_layers_and_refusals() -> None:
    assert ok("gram", *SMALL, "--trained", "both").stdout.count("K_both") == 1
    assert "'--out': 'g.txt' must end in .npz" in refused("gram", *SMALL, "--out", "g.txt")
    message = refused("gram", *SMALL, "--trained", "both", "--width", "5")
    assert "--width computes H of the first layer" in message


# --- reproduce ---------------------------------------------------------------------------------


def test_reproduce_refuses() -> None:
    assert "fig2.1" in ok("reproduce", "--list").stdout
    assert "name an experiment, or all: fig2.1" in refused("reproduce")
    assert "no experiment 'fig9'; there are fig2.1" in refused("reproduce", "fig9")
    assert "no experiment 'fig9.*'" in refused("reproduce", "fig2.1,fig9.*")
    change = ("reproduce", "fig2.1", "--set")
    assert "--set widths=x: 'x' is not a whole number" in refused(*change, "widths=x")
    assert "--set thm9:widths=1: thm9 is none of" in refused(*change, "thm9:widths=1")
    assert "--set width=1: width is not a setting of fig2.1; it has n, dim" in refused(*change, "width=1")
    assert "--set step_size: name=value" in refused(*change, "step_size")
    assert "widths: must be positive" in refused(*change, "widths=0")
    assert "step_size: must be positive" in refused(*change, "step_size=0")
    assert "'--jobs'" in refused("reproduce", "fig2.1", "--jobs", "0")
    assert not Path("runs").exists()


def test_reproduce_lists_settings() -> None:
    told = ok("reproduce", "fig2.1", "--list").stdout
    assert "1000,2000,5000,10000" in told
    assert "not in the text" in told
