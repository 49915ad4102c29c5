// State of event-driven descent and the phases that work on it; layouts are described here once.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "events/corrections.hpp"
#include "events/kernels.hpp"
#include "events/pairs.hpp"
#include "events/readout.hpp"
#include "lazygram/error.hpp"
#include "lazygram/events.hpp"

namespace lazygram {

// Panels of neurons between two barriers of a forward pass: their example-major bits and tracked
// pairs are held until they are merged, column by column, in panel order.
inline constexpr std::int64_t kGroup = 64;

// Tracked pairs of one column. zeta = sqrt(m) z / scale_r (readout.hpp); the pair must be looked at
// before the clock that moves it to zero passes |key|: key = zeta + up for zeta > 0, zeta - down
// otherwise, as of its last evaluation. Hence due <=> -down <= key <= up, whichever side it is on.
// Keys are rounded toward zero. The first `near` entries are those with -horizon_down <= key <=
// horizon_up; only they are scanned in a step.
template <typename T>
struct Track {
  Buffer<float> key;
  Buffer<std::uint32_t> neuron;
  Buffer<T> z0;
  std::int64_t size = 0, near = 0;
  float horizon_up = -1, horizon_down = -1;

  void reserve(std::int64_t capacity);
  void swap(std::int64_t p, std::int64_t q) {
    std::swap(key[p], key[q]);
    std::swap(neuron[p], neuron[q]);
    std::swap(z0[p], z0[q]);
  }
};

// Flips of one column in one step, ordered by shard; those of shard s are [begin[s], begin[s + 1]).
struct ColumnFlips {
  std::vector<std::uint32_t> neuron;
  std::uint32_t begin[kShards + 1] = {};
};

// One step as its columns see it: predictor values at k + 1, increments of the clocks in this step.
// S: outputs x row; u: columns x outputs.
struct StepValues {
  std::vector<double> S, u, up, down, up_step, down_step;
  std::vector<std::int64_t> changed;
};

// Buffers of one thread in the evaluation of a column.
struct ColumnScratch {
  std::vector<std::uint32_t> due, uncertain, found;  // positions; positions; flips
  std::vector<std::uint32_t> ids;
  std::vector<std::int32_t> sum_short;  // outputs x kChunk
  std::vector<double> sum_double;       // outputs x kChunk
  Buffer<double> v;                     // outputs x row: K_ji S_i
  Buffer<std::int16_t> v_short;         // the same in 16-bit units
  std::vector<double> unit, sum_error;  // per output: of v_short
  std::int64_t due_count = 0, exact_count = 0;
  void allocate(std::int64_t row, std::int64_t outputs);
};

template <typename T>
struct EventState {
  EventState(const Neurons<T>& source, const T* a, std::int64_t outputs_, std::int64_t examples,
             std::int64_t test_points);

  Neurons<T> neurons;
  Readout<T> readout;
  std::int64_t m, d, n, columns, outputs;  // columns = examples, then test points
  double root_m;
  // A neuron's bit row: words of the examples, then words of the test points.
  std::int64_t example_words, words;
  std::int64_t row;  // 64 * example_words: padded length of every vector over the examples
  // Of K: row, or 64 * words where pairs of outputs are counted (K_ij at test points j in the
  // rest).
  std::int64_t k_stride;

  Buffer<T> X;                   // columns x d
  Buffer<std::uint64_t> bits;    // m x words
  Buffer<std::uint64_t> marked;  // copy of bits, or empty
  std::int64_t flips_last = 0;   // of the examples, in the last step
  std::int64_t due_last = 0;     // of all columns
  Buffer<double> K;              // columns x k_stride, zero padded
  Buffer<std::int32_t> C;        // columns x row, zero padded
  Buffer<std::int32_t>
      D;  // columns x 64 words: the change of C by the flips of a column; zero between steps
  std::unique_ptr<OutputPairs> pairs;  // null for signs of one output
  Buffer<std::uint64_t> group_bits;    // columns x 8 kGroup: example-major bits of one group

  std::vector<double> S, u, up, down;
  std::vector<T> limit;       // pairs with |z(0)| < limit are tracked
  std::vector<double> reach;  // the clock readings that this covers
  std::vector<std::int64_t> changed;
  std::vector<Track<T>> tracks;
  Corrections corrections;
  double path_length = 0;

  std::vector<ColumnFlips> flips;
  bool tracking = false;  // tracks are those of `limit`
  bool valid = true;
  std::int64_t memory_limit = 0;
  EventStats stats;
  EventPlan plan;

  std::int64_t slot(std::int64_t column) const { return column < n ? column : row + column - n; }
  bool bit(std::int64_t neuron, std::int64_t column) const {
    const std::int64_t at = slot(column);
    return (bits[neuron * words + at / 64] >> (at % 64)) & 1u;
  }
  ConstMatrixView<T> inputs() const { return {X.data(), columns, d, d}; }

  // Sets limit and reach from wanted clock readings.
  void set_reach(const double* wanted);
  // W(0) X^T: tracked pairs; with `initial` also the bits, u and C.
  void forward(bool initial, const RunOptions& options);
  void count_group(std::int64_t group_words, const RunOptions& options);
  void rebuild_counts(const RunOptions& options);
  void gram_matrix(const RunOptions& options);  // K
  bool step(const double* rho, double step_size, const RunOptions& options);

 private:
  void advance(const double* g, StepValues& next, const RunOptions& options);
  void extend_reach(const StepValues& next, const RunOptions& options);
  // `signs`: one output with a_r = +-1.
  template <bool signs>
  void evaluate(std::int64_t column, StepValues& next, ColumnScratch& scratch);
  void apply_flips(const StepValues& next, const RunOptions& options);
  // Row updates by this step's flips: `before` they are applied, then after.
  void count_flips(bool before, bool counts, const RunOptions& options);
  void update_counts(const RunOptions& options);
};

// A value whose magnitude does not exceed |x|, in float.
inline float toward_zero(double x) {
  constexpr double largest = std::numeric_limits<float>::max();
  const double y = x * (1.0 - 2.4e-7);
  return static_cast<float>(y > largest ? largest : y < -largest ? -largest : y);
}

// What a clock must be taken to read: covers the rounding of its sums, of a pre-activation compared
// with it (both relative to up + down, which bounds sum_i |K_ij S_i|) and of the float key. 1e-9
// allows 10^6 roundings.
inline double with_margin(double clock, double other) {
  return (clock + 1e-9 * (clock + other)) * (1.0 + 2.4e-7);
}

// The same threads, nobody polled. Options are never copied whole: `poll` may hold an object that
// belongs to an interpreter whose lock is not held here.
inline RunOptions without_poll(const RunOptions& options) {
  RunOptions quiet;
  quiet.threads = options.threads;
  return quiet;
}

// Key of a neuron that never moves: above every clock, which are finite.
inline constexpr float kNever = std::numeric_limits<float>::infinity();

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// In place: bit j of a[i] <-> bit i of a[j].
void transpose_64(std::uint64_t* a);

}  // namespace lazygram
