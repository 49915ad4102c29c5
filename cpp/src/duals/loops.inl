// Loops over the formulas of duals/*.hpp, vectorised by the compiler at each level.
//
// Included by loops_<level>.cpp with LAZYGRAM_LEVEL set to the level's namespace. A chunk has a
// fixed number of entries, so there are no remainders; the level-1 cache holds all its arrays (5 x
// 2 KiB).

#include <cstdint>
#include <cstring>

#include "duals/loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

using namespace duals;

constexpr int N = kDualChunk;

bool prepare(DualChunk& x, double slack) {
  std::int64_t wrong = 0;
  const double limit = (1.0 + slack) * (1.0 + slack);
  for (int j = 0; j < N; ++j) {
    double p = x.p[j], q = x.q[j], r = x.r[j];
    // Written so that NaN counts as wrong.
    const bool good = (p >= 0.0) & (q >= 0.0) & (p <= kDualMaxVariance) & (q <= kDualMaxVariance) &
                      (r * r <= limit * (p * q));
    wrong += good ? 0 : 1;
    p = p < kDualMinVariance ? 0.0 : p;
    q = q < kDualMinVariance ? 0.0 : q;
    const double d = determinant(p, q, r);
    const double edge = __builtin_copysign(root(p * q), r);
    x.p[j] = p;
    x.q[j] = q;
    x.r[j] = d < 0.0 ? edge : r;
    x.d[j] = d < 0.0 ? 0.0 : d;
  }
  return wrong == 0;
}

template <typename Formula>
inline void loop(const DualChunk& x, double* __restrict out, Formula formula) {
  for (int j = 0; j < N; ++j) out[j] = formula(Covariance{x.p[j], x.q[j], x.r[j], x.d[j]});
}

template <int Order>
void rectified_any_loop(const Rectified& plan, const DualChunk& x, double* out) {
  loop(x, out, [&](const Covariance& c) { return rectified_any<Order>(plan, c); });
}

void rectified(const Rectified& plan_, const DualChunk& x, double* out) {
  const Rectified plan = plan_;
  switch (plan.order) {
    case 0:
      return loop(x, out, [&](const Covariance& c) { return rectified0(plan, c); });
    case 1:
      return loop(x, out, [&](const Covariance& c) { return rectified1(plan, c); });
    case 2:
      return rectified_any_loop<2>(plan, x, out);
    case 3:
      return rectified_any_loop<3>(plan, x, out);
    case 4:
      return rectified_any_loop<4>(plan, x, out);
    case 5:
      return rectified_any_loop<5>(plan, x, out);
    case 6:
      return rectified_any_loop<6>(plan, x, out);
    case 7:
      return rectified_any_loop<7>(plan, x, out);
    default:
      return rectified_any_loop<8>(plan, x, out);
  }
}

// Loops exchanged: the order of the sums is that of polynomial(), the entries are innermost.
void polynomial(const Polynomial& plan, const DualChunk& x, double* out) {
  alignas(64) double first[N], second[N], sum[N];
  for (int j = 0; j < N; ++j) sum[j] = 0.0;
  for (int k = plan.degree; k >= 0; --k) {
    const int top = (plan.degree - k) / 2;
    const double start = plan.expansion[k][top];
    for (int j = 0; j < N; ++j) first[j] = second[j] = start;
    for (int i = top - 1; i >= 0; --i) {
      const double c = plan.expansion[k][i];
      for (int j = 0; j < N; ++j) first[j] = madd(first[j], x.p[j], c);
      for (int j = 0; j < N; ++j) second[j] = madd(second[j], x.q[j], c);
    }
    for (int j = 0; j < N; ++j) sum[j] = madd(sum[j], x.r[j], first[j] * second[j]);
  }
  std::memcpy(out, sum, sizeof sum);
}

void trigonometric(const Trigonometric& plan_, const DualChunk& x, double* out) {
  const Trigonometric plan = plan_;
  loop(x, out, [&](const Covariance& c) { return duals::trigonometric(plan, c); });
}

void exponential(const Exponential& plan_, const DualChunk& x, double* out) {
  const Exponential plan = plan_;
  loop(x, out, [&](const Covariance& c) { return exponential_dual(plan, c); });
}

void gaussian(const Gaussian& plan_, bool derivative, const DualChunk& x, double* out) {
  const Gaussian plan = plan_;
  if (derivative) {
    loop(x, out, [&](const Covariance& c) { return gaussian_derivative(plan, c); });
  } else {
    loop(x, out, [&](const Covariance& c) { return gaussian_dual(plan, c); });
  }
}

