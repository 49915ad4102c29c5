// Dispatch of the duals: plans of the formulas, chunks of the arrays, the level's kernels.
#include "lazygram/duals.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "duals/loops.hpp"
#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {
namespace {

const DualKernels& kernels() {
  static const IsaTable<const DualKernels*> table = {
      &baseline::dual_kernels,
#ifdef LAZYGRAM_X86
      &avx2::dual_kernels,
      &avx512::dual_kernels,
#endif
  };
  return *table.pick();
}

constexpr double kTwoPi = 6.283185307179586476925;

// T_n of rectified.hpp: j_0(f) = f and j_n(f) = n^2 int_0^f j_{n-1}(t) sin t dt, as power series.
void rectified_series(int order, double* out) {
  constexpr int terms = duals::kRectifiedTerms;
  long double sine[terms];  // sin t = t sum_k sine[k] t^{2k}
  sine[0] = 1;
  for (int k = 1; k < terms; ++k) sine[k] = -sine[k - 1] / ((2 * k) * (2 * k + 1.0L));
  std::vector<long double> current(terms, 0);
  current[0] = 1;
  for (int n = 1; n <= order; ++n) {
    std::vector<long double> next(terms, 0);
    for (int k = 0; k < terms; ++k) {
      long double sum = 0;
      for (int i = 0; i <= k; ++i) sum += current[i] * sine[k - i];
      next[k] = n * n * sum / (2 * n + 1 + 2 * k);  // integral of t^{2n + 2k}
    }
    current = next;
  }
  for (int k = 0; k < terms; ++k) out[k] = static_cast<double>(current[k]);
}

// A_n as a polynomial in c: A_0 = 1, A_n' = n^2 A_{n-1}; odd n have no constant term, for even n it
// is
// ((n-1)!!)^2, from J_n(pi/2) = 2 pi (E|Z|^n / 2)^2.
void rectified_angular(int order, double* out) {
  std::vector<long double> current = {1.0L};
  for (int n = 1; n <= order; ++n) {
    std::vector<long double> next(n + 1, 0);
    for (int j = 0; j < n; ++j) next[j + 1] = n * n * current[j] / (j + 1);
    if (n % 2 == 0) {
      long double odd = 1;
      for (int j = n - 1; j > 1; j -= 2) odd *= j;
      next[0] = odd * odd;
    }
    current = next;
  }
  for (int k = 0; k <= order / 2; ++k) {
    out[k] = static_cast<double>(current[order - 2 * k] * 3.14159265358979323846264L);
  }
}

template <typename T>
void require_good(const DualChunk& raw, std::int64_t count, std::int64_t row, std::int64_t column) {
  const double limit = 1.0 + kDualSlack<T>;
  for (std::int64_t j = 0; j < count; ++j) {
    const std::string at = "[" + std::to_string(row) + ", " + std::to_string(column + j) + "]";
    const double p = raw.p[j], q = raw.q[j], r = raw.r[j];
    const char* names[] = {"var1", "var2"};
    const double values[] = {p, q};
    for (int k = 0; k < 2; ++k) {
      const std::string what = names[k] + at + " = " + std::to_string(values[k]);
      require(std::isfinite(values[k]), std::string(names[k]) + ": not finite at " + at);
      require(values[k] >= 0, std::string(names[k]) + ": negative variance, " + what);
      require(values[k] <= kDualMaxVariance, std::string(names[k]) + ": above 1e100 at " + at);
    }
    require(std::isfinite(r), "K: not finite at " + at);
    require(r * r <= limit * limit * (p * q),
            "K: not a covariance, |K" + at + "| = " + std::to_string(std::abs(r)) +
                " exceeds sqrt(var1 var2) = " + std::to_string(std::sqrt(p * q)));
  }
}

template <typename T>
void widen(const T* from, std::int64_t step, std::int64_t count, double* to) {
  if (step == 1) {
    for (std::int64_t j = 0; j < count; ++j) to[j] = from[j];
  } else if (step == 0) {
    std::fill(to, to + count, static_cast<double>(from[0]));
  } else {
    for (std::int64_t j = 0; j < count; ++j) to[j] = from[j * step];
  }
}

// Walks the array in chunks of one row each; a tile is about 64 chunks. evaluate(chunk, row,
// column, count, out).
template <typename T, typename Evaluate>
void in_chunks(ConstMatrixView<T> K, BroadcastView<T> var1, BroadcastView<T> var2,
               MatrixView<T> out, const RunOptions& options, const Evaluate& evaluate) {
  require(out.rows == K.rows && out.cols == K.cols, "out: wrong shape");
  const DualKernels& kernel = kernels();
  const std::int64_t chunks = ceil_div(K.cols, kDualChunk);
  const std::int64_t total = K.rows * chunks;
  constexpr std::int64_t per_tile = 64;
  parallel_tiles(ceil_div(total, per_tile), options, [&](std::int64_t tile, int) {
    DualChunk x;
    alignas(64) double value[kDualChunk];
    const std::int64_t end = std::min(total, (tile + 1) * per_tile);
    for (std::int64_t c = tile * per_tile; c < end; ++c) {
      const std::int64_t i = c / chunks, j = c % chunks * kDualChunk;
      const std::int64_t count = std::min<std::int64_t>(kDualChunk, K.cols - j);
      widen(K.row(i) + j, 1, count, x.r);
      widen(var1.data + i * var1.row_stride + j * var1.column_stride, var1.column_stride, count,
            x.p);
      widen(var2.data + i * var2.row_stride + j * var2.column_stride, var2.column_stride, count,
            x.q);
      for (std::int64_t k = count; k < kDualChunk; ++k) {
        x.r[k] = 0.0;
        x.p[k] = x.q[k] = 1.0;
      }
      if (!kernel.prepare(x, kDualSlack<T>)) {
        // prepare has clipped the chunk: read it again for the message.
        widen(K.row(i) + j, 1, count, x.r);
        widen(var1.data + i * var1.row_stride + j * var1.column_stride, var1.column_stride, count,
              x.p);
        widen(var2.data + i * var2.row_stride + j * var2.column_stride, var2.column_stride, count,
              x.q);
        require_good<T>(x, count, i, j);
      }
      evaluate(x, i, j, static_cast<int>(count), value);
      T* const target = out.row(i) + j;
      for (std::int64_t k = 0; k < count; ++k) target[k] = static_cast<T>(value[k]);
    }
  });
}

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

}  // namespace

