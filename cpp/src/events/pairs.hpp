// Weighted co-activation counts of pairs of outputs, W^(op)_ji = sum_r a_ro a_rp M_rj M_ri: what
// carries predictions from step to step when there are several outputs, or output weights other
// than +-1.
//
// The products a_ro a_rp are integers: +-1, or multiples of 2^-43 of the largest one (fewer bits
// for widths above 2^19, so that no sum overflows), an error below that of the predictions' own
// sums. Integer sums do not depend on their order, so neither threads nor history change a bit.
//
// W = A + A^T + diagonal. Row j of A takes the flips of column j alone: with the bits of the
// columns after j as they were before the step and those of the columns before j as they are after
// it, which counts every pair of flips of one neuron once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/parallel.hpp"

namespace lazygram {

template <typename T>
struct EventState;

// A flip is a neuron with kTurnsOn set when the bit becomes 1.
inline constexpr std::uint32_t kTurnsOn = 1u << 31;
// Flips whose rows are taken together: bounds the scratch.
inline constexpr std::int64_t kFlipChunk = 512;

// Buffers of one thread for row updates: gathered rows and 16-bit counters.
struct RowScratch {
  Buffer<std::uint64_t> rows;  // kFlipChunk x words
  Buffer<std::int16_t> acc;    // 64 words
  void allocate(std::int64_t words);
};

// The part of the bit rows of `flips` that a column takes: words first .. first+count-1 of every
// row, `mask` on the word of the column itself.
struct RowPart {
  std::int64_t first, count;
  std::uint64_t first_mask, last_mask;
  // Columns whose slot is above (before the flips are applied) or below `slot` (after it).
  static RowPart above(std::int64_t slot, std::int64_t words);
  static RowPart below(std::int64_t slot);
  // Into out (flips x count words), asking for rows ahead.
  void gather(const std::uint64_t* bits, std::int64_t stride, const std::uint32_t* flips,
              std::int64_t number, std::uint64_t* out) const;
};

class OutputPairs {
 public:
  virtual ~OutputPairs() = default;
  // Row `column` of A takes its flips. Calls for different columns may run at the same time.
  virtual void add(std::int64_t column, const RowPart& part,
                   const std::vector<std::uint32_t>& flips, bool diagonal, RowScratch& scratch) = 0;
  // drift[j * outputs + o] += sum_i K_ji sum_p W^(op)_ji g_p[i]; g: outputs x slots, zero padded,
  // zero at test points.
  virtual void drift(const double* g, double* drift, const RunOptions& options) const = 0;
  virtual void counts(std::int64_t first, std::int64_t second, double* out) const = 0;
  virtual std::int64_t bytes() const = 0;
  virtual unsigned char* data() = 0;  // `bytes` of them: everything that a snapshot must keep
};

// Null for signs of one output, whose counts are the plain ones. Otherwise from the bits, all of
// them turning on.
template <typename T>
std::unique_ptr<OutputPairs> make_output_pairs(const EventState<T>& state);
template <typename T>
void build_output_pairs(EventState<T>& state, const RunOptions& options);

// Bytes of the counts.
double output_pair_bytes(std::int64_t columns, std::int64_t slots, std::int64_t outputs,
                         bool units);

}  // namespace lazygram
