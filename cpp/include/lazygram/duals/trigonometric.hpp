// Dual of a Fourier feature phi(x) = amplitude cos(frequency x + phase); sine and cosine are
// special phases.
//
// cos(s) cos(t) = (cos(s - t) + cos(s + t)) / 2 and E cos(g) = exp(-Var(g) / 2) (Rahimi and Recht,
// "Random features for large-scale kernel machines", NeurIPS 2007), with C = cos(2 phase), w =
// frequency:
//   E = amplitude^2 / 2 (exp(-w^2 (p + q - 2r) / 2) + C exp(-w^2 (p + q + 2r) / 2)).
// phi' is of the same family: amplitude * w, phase + pi/2, that is C -> -C. The larger exponential
// is taken out; the rest is 1 + C + (C or 1) expm1(-2 w^2 |r|), free of cancellation for sine (C =
// -1) at r -> 0.
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

struct Trigonometric {
  double half_power;    // amplitude^2 / 2
  double frequency2;    // w^2
  double cos2phase;     // C
  double one_plus_cos;  // 1 + C
};

LAZYGRAM_HOST_DEVICE double trigonometric(const Trigonometric& plan, const Covariance& c) {
  const double size = absolute(c.r);
  // Each difference is exact when p, q and r are near each other.
  const double gap = 0.5 * ((c.p - size) + (c.q - size));
  const double envelope = exponential(-plan.frequency2 * gap);
  const double rest = exponential_minus_one(-2.0 * plan.frequency2 * size);
  const double weight = c.r > 0.0 ? plan.cos2phase : 1.0;
  return plan.half_power * envelope * madd(weight, rest, plan.one_plus_cos);
}

}  // namespace lazygram::duals
