// One step of event-driven descent: matrix pass, looks at the due pairs (looks.cpp), application of
// the flips.
#include <algorithm>
#include <cstring>

#include "events/state.hpp"

namespace lazygram {

// a, b: S, u between flips, and the clocks at k + 1. g: outputs x k_stride. The clocks count what S
// really moves by, rounding included: they bound the movement of every value that is computed from
// it.
template <typename T>
void EventState<T>::advance(const double* g, StepValues& next, const RunOptions& options) {
  const EventKernels& kernels = event_kernels();
  const double inverse_m = 1.0 / static_cast<double>(m);
  std::vector<double> moved(outputs * row);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t i = 0; i < row; ++i) {
      const std::int64_t at = o * row + i;
      next.S[at] = S[at] + g[o * k_stride + i];
      moved[at] = next.S[at] - S[at];
    }
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
        const RowSums sums = kernels.row_sums(K.data() + j * k_stride, C.data() + j * row,
                                              g + o * k_stride, moved.data() + o * row, row);
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

// d: corrections and bits by shard, then the change of C by column.
template <typename T>
void EventState<T>::apply_flips(const StepValues& next, const RunOptions& options) {
  double noise[kShards] = {}, change[kShards] = {};
  const double terms = correction_terms();
  parallel_tiles(kShards, options, [&](std::int64_t shard, int) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const ColumnFlips& column = flips[j];
      if (column.neuron.empty()) continue;
      const std::int64_t at = slot(j);
      for (std::uint32_t f = column.begin[shard]; f < column.begin[shard + 1]; ++f) {
        const std::uint32_t r = column.neuron[f] & ~kTurnsOn;
        bits[r * words + at / 64] ^= std::uint64_t{1} << (at % 64);
        if (j < n) {
          double s = next.S[j], rounded = 0, scale = 1;
          if (pairs) {
            s = 0;
            double size = 0;
            for (std::int64_t o = 0; o < outputs; ++o) {
              const double term = static_cast<double>(readout.of(r)[o]) * next.S[o * row + j];
              s += term;
              size += std::fabs(term);
            }
            rounded = 1.2e-16 * static_cast<double>(outputs) * size;
            scale = std::fabs(readout.scale(r));
          }
          rounded += corrections.add(r, static_cast<std::uint32_t>(j),
                                     column.neuron[f] & kTurnsOn ? -s : s);
          noise[shard] += rounded / scale;
          change[shard] += std::fabs(s) / scale;
        }
      }
    }
  });
  // A neuron's corrections are all in one shard. An evaluation rounds what has come to them, and
  // everything more often where there are more of them.
  double clocks = 0;
  for (std::int64_t j = 0; j < columns; ++j) clocks = std::max(clocks, next.up[j] + next.down[j]);
  correction_noise =
      largest_k * (*std::max_element(noise, noise + kShards) +
                   1.2e-16 * correction_terms() * *std::max_element(change, change + kShards)) +
      1.2e-16 * (correction_terms() - terms) * clocks;
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
  parallel_tiles(columns, evaluating,
                 [&](std::int64_t j, int thread) { evaluate(j, next, scratch[thread]); });
  stats.evaluate += watch.seconds();

  // From here on there is no way back to the state before the step, so nothing polls.
  valid = false;
  correction_noise = 0;
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
