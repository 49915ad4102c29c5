// Product of bundles at level avx512: 8 rows by 2 vectors of sums stay in registers.
//
// A step over one coordinate: 2 loads, 8 broadcasts and 16 multiply-adds, so that the multiply-adds
// decide; 16 independent sums hide their latency of 4 at two a cycle. Measured on Zen 4 against
// OpenBLAS's sgemm and dgemm on tiles of 256 x 256: 1.1 to 1.3 times as fast for 16 to 512
// coordinates. With the 16 registers of AVX2 nothing was gained over BLAS, so lower levels have
// none.
#include <immintrin.h>

#include <cstdint>

#include "gram/bundles.hpp"

namespace lazygram::avx512 {
namespace {

#include "isa/vectors.inl"

template <typename T>
inline void block(const T* left, const T* right, std::int64_t cols, T* out, std::int64_t stride) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>;
  V sum[8][2] = {};
  for (std::int64_t k = 0; k < cols; ++k) {
    const V a = load(right + k * kBundle), b = load(right + k * kBundle + lanes);
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      const V x = left[k * kBundle + r] - V{};
      sum[r][0] = madd(x, a, sum[r][0]);
      sum[r][1] = madd(x, b, sum[r][1]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) {
    store(out + r * stride, sum[r][0]);
    store(out + r * stride + lanes, sum[r][1]);
  }
}

template <typename T>
void strip(const T* left, const T* right, std::int64_t cols, std::int64_t bundles, T* out,
           std::int64_t stride) {
  for (std::int64_t bundle = 0; bundle < bundles; ++bundle)
    for (std::int64_t c = 0; c < kBundle; c += 2 * kLanes<T>)
      for (std::int64_t r = 0; r < BundleProduct<T>::kRows; r += 8)
        block(left + r, right + bundle * kBundle * cols + c, cols,
              out + r * stride + bundle * kBundle + c, stride);
}

}  // namespace

const BundleProduct<float> bundle_product_float = {strip<float>};
const BundleProduct<double> bundle_product_double = {strip<double>};

}  // namespace lazygram::avx512
