"""Writes neural_tangents.json: small kernels of neural-tangents, for layers that both packages have.

    python tests/kernels/make_neural_tangents.py     needs neural-tangents 0.6.5 with jax 0.4.23, numpy < 2

Layers are the tuples of oracle.py. Inputs are ``1.3 sin(1.7 (k + 1) + 0.3)`` at flat index k, so that the
file holds the kernels alone; float64 throughout.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import jax
import neural_tangents as nt
import numpy as np
from neural_tangents import stax

ACTIVATIONS = {
    "relu": lambda: stax.Relu(do_stabilize=False),
    "leaky_relu": lambda: stax.LeakyRelu(0.01, do_stabilize=False),
    "abs": lambda: stax.Abs(do_stabilize=False),
    "erf": stax.Erf,
    "gelu": stax.Gelu,
    "sin": stax.Sin,
    "cos": stax.Cos,
    "exp": stax.Exp,
    "gaussian": lambda: stax.Gaussian(1.0, -0.5),
    "monomial": lambda: stax.Monomial(2),
    "identity": stax.Identity,
}


def build(layers, parameterisation):
    return stax.serial(*(one(layer, parameterisation) for layer in layers))


def one(layer, parameterisation):
    kind, *rest = layer
    settings = {"parameterization": parameterisation}
    if kind == "dense":
        w_std, b_std, width = rest
        return stax.Dense(width or 1, w_std, b_std, **settings)
    if kind == "conv":
        window, stride, padding, w_std, b_std, width = rest
        return stax.Conv(width or 1, tuple(window), tuple(stride), padding, w_std, b_std, **settings)
    if kind == "act":
        return ACTIVATIONS[rest[0]]()
    if kind == "flatten":
        return stax.Flatten()
    if kind == "gap":
        return stax.GlobalAvgPool()
    if kind == "avgpool":
        window, stride, padding = rest
        return stax.AvgPool(tuple(window), tuple(stride), padding)
    if kind == "layernorm":
        axes, eps = rest
        return stax.LayerNorm(-1 if axes == "channels" else axes, eps)
    if kind in ("sum", "product", "concat"):
        branches = rest[0]
        join = {"sum": stax.FanInSum, "product": stax.FanInProd, "concat": stax.FanInConcat}[kind]()
        parallel = stax.parallel(*(build(b, parameterisation) if b else stax.Identity() for b in branches))
        return stax.serial(stax.FanOut(len(branches)), parallel, join)
    assert kind == "dropout", kind
    return stax.Dropout(1 - rest[0], mode="train")


def dense(w_std=1.0, b_std=None, width=None):
    return ("dense", w_std, b_std, width)


def conv(window, stride=1, padding="SAME", w_std=1.0, b_std=None, width=None):
    strides = stride if isinstance(stride, list) else [stride] * len(window)
    return ("conv", window, strides, padding, w_std, b_std, width)


def act(name):
    return ("act", name)


FLAT = [("flatten",), dense()]
RELU = act("relu")
BLOCK = ("sum", [[], [RELU, dense(1.2, 0.1), act("erf"), dense(0.7)]])
CONV_BLOCK = ("sum", [[], [RELU, conv([3, 3], w_std=1.3), RELU, conv([3, 3], w_std=0.8, b_std=0.1)]])

# id: shape of X, layers, parameterisation
CASES = {
    "dense-relu-3": ([5, 4], [dense(1.4, 0.3), RELU, dense(1.4, 0.3), RELU, dense(1.1)], "ntk"),
    "dense-erf-bias": ([5, 4], [dense(1.5, 0.2), act("erf"), dense(0.9, 0.4)], "ntk"),
    "dense-leaky-relu": ([5, 4], [dense(1.4), act("leaky_relu"), dense()], "ntk"),
    "dense-abs": ([5, 4], [dense(1.4), act("abs"), dense()], "ntk"),
    "dense-gelu": ([5, 4], [dense(1.4), act("gelu"), dense(1.2, 0.1), act("gelu"), dense()], "ntk"),
    "dense-sin": ([5, 4], [dense(1.4), act("sin"), dense()], "ntk"),
    "dense-cos": ([5, 4], [dense(1.4), act("cos"), dense()], "ntk"),
    "dense-exp": ([5, 4], [dense(0.7), act("exp"), dense()], "ntk"),
    "dense-identity": ([5, 4], [dense(0.7), act("identity"), dense(1.2, 0.3)], "ntk"),
    "dense-gaussian": ([5, 4], [dense(1.4), act("gaussian"), dense(1.2, 0.1)], "ntk"),
    "dense-monomial": ([5, 4], [dense(0.9), act("monomial"), dense(1.2, 0.1)], "ntk"),
    "dense-layernorm": ([5, 4], [dense(1.4, 0.3), ("layernorm", "channels", 1e-3), RELU, dense()], "ntk"),
    "dense-dropout": ([5, 4], [dense(1.4), RELU, ("dropout", 0.3), dense(1.2, 0.1), RELU, dense()], "ntk"),
    "dense-residual": ([5, 4], [dense(), BLOCK, BLOCK, RELU, dense()], "ntk"),
    "dense-three-branches": (
        [5, 4],
        [dense(), ("sum", [[RELU, dense(0.5)], [], [act("erf"), dense(0.9, 0.2)]]), RELU, dense()],
        "ntk",
    ),
    "dense-product": (
        [5, 4],
        [dense(), ("product", [[RELU, dense(0.5)], [act("erf"), dense(0.9, 0.2)]]), dense()],
        "ntk",
    ),
    "dense-concat": (
        [5, 4],
        [
            dense(1.2, None, 30),
            ("concat", [[RELU, dense(0.5, None, 10)], [act("erf"), dense(0.9, 0.2, 40)], []]),
            dense(),
            RELU,
            dense(),
        ],
        "ntk",
    ),
    "dense-standard": (
        [5, 4],
        [dense(1.4, 0.3, 30), RELU, dense(1.2, None, 50), act("erf"), dense(0.9, 0.0, 1)],
        "standard",
    ),
    "dense-standard-branches": (
        [5, 4],
        [
            dense(1.2, 0.1, 30),
            RELU,
            ("sum", [[dense(0.7, 0.2, 20), RELU, dense(0.9, None, 20)], [dense(0.5, 0.0, 20)]]),
            ("product", [[RELU, dense(0.5, 0.1, 10)], [act("erf"), dense(0.9, 0.2, 10)]]),
            dense(1.1, 0.0, 15),
            ("dropout", 0.2),
            dense(0.8, 0.1, 1),
        ],
        "standard",
    ),
    "dense-standard-concat": (
        [5, 4],
        [
            dense(1.2, 0.1, 30),
            ("concat", [[RELU, dense(0.5, None, 10)], [act("erf"), dense(0.9, 0.2, 40)]]),
            dense(1.1, 0.0, 15),
            ("layernorm", "channels", 1e-3),
            RELU,
            dense(0.8, 0.1, 1),
        ],
        "standard",
    ),
    "conv1d-strides": (
        [3, 2, 8],
        [
            conv([3], 2, "CIRCULAR", 1.4),
            RELU,
            conv([2], 3, "SAME", 1.2, 0.1),
            act("erf"),
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv1d-pools": (
        [3, 2, 8],
        [
            conv([3], w_std=1.4),
            RELU,
            ("avgpool", [3], [2], "SAME"),
            conv([2], w_std=1.2),
            RELU,
            ("avgpool", [2], [1], "CIRCULAR"),
            dense(1.1),
            RELU,
            ("avgpool", [2], [1], "VALID"),
            *FLAT,
        ],
        "ntk",
    ),
    "conv1d-layernorm": (
        [3, 2, 6],
        [conv([3], b_std=0.3), ("layernorm", "channels", 1e-3), RELU, conv([2]), RELU, *FLAT],
        "ntk",
    ),
    "conv2d-unequal-strides": (
        [2, 2, 5, 4],
        [conv([3, 2], [1, 2], "VALID", 1.4, 0.1), RELU, conv([2, 2], [2, 1], "CIRCULAR"), RELU, *FLAT],
        "ntk",
    ),
    "conv2d-concat": (
        [2, 2, 3, 4],
        [
            conv([3, 3], 1, "SAME", 1.3, None, 10),
            (
                "concat",
                [
                    [RELU, conv([3, 3], 1, "SAME", 0.8, None, 10)],
                    [act("erf"), conv([1, 1], 1, "SAME", 1.1, 0.1, 30)],
                ],
            ),
            conv([2, 2], 1, "VALID"),
            RELU,
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv2d-product": (
        [2, 2, 3, 4],
        [
            conv([3, 3], w_std=1.3),
            ("product", [[RELU, conv([3, 3])], [act("erf"), conv([3, 3], b_std=0.2)]]),
            conv([2, 2]),
            RELU,
            *FLAT,
        ],
        "ntk",
    ),
    "conv2d-standard-valid-dropout": (
        [2, 2, 4, 4],
        [
            conv([3, 3], 1, "VALID", 1.4, 0.3, 6),
            ("layernorm", "channels", 1e-3),
            RELU,
            ("dropout", 0.3),
            conv([2, 2], 1, "CIRCULAR", 1.2, 0.0, 5),
            RELU,
            ("gap",),
            dense(0.9, 0.2, 1),
        ],
        "standard",
    ),
    "conv1d-flatten": ([3, 2, 7], [conv([3], w_std=1.4, b_std=0.2), RELU, conv([3]), RELU, *FLAT], "ntk"),
    "conv1d-circular-pool": (
        [3, 2, 7],
        [
            conv([3], padding="CIRCULAR", w_std=1.4),
            act("erf"),
            conv([3], padding="CIRCULAR"),
            RELU,
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv1d-even-window": ([3, 2, 7], [conv([4], w_std=1.4), RELU, conv([2], 2), RELU, *FLAT], "ntk"),
    "conv1d-stride-valid": (
        [3, 2, 9],
        [conv([3], 2, "VALID", 1.4, 0.1), RELU, conv([2], 1, "VALID"), RELU, ("gap",), dense()],
        "ntk",
    ),
    "conv2d-flatten": (
        [3, 2, 4, 5],
        [conv([3, 3], w_std=1.4, b_std=0.2), RELU, conv([3, 3]), act("erf"), *FLAT],
        "ntk",
    ),
    "conv2d-pool": (
        [3, 2, 4, 5],
        [conv([3, 3], w_std=1.4, b_std=0.2), RELU, conv([3, 2], w_std=1.2), RELU, ("gap",), dense()],
        "ntk",
    ),
    "conv2d-avgpool": (
        [3, 2, 4, 6],
        [
            conv([3, 3], w_std=1.4),
            RELU,
            ("avgpool", [2, 2], [2, 2], "VALID"),
            conv([3, 3], b_std=0.1),
            RELU,
            *FLAT,
        ],
        "ntk",
    ),
    "conv2d-avgpool-same": (
        [3, 2, 4, 5],
        [
            conv([3, 3]),
            RELU,
            ("avgpool", [3, 2], [2, 1], "SAME"),
            conv([1, 1], b_std=0.1),
            RELU,
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv2d-avgpool-circular": (
        [3, 2, 4, 5],
        [conv([3, 3]), RELU, ("avgpool", [3, 3], [1, 2], "CIRCULAR"), dense(), RELU, ("gap",), dense()],
        "ntk",
    ),
    "conv2d-stride": (
        [3, 2, 5, 6],
        [conv([3, 3], 2, w_std=1.4), RELU, conv([2, 2], 2, b_std=0.2), RELU, *FLAT],
        "ntk",
    ),
    "conv2d-residual-pool": ([2, 2, 4, 4], [conv([3, 3]), CONV_BLOCK, RELU, ("gap",), dense()], "ntk"),
    "conv2d-residual-flatten": ([2, 2, 4, 4], [conv([3, 3]), CONV_BLOCK, RELU, *FLAT], "ntk"),
    "conv2d-layernorm": (
        [2, 2, 4, 4],
        [
            conv([3, 3], b_std=0.2),
            ("layernorm", "channels", 1e-4),
            RELU,
            conv([3, 3]),
            RELU,
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv2d-layernorm-pixels": (
        [2, 2, 4, 4],
        [
            conv([3, 3], b_std=0.2),
            ("layernorm", [1, 2, 3], 1e-4),
            RELU,
            conv([3, 3]),
            RELU,
            ("gap",),
            dense(),
        ],
        "ntk",
    ),
    "conv2d-dropout": (
        [2, 2, 4, 4],
        [conv([3, 3]), RELU, ("dropout", 0.4), conv([3, 3]), RELU, ("gap",), dense()],
        "ntk",
    ),
    "conv2d-dense-on-channels": (
        [2, 2, 4, 4],
        [dense(1.4), RELU, conv([3, 3]), RELU, dense(), RELU, ("gap",), dense()],
        "ntk",
    ),
    "conv2d-standard": (
        [2, 2, 4, 4],
        [
            conv([3, 3], 1, "SAME", 1.4, 0.3, 6),
            RELU,
            conv([3, 3], 1, "SAME", 1.2, None, 5),
            RELU,
            ("flatten",),
            dense(0.9, 0.2, 1),
        ],
        "standard",
    ),
    "conv2d-standard-pool": (
        [2, 2, 4, 4],
        [
            conv([3, 3], 1, "SAME", 1.4, 0.3, 6),
            RELU,
            conv([2, 2], 2, "VALID", 1.2, None, 5),
            RELU,
            ("gap",),
            dense(0.9, 0.2, 1),
        ],
        "standard",
    ),
}


def inputs(shape):
    flat = np.arange(np.prod(shape))
    return (1.3 * np.sin(1.7 * (flat + 1) + 0.3)).reshape(shape)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    made = {}
    for name, (shape, layers, parameterisation) in CASES.items():
        X = np.moveaxis(inputs(shape), 1, -1)  # channels last
        kernel_fn = build(layers, parameterisation)[2]
        square = kernel_fn(X, None, ("nngp", "ntk"))
        block = kernel_fn(X[:2], X[1:], ("nngp", "ntk"))
        made[name] = {
            "shape": shape,
            "layers": layers,
            "parameterisation": parameterisation,
            **{key: np.asarray(getattr(square, key)).tolist() for key in ("nngp", "ntk")},
            **{f"block_{key}": np.asarray(getattr(block, key)).tolist() for key in ("nngp", "ntk")},
        }
        print(name, flush=True)
    header = {
        "command": "python tests/kernels/make_neural_tangents.py",
        "versions": {
            "neural_tangents": nt.__version__,
            "jax": jax.__version__,
            "python": sys.version.split()[0],
        },
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in made.items()]
    Path(__file__).with_name("neural_tangents.json").write_text(
        json.dumps(header)[:-1] + ',\n"cases": {\n' + ",\n".join(lines) + "\n}}\n"
    )


if __name__ == "__main__":
    main()
