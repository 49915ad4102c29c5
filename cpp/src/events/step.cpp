// One step of event-driven descent: matrix pass, evaluation of the due pairs, application of the
// flips.
#include <algorithm>
#include <cstring>

#include "events/state.hpp"

namespace lazygram {
namespace {

// Due pairs whose sums are taken together: bounds the scratch, long enough for prefetching to work.
constexpr std::int64_t kChunk = 512;
// How many pairs ahead the corrections of a neuron are asked for: the first four, then the others.
constexpr std::int64_t kPrefetchList = 24, kPrefetchMore = 8;
// The same for the entries of the due pairs themselves, which lie scattered over the near list.
constexpr std::int64_t kPrefetchEntry = 32;
// Due pairs of a column from which screening them in 16 bits pays.
constexpr std::int64_t kManyDue = 64;
// Additions of +-1 after which a 16-bit counter must be emptied.
constexpr std::int64_t kMaxAdditions = 32000;
// Steps of the present length that the near list should last.
constexpr float kHorizonSteps = 8;

// Twice the change of C in the row of one column, counted in 16 bits.
class RowCounter {
 public:
  RowCounter(const EventKernels& kernels, std::int16_t* acc, std::int64_t words,
             std::int32_t* total)
      : kernels_(kernels), acc_(acc), words_(words), total_(total) {}
  void add(const std::uint64_t* row, bool turns_on) {
    if (additions_ == 0) std::fill_n(acc_, 64 * words_, std::int16_t{0});
    kernels_.add_row(row, words_, turns_on ? 1 : -1, acc_);
    if (++additions_ == kMaxAdditions) flush();
  }
  void flush() {
    if (additions_ == 0) return;
    for (std::int64_t i = 0; i < 64 * words_; ++i) total_[i] += acc_[i];
    additions_ = 0;
  }

 private:
  const EventKernels& kernels_;
  std::int16_t* acc_;
  std::int64_t words_;
  std::int32_t* total_;
  std::int64_t additions_ = 0;
};

// Sum of values in units of a power of two: the same in any order. The unit is 2^-56 of the
// largest movement in the step, which bounds a pre-activation that has just changed sign.
class FixedSum {
 public:
  explicit FixedSum(double largest)
      : unit_(std::ldexp(1.0, std::ilogb(std::fmax(largest, 1e-280)) - 55)) {}
  void add(double value) {
    const double scaled = value / unit_;
    sum_ += std::fabs(scaled) < 4e18
                ? static_cast<__int128>(std::llrint(scaled))
                : static_cast<__int128>(std::copysign(std::fmin(std::fabs(scaled), 1e36), scaled));
  }
  double value() const { return static_cast<double>(sum_) * unit_; }

