// Walk over co-activation counts tile by tile: what coactivation_counts and gram_finite share.
#pragma once

#include <cstdint>
#include <functional>

#include "lazygram/gram.hpp"

namespace lazygram {

// Calls use(tile, counts, thread) for every tile of C; counts has row stride kGramTile. When a and
// b are the same view only tiles on and above the diagonal are visited.
void coactivation_tiles(ConstPatternsView a, ConstPatternsView b, const RunOptions& options,
                        const std::function<void(const TileGrid::Tile& tile,
                                                 const std::int64_t* counts, int thread)>& use);

inline bool same_view(ConstPatternsView a, ConstPatternsView b) {
  return a.data == b.data && a.rows == b.rows && a.stride == b.stride;
}

}  // namespace lazygram
