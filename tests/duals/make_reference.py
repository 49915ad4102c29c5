"""Writes reference.json: duals of every activation at high precision, from formulas the package does not use.

    python tests/duals/make_reference.py          about ten minutes; needs numpy, mpmath

Per activation one of three methods, all independent of the package:
  formula      the textbook closed form (Cho and Saul; Williams; Isserlis; ...) at 60 digits
  conditional  E_x[phi(s_u x) m(x)] with m(x) = E[phi(v) | u] closed, adaptive quadrature at 30 digits
  trapezoid    2-D trapezoid rule in the frame u = s_u (c x + s y), v = s_v (c x - s y) in extended precision,
               at two steps that must agree to 2e-15; for phi analytic near the real axis
`formula` is compared with `conditional` at several points while the table is made. Inputs p, q, r are the
float64 numbers stored: the reference is for exactly those, so nothing is lost near rho = +-1.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import mpmath as mp
import numpy as np

PAIRS = [(1.0, 1.0), (0.5, 1.0), (0.5, 2.0), (1.5, 1.5), (3.0, 1.0), (1e-6, 1e-6), (1e-6, 1.0), (1e3, 1e3)]
RHOS = [-1.0, -1 + 1e-12, -0.99, -0.5, 0.0, 0.1, 0.5, 0.9, 0.99, 1 - 1e-6, 1 - 1e-12, 1.0]


def inputs(pairs):
    rows = []
    for su, sv in pairs:
        p, q = su * su, sv * sv
        edge = float(np.sqrt(p * q))
        for rho in RHOS:
            r = float(np.clip(rho * su * sv, -edge, edge))
            # |r| <= sqrt(p q) must hold exactly, or the reference would not exist.
            while mp.mpf(r) ** 2 > mp.mpf(p) * mp.mpf(q):
                r = float(np.nextafter(r, 0.0))
            rows.append((p, q, r))
    return rows


# --- closed forms -----------------------------------------------------------------------------------


def angle(p, q, r):
    m = mp.sqrt(p * q)
    return mp.acos(max(mp.mpf(-1), min(mp.mpf(1), r / m)))


def j(n, t):
    s, c = mp.sin(t), mp.cos(t)
    if n == 0:
        return mp.pi - t
    if n == 1:
        return s + (mp.pi - t) * c
    if n == 2:
        return 3 * s * c + (mp.pi - t) * (1 + 2 * c * c)
    return 15 * s - 11 * s**3 + (mp.pi - t) * (9 * c + 6 * c**3)


def rectified(n, a, b):
    def value(p, q, r):
        t = angle(p, q, r)
        return mp.sqrt(p * q) ** n * ((a * a + b * b) * j(n, t) + 2 * a * b * j(n, mp.pi - t)) / (2 * mp.pi)

    return value


def isserlis(a, b, p, q, r):
    """E[u^a v^b]."""
    if (a + b) % 2:
        return mp.mpf(0)
    total = mp.mpf(0)
    for k in range(a % 2, min(a, b) + 1, 2):
        total += (
            mp.factorial(a)
            * mp.factorial(b)
            * p ** ((a - k) // 2)
            * q ** ((b - k) // 2)
            * r**k
            / (
                mp.factorial(k)
                * mp.factorial((a - k) // 2)
                * mp.factorial((b - k) // 2)
                * mp.mpf(2) ** ((a + b) // 2 - k)
            )
        )
    return total


def polynomial(c):
    def value(p, q, r):
        return mp.fsum(
            x * y * isserlis(a, b, p, q, r) for a, x in enumerate(c) for b, y in enumerate(c) if x and y
        )

    return value


def det(p, q, r):
    return p * q - r * r


def fourier(a, w, b):
    return lambda p, q, r: (
        a
        * a
        / 2
        * (mp.exp(-w * w * (p + q - 2 * r) / 2) + mp.cos(2 * b) * mp.exp(-w * w * (p + q + 2 * r) / 2))
    )


HALF_PI = mp.pi / 2
FORMULAS = {
    "identity": (lambda p, q, r: r, lambda p, q, r: mp.mpf(1)),
    "relu": (rectified(1, 1, 0), rectified(0, 1, 0)),
    "leaky_relu": (rectified(1, 1, -mp.mpf(0.01)), rectified(0, 1, mp.mpf(0.01))),
    "abs": (rectified(1, 1, 1), rectified(0, 1, -1)),
    "step": (rectified(0, 1, 0), None),
    "sign": (rectified(0, 1, -1), None),
    "rectified_monomial": (rectified(2, 1, 0), rectified(1, 2, 0)),
    "rectified_monomial:3": (rectified(3, 1, 0), rectified(2, 3, 0)),
    "monomial": (polynomial([0, 0, 1]), polynomial([0, 2])),
    "monomial:5": (polynomial([0, 0, 0, 0, 0, 1]), polynomial([0, 0, 0, 0, 5])),
    "hermite": (polynomial([-1, 0, 1]), polynomial([0, 2])),
    "hermite:4": (polynomial([3, 0, -6, 0, 1]), polynomial([0, -12, 0, 4])),
    "erf": (
        lambda p, q, r: 2 / mp.pi * mp.asin(2 * r / mp.sqrt((1 + 2 * p) * (1 + 2 * q))),
        lambda p, q, r: 4 / mp.pi / mp.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * r * r),
    ),
    "sin": (
        lambda p, q, r: mp.exp(-(p + q) / 2) * mp.sinh(r),
        lambda p, q, r: mp.exp(-(p + q) / 2) * mp.cosh(r),
    ),
    "cos": (
        lambda p, q, r: mp.exp(-(p + q) / 2) * mp.cosh(r),
        lambda p, q, r: mp.exp(-(p + q) / 2) * mp.sinh(r),
    ),
    "fourier:2,0.3,1.5": (
        fourier(mp.mpf(1.5), mp.mpf(2), mp.mpf(0.3)),
        fourier(mp.mpf(3), mp.mpf(2), mp.mpf(0.3) + HALF_PI),
    ),
    "exp": (lambda p, q, r: mp.exp((p + q) / 2 + r),) * 2,
    "gaussian": (
        lambda p, q, r: 1 / mp.sqrt(1 + p + q + det(p, q, r)),
        lambda p, q, r: r / mp.sqrt(1 + p + q + det(p, q, r)) ** 3,
    ),
}

# --- conditional expectation --------------------------------------------------------------------------


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def gelu_mean(m, t):
    s = mp.sqrt(1 + t * t)
    return m * cdf(m / s) + t * t / s * density(m / s)


def gelu_slope_mean(m, t):
    s = mp.sqrt(1 + t * t)
    # E[Phi(g) + g n(g)]; g n(g) integrates to m n(m/s) / s^3.
    return cdf(m / s) + m * density(m / s) / s**3


def negative_exp_mean(m, t):
    return mp.exp(m + t * t / 2) * cdf(-(m + t * t) / t) if t > 0 else (mp.exp(m) if m < 0 else mp.mpf(0))


def elu(alpha, gain):
    a, g = mp.mpf(alpha), mp.mpf(gain)

    def phi(x):
        return g * (x if x >= 0 else a * mp.expm1(x))

    def slope(x):
        return g * (1 if x >= 0 else a * mp.exp(x))

    def phi_mean(m, t):
        return g * (m * cdf(m / t) + t * density(m / t) + a * (negative_exp_mean(m, t) - cdf(-m / t)))

    def slope_mean(m, t):
        return g * (cdf(m / t) + a * negative_exp_mean(m, t))

    return (phi, phi_mean), (slope, slope_mean), (mp.mpf(0),)


def clipped(slope, centre, edge):
    k, c, e = mp.mpf(slope), mp.mpf(centre), mp.mpf(edge)

    def phi(x):
        return c + k * max(-e, min(e, x))

    def phi_mean(m, t):
        h, low = (e - m) / t, (-e - m) / t
        inner = m * (cdf(h) - cdf(low)) + t * (density(low) - density(h))
        return c + k * (inner + e * cdf(-h) - e * cdf(low))

    def flat(x):
        return k if abs(x) < e else mp.mpf(0)

    def flat_mean(m, t):
        return k * (cdf((e - m) / t) - cdf((-e - m) / t))

    return (phi, phi_mean), (flat, flat_mean), (-e, e)


def relu_parts():
    return (
        (lambda x: max(x, mp.mpf(0)), lambda m, t: m * cdf(m / t) + t * density(m / t)),
        (lambda x: mp.mpf(1) if x >= 0 else mp.mpf(0), lambda m, t: cdf(m / t)),
        (mp.mpf(0),),
    )


def gelu_parts():
    return (
        (lambda x: x * cdf(x), gelu_mean),
        (lambda x: cdf(x) + x * density(x), gelu_slope_mean),
        (mp.mpf(0),),
    )


CONDITIONAL = {
    "gelu": gelu_parts,
    "elu": lambda: elu(1.0, 1.0),
    "selu": lambda: elu(1.6732632423543772, 1.0507009873554805),
    "hard_tanh": lambda: clipped(1, 0, 1),
    # The package's slope is the float64 1/6 and its edges follow from it.
    "hard_sigmoid": lambda: clipped(mp.mpf(1.0 / 6.0), mp.mpf(0.5), mp.mpf(0.5) / mp.mpf(1.0 / 6.0)),
}


def conditional(parts, kinks, p, q, r):
    phi, mean = parts
    su, sv = mp.sqrt(p), mp.sqrt(q)
    rho = r / (su * sv)
    tau = mp.sqrt(max(mp.mpf(0), det(p, q, r))) / (su * sv)
    if tau == 0:
        sign = 1 if r > 0 else -1
        integrand = lambda x: phi(su * x) * phi(sign * sv * x) * density(x)  # noqa: E731
    else:
        integrand = lambda x: phi(su * x) * mean(rho * sv * x, tau * sv) * density(x)  # noqa: E731
    points = {mp.mpf(0)}
    for base in {mp.mpf(0), *kinks}:
        for centre, width in ((base / su, 1 / su), (base / (rho * sv) if rho else mp.mpf(99), tau)):
            points.add(centre)
            for k in (1, 8):
                for w in {width, tau, 1 / sv}:
                    points.update({centre + k * w, centre - k * w})
    inside = sorted(x for x in points if abs(x) < 14)
    grid = [mp.mpf(-14), *inside, mp.mpf(14)]
    for x in (-10, -6, -3, -1, 1, 3, 6, 10):
        grid.append(mp.mpf(x))
    grid = sorted(set(grid))
    merged = [grid[0]]
    for x in grid[1:]:
        if x - merged[-1] > mp.mpf("1e-16"):
            merged.append(x)
    return gauss(integrand, merged)


_NODES = {}


def gauss(f, grid):
    """Composite Gauss-Legendre with 24 nodes; intervals are halved until 36 nodes agree to 1e-21."""
    for n in (24, 36):
        if n not in _NODES:
            x, _ = np.polynomial.legendre.leggauss(n)
            nodes = []
            for guess in x:
                t = mp.mpf(float(guess))
                for _ in range(4):
                    p1, p0 = t, mp.mpf(1)
                    for k in range(2, n + 1):
                        p1, p0 = ((2 * k - 1) * t * p1 - (k - 1) * p0) / k, p1
                    slope = n * (t * p1 - p0) / (t * t - 1)
                    t -= p1 / slope
                nodes.append((t, 2 / ((1 - t * t) * slope**2)))
            _NODES[n] = nodes

    def apply(a, b, n):
        c, h = (a + b) / 2, (b - a) / 2
        return h * mp.fsum(w * f(c + h * t) for t, w in _NODES[n])

    total = mp.mpf(0)
    stack = list(pairwise(grid))
    while stack:
        a, b = stack.pop()
        low, high = apply(a, b, 24), apply(a, b, 36)
        if abs(low - high) <= mp.mpf("1e-21") * max(mp.mpf("1e-3"), abs(high)) or b - a < mp.mpf("1e-15"):
            total += high
        else:
            stack += [(a, (a + b) / 2), ((a + b) / 2, b)]
    return total


# --- trapezoid in extended precision --------------------------------------------------------------


def expit(x):
    return 1 / (1 + np.exp(-x))


def gate(x):
    e = np.exp(np.minimum(x, np.longdouble(40)))
    return e * (e + 2) / (e * (e + 2) + 2)


def mish_slope(x):
    g = gate(x)
    return g + x * (1 - g * g) * expit(x)


TRAPEZOID = {
    "softplus": (lambda x: np.logaddexp(np.longdouble(0), x), expit),
    "softplus:2": (
        lambda x: np.logaddexp(np.longdouble(0), 2 * x) / 2,
        lambda x: expit(2 * x),
    ),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "mish": (lambda x: x * gate(x), mish_slope),
}
SMOOTH_PAIRS = [*PAIRS[:-1], (4.0, 4.0)]


def trapezoid(phi, p, q, r, step):
    with mp.workdps(40):
        p, q, r = mp.mpf(p), mp.mpf(q), mp.mpf(r)
        su, sv = mp.sqrt(p), mp.sqrt(q)
        plus, minus = (su * sv + r) / (2 * su * sv), (su * sv - r) / (2 * su * sv)
        su, sv, c, s = (
            np.longdouble(mp.nstr(x, 25)) for x in (su, sv, mp.sqrt(plus), mp.sqrt(max(mp.mpf(0), minus)))
        )
    count = int(9.6 / step)
    x = np.longdouble(step) * np.arange(-count, count + 1)
    w = np.exp(-x * x / 2)
    w /= w.sum()
    total = np.longdouble(0)
    for block in np.array_split(np.arange(x.size), max(1, x.size // 256)):
        a, b = c * x[block][:, None], s * x[None, :]
        total += np.sum(phi(su * (a + b)) * phi(sv * (a - b)) * (w[block][:, None] * w[None, :]))
    return float(total)


def main() -> None:
    np.seterr(over="ignore", under="ignore")
    table = {}
    only = sys.argv[1:]
    target = Path(__file__).with_name("reference.json")
    if only and target.exists():
        table = json.loads(target.read_text())["values"]
    rows, smooth = inputs(PAIRS), inputs(SMOOTH_PAIRS)
    with mp.workdps(60):
        for name, pair in FORMULAS.items():
            if only and name not in only:
                continue
            table[name] = [None if f is None else [float(f(*map(mp.mpf, row))) for row in rows] for f in pair]
    with mp.workdps(30):
        for parts, f in zip(relu_parts()[:2], FORMULAS["relu"], strict=True):
            for row in rows[::7]:
                args = tuple(map(mp.mpf, row))
                a, b = conditional(parts, (mp.mpf(0),), *args), f(*args)
                assert abs(a - b) <= mp.mpf("1e-18") * max(abs(b), mp.mpf("1e-3")), (row, a, b)
        for name, make in CONDITIONAL.items():
            if only and name not in only:
                continue
            *both, kinks = make()
            table[name] = [[float(conditional(f, kinks, *map(mp.mpf, row))) for row in rows] for f in both]
            print(name, flush=True)
    for name, pair in TRAPEZOID.items():
        if only and name not in only:
            continue
        table[name] = []
        for phi in pair:
            values = []
            for row in smooth:
                width = max(1.0, np.sqrt(max(row[:2])))
                if name.startswith("softplus:"):
                    width = max(1.0, 2 * width)
                fine = trapezoid(phi, *row, 0.11 / width)
                coarse = trapezoid(phi, *row, 0.125 / width)
                assert abs(fine - coarse) <= 2e-15 * max(abs(fine), 1e-3), (name, row, fine, coarse)
                values.append(fine)
            table[name].append(values)
        print(name, flush=True)
    lines = [f'  "{name}": {json.dumps(values)}' for name, values in sorted(table.items())]
    target.write_text(
        "{\n"
        + f'"inputs": {json.dumps(rows)},\n"smooth_inputs": {json.dumps(smooth)},\n'
        + f'"smooth": {json.dumps(sorted(TRAPEZOID))},\n"values": {{\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )


if __name__ == "__main__":
    main()
