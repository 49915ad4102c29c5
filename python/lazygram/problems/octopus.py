"""Tube and octopus functions: gradient descent passes d saddles in exponential time.

Du (2019), thesis, Section 7 (Du, Jin, Lee, Jordan, Poczos, Singh 2017), with the corrections of its
formulas that make value, gradient and Hessian continuous. With ``y = |x|`` the coordinates are passed one
after the other: coordinate 1 from below tau, where f is ``-gamma y^2`` along it, through a buffer
``[tau, 2 tau]``, to the bottom at ``4 tau``; then coordinate 2, and so on. The tube is the part with
``x >= 0``, the octopus mirrors it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Array, as_real_array, check_positive_float, check_positive_int

__all__ = ["Octopus"]

Float64Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where points are: what all formulas need."""

    x: Float64Array
    passed: npt.NDArray[np.int64]  # coordinates left behind
    active: npt.NDArray[np.bool_]  # which coordinate is the one being passed (none at the bottom)
    following: npt.NDArray[np.bool_]  # and which comes after it
    y_active: Float64Array  # their |x|; 0 where there is none
    y_next: Float64Array
    offset: Float64Array  # distance of the other coordinates from the bottom across them
    curvature: Float64Array  # half the curvature there: L, in the buffer g2 for the following coordinate


