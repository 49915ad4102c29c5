// State of event-driven descent and the phases that work on it; layouts are described here once.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
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

// A tracked pair of a column; packed, because there are many.
#pragma pack(push, 4)
template <typename T>
struct TrackedPair {
  T z0;
  std::uint32_t neuron;
};
#pragma pack(pop)

// Tracked pairs of one column that do not slide. zeta = sqrt(m) z / scale_r (readout.hpp); the pair
// must be looked at before the clock that moves it to zero passes |key|: key = zeta + up for zeta >
// 0, zeta - down otherwise, as of its last evaluation. Hence due <=> -down <= key <= up, whichever
// side it is on. Keys are rounded toward zero. The first `near` entries are those with
// -horizon_down <= key <= horizon_up; only they are scanned in a step.
template <typename T>
struct Track {
  Buffer<float> key;
  Buffer<TrackedPair<T>> pair;
  std::int64_t size = 0, near = 0;
  float horizon_up = -1, horizon_down = -1;
  double horizon_step = 0;  // the longer of the steps of the two clocks when the horizons were set

  void reserve(std::int64_t capacity);
  bool is_near(float at) const { return at <= horizon_up && at >= -horizon_down; }
  void swap(std::int64_t p, std::int64_t q) {
    std::swap(key[p], key[q]);
    std::swap(pair[p], pair[q]);
  }
  // There must be room.
  void append(const TrackedPair<T>& more, float at) {
    key[size] = at;
    pair[size] = more;
    if (is_near(at)) swap(size, near++);
    ++size;
  }
};

// Tracked pairs of one column that stay close to zero, most of them because z_rj = 0 attracts from
// both sides. Next to readings of the clocks their distances are too small for a key: what is left
// of the way to a flip is counted down in every step instead. slack > 0: the clock `up` counts it,
// slack < 0: `down`.
template <typename T>
struct SlidingPairs {
  std::vector<double> slack;
  std::vector<TrackedPair<T>> pair;

  std::int64_t size() const { return static_cast<std::int64_t>(slack.size()); }
  void push(const TrackedPair<T>& more, double left) {
    slack.push_back(left);
    pair.push_back(more);
  }
  void remove(std::int64_t p) {
    slack[p] = slack.back();
    pair[p] = pair.back();
    slack.pop_back();
    pair.pop_back();
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
  std::vector<std::uint32_t> due, uncertain, sliding, found;  // positions, three times; flips
  std::vector<std::pair<std::uint32_t, float>> leaving;       // position that slid, new key
  std::vector<std::uint32_t> ids;
  std::vector<std::int32_t> sum_short;  // outputs x kChunk
  std::vector<double> sum_double;       // outputs x kChunk
  Buffer<double> v;                     // outputs x row: K_ji S_i
  Buffer<std::int16_t> v_short;         // the same in 16-bit units
  std::vector<double> unit, sum_error;  // per output: of v_short
  std::vector<double> magnitude;        // per output: sum |v_i|; empty until it is asked for
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
  std::vector<SlidingPairs<T>> sliding;
  // What rounding of and with the corrections that changed in the last step may move a pair by.
  double correction_noise = 0;
  double largest_k = 0;  // bound of |K_ij|
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
  // Bound of the rounding of one evaluation, in units of the clocks: masked sums of row / 32 terms
  // and dots over corrections of row / 4, of values whose magnitudes sum up to at most `clocks` =
  // up + down each.
  double rounding(double clocks) const {
    return 1.2e-16 * (0.29 * static_cast<double>(row) + 16.0 + static_cast<double>(outputs)) *
           clocks;
  }
  // Roundings of each term of a dot over corrections, at most.
  double correction_terms() const {
    return 0.25 * static_cast<double>(corrections.longest()) + 8.0;
  }
  // Pairs closer to zero than this share of up + down slide: 16-bit sums can hardly tell, and float
  // keys not much below.
  double sliding_share() const { return 2.5e-7 * static_cast<double>(row); }
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
  // The due pairs of one column: new keys, flips, what these add to predictions.
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

// A pair keeps its bit until it is on the other side of zero by this many times the bound of the
// rounding of an evaluation: which look finds a smaller value would depend on rounding alone.
inline constexpr double kKeepRoundings = 8;

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
