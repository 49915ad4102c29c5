// The looks of one step at one column: which pairs are due, what 16 bits settle of them, the rest
// in float64.
#include <algorithm>

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
// The near list is sifted when steps have become shorter by this factor since it was made.
constexpr double kShorterStep = 0.5;
// Key of a pair that has become a sliding one, until it is taken out of the list.
constexpr float kGone = -std::numeric_limits<float>::infinity();

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

// Everything about one column in one step, with the bits before this step's flips and the new S.
// Values are sqrt(m) z: a_r sqrt(m) z for signs of one output (`signs`).
template <typename T, bool signs>
class ColumnLooks {
 public:
  ColumnLooks(EventState<T>& state, std::int64_t column, StepValues& next, ColumnScratch& scratch)
      : state_(state),
        next_(next),
        scratch_(scratch),
        track_(state.tracks[column]),
        sliding_(state.sliding[column]),
        column_(column),
        sums_(signs ? 1 : state.outputs),
        up_(next.up[column]),
        down_(next.down[column]),
        rounding_(state.rounding(up_ + down_)),
        k_(state.K.data() + column * state.k_stride),
        bits_(state.bits.data() + state.slot(column) / 64),
        bit_(static_cast<int>(state.slot(column) % 64)) {}

  void run() {
    state_.flips[column_].neuron.clear();
    next_.changed[column_] = state_.changed[column_];
    const std::int64_t due = find_due();
    const std::int64_t due_sliding = find_sliding();
    if (due + due_sliding == 0) return;
    scratch_.due_count += due + due_sliding;
    for (std::int64_t o = 0; o < sums_; ++o) {
      kernels_.products(k_, next_.S.data() + o * state_.row, state_.row,
                        scratch_.v.data() + o * state_.row);
    }
    scratch_.magnitude.clear();
    scratch_.uncertain.resize(due);
    std::int64_t uncertain = due;
    // Settles nearly all pairs that stay what they are. For few pairs the 16-bit values cost more
    // than they save.
    if (due >= kManyDue) {
      uncertain = screen(due);
    } else {
      std::copy_n(scratch_.due.data(), due, scratch_.uncertain.data());
    }
    scratch_.exact_count += uncertain + due_sliding;
    look(uncertain, due_sliding);
    move(due);
  }

 private:
  // Positions of the due pairs of the near list into scratch.due.
  std::int64_t find_due() {
    const float high = static_cast<float>(with_margin(up_, down_));
    const float low = -static_cast<float>(with_margin(down_, up_));
    if (static_cast<std::int64_t>(scratch_.due.size()) < track_.size + 16)
      scratch_.due.resize(track_.size + 16);
    const double step = std::max(next_.up_step[column_], next_.down_step[column_]);
    const bool passed = high > track_.horizon_up || -low > track_.horizon_down;
    const bool wide = track_.near >= kManyDue && step < kShorterStep * track_.horizon_step;
    if (passed || wide) {
      track_.horizon_step = step;
      track_.horizon_up = high + kHorizonSteps * static_cast<float>(next_.up_step[column_]);
      track_.horizon_down = -low + kHorizonSteps * static_cast<float>(next_.down_step[column_]);
      for (std::int64_t p = track_.near; p-- > 0;) {
        if (!track_.is_near(track_.key[p])) track_.swap(p, --track_.near);
      }
      const std::int64_t nearer =
          kernels_.scan(track_.key.data(), track_.near, track_.size, -track_.horizon_down,
                        track_.horizon_up, scratch_.due.data());
      for (std::int64_t e = 0; e < nearer; ++e) track_.swap(track_.near++, scratch_.due[e]);
    }
    return kernels_.scan(track_.key.data(), 0, track_.near, low, high, scratch_.due.data());
  }

