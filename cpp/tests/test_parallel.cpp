// Tile scheduler: every tile once, exceptions and interruption carried out, results independent of
// threads.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"
#include "lazygram/parallel.hpp"

using namespace lazygram;
using std::chrono::milliseconds;

TEST(every_tile_runs_once) {
  for (int threads : {1, 2, 3, 8}) {
    std::vector<std::atomic<int>> runs(1000);
    RunOptions options;
    options.threads = threads;
    parallel_tiles(1000, options, [&](std::int64_t tile, int thread) {
      CHECK(thread >= 0 && thread < threads);
      ++runs[tile];
    });
    for (auto& count : runs) CHECK(count == 1);
  }
}

TEST(no_tiles_is_fine) {
  parallel_tiles(0, {}, [](std::int64_t, int) { throw std::runtime_error("never"); });
}

TEST(exceptions_leave_the_threads) {
  for (int threads : {1, 4}) {
    RunOptions options;
    options.threads = threads;
    std::atomic<int> runs{0};
    std::atomic<bool> thrown{false};
    CHECK_THROWS(parallel_tiles(100000, options,
                                [&](std::int64_t tile, int) {
                                  ++runs;
                                  if (tile == 5) {
                                    thrown = true;
                                    throw std::out_of_range("tile 5");
                                  }
                                  // Unwinding takes time: the other threads must not be able to
                                  // finish all tiles meanwhile.
                                  if (thrown) std::this_thread::sleep_for(milliseconds(1));
                                }),
                 std::out_of_range);
    CHECK(runs < 100000);
  }
}

TEST(poll_can_interrupt) {
  for (int threads : {1, 2}) {
    RunOptions options;
    options.threads = threads;
    options.poll_interval = 0.0;
    std::atomic<int> runs{0};
    options.poll = [&](std::int64_t done, std::int64_t total) {
      CHECK(total == 100000 && done >= 0 && done <= total);
      return done > 10;
    };
    CHECK_THROWS(parallel_tiles(100000, options,
                                [&](std::int64_t, int) {
                                  // The polling thread may wait for a processor meanwhile.
                                  if (++runs > 1000) std::this_thread::sleep_for(milliseconds(1));
                                }),
                 Interrupted);
    CHECK(runs < 100000);
  }
}

TEST(long_tiles_can_be_interrupted_inside) {
  interruption_point();  // outside a run: nothing
  for (int threads : {1, 3}) {
    RunOptions options;
    options.threads = threads;
    options.poll_interval = 0.0;
    int polls = 0;
    options.poll = [&](std::int64_t done, std::int64_t) {
      CHECK(done == 0);
      return ++polls > 5;
    };
    CHECK_THROWS(parallel_tiles(3, options,
                                [](std::int64_t, int) {
                                  for (;;) interruption_point();  // every thread is stopped
                                }),
                 Interrupted);
    CHECK(polls == 6);
  }
  interruption_point();
}

TEST(exception_of_the_poll_is_the_one_that_comes_out) {
  for (int threads : {1, 3}) {
    RunOptions options;
    options.threads = threads;
    options.poll_interval = 0.0;
    options.poll = [](std::int64_t, std::int64_t) -> bool { throw std::out_of_range("poll"); };
    CHECK_THROWS(parallel_tiles(3, options,
                                [](std::int64_t, int) {
                                  for (;;) interruption_point();
                                }),
                 std::out_of_range);
  }
}

TEST(unknown_and_unavailable_levels_are_refused) {
  CHECK_THROWS(isa_force("sse9"), ArgumentError);
  const auto available = isa_available();
  for (Isa level : isa_compiled()) {
    bool here = false;
    for (Isa other : available) here = here || other == level;
    if (!here) CHECK_THROWS(isa_force(isa_name(level)), ArgumentError);
  }
  isa_force("baseline");
  CHECK(isa_used() == Isa::baseline);
  isa_force("");
  CHECK(isa_used() == available.back());
}

int main() { return check::run(); }
