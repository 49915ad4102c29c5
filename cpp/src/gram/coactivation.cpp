// Exact co-activation counts, tile by tile.
#include "gram/coactivation.hpp"

#include <algorithm>
#include <vector>

#include "gram/popcount.hpp"
#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {

const PopcountKernels& popcount_kernels() {
  static const IsaTable<const PopcountKernels*> table = {
      &baseline::popcount,
#ifdef LAZYGRAM_X86
      &avx2::popcount,
      &avx512::popcount,
      &avx512_vpopcntdq::popcount,
#endif
  };
  return *table.pick();
}

std::int64_t TileGrid::count() const {
  const std::int64_t down = ceil_div(rows, edge), across = ceil_div(cols, edge);
  return symmetric ? down * (down + 1) / 2 : down * across;
}

TileGrid::Tile TileGrid::tile(std::int64_t index) const {
  const std::int64_t across = ceil_div(cols, edge);
  std::int64_t ti, tj;
  if (symmetric) {  // rows of tiles shrink by one: walk them
    ti = 0;
    while (index >= across - ti) {
      index -= across - ti;
      ++ti;
    }
    tj = ti + index;
  } else {
    ti = index / across;
    tj = index % across;
  }
  return {ti * edge, tj * edge, std::min(edge, rows - ti * edge), std::min(edge, cols - tj * edge),
          symmetric && ti == tj};
}

namespace {

// Words counted between two looks at Ctrl-C: a tile of that many takes a quarter of a second on the
// slowest level.
constexpr std::int64_t kSpan = 4096;

// Counts of one tile into `counts` (row stride kGramTile), the lower half of a diagonal tile filled
// in too.
void count_tile(const PopcountKernels& kernels, ConstPatternsView a, ConstPatternsView b,
                const TileGrid::Tile& t, std::int64_t* counts) {
  for (std::int64_t i = 0; i < t.rows; ++i) {
    std::fill_n(counts + i * kGramTile, t.cols, std::int64_t{0});
  }
  for (std::int64_t begin = 0; begin < a.cols; begin += kSpan) {
    interruption_point();
    kernels.coactivation(a.row(t.i) + begin, a.stride, static_cast<int>(t.rows), b.row(t.j) + begin,
                         b.stride, static_cast<int>(t.cols), std::min(kSpan, a.cols - begin),
                         t.diagonal, counts, kGramTile);
  }
  if (!t.diagonal) return;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    for (std::int64_t j = 0; j < i; ++j) counts[i * kGramTile + j] = counts[j * kGramTile + i];
  }
}

}  // namespace

void coactivation_tiles(
    ConstPatternsView a, ConstPatternsView b, const RunOptions& options,
    const std::function<void(const TileGrid::Tile&, const std::int64_t*, int)>& use) {
  require(a.cols == b.cols, "patterns: the two sets have different widths");
  const PopcountKernels& kernels = popcount_kernels();
  const bool symmetric = same_view(a, b);
  const TileGrid grid{a.rows, b.rows, symmetric};
  std::vector<Buffer<std::int64_t>> scratch(resolve_threads(options.threads));
  parallel_tiles(grid.count(), options, [&](std::int64_t index, int thread) {
    if (!scratch[thread].size()) scratch[thread] = Buffer<std::int64_t>(kGramTile * kGramTile);
    const TileGrid::Tile t = grid.tile(index);
    count_tile(kernels, a, b, t, scratch[thread].data());
    use(t, scratch[thread].data(), thread);
  });
}

void coactivation_counts(ConstPatternsView a, ConstPatternsView b, MatrixView<std::int64_t> out,
                         const RunOptions& options) {
  const bool symmetric = same_view(a, b);
  coactivation_tiles(a, b, options, [&](const TileGrid::Tile& t, const std::int64_t* counts, int) {
    for (std::int64_t i = 0; i < t.rows; ++i) {
      for (std::int64_t j = 0; j < t.cols; ++j) out(t.i + i, t.j + j) = counts[i * kGramTile + j];
    }
    if (!symmetric || t.diagonal) return;
    for (std::int64_t j = 0; j < t.cols; ++j) {
      for (std::int64_t i = 0; i < t.rows; ++i) out(t.j + j, t.i + i) = counts[i * kGramTile + j];
    }
  });
}

}  // namespace lazygram
