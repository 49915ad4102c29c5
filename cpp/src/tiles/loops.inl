// Loops of the tile engine, vectorised by the compiler at each level; included by
// loops_<level>.cpp with LAZYGRAM_LEVEL set.
//
// The arc-cosine loop is what a deep ReLU kernel costs: two square roots (about 17 cycles per
// 8 float64 on Zen 4), a polynomial of degree 11 and about 25 other operations an entry. The other
// loops are bound by the level-2 cache.

#include <cstdint>

#include "tiles/loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

inline double madd(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

#include "gram/asin_tail.inl"

// 1 - |rho| below this counts as 0: r and the two deviations are each rounded, so a repeated
// example has about this. An angle of 4e-8 is lost, which is what a rounded r leaves open anyway.
constexpr double kParallel = 1.5e-15;

template <int tracks>
void rectified_tracks(const RectifiedPlan& plan_, const Deviations& d, double* K,
                      double* const* theta, int any_tracks, std::int64_t rows,
                      std::int64_t entries) {
  constexpr double half_pi = 1.5707963267948966192;
  const RectifiedPlan plan = plan_;
  const int others = tracks < 2 ? 0 : any_tracks - 1;
  for (std::int64_t o = 0; o < rows; ++o) {
    const double* __restrict left = d.left + o * d.left_step;
    const double* __restrict left_inverse = d.left_inverse + o * d.left_step;
    const double* __restrict right = d.right + o * entries;
    const double* __restrict right_inverse = d.right_inverse + o * entries;
    double* __restrict k = K + o * entries;
    double* __restrict first = tracks ? theta[0] + o * entries : nullptr;
    constexpr int block = 64;
    for (std::int64_t begin = 0; begin < entries; begin += block) {
      const std::int64_t end = begin + block < entries ? begin + block : entries;
      alignas(64) double derivative[block];
      for (std::int64_t e = begin; e < end; ++e) {
        const double rho = k[e] * left_inverse[e] * right_inverse[e];
        double complement_size = 1.0 - (rho < 0 ? -rho : rho);
        complement_size = complement_size < kParallel ? 0.0 : complement_size;  // 1 - |rho|
        const double a = 1.0 - complement_size;
        const bool big = a > 0.5;
        const double half = 0.5 * complement_size;
        const double chord = __builtin_sqrt(half);
        const double t = big ? half : a * a;
        const double x = big ? chord : a;
        const double small = madd(x, t * asin_tail(t, madd), x);
        const double asin_size = big ? madd(-2.0, small, half_pi) : small;
        const double angle = half_pi + (rho < 0 ? -asin_size : asin_size);  // pi - t
        const double c = rho < 0 ? -a : a;
        const double sine = __builtin_sqrt(complement_size * (1.0 + a));
        const double size = left[e] * right[e];
        k[e] = size * madd(plan.sine, madd(c, angle, sine), plan.cosine * c);
        if constexpr (tracks > 0) {
          const double factor = madd(plan.angle, angle, plan.constant);
          first[e] *= factor;
          if constexpr (tracks > 1) derivative[e - begin] = factor;
        }
      }
      if constexpr (tracks > 1) {
        for (int s = 1; s <= others; ++s) {
          double* __restrict other = theta[s] + o * entries;
          for (std::int64_t e = begin; e < end; ++e) other[e] *= derivative[e - begin];
        }
      }
    }
  }
}

void rectified(const RectifiedPlan& plan, const Deviations& d, double* K, double* const* theta,
               int tracks, std::int64_t rows, std::int64_t entries) {
  if (tracks == 0) return rectified_tracks<0>(plan, d, K, theta, 0, rows, entries);
  if (tracks == 1) return rectified_tracks<1>(plan, d, K, theta, 1, rows, entries);
  rectified_tracks<2>(plan, d, K, theta, tracks, rows, entries);
}

void sum_runs(double* __restrict out_, const double* __restrict in, const double* __restrict zeros,
              const std::int32_t* __restrict source, int taps, double factor, std::int64_t outputs,
              std::int64_t run) {
  const auto at = [&](std::int64_t o, int s) {
    const std::int32_t index = source[o * taps + s];
    return index < 0 ? zeros : in + index * run;
  };
  for (std::int64_t o = 0; o < outputs; ++o) {
    double* __restrict out = out_ + o * run;
    const double* __restrict a = at(o, 0);
    if (taps == 3) {
      const double* __restrict b = at(o, 1);
      const double* __restrict c = at(o, 2);
      for (std::int64_t e = 0; e < run; ++e) out[e] = factor * ((a[e] + b[e]) + c[e]);
      continue;
    }
    if (taps == 2) {
      const double* __restrict b = at(o, 1);
      for (std::int64_t e = 0; e < run; ++e) out[e] = factor * (a[e] + b[e]);
      continue;
    }
    for (std::int64_t e = 0; e < run; ++e) out[e] = factor * a[e];
    for (int s = 1; s < taps; ++s) {
      const double* __restrict b = at(o, s);
      for (std::int64_t e = 0; e < run; ++e) out[e] = madd(factor, b[e], out[e]);
    }
  }
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
