// Loops over functions of an angle and over the tiles made of them, vectorised at each level;
// included by angle_loops_<level>.cpp with LAZYGRAM_LEVEL set.

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "tiles/angle_loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

#include "tiles/arcsine.inl"

// Clenshaw's recurrence is a chain of dependent multiply-adds, so several vectors run side by side.
template <typename T>
bool angle_row(const AngleSeries<T>& series_, const T* cosine, T scale, const T* right,
               std::int64_t count, T* const* out) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>, G = 4, block = G * lanes;
  const AngleSeries<T> series = series_;
  const V half_pi = V{} + T(1.5707963267948966192), one = V{} + T(1), zero = V{};
  const V slope = V{} + series.slope, shift = V{} + series.shift, times = V{} + scale;
  V most = zero;
  const auto some = [](std::int64_t left) {
    return left < 0 ? 0 : left < kLanes<T> ? left : kLanes<T>;
  };
  const auto coordinate = [&](V c) {
    const auto negative = c < zero;
    V size = negative ? -c : c;
    most = size > most ? size : most;
    size = size < one ? size : one;
    const V asin_size = asin_of(size, one - size);
    const V theta = half_pi - (negative ? -asin_size : asin_size);
    if (series.shift > T(0)) return madd(slope, theta, -shift) / (theta + shift);
    return madd(slope, theta, -one);
  };
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t here = count - begin;
    V z[G];
    if (here >= block) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) z[g] = coordinate(load(cosine + begin + g * lanes));
    } else {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g)
        z[g] = coordinate(load_some(cosine + begin + g * lanes, some(here - g * lanes)));
    }
    for (int f = 0; f < series.count; ++f) {
      V twice[G], b1[G], b2[G];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        twice[g] = z[g] + z[g];
        b1[g] = b2[g] = zero;
      }
      for (int k = series.terms[f] - 1; k >= 1; --k) {
        const V coefficient = zero + series.coefficients[f][k];
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          const V b0 = madd(twice[g], b1[g], coefficient - b2[g]);
          b2[g] = b1[g];
          b1[g] = b0;
        }
      }
      const V lowest = zero + series.coefficients[f][0];
      T* const to = out[f] + begin;
      const T* const scales = right + begin;
      if (here >= block) {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g)
          store(to + g * lanes,
                times * load(scales + g * lanes) * madd(z[g], b1[g], lowest - b2[g]));
      } else {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          const std::int64_t count_here = some(here - g * lanes);
          store_some(
              to + g * lanes,
              times * load_some(scales + g * lanes, count_here) * madd(z[g], b1[g], lowest - b2[g]),
              count_here);
        }
      }
    }
  }
  T largest = 0;
  for (int l = 0; l < lanes; ++l) largest = most[l] > largest ? most[l] : largest;
  return largest > series.near;
}

template <typename T>
T dot_add(const T* row, const T* v, T factor, T* __restrict y, std::int64_t count) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>, G = 4, block = G * lanes;
  V sum[G] = {};
  const V times = V{} + factor;
  std::int64_t j = 0;
  for (; j + block <= count; j += block) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const V k = load(row + j + g * lanes);
      T* const to = y + j + g * lanes;
      sum[g] = madd(k, load(v + j + g * lanes), sum[g]);
      store(to, madd(k, times, load(to)));
    }
  }
  const V both = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  T total = 0;
  for (int l = 0; l < lanes; ++l) total += both[l];
  for (; j < count; ++j) {
    total = madd(row[j], v[j], total);
    y[j] = madd(factor, row[j], y[j]);
  }
  return total;
}

}  // namespace

extern const AngleLoops<float> angle_loops_float;
const AngleLoops<float> angle_loops_float = {angle_row<float>, dot_add<float>};
extern const AngleLoops<double> angle_loops_double;
const AngleLoops<double> angle_loops_double = {angle_row<double>, dot_add<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
