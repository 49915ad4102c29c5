// Duals of homogeneous kinked activations phi(x) = a x^n for x > 0, b (-x)^n for x < 0: the
// arc-cosine family.
//
// n = 0: step (1, 0), sign (1, -1); n = 1: ReLU (1, 0), leaky ReLU (1, -slope), absolute value (1,
// 1); n >= 2: rectified monomials. phi' is of the same family: (n - 1, n a, -n b).
//
// Cho and Saul, "Kernel methods for deep learning" (NeurIPS 2009): with theta the angle between the
// inputs,
//   2 pi E[u_+^n v_+^n] = (p q)^{n/2} J_n(theta),   J_0 = pi - theta,   dJ_n/d(cos theta) = n^2
//   J_{n-1}.
// J_n = A_n(cos theta) (pi - theta) + B_n(cos theta) sin theta cancels near theta = pi. Here only
// j_n(f) = J_n(pi - f) is evaluated, for f = min(theta, pi - theta) in [0, pi/2], by its Taylor
// series f^{2n+1} T_n(f^2), which has full relative accuracy; the other half follows from
//   J_n(theta) = pi A_n(cos theta) - (-1)^n J_n(pi - theta).
#pragma once

#include "lazygram/duals/scalar.hpp"

namespace lazygram::duals {

inline constexpr int kRectifiedMaxOrder = 8;
inline constexpr int kRectifiedTerms = 16;  // (pi/2)^{2k} / (2k)! < 1e-20 at the last one

struct Rectified {
  int order;                       // n
  double same;                     // (a^2 + b^2) / (2 pi): u and v on the same side of the kink
  double opposite;                 // 2 a b / (2 pi)
  double at_zero;                  // phi(0), which only matters for n = 0
  double mean;                     // (a + b) / 2 = E phi(v) for n = 0
  double series[kRectifiedTerms];  // T_n
  double angular[kRectifiedMaxOrder / 2 + 1];  // pi A_n(c) = sum_k angular[k] c^{n - 2k}
};

// j_n and pi A_n, both times (p q)^{n/2}, combined; `small` and `large` are the dual's two halves.
LAZYGRAM_HOST_DEVICE double rectified_combine(const Rectified& plan, double r, double small,
                                              double large) {
  const bool positive = r >= 0.0;
  const double same = positive ? large : small;
  const double opposite = positive ? small : large;
  return madd(plan.same, same, plan.opposite * opposite);
}

// n = 0. A variance of zero makes u = 0 almost surely: phi(0) E phi(v).
LAZYGRAM_HOST_DEVICE double rectified0(const Rectified& plan, const Covariance& c) {
  const double f = quadrant_angle(root(c.d), absolute(c.r));
  const double regular = rectified_combine(plan, c.r, f, (kPi - f) + 1.2246467991473532e-16);
  const double first = c.p > 0.0 ? plan.mean : plan.at_zero;
  const double second = c.q > 0.0 ? plan.mean : plan.at_zero;
  return (c.p > 0.0) & (c.q > 0.0) ? regular : first * second;
}

// n = 1: sin f - f cos f = f^3 T_1(f^2), written out because it is the case that has to be fast.
LAZYGRAM_HOST_DEVICE double rectified1(const Rectified& plan, const Covariance& c) {
  const double size = absolute(c.r);
  const double f = quadrant_angle(root(c.d), size);
  const double z = f * f;
  double s = plan.series[11];
  s = madd(s, z, plan.series[10]);
  s = madd(s, z, plan.series[9]);
  s = madd(s, z, plan.series[8]);
  s = madd(s, z, plan.series[7]);
  s = madd(s, z, plan.series[6]);
  s = madd(s, z, plan.series[5]);
  s = madd(s, z, plan.series[4]);
  s = madd(s, z, plan.series[3]);
  s = madd(s, z, plan.series[2]);
  s = madd(s, z, plan.series[1]);
  s = madd(s, z, plan.series[0]);
  const double small = root(c.p * c.q) * (z * f * s);
  return rectified_combine(plan, c.r, small, madd(kPi, size, small));
}

// Any n >= 2; the order is a constant so that every loop unrolls.
template <int Order>
LAZYGRAM_HOST_DEVICE double rectified_any(const Rectified& plan, const Covariance& c) {
  const double size = absolute(c.r);
  const double f = quadrant_angle(root(c.d), size);
  const double z = f * f;
  double s = plan.series[kRectifiedTerms - 1];
  LAZYGRAM_UNROLL(16)
  for (int k = kRectifiedTerms - 2; k >= 0; --k) s = madd(s, z, plan.series[k]);
  // m = p q: f^{2n+1} m^{n/2} and sum_k angular[k] |r|^{n-2k} m^k, so no division by sqrt(p q) is
  // needed.
  const double m = c.p * c.q, step = root(m) * z;
  double small = s * f;
  LAZYGRAM_UNROLL(8)
  for (int k = 0; k < Order; ++k) small *= step;
  const double square = size * size;
  double large = plan.angular[0];
  double power = 1.0;
  LAZYGRAM_UNROLL(8)
  for (int k = 1; k <= Order / 2; ++k) {
    power *= m;
    large = madd(large, square, plan.angular[k] * power);
  }
  large *= Order % 2 ? size : 1.0;
  large = Order % 2 ? large + small : large - small;
  return rectified_combine(plan, c.r, small, large);
}

}  // namespace lazygram::duals
