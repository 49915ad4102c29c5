// Rows scaled to unit norm, and the angle of two of them without loss near 0 and pi.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lazygram/array.hpp"

namespace lazygram {

// Unit rows and norms of X in T; scaled by the largest entry first so that squares neither overflow
// nor vanish. A zero row stays zero.
template <typename T>
struct Directions {
  Buffer<T> unit, norm;
  std::int64_t cols;

  template <typename From>
  explicit Directions(ConstMatrixView<From> X) : unit(X.rows * X.cols), norm(X.rows), cols(X.cols) {
    for (std::int64_t i = 0; i < X.rows; ++i) {
      const From* const x = X.row(i);
      From largest = 0;
      for (std::int64_t k = 0; k < cols; ++k) largest = std::max(largest, std::abs(x[k]));
      if (largest == From(0)) {
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
        row(i)[k] =
            static_cast<T>(static_cast<double>(x[k]) / static_cast<double>(largest) / length);
      }
      norm[i] = static_cast<T>(static_cast<double>(largest) * length);
    }
  }
  T* row(std::int64_t i) const { return unit.data() + i * cols; }
};

// |x - y| and |x + y| of unit vectors: their angle is 2 atan2(minus, plus) (Kahan).
struct HalfChords {
  double minus, plus;
};

template <typename T>
HalfChords half_chords(const T* x, const T* y, std::int64_t cols) {
  double minus = 0, plus = 0;
  for (std::int64_t k = 0; k < cols; ++k) {
    const double d = static_cast<double>(x[k]) - static_cast<double>(y[k]);
    const double s = static_cast<double>(x[k]) + static_cast<double>(y[k]);
    minus += d * d;
    plus += s * s;
  }
  return {std::sqrt(minus), std::sqrt(plus)};
}

}  // namespace lazygram
