// Co-activation counts with VPOPCNTQ: 4 x 4 register block of 512-bit accumulators.
//
//   instruction        Zen 4 (per cycle)   Ice Lake (per cycle)
//   VPANDQ zmm         2                   2 (p0, p5)
//   VPOPCNTQ zmm       1                   1 (p5)
//   VPADDQ zmm         2                   2 (p0, p5)
// Three operations per 512 bit-products on two 512-bit pipes: at most 341 bit-products per cycle
// and core. 8 loads feed 16 products, so the load ports are not the limit.
#include <immintrin.h>

#include <cstdint>

#include "gram/popcount.hpp"

#define LAZYGRAM_LEVEL avx512_vpopcntdq
#include "gram/popcount_rows.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

constexpr int kBlock = 4;
constexpr std::int64_t kChunk =
    512;  // words: 8 rows of a register block are 32 KiB, the level-1 cache

// The eight 64-bit lanes of each of four vectors, summed: four totals in one 256-bit vector.
inline __m256i sum_lanes(__m512i v0, __m512i v1, __m512i v2, __m512i v3) {
  const __m512i v01 =
      _mm512_add_epi64(_mm512_unpacklo_epi64(v0, v1), _mm512_unpackhi_epi64(v0, v1));
  const __m512i v23 =
      _mm512_add_epi64(_mm512_unpacklo_epi64(v2, v3), _mm512_unpackhi_epi64(v2, v3));
  const __m256i a =
      _mm256_add_epi64(_mm512_castsi512_si256(v01), _mm512_extracti64x4_epi64(v01, 1));
  const __m256i b =
      _mm256_add_epi64(_mm512_castsi512_si256(v23), _mm512_extracti64x4_epi64(v23, 1));
  return _mm256_add_epi64(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

void block(const std::uint64_t* const (&a)[kBlock], const std::uint64_t* const (&b)[kBlock],
           std::int64_t begin, std::int64_t end, __m256i (&sums)[kBlock]) {
  __m512i acc[kBlock][kBlock];
#pragma GCC unroll 4
  for (int i = 0; i < kBlock; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlock; ++j) acc[i][j] = _mm512_setzero_si512();
  }
  for (std::int64_t w = begin; w < end; w += 8) {
    __m512i bv[kBlock];
#pragma GCC unroll 4
    for (int j = 0; j < kBlock; ++j) bv[j] = _mm512_loadu_si512(b[j] + w);
#pragma GCC unroll 4
    for (int i = 0; i < kBlock; ++i) {
      const __m512i av = _mm512_loadu_si512(a[i] + w);
#pragma GCC unroll 4
      for (int j = 0; j < kBlock; ++j) {
        acc[i][j] = _mm512_add_epi64(acc[i][j], _mm512_popcnt_epi64(_mm512_and_si512(av, bv[j])));
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kBlock; ++i) sums[i] = sum_lanes(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
}

void coactivation(const std::uint64_t* a, std::int64_t a_stride, int na, const std::uint64_t* b,
                  std::int64_t b_stride, int nb, std::int64_t words, bool upper_only,
                  std::int64_t* counts, std::int64_t ldc) {
  for (std::int64_t begin = 0; begin < words; begin += kChunk) {
    const std::int64_t end = begin + kChunk < words ? begin + kChunk : words;
    for (int i0 = 0; i0 < na; i0 += kBlock) {
      const int rows = na - i0 < kBlock ? na - i0 : kBlock;
      const std::uint64_t* ai[kBlock];
      for (int i = 0; i < kBlock; ++i) ai[i] = a + (i0 + (i < rows ? i : 0)) * a_stride;
      for (int j0 = upper_only ? i0 : 0; j0 < nb; j0 += kBlock) {
        const int cols = nb - j0 < kBlock ? nb - j0 : kBlock;
        const std::uint64_t* bj[kBlock];
        for (int j = 0; j < kBlock; ++j) bj[j] = b + (j0 + (j < cols ? j : 0)) * b_stride;
        __m256i sums[kBlock];
        block(ai, bj, begin, end, sums);
        const __mmask8 mask = static_cast<__mmask8>((1 << cols) - 1);
        for (int i = 0; i < rows; ++i) {
          std::int64_t* out = counts + (i0 + i) * ldc + j0;
          const __m256i old = _mm256_maskz_loadu_epi64(mask, out);
          _mm256_mask_storeu_epi64(out, mask, _mm256_add_epi64(old, sums[i]));
        }
      }
    }
  }
}

}  // namespace

extern const PopcountKernels popcount = {coactivation, count, count_xor};

}  // namespace lazygram::LAZYGRAM_LEVEL
