// Arc-cosine kernel values as one plain loop, vectorised by the compiler at each level; about 25 operations an
// entry, so an entry costs less than reading and writing it from memory.
//
// asin(x) = x + x t P(t) with t = x^2 for |x| <= 1/2, and pi/2 - 2 asin(sqrt((1 - |x|)/2)) above.
// P by cpp/tools/asin_polynomial.py: relative error 5e-9 (float), 1.5e-17 (double) before rounding.
// Included by arccosine_<level>.cpp with LAZYGRAM_LEVEL set.

#include <cstdint>

#include "gram/arccosine.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

inline float asin_tail(float t) {
  float p = 0.04216630869690434933f;
  p = p * t + 0.02417951538816685426f;
  p = p * t + 0.04547037566613679545f;
  p = p * t + 0.074952976452232101419f;
  return p * t + 0.16666752482181996299f;
}

inline double asin_tail(double t) {
  double p = 0.031912183886240849187;
  p = p * t - 0.01622412784473110717;
  p = p * t + 0.019528186536085140114;
  p = p * t + 0.0065280033731262946168;
  p = p * t + 0.012169205354094676371;
  p = p * t + 0.013885236387872330511;
  p = p * t + 0.017359704672701153868;
  p = p * t + 0.022371758056416079183;
  p = p * t + 0.030381959136708205035;
  p = p * t + 0.044642856828335276313;
  p = p * t + 0.075000000003370042468;
  return p * t + 0.16666666666665408966;
}

template <typename T>
bool row(const T* __restrict cosine, T scale, const T* __restrict norm, std::int64_t count,
         T* __restrict first, T* __restrict second) {
  constexpr T half_pi = T(1.5707963267948966192);
  constexpr T over_two_pi = T(0.15915494309189533577);
  T largest = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const T raw = cosine[j];
    const T size = raw < 0 ? -raw : raw;
    largest = largest > size ? largest : size;
    const T a = size < T(1) ? size : T(1);
    const T one_minus = T(1) - a;
    const bool big = a > T(0.5);
    const T t = big ? T(0.5) * one_minus : a * a;
    const T x = big ? root(T(0.5) * one_minus) : a;
    const T small_asin = x + x * (t * asin_tail(t));
    const T asin_size = big ? half_pi - T(2) * small_asin : small_asin;
    const T complement = half_pi + (raw < 0 ? -asin_size : asin_size);  // pi - th
    const T c = raw < 0 ? -a : a;
    const T sine = root(one_minus * (T(1) + a));
    const T s = (scale * over_two_pi) * norm[j];
    const T cc = c * complement;
    first[j] = s * cc;
    second[j] = s * (sine + cc);
  }
  return largest > T(kNearParallel);
}

}  // namespace

extern const ArccosineKernels<float> arccosine_float = {row<float>};
extern const ArccosineKernels<double> arccosine_double = {row<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