Dual Dual::rectified(int order, double a, double b, double at_zero) {
  require(order >= 0 && order <= duals::kRectifiedMaxOrder,
          "order: must be between 0 and " + std::to_string(duals::kRectifiedMaxOrder));
  duals::Rectified plan{};
  plan.order = order;
  plan.same = (a * a + b * b) / kTwoPi;
  plan.opposite = 2 * a * b / kTwoPi;
  plan.at_zero = at_zero;
  plan.mean = 0.5 * (a + b);
  rectified_series(order, plan.series);
  rectified_angular(order, plan.angular);
  return Dual(plan);
}

Dual Dual::polynomial(const std::vector<double>& coefficients) {
  const int degree = static_cast<int>(coefficients.size()) - 1;
  require(
      degree >= 0 && degree <= duals::kPolynomialMaxDegree,
      "coefficients: degree must be between 0 and " + std::to_string(duals::kPolynomialMaxDegree));
  duals::Polynomial plan{};
  plan.degree = degree;
  for (int k = 0; k <= degree; ++k) {
    for (int j = 0; k + 2 * j <= degree; ++j) {
      const int n = k + 2 * j;
      const long double log_factor = std::lgamma(n + 1.0L) - 0.5L * std::lgamma(k + 1.0L) -
                                     std::lgamma(j + 1.0L) - j * 0.693147180559945309417L;
      plan.expansion[k][j] = static_cast<double>(coefficients[n] * std::exp(log_factor));
    }
  }
  return Dual(plan);
}

Dual Dual::trigonometric(double amplitude, double frequency, double phase) {
  const double c = std::cos(2 * phase);
  // cos^2 = (1 + C) / 2 keeps 1 + C exactly 0 for a sine.
  const double half = std::cos(phase);
  const double one_plus = std::abs(half) < 1e-15 ? 0.0 : 2 * half * half;
  return Dual(
      duals::Trigonometric{0.5 * amplitude * amplitude, frequency * frequency, c, one_plus});
}

