// Tiles of a program that depends on the angle alone, and their products with a vector: cosines of
// unit vectors, a short series an entry. Private to the tile engine.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gram/angle_loops.hpp"
#include "gram/cosines.hpp"
#include "gram/directions.hpp"
#include "lazygram/gram.hpp"
#include "tiles/angle.hpp"

namespace lazygram {

template <typename T>
struct AngleScratch {
  Buffer<T> cosine;
  std::vector<Buffer<T>> out;  // per output
};

template <typename T>
class AnglePath {
 public:
  // right without data: the symmetric problem. Values are unit |x|^a |y|^a f(theta).
  AnglePath(AngleTable table, ConstMatrixView<double> left, ConstMatrixView<double> right,
            double unit, bool equal_norms)
      : table_(std::move(table)), left_(left) {
    if (right.data) right_ = std::make_unique<Directions<T>>(right);
    fill_scale(left_, unit, equal_norms, left_scale_);
    fill_scale(this->right(), 1.0, equal_norms, right_scale_);
    series_.shift = static_cast<T>(table_.variable.shift);
    series_.slope = static_cast<T>(table_.variable.slope());
    // Where the rounding of a cosine is worth more than that of a product in the angle.
    constexpr T near = static_cast<T>(sizeof(T) == 4 ? 0.99 : 0.999);
    series_.near = near * near;
    series_.count = static_cast<int>(table_.functions.size());
    for (int f = 0; f < series_.count; ++f) {
      const AngleFunction& function = table_.functions[f];
      const AngleFunction::Parts& parts = sizeof(T) == 4 ? function.narrow : function.wide;
      even_[f].assign(parts.even.begin(), parts.even.end());
      odd_[f].assign(parts.odd.begin(), parts.odd.end());
      series_.function[f] = {even_[f].data(), odd_[f].data(), static_cast<int>(even_[f].size()),
                             static_cast<int>(odd_[f].size()), T(0)};
    }
  }
  AnglePath(const AnglePath&) = delete;
  AnglePath& operator=(const AnglePath&) = delete;

  // s.out[f][r * edge + c]; of a diagonal tile the upper half.
  void tile(const TileGrid::Tile& t, std::int64_t edge, AngleScratch<T>& s) const {
    reserve(s, edge);
    for (int f = static_cast<int>(s.out.size()); f < series_.count; ++f)
      s.out.emplace_back(edge * edge);
    const AngleLoops<T>& loops = angle_loops<T>();
    for_strips(left_, right(), t, edge, s.cosine.data(),
               [&](std::int64_t begin, std::int64_t rows, const T* strip) {
                 for (std::int64_t r = begin; r < begin + rows; ++r) {
                   const std::int64_t skip = t.diagonal ? r : 0, count = t.cols - skip;
                   const T* const cosine = strip + (r - begin) * strip_stride(edge) + skip;
                   T* out[2] = {};
                   for (int f = 0; f < series_.count; ++f)
                     out[f] = s.out[f].data() + r * edge + skip;
                   const T scale = left_scale_[t.i + r];
                   const T* const scales = right_scale_.data() + t.j + skip;
                   if (!loops.row(series_, cosine, scale, scales, count, out)) continue;
                   for (std::int64_t c = 0; c < count; ++c) {
                     if (!is_near(cosine[c])) continue;
                     const Angle angle = angle_between(left_, t.i + r, right(), t.j + skip + c);
                     for (int f = 0; f < series_.count; ++f)
                       out[f][c] = static_cast<T>(static_cast<double>(scale) *
                                                  static_cast<double>(scales[c]) * exact(f, angle));
                   }
                 }
               });
  }

  // The first output times a vector, for a tile that begins with a bundle:
  //   left[r] = sum_c f(r, c) v[t.j + c], and, if `both`, right[c] = sum_r f(r, c) v[t.i + r],
  // without the factors |x|^a and the pairs (i, i) of a diagonal tile. No entry is written: strips
  // of cosines are read once for both sums.
  void sums(const TileGrid::Tile& t, std::int64_t edge, bool both, const T* v, AngleScratch<T>& s,
            T* left, T* right_sums) const {
    reserve(s, edge);
    const AngleLoops<T>& loops = angle_loops<T>();
    const std::int64_t stride = strip_stride(edge);
    std::fill_n(left, t.rows, T(0));
    std::fill_n(right_sums, round_up(t.cols, kAngleBlock), T(0));
    const T *const from_right = v + t.j, *const from_left = v + t.i;
    // Rows [r, r + rows) and columns [c, end), `begin` the first row of the strip.
    const auto part = [&](const T* strip, std::int64_t begin, std::int64_t r, std::int64_t rows,
                          std::int64_t c, std::int64_t end, bool mirrored) {
      if (c >= end) return;
      const T* const cosine = strip + (r - begin) * stride;
      if (!loops.sums(series_, cosine + c, stride, rows, round_up(end - c, kAngleBlock),
                      from_right + c, mirrored ? from_left + r : nullptr, left + r, right_sums + c))
        return;
      for (std::int64_t a = 0; a < rows; ++a) {
        for (std::int64_t b = c; b < end; ++b) {
          if (!is_near(cosine[a * stride + b]) || (t.diagonal && r + a == b)) continue;
          const auto f =
              static_cast<T>(exact(0, angle_between(left_, t.i + r + a, right(), t.j + b)));
          left[r + a] += f * from_right[b];
          if (mirrored) right_sums[b] += f * from_left[r + a];
        }
      }
    };
    for_strips(left_, right(), t, edge, s.cosine.data(),
               [&](std::int64_t begin, std::int64_t rows, const T* strip) {
                 if (!t.diagonal) {
                   part(strip, begin, begin, rows, 0, t.cols, both);
                   return;
                 }
                 // The square of a bundle with itself whole, what is right of it for both sides.
                 for (std::int64_t r = begin; r < begin + rows;) {
                   const std::int64_t bundle = r / kBundle * kBundle, next = bundle + kBundle;
                   const std::int64_t here = std::min(next, begin + rows) - r;
                   part(strip, begin, r, here, bundle, std::min(next, t.cols), false);
                   part(strip, begin, r, here, next, t.cols, true);
                   r += here;
                 }
               });
  }

  // Factors of the first and the second examples; the unit is in the first.
  const Buffer<T>& left_scale() const { return left_scale_; }
  const Buffer<T>& right_scale() const { return right_scale_; }

 private:
  const Directions<T>& right() const { return right_ ? *right_ : left_; }
  bool is_near(T cosine) const { return cosine * cosine > series_.near; }
  double exact(int f, const Angle& angle) const {
    return evaluate(table_.variable, table_.functions[f], angle.cosine, angle.sine);
  }
  void reserve(AngleScratch<T>& s, std::int64_t edge) const {
    if (s.cosine.size() == 0) s.cosine = strip_scratch<T>(edge);
  }
  void fill_scale(const Directions<T>& x, double unit, bool equal_norms, Buffer<T>& out) const {
    out = Buffer<T>(x.rows);
    for (std::int64_t i = 0; i < x.rows; ++i) {
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
  std::vector<T> even_[2], odd_[2];
};

}  // namespace lazygram
