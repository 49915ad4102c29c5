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
// Steps of the present length that the near list should last.
constexpr float kHorizonSteps = 8;

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

void ColumnScratch::allocate(std::int64_t row, std::int64_t outputs) {
  ids.resize(kChunk);
  sum_short.resize(kChunk * outputs);
  sum_double.resize(kChunk * outputs);
  v_short = Buffer<std::int16_t>(row * outputs);
  v = Buffer<double>(row * outputs);
  unit.resize(outputs);
  sum_error.resize(outputs);
}

// a, b: S, u between flips, and the clocks at k + 1. g: outputs x k_stride.
template <typename T>
void EventState<T>::advance(const double* g, StepValues& next, const RunOptions& options) {
  const EventKernels& kernels = event_kernels();
  const double inverse_m = 1.0 / static_cast<double>(m);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t i = 0; i < row; ++i)
      next.S[o * row + i] = S[o * row + i] + g[o * k_stride + i];
  }
  std::vector<double> drift(pairs ? columns * outputs : 0, 0.0);
  if (pairs) pairs->drift(g, drift.data(), options);
  // A few rows per tile: handing out a row costs about as much as a short row takes.
  const std::int64_t rows = std::max<std::int64_t>(1, 65536 / (row * outputs));
  parallel_tiles(ceil_div(columns, rows), options, [&](std::int64_t tile, int) {
    const std::int64_t end = std::min(columns, (tile + 1) * rows);
    for (std::int64_t j = tile * rows; j < end; ++j) {
      double most = 0;
      for (std::int64_t o = 0; o < outputs; ++o) {
        const RowSums sums =
            kernels.row_sums(K.data() + j * k_stride, C.data() + j * row, g + o * k_stride, row);
        double change = pairs ? drift[j * outputs + o] : 0.0;
        if (readout.units()) change += sums.drift;
        next.u[j * outputs + o] = u[j * outputs + o] - inverse_m * change;
        next.up_step[j] = sums.up;
        next.down_step[j] = sums.down;
        most += readout.largest(o) * std::max(sums.up, sums.down);
      }
      if (outputs > 1) next.up_step[j] = next.down_step[j] = most;
      next.up[j] = up[j] + next.up_step[j];
      next.down[j] = down[j] + next.down_step[j];
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
    const EventPlan wider = plan_events<T>(
        m, {X.data(), n, d, d}, {X.data() + n * d, columns - n, d, d}, !neurons.stored,
        wanted.data(), {outputs, readout.units(), readout.largest_scale()}, options.threads);
    require(wider.total() <= static_cast<double>(memory_limit),
            "memory_limit: tracking the next band of pairs needs about " +
                std::to_string(static_cast<std::int64_t>(wider.total())) + " bytes, the limit is " +
                std::to_string(memory_limit));
  }
  tracking = false;
  set_reach(wanted.data());
  forward(false, options);
}

// c: the due pairs of one column, with the bits before this step's flips and the new S. Values are
// sqrt(m) z: a_r sqrt(m) z for signs of one output.
template <typename T>
template <bool signs>
void EventState<T>::evaluate(std::int64_t j, StepValues& next, ColumnScratch& scratch) {
  const EventKernels& kernels = event_kernels();
  const std::int64_t sums = signs ? 1 : outputs;  // masked sums of a pair
  Track<T>& track = tracks[j];
  ColumnFlips& column_flips = flips[j];
  column_flips.neuron.clear();
  next.changed[j] = changed[j];
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

  const double* const k = K.data() + j * k_stride;
  for (std::int64_t o = 0; o < sums; ++o) {
    for (std::int64_t i = 0; i < row; ++i) scratch.v[o * row + i] = k[i] * next.S[o * row + i];
  }
  const std::int64_t at = slot(j);
  const std::uint64_t* const column_bits = bits.data() + at / 64;
  const auto stored_bit = [&](std::uint32_t r) {
    return ((column_bits[r * words] >> (at % 64)) & 1u) != 0;
  };
  const auto key_of = [&](double zeta, double distance) {
    return zeta > 0 ? toward_zero(up_now + distance) : toward_zero(-(down_now + distance));
  };
  // Key of a pair of value z, `error` of which are uncertain.
  const auto key_at = [&](std::uint32_t r, double z, double error) {
    if constexpr (signs) return key_of(z, std::fabs(z) - error);
    const double scale = readout.scale(r);
    if (scale == 0) return kNever;
    return key_of(z / scale, (std::fabs(z) - error) / std::fabs(scale));
  };
  scratch.uncertain.resize(due);
  std::int64_t uncertain = 0;
  const auto screen = [&] {
    for (std::int64_t o = 0; o < sums; ++o) {
      const double* const v = scratch.v.data() + o * row;
      double magnitude = 0;
      alignas(64) double lane_sums[kShortLanes] = {};
      for (std::int64_t i = 0; i < row; i += kShortLanes) {
        for (std::int64_t l = 0; l < kShortLanes; ++l) lane_sums[l] += std::fabs(v[i + l]);
      }
      double largest_lane = 0;
      for (double sum : lane_sums) {
        magnitude += sum;
        largest_lane = std::max(largest_lane, sum);
      }
      // 16-bit values in units that keep every counter below 2^15, half a unit of rounding for each
      // value included.
      const double unit = std::fmax(largest_lane, 1e-280) /
                          (32760.0 - 0.5 * static_cast<double>(row / kShortLanes));
      const double inverse_unit = 1.0 / unit;
      double sum_error = 0;
      for (std::int64_t i = 0; i < row; ++i) {
        const double scaled = v[i] * inverse_unit;
        const double rounded = (scaled + 0x1.8p52) - 0x1.8p52;
        scratch.v_short[o * row + i] =
            static_cast<std::int16_t>(static_cast<std::int32_t>(rounded));
        sum_error += std::fabs(scaled - rounded);
      }
      scratch.unit[o] = unit;
      scratch.sum_error[o] = sum_error * unit * (1.0 + 1e-9) +
                             1e-14 * static_cast<double>(row / 64 + sums - 1) * magnitude;
    }

    for (std::int64_t e0 = 0; e0 < due; e0 += kChunk) {
      const std::int64_t count = std::min(kChunk, due - e0);
      const std::uint32_t* const position = scratch.due.data() + e0;
      for (std::int64_t e = 0; e < count; ++e) {
        if (e + kPrefetchEntry < count)
          __builtin_prefetch(&track.neuron[position[e + kPrefetchEntry]]);
        __builtin_prefetch(&track.z0[position[e]]);
        scratch.ids[e] = track.neuron[position[e]];
      }
      for (std::int64_t o = 0; o < sums; ++o) {
        kernels.masked_sums_short(bits.data(), words, example_words, scratch.ids.data(), count,
                                  scratch.v_short.data() + o * row,
                                  scratch.sum_short.data() + o * kChunk);
      }
      for (std::int64_t e = 0; e < std::min(count, kPrefetchList); ++e)
        corrections.prefetch(scratch.ids[e]);
      for (std::int64_t e = 0; e < count; ++e) {
        if (e + kPrefetchList < count) corrections.prefetch(scratch.ids[e + kPrefetchList]);
        if (e + kPrefetchMore < count) corrections.prefetch_more(scratch.ids[e + kPrefetchMore]);
        const std::uint32_t r = scratch.ids[e], p = position[e];
        const double a = signs ? readout.sign(r) : 1.0;
        const double start = a * (root_m * static_cast<double>(track.z0[p]));
        const double correction = corrections.dot(r, k);
        double sum = 0, error = 0;
        if constexpr (signs) {
          sum = scratch.unit[0] * static_cast<double>(scratch.sum_short[e]);
          error = scratch.sum_error[0];
        } else {
          for (std::int64_t o = 0; o < sums; ++o) {
            const double a_o = static_cast<double>(readout.of(r)[o]);
            sum += a_o * (scratch.unit[o] * static_cast<double>(scratch.sum_short[o * kChunk + e]));
            error += std::fabs(a_o) * scratch.sum_error[o];
          }
        }
        const double z = start - (sum + correction);
        error += 1e-14 * (std::fabs(start) + std::fabs(correction));
        const bool certain = std::fabs(z) > error;  // false for NaN as well
        if (certain && (a * z >= 0) == stored_bit(r)) {
          track.key[p] = key_at(r, z, error);
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

  const double largest_move =
      readout.largest_scale() * std::max(next.up_step[j], next.down_step[j]);
  std::vector<FixedSum> gained;
  for (std::int64_t o = 0; o < sums; ++o) gained.emplace_back(readout.largest(o) * largest_move);
  std::vector<std::uint32_t>& found = scratch.found;
  found.clear();
  for (std::int64_t e0 = 0; e0 < uncertain; e0 += kChunk) {
    const std::int64_t count = std::min(kChunk, uncertain - e0);
    const std::uint32_t* const position = scratch.uncertain.data() + e0;
    for (std::int64_t e = 0; e < count; ++e) scratch.ids[e] = track.neuron[position[e]];
    for (std::int64_t o = 0; o < sums; ++o) {
      kernels.masked_sums_double(bits.data(), words, example_words, scratch.ids.data(), count,
                                 scratch.v.data() + o * row,
                                 scratch.sum_double.data() + o * kChunk);
    }
    for (std::int64_t e = 0; e < count; ++e) {
      const std::uint32_t r = scratch.ids[e], p = position[e];
      const double a = signs ? readout.sign(r) : 1.0;
      const double start = a * (root_m * static_cast<double>(track.z0[p]));
      double sum = scratch.sum_double[e];
      if constexpr (!signs) {
        sum = 0;
        for (std::int64_t o = 0; o < sums; ++o)
          sum += static_cast<double>(readout.of(r)[o]) * scratch.sum_double[o * kChunk + e];
      }
      const double z = start - (sum + corrections.dot(r, k));
      const bool active = a * z >= 0;
      track.key[p] = key_at(r, z, 0.0);
      if (active == stored_bit(r)) continue;
      for (std::int64_t o = 0; o < sums; ++o) {
        gained[o].add((signs ? a : static_cast<double>(readout.of(r)[o])) * std::fabs(z));
      }
      next.changed[j] += active == (track.z0[p] >= T(0)) ? -1 : 1;
      found.push_back(r | (active ? kTurnsOn : 0u));
    }
  }
  for (std::int64_t o = 0; o < sums; ++o)
    next.u[j * sums + o] += gained[o].value() / static_cast<double>(m);
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
          double s = next.S[j];
          if (pairs) {
            s = 0;
            for (std::int64_t o = 0; o < outputs; ++o)
              s += static_cast<double>(readout.of(r)[o]) * next.S[o * row + j];
          }
          corrections.add(r, static_cast<std::uint32_t>(j), column.neuron[f] & kTurnsOn ? -s : s);
        }
      }
    }
  });
}