  // Counts down the sliding pairs; positions of the due ones into scratch.sliding.
  std::int64_t find_sliding() {
    const std::int64_t size = sliding_.size();
    if (size == 0) return 0;
    if (static_cast<std::int64_t>(scratch_.sliding.size()) < size + 16)
      scratch_.sliding.resize(size + 16);
    // With room for the growth of what rounds.
    const double more =
        state_.correction_noise + 1e-16 * static_cast<double>(state_.row) *
                                      (next_.up_step[column_] + next_.down_step[column_]);
    const auto counted = [&](double step) { return (step + more) * (1.0 + 1e-9); };
    return kernels_.advance_slack(sliding_.slack.data(), size, counted(next_.up_step[column_]),
                                  counted(next_.down_step[column_]), scratch_.sliding.data());
  }

  bool stored_bit(std::uint32_t r) const { return ((bits_[r * state_.words] >> bit_) & 1u) != 0; }
  // a_r where signs of one output are multiplied into the values.
  double factor(std::uint32_t r) const { return signs ? state_.readout.sign(r) : 1.0; }

  float key_of(double zeta, double distance) const {
    return zeta > 0 ? toward_zero(up_ + distance) : toward_zero(-(down_ + distance));
  }
  // Key of a pair of value z, `error` of which are uncertain.
  float key_at(std::uint32_t r, double z, double error) const {
    if constexpr (signs) return key_of(z, std::fabs(z) - error);
    const double scale = state_.readout.scale(r);
    return key_of(z / scale, (std::fabs(z) - error) / std::fabs(scale));
  }

  // The due pairs in 16-bit integers, with a bound on their error: new keys for those that surely
  // stay what they are. Positions of the others into scratch.uncertain; returns their number.
  std::int64_t screen(std::int64_t due) {
    for (std::int64_t o = 0; o < sums_; ++o) {
      const ShortForm form = kernels_.to_short(scratch_.v.data() + o * state_.row, state_.row,
                                               scratch_.v_short.data() + o * state_.row);
      scratch_.unit[o] = form.unit;
      scratch_.sum_error[o] =
          form.error * (1.0 + 1e-9) +
          1e-14 * static_cast<double>(state_.row / 64 + sums_ - 1) * form.magnitude;
    }
    std::int64_t uncertain = 0;
    for (std::int64_t e0 = 0; e0 < due; e0 += kChunk) {
      const std::int64_t count = std::min(kChunk, due - e0);
      const std::uint32_t* const position = scratch_.due.data() + e0;
      for (std::int64_t e = 0; e < count; ++e) {
        if (e + kPrefetchEntry < count)
          __builtin_prefetch(&track_.pair[position[e + kPrefetchEntry]]);
        scratch_.ids[e] = track_.pair[position[e]].neuron;
      }
      for (std::int64_t o = 0; o < sums_; ++o) {
        kernels_.masked_sums_short(
            state_.bits.data(), state_.words, state_.example_words, scratch_.ids.data(), count,
            scratch_.v_short.data() + o * state_.row, scratch_.sum_short.data() + o * kChunk);
      }
      for_corrections(count, [&](std::int64_t e, double correction) {
        const std::uint32_t r = scratch_.ids[e], p = position[e];
        const double a = factor(r);
        const double start = a * (state_.root_m * static_cast<double>(track_.pair[p].z0));
        double sum = 0, error = 0;
        if constexpr (signs) {
          sum = scratch_.unit[0] * static_cast<double>(scratch_.sum_short[e]);
          error = scratch_.sum_error[0];
        } else {
          for (std::int64_t o = 0; o < sums_; ++o) {
            const double a_o = static_cast<double>(state_.readout.of(r)[o]);
            sum +=
                a_o * (scratch_.unit[o] * static_cast<double>(scratch_.sum_short[o * kChunk + e]));
            error += std::fabs(a_o) * scratch_.sum_error[o];
          }
        }
        const double z = start - (sum + correction);
        error += 1e-14 * (std::fabs(start) + std::fabs(correction));
        const bool certain = std::fabs(z) > error;  // false for NaN as well
        if (certain && (a * z >= 0) == stored_bit(r)) {
          track_.key[p] = key_at(r, z, error);
        } else {
          scratch_.uncertain[uncertain++] = p;
        }
      });
    }
    return uncertain;
  }

