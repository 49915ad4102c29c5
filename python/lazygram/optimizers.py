"""Gradient descent, perturbed gradient descent and SGD on any function, from many starts at once.

A point is an array, or a tuple of arrays (the factors of a matrix, the layers of a network). With
``batched=True`` the first axis of each array counts starts that descend independently: gradient,
recorded quantities and stopping rules then give one result per start. A start that its stopping rule
ends, or that leaves the finite numbers, is taken out of the computation and keeps its last point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.arrays import (
    Array,
    as_real_array,
    check_nonnegative_int,
    check_positive_float,
    check_positive_int,
)

__all__ = [
    "Descent",
    "Point",
    "StepSize",
    "gradient_descent",
    "minibatches",
    "perturbed_gradient_descent",
    "power_decay",
    "sgd",
]

Point: TypeAlias = Any
"""An array, or a tuple of arrays; functions of a point get the same structure that the start has."""

StepSize: TypeAlias = float | Callable[[int], float]
"""A number, or a schedule: ``step_size(t)`` for step t = 0, 1, ..."""

_Parts: TypeAlias = list[Array]


@dataclasses.dataclass(frozen=True)
class Descent:
    """What a descent gave.

    Attributes
    ----------
    point : ndarray or tuple of ndarray
        The last point, with the shape (and structure) of the start.
    steps : ndarray of int64, shape () or (starts,)
        Steps that each start made.
    stopped, diverged : ndarray of bool, shape () or (starts,)
        Whether the stopping rule ended the start; whether it left the finite numbers (its point is
        then the first one that is not finite).
    recorded_steps : ndarray of int64, shape (records,)
        Steps at which the history was recorded.
    history : dict of str to ndarray, shape (records, ...)
        The recorded quantities. A start that has ended goes on with its last value.
    perturbations : ndarray of int64, shape () or (starts,)
        How often noise was added (0 without perturbation).
    """

    point: Point
    steps: npt.NDArray[np.int64]
    stopped: npt.NDArray[np.bool_]
    diverged: npt.NDArray[np.bool_]
    recorded_steps: npt.NDArray[np.int64]
    history: dict[str, Array]
    perturbations: npt.NDArray[np.int64]


def power_decay(initial: float, scale: float, power: float) -> Callable[[int], float]:
    """Schedule ``initial * (1 + t / scale)^(-power)``.

    Raises
    ------
    ValueError
        If an argument is not positive.
    """
    eta = check_positive_float(initial, "initial")
    length = check_positive_float(scale, "scale")
    exponent = check_positive_float(power, "power")
    return lambda t: float(eta * (1.0 + t / length) ** -exponent)


def minibatches(
    examples: int, batch_size: int, *, epochs: bool = True
) -> Callable[[np.random.Generator, int], npt.NDArray[np.int64]]:
    """How :func:`sgd` draws the examples of a step from a finite data set.

    Parameters
    ----------
    examples, batch_size : int
        Size of the data set and of a batch, at most `examples`.
    epochs : bool, default True
        Go through a fresh permutation per epoch (its last batch may be smaller); otherwise each batch is
        drawn on its own, uniformly without replacement.

    Returns
    -------
    callable
        ``draw(generator, step) -> indices``. With `epochs` it has a state: use one per run.
    """
    n, size = check_positive_int(examples, "examples"), check_positive_int(batch_size, "batch_size")
    if size > n:
        raise ValueError(f"batch_size: must be at most the number of examples {n}, got {size}")
    if not epochs:
        return lambda generator, step: generator.choice(n, size, replace=False)
    order = np.empty(0, dtype=np.int64)

    def draw(generator: np.random.Generator, step: int) -> npt.NDArray[np.int64]:
        nonlocal order
        if not len(order):
            order = generator.permutation(n)
        batch, order = order[:size], order[size:]
        return batch

    return draw


def gradient_descent(
    gradient: Callable[[Point], Point],
    start: Point,
    step_size: StepSize,
    steps: int,
    *,
    batched: bool = False,
    record: Mapping[str, Callable[[Point], Any]] | None = None,
    record_every: int = 1,
    stop: Callable[[int, Point], Any] | None = None,
    callback: Callable[[int, Point], None] | None = None,
) -> Descent:
    """Gradient descent ``x <- x - eta_t gradient(x)``.

    Parameters
    ----------
    gradient : callable
        ``gradient(point)``, with the structure and shape of `point`. With `batched` it must treat starts
        alike: those that have ended are left out.
    start : array_like or tuple of array_like
        Where to start. Copied; float32 stays float32.
    step_size : float or callable
        eta, or ``eta(t)``.
    steps : int
        Number of steps, at most.
    batched : bool, default False
        Whether the first axis counts starts.
    record : mapping of str to callable, optional
        Quantities of the history, ``quantity(point)``: of any shape, with the starts first if `batched`.
    record_every : int, default 1
        Steps between two records. The first and the last point are always recorded.
    stop : callable, optional
        ``stop(t, point)``: true (per start) when nothing is left to do; asked before each step.
    callback : callable, optional
        ``callback(t, point)`` after each record, with the points of all starts: for progress, or to keep
        what is done. It may raise, which ends the descent.

    Returns
    -------
    Descent
        Last point, history, how each start ended.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; the message names it.
    """
    walk = _Walk(start, steps, batched, record, record_every, stop, callback)
    eta = _schedule(step_size)
    for t in walk:
        walk.move(walk.slope(gradient), eta(t))
    return walk.result()


def perturbed_gradient_descent(
    gradient: Callable[[Point], Point],
    start: npt.ArrayLike,
    step_size: StepSize,
    steps: int,
    *,
    threshold: float,
    radius: float,
    wait: int = 1,
    seed: int | Sequence[int] = 0,
    batched: bool = False,
    record: Mapping[str, Callable[[Point], Any]] | None = None,
    record_every: int = 1,
    stop: Callable[[int, Point], Any] | None = None,
    callback: Callable[[int, Point], None] | None = None,
) -> Descent:
    """Gradient descent that adds noise where the gradient is small.

    Before step t, if ``|gradient(x)| <= threshold`` and the last noise is more than `wait` steps ago, a
    vector uniform in the ball of radius `radius` is added to x; then always a step of gradient descent.

    Parameters
    ----------
    gradient, step_size, steps, batched, record, record_every, stop, callback
        As in :func:`gradient_descent`.
    start : array_like, shape (d,) or, batched, (starts, d)
        Where to start; one array.
    threshold : float
        g_thres, of the Euclidean norm of the gradient.
    radius : float
        r, of the ball of the noise.
    wait : int, default 1
        t_thres: steps between two perturbations are more than this.
    seed : int or sequence of int
        Each start has a generator of its own, so that it does not depend on the other starts: from its
        own seed where there is a sequence, else spawned from the one seed.

    Returns
    -------
    Descent
        With the number of perturbations.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; the message names it.

    References
    ----------
    Jin, Ge, Netrapalli, Kakade, Jordan (2017), How to Escape Saddle Points Efficiently; Algorithm 2 of
    Du (2019), thesis, Section 7.
    """
    small, ball = check_positive_float(threshold, "threshold"), check_positive_float(radius, "radius")
    pause = check_nonnegative_int(wait, "wait")
    if isinstance(start, tuple):
        raise TypeError("start: one array is needed, got a tuple")
    walk = _Walk(start, steps, batched, record, record_every, stop, callback)
    point = walk.parts[0]
    if point.ndim != 2:
        raise ValueError(
            f"start: shape ({'starts, ' if batched else ''}d{'' if batched else ','}) is needed, "
            f"got {point.shape[0 if batched else 1 :]}"
        )
    generators = _generators(seed, len(point))
    eta = _schedule(step_size)
    last = np.full(len(point), -pause - 1, dtype=np.int64)
    for t in walk:
        slope = walk.slope(gradient)
        norms = np.linalg.norm(slope[0], axis=1)
        noisy = np.flatnonzero((norms <= small) & (t - last[walk.alive] > pause))
        if len(noisy):
            moved = walk.parts[0]
            for k in noisy:
                moved[k] += _in_ball(generators[walk.alive[k]], moved.shape[1], ball)
            last[walk.alive[noisy]] = t
            walk.perturbations[walk.alive[noisy]] += 1
            slope = walk.slope(gradient)
        walk.move(slope, eta(t))
    return walk.result()


def sgd(
    gradient: Callable[[Point, Any], Point],
    start: Point,
    step_size: StepSize,
    steps: int,
    *,
    draw: Callable[[np.random.Generator, int], Any],
    seed: int | np.random.Generator = 0,
    momentum: float = 0.0,
    batched: bool = False,
    record: Mapping[str, Callable[[Point], Any]] | None = None,
    record_every: int = 1,
    stop: Callable[[int, Point], Any] | None = None,
    callback: Callable[[int, Point], None] | None = None,
) -> Descent:
    """Stochastic gradient descent, with heavy-ball momentum if wanted.

    ``v <- momentum v + gradient(x, batch)``, ``x <- x - eta_t v``, with v = 0 at first.

    Parameters
    ----------
    gradient : callable
        ``gradient(point, batch)``.
    draw : callable
        ``draw(generator, t)`` gives the batch of step t: indices from :func:`minibatches`, or fresh examples.
    seed : int or numpy.random.Generator
        Of the batches. All starts of a batch of starts see the same examples.
    momentum : float, default 0
        In [0, 1).
    start, step_size, steps, batched, record, record_every, stop, callback
        As in :func:`gradient_descent`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; the message names it.
    """
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"momentum: must be in [0, 1), got {momentum}")
    generator = np.random.default_rng(seed)
    walk = _Walk(start, steps, batched, record, record_every, stop, callback)
    eta = _schedule(step_size)
    velocity: _Parts = []
    alive = walk.alive
    for t in walk:
        slope = walk.slope(gradient, draw(generator, t))
        if momentum:
            if len(walk.alive) != len(alive):  # starts that ended take their velocity with them
                kept = np.isin(alive, walk.alive)
                velocity, alive = [part[kept] for part in velocity], walk.alive
            if velocity:
                velocity = [momentum * old + new for old, new in zip(velocity, slope, strict=True)]
            else:
                velocity = [new.copy() for new in slope]  # a gradient may hand back its argument
            slope = velocity
        walk.move(slope, eta(t))
    return walk.result()


class _Walk:
    """The state of a descent: iterating gives t = 0, 1, ... after records and stopping rules.

    All arrays inside have a first axis of starts, of length 1 when not `batched`.
    """

    def __init__(
        self,
        start: Point,
        steps: int,
        batched: bool,
        record: Mapping[str, Callable[[Point], Any]] | None,
        record_every: int,
        stop: Callable[[int, Point], Any] | None,
        callback: Callable[[int, Point], None] | None,
    ) -> None:
        self._limit = check_nonnegative_int(steps, "steps")
        self._every = check_positive_int(record_every, "record_every")
        self._batched = batched
        self._tuple = isinstance(start, tuple)
        parts = [_float_copy(part, "start") for part in (start if self._tuple else (start,))]
        if not parts:
            raise ValueError("start: at least one array is needed")
        if batched:
            counts = {part.shape[0] if part.ndim else 0 for part in parts}
            if len(counts) != 1 or counts == {0}:
                raise ValueError(f"start: one first axis of starts is needed, got {[p.shape for p in parts]}")
        else:
            parts = [part[None] for part in parts]
        for part in parts:
            if not np.isfinite(part).all():
                raise ValueError("start: all entries must be finite")
        self.parts = parts  # of the starts that are alive
        self._full = [part.copy() for part in parts]
        count = len(parts[0])
        self.alive = np.arange(count)
        self._steps = np.zeros(count, dtype=np.int64)
        self._stopped, self._diverged = np.zeros((2, count), dtype=bool)
        self.perturbations = np.zeros(count, dtype=np.int64)
        self._record = dict(record or {})
        self._stop, self._callback = stop, callback
        self._recorded: list[int] = []
        self._history: dict[str, list[Array]] = {name: [] for name in self._record}

    @property
    def working(self) -> Point:
        """The points of the starts that are alive, as functions of a point see them."""
        return self._shown(self.parts)

    def slope(self, gradient: Callable[..., Point], *batch: Any) -> _Parts:
        """The gradient at the working points, checked, with the axis of starts."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is told by `diverged`
            point = gradient(self.working, *batch)
        given = [np.asarray(part) for part in (point if isinstance(point, (tuple, list)) else (point,))]
        if len(given) != len(self.parts):
            raise ValueError(f"gradient: {len(self.parts)} arrays are needed, got {len(given)}")
        slope = given if self._batched else [part[None] for part in given]
        for part, new in zip(self.parts, slope, strict=True):
            if new.shape != part.shape:
                drop = 0 if self._batched else 1
                raise ValueError(f"gradient: shape {part.shape[drop:]} is needed, got {new.shape[drop:]}")
        return slope

    def __iter__(self) -> _Walk:
        return self

    def __next__(self) -> int:
        t = int(self._steps.max(initial=0))
        self._retire(t)
        if t >= self._limit or not len(self.alive):
            self._keep(t)
            raise StopIteration
        if t % self._every == 0:
            self._keep(t)
        return t

    def move(self, slope: _Parts, eta: float) -> None:
        """One step of all starts that are alive."""
        with np.errstate(over="ignore", invalid="ignore"):
            for part, new in zip(self.parts, slope, strict=True):
                part -= (eta * new).astype(part.dtype, copy=False)
        self._steps[self.alive] += 1

    def result(self) -> Descent:
        """Everything, without the axis of starts if there was none."""
        pick: Any = slice(None) if self._batched else 0
        return Descent(
            self._shown(self._full),
            self._steps[pick],
            self._stopped[pick],
            self._diverged[pick],
            np.array(self._recorded, dtype=np.int64),
            {name: np.array(values) for name, values in self._history.items()},
            self.perturbations[pick],
        )

    def _shown(self, parts: _Parts) -> Point:
        shown = tuple(part if self._batched else part[0] for part in parts)
        return shown if self._tuple else shown[0]

    def _sync(self) -> None:
        for whole, part in zip(self._full, self.parts, strict=True):
            whole[self.alive] = part

    def _retire(self, t: int) -> None:
        """Take out the starts that have ended."""
        if not len(self.alive):
            return
        finite = np.ones(len(self.alive), dtype=bool)
        for part in self.parts:
            finite &= np.isfinite(part.reshape(len(part), -1)).all(axis=1)
        over = ~finite
        self._diverged[self.alive[over]] = True
        if self._stop is not None:
            verdict = np.atleast_1d(np.asarray(self._stop(t, self.working), dtype=bool))
            if verdict.shape != self.alive.shape:
                raise ValueError(f"stop: one verdict per start is needed, got shape {verdict.shape}")
            self._stopped[self.alive[verdict & finite]] = True
            over |= verdict
        if over.any():
            self._sync()
            self.parts = [part[~over] for part in self.parts]
            self.alive = self.alive[~over]

    def _keep(self, t: int) -> None:
        """Record the points of all starts as they are."""
        if self._recorded and self._recorded[-1] == t:
            return
        self._sync()
        self._recorded.append(t)
        point = self._shown(self._full)
        with np.errstate(over="ignore", invalid="ignore"):  # of starts that diverged
            for name, quantity in self._record.items():
                self._history[name].append(np.array(quantity(point)))
        if self._callback is not None:
            self._callback(t, point)


def _float_copy(value: Any, name: str) -> Array:
    array = as_real_array(value, name)
    return np.array(array, dtype=array.dtype if array.dtype in (np.float32, np.float64) else np.float64)


def _schedule(step_size: StepSize) -> Callable[[int], float]:
    if callable(step_size):
        given = step_size
        return lambda t: check_positive_float(given(t), f"step_size({t})")
    eta = check_positive_float(step_size, "step_size")
    return lambda t: eta


def _generators(seed: int | Sequence[int], count: int) -> list[np.random.Generator]:
    if isinstance(seed, (int, np.integer)):
        root = np.random.SeedSequence(check_nonnegative_int(seed, "seed"))
        return [np.random.default_rng(child) for child in root.spawn(count)]
    if len(seed) != count:
        raise ValueError(f"seed: one per start ({count}) is needed, got {len(seed)}")
    return [np.random.default_rng(check_nonnegative_int(one, "seed")) for one in seed]


def _in_ball(generator: np.random.Generator, dim: int, radius: float) -> Array:
    """A vector uniform in the ball of `radius`."""
    direction = generator.standard_normal(dim)
    length = radius * generator.random() ** (1.0 / dim)
    return np.asarray(direction * (length / np.linalg.norm(direction)))
