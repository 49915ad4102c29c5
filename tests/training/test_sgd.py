"""Minibatch SGD against the loop in plain NumPy on the same batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lazygram import TwoLayerReLU, train
from lazygram.training.dense import batch_indices

Loop = Callable[..., dict[str, np.ndarray]]


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_against_numpy(isa_level: str, problem, numpy_loop: Loop, layers: str, batch_size: int) -> None:  # type: ignore[no-untyped-def]
    X, y, X_test, _ = problem
    network = TwoLayerReLU(600, 9, seed=3)
    options = {"method": "sgd", "batch_size": batch_size, "seed": 77, "layers": layers, "X_test": X_test}
    run = train(network, X, y, 20, 0.05, **options)  # type: ignore[arg-type]
    expected = numpy_loop(
        network.weights(), network.signs, X, y, 20, 0.05,
        layers=layers, batch=lambda k: batch_indices(77, k, 12, batch_size), X_test=X_test,
    )  # fmt: skip
    for name in run.history:
        np.testing.assert_allclose(run.history[name], expected[name], rtol=1e-11, atol=1e-12, err_msg=name)
    assert run.network is not None
    np.testing.assert_allclose(run.network.weights(), expected["W"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.network.signs, expected["a"], rtol=0, atol=1e-12)
    # What is recorded does not change the path.
    sparse = train(network, X, y, 20, 0.05, record=["predictions"], record_every=7, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(sparse.history["step"], [0, 7, 14, 20])
    np.testing.assert_array_equal(sparse.history["predictions"], run.history["predictions"][[0, 7, 14, 20]])


def test_whole_batch_is_gradient_descent(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(600, 9, seed=3)
    sgd = train(network, X, y, 10, 0.2, method="sgd", batch_size=12)
    gd = train(network, X, y, 10, 0.2)
    for name in gd.history:
        np.testing.assert_array_equal(sgd.history[name], gd.history[name])


def test_batches() -> None:
    for step in range(50):
        batch = batch_indices(3, step, 10, 4)
        assert len(batch) == 4
        assert (np.diff(batch) > 0).all()  # without replacement, in order
        assert 0 <= batch[0] <= batch[-1] < 10
        np.testing.assert_array_equal(batch, batch_indices(3, step, 10, 4))
    drawn = np.concatenate([batch_indices(3, step, 10, 4) for step in range(3000)])
    # Each example is in 4 of 10 batches; the counts sum to 12000 and vary less than multinomial ones.
    counts = np.bincount(drawn, minlength=10)
    assert (np.abs(counts - 1200) < 4.5 * np.sqrt(3000 * 0.4 * 0.6)).all()
    pairs = [tuple(batch_indices(3, step, 5, 2)) for step in range(5000)]
    frequencies = [pairs.count((i, j)) for i in range(5) for j in range(i + 1, 5)]
    assert stats.chisquare(frequencies).pvalue > 1e-3
    assert any(not np.array_equal(batch_indices(3, s, 10, 4), batch_indices(4, s, 10, 4)) for s in range(5))


def test_auto_step_size_descends_on_average(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(800, 9, seed=2)
    M = X @ network.weights().T >= 0
    H = (X @ X.T) * (M.astype(float) @ M.T) / 800
    for size in (1, 4, 12):
        run = train(network, X, y, 150, method="sgd", batch_size=size, record=["loss"])
        worst = min(np.linalg.eigvalsh(H)[-1], size * H.diagonal().max()) * 12 / size
        assert run.summary["step_size"] == pytest.approx(1 / worst, rel=1e-9)
        assert run.history["loss"][-1] < 0.6 * run.history["loss"][0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "sgd"}, "batch_size: is needed for method 'sgd'"),
        ({"method": "sgd", "batch_size": 13}, "batch_size: at most the number of examples, 12, got 13"),
        ({"method": "sgd", "batch_size": 0}, "batch_size: must be positive"),
        ({"batch_size": 3}, "batch_size: only for method 'sgd', got method 'gd'"),
        ({"method": "sgd", "batch_size": 3, "seed": -1}, "seed: must not be negative"),
    ],
)
def test_bad_options(problem, options: dict[str, object], text: str) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    with pytest.raises(ValueError, match=text):
        train(TwoLayerReLU(10, 9), X, y, 1, 0.1, **options)  # type: ignore[arg-type]
