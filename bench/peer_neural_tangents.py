"""Times neural-tangents on one case; run by the interpreter of an environment that has it (see harness.peer).

Prints a JSON list of seconds; with REPEATS 0 the seconds of one call for every line of its input. Usage:
``python peer_neural_tangents.py CASE REPEATS``, CASE one of gram N D M,
kernels N D, dual NAME N, deep_gram BLOCK D M DEPTH, fc N D DEPTH DTYPE, cntk N SIDE DEPTH POOLED DTYPE.
"""

from __future__ import annotations

import json
import sys
import time

import jax
import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def unit_rows(n: int, d: int) -> jax.Array:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    return jax.numpy.asarray(X / np.linalg.norm(X, axis=1, keepdims=True))


def gram(n: int, d: int, m: int):
    """Empirical NTK of the first layer of f = a . relu(W x) / sqrt(m)."""
    X = unit_rows(n, d)
    generator = np.random.default_rng(1)
    W = jax.numpy.asarray(generator.standard_normal((m, d)), jax.numpy.float32)
    a = jax.numpy.asarray(generator.choice([-1.0, 1.0], m), jax.numpy.float32)

    def f(weights, x):
        return (jax.nn.relu(x @ weights.T) @ a / m**0.5)[:, None]

    kernel = jax.jit(nt.empirical_ntk_fn(f, vmap_axes=0))
    return lambda: kernel(X, None, W).block_until_ready()


def kernels(n: int, d: int):
    """NNGP kernel and NTK of Dense - ReLU - Dense, float32."""
    _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    X = unit_rows(n, d)
    kernel = jax.jit(lambda x: kernel_fn(x, None, ("nngp", "ntk")))
    return lambda: jax.block_until_ready(tuple(kernel(X)))


def dual(name: str, n: int):
    """NNGP kernel and NTK through ElementwiseNumerical of degree 25, float64 as ours."""
    jax.config.update("jax_enable_x64", True)
    functions = {"softplus": jax.nn.softplus, "tanh": jax.numpy.tanh, "silu": jax.nn.silu}
    layer = stax.ElementwiseNumerical(functions[name], deg=25)
    _, _, kernel_fn = stax.serial(stax.Dense(1), layer, stax.Dense(1))
    X = jax.numpy.asarray(unit_rows(n, 16), jax.numpy.float64)
    kernel = jax.jit(lambda x: kernel_fn(x, None, ("nngp", "ntk")))
    return lambda: jax.block_until_ready(tuple(kernel(X)))


def deep_gram(block: int, d: int, m: int, depth: int):
    """Empirical NTK of a fully connected softplus network, all layers, between two blocks of examples."""
    X = unit_rows(2 * block, d)
    generator = np.random.default_rng(1)
    shapes = [(m, d), *([(m, m)] * (depth - 1)), (m,)]
    weights = [jax.numpy.asarray(generator.standard_normal(s), jax.numpy.float32) for s in shapes]

    def f(parameters, x):
        for W in parameters[:-1]:
            x = (1.0854865 / m) ** 0.5 * jax.nn.softplus(x @ W.T)
        return (x @ parameters[-1])[:, None]

    # The fastest of the three implementations on this case, at blocks of 50 examples and more.
    method = nt.NtkImplementation.NTK_VECTOR_PRODUCTS
    kernel = jax.jit(nt.empirical_ntk_fn(f, vmap_axes=0, implementation=method))
    return lambda: kernel(X[:block], X[block:], weights).block_until_ready()


def fc(n: int, d: int, depth: int, dtype: str):
    """NTK of a fully connected ReLU network."""
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    layers = [stax.Dense(1, W_std=2**0.5), stax.Relu()] * depth + [stax.Dense(1)]
    _, _, kernel_fn = stax.serial(*layers)
    X = jax.numpy.asarray(np.random.default_rng(0).standard_normal((n, d)), dtype)
    kernel = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    return lambda: kernel(X).block_until_ready()


def cntk(n: int, side: int, depth: int, pooled: int, dtype: str):
    """NTK of 3x3 ReLU convolutions with global average pooling or flattening."""
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    layers = [stax.Conv(1, (3, 3), padding="SAME", W_std=2**0.5), stax.Relu()] * depth
    layers += [stax.GlobalAvgPool() if pooled else stax.Flatten(), stax.Dense(1)]
    _, _, kernel_fn = stax.serial(*layers)
    X = jax.numpy.asarray(np.random.default_rng(0).standard_normal((n, side, side, 3)), dtype)
    kernel = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    return lambda: kernel(X).block_until_ready()


def main() -> None:
    case, repeats, *arguments = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    if case == "dual":
        call = dual(arguments[0], int(arguments[1]))
    elif case in ("fc", "cntk"):
        *sizes, dtype = arguments
        call = {"fc": fc, "cntk": cntk}[case](*(int(a) for a in sizes), dtype)
    else:
        make = {"gram": gram, "kernels": kernels, "deep_gram": deep_gram}[case]
        call = make(*(int(a) for a in arguments))
    if repeats == 0:
        for _ in sys.stdin:
            began = time.perf_counter()
            call()
            print(time.perf_counter() - began, flush=True)
        return
    call()  # compiles
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