 private:
  double unit_;
  __int128 sum_ = 0;
};

// Orders a column's flips by shard, keeping the order inside a shard.
void sort_by_shard(const Corrections& corrections, const std::vector<std::uint32_t>& found,
                   ColumnFlips& flips) {
  std::fill_n(flips.begin, kShards + 1, 0u);
  for (std::uint32_t flip : found) ++flips.begin[corrections.shard(flip & ~kTurnsOn) + 1];
  for (int s = 0; s < kShards; ++s) flips.begin[s + 1] += flips.begin[s];
  std::uint32_t at[kShards];
  std::copy_n(flips.begin, kShards, at);
  flips.neuron.resize(found.size());
  for (std::uint32_t flip : found) flips.neuron[at[corrections.shard(flip & ~kTurnsOn)]++] = flip;
}

}  // namespace

void ColumnScratch::allocate(std::int64_t row, std::int64_t words) {
  ids.resize(kChunk);
  sum_short.resize(kChunk);
  sum_double.resize(kChunk);
  v_short = Buffer<std::int16_t>(row);
  v = Buffer<double>(row);
  acc = Buffer<std::int16_t>(64 * words);
}

// a, b: S, u between flips, and the clocks at k + 1.
template <typename T>
void EventState<T>::advance(const double* g, StepValues& next, const RunOptions& options) {
  const EventKernels& kernels = event_kernels();
  const double inverse_m = 1.0 / static_cast<double>(m);
  for (std::int64_t i = 0; i < row; ++i) next.S[i] = S[i] + g[i];
  // A few rows per tile: handing out a row costs about as much as a short row takes.
  const std::int64_t rows = std::max<std::int64_t>(1, 65536 / row);
  parallel_tiles(ceil_div(columns, rows), options, [&](std::int64_t tile, int) {
    const std::int64_t end = std::min(columns, (tile + 1) * rows);
    for (std::int64_t j = tile * rows; j < end; ++j) {
      const RowSums sums = kernels.row_sums(K.data() + j * row, C.data() + j * row, g, row);
      next.u[j] = u[j] - inverse_m * sums.drift;
      next.up_step[j] = sums.up;
      next.down_step[j] = sums.down;
      next.up[j] = up[j] + sums.up;
      next.down[j] = down[j] + sums.down;
    }
  });
}

// Tracks the next band when a clock comes to the end of the present one: all columns at once, far
// enough that the number of further passes grows with the logarithm of the clocks only.
template <typename T>
void EventState<T>::extend_reach(const StepValues& next, const RunOptions& options) {
  bool needed = !tracking;
  std::vector<double> wanted(reach);
  for (std::int64_t j = 0; j < columns; ++j) {
    const double clock =
        with_margin(std::max(next.up[j], next.down[j]), std::min(next.up[j], next.down[j]));
    if (clock >= reach[j]) {
      needed = true;
      wanted[j] = 1.5 * clock;
    }
  }
  if (!needed) return;
  // The other columns are close to their ends as well.
  if (tracking) {
    for (std::int64_t j = 0; j < columns; ++j) wanted[j] = std::max(wanted[j], 1.25 * reach[j]);
  }
  if (memory_limit > 0) {
    const EventPlan wider =
        plan_events<T>(m, {X.data(), n, d, d}, {X.data() + n * d, columns - n, d, d},
                       !neurons.stored, wanted.data(), options.threads);
    require(wider.total() <= static_cast<double>(memory_limit),
            "memory_limit: tracking the next band of pairs needs about " +
                std::to_string(static_cast<std::int64_t>(wider.total())) + " bytes, the limit is " +
                std::to_string(memory_limit));
  }
  tracking = false;
  set_reach(wanted.data());
  forward(false, options);
}

// c: the due pairs of one column, with the bits before this step's flips and the new S.
template <typename T>
void EventState<T>::evaluate(std::int64_t j, StepValues& next, ColumnScratch& scratch) {
  const EventKernels& kernels = event_kernels();
  Track<T>& track = tracks[j];
  ColumnFlips& column_flips = flips[j];
  column_flips.neuron.clear();
  const double up_now = next.up[j], down_now = next.down[j];
  const float high = static_cast<float>(with_margin(up_now, down_now));
  const float low = -static_cast<float>(with_margin(down_now, up_now));
  scratch.due.resize(track.size + 16);
  if (high > track.horizon_up || -low > track.horizon_down) {
    track.horizon_up = high + kHorizonSteps * static_cast<float>(next.up_step[j]);
    track.horizon_down = -low + kHorizonSteps * static_cast<float>(next.down_step[j]);
    const std::int64_t nearer =
        kernels.scan(track.key.data(), track.near, track.size, -track.horizon_down,
                     track.horizon_up, scratch.due.data());
    for (std::int64_t e = 0; e < nearer; ++e) track.swap(track.near++, scratch.due[e]);
  }
  const std::int64_t due =
      kernels.scan(track.key.data(), 0, track.near, low, high, scratch.due.data());
  if (due == 0) return;
  scratch.due_count += due;

  const double* const k = K.data() + j * row;
  for (std::int64_t i = 0; i < row; ++i) scratch.v[i] = k[i] * next.S[i];
  const std::int64_t at = slot(j);
  const std::uint64_t* const column_bits = bits.data() + at / 64;
  const auto stored_bit = [&](std::uint32_t r) {
    return ((column_bits[r * words] >> (at % 64)) & 1u) != 0;
  };
  const auto key_of = [&](double zeta, double distance) {
    return zeta > 0 ? toward_zero(up_now + distance) : toward_zero(-(down_now + distance));
  };
  scratch.uncertain.resize(due);
  std::int64_t uncertain = 0;
  const auto screen = [&] {
    double magnitude = 0;
    alignas(64) double lane_sums[kShortLanes] = {};
    for (std::int64_t i = 0; i < row; i += kShortLanes) {
      for (std::int64_t l = 0; l < kShortLanes; ++l) {
        lane_sums[l] += std::fabs(scratch.v[i + l]);
      }
    }
    double largest_lane = 0;
    for (double sum : lane_sums) {
      magnitude += sum;
      largest_lane = std::max(largest_lane, sum);
    }
    // 16-bit values in units that keep every counter below 2^15, half a unit of rounding for each
    // value included.
    const double unit =
        std::fmax(largest_lane, 1e-280) / (32760.0 - 0.5 * static_cast<double>(row / kShortLanes));
    const double inverse_unit = 1.0 / unit;
    double sum_error = 0;
    for (std::int64_t i = 0; i < row; ++i) {
      const double scaled = scratch.v[i] * inverse_unit;
      const double rounded = (scaled + 0x1.8p52) - 0x1.8p52;
      scratch.v_short[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(rounded));
      sum_error += std::fabs(scaled - rounded);
    }
    sum_error = sum_error * unit * (1.0 + 1e-9) + 1e-14 * static_cast<double>(row / 64) * magnitude;

    for (std::int64_t e0 = 0; e0 < due; e0 += kChunk) {
      const std::int64_t count = std::min(kChunk, due - e0);
      const std::uint32_t* const position = scratch.due.data() + e0;
      for (std::int64_t e = 0; e < count; ++e) {
        if (e + kPrefetchEntry < count)
          __builtin_prefetch(&track.neuron[position[e + kPrefetchEntry]]);
        __builtin_prefetch(&track.z0[position[e]]);
        scratch.ids[e] = track.neuron[position[e]];
      }
      kernels.masked_sums_short(bits.data(), words, example_words, scratch.ids.data(), count,
                                scratch.v_short.data(), scratch.sum_short.data());
      for (std::int64_t e = 0; e < std::min(count, kPrefetchList); ++e)
        corrections.prefetch(scratch.ids[e]);
      for (std::int64_t e = 0; e < count; ++e) {
        if (e + kPrefetchList < count) corrections.prefetch(scratch.ids[e + kPrefetchList]);
        if (e + kPrefetchMore < count) corrections.prefetch_more(scratch.ids[e + kPrefetchMore]);
        const std::uint32_t r = scratch.ids[e], p = position[e];
        const double a = sign(r), start = a * (root_m * static_cast<double>(track.z0[p]));
        const double correction = corrections.dot(r, k);
        const double zeta = start - (unit * static_cast<double>(scratch.sum_short[e]) + correction);
        const double error = sum_error + 1e-14 * (std::fabs(start) + std::fabs(correction));
        const bool certain = std::fabs(zeta) > error;  // false for NaN as well
        if (certain && (a * zeta >= 0) == stored_bit(r)) {
          track.key[p] = key_of(zeta, std::fabs(zeta) - error);
        } else {
          scratch.uncertain[uncertain++] = p;
        }
      }
    }
  };
  // In 16-bit integers, with a bound on their error: settles nearly all pairs that stay what
  // they are. For few pairs the 16-bit values cost more than they save.
  if (due >= kManyDue) {
    screen();
  } else {
    uncertain = due;
    std::copy_n(scratch.due.data(), due, scratch.uncertain.data());
  }
  scratch.exact_count += uncertain;

  FixedSum gained(std::max(next.up_step[j], next.down_step[j]));
  RowCounter counter(kernels, scratch.acc.data(), words, D.data() + j * 64 * words);
  std::vector<std::uint32_t>& found = scratch.found;
  found.clear();
  for (std::int64_t e0 = 0; e0 < uncertain; e0 += kChunk) {
    const std::int64_t count = std::min(kChunk, uncertain - e0);
    const std::uint32_t* const position = scratch.uncertain.data() + e0;
    for (std::int64_t e = 0; e < count; ++e) scratch.ids[e] = track.neuron[position[e]];
    kernels.masked_sums_double(bits.data(), words, example_words, scratch.ids.data(), count,
                               scratch.v.data(), scratch.sum_double.data());
    for (std::int64_t e = 0; e < count; ++e) {
      const std::uint32_t r = scratch.ids[e], p = position[e];
      const double a = sign(r), start = a * (root_m * static_cast<double>(track.z0[p]));
      const double zeta = start - (scratch.sum_double[e] + corrections.dot(r, k));
      const bool active = a * zeta >= 0;
      track.key[p] = key_of(zeta, std::fabs(zeta));
      if (active == stored_bit(r)) continue;
      gained.add(a * std::fabs(zeta));
      changed[j] += active == (track.z0[p] >= T(0)) ? -1 : 1;
      counter.add(bits.data() + r * words, active);
      found.push_back(r | (active ? kTurnsOn : 0u));
    }
  }
  counter.flush();
  next.u[j] += gained.value() / static_cast<double>(m);
  sort_by_shard(corrections, found, column_flips);

  // Pairs that are safe for longer than the horizon leave the near list; from the back, so that
  // what takes their place has been dealt with.
  for (std::int64_t e = due; e-- > 0;) {
    const std::uint32_t p = scratch.due[e];
    const float key = track.key[p];
    if (key > track.horizon_up || key < -track.horizon_down) track.swap(p, --track.near);
  }
}

// d: corrections and bits by shard, then the change of C by column.
template <typename T>
void EventState<T>::apply_flips(const StepValues& next, const RunOptions& options) {
  parallel_tiles(kShards, options, [&](std::int64_t shard, int) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const ColumnFlips& column = flips[j];
      if (column.neuron.empty()) continue;
      const std::int64_t at = slot(j);
      for (std::uint32_t f = column.begin[shard]; f < column.begin[shard + 1]; ++f) {
        const std::uint32_t r = column.neuron[f] & ~kTurnsOn;
        bits[r * words + at / 64] ^= std::uint64_t{1} << (at % 64);
        if (j < n) {
          const double s = next.S[j];
          corrections.add(r, static_cast<std::uint32_t>(j), column.neuron[f] & kTurnsOn ? -s : s);
        }
      }
    }
  });
}

