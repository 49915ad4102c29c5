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
// Rows worked on at a time: their kernel values stay in the level-1 cache until they are written,
// both ways, as whole cache lines.
constexpr std::int64_t kBand = 16;
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

// The rows of one band, written to out at (i, j) and, transposed, to (j, i): columns [begin_row,
// cols) of a row are there; with `triangle` row r begins at column r and the square on the diagonal
// is mirrored in place.
template <typename T>
void write_band(const AngleLoops<T>& loops, const T* band, std::int64_t rows, std::int64_t cols,
                bool mirror, bool triangle, MatrixView<T> out, std::int64_t i, std::int64_t j) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t begin = triangle ? r : 0;
    std::copy_n(band + r * kEdge + begin, cols - begin, &out(i + r, j + begin));
    for (std::int64_t k = 0; k < begin; ++k) out(i + r, j + k) = band[k * kEdge + r];
  }
  const std::int64_t done =
      triangle ? rows : 0;  // columns whose mirror image lies in the band itself
  if (mirror && done < cols) {
    loops.transpose(band + done, kEdge, rows, cols - done, &out(j + done, i), out.stride);
  }
}

constexpr int kKernels = 3;  // H_inf, K_a, their sum

template <typename T>
struct TileScratch {
  Buffer<T> cosine, band[kKernels];
  void reserve() {
    if (cosine.size()) return;
    cosine = strip_scratch<T>(kEdge);
    for (Buffer<T>& one : band) one = Buffer<T>(kBand * kEdge);
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
               [&](std::int64_t begin, std::int64_t count, const T* strip) {
                 for (std::int64_t i0 = begin; i0 < begin + count; i0 += kBand) {
                   const std::int64_t rows = std::min(kBand, begin + count - i0);
                   const std::int64_t skip = t.diagonal ? i0 : 0;
                   for (std::int64_t r = 0; r < rows; ++r) {
                     const std::int64_t from = t.diagonal ? r : 0;
                     T* to[kKernels] = {};
                     for (int k = 0; k < kKernels; ++k)
                       if (outs[k].data) to[k] = scratch.band[k].data() + r * kEdge + from;
                     row(t.i + i0 + r, t.j + skip + from,
                         strip + (i0 - begin + r) * strip_stride(kEdge) + skip + from,
                         t.cols - skip - from, to);
                   }
                   for (int k = 0; k < kKernels; ++k)
                     if (outs[k].data)
                       write_band(loops, scratch.band[k].data(), rows, t.cols - skip, symmetric,
                                  t.diagonal, outs[k], t.i + i0, t.j + skip);
                 }
               });
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
