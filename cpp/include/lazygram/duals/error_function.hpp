// Dual of erf(scale x).
//
// Williams, "Computing with infinite networks" (NeurIPS 1996): at scale 1
//   E = (2/pi) asin(2r / sqrt((1+2p)(1+2q))),   derivative dual (4/pi) / sqrt((1+2p)(1+2q) - 4r^2).
// The sine's cosine is D / sqrt((1+2p)(1+2q)) with D^2 = 1 + 2p + 2q + 4 (pq - r^2), so the angle
// is atan2(2r, D): no loss near rho = +-1 at large variance, where asin is steep.
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

struct ErrorFunction {
  double scale2;  // scale^2
};

LAZYGRAM_HOST_DEVICE double erf_cosine(const ErrorFunction& plan, const Covariance& c) {
  const double s = plan.scale2;
  return root(madd(4.0 * s * s, c.d, madd(2.0 * s, c.p + c.q, 1.0)));
}
LAZYGRAM_HOST_DEVICE double erf_dual(const ErrorFunction& plan, const Covariance& c) {
  const double angle = quadrant_angle(2.0 * plan.scale2 * absolute(c.r), erf_cosine(plan, c));
  return __builtin_copysign(0.63661977236758134 * angle, c.r);
}
LAZYGRAM_HOST_DEVICE double erf_derivative(const ErrorFunction& plan, const Covariance& c) {
  return 1.2732395447351628 * plan.scale2 / erf_cosine(plan, c);
}

}  // namespace lazygram::duals
