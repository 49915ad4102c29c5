// Kernels of kernels.hpp at level avx2: bits become lane masks by broadcast, AND with one bit per
// lane, compare.
#include <immintrin.h>

#include <cstdint>

#include "events/kernels.hpp"

#define LAZYGRAM_LEVEL avx2

#include "events/fold.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
struct Lanes;

// Lane l of the result is all ones where bit l of the low 16 of `word` is set.
inline __m256i lane_mask_16(std::uint64_t word) {
  const __m256i lane = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                         8192, 16384, static_cast<short>(0x8000));
  const __m256i part = _mm256_set1_epi16(static_cast<short>(word));
  return _mm256_cmpeq_epi16(_mm256_and_si256(part, lane), lane);
}

template <>
struct Lanes<std::int16_t> {
  __m256i s[4] = {};
  void add(const std::uint64_t* at_word, const std::int16_t* v) {
    const std::uint64_t word = *at_word;
    for (int q = 0; q < 4; ++q) {
      const __m256i value = _mm256_load_si256(reinterpret_cast<const __m256i*>(v + 16 * q));
      s[q] = _mm256_add_epi16(s[q], _mm256_and_si256(lane_mask_16(word >> (16 * q)), value));
    }
  }
  std::int32_t total() const {
    const __m256i one = _mm256_set1_epi16(1);
    const __m256i sum = _mm256_add_epi32(
        _mm256_add_epi32(_mm256_madd_epi16(s[0], one), _mm256_madd_epi16(s[1], one)),
        _mm256_add_epi32(_mm256_madd_epi16(s[2], one), _mm256_madd_epi16(s[3], one)));
    const __m128i quarter =
        _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const __m128i pair = _mm_add_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
    return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 1)));
  }
};

template <>
struct Lanes<double> {
  __m256d s[8] = {};
  void add(const std::uint64_t* at_word, const double* v) {
    const std::uint64_t word = *at_word;
    const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);
    for (int half = 0; half < 2; ++half) {
      for (int q = 0; q < 8; ++q) {
        const int at = 32 * half + 4 * q;
        const __m256i nibble = _mm256_set1_epi64x(static_cast<long long>(word >> at));
        const __m256i mask = _mm256_cmpeq_epi64(_mm256_and_si256(nibble, lane), lane);
        s[q] =
            _mm256_add_pd(s[q], _mm256_and_pd(_mm256_castsi256_pd(mask), _mm256_load_pd(v + at)));
      }
    }
  }
  double total() const {
    alignas(32) double sums[4];
    _mm256_store_pd(
        sums, _mm256_add_pd(_mm256_add_pd(_mm256_add_pd(s[0], s[4]), _mm256_add_pd(s[2], s[6])),
                            _mm256_add_pd(_mm256_add_pd(s[1], s[5]), _mm256_add_pd(s[3], s[7]))));
    return fold<4>(sums);
  }
};

void add_row(const std::uint64_t* row, std::int64_t words, std::int16_t sign, std::int16_t* acc) {
  const __m256i one = _mm256_set1_epi16(sign);
  for (std::int64_t w = 0; w < words; ++w) {
    for (int q = 0; q < 4; ++q) {
      auto* const at = reinterpret_cast<__m256i*>(acc + 64 * w + 16 * q);
      const __m256i step = _mm256_and_si256(lane_mask_16(row[w] >> (16 * q)), one);
      _mm256_store_si256(at, _mm256_add_epi16(_mm256_load_si256(at), step));
    }
  }
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "events/kernels_scalar.inl"
#include "events/kernels_table.inl"
