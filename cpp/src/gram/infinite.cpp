// Infinite-width kernels of the two-layer ReLU network, tile by tile: one product, then one fused loop.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gram/arccosine.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {
namespace {

constexpr std::int64_t kEdge = 256;       // three tiles of float32 fit the level-2 cache
constexpr double kOverTwoPi = 0.15915494309189533577;

template <typename T>
const ArccosineKernels<T>& arccosine_kernels();

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

// Rows scaled to unit norm, and their norms; scaled by the largest entry first so that squares neither overflow
// nor vanish.
template <typename T>
struct Directions {
  Buffer<T> unit, norm;
  std::int64_t cols;

  explicit Directions(ConstMatrixView<T> X) : unit(X.rows * X.cols), norm(X.rows), cols(X.cols) {
    for (std::int64_t i = 0; i < X.rows; ++i) {
      const T* const x = X.row(i);
      T largest = 0;
      for (std::int64_t k = 0; k < cols; ++k) largest = std::max(largest, std::abs(x[k]));
      if (largest == T(0)) {
        std::fill_n(row(i), cols, T(0));
        norm[i] = 0;
        continue;
      }
      double sum = 0;
      for (std::int64_t k = 0; k < cols; ++k) {
        const double scaled = static_cast<double>(x[k]) / static_cast<double>(largest);
        sum += scaled * scaled;
      }
      const double length = std::sqrt(sum);
      for (std::int64_t k = 0; k < cols; ++k) {
        row(i)[k] = static_cast<T>(static_cast<double>(x[k]) / static_cast<double>(largest) / length);
      }
      norm[i] = static_cast<T>(static_cast<double>(largest) * length);
    }
  }
  T* row(std::int64_t i) const { return unit.data() + i * cols; }
};

// One entry from the unit vectors themselves: th = 2 atan2(|x - y|, |x + y|), Kahan's formula.
template <typename T>
void arccosine_exact(const T* x, const T* y, std::int64_t cols, double scale, T* first, T* second) {
  double minus = 0, plus = 0;
  for (std::int64_t k = 0; k < cols; ++k) {
    const double d = static_cast<double>(x[k]) - static_cast<double>(y[k]);
    const double s = static_cast<double>(x[k]) + static_cast<double>(y[k]);
    minus += d * d;
    plus += s * s;
  }
  minus = std::sqrt(minus);
  plus = std::sqrt(plus);
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
        scale * (kOverTwoPi * (psi * p2 * (1.0 / 3 - p2 * (1.0 / 30 - p2 * (1.0 / 840 - p2 / 45360))))));
  }
}

// Copies a tile (row stride kEdge) into out at (i, j), and transposed to (j, i) when mirrored.
template <typename T>
void write_tile(const T* tile, const TileGrid::Tile& t, MatrixView<T> out, bool mirror) {
  if (!out.data) return;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    std::copy_n(tile + i * kEdge, t.cols, &out(t.i + i, t.j));
  }
  if (!mirror) return;
  constexpr std::int64_t block = 16;  // a block's rows and columns are whole cache lines
  for (std::int64_t j0 = 0; j0 < t.cols; j0 += block) {
    for (std::int64_t i0 = 0; i0 < t.rows; i0 += block) {
      const std::int64_t j1 = std::min(t.cols, j0 + block), i1 = std::min(t.rows, i0 + block);
      for (std::int64_t j = j0; j < j1; ++j) {
        T* const target = &out(t.j + j, t.i);
        for (std::int64_t i = i0; i < i1; ++i) target[i] = tile[i * kEdge + j];
      }
    }
  }
}

template <typename T>
struct TileScratch {
  Buffer<T> cosine, first, second;
};

}  // namespace

template <typename T>
void gram_infinite(ConstMatrixView<T> X1, ConstMatrixView<T> X2, const TwoLayerKernels<T>& out,
                   const RunOptions& options) {
  require(X1.cols == X2.cols, "X2: number of columns differs from that of X");
  const bool symmetric = X1.data == X2.data && X1.rows == X2.rows && X1.stride == X2.stride;
  const ArccosineKernels<T>& kernels = arccosine_kernels<T>();
  const Directions<T> left(X1);
  const Directions<T> right_own(symmetric ? ConstMatrixView<T>{} : X2);
  const Directions<T>& right = symmetric ? left : right_own;
  const std::int64_t cols = X1.cols;
  const TileGrid grid{X1.rows, X2.rows, symmetric, kEdge};
  std::vector<TileScratch<T>> scratch(resolve_threads(options.threads));
  parallel_tiles(grid.count(), options, [&](std::int64_t index, int thread) {
    TileScratch<T>& tile = scratch[thread];
    if (!tile.cosine.size()) {
      tile = {Buffer<T>(kEdge * kEdge), Buffer<T>(kEdge * kEdge), Buffer<T>(kEdge * kEdge)};
    }
    const TileGrid::Tile t = grid.tile(index);
    gemm_nt<T>(t.rows, t.cols, cols, T(1), left.row(t.i), cols, right.row(t.j), cols, T(0),
               tile.cosine.data(), kEdge);
    for (std::int64_t i = 0; i < t.rows; ++i) {
      const std::int64_t begin = t.diagonal ? i : 0;  // the diagonal and above
      const T* const cosine = tile.cosine.data() + i * kEdge;
      T* const first = tile.first.data() + i * kEdge;
      T* const second = tile.second.data() + i * kEdge;
      const T norm = left.norm[t.i + i];
      const bool near = kernels.row(cosine + begin, norm, right.norm.data() + t.j + begin, t.cols - begin,
                                    first + begin, second + begin);
      if (near) {
        for (std::int64_t j = begin; j < t.cols; ++j) {
          if (std::abs(cosine[j]) <= T(kNearParallel)) continue;
          const double scale =
              static_cast<double>(norm) * static_cast<double>(right.norm[t.j + j]);
          arccosine_exact(left.row(t.i + i), right.row(t.j + j), cols, scale, first + j, second + j);
        }
      }
      for (std::int64_t j = 0; j < begin; ++j) {
        first[j] = tile.first[j * kEdge + i];
        second[j] = tile.second[j * kEdge + i];
      }
    }
    const bool mirror = symmetric && !t.diagonal;
    write_tile(tile.first.data(), t, out.first, mirror);
    write_tile(tile.second.data(), t, out.second, mirror);
    if (out.both.data) {
      for (std::int64_t i = 0; i < t.rows; ++i) {
        for (std::int64_t j = 0; j < t.cols; ++j) tile.first[i * kEdge + j] += tile.second[i * kEdge + j];
      }
      write_tile(tile.first.data(), t, out.both, mirror);
    }
  });
}

template void gram_infinite(ConstMatrixView<float>, ConstMatrixView<float>, const TwoLayerKernels<float>&,
                            const RunOptions&);
template void gram_infinite(ConstMatrixView<double>, ConstMatrixView<double>,
                            const TwoLayerKernels<double>&, const RunOptions&);

}  // namespace lazygram
