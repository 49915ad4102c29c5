// Duals by Hermite series, for variances that differ from entry to entry.
//
// Mehler: E[phi(u) phi(v)] = sum_k a_k(s_u) a_k(s_v) rho^k with a_k(s) = E[phi(s Z) he_k(Z)], he_k
// the orthonormal Hermite polynomials (Daniely, Frostig, Singer, "Toward deeper understanding of
// neural networks", NeurIPS 2016). The coefficients belong to one standard deviation each and are
// computed once per distinct value.
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

// Terms are padded with zeros to a multiple of this.
inline constexpr int kSeriesBlock = 32;

LAZYGRAM_HOST_DEVICE double hermite_series(const double* a, const double* b, int terms,
                                           double rho) {
  double sum = 0.0;
  for (int k = terms - 1; k >= 0; --k) sum = madd(sum, rho, a[k] * b[k]);
  return sum;
}

}  // namespace lazygram::duals
