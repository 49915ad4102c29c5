"""Types of the compiled core. Arrays must have the right dtype and layout: the package sees to that."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Bits = npt.NDArray[np.uint64]
_Counts = npt.NDArray[np.int64]
_Float64 = npt.NDArray[np.float64]
_Progress = Callable[[int, int], None] | None

__version__: str
PANEL: int

def isa_compiled() -> list[str]: ...
def isa_available() -> list[str]: ...
def isa_used() -> str: ...
def isa_force(name: str) -> None: ...
def cuda_compiled() -> bool: ...
def cuda_devices() -> int: ...
def max_threads() -> int: ...
def threading_backend() -> str: ...

class RandomNetwork:
    def __init__(self, seed: int, width: int, dim: int, antisymmetric: bool) -> None: ...
    @property
    def seed(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def antisymmetric(self) -> bool: ...
    def weights(self, begin: int, out: _Array) -> None: ...
    def signs(self, begin: int, out: _Array, output: int = 0) -> None: ...

_Neurons = _Array | RandomNetwork

def philox4x32(counter: list[int], key: list[int]) -> list[int]: ...
def pattern_words(width: int) -> int: ...
def activation_patterns(
    source: _Neurons, X: _Array, bits: _Bits, threads: int, progress: _Progress
) -> None: ...
def pattern_counts(bits: _Bits, out: _Counts, threads: int) -> None: ...
def pattern_differences(a: _Bits, b: _Bits, out: _Counts, threads: int) -> None: ...
def coactivation_counts(a: _Bits, b: _Bits, out: _Counts, threads: int, progress: _Progress) -> None: ...
def gram_finite(
    a: _Bits,
    X1: _Float64,
    b: _Bits,
    X2: _Float64,
    width: int,
    out: _Float64,
    threads: int,
    progress: _Progress,
) -> None: ...
def gram_infinite(
    X1: _Array,
    X2: _Array,
    first: _Array | None,
    second: _Array | None,
    both: _Array | None,
    threads: int,
    progress: _Progress,
) -> None: ...
def descend(
    W: _Array,
    a: _Array,
    W_out: _Array,
    a_out: _Array,
    X: _Array,
    rho: _Float64,
    bits: _Bits,
    step_size: float,
    train_output: bool,
    X_next: _Array,
    u: _Float64,
    bits_next: _Bits,
    threads: int,
) -> None: ...
def forward(W: _Array, a: _Array, X: _Array, u: _Float64, bits: _Bits, threads: int) -> None: ...
def loss_gradient(
    W: _Array,
    a: _Array,
    X: _Array,
    rho: _Float64,
    bits: _Bits,
    gradient: _Array,
    output_gradient: _Array,
    train_output: bool,
    threads: int,
) -> None: ...
def predict(
    source: _Neurons, a: _Array | None, X: _Array, u: _Float64, threads: int, progress: _Progress
) -> None: ...
def weight_distances(W: _Array, initial: _Neurons, out: _Float64, threads: int) -> None: ...

class _EventDescent:
    def __init__(
        self,
        neurons: _Neurons,
        a: _Array | None,
        X: _Array,
        X_test: _Array,
        reach: _Float64,
        memory_limit: int,
        resume: dict[str, _Array] | None,
        threads: int,
        progress: _Progress,
    ) -> None: ...
    def step(self, rho: _Float64, step_size: float, threads: int, progress: _Progress) -> bool: ...
    @property
    def examples(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def path_length(self) -> float: ...
    @property
    def predictions(self) -> _Float64: ...
    @property
    def changed(self) -> _Counts: ...
    @property
    def stats(self) -> dict[str, Any]: ...
    @property
    def plan(self) -> dict[str, float]: ...
    @property
    def flips_in_last_step(self) -> int: ...
    def mark(self) -> None: ...
    def differences_from_mark(self, threads: int) -> int: ...
    def gram(self, out: _Float64) -> None: ...
    def counts(self, out: _Counts) -> None: ...
    def output_counts(self, first: int, second: int, out: _Float64) -> None: ...
    def patterns(self, begin: int, bits: _Bits, threads: int) -> None: ...
    def weights(self, begin: int, out: _Array, threads: int) -> None: ...
    def distances(self, out: _Float64, threads: int) -> None: ...
    def snapshot(self) -> dict[str, _Array]: ...

class EventDescentF32(_EventDescent): ...
class EventDescentF64(_EventDescent): ...

def plan_events(
    width: int,
    X: _Array,
    X_test: _Array,
    random: bool,
    reach: _Float64,
    outputs: int,
    units: bool,
    scale: float,
    threads: int,
) -> dict[str, float]: ...

SERIES_BLOCK: int
INTERPOLATION_BLOCK: int
ROOT_MAX_PANELS: int

class Dual:
    @staticmethod
    def rectified(order: int, a: float, b: float, at_zero: float) -> Dual: ...
    @staticmethod
    def polynomial(coefficients: list[float]) -> Dual: ...
    @staticmethod
    def trigonometric(amplitude: float, frequency: float, phase: float) -> Dual: ...
    @staticmethod
    def exponential(rate: float, derivative: bool) -> Dual: ...
    @staticmethod
    def gaussian(width: float, derivative: bool) -> Dual: ...
    @staticmethod
    def erf(scale: float, derivative: bool) -> Dual: ...
    @staticmethod
    def gelu(derivative: bool) -> Dual: ...
    @staticmethod
    def correlation_table(at_zero: float, chebyshev: list[float]) -> Dual: ...
    @staticmethod
    def root_table(
        edges: list[float], centre: list[float], scale: list[float], coefficients: list[float]
    ) -> Dual: ...

def dual(
    formula: Dual,
    K: _Array,
    var1: _Array,
    var2: _Array,
    out: _Array,
    threads: int,
    progress: _Progress,
) -> None: ...
def dual_series(
    first: _Float64,
    first_length: _Array,
    second: _Float64,
    second_length: _Array,
    K: _Array,
    var1: _Array,
    var2: _Array,
    index1: _Array,
    index2: _Array,
    out: _Array,
    threads: int,
    progress: _Progress,
) -> None: ...
def dual_interpolated(
    edges: list[float],
    centre: list[float],
    scale: list[float],
    size: int,
    contracted: _Float64,
    weights: _Float64,
    K: _Array,
    var1: _Array,
    var2: _Array,
    index1: _Array,
    index2: _Array,
    out: _Array,
    threads: int,
    progress: _Progress,
) -> None: ...
