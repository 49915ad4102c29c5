// Gram matrices of a two-layer ReLU network: at finite width from packed activation patterns, and
// in the limit.
//
//   C_ij = #{r : M_ri = M_rj = 1}      exact integers, the same at every instruction-set level
//   H_ij = (x_i . x_j) C_ij / m        (Du, thesis, ch. 2, eq. for H(t); X in float64)
//   H_inf = E[x.x' 1{w.x >= 0} 1{w.x' >= 0}] = x.x' (pi - th) / (2 pi),   th = angle(x, x')
//   K_a   = E[max(w.x, 0) max(w.x', 0)] = |x||x'| (sin th + (pi - th) cos th) / (2 pi)
// (w ~ N(0, I); H_inf + K_a is the NTK with both layers trained, K_a the NNGP kernel; Cho and Saul
// 2009.)
#pragma once

#include <cstdint>

#include "lazygram/array.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/patterns.hpp"

namespace lazygram {

// Edge of a square tile of examples: 2 x 128 pattern rows by 4 KiB stay in the level-2 cache.
inline constexpr std::int64_t kGramTile = 128;

// Square tiles of an n x n2 matrix; for a symmetric matrix only those on and above the diagonal.
struct TileGrid {
  std::int64_t rows, cols;
  bool symmetric;
  std::int64_t edge = kGramTile;

  struct Tile {
    std::int64_t i, j, rows, cols;
    bool diagonal;
  };
  std::int64_t count() const;
  Tile tile(std::int64_t index) const;
};

// C (a.rows x b.rows). a and b the same patterns (same pointer, rows and stride): one triangle is
// counted and mirrored.
void coactivation_counts(ConstPatternsView a, ConstPatternsView b, MatrixView<std::int64_t> out,
                         const RunOptions& options);

// H (a.rows x b.rows) for patterns a of X1 and b of X2 over `width` neurons; same views twice:
// symmetric bit for bit.
void gram_finite(ConstPatternsView a, ConstMatrixView<double> X1, ConstPatternsView b,
                 ConstMatrixView<double> X2, std::int64_t width, MatrixView<double> out,
                 const RunOptions& options);

// Infinite-width kernels between the rows of X1 and X2; an output with null data is not computed,
// and `first` and `both` are not asked for together. X2 the same view as X1: symmetric bit for bit,
// theta_ii = 0 exactly. Angles of nearly parallel or antiparallel rows
// (|cos| > 0.999) come from differences of unit vectors, never from a rounded cosine.
template <typename T>
struct TwoLayerKernels {
  MatrixView<T> first;   // H_inf
  MatrixView<T> second;  // K_a
  MatrixView<T> both;    // H_inf + K_a
};
template <typename T>
void gram_infinite(ConstMatrixView<T> X1, ConstMatrixView<T> X2, const TwoLayerKernels<T>& out,
                   const RunOptions& options);

}  // namespace lazygram
