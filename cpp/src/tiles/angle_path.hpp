// Tiles of a program that depends on the angle alone: one product of unit vectors, one series an
// entry. Private to the tile engine.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "gram/directions.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/gram.hpp"
#include "tiles/angle.hpp"
#include "tiles/angle_loops.hpp"

namespace lazygram {

template <typename T>
const AngleLoops<T>& angle_loops();

template <typename T>
struct AngleScratch {
  Buffer<T> cosine;
  std::vector<Buffer<T>> out;  // per output
};

// Rows of a product of unit vectors: large enough for its speed, small enough to stay in cache with
// what is made of it.
inline constexpr std::int64_t kStrip = 128;

template <typename T>
class AnglePath {
 public:
  // right without data: the symmetric problem. Values are unit |x|^a |y|^a f(theta).
  AnglePath(AngleTable table, ConstMatrixView<double> left, ConstMatrixView<double> right,
            double unit, bool equal_norms)
      : table_(std::move(table)), left_(left) {
    if (right.data) right_ = std::make_unique<Directions<T>>(right);
    fill_scale(left_, left.rows, unit, equal_norms, left_scale_);
    if (right_)
      fill_scale(*right_, right.rows, 1.0, equal_norms, right_scale_);
    else
      fill_scale(left_, left.rows, 1.0, equal_norms, right_scale_);
    series_.shift = static_cast<T>(table_.shift);
    series_.slope = static_cast<T>(table_.slope);
    // Where the rounding of a cosine is worth more than that of a product in the angle.
    series_.near = static_cast<T>(sizeof(T) == 4 ? 0.99 : 0.999);
    series_.count = static_cast<int>(table_.functions.size());
    for (int f = 0; f < series_.count; ++f) {
      const AngleTable::Function& function = table_.functions[f];
      series_.terms[f] =
          sizeof(T) == 4 ? function.float_terms : static_cast<int>(function.coefficients.size());
      coefficients_[f].assign(function.coefficients.begin(),
                              function.coefficients.begin() + series_.terms[f]);
      series_.coefficients[f] = coefficients_[f].data();
    }
  }
  AnglePath(const AnglePath&) = delete;
  AnglePath& operator=(const AnglePath&) = delete;

  // s.out[f][r * edge + c]; of a diagonal tile the upper half.
  void tile(const TileGrid::Tile& t, std::int64_t edge, AngleScratch<T>& s) const {
    if (s.out.empty()) {
      s.cosine = Buffer<T>(kStrip * edge);
      for (int f = 0; f < series_.count; ++f) s.out.emplace_back(edge * edge);
    }
    const Directions<T>& right = right_ ? *right_ : left_;
    const AngleLoops<T>& loops = angle_loops<T>();
    for (std::int64_t r = 0; r < t.rows; ++r) {
      const std::int64_t strip = r / kStrip * kStrip, left_out = t.diagonal ? strip : 0;
      if (r == strip)
        gemm_nt<T>(std::min(kStrip, t.rows - r), t.cols - left_out, left_.cols, T(1),
                   left_.row(t.i + r), left_.cols, right.row(t.j + left_out), left_.cols, T(0),
                   s.cosine.data() + left_out, edge);
      const std::int64_t skip = t.diagonal ? r : 0, count = t.cols - skip, at = r * edge + skip;
      const T* const cosine = s.cosine.data() + (r - strip) * edge + skip;
      T* out[2] = {s.out[0].data() + at, series_.count > 1 ? s.out[1].data() + at : nullptr};
      const T scale = left_scale_[t.i + r];
      const T* const scales = right_scale_.data() + t.j + skip;
      if (!loops.row(series_, cosine, scale, scales, count, out)) continue;
      for (std::int64_t c = 0; c < count; ++c) {
        if (std::abs(cosine[c]) <= series_.near) continue;
        const auto [minus, plus] =
            half_chords(left_.row(t.i + r), right.row(t.j + skip + c), left_.cols);
        const double theta = 2 * std::atan2(minus, plus);
        for (int f = 0; f < series_.count; ++f)
          out[f][c] = static_cast<T>(static_cast<double>(scale) * static_cast<double>(scales[c]) *
                                     table_.value(f, theta));
      }
    }
  }

 private:
  void fill_scale(const Directions<T>& x, std::int64_t n, double unit, bool equal_norms,
                  Buffer<T>& out) const {
    out = Buffer<T>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto norm = static_cast<double>(x.norm[i]);
      const double power = norm > 0 ? std::pow(norm, table_.exponent) : 0.0;
      out[i] = static_cast<T>(unit * (equal_norms ? 1.0 : power));
    }
  }

  AngleTable table_;
  Directions<T> left_;
  std::unique_ptr<Directions<T>> right_;
  Buffer<T> left_scale_, right_scale_;
  AngleSeries<T> series_{};
  std::vector<T> coefficients_[2];
};

}  // namespace lazygram
