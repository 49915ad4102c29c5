// Duals of exp(rate x) and of the Gaussian bump exp(-x^2 / (2 width^2)).
//
// Moment generating function of a normal: E e^{a(u+v)} = exp(a^2 (p + q + 2r) / 2). Gaussian
// integral: E exp(-(u^2 + v^2) / 2) = det(I + Lambda)^{-1/2}, D^2 = det(I + Lambda) = 1 + p + q +
// (pq - r^2); its derivative dual is d/dr D^{-1} = r / D^3 (Price, IRE Trans. Inf. Theory 4 (1958)
// 69).
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

struct Exponential {
  double half_rate2;  // rate^2 / 2
  double scale;       // rate^2 for the derivative dual, otherwise 1
};

// The exponent can be in the hundreds, where one unit in its last place is 1e-13: the rounding
// error of the sum (Knuth's two-sum, twice) is added back as a factor. Overflows to +infinity like
// the expectation itself.
LAZYGRAM_HOST_DEVICE double exponential_dual(const Exponential& plan, const Covariance& c) {
  const double s1 = c.p + c.q;
  const double t1 = s1 - c.p;
  const double e1 = (c.p - (s1 - t1)) + (c.q - t1);
  const double r2 = 2.0 * c.r;
  const double s2 = s1 + r2;
  const double t2 = s2 - s1;
  const double e2 = (s1 - (s2 - t2)) + (r2 - t2);
  const double exponent = plan.half_rate2 * s2;
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  const double lost = __builtin_fma(plan.half_rate2, s2, -exponent);
#else
  const double lost = 0.0;
#endif
  const double value = exponential(exponent);
  return plan.scale *
         madd(value < 1e308 ? value : 0.0, madd(plan.half_rate2, e1 + e2, lost), value);
}

struct Gaussian {
  double inverse_width2;
};

LAZYGRAM_HOST_DEVICE double gaussian_determinant(const Gaussian& plan, const Covariance& c) {
  const double w = plan.inverse_width2;
  return madd(w * w, c.d, madd(w, c.p + c.q, 1.0));
}
LAZYGRAM_HOST_DEVICE double gaussian_dual(const Gaussian& plan, const Covariance& c) {
  return 1.0 / root(gaussian_determinant(plan, c));
}
LAZYGRAM_HOST_DEVICE double gaussian_derivative(const Gaussian& plan, const Covariance& c) {
  const double d2 = gaussian_determinant(plan, c);
  return (plan.inverse_width2 * plan.inverse_width2) * c.r / (d2 * root(d2));
}

}  // namespace lazygram::duals
