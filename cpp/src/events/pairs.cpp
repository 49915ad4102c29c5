// Counts of pairs of outputs: row updates by flips, and the pass over them in a step.
#include "events/pairs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "events/state.hpp"

namespace lazygram {
namespace {

// Tiles of rows of the pass, each with its own sums over columns: a number that no thread count
// changes.
constexpr std::int64_t kPassTiles = 32;
// Neurons of one sweep when the counts are built: their bit rows stay in the level-2 cache.
constexpr std::int64_t kBuildNeurons = 4096;

std::int64_t pair_count(std::int64_t outputs, bool units) {
  return units ? outputs * (outputs - 1) / 2 : outputs * (outputs + 1) / 2;
}

// Count: std::int32_t for weights +-1, std::int64_t for weights in units of unit_.
template <typename T, typename Count>
class Pairs final : public OutputPairs {
 public:
  explicit Pairs(const EventState<T>& state)
      : state_(state), readout_(state.readout), slots_(64 * state.words) {
    constexpr bool units = std::is_same_v<Count, std::int32_t>;
    const std::int64_t outputs = readout_.outputs();
    double largest = 0;
    for (std::int64_t o = 0; o < outputs; ++o) {
      largest = std::max(largest, readout_.largest(o));
      for (std::int64_t p = units ? o + 1 : o; p < outputs; ++p) pairs_.push_back({o, p});
    }
    if (!units && largest > 0) {
      const int width_bits = std::ilogb(static_cast<double>(state.m)) + 1;
      unit_ = std::ldexp(largest, -std::min(43, 61 - width_bits)) * largest;
    }
    size_ = static_cast<std::int64_t>(pairs_.size()) * state.columns * (slots_ + 1);
    A_ = Buffer<Count>(size_);
    std::fill_n(A_.data(), size_, Count(0));
  }

  void add(std::int64_t column, const RowPart& part, const std::vector<std::uint32_t>& flips,
           bool diagonal, RowScratch& scratch) override {
    const EventKernels& kernels = event_kernels();
    const auto number = static_cast<std::int64_t>(flips.size());
    for (std::int64_t f0 = 0; f0 < number; f0 += kFlipChunk) {
      const std::int64_t count = std::min(kFlipChunk, number - f0);
      const std::uint32_t* const chunk = flips.data() + f0;
      part.gather(state_.bits.data(), state_.words, chunk, count, scratch.rows.data());
      for (std::size_t q = 0; q < pairs_.size(); ++q) {
        Count* const out = row(q, column) + 64 * part.first;
        Count change = 0;
        if constexpr (std::is_same_v<Count, std::int32_t>) {
          std::fill_n(scratch.acc.data(), 64 * part.count, std::int16_t{0});
        }
        for (std::int64_t f = 0; f < count; ++f) {
          const Count value = (chunk[f] & kTurnsOn ? 1 : -1) * weight(q, chunk[f] & ~kTurnsOn);
          const std::uint64_t* const bits = scratch.rows.data() + f * part.count;
          change += value;
          if constexpr (std::is_same_v<Count, std::int32_t>) {
            kernels.add_row(bits, part.count, static_cast<std::int16_t>(value), scratch.acc.data());
          } else {
            kernels.add_row_wide(bits, part.count, value, out);
          }
        }
        if constexpr (std::is_same_v<Count, std::int32_t>) {
          for (std::int64_t i = 0; i < 64 * part.count; ++i) out[i] += scratch.acc[i];
        }
        if (diagonal) row(q, column)[slots_] += change;
      }
    }
  }

  void drift(const double* g, double* out, const RunOptions& options) const override {
    const EventKernels& kernels = event_kernels();
    const std::int64_t outputs = readout_.outputs(), columns = state_.columns;
    const std::int64_t rows = ceil_div(columns, kPassTiles), tiles = ceil_div(columns, rows);
    Buffer<double> along(columns * outputs), across(tiles * (outputs + 1) * slots_);
    parallel_tiles(tiles, options, [&](std::int64_t tile, int) {
      // The last row of the sums takes what a pair of an output with itself would count twice.
      double* const sums = across.data() + tile * (outputs + 1) * slots_;
      std::fill_n(sums, (outputs + 1) * slots_, 0.0);
      for (std::int64_t j = tile * rows; j < std::min(columns, (tile + 1) * rows); ++j) {
        double* const own = along.data() + j * outputs;
        std::fill_n(own, outputs, 0.0);
        const double* const k = state_.K.data() + j * state_.k_stride;
        const std::int64_t at = state_.slot(j);
        for (std::size_t q = 0; q < pairs_.size(); ++q) {
          const auto [o, p] = pairs_[q];
          const double *const g_o = g + o * slots_, *const g_p = g + p * slots_;
          double* const sums_p = sums + (o == p ? outputs : p) * slots_;
          PairSums dots{};
          if constexpr (std::is_same_v<Count, std::int32_t>) {
            dots = kernels.pair_sums(k, row(q, j), slots_, g_o, g_p, g_o[at], g_p[at],
                                     sums + o * slots_, sums_p);
          } else {
            dots = kernels.pair_sums_wide(k, row(q, j), slots_, g_o, g_p, g_o[at], g_p[at],
                                          sums + o * slots_, sums_p);
          }
          const double self = k[at] * static_cast<double>(row(q, j)[slots_]);
          own[o] += dots.first + self * g_p[at];
          if (o != p) own[p] += dots.second + self * g_o[at];
        }
      }
    });
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t o = 0; o < outputs; ++o) {
        double sum = along[j * outputs + o];
        for (std::int64_t tile = 0; tile < tiles; ++tile)
          sum += across[(tile * (outputs + 1) + o) * slots_ + state_.slot(j)];
        out[j * outputs + o] += sum * unit_;
      }
    }
  }