// With delta_r the change of neuron r's bits, applied column by column in the order of their slots,
// C_ji changes by delta_rj M_ri for the columns i that are above j with their old bits, and for
// those below with their new ones: row j of D takes both, C changes by D + D^T, and several flips
// of one neuron need no special case.
template <typename T>
void EventState<T>::count_flips(bool before, bool counts, const RunOptions& options) {
  const std::int64_t slots = 64 * words;
  const EventKernels& kernels = event_kernels();
  std::vector<RowScratch> scratch(resolve_threads(options.threads));
  parallel_tiles(columns, options, [&](std::int64_t j, int thread) {
    const std::vector<std::uint32_t>& column = flips[j].neuron;
    if (column.empty()) return;
    // What test points share with each other is not needed.
    if (before && j >= n) return;
    RowScratch& own = scratch[thread];
    own.allocate(words);
    const RowPart part = before ? RowPart::above(slot(j), words) : RowPart::below(slot(j));
    if (pairs) pairs->add(j, part, column, !before, own);
    if (!counts) return;
    std::int32_t* const out = D.data() + j * slots;
    const auto number = static_cast<std::int64_t>(column.size());
    for (std::int64_t f0 = 0; f0 < number; f0 += kFlipChunk) {
      const std::int64_t count = std::min(kFlipChunk, number - f0);
      part.gather(bits.data(), words, column.data() + f0, count, own.rows.data());
      std::fill_n(own.acc.data(), 64 * part.count, std::int16_t{0});
      for (std::int64_t f = 0; f < count; ++f) {
        const bool on = (column[f0 + f] & kTurnsOn) != 0;
        kernels.add_row(own.rows.data() + f * part.count, part.count,
                        static_cast<std::int16_t>(on ? 1 : -1), own.acc.data());
        if (!before) out[slot(j)] += on ? 1 : -1;
      }
      for (std::int64_t i = 0; i < 64 * part.count; ++i) out[64 * part.first + i] += own.acc[i];
    }
  });
}

