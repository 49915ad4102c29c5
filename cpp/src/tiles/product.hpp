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

// Calls multiply(tile, thread) for all tiles of n x n2 (those of one triangle if `symmetric`); no
// two at a time share rows of the output.
template <typename Multiply>
void for_product_tiles(std::int64_t n, std::int64_t n2, bool symmetric, std::int64_t edge,
                       const RunOptions& options, const Multiply& multiply) {
  const auto run = [&](std::int64_t bi, std::int64_t bj, int thread) {
    TileGrid::Tile t{};
    t.i = bi * edge;
    t.j = bj * edge;
    t.rows = std::min(edge, n - t.i);
    t.cols = std::min(edge, n2 - t.j);
    t.diagonal = symmetric && bi == bj;
    multiply(t, thread);
  };
  const std::int64_t row_blocks = ceil_div(n, edge), column_blocks = ceil_div(n2, edge);
  if (!symmetric) {
    parallel_tiles(row_blocks, options, [&](std::int64_t bi, int thread) {
      for (std::int64_t bj = 0; bj < column_blocks; ++bj) {
        run(bi, bj, thread);
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
                     run(round[index].first, round[index].second, thread);
                   });
    done += static_cast<std::int64_t>(round.size());
    // Rounds may be shorter than the scheduler's interval.
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last;
    if (since.count() >= options.poll_interval && of_round.poll(0, total)) throw Interrupted();
  }
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
  for_product_tiles(n, n2, symmetric, edge, options, [&](const TileGrid::Tile& t, int thread) {
    const T* const tile = make(t, thread);
    Sums& mine = sums[thread];
    if (mine.left.size() == 0) {
      mine.left = Buffer<T>(edge * k);
      mine.right = Buffer<T>(edge * k);
    }
    const bool both = symmetric && !t.diagonal;
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
  });
}

// One vector, the angle alone (angle_path.hpp): v is scaled once, sums are scaled at the end, and
// no tile is written. `diagonal`: of the kernel, in the symmetric case.
template <typename T>
void angle_product(const AnglePath<T>& angles, std::int64_t n, const double* diagonal,
                   std::int64_t edge, ConstMatrixView<double> v, MatrixView<double> out,
                   const RunOptions& options) {
  const std::int64_t n2 = v.rows;
  const bool symmetric = diagonal != nullptr;
  Buffer<T> scaled(round_up(n2, kBundle));
  std::fill_n(scaled.data(), scaled.size(), T(0));
  for (std::int64_t j = 0; j < n2; ++j)
    scaled[j] = angles.right_scale()[j] * static_cast<T>(v(j, 0));
  for (std::int64_t i = 0; i < n; ++i) out(i, 0) = symmetric ? diagonal[i] * v(i, 0) : 0.0;
  struct Mine {
    AngleScratch<T> scratch;
    Buffer<T> left, right;
  };
  std::vector<Mine> all(resolve_threads(options.threads));
  for_product_tiles(n, n2, symmetric, edge, options, [&](const TileGrid::Tile& t, int thread) {
    Mine& mine = all[thread];
    if (mine.left.size() == 0) {
      mine.left = Buffer<T>(edge);
      mine.right = Buffer<T>(edge);
    }
    angles.sums(t, edge, symmetric, scaled.data(), mine.scratch, mine.left.data(),
                mine.right.data());
    const auto add = [&](std::int64_t begin, std::int64_t count, const Buffer<T>& sums) {
      for (std::int64_t k = 0; k < count; ++k)
        out(begin + k, 0) +=
            static_cast<double>(angles.left_scale()[begin + k]) * static_cast<double>(sums[k]);
    };
    add(t.i, t.rows, mine.left);
    if (symmetric) add(t.j, t.cols, mine.right);
  });
}

}  // namespace lazygram
