// Duals of polynomials, through Hermite polynomials of the variance: no square roots, exact at any
// covariance.
//
// With He_k^{(p)} the Hermite polynomials orthogonal for N(0, p): x^n = sum_j n! / ((n-2j)! j! 2^j)
// p^j He_{n-2j}^{(p)}(x) and E[He_k^{(p)}(u) He_l^{(q)}(v)] = [k = l] k! r^k (Isserlis; Janson,
// "Gaussian Hilbert spaces", 1997, ch. 3), hence
//   E[phi(u) phi(v)] = sum_k A_k(p) A_k(q) r^k,   A_k(p) = sum_j c_{k+2j} (k+2j)! / (sqrt(k!) j!
//   2^j) p^j.
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

inline constexpr int kPolynomialMaxDegree = 24;

struct Polynomial {
  int degree;
  // expansion[k][j]: coefficient of p^j in A_k.
  double expansion[kPolynomialMaxDegree + 1][kPolynomialMaxDegree / 2 + 1];
};

LAZYGRAM_HOST_DEVICE double polynomial(const Polynomial& plan, const Covariance& c) {
  double sum = 0.0;
  for (int k = plan.degree; k >= 0; --k) {
    const int top = (plan.degree - k) / 2;
    double first = plan.expansion[k][top], second = first;
    for (int j = top - 1; j >= 0; --j) {
      first = madd(first, c.p, plan.expansion[k][j]);
      second = madd(second, c.q, plan.expansion[k][j]);
    }
    sum = madd(sum, c.r, first * second);
  }
  return sum;
}

}  // namespace lazygram::duals
