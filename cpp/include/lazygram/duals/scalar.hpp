// Scalar building blocks of the duals: determinant, arc tangent, exponential, free of branches and
// of libm.
//
// A loop over any function of this folder vectorises: selections are written as `condition ? a : b`
// on values that are both computed. Everything has internal linkage, because the same formula is
// compiled once per instruction-set level (cmake/isa.cmake) and, under nvcc, for the device.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define LAZYGRAM_HOST_DEVICE __host__ __device__ __forceinline__ static
#define LAZYGRAM_UNROLL(count) _Pragma("unroll")
#else
#define LAZYGRAM_PRAGMA(text) _Pragma(#text)
#define LAZYGRAM_UNROLL(count) LAZYGRAM_PRAGMA(GCC unroll count)
#define LAZYGRAM_HOST_DEVICE [[gnu::always_inline]] [[maybe_unused]] static inline
#endif

namespace lazygram::duals {

inline constexpr double kPi = 3.14159265358979323846;

// A 2x2 covariance [[p, r], [r, q]] together with its determinant (see `determinant`), already
// clipped to the PSD cone: p, q, d >= 0, and |r| <= sqrt(p q) up to one rounding.
struct Covariance {
  double p, q, r, d;
};

// a * b + c: one rounding where the hardware has a fused multiply-add, two elsewhere.
LAZYGRAM_HOST_DEVICE double madd(double a, double b, double c) {
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

LAZYGRAM_HOST_DEVICE double absolute(double x) { return __builtin_fabs(x); }
LAZYGRAM_HOST_DEVICE double root(double x) { return __builtin_sqrt(x); }

// p q - r^2 within two units in its own last place (Kahan; Jeannerod, Louvet, Muller, Math. Comp.
// 82 (2013) 2245), so that 1 - rho^2 keeps its relative accuracy however near rho is to 1. Without
// a fused multiply-add the product's rounding error comes from Dekker's splitting. Needs p, q <
// 1e150.
LAZYGRAM_HOST_DEVICE double determinant(double p, double q, double r) {
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  const double square = r * r;
  const double lost = __builtin_fma(r, r, -square);
  return __builtin_fma(p, q, -square) - lost;
#else
  constexpr double split = 134217729.0;  // 2^27 + 1
  const double square = r * r, product = p * q;
  const double rs = split * r, ps = split * p, qs = split * q;
  const double rh = rs - (rs - r), rl = r - rh;
  const double ph = ps - (ps - p), pl = p - ph;
  const double qh = qs - (qs - q), ql = q - qh;
  const double lost_square = ((rh * rh - square) + 2.0 * (rh * rl)) + rl * rl;
  const double lost_product = ((ph * qh - product) + (ph * ql + pl * qh)) + pl * ql;
  return (product - square) + (lost_product - lost_square);
#endif
}

// The series of (atan(t)/t - 1)/t^2 in z = t^2, 0 <= z <= tan(pi/8)^2: Chebyshev interpolation,
// error 4e-20.
LAZYGRAM_HOST_DEVICE double atan_series(double z) {
  double s = -0.013905374533113234;
  s = madd(s, z, 0.030622995553735516);
  s = madd(s, z, -0.04103887546862687);
  s = madd(s, z, 0.04719259188242093);
  s = madd(s, z, -0.05258020272656758);
  s = madd(s, z, 0.058819230561140225);
  s = madd(s, z, -0.06666641869131183);
  s = madd(s, z, 0.07692306729194896);
  s = madd(s, z, -0.0909090906681608);
  s = madd(s, z, 0.11111111110751482);
  s = madd(s, z, -0.1428571428571149);
  s = madd(s, z, 0.19999999999999993);
  return madd(s, z, -0.3333333333333333);
}

// Angle in [0, pi/2] of the point (x, y) with x, y >= 0, relative error 4e-16; 0 for (0, 0).
LAZYGRAM_HOST_DEVICE double quadrant_angle(double y, double x) {
  const bool steep = y > x;
  const double low = steep ? x : y;
  const double high = steep ? y : x;
  const bool middle = low > 0.41421356237309503 * high;  // beyond pi/8: turn by pi/4
  const double numerator = middle ? low - high : low;
  const double denominator = middle ? low + high : high;
  const double t = numerator / (denominator > 0.0 ? denominator : 1.0);
  const double z = t * t;
  const double turned = madd(t * z, atan_series(z), t);
  const double angle = middle ? 0.78539816339744831 + turned : turned;
  // pi/2 in two parts: the second is below one unit in the last place of the first but keeps x -> 0
  // exact.
  return steep ? (1.5707963267948966 - angle) + 6.123233995736766e-17 : angle;
}

// Angle in [0, pi] of (x, y) with y >= 0.
LAZYGRAM_HOST_DEVICE double half_plane_angle(double y, double x) {
  const double angle = quadrant_angle(y, absolute(x));
  return x < 0.0 ? (kPi - angle) + 1.2246467991473532e-16 : angle;
}

// What exp and expm1 share: x = n log 2 + f, |f| <= 0.347; `tail` is (e^f - 1 - f).
struct Reduced {
  double n, f, tail;
  std::int64_t exponent;
};

LAZYGRAM_HOST_DEVICE std::int64_t bits_of(double x) { return __builtin_bit_cast(std::int64_t, x); }
LAZYGRAM_HOST_DEVICE double from_bits(std::int64_t x) { return __builtin_bit_cast(double, x); }

LAZYGRAM_HOST_DEVICE Reduced reduce(double x) {
  constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  Reduced result;
  const double shifted = madd(x, 1.4426950408889634074, shift);
  result.n = shifted - shift;
  result.exponent = bits_of(shifted) - bits_of(shift);
  double f = madd(result.n, -0.693147180369123816490, x);
  f = madd(result.n, -1.90821492927058781614e-10, f);
  double s = 1.6084831332283696e-10;
  s = madd(s, f, 2.0915442297780116e-09);
  s = madd(s, f, 2.50520767806545e-08);
  s = madd(s, f, 2.75572718102198e-07);
  s = madd(s, f, 2.7557319240929863e-06);
  s = madd(s, f, 2.4801587327007187e-05);
  s = madd(s, f, 0.00019841269841266133);
  s = madd(s, f, 0.0013888888888883327);
  s = madd(s, f, 0.008333333333333333);
  s = madd(s, f, 0.04166666666666667);
  s = madd(s, f, 0.16666666666666666);
  result.f = f;
  result.tail = f * f * madd(s, f, 0.5);
  return result;
}

// e^x, relative error 3e-16; 0 below -746, +infinity above 709.78.
LAZYGRAM_HOST_DEVICE double exponential(double x) {
  const double clipped = x < -746.0 ? -746.0 : (x > 710.0 ? 710.0 : x);
  const Reduced part = reduce(clipped);
  // Two factors, because 2^n itself may be below or above the normal range.
  const std::int64_t half = part.exponent >> 1;
  const double scale1 = from_bits((half + 1023) << 52);
  const double scale2 = from_bits((part.exponent - half + 1023) << 52);
  return ((1.0 + (part.f + part.tail)) * scale1) * scale2;
}

// e^x - 1 for x <= 0, relative error 4e-16.
LAZYGRAM_HOST_DEVICE double exponential_minus_one(double x) {
  const double clipped = x < -40.0 ? -40.0 : x;
  const Reduced part = reduce(clipped);
  const double scale = from_bits((part.exponent + 1023) << 52);
  return madd(scale, part.f + part.tail, scale - 1.0);
}

}  // namespace lazygram::duals
