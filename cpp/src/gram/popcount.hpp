// Per-level kernels on packed bits: tiles of co-activation counts, population counts of rows.
#pragma once

#include <cstdint>

namespace lazygram {

struct PopcountKernels {
  // counts[i * ldc + j] += popcount(a_i & b_j) for i < na, j < nb over `words` words (a multiple of
  // 8, the strides any). With upper_only, entries j < i may be left incomplete: the caller takes
  // them from j > i.
  void (*coactivation)(const std::uint64_t* a, std::int64_t a_stride, int na,
                       const std::uint64_t* b, std::int64_t b_stride, int nb, std::int64_t words,
                       bool upper_only, std::int64_t* counts, std::int64_t ldc);
  std::int64_t (*count)(const std::uint64_t* a, std::int64_t words);
  std::int64_t (*count_xor)(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words);
};

namespace baseline {
extern const PopcountKernels popcount;
}
namespace avx2 {
extern const PopcountKernels popcount;
}
namespace avx512 {
extern const PopcountKernels popcount;
}
namespace avx512_vpopcntdq {
extern const PopcountKernels popcount;
}

const PopcountKernels& popcount_kernels();  // those of the level in use

}  // namespace lazygram
