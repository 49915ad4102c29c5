// Tile scheduler on OpenMP, or on std::thread where the thread sanitizer must see every
// synchronisation.
#include "lazygram/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>

#include "lazygram/error.hpp"

#ifdef LAZYGRAM_OPENMP
#include <omp.h>
#else
#include <system_error>
#include <thread>
#include <vector>
#endif

namespace lazygram {
namespace {

struct Run;

// What this thread works on now, for interruption_point.
struct Current {
  Run* run = nullptr;
  int thread = 0;
};
thread_local Current current;

// What the threads of one run share.
struct Run {
  Run(std::int64_t tiles_, const RunOptions& options_,
      const std::function<void(std::int64_t, int)>& body_)
      : tiles(tiles_), options(options_), body(body_) {}

  const std::int64_t tiles;
  const RunOptions& options;
  const std::function<void(std::int64_t, int)>& body;
  std::atomic<std::int64_t> next{0};
  std::atomic<std::int64_t> done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::exception_ptr error;
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_poll = Clock::now();  // of the calling thread alone

  void fail(std::exception_ptr e) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!error) error = e;
    stop = true;
  }

  // Only the calling thread polls: Python delivers signals to no other.
  void poll_if_due(int thread) {
    if (thread != 0 || !options.poll) return;
    const auto now = Clock::now();
    if (std::chrono::duration<double>(now - last_poll).count() < options.poll_interval) return;
    last_poll = now;
    if (options.poll(done.load(), tiles)) throw Interrupted();
  }

  void work(int thread) {
    const Current outer = current;
    current = {this, thread};
    try {
      while (!stop.load(std::memory_order_relaxed)) {
        const std::int64_t tile = next.fetch_add(1, std::memory_order_relaxed);
        if (tile >= tiles) break;
        body(tile, thread);
        done.fetch_add(1, std::memory_order_relaxed);
        poll_if_due(thread);
      }
    } catch (...) {
      fail(std::current_exception());
    }
    current = outer;
  }
};

}  // namespace

int max_threads() {
#ifdef LAZYGRAM_OPENMP
  return omp_get_max_threads();
#else
  return std::max(1u, std::thread::hardware_concurrency());
#endif
}

int resolve_threads(int threads) { return threads > 0 ? threads : max_threads(); }

const char* threading_backend() {
#ifdef LAZYGRAM_OPENMP
  return "openmp";
#else
  return "std";
#endif
}

void interruption_point() {
  if (!current.run) return;
  if (current.run->stop.load(std::memory_order_relaxed)) throw Interrupted();
  current.run->poll_if_due(current.thread);
}

void parallel_tiles(std::int64_t tiles, const RunOptions& options,
                    const std::function<void(std::int64_t, int)>& body) {
  if (tiles <= 0) return;
  Run run(tiles, options, body);
  const int threads =
      static_cast<int>(std::min<std::int64_t>(resolve_threads(options.threads), tiles));
  if (threads == 1) {
    run.work(0);
  } else {
#ifdef LAZYGRAM_OPENMP
#pragma omp parallel num_threads(threads)
    run.work(omp_get_thread_num());
#else
    std::vector<std::thread> pool;
    pool.reserve(threads);
    try {
      for (int t = 1; t < threads; ++t) pool.emplace_back([&run, t] { run.work(t); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those that run take all tiles.
    }
    run.work(0);
    for (std::thread& worker : pool) worker.join();
#endif
  }
  if (run.error) std::rethrow_exception(run.error);
}

}  // namespace lazygram