// With delta_r the change of neuron r's bits, M M^T changes by sum_r (delta (M + M')^T + (M + M')
// delta^T) / 2: row j of D collects delta_rj (M_r + M'_r), its first half before and its second
// half after the bits changed, so several flips of one neuron need no special case.
template <typename T>
void EventState<T>::update_counts(const RunOptions& options) {
  const std::int64_t slots = 64 * words;
  const EventKernels& kernels = event_kernels();
  std::vector<Buffer<std::int16_t>> acc(resolve_threads(options.threads));
  parallel_tiles(columns, options, [&](std::int64_t j, int thread) {
    const std::vector<std::uint32_t>& column = flips[j].neuron;
    if (column.empty()) return;
    if (!acc[thread].size()) acc[thread] = Buffer<std::int16_t>(slots);
    RowCounter counter(kernels, acc[thread].data(), words, D.data() + j * slots);
    for (std::size_t f = 0; f < column.size(); ++f) {
      if (f + 8 < column.size()) {
        const std::uint64_t* const ahead = bits.data() + (column[f + 8] & ~kTurnsOn) * words;
        for (std::int64_t w = 0; w < words; w += 8) __builtin_prefetch(ahead + w);
      }
      counter.add(bits.data() + (column[f] & ~kTurnsOn) * words, (column[f] & kTurnsOn) != 0);
    }
    counter.flush();
  });
  // C += (D + D^T) / 2 tile by tile, D^T through a small square; a column without flips has a zero
  // row in D, and what the others hold for it is even.
  std::vector<char> flipped(slots, 0);
  for (std::int64_t j = 0; j < columns; ++j) flipped[slot(j)] = !flips[j].neuron.empty();
  constexpr std::int64_t edge = 64;
  parallel_tiles(words, options, [&](std::int64_t block, int) {
    const bool test = block >= example_words;
    const std::int64_t j0 = test ? n + edge * (block - example_words) : edge * block;
    const std::int64_t j1 = std::min(j0 + edge, test ? columns : n);
    const bool along = std::any_of(&flipped[edge * block], &flipped[edge * block] + edge,
                                   [](char f) { return f; });
    alignas(64) std::int32_t square[edge][edge];
    for (std::int64_t i0 = 0; i0 < row; i0 += edge) {
      const bool across = std::any_of(&flipped[i0], &flipped[i0] + edge, [](char f) { return f; });
      if (!along && !across) continue;
      for (std::int64_t i = 0; i < edge; ++i) {
        if (!flipped[i0 + i]) {
          for (std::int64_t j = 0; j < edge; ++j) square[j][i] = 0;
        } else {
          const std::int32_t* const from = D.data() + (i0 + i) * slots + edge * block;
          for (std::int64_t j = 0; j < edge; ++j) square[j][i] = from[j];
        }
      }
      for (std::int64_t j = j0; j < j1; ++j) {
        const std::int32_t* const own = D.data() + j * slots + i0;
        std::int32_t* const c = C.data() + j * row + i0;
        for (std::int64_t i = 0; i < edge; ++i) c[i] += (own[i] + square[j - j0][i]) / 2;
      }
    }
  });
}

