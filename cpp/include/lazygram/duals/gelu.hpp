// Dual of GELU, phi(x) = x Phi(x), Phi the standard normal distribution function.
//
// Tsuchida, Pearce, van der Heide, Roosta, Gallagher, "Avoiding kernel fixed points" (AAAI 2021),
// regrouped so that no term is a difference of large ones. With D^2 = 1 + p + q + (pq - r^2), S =
// (1+p)(1+q) = D^2 + r^2:
//   2 pi E  = r atan2(D, -r) + (p q D^2 + r^2) / (D S)
//   2 pi E' =   atan2(D, -r) + r ((3 + p + q) D^2 + r^2) / (D^3 S)
// For r < 0 and t = D / |r| small the two terms of E nearly cancel; there, with (1+p)(1+q) = D^2 (1
// + 1/t^2),
//   2 pi E = D (((1/t^2 - (1 + p + q)) / S) + (1 - atan(t) / t)).
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

LAZYGRAM_HOST_DEVICE double gelu_dual(const Covariance& c) {
  const double trace = 1.0 + (c.p + c.q);  // in this order: symmetric in p and q bit for bit
  const double d = root(trace + c.d);
  const double p1 = 1.0 / (1.0 + c.p), q1 = 1.0 / (1.0 + c.q);
  const double angle = half_plane_angle(d, -c.r);
  const double ratio = c.r / d;
  const double plain = madd(c.r, angle, d * ((c.p * p1) * (c.q * q1)) + (ratio * c.r) * (p1 * q1));
  // t <= tan(pi/8): 1 - atan(t)/t is the series itself. A dummy t keeps the unused lanes finite.
  const bool antiparallel = c.r < -2.5 * d;
  const double t = antiparallel ? d / (antiparallel ? -c.r : 1.0) : 0.25;
  const double z = t * t;
  const double near = d * (madd(ratio, ratio, -trace) * (p1 * q1) - z * atan_series(z));
  return 0.15915494309189535 * (antiparallel ? near : plain);
}

LAZYGRAM_HOST_DEVICE double gelu_derivative(const Covariance& c) {
  const double trace = 1.0 + (c.p + c.q);  // in this order: symmetric in p and q bit for bit
  const double d2 = trace + c.d, d = root(d2);
  const double p1 = 1.0 / (1.0 + c.p), q1 = 1.0 / (1.0 + c.q);
  const double angle = half_plane_angle(d, -c.r);
  const double ratio = c.r / d;
  return 0.15915494309189535 * madd(ratio * (p1 * q1), madd(ratio, ratio, 2.0 + trace), angle);
}

}  // namespace lazygram::duals
