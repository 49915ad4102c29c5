// Finite-width Gram matrix H = (X X^T) o C / m, formed tile by tile from the counts.
#include <vector>

#include "gram/coactivation.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"

namespace lazygram {

void gram_finite(ConstPatternsView a, ConstMatrixView<double> X1, ConstPatternsView b,
                 ConstMatrixView<double> X2, std::int64_t width, MatrixView<double> out,
                 const RunOptions& options) {
  require(X1.rows == a.rows && X2.rows == b.rows,
          "X: number of examples differs from that of the patterns");
  require(X1.cols == X2.cols, "X2: number of columns differs from that of X");
  const bool symmetric = same_view(a, b);
  require(!symmetric || (X1.data == X2.data && X1.stride == X2.stride),
          "X2: must be X where the patterns are the same");
  const double scale = 1.0 / static_cast<double>(width);
  std::vector<Buffer<double>> scratch(resolve_threads(options.threads));
  coactivation_tiles(
      a, b, options, [&](const TileGrid::Tile& t, const std::int64_t* counts, int thread) {
        if (!scratch[thread].size()) scratch[thread] = Buffer<double>(kGramTile * kGramTile);
        double* const dots = scratch[thread].data();
        gemm_nt<double>(t.rows, t.cols, X1.cols, 1.0, X1.row(t.i), X1.stride, X2.row(t.j),
                        X2.stride, 0.0, dots, kGramTile);
        for (std::int64_t i = 0; i < t.rows; ++i) {
          // On a diagonal tile the upper half is the one that counts, whatever rounding the product
          // has.
          for (std::int64_t j = t.diagonal ? i : 0; j < t.cols; ++j) {
            const double h =
                dots[i * kGramTile + j] * (static_cast<double>(counts[i * kGramTile + j]) * scale);
            out(t.i + i, t.j + j) = h;
            if (symmetric) out(t.j + j, t.i + i) = h;
          }
        }
      });
}

}  // namespace lazygram
