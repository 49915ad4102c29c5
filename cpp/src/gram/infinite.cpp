// Infinite-width kernels of the two-layer ReLU network, tile by tile: one product, then one fused
// loop.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "gram/arccosine.hpp"
#include "gram/directions.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {

template <>
const ArccosineKernels<float>& arccosine_kernels<float>() {
  static const IsaTable<const ArccosineKernels<float>*> table = {
      &baseline::arccosine_float,
#ifdef LAZYGRAM_X86
      &avx2::arccosine_float,
      &avx512::arccosine_float,
#endif
  };
  return *table.pick();
}

template <>
const ArccosineKernels<double>& arccosine_kernels<double>() {
  static const IsaTable<const ArccosineKernels<double>*> table = {
      &baseline::arccosine_double,
#ifdef LAZYGRAM_X86
      &avx2::arccosine_double,
      &avx512::arccosine_double,
#endif
  };
  return *table.pick();
}

namespace {

constexpr std::int64_t kEdge =
    512;  // of a tile of cosines: large enough for the product to run at full speed
// Rows worked on at a time: their kernel values stay in the level-1 cache until they are written,
// both ways, as whole cache lines.
constexpr std::int64_t kBand = 16;
// Rows of a product on the diagonal: little is computed twice.
constexpr std::int64_t kDiagonalBlock = 128;
constexpr double kOverTwoPi = 0.15915494309189533577;

// One entry from the unit vectors themselves: th = 2 atan2(|x - y|, |x + y|), Kahan's formula.
template <typename T>
void arccosine_exact(const T* x, const T* y, std::int64_t cols, double scale, T* first, T* second) {
  const auto [minus, plus] = half_chords(x, y, cols);
  if (minus < plus) {
    const double theta = 2 * std::atan2(minus, plus);
    const double product = std::cos(theta) * (3.14159265358979323846 - theta);
    *first = static_cast<T>(scale * (kOverTwoPi * product));
    *second = static_cast<T>(scale * (kOverTwoPi * (std::sin(theta) + product)));
  } else {
    // psi = pi - th is small: sin psi - psi cos psi cancels, its series does not.
    const double psi = 2 * std::atan2(plus, minus), p2 = psi * psi;
    *first = static_cast<T>(-scale * (kOverTwoPi * (std::cos(psi) * psi)));
    *second = static_cast<T>(
        scale *
        (kOverTwoPi * (psi * p2 * (1.0 / 3 - p2 * (1.0 / 30 - p2 * (1.0 / 840 - p2 / 45360))))));
  }
}

// The rows of one band, written to out at (i, j) and, transposed, to (j, i): columns [begin_row,
// cols) of a row are there; with `triangle` row r begins at column r and the square on the diagonal
// is mirrored in place.
template <typename T>
void write_band(const ArccosineKernels<T>& kernels, const T* band, std::int64_t rows,
                std::int64_t cols, bool mirror, bool triangle, MatrixView<T> out, std::int64_t i,
                std::int64_t j) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t begin = triangle ? r : 0;
    std::copy_n(band + r * kEdge + begin, cols - begin, &out(i + r, j + begin));
    for (std::int64_t k = 0; k < begin; ++k) out(i + r, j + k) = band[k * kEdge + r];
  }
  const std::int64_t done =
      triangle ? rows : 0;  // columns whose mirror image lies in the band itself
  if (mirror && done < cols) {
    kernels.transpose(band + done, kEdge, rows, cols - done, &out(j + done, i), out.stride);
  }
}

template <typename T>
struct TileScratch {
  Buffer<T> cosine, first, second;
  void reserve() {
    if (cosine.size()) return;
    cosine = Buffer<T>(kEdge * kEdge);
    first = Buffer<T>(kBand * kEdge);
    second = Buffer<T>(kBand * kEdge);
  }
};

// The symmetric or rectangular problem: everything that the tiles share.
template <typename T>
struct Problem {
  const ArccosineKernels<T>& kernels;
  const Directions<T>& left;
  const Directions<T>& right;
  MatrixView<T> first;   // H_inf, or the sum
  MatrixView<T> second;  // K_a
  bool both;
  bool symmetric;

