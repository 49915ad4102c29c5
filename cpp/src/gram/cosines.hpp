// Cosines of a tile of pairs of unit vectors, strip by strip: by the level's product of bundles, or
// by BLAS.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gram/directions.hpp"
#include "lazygram/array.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/gram.hpp"

namespace lazygram {

inline constexpr std::int64_t kBlasStrip = 128;  // rows: large enough for the speed of BLAS

// Columns of a strip in scratch memory, for tiles of up to `edge` columns.
inline std::int64_t strip_stride(std::int64_t edge) { return round_up(edge, kBundle) + kBundle; }

template <typename T>
Buffer<T> strip_scratch(std::int64_t edge) {
  const std::int64_t size = kBlasStrip * strip_stride(edge);
  Buffer<T> scratch(size);
  std::fill_n(scratch.data(), size, T(0));  // columns up to a whole vector are read
  return scratch;
}

// Calls use(r, rows, cosine) for strips of rows [r, r + rows) of the tile, in order; the cosine of
// row r + k and column c of the tile is at cosine[k * strip_stride(edge) + c]. On the diagonal
// columns from the strip's first row on are there; if the tile begins with a bundle, those from the
// beginning of that row's bundle on.
template <typename T, typename Use>
void for_strips(const Directions<T>& left, const Directions<T>& right, const TileGrid::Tile& t,
                std::int64_t edge, T* scratch, const Use& use) {
  const std::int64_t stride = strip_stride(edge), cols = left.cols;
  if (!left.product) {
    for (std::int64_t r = 0; r < t.rows; r += kBlasStrip) {
      const std::int64_t rows = std::min(kBlasStrip, t.rows - r), skip = t.diagonal ? r : 0;
      gemm_nt<T>(rows, t.cols - skip, cols, T(1), left.at(t.i + r), cols, right.at(t.j + skip),
                 cols, T(0), scratch + skip, stride);
      use(r, rows, scratch);
    }
    return;
  }
  constexpr std::int64_t most = BundleProduct<T>::kRows;
  for (std::int64_t r = 0; r < t.rows;) {
    const std::int64_t i = t.i + r, begin = i / most * most;
    const std::int64_t rows = std::min(begin + most - i, t.rows - r);
    const std::int64_t j = (t.j + (t.diagonal ? r : 0)) / kBundle * kBundle;
    const std::int64_t bundles = ceil_div(t.j + t.cols - j, kBundle);
    // scratch: column 0 of the first bundle that the whole tile needs.
    const std::int64_t origin = t.j / kBundle * kBundle;
    left.product->strip(left.at(begin), right.at(j), cols, bundles, scratch + (j - origin), stride);
    use(r, rows, scratch + (i - begin) * stride + (t.j - origin));
    r += rows;
  }
}

}  // namespace lazygram
