// One set of examples as the tile engine reads it; private to the tile engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lazygram/array.hpp"
#include "lazygram/program.hpp"
#include "tiles/runner.hpp"

namespace lazygram {

// One set of examples in the layouts that tiles read.
struct Examples {
  std::int64_t n = 0, features = 0;
  ConstMatrixView<double> rows;  // vectors: as given
  Buffer<double> columns;        // images: [channel][pixel][n]
  Buffer<double> square;         // vectors: |x|^2
  SideTables tables;

  Examples(const Program& program, ConstMatrixView<double> X)
      : n(X.rows), features(X.cols), rows(X), tables(program, X.rows) {
    if (program.is_image()) {
      columns = Buffer<double>(n * features);
      constexpr std::int64_t step = 16;
      for (std::int64_t f = 0; f < features; f += step)
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t g = f; g < std::min(features, f + step); ++g)
            columns[g * n + i] = X(i, g);
      return;
    }
    square = Buffer<double>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0.0;
      for (std::int64_t k = 0; k < features; ++k) sum += X(i, k) * X(i, k);
      square[i] = sum;
    }
  }
};

// x.y of two nearly (anti)parallel rows: |x||y| (1 - |x/|x| -+ y/|y||^2 / 2), exact for equal rows.
inline double near_product(const double* x, const double* y, std::int64_t size, double square_x,
                           double square_y, bool same_side) {
  const double a = 1.0 / std::sqrt(square_x), b = (same_side ? 1.0 : -1.0) / std::sqrt(square_y);
  double sum = 0.0;
  for (std::int64_t k = 0; k < size; ++k) {
    const double d = a * x[k] - b * y[k];
    sum += d * d;
  }
  const double size_xy = std::sqrt(square_x) * std::sqrt(square_y);
  return (same_side ? size_xy : -size_xy) * (1.0 - 0.5 * sum);
}

}  // namespace lazygram
