"""``python -m lazygram.selftest``: a few seconds of proof that an installed lazygram computes what it should.

Needs nothing beyond the bare package. Every check compares with a published number, a closed form or a few
lines of NumPy; the full test suite lives beside the sources.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

import lazygram
from lazygram import _core

__all__ = ["CHECKS", "main", "run_checks"]

Float64 = npt.NDArray[np.float64]

_EXTRAS = ("click", "rich", "matplotlib", "sklearn")


class CheckFailed(Exception):
    """A check found something wrong; the message says what."""


def _require(condition: bool, message: str) -> None:
    if not condition:  # not `assert`: python -O must not turn the checks off
        raise CheckFailed(message)


def _close(name: str, got: npt.ArrayLike, want: npt.ArrayLike, tolerance: float) -> None:
    """|got - want| <= tolerance in every entry."""
    error = float(np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)).max())
    _require(error <= tolerance, f"{name}: off by {error:.3g}, allowed {tolerance:.3g}")


def _inputs(shape: tuple[int, int], shift: int) -> Float64:
    """Inputs without a random generator: entry k is 1.3 sin(1.7 (k + 1) + shift)."""
    k = np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape)
    return np.asarray(1.3 * np.sin(1.7 * (k + 1.0) + shift))


@contextmanager
def _isa(level: str) -> Iterator[None]:
    """Compute at the named instruction-set level inside the block."""
    _core.isa_force(level)
    try:
        yield
    finally:
        _core.isa_force("")


def bare_import() -> None:
    """Importing lazygram loads none of the optional packages."""
    # Only meaningful where nothing else runs in this process, that is as `python -m lazygram.selftest`.
    loaded = [name for name in _EXTRAS if name in sys.modules]
    _require(not loaded, f"sys.modules holds {', '.join(loaded)}")


def philox_vectors() -> None:
    """Philox 4x32-10 gives the published test vectors."""
    # Known answers of Random123 (Salmon, Moraes, Dror, Shaw, SC 2011).
    f = 0xFFFFFFFF
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
    known = (
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([f] * 4, [f] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi[:4], pi[4:], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    )
    for counter, key, want in known:
        got = list(_core.philox4x32(counter, key))
        _require(got == want, f"counter {counter}, key {key}: got {got}")


def normal_weights() -> None:
    """Weights of a seed are standard normal, signs fair, both free of chunking."""
    network = lazygram.TwoLayerReLU(20_000, 10, seed=3)
    W = network.weights()
    count = W.size
    # Five standard errors of the first four moments of N(0, 1).
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        error = abs(float((W**power).mean()) - mean)
        _require(error <= 5 * np.sqrt(variance / count), f"moment {power} is off by {error:.3g}")
    _require(abs(float(network.signs.mean())) <= 5 / np.sqrt(network.width), "signs are biased")
    _require(set(np.unique(network.signs)) == {-1.0, 1.0}, "signs are not -1 and +1")
    rows = [0, 511, 512, 19_999]
    _require(np.array_equal(network.weights(rows), W[rows]), "single rows differ from the whole")


def coactivation_counts() -> None:
    """Co-activation counts equal a matrix product, exactly."""
    # Width 1000 does not fill its last panel of 512 neurons: padding must not be counted.
    for width in (1, 64, 1000):
        W, X = _inputs((width, 7), 1), _inputs((23, 7), 2)
        mask = X @ W.T >= 0.0
        patterns = lazygram.activation_patterns(W, X)
        _require(np.array_equal(patterns.to_bool(), mask), f"width {width}: a bit is wrong")
        naive = mask.astype(np.int64) @ mask.T.astype(np.int64)
        _require(np.array_equal(lazygram.coactivation_counts(patterns), naive), f"width {width}: counts")


def gram_at_finite_width() -> None:
    """H at finite width equals the sum over neurons."""
    W, X, X2 = _inputs((300, 5), 3), _inputs((9, 5), 4), _inputs((6, 5), 5)
    active, active2 = (X @ W.T >= 0.0).astype(np.float64), (X2 @ W.T >= 0.0).astype(np.float64)
    _close("H", lazygram.gram_finite(W, X), (X @ X.T) * (active @ active.T) / 300, 1e-13)
    _close("H(X, X2)", lazygram.gram_finite(W, X, X2), (X @ X2.T) * (active @ active2.T) / 300, 1e-13)


def gram_at_infinite_width() -> None:
    """H_inf and the NNGP kernel equal their closed forms, also at angles 0 and pi."""
    # Spherical directions at known angles, so that no arccos of a rounded product enters.
    angles = np.array([0.0, 1e-9, 1e-4, 0.3, np.pi / 2, 2.5, np.pi - 1e-4, np.pi])
    norms = np.array([1.0, 2.0, 0.5, 3.0, 1.0, 0.1, 2.0, 1.5])
    X = np.column_stack([np.cos(angles), np.sin(angles)]) * norms[:, None]
    theta = np.abs(angles[:, None] - angles[None, :])
    scale = norms[:, None] * norms[None, :]
    first = scale * np.cos(theta) * (np.pi - theta) / (2 * np.pi)
    second = scale * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    _close("H_inf", lazygram.gram_infinite(X), first, 1e-14)
    kernels = lazygram.two_layer_kernels(X)
    _close("NNGP", kernels.nngp, second, 1e-14)
    _close("NTK", kernels.ntk, first + second, 2e-14)
    diagonal = np.square(X).sum(axis=1) / 2
    _close("diagonal of H_inf", lazygram.gram_infinite(X).diagonal(), diagonal, 1e-15)


def deep_kernels() -> None:
    """Deep kernels of infinite width equal published values."""
    # K^(H) of softplus networks at these inputs, entries (0, 0) and (0, 1), to 12 decimals.
    X, images = _inputs((4, 3), 0), _inputs((2, 10), 3).reshape(2, 2, 5)
    checks = (
        (lazygram.FullyConnected(3), X, (0.524046009403, 0.426459166461)),
        (lazygram.ResNet(4), X, (0.013873359113, 0.009787746575)),
        (lazygram.ConvResNet(2, image=(5,)), images, (0.891613995921, 0.233174218135)),
    )
    for network, inputs, wanted in checks:
        _close(repr(network), network.last_hidden_gram(inputs)[0, :2], wanted, 1e-12)


def training() -> None:
    """Twenty steps of gradient descent equal a loop in NumPy."""
    X = _inputs((6, 4), 6)
    y = _inputs((1, 6), 7)[0]
    network = lazygram.TwoLayerReLU(64, 4, seed=5)
    W, a = network.weights(), network.signs
    eta, losses = 0.05, []
    for step in range(21):
        z = X @ W.T
        error = np.maximum(z, 0.0) @ a / 8.0 - y
        losses.append(0.5 * float(error @ error))
        if step < 20:
            W = W - eta / 8.0 * a[:, None] * (((z >= 0.0) * error[:, None]).T @ X)
    run = lazygram.train(network, X, y, 20, eta)
    _close("losses", run.history["loss"], losses, 1e-11 * losses[0])
    _require(run.network is not None, "no trained network")
    if run.network is not None:
        _close("weights", run.network.weights(), W, 1e-12)
    _require(float(run.history["loss"][-1]) < losses[0], "the loss did not fall")


def deep_networks() -> None:
    """Gram matrices of a deep network are those of its gradients; a step of training is one of NumPy."""
    from lazygram.networks import ResidualNetwork

    X, y = _inputs((5, 4), 12), _inputs((1, 5), 13)[0]
    network = ResidualNetwork(16, 4, 3, "tanh", seed=3)
    forward = network.forward(X)
    rows = [network.backward(forward, unit) for unit in np.eye(5)]
    for h, gram in enumerate(network.layer_grams(X)):
        jacobian = np.stack([row[h].ravel() for row in rows])
        _close(f"G of layer {h + 1}", gram, jacobian @ jacobian.T, 1e-13 * float(np.abs(gram).max()))
    a, moved = network.parameters[-1], 1e-5 * np.cos(np.arange(16.0))
    changed = network.with_parameters([*network.parameters[:-1], a + moved])
    slope = np.stack([row[-1] for row in rows]) @ moved  # f is linear in a
    _close("change of f", changed.predict(X) - forward.outputs, slope, 1e-13)
    run = lazygram.train(network, X, y, 1, 0.05, record=["loss"])
    for name, W, gradient, after in zip(
        network.parameter_names,
        network.parameters,
        network.backward(forward, forward.outputs - y),
        run.network.parameters,
        strict=True,
    ):
        _close(f"step of {name}", after, W - 0.05 * gradient, 1e-14)


def certified_bound() -> None:
    """The certified bound lies below the smallest eigenvalue, and close to it."""
    from lazygram.analysis import certified_lambda_min

    # Second difference matrix: smallest eigenvalue 4 sin^2(pi / (2 (n + 1))), about 0.0023.
    n = 64
    matrix = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    exact = 4.0 * np.sin(np.pi / (2 * (n + 1))) ** 2
    bound = certified_lambda_min(matrix)
    _require(bound <= exact * (1 + 1e-12), f"bound {bound} is above {exact}")
    _require(bound >= exact - 1e-10, f"bound {bound} is far below {exact}")


def isa_levels() -> None:
    """Every instruction-set level of this machine gives the same bits."""
    X = _inputs((40, 12), 8)
    network = lazygram.TwoLayerReLU(3000, 12, seed=9)
    results = {}
    for level in _core.isa_available():
        with _isa(level):
            patterns = network.patterns(X)
            results[level] = (
                network.weights(slice(0, 700)),
                lazygram.coactivation_counts(patterns),
                patterns.bits,
                lazygram.gram_infinite(X),
            )
    _require("baseline" in results, f"no baseline among {list(results)}")
    names = ("weights", "counts", "patterns")
    for level, (*exact, limit) in results.items():
        *reference, reference_limit = results["baseline"]
        for name, got, want in zip(names, exact, reference, strict=True):
            _require(np.array_equal(got, want), f"{name} at {level} differ from baseline")
        _close(f"H_inf at {level}", limit, reference_limit, 1e-13)


def thread_independence() -> None:
    """One thread and two give the same training run, bit for bit."""
    X, y = _inputs((20, 8), 10), _inputs((1, 20), 11)[0]
    network = lazygram.TwoLayerReLU(2000, 8, seed=1, dtype="float32")
    one, two = (lazygram.train(network, X, y, 5, 0.01, threads=k) for k in (1, 2))
    for name in ("loss", "predictions", "max_distance", "lambda_min"):
        _require(np.array_equal(one.history[name], two.history[name]), f"{name} differs")


CHECKS: tuple[Callable[[], None], ...] = (
    bare_import,
    philox_vectors,
    normal_weights,
    coactivation_counts,
    gram_at_finite_width,
    gram_at_infinite_width,
    deep_kernels,
    training,
    deep_networks,
    certified_bound,
    isa_levels,
    thread_independence,
)


def run_checks(checks: tuple[Callable[[], None], ...] = CHECKS) -> tuple[int, int]:
    """Run checks and print one line for each.

    Parameters
    ----------
    checks : tuple of callables
        Each raises an exception if it finds something wrong; the first line of its docstring is printed.

    Returns
    -------
    (int, int)
        How many passed, how many failed.
    """
    failed = 0
    for check in checks:
        title = (check.__doc__ or check.__name__).splitlines()[0].rstrip(".")
        began = time.perf_counter()
        try:
            check()
        except CheckFailed as error:
            failed += 1
            print(f"FAIL  {title}: {error}", flush=True)
        except Exception:  # a crash is a failed check; the others still run
            failed += 1
            print(f"FAIL  {title}", flush=True)
            traceback.print_exc()
        else:
            print(f"ok    {title} ({time.perf_counter() - began:.2f} s)", flush=True)
    return len(checks) - failed, failed


def main() -> int:
    """Run all checks; 0 if every one passed, else 1."""
    facts = lazygram.config()
    print(
        f"lazygram {facts['version']}, instruction set {facts['isa_used']} "
        f"(available: {', '.join(facts['isa_available'])}), {facts['threads']} threads"
    )
    passed, failed = run_checks()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
