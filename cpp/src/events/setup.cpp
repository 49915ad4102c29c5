// Forward pass of event-driven descent: bits, predictions, counts and tracked pairs from panels of
// W(0) X^T.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "events/state.hpp"
#include "gram/popcount.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/gram.hpp"
#include "lazygram/isa.hpp"
#include "patterns/pack.hpp"

namespace lazygram {

const EventKernels& event_kernels() {
  static const IsaTable<const EventKernels*> table = {
      &baseline::event_kernels,
#ifdef LAZYGRAM_X86
      &avx2::event_kernels,
      &avx512::event_kernels,
#endif
  };
  return *table.pick();
}

namespace {

std::int64_t select(const EventKernels& kernels, const float* z, std::int64_t count, float limit,
                    std::uint16_t* position, float* value) {
  return kernels.select_float(z, count, limit, position, value);
}
std::int64_t select(const EventKernels& kernels, const double* z, std::int64_t count, double limit,
                    std::uint16_t* position, double* value) {
  return kernels.select_double(z, count, limit, position, value);
}

// What one panel hands to the merge: its share of u and its tracked pairs, column after column.
template <typename T>
struct PanelResult {
  std::vector<double> partial;
  std::vector<std::int64_t> begin;
  std::vector<std::uint16_t> position;
  std::vector<T> value;
};

// Expected fraction of pairs of a Gaussian neuron with |w . x| < limit.
double fraction_below(double limit, double norm) {
  return limit <= 0 ? 0.0 : std::erf(limit / (norm * std::sqrt(2.0)));
}

template <typename T>
double row_norm(const T* x, std::int64_t d) {
  double sum = 0;
  for (std::int64_t k = 0; k < d; ++k) sum += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  return std::sqrt(sum);
}

}  // namespace

void transpose_64(std::uint64_t* a) {
  std::uint64_t mask = 0x00000000FFFFFFFFu;
  for (int width = 32; width; width /= 2, mask ^= mask << width) {
    for (int k = 0; k < 64; k = (k + width + 1) & ~width) {
      const std::uint64_t t = ((a[k] >> width) ^ a[k + width]) & mask;
      a[k] ^= t << width;
      a[k + width] ^= t;
    }
  }
}

template <typename T>
void Track<T>::reserve(std::int64_t capacity) {
  if (capacity <= key.size()) return;
  Buffer<float> new_key(capacity);
  Buffer<TrackedPair<T>> new_pair(capacity);
  if (size) {
    std::memcpy(new_key.data(), key.data(), size * sizeof(float));
    std::memcpy(new_pair.data(), pair.data(), size * sizeof(TrackedPair<T>));
  }
  key = std::move(new_key);
  pair = std::move(new_pair);
}

template <typename T>
EventState<T>::EventState(const Neurons<T>& source, const T* a, std::int64_t outputs_,
                          std::int64_t examples, std::int64_t test_points)
    : neurons(source),
      readout(source, a, outputs_),
      m(source.width()),
      d(source.dim()),
      n(examples),
      columns(examples + test_points),
      outputs(outputs_),
      root_m(std::sqrt(static_cast<double>(source.width()))),
      example_words(ceil_div(examples, 64)),
      words(ceil_div(examples, 64) + ceil_div(test_points, 64)),
      row(64 * ceil_div(examples, 64)),
      k_stride(readout.signs_only() ? row : 64 * words),
      corrections(source.width()) {}

// |z| < limit is tested in T, so the covered reading follows from the rounded limit. The limit is
// that of the neurons that move most.
template <typename T>
void EventState<T>::set_reach(const double* wanted) {
  limit.resize(columns);
  reach.resize(columns);
  const double scale = readout.largest_scale();
  for (std::int64_t j = 0; j < columns; ++j) {
    limit[j] = static_cast<T>(
        std::min(scale * wanted[j] / root_m, static_cast<double>(std::numeric_limits<T>::max())));
    const double norm = row_norm(X.data() + j * d, d);
    // Beyond 12 standard deviations there is nothing left of a Gaussian: track all, never pass
    // again.
    if (!neurons.stored && limit[j] > 12 * norm) limit[j] = std::numeric_limits<T>::infinity();
    reach[j] = static_cast<double>(limit[j]) * root_m * (1.0 - 1e-9) / scale;
    if (norm == 0 || scale == 0) {  // a zero input never moves
      limit[j] = 0;
      reach[j] = std::numeric_limits<double>::infinity();
    }
  }
}

template <typename T>
EventPlan plan_events(std::int64_t width, ConstMatrixView<T> X, ConstMatrixView<T> X_test,
                      bool random, const double* reach, const ReadoutShape& readout, int threads) {
  const std::int64_t columns = X.rows + X_test.rows;
  const std::int64_t example_words = ceil_div(X.rows, 64);
  const std::int64_t words = example_words + ceil_div(X_test.rows, 64);
  const double m = static_cast<double>(width), root_m = std::sqrt(m);
  const double pair_bytes = 8.0 + sizeof(T);
  EventPlan plan;
  for (std::int64_t j = 0; j < columns; ++j) {
    const T* x = j < X.rows ? X.row(j) : X_test.row(j - X.rows);
    const double norm = row_norm(x, X.cols);
    if (norm > 0) plan.tracked_pairs += m * fraction_below(readout.scale * reach[j] / root_m, norm);
  }
  const double group = static_cast<double>(std::min(kGroup, ceil_div(width, kPanel)));
  const double group_share = std::min(1.0, group * kPanel / m);
  plan.bits = m * static_cast<double>(words) * 8.0 + m / 8.0;
  plan.tracked = plan.tracked_pairs * pair_bytes;
  // Some 3 % of the tracked pairs flip when `reach` is what the clocks come to (measured; most
  // flips are returns of the same pairs). Four of a neuron have their place in its 64 bytes, the
  // others take 12 bytes each and a third in reserve.
  const double corrected = 0.04 * plan.tracked_pairs;
  plan.corrections = 64.0 * m + 16.0 * std::max(0.0, corrected - 3.0 * m);
  plan.matrices = static_cast<double>(columns) * (64.0 * example_words * 12.0 + 64.0 * words * 4.0 +
                                                  static_cast<double>(X.cols) * (sizeof(T) + 8.0));
  plan.matrices += output_pair_bytes(columns, 64 * words, readout.outputs, readout.units);
  const double panel =
      kPanel * (std::min<double>(kExampleBlock, columns) + (random ? round_up(X.cols, 4) : 0.0)) *
      sizeof(T);
  plan.scratch =
      resolve_threads(threads) * panel + static_cast<double>(columns) * 8.0 * 8.0 * group +
      group_share * plan.tracked_pairs * (2.0 + sizeof(T)) + 4.0 * 0.05 * plan.tracked_pairs;
  return plan;
}

template <typename T>
void EventState<T>::gram_matrix(const RunOptions& options) {
  Buffer<double> x(columns * d);
  for (std::int64_t k = 0; k < columns * d; ++k) x[k] = static_cast<double>(X[k]);
  for (std::int64_t j = 0; j < columns; ++j) {
    const double norm = row_norm(X.data() + j * d, d);
    largest_k = std::max(largest_k, norm * norm * (1.0 + 1e-9));
  }
  K = Buffer<double>(columns * k_stride);
  std::fill_n(K.data(), columns * k_stride, 0.0);
  const TileGrid square{n, n, true}, rest{columns - n, n, false};
  const std::int64_t tiles = square.count();
  parallel_tiles(tiles + rest.count(), options, [&](std::int64_t index, int) {
    TileGrid::Tile t = index < tiles ? square.tile(index) : rest.tile(index - tiles);
    if (index >= tiles) t.i += n;
    gemm_nt<double>(t.rows, t.cols, d, 1.0, x.data() + t.i * d, d, x.data() + t.j * d, d, 0.0,
                    K.data() + t.i * k_stride + t.j, k_stride);
    if (index >= tiles) return;
    // The upper triangle counts, so that K is symmetric bit for bit.
    for (std::int64_t i = t.i; i < t.i + t.rows; ++i) {
      for (std::int64_t j = std::max(t.j, i + 1); j < t.j + t.cols; ++j)
        K[j * k_stride + i] = K[i * k_stride + j];
    }
  });
  for (std::int64_t j = n; j < columns && k_stride > row; ++j) {
    for (std::int64_t i = 0; i < n; ++i) K[i * k_stride + slot(j)] = K[j * k_stride + i];
  }
}

// Adds the counts of the group's bits to C.
template <typename T>
void EventState<T>::count_group(std::int64_t group_words, const RunOptions& options) {
  const PopcountKernels& kernels = popcount_kernels();
  const std::int64_t stride = 8 * kGroup;
  const TileGrid square{n, n, true}, rest{columns - n, n, false};
  const std::int64_t tiles = square.count();
  parallel_tiles(tiles + rest.count(), options, [&](std::int64_t index, int) {
    TileGrid::Tile t = index < tiles ? square.tile(index) : rest.tile(index - tiles);
    if (index >= tiles) t.i += n;
    std::vector<std::int64_t> counts(kGramTile * kGramTile);
    kernels.coactivation(group_bits.data() + t.i * stride, stride, static_cast<int>(t.rows),
                         group_bits.data() + t.j * stride, stride, static_cast<int>(t.cols),
                         group_words, t.diagonal, counts.data(), kGramTile);
    for (std::int64_t i = 0; i < t.rows; ++i) {
      for (std::int64_t j = t.diagonal ? i : 0; j < t.cols; ++j) {
        const auto count = static_cast<std::int32_t>(counts[i * kGramTile + j]);
        C[(t.i + i) * row + t.j + j] += count;
        if (index < tiles && t.i + i != t.j + j) C[(t.j + j) * row + t.i + i] += count;
      }
    }
  });
}

template <typename T>
void EventState<T>::rebuild_counts(const RunOptions& options) {
  std::fill_n(C.data(), columns * row, 0);
  const std::int64_t blocks = ceil_div(m, 64), stride = 8 * kGroup;
  for (std::int64_t b0 = 0; b0 < blocks; b0 += stride) {
    const std::int64_t count = std::min(stride, blocks - b0);
    const std::int64_t group_words = round_up(count, 8);
    parallel_tiles(group_words, options, [&](std::int64_t b, int) {
      std::uint64_t square[64];
      for (std::int64_t w = 0; w < words; ++w) {
        for (std::int64_t k = 0; k < 64; ++k) {
          const std::int64_t r = 64 * (b0 + b) + k;
          square[k] = r < m ? bits[r * words + w] : 0;
        }
        transpose_64(square);
        const bool test = w >= example_words;
        const std::int64_t first = test ? n + 64 * (w - example_words) : 64 * w;
        const std::int64_t last = std::min(first + 64, test ? columns : n);
        for (std::int64_t j = first; j < last; ++j) group_bits[j * stride + b] = square[j - first];
      }
    });
    count_group(group_words, options);
  }
}

// Appends the pairs of the group's panels to their columns, in panel order. Pairs that may have
// been looked at before (|zeta(0)| below fresh_from) are due at once: only bits, S and corrections
// know their past.
template <typename T>
static void merge_tracks(EventState<T>& state, const std::vector<PanelResult<T>>& results,
                         std::int64_t first_panel, std::int64_t panels,
                         const std::vector<double>& fresh_from, const RunOptions& options) {
  parallel_tiles(state.columns, options, [&](std::int64_t j, int) {
    Track<T>& track = state.tracks[j];
    std::int64_t more = 0;
    for (std::int64_t p = 0; p < panels; ++p) more += results[p].begin[j + 1] - results[p].begin[j];
    if (track.size + more > track.key.size()) {
      track.reserve(std::max(track.size + more, track.key.size() + track.key.size() / 8));
    }
    for (std::int64_t p = 0; p < panels; ++p) {
      const PanelResult<T>& from = results[p];
      const std::int64_t base = (first_panel + p) * kPanel;
      for (std::int64_t e = from.begin[j]; e < from.begin[j + 1]; ++e) {
        const std::int64_t r = base + from.position[e];
        const double scaled = state.root_m * static_cast<double>(from.value[e]);
        const double scale =
            state.readout.signs_only() ? state.readout.sign(r) : state.readout.scale(r);
        const double zeta = scaled / scale;
        track.append({from.value[e], static_cast<std::uint32_t>(r)},
                     scale == 0                        ? kNever
                     : std::fabs(zeta) < fresh_from[j] ? 0.0f
                                                       : toward_zero(zeta));
      }
    }
  });
}

template <typename T>
void EventState<T>::forward(bool initial, const RunOptions& options) {
  const Stopwatch watch;
  const PackKernels<T>& pack = pack_kernels<T>();
  const EventKernels& kernels = event_kernels();
  const std::int64_t panels = ceil_div(m, kPanel), stride = 8 * kGroup;
  const std::int64_t block_rows = std::min(kExampleBlock, columns);
  const int threads = resolve_threads(options.threads);
  // Pairs that the clocks may have reached already: none in the initial pass.
  std::vector<double> fresh_from(columns, -1.0);
  if (!initial) {
    for (std::int64_t j = 0; j < columns; ++j) {
      fresh_from[j] = 2 * with_margin(std::max(up[j], down[j]), std::min(up[j], down[j]));
    }
  }
  tracking = false;
  tracks.clear();
  tracks.resize(columns);
  sliding.assign(columns, {});
  for (std::int64_t j = 0; j < columns && !neurons.stored; ++j) {
    const double mean = static_cast<double>(m) * fraction_below(static_cast<double>(limit[j]),
                                                                row_norm(X.data() + j * d, d));
    tracks[j].reserve(std::min(m, static_cast<std::int64_t>(mean + 6 * std::sqrt(mean) + 16)));
  }
  std::vector<Buffer<T>> weight_scratch(threads), z_scratch(threads), a_scratch(threads);
  std::vector<PanelResult<T>> results(std::min(kGroup, panels));
  std::vector<double> gemm_seconds(threads, 0.0);
  if (initial) {
    std::fill(u.begin(), u.end(), 0.0);
    std::fill_n(C.data(), columns * row, 0);
  }
  for (std::int64_t p0 = 0; p0 < panels; p0 += kGroup) {
    const std::int64_t group = std::min(kGroup, panels - p0);
    RunOptions group_options = without_poll(options);
    group_options.poll_interval = options.poll_interval;
    if (options.poll) {
      group_options.poll = [&](std::int64_t done, std::int64_t) {
        return options.poll(p0 + done, panels);
      };
    }
    parallel_tiles(group, group_options, [&](std::int64_t p, int thread) {
      if (!z_scratch[thread].size()) {
        z_scratch[thread] = Buffer<T>(block_rows * kPanel);
        weight_scratch[thread] = Buffer<T>(neurons.scratch_size());
        a_scratch[thread] = Buffer<T>(kPanel * outputs);
      }
      T* const z = z_scratch[thread].data();
      T* const a = a_scratch[thread].data();
      PanelResult<T>& result = results[p];
      const std::int64_t begin = (p0 + p) * kPanel, count = std::min(kPanel, m - begin);
      for (std::int64_t o = 0; o < outputs; ++o) {
        for (std::int64_t r = 0; r < count; ++r)
          a[o * kPanel + r] = static_cast<T>(readout.value(begin + r, o));
      }
      const Stopwatch panel_watch;
      std::int64_t w_stride = 0;
      const T* const w = neurons.panel(begin, count, weight_scratch[thread].data(), &w_stride);
      gemm_seconds[thread] += panel_watch.seconds();
      result.partial.resize(columns * outputs);
      result.begin.resize(columns + 1);
      std::int64_t found = 0;
      for (std::int64_t i0 = 0; i0 < columns;) {
        // Blocks as in activation_patterns of X and of X_test: the same products, the same bits.
        const std::int64_t rows = std::min(kExampleBlock, (i0 < n ? n : columns) - i0);
        const Stopwatch gemm_watch;
        gemm_nt<T>(rows, count, d, T(1), X.data() + i0 * d, d, w, w_stride, T(0), z, kPanel);
        gemm_seconds[thread] += gemm_watch.seconds();
        for (std::int64_t i = 0; i < rows; ++i) {
          const T* const zi = z + i * kPanel;
          if (initial) {
            std::uint64_t* const out = group_bits.data() + (i0 + i) * stride + 8 * p;
            if (count < kPanel) std::memset(out, 0, kPanel / 8);
            pack.pack(zi, count, out);
            for (std::int64_t o = 0; o < outputs; ++o) {
              result.partial[(i0 + i) * outputs + o] = pack.readout(zi, a + o * kPanel, count);
            }
          }
          if (static_cast<std::int64_t>(result.value.size()) < found + count + 16) {
            result.position.resize(2 * found + 2 * kPanel);
            result.value.resize(2 * found + 2 * kPanel);
          }
          result.begin[i0 + i] = found;
          found += select(kernels, zi, count, limit[i0 + i], result.position.data() + found,
                          result.value.data() + found);
        }
        i0 += rows;
      }
      result.begin[columns] = found;
      if (!initial) return;
      std::uint64_t square[64];
      for (std::int64_t q = 0; 64 * q < count; ++q) {
        for (std::int64_t word = 0; word < words; ++word) {
          const bool test = word >= example_words;
          const std::int64_t first = test ? n + 64 * (word - example_words) : 64 * word;
          const std::int64_t size = std::min<std::int64_t>(64, (test ? columns : n) - first);
          for (std::int64_t k = 0; k < 64; ++k) {
            square[k] = k < size ? group_bits[(first + k) * stride + 8 * p + q] : 0;
          }
          transpose_64(square);
          const std::int64_t last = std::min<std::int64_t>(64, count - 64 * q);
          for (std::int64_t k = 0; k < last; ++k)
            bits[(begin + 64 * q + k) * words + word] = square[k];
        }
      }
    });
    const RunOptions merge_options = without_poll(options);
    merge_tracks(*this, results, p0, group, fresh_from, merge_options);
    if (initial) {
      for (std::int64_t p = 0; p < group; ++p) {
        for (std::int64_t k = 0; k < columns * outputs; ++k) u[k] += results[p].partial[k];
      }
      count_group(8 * group, merge_options);
    }
    if (options.poll && options.poll(p0 + group, panels)) throw Interrupted();
  }
  if (initial) {
    for (double& value : u) value /= root_m;
    build_output_pairs(*this, options);
  }
  stats.tracked = 0;
  for (const Track<T>& track : tracks) stats.tracked += track.size;
  for (double seconds : gemm_seconds) stats.setup_gemm += seconds;
  stats.setup += watch.seconds();
  ++stats.passes;
  tracking = true;
}

#define LAZYGRAM_EVENTS(T)                                                                    \
  template struct Track<T>;                                                                   \
  template EventState<T>::EventState(const Neurons<T>&, const T*, std::int64_t, std::int64_t, \
                                     std::int64_t);                                           \
  template void EventState<T>::set_reach(const double*);                                      \
  template void EventState<T>::gram_matrix(const RunOptions&);                                \
  template void EventState<T>::count_group(std::int64_t, const RunOptions&);                  \
  template void EventState<T>::rebuild_counts(const RunOptions&);                             \
  template void EventState<T>::forward(bool, const RunOptions&);                              \
  template EventPlan plan_events(std::int64_t, ConstMatrixView<T>, ConstMatrixView<T>, bool,  \
                                 const double*, const ReadoutShape&, int);
LAZYGRAM_EVENTS(float)
LAZYGRAM_EVENTS(double)

}  // namespace lazygram