void erf(const ErrorFunction& plan_, bool derivative, const DualChunk& x, double* out) {
  const ErrorFunction plan = plan_;
  if (derivative) {
    loop(x, out, [&](const Covariance& c) { return erf_derivative(plan, c); });
  } else {
    loop(x, out, [&](const Covariance& c) { return erf_dual(plan, c); });
  }
}

void gelu(bool derivative, const DualChunk& x, double* out) {
  if (derivative) {
    loop(x, out, [&](const Covariance& c) { return gelu_derivative(c); });
  } else {
    loop(x, out, [&](const Covariance& c) { return gelu_dual(c); });
  }
}

// A native vector, and groups of vectors that the recurrences keep in registers: each recurrence is
// a chain of dependent multiply-adds (latency 4), so several run side by side.
#if defined(__AVX512F__)
constexpr int kLanes = 8;
#elif defined(__AVX2__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 2;
#endif
typedef double Vector __attribute__((vector_size(kLanes * sizeof(double))));

inline Vector load(const double* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline Vector broadcast(double x) { return x - Vector{}; }
inline Vector vmadd(Vector a, Vector b, Vector c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  Vector result;
  for (int l = 0; l < kLanes; ++l) result[l] = __builtin_fma(a[l], b[l], c[l]);
  return result;
#else
  return a * b + c;
#endif
}

void correlation_table(const CorrelationTable& table, const DualChunk& x, double* out) {
  constexpr int G = 4;
  alignas(64) double rho[N];
  loop(x, rho, [](const Covariance& c) { return correlation(c); });
  for (int j = 0; j < N; j += G * kLanes) {
    Vector t[G], twice[G], b1[G], b2[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      t[g] = load(rho + j + g * kLanes);
      twice[g] = t[g] + t[g];
      b1[g] = b2[g] = Vector{};
    }
    for (int k = table.size - 1; k >= 1; --k) {
      const Vector c = broadcast(table.coefficients[k]);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const Vector b0 = vmadd(twice[g], b1[g], c - b2[g]);
        b2[g] = b1[g];
        b1[g] = b0;
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const Vector slope = vmadd(t[g], b1[g], broadcast(table.coefficients[0]) - b2[g]);
      const Vector value = vmadd(t[g], slope, broadcast(table.at_zero));
      std::memcpy(out + j + g * kLanes, &value, sizeof value);
    }
  }
}

void root_table(const RootTable& table, const DualChunk& x, double* out) {
  alignas(64) double t[N], sum[N];
  loop(x, t, [](const Covariance& c) { return half_chord(c); });
  const int rows = 2 * table.panels;
  if (table.panels == 1) {
    // Two polynomials, selected by the sign: no gathers.
    const double c0 = table.centre[0], s0 = table.scale[0], c1 = table.centre[1],
                 s1 = table.scale[1];
    for (int j = 0; j < N; ++j) {
      const bool negative = x.r[j] < 0.0;
      t[j] = (t[j] - (negative ? c1 : c0)) * (negative ? s1 : s0);
      sum[j] = 0.0;
    }
    for (int k = 0; k < table.size; ++k) {
      const double plus = table.coefficients[2 * k], minus = table.coefficients[2 * k + 1];
      for (int j = 0; j < N; ++j) sum[j] = madd(sum[j], t[j], x.r[j] < 0.0 ? minus : plus);
    }
    std::memcpy(out, sum, sizeof sum);
    return;
  }
  alignas(64) std::int64_t panel[N];
  for (int j = 0; j < N; ++j) panel[j] = x.r[j] < 0.0 ? table.panels : 0;
  for (int k = 0; k + 1 < table.panels; ++k) {
    const double edge = table.edges[k];
    for (int j = 0; j < N; ++j) panel[j] += t[j] > edge ? 1 : 0;
  }
  for (int j = 0; j < N; ++j) {
    t[j] = (t[j] - table.centre[panel[j]]) * table.scale[panel[j]];
    sum[j] = 0.0;
  }
  for (int k = 0; k < table.size; ++k) {
    const double* const c = table.coefficients + static_cast<std::int64_t>(k) * rows;
    for (int j = 0; j < N; ++j) sum[j] = madd(sum[j], t[j], c[panel[j]]);
  }
  std::memcpy(out, sum, sizeof sum);
}

// One entry at a time, the terms k in the vector: kSeriesBlock terms are one step of a Horner
// recurrence in rho^kSeriesBlock, on kSeriesBlock / kLanes independent accumulators.
void series(const double* const* a, const double* const* b, const std::int32_t* terms,
            const DualChunk& x, int count, double* out) {
  constexpr int G = kSeriesBlock / kLanes;
  alignas(64) double rho[N];
  loop(x, rho, [](const Covariance& c) { return correlation(c); });
  for (int j = 0; j < count; ++j) {
    alignas(64) double power[kLanes];
    power[0] = 1.0;
    for (int l = 1; l < kLanes; ++l) power[l] = power[l - 1] * rho[j];
    const double step1 = power[kLanes - 1] * rho[j];
    double block = step1;
    for (int g = 1; g < G; g *= 2) block *= block;
    const Vector step = broadcast(block);
    Vector sum[G];
#pragma GCC unroll 16
    for (int g = 0; g < G; ++g) sum[g] = Vector{};
    for (int k = terms[j] - kSeriesBlock; k >= 0; k -= kSeriesBlock) {
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        sum[g] = vmadd(sum[g], step, load(a[j] + k + g * kLanes) * load(b[j] + k + g * kLanes));
      }
    }
    const Vector inner = broadcast(step1);
    Vector total = sum[G - 1];
#pragma GCC unroll 16
    for (int g = G - 2; g >= 0; --g) total = vmadd(total, inner, sum[g]);
    total *= load(power);
    double value = 0.0;
    for (int l = kLanes - 1; l >= 0; --l) value += total[l];
    out[j] = value;
  }
}

