// K V from tiles that are never stored: each tile of a symmetric kernel serves both of its sides.
// Private to the tile engine.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"
#include "lazygram/parallel.hpp"
#include "tiles/angle_path.hpp"

namespace lazygram {

// Tiles of a symmetric problem in rounds, so that no two tiles of a round share a row of blocks
// (the circle method of a tournament): sums into the output need no locks and have a fixed order.
inline std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>> tournament(
    std::int64_t blocks) {
  std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>> rounds(1);
  for (std::int64_t b = 0; b < blocks; ++b) rounds[0].push_back({b, b});
  const std::int64_t players = blocks + blocks % 2, ring = players - 1;
  for (std::int64_t r = 0; r < ring && blocks > 1; ++r) {
    rounds.emplace_back();
    for (std::int64_t k = 0; k < players / 2; ++k) {
      const std::int64_t a = k ? (r + k) % ring : ring, b = (r - k + ring) % ring;
      if (a < blocks && b < blocks) rounds.back().push_back({std::min(a, b), std::max(a, b)});
    }
  }
  return rounds;
}

// make(tile, thread) returns the whole tile (edge x edge, row-major), valid until its next call by
// the same thread.
template <typename T, typename Make>
void tile_product(std::int64_t n, bool symmetric, std::int64_t edge, ConstMatrixView<double> V,
                  MatrixView<double> out, const RunOptions& options, const Make& make) {
  const std::int64_t n2 = V.rows, k = V.cols;
  Buffer<T> v(n2 * k);
  for (std::int64_t i = 0; i < n2; ++i)
    for (std::int64_t c = 0; c < k; ++c) v[i * k + c] = static_cast<T>(V(i, c));
  for (std::int64_t i = 0; i < n; ++i) std::fill_n(out.row(i), k, 0.0);
  const AngleLoops<T>& loops = angle_loops<T>();
  struct Sums {
    Buffer<T> left, right;
  };
  std::vector<Sums> sums(resolve_threads(options.threads));
  const auto multiply = [&](std::int64_t bi, std::int64_t bj, int thread) {
    TileGrid::Tile t{};
    t.i = bi * edge;
    t.j = bj * edge;
    t.rows = std::min(edge, n - t.i);
    t.cols = std::min(edge, n2 - t.j);
    t.diagonal = symmetric && bi == bj;
    const T* const tile = make(t, thread);
    Sums& mine = sums[thread];
    if (mine.left.size() == 0) {
      mine.left = Buffer<T>(edge * k);
      mine.right = Buffer<T>(edge * k);
    }
    const bool both = symmetric && bi != bj;
    std::fill_n(mine.right.data(), t.cols * k, T(0));
    if (k == 1) {
      for (std::int64_t r = 0; r < t.rows; ++r)
        mine.left[r] = loops.dot_add(tile + r * edge, v.data() + t.j, both ? v[t.i + r] : T(0),
                                     mine.right.data(), t.cols);
    } else {
      gemm_nn<T>(t.rows, k, t.cols, T(1), tile, edge, v.data() + t.j * k, k, T(0), mine.left.data(),
                 k);
      if (both)
        gemm_tn<T>(t.cols, k, t.rows, T(1), tile, edge, v.data() + t.i * k, k, T(0),
                   mine.right.data(), k);
    }
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t c = 0; c < k; ++c) out(t.i + r, c) += mine.left[r * k + c];
    if (!both) return;
    for (std::int64_t r = 0; r < t.cols; ++r)
      for (std::int64_t c = 0; c < k; ++c) out(t.j + r, c) += mine.right[r * k + c];
  };
  const std::int64_t row_blocks = ceil_div(n, edge), column_blocks = ceil_div(n2, edge);
  if (!symmetric) {
    parallel_tiles(row_blocks, options, [&](std::int64_t bi, int thread) {
      for (std::int64_t bj = 0; bj < column_blocks; ++bj) {
        multiply(bi, bj, thread);
        interruption_point();
      }
    });
    return;
  }
  const auto rounds = tournament(row_blocks);
  const std::int64_t total = row_blocks * (row_blocks + 1) / 2;
  std::int64_t done = 0;
  auto last = std::chrono::steady_clock::now();
  for (const auto& round : rounds) {
    RunOptions of_round = options;
    of_round.poll = [&](std::int64_t some, std::int64_t) {
      last = std::chrono::steady_clock::now();
      return options.poll && options.poll(done + some, total);
    };
    parallel_tiles(static_cast<std::int64_t>(round.size()), of_round,
                   [&](std::int64_t index, int thread) {
                     multiply(round[index].first, round[index].second, thread);
                   });
    done += static_cast<std::int64_t>(round.size());
    // Rounds may be shorter than the scheduler's interval.
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last;
    if (since.count() >= options.poll_interval && of_round.poll(0, total)) throw Interrupted();
  }
}

}  // namespace lazygram