  // use(e, sum over the corrections of neuron ids[e]), asking for them ahead.
  template <typename Use>
  void for_corrections(std::int64_t count, Use use) {
    const Corrections& corrections = state_.corrections;
    for (std::int64_t e = 0; e < std::min(count, kPrefetchList); ++e)
      corrections.prefetch(scratch_.ids[e]);
    for (std::int64_t e = 0; e < count; ++e) {
      if (e + kPrefetchList < count) corrections.prefetch(scratch_.ids[e + kPrefetchList]);
      if (e + kPrefetchMore < count) corrections.prefetch_more(scratch_.ids[e + kPrefetchMore]);
      use(e, corrections.dot(scratch_.ids[e], k_));
    }
  }

  // In float64: the uncertain pairs, then the sliding ones that are due. Finds the flips, and says
  // of every pair whether it slides from now on.
  void look(std::int64_t uncertain, std::int64_t due_sliding) {
    const double largest_move =
        state_.readout.largest_scale() * std::max(next_.up_step[column_], next_.down_step[column_]);
    std::vector<FixedSum> gained;
    for (std::int64_t o = 0; o < sums_; ++o)
      gained.emplace_back(state_.readout.largest(o) * largest_move);
    scratch_.found.clear();
    const double slides_below = state_.sliding_share() * (up_ + down_);
    const std::int64_t looks = uncertain + due_sliding;
    for (std::int64_t e0 = 0; e0 < looks; e0 += kChunk) {
      const std::int64_t count = std::min(kChunk, looks - e0);
      TrackedPair<T> pairs[kChunk];
      for (std::int64_t e = 0; e < count; ++e) {
        const std::int64_t q = e0 + e;
        pairs[e] = q < uncertain ? track_.pair[scratch_.uncertain[q]]
                                 : sliding_.pair[scratch_.sliding[q - uncertain]];
        scratch_.ids[e] = pairs[e].neuron;
      }
      for (std::int64_t o = 0; o < sums_; ++o) {
        kernels_.masked_sums_double(state_.bits.data(), state_.words, state_.example_words,
                                    scratch_.ids.data(), count, scratch_.v.data() + o * state_.row,
                                    scratch_.sum_double.data() + o * kChunk);
      }
      for_corrections(count, [&](std::int64_t e, double correction) {
        const std::uint32_t r = pairs[e].neuron;
        const double a = factor(r);
        const double start = a * (state_.root_m * static_cast<double>(pairs[e].z0));
        double sum = scratch_.sum_double[e], scale = 1.0;
        if constexpr (!signs) {
          sum = 0;
          for (std::int64_t o = 0; o < sums_; ++o)
            sum +=
                static_cast<double>(state_.readout.of(r)[o]) * scratch_.sum_double[o * kChunk + e];
          scale = state_.readout.scale(r);
        }
        const double z = start - (sum + correction);
        // On its side: what the movement in units of the clocks must exceed, the level aside.
        const bool stored = stored_bit(r);
        const double on_side = (stored ? a * z : -(a * z)) / std::fabs(scale);
        const bool flips = on_side < -kKeepRoundings * rounding_;
        if (flips) {
          for (std::int64_t o = 0; o < sums_; ++o) {
            gained[o].add((signs ? a : static_cast<double>(state_.readout.of(r)[o])) *
                          std::fabs(z));
          }
          next_.changed[column_] += stored == (pairs[e].z0 >= T(0)) ? 1 : -1;
          scratch_.found.push_back(r | (stored ? 0u : kTurnsOn));
        }
        const double distance = std::fabs(on_side);
        const std::int64_t q = e0 + e;
        if (distance > slides_below) {
          const float key = key_of(z / scale, distance);
          if (q < uncertain) {
            track_.key[scratch_.uncertain[q]] = key;
          } else {
            scratch_.leaving.emplace_back(scratch_.sliding[q - uncertain], key);
          }
          return;
        }
        // What rounds in this look and in the next is taken off; 1e-9 is room for the rounding of
        // 10^6 subtractions.
        const double after = flips ? -on_side : on_side;
        double allowed = rounding_;
        if (after < (4 - kKeepRoundings) * rounding_) allowed = rounding_of(r, start, scale);
        const double left = (after + kKeepRoundings * rounding_ - 2 * allowed) * (1.0 - 1e-9);
        const double slack = std::copysign(std::fmax(left, 1e-300),
                                           (stored != flips) == (a * scale > 0) ? 1.0 : -1.0);
        if (q < uncertain) {
          track_.key[scratch_.uncertain[q]] = kGone;
          sliding_.push(pairs[e], slack);
        } else {
          sliding_.slack[scratch_.sliding[q - uncertain]] = slack;
        }
      });
    }
    for (std::int64_t o = 0; o < sums_; ++o)
      next_.u[column_ * sums_ + o] += gained[o].value() / static_cast<double>(state_.m);
    sort_by_shard(state_.corrections, scratch_.found, state_.flips[column_]);
  }