  void counts(std::int64_t first, std::int64_t second, double* out) const override {
    std::size_t q = 0;
    while (q < pairs_.size() && pairs_[q] != std::pair{first, second}) ++q;
    require(q < pairs_.size(), "outputs: no such pair of outputs is counted");
    for (std::int64_t j = 0; j < state_.columns; ++j) {
      for (std::int64_t i = 0; i < state_.n; ++i) {
        const Count sum = i == j ? row(q, j)[slots_] : row(q, j)[i] + row(q, i)[state_.slot(j)];
        out[j * state_.n + i] = static_cast<double>(sum) * unit_;
      }
    }
  }

  std::int64_t bytes() const override { return size_ * static_cast<std::int64_t>(sizeof(Count)); }
  unsigned char* data() override { return reinterpret_cast<unsigned char*>(A_.data()); }

 private:
  Count* row(std::size_t q, std::int64_t column) const {
    return A_.data() + (static_cast<std::int64_t>(q) * state_.columns + column) * (slots_ + 1);
  }
  Count weight(std::size_t q, std::int64_t neuron) const {
    const T* const a = readout_.of(neuron);
    const double product =
        static_cast<double>(a[pairs_[q].first]) * static_cast<double>(a[pairs_[q].second]);
    return static_cast<Count>(std::llrint(product / unit_));
  }

  const EventState<T>& state_;
  const Readout<T>& readout_;
  std::int64_t slots_, size_ = 0;
  double unit_ = 1.0;
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs_;
  Buffer<Count> A_;  // pairs x columns x (slots, then the diagonal entry)
};

}  // namespace

void RowScratch::allocate(std::int64_t words) {
  if (rows.size()) return;
  rows = Buffer<std::uint64_t>(kFlipChunk * words);
  acc = Buffer<std::int16_t>(64 * words);
}

RowPart RowPart::above(std::int64_t slot, std::int64_t words) {
  // ~1 << 63 is 0: the last bit of a word has nothing above it there.
  return {slot / 64, words - slot / 64, ~std::uint64_t{1} << (slot % 64), ~std::uint64_t{0}};
}

RowPart RowPart::below(std::int64_t slot) {
  return {0, slot / 64 + 1, ~std::uint64_t{0}, (std::uint64_t{1} << (slot % 64)) - 1};
}

void RowPart::gather(const std::uint64_t* bits, std::int64_t stride, const std::uint32_t* flips,
                     std::int64_t number, std::uint64_t* out) const {
  constexpr std::int64_t ahead = 16;
  for (std::int64_t f = 0; f < number; ++f) {
    if (f + ahead < number) {
      const std::uint64_t* const next = bits + (flips[f + ahead] & ~kTurnsOn) * stride + first;
      for (std::int64_t w = 0; w < count; w += 8) __builtin_prefetch(next + w);
    }
    const std::uint64_t* const row = bits + (flips[f] & ~kTurnsOn) * stride + first;
    std::uint64_t* const to = out + f * count;
    for (std::int64_t w = 0; w < count; ++w) to[w] = row[w];
    to[0] &= first_mask;
    to[count - 1] &= last_mask;
  }
}

template <typename T>
std::unique_ptr<OutputPairs> make_output_pairs(const EventState<T>& state) {
  if (state.readout.signs_only()) return nullptr;
  if (state.readout.units()) return std::make_unique<Pairs<T, std::int32_t>>(state);
  return std::make_unique<Pairs<T, std::int64_t>>(state);
}

template <typename T>
void build_output_pairs(EventState<T>& state, const RunOptions& options) {
  state.pairs = make_output_pairs(state);
  if (!state.pairs) return;
  std::vector<RowScratch> scratch(resolve_threads(options.threads));
  for (std::int64_t begin = 0; begin < state.m; begin += kBuildNeurons) {
    const std::int64_t end = std::min(state.m, begin + kBuildNeurons);
    parallel_tiles(state.columns, options, [&](std::int64_t j, int thread) {
      scratch[thread].allocate(state.words);
      std::vector<std::uint32_t> active;
      for (std::int64_t r = begin; r < end; ++r) {
        if (state.bit(r, j)) active.push_back(static_cast<std::uint32_t>(r) | kTurnsOn);
      }
      // One side of the diagonal takes all that the two phases of a step share.
      state.pairs->add(j, RowPart::below(state.slot(j)), active, true, scratch[thread]);
    });
  }
}

double output_pair_bytes(std::int64_t columns, std::int64_t slots, std::int64_t outputs,
                         bool units) {
  if (units && outputs == 1) return 0;
  return static_cast<double>(pair_count(outputs, units)) * static_cast<double>(columns) *
             static_cast<double>(slots + 1) * (units ? 4.0 : 8.0) +
         static_cast<double>(kPassTiles * (outputs + 1) * slots) * 8.0;
}

#define LAZYGRAM_PAIRS(T)                                                        \
  template std::unique_ptr<OutputPairs> make_output_pairs(const EventState<T>&); \
  template void build_output_pairs(EventState<T>&, const RunOptions&);
LAZYGRAM_PAIRS(float)
LAZYGRAM_PAIRS(double)

}  // namespace lazygram
