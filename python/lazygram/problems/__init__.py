"""Objectives of the texts other than networks' training losses; NumPy and SciPy alone.

A problem offers ``value(x)`` and ``gradient(x)`` (and ``hessian(x)`` where it is of use), for one point or
many at once (leading axes), ready for :mod:`lazygram.optimizers`.
"""