template <typename T>
bool EventState<T>::step(const double* rho, double step_size, const RunOptions& options) {
  require(
      valid,
      "event descent: the state was lost when memory ran out in a step; resume from a checkpoint");
  std::vector<double> g(row, 0.0);
  double norm = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    g[i] = step_size * rho[i];
    norm += g[i] * g[i];
  }
  StepValues next;
  next.S.resize(row);
  for (auto* values : {&next.u, &next.up, &next.down, &next.up_step, &next.down_step})
    values->resize(columns);
  Stopwatch watch;
  advance(g.data(), next, options);
  stats.matrix_pass += watch.seconds();
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(next.S[i])) return false;
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    if (!std::isfinite(next.u[j]) || !std::isfinite(next.up[j] + next.down[j])) return false;
  }
  extend_reach(next, options);

  // From here on there is no way back to the state before the step, so nothing polls.
  const RunOptions quiet = without_poll(options);
  valid = false;
  // Handing work to other threads pays from some 50 microseconds on: as many entries of K and C, or
  // as many pairs as were due in the last step, as take that long.
  RunOptions evaluating = without_poll(options), applying = without_poll(options);
  if (columns * row + 400 * due_last < 200000) evaluating.threads = 1;
  watch = Stopwatch();
  std::vector<ColumnScratch> scratch(resolve_threads(options.threads));
  parallel_tiles(columns, evaluating, [&](std::int64_t j, int thread) {
    ColumnScratch& own = scratch[thread];
    if (!own.v.size()) own.allocate(row, words);
    evaluate(j, next, own);
  });
  stats.evaluate += watch.seconds();
  std::int64_t flipped = 0;
  for (const ColumnFlips& column : flips)
    flipped += static_cast<std::int64_t>(column.neuron.size());
  if (flipped * words < 4000) applying.threads = 1;
  if (flipped) {
    watch = Stopwatch();
    apply_flips(next, applying);
    stats.apply += watch.seconds();
    watch = Stopwatch();
    // In units of one 512-bit operation: a row update runs over 32 counters at a time, the rebuild
    // over 512 neurons of a pair of examples after a transposition of all bits.
    const double update = static_cast<double>(flipped) * 2.0 * static_cast<double>(words);
    const double rebuild = static_cast<double>(m) / 512.0 *
                           (static_cast<double>(n) * static_cast<double>(columns - n / 2) +
                            1500.0 * static_cast<double>(words));
    if (update <= rebuild) {
      update_counts(quiet);
    } else {
      rebuild_counts(quiet);
      ++stats.rebuilds;
    }
    parallel_tiles(columns, quiet, [&](std::int64_t j, int) {
      if (!flips[j].neuron.empty()) std::fill_n(D.data() + j * 64 * words, 64 * words, 0);
    });
    stats.counts += watch.seconds();
  }
  S.swap(next.S);
  u.swap(next.u);
  up.swap(next.up);
  down.swap(next.down);
  path_length += std::sqrt(norm);
  due_last = 0;
  for (const ColumnScratch& own : scratch) {
    due_last += own.due_count;
    stats.due += own.due_count;
    stats.exact += own.exact_count;
  }
  stats.flips += flipped;
  flips_last = 0;
  for (std::int64_t j = 0; j < n; ++j)
    flips_last += static_cast<std::int64_t>(flips[j].neuron.size());
  ++stats.steps;
  valid = true;
  return true;
}

#define LAZYGRAM_EVENTS(T)                                                             \
  template void EventState<T>::advance(const double*, StepValues&, const RunOptions&); \
  template void EventState<T>::extend_reach(const StepValues&, const RunOptions&);     \
  template void EventState<T>::evaluate(std::int64_t, StepValues&, ColumnScratch&);    \
  template void EventState<T>::apply_flips(const StepValues&, const RunOptions&);      \
  template void EventState<T>::update_counts(const RunOptions&);                       \
  template bool EventState<T>::step(const double*, double, const RunOptions&);
LAZYGRAM_EVENTS(float)
LAZYGRAM_EVENTS(double)

}  // namespace lazygram