  // The bound of the rounding of a value of neuron r from the magnitudes of its own terms: far
  // below the general one, and asked for where that would have a pair looked at in every step.
  double rounding_of(std::uint32_t r, double start, double scale) {
    if (scratch_.magnitude.empty()) {
      for (std::int64_t o = 0; o < sums_; ++o) {
        double sum = 0;
        for (std::int64_t i = 0; i < state_.row; ++i)
          sum += std::fabs(scratch_.v[o * state_.row + i]);
        scratch_.magnitude.push_back(sum);
      }
    }
    double sums = 0, corrections = 0;
    for (std::int64_t o = 0; o < sums_; ++o)
      sums += std::fabs(state_.readout.value(r, o)) * scratch_.magnitude[o];
    state_.corrections.each(
        r, [&](std::uint32_t i, double value) { corrections += std::fabs(k_[i] * value); });
    const double magnitudes = sums * static_cast<double>(state_.row / 32 + 8 + sums_) +
                              corrections * state_.correction_terms() + 8.0 * std::fabs(start);
    return std::min(rounding_, 1.2e-16 * magnitudes / std::fabs(scale));
  }

  // Between the lists, each from the back, so that what takes the place of a pair has been dealt
  // with.
  void move(std::int64_t due) {
    for (std::int64_t e = due; e-- > 0;) {
      const std::uint32_t p = scratch_.due[e];
      const float key = track_.key[p];
      if (track_.is_near(key)) continue;
      // Safe for longer than the horizon, or gone.
      track_.swap(p, --track_.near);
      if (key == kGone) track_.swap(track_.near, --track_.size);
    }
    for (std::size_t e = scratch_.leaving.size(); e-- > 0;) {
      const auto [p, key] = scratch_.leaving[e];
      track_.append(sliding_.pair[p], key);
      sliding_.remove(p);
    }
    scratch_.leaving.clear();
  }

  EventState<T>& state_;
  StepValues& next_;
  ColumnScratch& scratch_;
  Track<T>& track_;
  SlidingPairs<T>& sliding_;
  const EventKernels& kernels_ = event_kernels();
  const std::int64_t column_, sums_;  // masked sums of a pair
  const double up_, down_, rounding_;
  const double* const k_;
  const std::uint64_t* const bits_;  // the word of this column in the row of neuron 0
  const int bit_;
};

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

template <typename T>
void EventState<T>::evaluate(std::int64_t j, StepValues& next, ColumnScratch& scratch) {
  if (!scratch.v.size()) scratch.allocate(row, outputs);
  if (readout.signs_only()) {
    ColumnLooks<T, true>(*this, j, next, scratch).run();
  } else {
    ColumnLooks<T, false>(*this, j, next, scratch).run();
  }
}

template void EventState<float>::evaluate(std::int64_t, StepValues&, ColumnScratch&);
template void EventState<double>::evaluate(std::int64_t, StepValues&, ColumnScratch&);

}  // namespace lazygram
