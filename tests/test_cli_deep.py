"""``lazygram train --arch``: what it writes and prints for deep networks, and how it refuses."""

from __future__ import annotations

import json
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
from lazygram.analysis import FrozenDynamics
from lazygram.architectures import FullyConnected
from lazygram.cli.app import cli
from lazygram.data import load_dataset
from lazygram.networks import ConvResidualNetwork, DeepReLUNetwork, FullyConnectedNetwork, ResidualNetwork

SMALL = ["--data", "synthetic", "--n", "6", "--dim", "9", "--steps", "4", "--width", "16"]
FILES = {"figure.png", "history.npz", "predicted.npz", "summary.json"}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["train", *arguments], prog_name="lazygram")
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
    return lines[0]


def arrays(file: str) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("arch", ["fc", "resnet", "conv-resnet"])
def test_quadratic_loss_is_written_with_its_linearised_network(arch: str) -> None:
    result = ok("--arch", arch, *SMALL, "--depth", "2", "--n-test", "3", "--out", "r", "--save-weights")
    assert {path.name for path in Path("r").iterdir()} == FILES | {"weights.npz"}
    assert Path("r/figure.png").read_bytes().startswith(b"\x89PNG")
    history, predicted = arrays("r/history.npz"), arrays("r/predicted.npz")
    np.testing.assert_array_equal(history["step"], np.arange(5))
    assert history["layer_lambda_min"].shape == history["layer_distance"].shape == (5, 3)
    assert history["pattern_change"].shape == (5, 2)

    # The initial network by its class, and the frozen dynamics of its Gram matrix in closed form.
    data = load_dataset("synthetic", n=6, dim=9, n_test=3)
    X, X_test = data.X, data.X_test
    if arch == "conv-resnet":
        network = ConvResidualNetwork(16, 1, (3, 3), 2)
        X, X_test = X.reshape(-1, 1, 3, 3), X_test.reshape(-1, 1, 3, 3)
    else:
        network = {"fc": FullyConnectedNetwork, "resnet": ResidualNetwork}[arch](16, 9, 2)
    u0 = network.predict(X)
    np.testing.assert_allclose(history["predictions"][0], u0, rtol=1e-12)
    np.testing.assert_allclose(history["test_predictions"][0], network.predict(X_test), rtol=1e-12)
    eta = json.loads(str(history["summary"]))["step_size"]
    frozen = FrozenDynamics(network.gram(X), u0, data.y).gd(eta, range(5))
    np.testing.assert_allclose(predicted["predictions_initial"], frozen, rtol=1e-8, atol=1e-10)
    gap = np.linalg.norm(history["predictions"] - frozen, axis=1) / np.linalg.norm(u0 - data.y)
    np.testing.assert_allclose(predicted["distance_initial"], gap, rtol=1e-6, atol=1e-12)
    assert predicted["test_distance_infinite"].shape == (5,)

    weights = arrays("r/weights.npz")
    assert list(weights) == ["W1", "W2", "a"]
    moved = np.linalg.norm(weights["W1"] - network.parameters[0])
    assert history["layer_distance"][-1, 0] == pytest.approx(moved, rel=1e-9)

    summary = json.loads(Path("r/summary.json").read_text())
    sources = {row["source"] for row in summary["theory"]}
    assert {"fc": "Thm 3.1", "resnet": "Thm 3.2", "conv-resnet": "Thm 3.3"}[arch] in sources
    rate = next(row for row in summary["theory"] if row["condition"].startswith("L(k) <= (1-eta lam/2)^k"))
    assert rate["predicted"] == pytest.approx(1 - eta * summary["lambda"] / 2)
    assert summary["linearised_distance"]["distance_initial"] == pytest.approx(gap.max(), rel=1e-6)
    assert set(summary["kernel_predictor_distance"]) <= {"initial", "infinite"}
    for text in ("lambda_min(K^(H))", "frozen", "L(k) <= (1-eta lam/2)^k L(0)"):
        assert text in result.stdout


