"""Prints the polynomials of cpp/src/tiles/arcsine.inl: asin(x) = x + x t P(t), t = x^2 in [0, 1/4].

Remez exchange in 60-digit arithmetic (mpmath), weighted for relative error of asin. Run it with mpmath:
``python cpp/tools/asin_polynomial.py``.
"""

from __future__ import annotations

import mpmath as mp

mp.mp.dps = 60
UPPER = mp.mpf(1) / 4


def target(t: mp.mpf) -> mp.mpf:
    """(asin(x) / x - 1) / t as a function of t, by its series where it cancels."""
    if t < mp.mpf(10) ** -12:
        return mp.mpf(1) / 6 + mp.mpf(3) / 40 * t
    x = mp.sqrt(t)
    return (mp.asin(x) / x - 1) / t


def weight(t: mp.mpf) -> mp.mpf:
    """Relative error of asin per unit of error in P."""
    return t / (1 + t * target(t))


def remez(degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients (constant first) and the largest relative error of asin."""
    count = degree + 2
    nodes = [UPPER * (1 - mp.cos(mp.pi * (k + mp.mpf(1) / 2) / count)) / 2 for k in range(count)]
    grid = [UPPER * (1 - mp.cos(mp.pi * k / 800)) / 2 for k in range(801)]
    coefficients: list[mp.mpf] = []
    for _ in range(12):
        rows = [[t**k for k in range(degree + 1)] + [(-1) ** i / weight(t)] for i, t in enumerate(nodes)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target(t) for t in nodes]))
        coefficients = [solution[k] for k in range(degree + 1)]
        error = [weight(t) * (mp.polyval(coefficients[::-1], t) - target(t)) for t in grid]
        extrema: list[int] = []
        for k in range(1, len(grid)):
            if not extrema or (error[k] > 0) != (error[extrema[-1]] > 0):
                extrema.append(k)
            elif abs(error[k]) > abs(error[extrema[-1]]):
                extrema[-1] = k
        if len(extrema) < count:
            break
        while len(extrema) > count:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        nodes = [grid[k] for k in extrema]
    return coefficients, max(abs(e) for e in error)


for name, degree in (("float", 4), ("double", 11)):
    coefficients, error = remez(degree)
    print(f"// {name}: degree {degree}, relative error {mp.nstr(error, 3)}")
    for c in coefficients:
        print("   ", mp.nstr(c, 20) + ",")
