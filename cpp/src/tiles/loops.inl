// Loops of the tile engine, vectorised by the compiler at each level; included by
// loops_<level>.cpp with LAZYGRAM_LEVEL set.
//
// The arc-cosine loop is what a deep ReLU kernel costs: two square roots (about 17 cycles per
// 8 float64 on Zen 4), a polynomial of degree 11 and about 25 other operations an entry. The other
// loops are bound by the level-2 cache.

#include <cstdint>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "tiles/loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

#include "tiles/arcsine.inl"

// 1 - |rho| below this counts as 0: r and the deviations are rounded in every layer, and a multiple
// of an example, after some layers, has up to this. An angle of 9e-8 is lost where rounding leaves
// 5e-8 open anyway.
constexpr double kParallel = 4e-15;

template <int tracks, bool one_left>
void rectified_tracks(const RectifiedPlan& plan, const Deviations& d, double* K,
                      double* const* theta, int any_tracks, std::int64_t rows,
                      std::int64_t entries) {
  using V = DoubleVector;
  const V sine_factor = V{} + plan.sine, cosine_factor = V{} + plan.cosine;
  const V angle_factor = V{} + plan.angle, constant = V{} + plan.constant;
  const V half_pi = V{} + 1.5707963267948966192, one = V{} + 1.0, zero = V{};
  const auto pair = [&](V r, V left, V left_inverse, V right, V right_inverse, V& factor) {
    const V rho = r * left_inverse * right_inverse;
    const auto negative = rho < zero;
    V rest = one - (negative ? -rho : rho);  // 1 - |rho|
    rest = rest < kParallel + zero ? zero : rest;
    const V size = one - rest, asin_size = asin_of(size, rest);
    const V angle = half_pi + (negative ? -asin_size : asin_size);  // pi - t
    const V c = negative ? -size : size;
    const V sine = root(rest * (one + size));
    factor = madd(angle_factor, angle, constant);
    return left * right * madd(sine_factor, madd(c, angle, sine), cosine_factor * c);
  };
  for (std::int64_t o = 0; o < rows; ++o) {
    const double* const left = d.left + o * d.left_step;
    const double* const left_inverse = d.left_inverse + o * d.left_step;
    const double* const right = d.right + o * d.right_step;
    const double* const right_inverse = d.right_inverse + o * d.right_step;
    const V one_root = zero + *left, one_inverse = zero + *left_inverse;
    double* const k = K + o * entries;
    std::int64_t e = 0;
    V factor;
    for (; e + kLanes<double> <= entries; e += kLanes<double>) {
      store(k + e, pair(load(k + e), one_left ? one_root : load(left + e),
                        one_left ? one_inverse : load(left_inverse + e), load(right + e),
                        load(right_inverse + e), factor));
      for (int t = 0; t < (tracks < 2 ? tracks : any_tracks); ++t) {
        double* const to = theta[t] + o * entries + e;
        store(to, load(to) * factor);
      }
    }
    if (e == entries) continue;
    const std::int64_t n = entries - e;
    store_some(k + e,
               pair(load_some(k + e, n), one_left ? one_root : load_some(left + e, n),
                    one_left ? one_inverse : load_some(left_inverse + e, n),
                    load_some(right + e, n), load_some(right_inverse + e, n), factor),
               n);
    for (int t = 0; t < (tracks < 2 ? tracks : any_tracks); ++t) {
      double* const to = theta[t] + o * entries + e;
      store_some(to, load_some(to, n) * factor, n);
    }
  }
}

void rectified(const RectifiedPlan& plan, const Deviations& d, double* K, double* const* theta,
               int tracks, std::int64_t rows, std::int64_t entries) {
  const auto run = [&](auto one_left) {
    if (tracks == 0) return rectified_tracks<0, one_left>(plan, d, K, theta, 0, rows, entries);
    if (tracks == 1) return rectified_tracks<1, one_left>(plan, d, K, theta, 1, rows, entries);
    rectified_tracks<2, one_left>(plan, d, K, theta, tracks, rows, entries);
  };
  if (d.one_left) return run(std::true_type{});
  run(std::false_type{});
}

template <int fixed_taps>
void sum_taps(double* out_, const double* in, const double* zeros, const std::int32_t* source,
              int any_taps, double factor, std::int64_t outputs, std::int64_t run) {
  const int taps = fixed_taps ? fixed_taps : any_taps;
  const DoubleVector times = DoubleVector{} + factor;
  for (std::int64_t o = 0; o < outputs; ++o) {
    double* const out = out_ + o * run;
    const std::int32_t* const from = source + o * taps;
    const auto at = [&](int s) { return from[s] < 0 ? zeros : in + from[s] * run; };
    std::int64_t e = 0;
    for (; e + kLanes<double> <= run; e += kLanes<double>) {
      DoubleVector sum = load(at(0) + e);
      for (int s = 1; s < taps; ++s) sum += load(at(s) + e);
      store(out + e, times * sum);
    }
    for (; e < run; ++e) {
      double sum = at(0)[e];
      for (int s = 1; s < taps; ++s) sum += at(s)[e];
      out[e] = factor * sum;
    }
  }
}

void sum_runs(double* out, const double* in, const double* zeros, const std::int32_t* source,
              int taps, double factor, std::int64_t outputs, std::int64_t run) {
  if (taps == 3) return sum_taps<3>(out, in, zeros, source, 3, factor, outputs, run);
  if (taps == 2) return sum_taps<2>(out, in, zeros, source, 2, factor, outputs, run);
  sum_taps<0>(out, in, zeros, source, taps, factor, outputs, run);
}

void affine(double* __restrict x, double a, double b, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) x[e] = madd(a, x[e], b);
}

void combine(double* __restrict y, double a, const double* __restrict x, double b, double c,
             std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) y[e] = madd(a, y[e], madd(b, x[e], c));
}

void multiply(double* __restrict y, const double* __restrict x, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) y[e] *= x[e];
}

void multiply_add(double* __restrict out, const double* __restrict a, const double* __restrict b,
                  std::int64_t rows, std::int64_t count) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t e = 0; e < count; ++e)
      out[r * count + e] = madd(a[e], b[r * count + e], out[r * count + e]);
}

void scale_both(double* __restrict x, const double* __restrict f, const double* __restrict g,
                std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) x[e] *= f[e] * g[e];
}

void add_outer(double* __restrict x, double c, const double* __restrict left1,
               const double* __restrict right1, const double* __restrict left2,
               const double* __restrict right2, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    x[e] = madd(c, left1[e] * right2[e] + left2[e] * right1[e], x[e]);
  }
}

}  // namespace

extern const TileLoops tile_loops;
const TileLoops tile_loops = {rectified, sum_runs,     affine,     combine,
                              multiply,  multiply_add, scale_both, add_outer};

}  // namespace lazygram::LAZYGRAM_LEVEL