class Octopus:
    """The octopus function of d coordinates, or the tube it mirrors.

    Parameters
    ----------
    dim : int
        d.
    L, gamma : float
        Curvatures: ``f ~ L y^2`` across the tube and ``-gamma y^2`` along it; ``L >= gamma > 0``.
    tau : float, default e
        Length scale of the buffer, at least e.
    mirrored : bool, default True
        False: the tube, for ``x >= 0`` only.

    Attributes
    ----------
    nu : float
        Fall of f from one saddle to the next.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    f is defined on the domain of :meth:`contains` only, of which ``[-1, 1]^d`` is a part (the thesis extends
    it abstractly); elsewhere all methods raise. The gradient is not 2L-Lipschitz, as the text says, but
    ``max(2L, |g1''|)``-Lipschitz along the path of gradient descent.
    """

    def __init__(
        self, dim: int, L: float, gamma: float = 1.0, tau: float = math.e, *, mirrored: bool = True
    ) -> None:
        self.dim = check_positive_int(dim, "dim")
        self.L = check_positive_float(L, "L")
        self.gamma = check_positive_float(gamma, "gamma")
        self.tau = check_positive_float(tau, "tau")
        self.mirrored = mirrored
        if self.gamma > self.L:
            raise ValueError(f"L: must be at least gamma = {self.gamma:g}, got {self.L:g}")
        if self.tau < math.e:
            raise ValueError(f"tau: must be at least e, got {self.tau:g}")
        self.nu = self.tau**2 * (37.0 * self.L + 13.0 * self.gamma) / 6.0

    def contains(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether points are in the domain.

        With i leading coordinates of ``y = |x|`` at least 2 tau: these are at most 6 tau, the next one is
        below 2 tau by definition, and the others are at most tau.

        Parameters
        ----------
        x : array_like, shape (..., d)
            Points; entries that are not finite are in no domain.

        Returns
        -------
        ndarray of bool, shape (...)
        """
        given = self._points(x)
        y = np.abs(given)
        passed = self._passed(y)
        place = np.arange(self.dim)
        upper = np.where(place < passed[..., None], 6.0 * self.tau, self.tau)
        upper = np.where(place == passed[..., None], 2.0 * self.tau, upper)
        inside = (y <= upper).all(axis=-1)
        return np.asarray(inside if self.mirrored else inside & (given >= 0).all(axis=-1))

    def passed(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many leading coordinates have ``|x_j| >= 2 tau``: the saddles that are left behind.

        Parameters
        ----------
        x : array_like, shape (..., d)

        Returns
        -------
        ndarray of int64, shape (...)
        """
        return self._passed(np.abs(self._points(x)))

    def value(self, x: npt.ArrayLike) -> Float64Array:
        """f at points of the domain.

        Parameters
        ----------
        x : array_like, shape (..., d)

        Returns
        -------
        ndarray, shape (...)

        Raises
        ------
        ValueError
            If a point is outside the domain.
        """
        place = self._place(x)
        across = np.where(place.active, 0.0, place.curvature * place.offset**2).sum(axis=-1)
        return np.asarray(across + self.g1(place.y_active) - place.passed * self.nu)

    def gradient(self, x: npt.ArrayLike) -> Float64Array:
        """Gradient of f, of the shape of `x`; see :meth:`value`.

        Where a coordinate is 0 so is its derivative.
        """
        place = self._place(x)
        along = self.g1_slope(place.y_active) + self.g2_slope(place.y_active) * place.y_next**2
        slope = np.where(place.active, along[..., None], 2.0 * place.curvature * place.offset)
        return np.asarray(np.sign(place.x) * slope)

    def hessian(self, x: npt.ArrayLike) -> Float64Array:
        """Hessian of f.

        Parameters
        ----------
        x : array_like, shape (..., d)

        Returns
        -------
        ndarray, shape (..., d, d)

        Raises
        ------
        ValueError
            If a point is outside the domain.
        """
        place = self._place(x)
        along = self._g1_curvature(place.y_active) + self._g2_curvature(place.y_active) * place.y_next**2
        diagonal = np.where(place.active, along[..., None], 2.0 * place.curvature)
        mixed = 2.0 * self.g2_slope(place.y_active) * place.y_next
        sign = np.where(place.x < 0, -1.0, 1.0)
        one, other = sign * place.active, sign * place.following
        pair = one[..., :, None] * other[..., None, :]
        pair = mixed[..., None, None] * (pair + np.swapaxes(pair, -1, -2))
        return np.asarray(diagonal[..., None] * np.eye(self.dim) + pair)

    def saddles(self) -> Float64Array:
        """The saddles with ``x >= 0``: m coordinates at 4 tau, the others 0; ``f = -m nu``.

        Returns
        -------
        ndarray, shape (d, d)
            Row m has m coordinates at 4 tau.
        """
        return 4.0 * self.tau * np.tri(self.dim, k=-1)

    def minimum(self) -> Float64Array:
        """The minimum with ``x >= 0``: all coordinates 4 tau; ``f = -d nu``.

        Returns
        -------
        ndarray, shape (d,)
        """
        return np.full(self.dim, 4.0 * self.tau)

    def escape_ratio(self, step_size: float) -> float:
        """kappa(eta), the limit of T_{k+1} / T_k of gradient descent.

        ``1 + log(1 / (1 - 2 eta L)) / log(1 + 2 eta gamma)``: above ``(L + gamma) / gamma``, the rate of the
        text, which is its limit for small steps.

        Raises
        ------
        ValueError
            If `step_size` is not in (0, 1 / (2 L)).
        """
        eta = self._step_size(step_size)
        return 1.0 - math.log1p(-2.0 * eta * self.L) / math.log1p(2.0 * eta * self.gamma)

    def escape_times(self, start: npt.ArrayLike, step_size: float) -> Float64Array:
        """T_k: after how many steps of gradient descent coordinate k first has ``|x_k| >= 2 tau``.

        Exact (but for roundings that may shift a time by one step) and fast for times far beyond what can
        be iterated. Coordinates that have not been active yet are multiplied by a constant in each step;
        their logarithms are kept, since the numbers themselves underflow after about 1000 steps and would
        never escape. Steps up to the buffer are skipped at once, those in the buffer (a few) are made.

        Parameters
        ----------
        start : array_like, shape (..., d)
            Starts in the domain.
        step_size : float
            eta in (0, 1 / (2 L)): at 1 / (2 L) coordinates become exactly 0.

        Returns
        -------
        ndarray, shape (..., d)
            Whole numbers; 0 for coordinates passed at the start, inf for one that is (or becomes) 0 and
            those after it.

        Raises
        ------
        ValueError
            If a start is outside the domain, or `step_size` out of its range.
        """
        eta = self._step_size(step_size)
        place = self._place(start)
        rows, counts = np.abs(place.x).reshape(-1, self.dim), place.passed.reshape(-1)
        times = [self._escape(row, int(count), eta) for row, count in zip(rows, counts, strict=True)]
        return np.array(times).reshape(place.x.shape)

    def _escape(self, y: Float64Array, passed: int, eta: float) -> Float64Array:
        """Escape times of one start."""
        times = np.full(self.dim, np.inf)
        times[:passed] = 0.0
        with np.errstate(divide="ignore"):
            logs = np.log(y)
        growth, decay = math.log1p(2.0 * eta * self.gamma), math.log1p(-2.0 * eta * self.L)
        edge, t = math.log(self.tau), 0.0
        for n in range(passed, self.dim):
            if not np.isfinite(logs[n]):
                break
            if logs[n] <= edge:  # until the first value above tau
                skipped = math.floor((edge - logs[n]) / growth) + 1
                logs[n] += skipped * growth
                logs[n + 1 :] += skipped * decay
                t += skipped
            here = math.exp(logs[n])
            while here < 2.0 * self.tau:
                slope = float(self.g1_slope(np.float64(here)))
                if n + 1 < self.dim:
                    following = math.exp(logs[n + 1])
                    factor = 1.0 - 2.0 * eta * float(self.g2(np.float64(here)))
                    slope += float(self.g2_slope(np.float64(here))) * following**2
                    logs[n + 1] += math.log(factor)
                    logs[n + 2 :] += decay
                here -= eta * slope
                t += 1
            times[n] = t
        return times

    # The pieces along the active coordinate and across it, for y in [0, 2 tau].

    def g1(self, y: Array) -> Float64Array:
        """f along the active coordinate: ``-gamma y^2``, and its quartic continuation in the buffer."""
        z = np.maximum(y - self.tau, 0.0)
        cubic, quartic = self._coefficients()
        return np.asarray(-self.gamma * y**2 + cubic * z**3 + quartic * z**4)

    def g1_slope(self, y: Array | np.float64) -> Float64Array:
        """Derivative of :meth:`g1`."""
        z = np.maximum(y - self.tau, 0.0)
        cubic, quartic = self._coefficients()
        return np.asarray(-2.0 * self.gamma * y + 3.0 * cubic * z**2 + 4.0 * quartic * z**3)

    def _g1_curvature(self, y: Array) -> Float64Array:
        z = np.maximum(y - self.tau, 0.0)
        cubic, quartic = self._coefficients()
        return np.asarray(-2.0 * self.gamma + 6.0 * cubic * z + 12.0 * quartic * z**2)

    def g2(self, y: Array | np.float64) -> Float64Array:
        """Half the curvature of f along the coordinate after the active one: from L down to -gamma."""
        u = self._u(y)
        quintic = u**3 * (10.0 + u * (15.0 + 6.0 * u))
        return np.asarray(np.where(y > self.tau, -self.gamma - (self.L + self.gamma) * quintic, self.L))

    def g2_slope(self, y: Array | np.float64) -> Float64Array:
        """Derivative of :meth:`g2`."""
        u = self._u(y)
        return np.asarray(-30.0 * (self.L + self.gamma) / self.tau * (u * (1.0 + u)) ** 2)

    def _g2_curvature(self, y: Array) -> Float64Array:
        u = self._u(y)
        return np.asarray(-60.0 * (self.L + self.gamma) / self.tau**2 * u * (1.0 + u) * (1.0 + 2.0 * u))

    def _u(self, y: Array | np.float64) -> Array:
        return np.asarray(np.maximum(y, self.tau) / self.tau - 2.0)

    def _coefficients(self) -> tuple[float, float]:
        """Of z^3 and z^4 in g1: its derivative is a cubic Hermite interpolant."""
        cubic = (10.0 * self.gamma - 14.0 * self.L) / (3.0 * self.tau)
        return cubic, (5.0 * self.L - 3.0 * self.gamma) / (2.0 * self.tau**2)

    # Bookkeeping.

    def _points(self, x: npt.ArrayLike) -> Float64Array:
        array = np.asarray(as_real_array(x, "x"), dtype=np.float64)
        if array.ndim == 0 or array.shape[-1] != self.dim:
            raise ValueError(f"x: shape (..., {self.dim}) is needed, got {array.shape}")
        return array

    def _passed(self, y: Float64Array) -> npt.NDArray[np.int64]:
        return np.asarray(np.cumprod(y >= 2.0 * self.tau, axis=-1).sum(axis=-1), dtype=np.int64)

    def _place(self, x: npt.ArrayLike) -> _Place:
        given = self._points(x)
        inside = self.contains(given)
        if not inside.all():
            first = np.atleast_2d(given)[tuple(np.argwhere(~np.atleast_1d(inside))[0])]
            raise ValueError(
                f"x: {np.array2string(first, precision=4)} is outside the domain of the function"
            )
        y = np.abs(given)
        passed = self._passed(y)
        behind = np.arange(self.dim) - passed[..., None]
        active, following = behind == 0, behind == 1
        y_active, y_next = (y * active).sum(axis=-1), (y * following).sum(axis=-1)
        return _Place(
            given,
            passed,
            active,
            following,
            y_active,
            y_next,
            np.where(behind < 0, y - 4.0 * self.tau, y),
            np.where(following, self.g2(y_active)[..., None], self.L),
        )

    def _step_size(self, step_size: float) -> float:
        eta = check_positive_float(step_size, "step_size")
        if not eta < 0.5 / self.L:
            raise ValueError(f"step_size: must be below 1 / (2 L) = {0.5 / self.L:g}, got {eta:g}")
        return eta