@pytest.mark.parametrize("loss", ["squared-hinge", "exponential"])
def test_deep_relu_with_every_loss(loss: str) -> None:
    np.savez("d.npz", X=np.eye(6)[:, :5] + 0.3, y=[1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    common = ["--arch", "deep-relu", "--data", "d.npz", "--task", "classes", "--width", "16", "--steps", "3"]
    result = ok(*common, "--loss", loss, "--step-size", "0.01", "--out", "r")
    assert {path.name for path in Path("r").iterdir()} == FILES
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["run"]["loss"] == loss.replace("-", "_")
    assert summary["run"]["reduction"] == "mean"
    assert summary["lambda"] is None
    assert "Thm 5.1 (ii)" in {row["source"] for row in summary["theory"]}
    assert "phi/2" in result.stdout
    history = arrays("r/history.npz")
    assert history["layer_movement_op"].shape == (4, 3)
    data = load_dataset("d.npz", task="classes")
    u0 = DeepReLUNetwork(16, 5, 3).predict(data.X)
    np.testing.assert_allclose(history["predictions"][0], u0, rtol=1e-12)


def test_sgd() -> None:
    sgd = [
        "--arch",
        "fc",
        *SMALL,
        "--method",
        "sgd",
        "--batch-size",
        "2",
        "--step-size",
        "0.05",
        "--seed",
        "3",
    ]
    ok(*sgd, "--out", "r")
    predicted = arrays("r/predicted.npz")
    assert predicted["distance_initial"][0] == pytest.approx(0.0, abs=1e-12)
    # The linearised network saw the same batches: it stays beside the network.
    assert 0.0 < predicted["distance_initial"].max() < 0.3
    # The theorems are about full batches: what is left is about the initial network.
    rows = json.loads(Path("r/summary.json").read_text())["theory"]
    assert {row["source"].split(",")[0] for row in rows} == {
        "Prop 3.1", "Lemma 3.1", "Lemma 3.2", "Lemma 3.4", "Thm 3.1", "Thm 3.4",
    }  # fmt: skip
    assert not [row for row in rows if row["condition"].startswith("L")]


def test_flow() -> None:
    ok("--arch", "resnet", *SMALL, "--method", "flow", "--step-size", "0.05", "--out", "f")
    # The linearised network in closed form: u(t) = y + exp(-K t) (u(0) - y).
    predicted, data = arrays("f/predicted.npz"), load_dataset("synthetic", n=6, dim=9)
    network = ResidualNetwork(16, 9, 3)
    K, u0 = network.gram(data.X), network.predict(data.X)
    frozen = FrozenDynamics(K, u0, data.y).flow(0.05 * predicted["step"])
    np.testing.assert_allclose(predicted["predictions_initial"], frozen, rtol=1e-7, atol=1e-7)
    assert "L(t) <= exp(-lam t) L(0)" in Path("f/summary.json").read_text()


def test_schedules_and_factors() -> None:
    """Decreasing steps and per-layer step sizes, against the same call of `train`; a frozen layer stays."""
    options = [
        "--step-size",
        "0.05",
        "--decay",
        "0.75",
        "--decay-delay",
        "2",
        "--layer-step-sizes",
        "1,0,0.5",
    ]
    ok("--arch", "fc", *SMALL, *options, "--n-test", "3", "--save-weights", "--out", "r")
    data = load_dataset("synthetic", n=6, dim=9, n_test=3)
    network = FullyConnectedNetwork(16, 9, 2)
    sizes = [0.05 * (1 + k / 2) ** -0.75 for k in range(4)]
    run = lazygram.train(network, data.X, data.y, 4, sizes, layer_step_sizes=[1.0, 0.0, 0.5])
    history, weights, predicted = arrays("r/history.npz"), arrays("r/weights.npz"), arrays("r/predicted.npz")
    np.testing.assert_allclose(history["predictions"], run.history["predictions"], rtol=1e-12)
    np.testing.assert_array_equal(weights["W2"], network.parameters[1])
    # The linearised network moves by the layers' Gram matrices times their factors.
    G = network.layer_grams(data.X)
    K, u = G[0] + 0.5 * G[2], network.predict(data.X)
    for k, eta in enumerate(sizes):
        np.testing.assert_allclose(predicted["predictions_initial"][k], u, rtol=1e-10)
        u = u - eta * K @ (u - data.y)
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["run"]["schedule"] == "0.05 (1 + k/2)^-0.75"
    auto = ok("--arch", "fc", *SMALL, "--decay", "0.6", "--out", "a").stdout
    plain = lazygram.train(network, data.X, data.y, 0, "auto").summary["step_size"]
    assert f"4 steps of {plain:.6g} (1 + k/1)^-0.6" in auto
    assert "exp(-lam t/2)" in auto


@pytest.mark.parametrize("arch", ["fc", "deep-relu"])
def test_the_initial_distance_from_the_limit_is_written(arch: str) -> None:
    options = ["--loss", "quadratic"] if arch == "deep-relu" else []
    result = ok("--arch", arch, *SMALL, *options, "--depth", "2", "--n-test", "2", "--out", "r")
    data = load_dataset("synthetic", n=6, dim=9, n_test=2)
    if arch == "fc":
        network, limit = FullyConnectedNetwork(16, 9, 2), FullyConnected(2, "softplus").layer_grams(data.X)
    else:
        network = DeepReLUNetwork(16, 9, 2)
        limit = [8 * K for K in FullyConnected(2, "relu").layer_grams(data.X)[:2]]
    written = json.loads(Path("r/summary.json").read_text())["initial_gram"]
    assert list(written) == network.parameter_names
    for name, G, K in zip(written, network.layer_grams(data.X), limit, strict=True):
        assert written[name]["distance_to_limit"] == pytest.approx(np.linalg.norm(G - K, 2), rel=1e-6)
        assert written[name]["limit_lambda_min"] == pytest.approx(np.linalg.eigvalsh(K)[0], rel=1e-6)
    assert "distance of G^(h)(0) from its infinite-width limit: W1 " in result.stdout
    predicted = arrays("r/predicted.npz")
    assert predicted["test_predictions_infinite"].shape == (5, 2)


def test_a_resumed_run_is_the_whole_run() -> None:
    common = ["--arch", "fc", *SMALL, "--step-size", "0.05"]
    ok(*common, "--out", "whole")
    first = list(common)
    first[first.index("--steps") + 1] = "2"
    ok(*first, "--checkpoint", "c.npz", "--out", "half")
    ok(*common, "--resume", "c.npz", "--out", "rest")
    np.testing.assert_array_equal(
        arrays("rest/history.npz")["predictions"], arrays("whole/history.npz")["predictions"]
    )


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle of SGD with a schedule: the checkpoint leads to the very same weights."""
    np.savez("d.npz", X=np.eye(8) + 0.3, y=[1.0, -1.0] * 4)
    common = [
        "--arch",
        "deep-relu",
        "--data",
        "d.npz",
        "--task",
        "classes",
        "--width",
        "16",
        "--steps",
        "3000",
    ]
    common += [
        "--method",
        "sgd",
        "--batch-size",
        "3",
        "--step-size",
        "0.01",
        "--decay",
        "0.6",
        "--save-weights",
    ]
    common += ["--record-every", "500"]
    command = [sys.executable, "-m", "lazygram.cli", "train", *common, "--out", "killed"]
    process = subprocess.Popen(
        [*command, "--checkpoint", "c.npz", "--checkpoint-every", "20"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not Path("c.npz").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(Path("killed").glob("*"))
    ok(*common, "--resume", "c.npz", "--out", "rest")
    ok(*common, "--out", "whole")
    rest, whole = arrays("rest/weights.npz"), arrays("whole/weights.npz")
    for name in whole:
        np.testing.assert_array_equal(rest[name], whole[name])


def test_a_diverging_run_keeps_its_history() -> None:
    result = run("--arch", "fc", *SMALL, "--activation", "identity", "--step-size", "10", "--out", "r")
    assert result.exit_code == 3
    assert "diverged" in result.stderr
    assert {path.name for path in Path("r").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "fc", "--layers", "both"], "--layers is for --arch two-layer, not fc"),
        (["--arch", "fc", "--antisymmetric"], "--antisymmetric is for --arch two-layer"),
        (["--arch", "resnet", "--method", "event"], "--method event is for --arch two-layer; resnet has"),
        (["--arch", "fc", "--c-res", "0.5"], "--c-res is for resnet, conv-resnet, not fc"),
        (["--arch", "deep-relu", "--activation", "tanh"], "--activation is for fc, resnet, conv-resnet"),
        (["--arch", "resnet", "--image", "3x3"], "--image is for conv-resnet, not resnet"),
        (["--arch", "conv-resnet", "--patch", "2"], "--patch: an odd number is needed, got 2"),
        (["--arch", "conv-resnet", "--image", "2x3"], "--image: 1x2x3 are not 9 numbers"),
        (["--arch", "conv-resnet", "--image", "3"], "'3' is not HEIGHTxWIDTH"),
        (["--arch", "conv-resnet", "--dim", "10"], "--image: 10 numbers are no square"),
        (["--arch", "deep-relu", "--width", "15"], "--arch deep-relu needs an even --width, got 15"),
        (["--arch", "fc", "--method", "sgd"], "--method sgd needs --batch-size"),
        (["--arch", "fc", "--batch-size", "2"], "--batch-size is for --method sgd"),
        (["--arch", "fc", "--method", "flow", "--dtype", "float32"], "integrated in double precision"),
        (["--arch", "fc", "--layer-step-sizes", "1,2"], "--layer-step-sizes: 3 numbers are needed"),
        (["--arch", "fc", "--layer-step-sizes", "0,0,0"], "not all 0, for W1, W2, a"),
        (["--arch", "fc", "--layer-step-sizes", "1,x,1"], "'1,x,1' is not numbers with commas between"),
        (["--arch", "fc", "--layer-step-sizes", "1,-1,1"], "factors must be finite and not negative"),
        (["--arch", "fc", "--decay-delay", "5"], "--decay-delay needs --decay POWER"),
        (["--arch", "fc", "--method", "flow", "--decay", "1"], "--decay is for gd and sgd"),
        (["--arch", "two-layer", "--decay", "1"], "--decay is for deep networks"),
        (["--arch", "fc", "--activation", "swoosh"], "swoosh"),
        (["--arch", "fc", "--loss", "hinge", "--step-size", "auto"], "labels -1 and +1"),
        (["--arch", "fc", "--width", "300000"], "of memory, this machine has"),
        (["--arch", "two-layer", "--depth", "2"], "--depth is for deep networks"),
        (["--loss", "hinge"], "--loss hinge is for deep networks"),
        (["--arch", "mlp"], "'mlp' is not one of"),
    ],
)
def test_bad_combinations_are_named(arguments: list[str], message: str) -> None:
    given = list(SMALL)
    for name in ("--width", "--dim"):  # the case's own value, if it has one
        if name in arguments:
            at = given.index(name)
            del given[at : at + 2]
    assert message in refused(*given, *arguments)
    assert {path.name for path in Path().rglob("*")} <= {"runs"}


def test_two_layer_stays_what_it_was() -> None:
    plain = ok(*SMALL, "--out", "a").stdout.replace("a:", "X:")
    named = ok("--arch", "two-layer", *SMALL, "--out", "b").stdout.replace("b:", "X:")
    assert plain.splitlines()[:3] == named.splitlines()[:3]
    for name in ("loss", "lambda_min", "predictions"):
        np.testing.assert_array_equal(arrays("a/history.npz")[name], arrays("b/history.npz")[name])
