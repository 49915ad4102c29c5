// Duals tabulated as polynomials of the correlation, for pairs of fixed variances (one table per
// activation).
//
// With both variances fixed the dual is a function of rho = r / sqrt(p q) alone.
//   CorrelationTable  smooth activations: value at rho = 0, plus rho times one Chebyshev series on
//   [-1, 1] (Clenshaw's
//                     recurrence), so that the dual of an odd activation is accurate relative to
//                     itself near 0.
//   RootTable         kinked or steep activations: their duals have powers (1 - |rho|)^{k + 1/2} at
//   |rho| = 1, which
//                     are analytic in x = sqrt((1 - |rho|) / 2) in [0, sqrt(1/2)]: polynomials in x
//                     on panels, one set for rho >= 0 and one for rho < 0. x comes from the
//                     determinant, so it is exact to rounding however near |rho| is to 1.
// The coefficients and their tested error come from whoever makes the table
// (python/lazygram/duals_tables.py).
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

struct CorrelationTable {
  double at_zero;              // E phi(u) E phi(v)
  const double* coefficients;  // Chebyshev coefficients of (dual - at_zero) / rho, lowest first
  int size;
};

inline constexpr int kRootMaxPanels = 16;

struct RootTable {
  int panels;            // per sign of rho
  int size;              // coefficients per panel
  const double* edges;   // panels - 1 inner panel boundaries in x, increasing
  const double* centre;  // [2 * panels]: local coordinate t = (x - centre) * scale
  const double* scale;   // [2 * panels]
  const double*
      coefficients;  // [size][2 * panels], powers of t, highest first; panels of rho < 0 last
};

// A variance of zero has its own (constant) table; 0 is as good as any argument then.
LAZYGRAM_HOST_DEVICE double correlation(const Covariance& c) {
  const double m = root(c.p * c.q);
  const double rho = c.r / (m > 0.0 ? m : 1.0);
  return rho > 1.0 ? 1.0 : (rho < -1.0 ? -1.0 : rho);
}

// sqrt((1 - |rho|) / 2), from 1 - |rho| = d / (m (m + |r|)), m = sqrt(p q).
LAZYGRAM_HOST_DEVICE double half_chord(const Covariance& c) {
  const double m = root(c.p * c.q);
  const double scale = 2.0 * m * (m + absolute(c.r));
  const double x = root(c.d / (scale > 0.0 ? scale : 1.0));
  return x < 0.70710678118654752 ? x : 0.70710678118654752;
}

LAZYGRAM_HOST_DEVICE double correlation_table(const CorrelationTable& table, double rho) {
  double b1 = 0.0, b2 = 0.0;
  for (int k = table.size - 1; k >= 1; --k) {
    const double b0 = madd(2.0 * rho, b1, table.coefficients[k] - b2);
    b2 = b1;
    b1 = b0;
  }
  return madd(rho, madd(rho, b1, table.coefficients[0] - b2), table.at_zero);
}

LAZYGRAM_HOST_DEVICE int root_panel(const RootTable& table, double x, double r) {
  int panel = r < 0.0 ? table.panels : 0;
  for (int k = 0; k + 1 < table.panels; ++k) panel += x > table.edges[k] ? 1 : 0;
  return panel;
}

LAZYGRAM_HOST_DEVICE double root_table(const RootTable& table, double x, double r) {
  const int panel = root_panel(table, x, r);
  const double t = (x - table.centre[panel]) * table.scale[panel];
  double s = table.coefficients[panel];
  for (int k = 1; k < table.size; ++k)
    s = madd(s, t, table.coefficients[k * 2 * table.panels + panel]);
  return s;
}

}  // namespace lazygram::duals