Dual Dual::exponential(double rate, bool derivative) {
  return Dual(duals::Exponential{0.5 * rate * rate, derivative ? rate * rate : 1.0});
}
Dual Dual::gaussian(double width, bool derivative) {
  require(width > 0, "width: must be positive");
  return Dual(WithDerivative<duals::Gaussian>{{1.0 / (width * width)}, derivative});
}
Dual Dual::erf(double scale, bool derivative) {
  return Dual(WithDerivative<duals::ErrorFunction>{{scale * scale}, derivative});
}
Dual Dual::gelu(bool derivative) { return Dual(Gelu{derivative}); }

Dual Dual::correlation_table(double at_zero, std::vector<double> chebyshev) {
  require(!chebyshev.empty(), "chebyshev: no coefficients");
  auto storage = std::make_shared<const std::vector<double>>(std::move(chebyshev));
  Dual result(duals::CorrelationTable{at_zero, storage->data(), static_cast<int>(storage->size())});
  result.storage_ = std::move(storage);
  return result;
}

Dual Dual::root_table(std::vector<double> edges, std::vector<double> centre,
                      std::vector<double> scale, std::vector<double> coefficients) {
  const std::size_t panels = edges.size() + 1;
  require(panels <= duals::kRootMaxPanels, "edges: too many panels");
  require(centre.size() == 2 * panels && scale.size() == 2 * panels,
          "centre, scale: two per panel");
  require(!coefficients.empty() && coefficients.size() % (2 * panels) == 0,
          "coefficients: a multiple of two per panel");
  const int size = static_cast<int>(coefficients.size() / (2 * panels));
  std::vector<double> all;
  for (const auto* part : {&edges, &centre, &scale, &coefficients})
    all.insert(all.end(), part->begin(), part->end());
  auto storage = std::make_shared<const std::vector<double>>(std::move(all));
  const double* data = storage->data();
  const double* const at_centre = data + (panels - 1);
  Dual result(duals::RootTable{static_cast<int>(panels), size, data, at_centre,
                               at_centre + 2 * panels, at_centre + 4 * panels});
  result.storage_ = std::move(storage);
  return result;
}

void Dual::evaluate(const DualChunk& x, double* out) const {
  const DualKernels& k = kernels();
  std::visit(Overloaded{
                 [&](const duals::Rectified& plan) { k.rectified(plan, x, out); },
                 [&](const duals::Polynomial& plan) { k.polynomial(plan, x, out); },
                 [&](const duals::Trigonometric& plan) { k.trigonometric(plan, x, out); },
                 [&](const duals::Exponential& plan) { k.exponential(plan, x, out); },
                 [&](const WithDerivative<duals::Gaussian>& w) {
                   k.gaussian(w.plan, w.derivative, x, out);
                 },
                 [&](const WithDerivative<duals::ErrorFunction>& w) {
                   k.erf(w.plan, w.derivative, x, out);
                 },
                 [&](const Gelu& g) { k.gelu(g.derivative, x, out); },
                 [&](const duals::CorrelationTable& table) { k.correlation_table(table, x, out); },
                 [&](const duals::RootTable& table) { k.root_table(table, x, out); },
             },
             plan_);
}

void evaluate_series(const double* const* a, const double* const* b, const std::int32_t* terms,
                     const DualChunk& chunk, int count, double* out) {
  kernels().series(a, b, terms, chunk, count, out);
}

bool prepare_chunk(DualChunk& chunk, double slack) { return kernels().prepare(chunk, slack); }

template <typename T>
void dual(const Dual& formula, ConstMatrixView<T> K, BroadcastView<T> var1, BroadcastView<T> var2,
          MatrixView<T> out, const RunOptions& options) {
  in_chunks<T>(K, var1, var2, out, options,
               [&](const DualChunk& x, std::int64_t, std::int64_t, int, double* value) {
                 formula.evaluate(x, value);
               });
}

