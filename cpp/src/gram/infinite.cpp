// Infinite-width kernels of the two-layer ReLU network, tile by tile: one product, then one fused
// loop.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "gram/angle_loops.hpp"
#include "gram/angle_series.hpp"
#include "gram/cosines.hpp"
#include "gram/directions.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"

namespace lazygram {

namespace {

// Of a tile: its unit vectors stay in the level-2 cache.
constexpr std::int64_t kEdge = 256;
// Columns whose mirror image is written together.
constexpr std::int64_t kColumns = 16;
// Outputs larger than this are written past the caches, which could not hold them anyway.
constexpr std::int64_t kStreamBytes = std::int64_t{1} << 25;
constexpr double kPi = 3.14159265358979323846;
constexpr double kOverTwoPi = 0.15915494309189533577;
constexpr double kNearParallel = 0.999;  // |cos| above this: the angle is taken from the vectors

// H_inf / (|x||x'|) as a series; the other two kernels are small multiples of it and sin theta.
AngleFunction fit_first() {
  const AngleVariable variable;
  std::vector<long double> values;
  for (long double theta : angle_samples(variable)) {
    constexpr long double pi = 3.14159265358979323846264338327950288L;
    values.push_back(std::cos(theta) * (pi - theta) / (2 * pi));
  }
  return fit_angle_function(variable, values, 3e-16);
}

// The same with the coefficients in T, as loops take them: H_inf, and K_a or the sum after it.
template <typename T>
struct Series {
  AngleSeries<T> loops{};
  std::vector<T> even, odd;
  // sin theta / (2 pi): z is 2 sin theta - 1.
  const T sine[2] = {static_cast<T>(kOverTwoPi / 2), static_cast<T>(kOverTwoPi / 2)};

  Series(bool second, bool both) {
    static const AngleFunction first = fit_first();
    const AngleFunction::Parts& parts = sizeof(T) == 4 ? first.narrow : first.wide;
    even.assign(parts.even.begin(), parts.even.end());
    odd.assign(parts.odd.begin(), parts.odd.end());
    loops.slope = static_cast<T>(AngleVariable().slope());
    loops.near = static_cast<T>(kNearParallel * kNearParallel);
    add({even.data(), odd.data(), static_cast<int>(even.size()), static_cast<int>(odd.size()), 0});
    if (second) add({sine, nullptr, 2, 0, 1});
    if (both) add({sine, nullptr, 2, 0, 2});
  }
  Series(const Series&) = delete;
  Series& operator=(const Series&) = delete;

 private:
  void add(const typename AngleSeries<T>::Function& function) {
    loops.function[loops.count++] = function;
  }
};

// H_inf and K_a of one pair from its half angle, over |x||x'|.
struct Pair {
  double first, second;
};
Pair near_pair(const Angle& angle) {
  if (angle.half_sine < angle.half_cosine) {
    const double theta = 2 * std::atan2(angle.half_sine, angle.half_cosine);
    const double product = std::cos(theta) * (kPi - theta);
    return {kOverTwoPi * product, kOverTwoPi * (std::sin(theta) + product)};
  }
  // psi = pi - th is small: sin psi - psi cos psi cancels, its series does not.
  const double psi = 2 * std::atan2(angle.half_cosine, angle.half_sine), p2 = psi * psi;
  return {-kOverTwoPi * (std::cos(psi) * psi),
          kOverTwoPi * (psi * p2 * (1.0 / 3 - p2 * (1.0 / 30 - p2 * (1.0 / 840 - p2 / 45360))))};
}

// A tile of values, written to out and, off the diagonal of a symmetric kernel, mirrored. On the
// diagonal only what lies right of it is there.
template <typename T>
void write_tile(const AngleLoops<T>& loops, const TileGrid::Tile& t, T* tile, bool mirror, T* piece,
                MatrixView<T> out) {
  const bool stream = out.rows * out.cols * static_cast<std::int64_t>(sizeof(T)) > kStreamBytes;
  for (std::int64_t r = 0; t.diagonal && r < t.rows; ++r)
    for (std::int64_t c = 0; c < r; ++c) tile[r * kEdge + c] = tile[c * kEdge + r];
  loops.copy(tile, kEdge, t.rows, t.cols, &out(t.i, t.j), out.stride, stream);
  for (std::int64_t c = 0; mirror && c < t.cols; c += kColumns) {
    const std::int64_t cols = std::min(kColumns, t.cols - c);
    loops.transpose(tile + c, kEdge, t.rows, cols, piece, kEdge);
    loops.copy(piece, kEdge, cols, t.rows, &out(t.j + c, t.i), out.stride, stream);
  }
}

constexpr int kKernels = 3;  // H_inf, K_a, their sum

template <typename T>
struct TileScratch {
  Buffer<T> cosine, piece, tile[kKernels];
  void reserve() {
    if (cosine.size()) return;
    cosine = strip_scratch<T>(kEdge);
    piece = Buffer<T>(kColumns * kEdge);
    for (Buffer<T>& one : tile) one = Buffer<T>(kEdge * kEdge);
  }
};

// The symmetric or rectangular problem: everything that the tiles share.
template <typename T>
struct Problem {
  const AngleLoops<T>& loops;
  const Directions<T>& left;
  const Directions<T>& right;
  const TwoLayerKernels<T>& out;
  const Series<T> series;
  bool symmetric;

  // Kernel values of row i against columns j .. j+count-1; null: not wanted.
  void row(std::int64_t i, std::int64_t j, const T* cosine, std::int64_t count,
           T* const (&to)[kKernels]) const {
    const T norm = left.norm[i];
    T* wanted[kKernels] = {to[0]};
    int functions = 1;
    for (int k : {1, 2})
      if (to[k]) wanted[functions++] = to[k];
    if (!loops.row(series.loops, cosine, norm, right.norm.data() + j, count, wanted)) return;
    for (std::int64_t c = 0; c < count; ++c) {
      if (cosine[c] * cosine[c] <= series.loops.near) continue;
      const Pair pair = near_pair(angle_between(left, i, right, j + c));
      const double scale = static_cast<double>(norm) * static_cast<double>(right.norm[j + c]);
      const double values[kKernels] = {pair.first, pair.second, pair.first + pair.second};
      for (int k = 0; k < kKernels; ++k)
        if (to[k]) to[k][c] = static_cast<T>(scale * values[k]);
    }
  }

  void tile(const TileGrid::Tile& t, const TileScratch<T>& scratch) const {
    const MatrixView<T> outs[kKernels] = {out.first, out.second, out.both};
    for_strips(left, right, t, kEdge, scratch.cosine.data(),
               [&](std::int64_t begin, std::int64_t rows, const T* strip) {
                 for (std::int64_t r = begin; r < begin + rows; ++r) {
                   const std::int64_t skip = t.diagonal ? r : 0;
                   T* to[kKernels] = {};
                   for (int k = 0; k < kKernels; ++k)
                     if (outs[k].data) to[k] = scratch.tile[k].data() + r * kEdge + skip;
                   row(t.i + r, t.j + skip, strip + (r - begin) * strip_stride(kEdge) + skip,
                       t.cols - skip, to);
                 }
               });
    for (int k = 0; k < kKernels; ++k)
      if (outs[k].data)
        write_tile(loops, t, scratch.tile[k].data(), symmetric && !t.diagonal, scratch.piece.data(),
                   outs[k]);
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
  const Problem<T> problem{angle_loops<T>(),
                           left,
                           symmetric ? left : right,
                           out,
                           Series<T>(out.second.data != nullptr, both),
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
