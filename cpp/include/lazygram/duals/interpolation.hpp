// Duals interpolated in the variances, for kinked or steep activations whose Hermite series is too
// long.
//
// For phi with no kink away from 0, phi(s z) is analytic in log s, so on one octave of s
//   E(s_u, s_v, rho) = sum_ab L_a(s_u) L_b(s_v) E_ab(rho)
// with few Lagrange functions L_a, and E_ab a root table (table.hpp) in x = sqrt((1 - |rho|) / 2).
// The sum over a is taken once per distinct s_u; an entry costs the sum over b and one polynomial.
#pragma once

#include "lazygram/duals/scalar.hpp"
#include "lazygram/duals/table.hpp"

namespace lazygram::duals {

// Powers of t are padded with zeros to a multiple of this.
inline constexpr int kInterpolationBlock = 8;

// Shape of the panels, as in RootTable; `size` powers of t, lowest first.
struct InterpolationGrid {
  int panels;
  int size;
  int nodes;             // functions L_b
  const double* edges;   // [panels - 1]
  const double* centre;  // [2 * panels]
  const double* scale;   // [2 * panels]
};

// contracted: [2 * panels][nodes][size] of s_u; weights: L_b(s_v), b < nodes.
LAZYGRAM_HOST_DEVICE double interpolated(const InterpolationGrid& grid, const double* contracted,
                                         const double* weights, const Covariance& c) {
  const double x = half_chord(c);
  int panel = c.r < 0.0 ? grid.panels : 0;
  for (int k = 0; k + 1 < grid.panels; ++k) panel += x > grid.edges[k] ? 1 : 0;
  const double t = (x - grid.centre[panel]) * grid.scale[panel];
  const double* const rows = contracted + static_cast<std::int64_t>(panel) * grid.nodes * grid.size;
  double sum = 0.0;
  for (int n = grid.size - 1; n >= 0; --n) {
    double coefficient = 0.0;
    for (int b = 0; b < grid.nodes; ++b)
      coefficient = madd(weights[b], rows[b * grid.size + n], coefficient);
    sum = madd(sum, t, coefficient);
  }
  return sum;
}

}  // namespace lazygram::duals
