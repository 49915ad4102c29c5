// Packed activation patterns: M_ri = 1{w_r . x_i >= 0} as one bit per (neuron, example) pair.
//
// Layout: one row per example, neurons along the bits: neuron r of example i is bit r % 64 of word
// r / 64 of row i. Rows are padded to whole cache lines (512 neurons). Invariant: padding bits are
// zero, so counts and differences may run over whole rows. NaN pre-activations give 0; both zeros
// give 1 (the ">= 0" convention).
#pragma once

#include <cstdint>

#include "lazygram/array.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/philox.hpp"

namespace lazygram {

// Neurons in one panel: what a tile of work produces at a time, one cache line of bits per example.
// Panel boundaries are fixed, so pre-activations are computed by the same products whatever the
// thread count.
inline constexpr std::int64_t kPanel = 512;
// Examples per matrix product inside a panel: 256 x 512 pre-activations stay in the level-2 cache.
inline constexpr std::int64_t kExampleBlock = 256;

inline std::int64_t pattern_words(std::int64_t width) { return round_up(width, kPanel) / 64; }

// rows = examples, cols = words in use, stride in words.
using PatternsView = MatrixView<std::uint64_t>;
using ConstPatternsView = MatrixView<const std::uint64_t>;

// Weights of hidden neurons, either stored (row r = w_r) or made on demand from a seed.
template <typename T>
struct Neurons {
  const T* stored = nullptr;
  std::int64_t stride = 0;
  RandomNetwork
      random;  // width and dim are always set; the rest only matters when nothing is stored
  std::int64_t width() const { return random.width; }
  std::int64_t dim() const { return random.dim; }

  // Rows begin .. begin+count-1: a pointer into the stored weights, or into `scratch` after filling
  // it.
  const T* panel(std::int64_t begin, std::int64_t count, T* scratch,
                 std::int64_t* row_stride) const {
    if (stored) {
      *row_stride = stride;
      return stored + begin * stride;
    }
    *row_stride = round_up(dim(), 4);
    random.weights(begin, count, scratch, *row_stride);
    return scratch;
  }
  std::int64_t scratch_size() const { return stored ? 0 : kPanel * round_up(dim(), 4); }
};

// Patterns of X (rows = examples) under the neurons into bits (X.rows x pattern_words(width),
// padding set). Never holds more than one panel of pre-activations per thread.
template <typename T>
void activation_patterns(const Neurons<T>& neurons, ConstMatrixView<T> X, PatternsView bits,
                         const RunOptions& options);

// out[i] = number of active neurons of example i.
void pattern_counts(ConstPatternsView patterns, std::int64_t* out, const RunOptions& options);

// out[i] = number of neurons whose bit differs between a and b at example i.
void pattern_differences(ConstPatternsView a, ConstPatternsView b, std::int64_t* out,
                         const RunOptions& options);

}  // namespace lazygram