// One entry at a time, the powers of t in the vector.
void interpolated(const InterpolationGrid& grid, const double* const* contracted,
                  const double* const* weights, const DualChunk& x, int count, double* out) {
  alignas(64) double chord[N];
  loop(x, chord, [](const Covariance& c) { return half_chord(c); });
  for (int j = 0; j < count; ++j) {
    int panel = x.r[j] < 0.0 ? grid.panels : 0;
    for (int k = 0; k + 1 < grid.panels; ++k) panel += chord[j] > grid.edges[k] ? 1 : 0;
    const double t = (chord[j] - grid.centre[panel]) * grid.scale[panel];
    alignas(64) double power[kInterpolationBlock];
    power[0] = 1.0;
    for (int l = 1; l < kInterpolationBlock; ++l) power[l] = power[l - 1] * t;
    const double* const rows =
        contracted[j] + static_cast<std::int64_t>(panel) * grid.nodes * grid.size;
    constexpr int G = kInterpolationBlock / kLanes;
    Vector total[G];
    for (int g = 0; g < G; ++g) total[g] = Vector{};
    const Vector step = broadcast(power[kInterpolationBlock - 1] * t);
    for (int n = grid.size - kInterpolationBlock; n >= 0; n -= kInterpolationBlock) {
      Vector even[G], odd[G];  // two chains hide the latency of the multiply-adds
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) even[g] = odd[g] = Vector{};
      const double* row = rows + n;
      for (int b = 0; b + 1 < grid.nodes; b += 2, row += 2 * grid.size) {
        const Vector w0 = broadcast(weights[j][b]), w1 = broadcast(weights[j][b + 1]);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          even[g] = vmadd(w0, load(row + g * kLanes), even[g]);
          odd[g] = vmadd(w1, load(row + grid.size + g * kLanes), odd[g]);
        }
      }
      if (grid.nodes % 2) {
        const Vector w0 = broadcast(weights[j][grid.nodes - 1]);
        for (int g = 0; g < G; ++g) even[g] = vmadd(w0, load(row + g * kLanes), even[g]);
      }
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) total[g] = vmadd(total[g], step, even[g] + odd[g]);
    }
    double value = 0.0;
    for (int g = G - 1; g >= 0; --g) {
      const Vector part = total[g] * load(power + g * kLanes);
      for (int l = kLanes - 1; l >= 0; --l) value += part[l];
    }
    out[j] = value;
  }
}

}  // namespace

extern const DualKernels dual_kernels;
const DualKernels dual_kernels = {prepare,           rectified,  polynomial, trigonometric,
                                  exponential,       gaussian,   erf,        gelu,
                                  correlation_table, root_table, series,     interpolated};

}  // namespace lazygram::LAZYGRAM_LEVEL