template <typename T>
void dual_series(const HermiteCoefficients& first, const HermiteCoefficients& second,
                 ConstMatrixView<T> K, BroadcastView<T> var1, BroadcastView<T> var2,
                 BroadcastView<std::int32_t> index1, BroadcastView<std::int32_t> index2,
                 MatrixView<T> out, const RunOptions& options) {
  require(first.terms == second.terms && first.terms % duals::kSeriesBlock == 0,
          "coefficients: terms must be a multiple of " + std::to_string(duals::kSeriesBlock));
  const DualKernels& kernel = kernels();
  in_chunks<T>(K, var1, var2, out, options,
               [&](const DualChunk& x, std::int64_t i, std::int64_t j, int count, double* value) {
                 const double* a[kDualChunk];
                 const double* b[kDualChunk];
                 std::int32_t terms[kDualChunk];
                 for (int k = 0; k < count; ++k) {
                   const std::int64_t s =
                       index1.data[i * index1.row_stride + (j + k) * index1.column_stride];
                   const std::int64_t t =
                       index2.data[i * index2.row_stride + (j + k) * index2.column_stride];
                   require(s >= 0 && s < first.rows && t >= 0 && t < second.rows,
                           "index: out of range");
                   a[k] = first.values + s * first.terms;
                   b[k] = second.values + t * second.terms;
                   // Where either is zero the product is.
                   terms[k] = std::min(first.length[s], second.length[t]);
                 }
                 kernel.series(a, b, terms, x, count, value);
               });
}

template <typename T>
void dual_interpolated(const duals::InterpolationGrid& grid, ConstMatrixView<double> contracted,
                       ConstMatrixView<double> weights, ConstMatrixView<T> K, BroadcastView<T> var1,
                       BroadcastView<T> var2, BroadcastView<std::int32_t> index1,
                       BroadcastView<std::int32_t> index2, MatrixView<T> out,
                       const RunOptions& options) {
  require(grid.panels > 0 && grid.size % duals::kInterpolationBlock == 0 && grid.nodes > 0,
          "grid: size must be a multiple of " + std::to_string(duals::kInterpolationBlock));
  require(contracted.cols == std::int64_t{2} * grid.panels * grid.nodes * grid.size &&
              weights.cols == grid.nodes,
          "contracted, weights: wrong shape");
  const DualKernels& kernel = kernels();
  in_chunks<T>(K, var1, var2, out, options,
               [&](const DualChunk& x, std::int64_t i, std::int64_t j, int count, double* value) {
                 const double* a[kDualChunk];
                 const double* b[kDualChunk];
                 for (int k = 0; k < count; ++k) {
                   const std::int64_t s =
                       index1.data[i * index1.row_stride + (j + k) * index1.column_stride];
                   const std::int64_t t =
                       index2.data[i * index2.row_stride + (j + k) * index2.column_stride];
                   require(s >= 0 && s < contracted.rows && t >= 0 && t < weights.rows,
                           "index: out of range");
                   a[k] = contracted.row(s);
                   b[k] = weights.row(t);
                 }
                 kernel.interpolated(grid, a, b, x, count, value);
               });
}

#define LAZYGRAM_INSTANTIATE(T)                                                                  \
  template void dual(const Dual&, ConstMatrixView<T>, BroadcastView<T>, BroadcastView<T>,        \
                     MatrixView<T>, const RunOptions&);                                          \
  template void dual_series(const HermiteCoefficients&, const HermiteCoefficients&,              \
                            ConstMatrixView<T>, BroadcastView<T>, BroadcastView<T>,              \
                            BroadcastView<std::int32_t>, BroadcastView<std::int32_t>,            \
                            MatrixView<T>, const RunOptions&);                                   \
  template void dual_interpolated(const duals::InterpolationGrid&, ConstMatrixView<double>,      \
                                  ConstMatrixView<double>, ConstMatrixView<T>, BroadcastView<T>, \
                                  BroadcastView<T>, BroadcastView<std::int32_t>,                 \
                                  BroadcastView<std::int32_t>, MatrixView<T>, const RunOptions&);
LAZYGRAM_INSTANTIATE(float)
LAZYGRAM_INSTANTIATE(double)

}  // namespace lazygram
