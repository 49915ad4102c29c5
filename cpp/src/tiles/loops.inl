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
inline float madd(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
inline double root(double x) { return __builtin_sqrt(x); }
inline float root(float x) { return __builtin_sqrtf(x); }
// As an object, for asin_tail.
constexpr auto fused = [](auto a, auto b, auto c) { return madd(a, b, c); };

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
        const double chord = root(half);
        const double t = big ? half : a * a;
        const double x = big ? chord : a;
        const double small = madd(x, t * asin_tail(t, fused), x);
        const double asin_size = big ? madd(-2.0, small, half_pi) : small;
        const double angle = half_pi + (rho < 0 ? -asin_size : asin_size);  // pi - t
        const double c = rho < 0 ? -a : a;
        const double sine = root(complement_size * (1.0 + a));
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

// Native vectors: Clenshaw's recurrence is a chain of dependent multiply-adds, so several run side
// by side in registers.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
typedef float FloatVector __attribute__((vector_size(kVectorBytes)));
typedef double DoubleVector __attribute__((vector_size(kVectorBytes)));
template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = FloatVector;
};
template <>
struct VectorOf<double> {
  using type = DoubleVector;
};

template <typename V>
inline V vmadd(V a, V b, V c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  V result;
  for (int l = 0; l < static_cast<int>(sizeof(V) / sizeof(a[0])); ++l)
    result[l] = madd(a[l], b[l], c[l]);
  return result;
#else
  return a * b + c;
#endif
}

template <typename T>
bool angle_row(const AngleSeries<T>& series_, const T* cosine, T scale, const T* right,
               std::int64_t count, T* const* out) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(T)), G = 4, block = G * lanes;
  constexpr T half_pi = T(1.5707963267948966192);
  const AngleSeries<T> series = series_;
  int near = 0;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const int here = count - begin < block ? static_cast<int>(count - begin) : block;
    alignas(64) T c[block], z[block], s[block], value[block];
    if (here == block) {
      __builtin_memcpy(c, cosine + begin, sizeof c);
      for (int j = 0; j < block; ++j) s[j] = scale * right[begin + j];
    } else {
      for (int j = 0; j < block; ++j) {
        c[j] = j < here ? cosine[begin + j] : T(0);
        s[j] = j < here ? scale * right[begin + j] : T(0);
      }
    }
    for (int j = 0; j < block; ++j) {
      const T size = c[j] < 0 ? -c[j] : c[j];
      near |= size > series.near ? 1 : 0;
      const T a = size < T(1) ? size : T(1);
      const bool big = a > T(0.5);
      const T half = T(0.5) * (T(1) - a);
      const T chord = root(half);
      const T t = big ? half : a * a;
      const T x = big ? chord : a;
      const T small = madd(x, t * asin_tail(t, fused), x);
      const T asin_size = big ? madd(T(-2), small, half_pi) : small;
      z[j] = half_pi - (c[j] < 0 ? -asin_size : asin_size);
    }
    if (series.shift > T(0)) {
      for (int j = 0; j < block; ++j)
        z[j] = madd(series.slope, z[j], -series.shift) / (z[j] + series.shift);
    } else {
      for (int j = 0; j < block; ++j) z[j] = madd(series.slope, z[j], T(-1));
    }
    for (int f = 0; f < series.count; ++f) {
      V t[G], twice[G], b1[G], b2[G];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        __builtin_memcpy(&t[g], z + g * lanes, sizeof(V));
        twice[g] = t[g] + t[g];
        b1[g] = b2[g] = V{};
      }
      for (int k = series.terms[f] - 1; k >= 1; --k) {
        const V coefficient = series.coefficients[f][k] - V{};
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          const V b0 = vmadd(twice[g], b1[g], coefficient - b2[g]);
          b2[g] = b1[g];
          b1[g] = b0;
        }
      }
      const V lowest = series.coefficients[f][0] - V{};
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        V factor;
        __builtin_memcpy(&factor, s + g * lanes, sizeof(V));
        const V result = factor * vmadd(t[g], b1[g], lowest - b2[g]);
        __builtin_memcpy(value + g * lanes, &result, sizeof(V));
      }
      if (here == block) {
        __builtin_memcpy(out[f] + begin, value, sizeof value);
      } else {
        for (int j = 0; j < here; ++j) out[f][begin + j] = value[j];
      }
    }
  }
  return near != 0;
}

template <typename T>
T dot_add(const T* row, const T* v, T factor, T* __restrict y, std::int64_t count) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(T)), G = 4, block = G * lanes;
  V sum[G] = {};
  const V times = factor - V{};
  std::int64_t j = 0;
  for (; j + block <= count; j += block) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      V k, x, old;
      __builtin_memcpy(&k, row + j + g * lanes, sizeof(V));
      __builtin_memcpy(&x, v + j + g * lanes, sizeof(V));
      __builtin_memcpy(&old, y + j + g * lanes, sizeof(V));
      sum[g] = vmadd(k, x, sum[g]);
      old = vmadd(k, times, old);
      __builtin_memcpy(y + j + g * lanes, &old, sizeof(V));
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

extern const TileLoops tile_loops;
const TileLoops tile_loops = {rectified, sum_runs,     affine,     combine,
                              multiply,  multiply_add, scale_both, add_outer};

}  // namespace lazygram::LAZYGRAM_LEVEL