  // Cosines of the tile; on the diagonal, of its upper half and a little more.
  void cosines(const TileGrid::Tile& t, T* out) const {
    const std::int64_t step = t.diagonal ? kDiagonalBlock : t.rows;
    for (std::int64_t r = 0; r < t.rows; r += step) {
      const std::int64_t rows = std::min(step, t.rows - r), skip = t.diagonal ? r : 0;
      gemm_nt<T>(rows, t.cols - skip, left.cols, T(1), left.row(t.i + r), left.cols,
                 right.row(t.j + skip), left.cols, T(0), out + r * kEdge + skip, kEdge);
    }
  }

  // Kernel values of row i against columns j .. j+count-1.
  void row(std::int64_t i, std::int64_t j, const T* cosine, std::int64_t count, T* to_first,
           T* to_second) const {
    const T norm = left.norm[i];
    T* const wanted = both || second.data ? to_second : nullptr;
    if (!kernels.row(cosine, norm, right.norm.data() + j, count, both, to_first, wanted)) return;
    for (std::int64_t k = 0; k < count; ++k) {
      if (std::abs(cosine[k]) <= T(kNearParallel)) continue;
      const double scale = static_cast<double>(norm) * static_cast<double>(right.norm[j + k]);
      arccosine_exact(left.row(i), right.row(j + k), left.cols, scale, to_first + k, to_second + k);
      if (both) to_first[k] += to_second[k];
    }
  }

  void tile(const TileGrid::Tile& t, const TileScratch<T>& scratch) const {
    cosines(t, scratch.cosine.data());
    for (std::int64_t i0 = 0; i0 < t.rows; i0 += kBand) {
      const std::int64_t rows = std::min(kBand, t.rows - i0), skip = t.diagonal ? i0 : 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t begin = t.diagonal ? r : 0, at = r * kEdge + begin;
        row(t.i + i0 + r, t.j + skip + begin,
            scratch.cosine.data() + (i0 + r) * kEdge + skip + begin, t.cols - skip - begin,
            scratch.first.data() + at, scratch.second.data() + at);
      }
      for (const auto& [band, out] :
           {std::pair{scratch.first.data(), first}, std::pair{scratch.second.data(), second}}) {
        if (!out.data) continue;
        write_band(kernels, band, rows, t.cols - skip, symmetric, t.diagonal, out, t.i + i0,
                   t.j + skip);
      }
    }
  }
};

}  // namespace

template <typename T>
void gram_infinite(ConstMatrixView<T> X1, ConstMatrixView<T> X2, const TwoLayerKernels<T>& out,
                   const RunOptions& options) {
  require(X1.cols == X2.cols, "X2: number of columns differs from that of X");
  const bool both = out.both.data != nullptr;
  require(!both || !out.first.data, "out: H_inf and its sum with K_a are not made in one pass");
  const bool symmetric = X1.data == X2.data && X1.rows == X2.rows && X1.stride == X2.stride;
  const Directions<T> left(X1);
  const Directions<T> right(symmetric ? ConstMatrixView<T>{} : X2);
  const Problem<T> problem{arccosine_kernels<T>(),
                           left,
                           symmetric ? left : right,
                           both ? out.both : out.first,
                           out.second,
                           both,
                           symmetric};
  const TileGrid grid{X1.rows, X2.rows, symmetric, kEdge};
  std::vector<TileScratch<T>> scratch(resolve_threads(options.threads));
  parallel_tiles(grid.count(), options, [&](std::int64_t index, int thread) {
    scratch[thread].reserve();
    problem.tile(grid.tile(index), scratch[thread]);
  });
}

template void gram_infinite(ConstMatrixView<float>, ConstMatrixView<float>,
                            const TwoLayerKernels<float>&, const RunOptions&);
template void gram_infinite(ConstMatrixView<double>, ConstMatrixView<double>,
                            const TwoLayerKernels<double>&, const RunOptions&);

}  // namespace lazygram
