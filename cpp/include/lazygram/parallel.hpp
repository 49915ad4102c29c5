// Tile scheduler: runs independent tiles on several threads, polls for interruption, carries
// exceptions out.
//
// Results never depend on the number of threads as long as each tile writes its own output and any
// sum over tiles is taken afterwards in tile order: the scheduler decides who runs a tile and when,
// never what it is.
#pragma once

#include <cstdint>
#include <functional>

namespace lazygram {

struct RunOptions {
  int threads = 0;  // 0: all that the machine (or OMP_NUM_THREADS) gives
  // Called on the calling thread, at most every poll_interval seconds, with tiles done and in all;
  // returns true to stop, which makes the run throw Interrupted.
  std::function<bool(std::int64_t done, std::int64_t total)> poll;
  double poll_interval = 0.1;
};

int max_threads();
int resolve_threads(int threads);
const char* threading_backend();

// For bodies whose tile may take longer than a user waits: polls as the scheduler does between
// tiles, and throws Interrupted when the run is being stopped. Does nothing outside parallel_tiles.
void interruption_point();

// Calls body(tile, thread) once for every tile in [0, tiles), thread in [0,
// resolve_threads(threads)). The first exception that a body throws stops the handing out of tiles
// and is rethrown here.
void parallel_tiles(std::int64_t tiles, const RunOptions& options,
                    const std::function<void(std::int64_t tile, int thread)>& body);

}  // namespace lazygram
