// Per-level kernels on one row of pre-activations: sign bits, ReLU read-out, and the way back from
// bits.
#pragma once

#include <cstdint>

namespace lazygram {

template <typename T>
struct PackKernels {
  // bits[k / 64] bit k % 64 = (z[k] >= 0) for k < count; the rest of the last word is zeroed.
  void (*pack)(const T* z, std::int64_t count, std::uint64_t* bits);
  // sum_k a[k] max(z[k], 0), accumulated in float64 in one fixed order; NaN if some z[k] is.
  double (*readout)(const T* z, const T* a, std::int64_t count);
  // out[k] = bit k ? value : 0 for k < count.
  void (*expand)(const std::uint64_t* bits, std::int64_t count, T value, T* out);
};

namespace baseline {
extern const PackKernels<float> pack_float;
extern const PackKernels<double> pack_double;
}  // namespace baseline
namespace avx2 {
extern const PackKernels<float> pack_float;
extern const PackKernels<double> pack_double;
}  // namespace avx2
namespace avx512 {
extern const PackKernels<float> pack_float;
extern const PackKernels<double> pack_double;
}  // namespace avx512

template <typename T>
const PackKernels<T>& pack_kernels();  // those of the level in use

}  // namespace lazygram
