// Co-activation counts for any CPU: carry-free halving adds on 64-bit words, about 10 operations
// per word.
#include <cstdint>

#include "gram/popcount.hpp"

#define LAZYGRAM_LEVEL baseline
#include "gram/popcount_rows.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

void coactivation(const std::uint64_t* a, std::int64_t a_stride, int na, const std::uint64_t* b,
                  std::int64_t b_stride, int nb, std::int64_t words, bool upper_only,
                  std::int64_t* counts, std::int64_t ldc) {
  for (int i = 0; i < na; ++i) {
    const std::uint64_t* ai = a + i * a_stride;
    for (int j = upper_only ? i : 0; j < nb; ++j) {
      const std::uint64_t* bj = b + j * b_stride;
      counts[i * ldc + j] += count_words(words, [ai, bj](std::int64_t w) { return ai[w] & bj[w]; });
    }
  }
}

}  // namespace

extern const PopcountKernels popcount = {coactivation, count, count_xor};

}  // namespace lazygram::LAZYGRAM_LEVEL
