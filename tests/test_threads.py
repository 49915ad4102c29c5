"""No result depends on the number of threads: bit for bit, at every instruction-set level."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import lazygram
from lazygram import TwoLayerReLU, train
from lazygram.parallel import check_threads, single_threaded_blas


def results(threads: int | None, dtype: str) -> dict[str, np.ndarray]:
    """Everything that takes `threads`, on more panels and tiles than threads."""
    rng = np.random.default_rng(3)
    X, X2 = rng.normal(size=(270, 7)).astype(dtype), rng.normal(size=(140, 7)).astype(dtype)
    y = rng.normal(size=270)
    network = TwoLayerReLU(3000, 7, seed=1, dtype=dtype)
    W = network.weights()
    t = {"threads": threads}
    patterns = lazygram.activation_patterns(W, X, **t)
    others = network.patterns(X2, **t)
    out = {
        "patterns": patterns.bits,
        "seeded patterns": lazygram.activation_patterns(X=X, width=3000, seed=1, **t).bits,
        "count": patterns.count(**t),
        "flips": patterns.flips(patterns[::-1], **t),
        "counts": lazygram.coactivation_counts(patterns, **t),
        "counts of two": lazygram.coactivation_counts(patterns, others, **t),
        "finite": lazygram.gram_finite(W, X, **t),
        "finite of two": lazygram.gram_finite(W, X, X2, **t),
        "gram": network.gram(X, X2, **t),
        "predict": network.predict(X, **t),
        "kernels": np.stack(lazygram.two_layer_kernels(X, **t)),
    }
    for trained in ("first", "second", "both"):
        out[f"infinite {trained}"] = lazygram.gram_infinite(X, X2, trained=trained, **t)  # type: ignore[arg-type]
    for layers in ("first", "both"):
        for method, batch in (("gd", None), ("sgd", 20), ("flow", None)):
            if method == "flow" and (dtype == "float32" or layers == "both"):
                continue
            run = train(
                network,
                X[:30],
                y[:30],
                3,
                0.01,
                method=method,
                batch_size=batch,
                layers=layers,
                X_test=X2[:9],
                **t,  # type: ignore[arg-type]
            )
            assert run.network is not None
            out |= {f"{method} {layers} {name}": values for name, values in run.history.items()}
            out |= {f"{method} {layers} W": run.network.weights(), f"{method} {layers} a": run.network.signs}
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_thread_equals_two_and_three(isa_level: str, dtype: str) -> None:
    one = results(1, dtype)
    for threads in (2, 3, None):
        other = results(threads, dtype)
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=f"{name}, threads {threads}")


def test_the_threads_of_blas_do_not_matter(rng: np.random.Generator) -> None:
    X = rng.normal(size=(300, 200))
    network = TwoLayerReLU(1500, 200, seed=1)
    with threadpool_limits(1, user_api="blas"):
        one = network.gram(X), network.predict(X)
    with threadpool_limits(4, user_api="blas"):
        four = network.gram(X), network.predict(X)
    for a, b in zip(one, four, strict=True):
        np.testing.assert_array_equal(a, b)


def test_blas_gets_its_threads_back() -> None:
    def blas_threads() -> list[int]:
        return [library["num_threads"] for library in lazygram.config()["blas"]]

    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert before
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        with pytest.raises(KeyError), single_threaded_blas():
            raise KeyError
        assert blas_threads() == before


def test_check_threads() -> None:
    assert check_threads(None) == 0
    assert check_threads(3) == 3
    for bad, kind in (
        (0, ValueError),
        (-1, ValueError),
        (10**6, ValueError),
        (1.0, TypeError),
        (True, TypeError),
    ):
        with pytest.raises(kind, match="threads: "):
            check_threads(bad)  # type: ignore[arg-type]
