// Per-level kernels of duals.hpp: every function works on kDualChunk entries, or on one row of a
// series.
#pragma once

#include <cstdint>

#include "lazygram/duals.hpp"

namespace lazygram {

struct DualKernels {
  // Clips entries 0 .. kDualChunk-1 in place and fills d; returns whether all were PSD up to
  // `slack`.
  bool (*prepare)(DualChunk&, double slack);
  void (*rectified)(const duals::Rectified&, const DualChunk&, double* out);
  void (*polynomial)(const duals::Polynomial&, const DualChunk&, double* out);
  void (*trigonometric)(const duals::Trigonometric&, const DualChunk&, double* out);
  void (*exponential)(const duals::Exponential&, const DualChunk&, double* out);
  void (*gaussian)(const duals::Gaussian&, bool derivative, const DualChunk&, double* out);
  void (*erf)(const duals::ErrorFunction&, bool derivative, const DualChunk&, double* out);
  void (*gelu)(bool derivative, const DualChunk&, double* out);
  void (*correlation_table)(const duals::CorrelationTable&, const DualChunk&, double* out);
  void (*root_table)(const duals::RootTable&, const DualChunk&, double* out);
  // out[j] = sum_k a[j][k] b[j][k] rho_j^k over terms[j] (multiple of kSeriesBlock) terms, j <
  // count.
  void (*series)(const double* const* a, const double* const* b, const std::int32_t* terms,
                 const DualChunk&, int count, double* out);
  // Entry j with contracted[j] and weights[j], j < count.
  void (*interpolated)(const duals::InterpolationGrid&, const double* const* contracted,
                       const double* const* weights, const DualChunk&, int count, double* out);
};

namespace baseline {
extern const DualKernels dual_kernels;
}
namespace avx2 {
extern const DualKernels dual_kernels;
}
namespace avx512 {
extern const DualKernels dual_kernels;
}

}  // namespace lazygram