// C += D + D^T tile by tile, the diagonal once; D^T through a small square. A column without flips
// has a zero row in D.
template <typename T>
void EventState<T>::update_counts(const RunOptions& options) {
  const std::int64_t slots = 64 * words;
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
        if (i0 == edge * block) square[j - j0][j - j0] = 0;
        for (std::int64_t i = 0; i < edge; ++i) c[i] += own[i] + square[j - j0][i];
      }
    }
  });
}

template <typename T>
bool EventState<T>::step(const double* rho, double step_size, const RunOptions& options) {
  require(
      valid,
      "event descent: the state was lost when memory ran out in a step; resume from a checkpoint");
  std::vector<double> g(outputs * k_stride, 0.0);
  double length = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    double norm = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double value = step_size * rho[i * outputs + o];
      g[o * k_stride + i] = value;
      norm += value * value;
    }
    length += readout.largest(o) * std::sqrt(norm);
  }
  StepValues next;
  next.S.resize(outputs * row);
  next.u.resize(columns * outputs);
  next.changed.resize(columns);
  for (auto* values : {&next.up, &next.down, &next.up_step, &next.down_step})
    values->resize(columns);
  Stopwatch watch;
  advance(g.data(), next, options);
  stats.matrix_pass += watch.seconds();
  const auto finite = [](const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
  };
  if (!finite(next.S) || !finite(next.u)) return false;
  for (std::int64_t j = 0; j < columns; ++j) {
    if (!std::isfinite(next.up[j] + next.down[j])) return false;
  }
  extend_reach(next, options);

  // Handing work to other threads pays from some 50 microseconds on: as many entries of K and C, or
  // as many pairs as were due in the last step, as take that long.
  RunOptions evaluating = without_poll(options), applying = without_poll(options);
  if (columns * row + 400 * due_last < 200000) evaluating.threads = 1;
  evaluating.poll_interval = options.poll_interval;
  if (options.poll) {
    evaluating.poll = [&options](std::int64_t done, std::int64_t total) {
      return options.poll(done, total);
    };
  }
  watch = Stopwatch();
  std::vector<ColumnScratch> scratch(resolve_threads(options.threads));
  tracking = false;  // the keys are those of k + 1: an interruption leaves them to be made again
  parallel_tiles(columns, evaluating, [&](std::int64_t j, int thread) {
    ColumnScratch& own = scratch[thread];
    if (!own.v.size()) own.allocate(row, outputs);
    if (readout.signs_only()) {
      evaluate<true>(j, next, own);
    } else {
      evaluate<false>(j, next, own);
    }
  });
  stats.evaluate += watch.seconds();

  // From here on there is no way back to the state before the step, so nothing polls.
  valid = false;
  std::int64_t flipped = 0;
  for (const ColumnFlips& column : flips)
    flipped += static_cast<std::int64_t>(column.neuron.size());
  if (flipped * words < 4000) applying.threads = 1;
  if (flipped) {
    watch = Stopwatch();
    // In units of one 512-bit operation: a row update runs over 32 counters at a time, the rebuild
    // over 512 neurons of a pair of examples after a transposition of all bits.
    const double update = static_cast<double>(flipped) * 2.0 * static_cast<double>(words);
    const double rebuild = static_cast<double>(m) / 512.0 *
                           (static_cast<double>(n) * static_cast<double>(columns - n / 2) +
                            1500.0 * static_cast<double>(words));
    const bool counts = update <= rebuild;
    if (counts || pairs) count_flips(true, counts, applying);
    stats.counts += watch.seconds();
    watch = Stopwatch();
    apply_flips(next, applying);
    stats.apply += watch.seconds();
    watch = Stopwatch();
    if (counts || pairs) count_flips(false, counts, applying);
    if (counts) {
      update_counts(without_poll(options));
      parallel_tiles(columns, applying, [&](std::int64_t j, int) {
        if (!flips[j].neuron.empty()) std::fill_n(D.data() + j * 64 * words, 64 * words, 0);
      });
    } else {
      rebuild_counts(without_poll(options));
      ++stats.rebuilds;
    }
    stats.counts += watch.seconds();
  }
  S.swap(next.S);
  u.swap(next.u);
  up.swap(next.up);
  down.swap(next.down);
  changed.swap(next.changed);
  path_length += length;
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
  tracking = true;
  valid = true;
  return true;
}

#define LAZYGRAM_EVENTS(T)                                                             \
  template void EventState<T>::advance(const double*, StepValues&, const RunOptions&); \
  template void EventState<T>::extend_reach(const StepValues&, const RunOptions&);     \
  template void EventState<T>::count_flips(bool, bool, const RunOptions&);             \
  template void EventState<T>::apply_flips(const StepValues&, const RunOptions&);      \
  template void EventState<T>::update_counts(const RunOptions&);                       \
  template bool EventState<T>::step(const double*, double, const RunOptions&);
LAZYGRAM_EVENTS(float)
LAZYGRAM_EVENTS(double)

}  // namespace lazygram
