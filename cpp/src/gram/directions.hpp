// Rows scaled to unit norm, laid out for their products, and the angle of two of them without loss
// near 0 and pi.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gram/bundles.hpp"
#include "lazygram/array.hpp"

namespace lazygram {

// Unit rows and norms of X in T; scaled by the largest entry first so that squares neither overflow
// nor vanish. A zero row stays zero. Coordinate k of row i is at(i)[k * step]: rows one after the
// other, or bundles of `step` rows with a coordinate of all of them side by side, where the level
// has a product of bundles; the last bundle is filled up with zero rows.
template <typename T>
struct Directions {
  const BundleProduct<T>* product;  // null: BLAS
  std::int64_t rows, cols, step;
  Buffer<T> unit, norm;

  template <typename From>
  explicit Directions(ConstMatrixView<From> X)
      : product(bundle_product<T>(X.cols)),
        rows(X.rows),
        cols(X.cols),
        step(product ? kBundle : 1),
        unit(round_up(X.rows, step) * X.cols),
        norm(X.rows) {
    std::fill_n(unit.data() + rows / step * step * cols, unit.size() - rows / step * step * cols,
                T(0));
    for (std::int64_t i = 0; i < rows; ++i) {
      const From* const x = X.row(i);
      T* const to = unit.data() + place(i);
      From largest = 0;
      for (std::int64_t k = 0; k < cols; ++k) largest = std::max(largest, std::abs(x[k]));
      if (largest == From(0)) {
        for (std::int64_t k = 0; k < cols; ++k) to[k * step] = T(0);
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
        to[k * step] =
            static_cast<T>(static_cast<double>(x[k]) / static_cast<double>(largest) / length);
      }
      norm[i] = static_cast<T>(static_cast<double>(largest) * length);
    }
  }

  const T* at(std::int64_t i) const { return unit.data() + place(i); }

 private:
  std::int64_t place(std::int64_t i) const { return i / step * step * cols + i % step; }
};

// Cosine and sine of the angle between x and y from |x - y| and |x + y|, twice the sine and cosine
// of half of it (Kahan): exact near 0 and pi, where a rounded cosine is not.
struct Angle {
  double cosine, sine;
  double half_sine, half_cosine;  // times a common factor
};

template <typename T>
Angle angle_between(const Directions<T>& left, std::int64_t i, const Directions<T>& right,
                    std::int64_t j) {
  const T *const x = left.at(i), *const y = right.at(j);
  double minus = 0, plus = 0;
  for (std::int64_t k = 0; k < left.cols; ++k) {
    const double a = static_cast<double>(x[k * left.step]);
    const double b = static_cast<double>(y[k * right.step]);
    minus += (a - b) * (a - b);
    plus += (a + b) * (a + b);
  }
  const double m = std::sqrt(minus), p = std::sqrt(plus), all = minus + plus;
  return {(p - m) * (p + m) / all, 2 * m * p / all, m, p};
}

}  // namespace lazygram
