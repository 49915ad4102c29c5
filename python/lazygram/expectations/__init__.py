"""Numerical Gaussian expectations: one-dimensional rules, Hermite coefficients, tables of duals.

    rules.py      quadrature rules on the line, graded towards kinks and steep places
    hermite.py    coefficients a_k(s) = E[phi(s Z) he_k(Z)] with an error estimate
    pairs.py      E[phi(u) phi(v)] for one pair of variances and any correlations
    tables.py     that function of rho as a polynomial table which the core evaluates

Used by :mod:`lazygram.duals` for activations without a closed form.
"""
