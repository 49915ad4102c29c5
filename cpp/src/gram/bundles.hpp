// Product of unit vectors that lie in bundles: per-level kernels.
//
// BLAS copies both operands into its own layout in every call, which for short vectors costs about
// a tenth of the product. Here unit vectors are written into bundles once, and the strip of cosines
// that comes out is still in the level-1 cache when the loop over angles reads it.
#pragma once

#include <cstdint>

namespace lazygram {

inline constexpr std::int64_t kBundle = 32;         // examples
inline constexpr std::int64_t kBundleBytes = 2048;  // of a vector: a tile of 256 stays in level 2

template <typename T>
struct BundleProduct {
  // out[r * stride + c] = left row r . right row c for kRows rows and bundles * kBundle columns;
  // left points into a bundle (at a row that kRows divides), right at the beginning of one. Every
  // sum is taken in the order of the coordinates, so an entry does not depend on its tile.
  static constexpr std::int64_t kRows = 64 / sizeof(T);  // of a strip: a cache line when transposed
  void (*strip)(const T* left, const T* right, std::int64_t cols, std::int64_t bundles, T* out,
                std::int64_t stride);
};

// That of the level in use, or null: BLAS is as fast there, or vectors of this length are for BLAS.
template <typename T>
const BundleProduct<T>* bundle_product(std::int64_t cols);

namespace avx512 {
extern const BundleProduct<float> bundle_product_float;
extern const BundleProduct<double> bundle_product_double;
}  // namespace avx512

}  // namespace lazygram
