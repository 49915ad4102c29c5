// Gaussian expectations ("dual activations") E[phi(u) phi(v)], (u, v) ~ N(0, [[p, r], [r, q]]),
// over arrays.
//
// The formulas are in duals/<family>.hpp, one family per file, usable on host and device. Here they
// are applied to whole arrays: entries are widened to float64 in chunks that stay in the level-1
// cache, checked (finite, variances >= 0, covariance PSD up to rounding), clipped to the PSD cone
// and evaluated by loops compiled per instruction-set level; the result is rounded once to T.
// Levels differ by rounding errors only (fused multiply-add), thread counts not at all.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/duals/error_function.hpp"
#include "lazygram/duals/exponential.hpp"
#include "lazygram/duals/gelu.hpp"
#include "lazygram/duals/interpolation.hpp"
#include "lazygram/duals/polynomial.hpp"
#include "lazygram/duals/rectified.hpp"
#include "lazygram/duals/series.hpp"
#include "lazygram/duals/table.hpp"
#include "lazygram/duals/trigonometric.hpp"
#include "lazygram/parallel.hpp"

namespace lazygram {

inline constexpr int kDualChunk = 256;  // entries per call of a kernel
inline constexpr double kDualMaxVariance =
    1e100;  // above: rejected; p q and its square must not overflow
inline constexpr double kDualMinVariance = 1e-150;  // below: counts as zero

// |r| may exceed sqrt(p q) by this relative amount (rounding of a dot product) before it is an
// error.
template <typename T>
inline constexpr double kDualSlack = sizeof(T) == 4 ? 1e-4 : 1e-10;

// One chunk of covariances, widened to float64 and clipped to the PSD cone; unused entries hold any
// covariance.
struct DualChunk {
  alignas(64) double r[kDualChunk], p[kDualChunk], q[kDualChunk], d[kDualChunk];
};

// One activation's dual, or that of its derivative, ready for evaluation.
class Dual {
 public:
  // a x^order for x > 0, b (-x)^order for x < 0; at_zero = phi(0) (used for order 0 only).
  static Dual rectified(int order, double a, double b, double at_zero);
  static Dual polynomial(const std::vector<double>& coefficients);  // lowest power first
  static Dual trigonometric(double amplitude, double frequency, double phase);
  static Dual exponential(double rate, bool derivative);
  static Dual gaussian(double width, bool derivative);
  static Dual erf(double scale, bool derivative);
  static Dual gelu(bool derivative);
  // at_zero + rho * (Chebyshev series in rho).
  static Dual correlation_table(double at_zero, std::vector<double> chebyshev);
  // edges: panels - 1; centre, scale: 2 panels; coefficients: size * 2 panels. See duals/table.hpp.
  static Dual root_table(std::vector<double> edges, std::vector<double> centre,
                         std::vector<double> scale, std::vector<double> coefficients);

  // kDualChunk entries, already clipped (d = p q - r^2 >= 0, |r| <= sqrt(p q)).
  void evaluate(const DualChunk& chunk, double* out) const;

  // The parameters if this is a dual of the arc-cosine family, else null.
  const duals::Rectified* rectified_parameters() const {
    return std::get_if<duals::Rectified>(&plan_);
  }

 private:
  struct Gelu {
    bool derivative;
  };
  template <typename Plan>
  struct WithDerivative {
    Plan plan;
    bool derivative;
  };
  using Plan =
      std::variant<duals::Rectified, duals::Polynomial, duals::Trigonometric, duals::Exponential,
                   WithDerivative<duals::Gaussian>, WithDerivative<duals::ErrorFunction>, Gelu,
                   duals::CorrelationTable, duals::RootTable>;
  explicit Dual(Plan plan) : plan_(std::move(plan)) {}

  Plan plan_;
  std::shared_ptr<const std::vector<double>> storage_;  // what the tables point into
};

// Hermite series of one chunk: out[k] = sum_j a[k][j] b[k][j] rho_k^j over terms[k] (a multiple of
// kSeriesBlock) terms, k < count; the chunk is clipped.
void evaluate_series(const double* const* a, const double* const* b, const std::int32_t* terms,
                     const DualChunk& chunk, int count, double* out);

// Clips a chunk in place and fills its determinants; returns whether every entry was a covariance
// up to the relative rounding `slack`.
bool prepare_chunk(DualChunk& chunk, double slack);

// Matrix whose strides may be 0 in either direction (NumPy broadcasting): a column of variances, a
// row, a scalar.
template <typename T>
struct BroadcastView {
  const T* data = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 0;
};

// out_ij = dual of (K_ij, var1_ij, var2_ij). Throws ArgumentError naming K, var1 or var2 when the
// covariance is not finite or not PSD beyond rounding. out may be K.
template <typename T>
void dual(const Dual& formula, ConstMatrixView<T> K, BroadcastView<T> var1, BroadcastView<T> var2,
          MatrixView<T> out, const RunOptions& options);

// Hermite coefficients of S distinct standard deviations: row s has `terms` values (a multiple of
// kSeriesBlock), of which only the first length[s] (rounded up to a multiple of kSeriesBlock) are
// nonzero.
struct HermiteCoefficients {
  const double* values = nullptr;
  std::int64_t rows = 0;
  std::int64_t terms = 0;
  const std::int32_t* length = nullptr;
};

// The same by Hermite series: index1_ij and index2_ij are the rows of `first` and `second` that
// belong to entry ij.
template <typename T>
void dual_series(const HermiteCoefficients& first, const HermiteCoefficients& second,
                 ConstMatrixView<T> K, BroadcastView<T> var1, BroadcastView<T> var2,
                 BroadcastView<std::int32_t> index1, BroadcastView<std::int32_t> index2,
                 MatrixView<T> out, const RunOptions& options);

// The same by interpolation in the variances: index1_ij is the row of `contracted` (rows1 x 2
// panels nodes size) and index2_ij the row of `weights` (rows2 x nodes) of entry ij. See
// duals/interpolation.hpp.
template <typename T>
void dual_interpolated(const duals::InterpolationGrid& grid, ConstMatrixView<double> contracted,
                       ConstMatrixView<double> weights, ConstMatrixView<T> K, BroadcastView<T> var1,
                       BroadcastView<T> var2, BroadcastView<std::int32_t> index1,
                       BroadcastView<std::int32_t> index2, MatrixView<T> out,
                       const RunOptions& options);

}  // namespace lazygram
