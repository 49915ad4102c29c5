// Kernels of kernels.hpp at level avx512: a mask register is eight or thirty-two bits of the row.
//
//   VPADDW zmm{k}      thirty-two counters per instruction, one per cycle on Zen 4, latency 1
//   VADDPD zmm{k}      one per cycle on Zen 4 (two on cores with full-width units), latency 3-4:
//   four accumulators VPCOMPRESSD        to a register; the form that stores to memory is
//   microcoded on Zen 4 and avoided
#include <immintrin.h>

#include <cstdint>

#include "events/kernels.hpp"

#define LAZYGRAM_LEVEL avx512

#include "events/fold.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
struct Lanes;

template <>
struct Lanes<std::int16_t> {
  __m512i s[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  void add(const std::uint64_t* word, const std::int16_t* v) {
    const auto* const masks = reinterpret_cast<const char*>(word);
    for (int q = 0; q < 2; ++q) {
      __mmask32 mask;
      __builtin_memcpy(&mask, masks + 4 * q, 4);
      s[q] = _mm512_mask_add_epi16(s[q], mask, s[q], _mm512_load_si512(v + 32 * q));
    }
  }
  std::int32_t total() const {
    const __m512i one = _mm512_set1_epi16(1);
    const __m512i sum =
        _mm512_add_epi32(_mm512_madd_epi16(s[0], one), _mm512_madd_epi16(s[1], one));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    const __m128i quarter =
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i pair = _mm_add_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
    return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 1)));
  }
};

template <>
struct Lanes<double> {
  __m512d s[4] = {_mm512_setzero_pd(), _mm512_setzero_pd(), _mm512_setzero_pd(),
                  _mm512_setzero_pd()};
  void add(const std::uint64_t* word, const double* v) {
    const auto* const masks = reinterpret_cast<const char*>(word);
    for (int half = 0; half < 2; ++half) {
      for (int q = 0; q < 4; ++q) {
        __mmask8 mask;
        __builtin_memcpy(&mask, masks + 4 * half + q, 1);
        s[q] = _mm512_mask_add_pd(s[q], mask, s[q], _mm512_load_pd(v + 32 * half + 8 * q));
      }
    }
  }
  double total() const {
    const __m512d sum = _mm512_add_pd(_mm512_add_pd(s[0], s[2]), _mm512_add_pd(s[1], s[3]));
    const __m256d half = _mm256_add_pd(_mm512_castpd512_pd256(sum), _mm512_extractf64x4_pd(sum, 1));
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
  }
};

void add_row(const std::uint64_t* row, std::int64_t words, std::int16_t sign, std::int16_t* acc) {
  const __m512i one = _mm512_set1_epi16(sign);
  for (std::int64_t w = 0; w < words; ++w) {
    for (int half = 0; half < 2; ++half) {
      std::int16_t* const at = acc + 64 * w + 32 * half;
      const __m512i old = _mm512_load_si512(at);
      const auto mask = static_cast<__mmask32>(row[w] >> (32 * half));
      _mm512_store_si512(at, _mm512_mask_add_epi16(old, mask, old, one));
    }
  }
}

std::int64_t scan(const float* keys, std::int64_t begin, std::int64_t end, float low, float high,
                  std::uint32_t* out) {
  const __m512 lo = _mm512_set1_ps(low), hi = _mm512_set1_ps(high);
  __m512i position =
      _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(begin)),
                       _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i step = _mm512_set1_epi32(16);
  std::int64_t found = 0;
  for (std::int64_t p = begin; p < end; p += 16, position = _mm512_add_epi32(position, step)) {
    const auto inside = static_cast<__mmask16>(end - p >= 16 ? 0xFFFF : (1 << (end - p)) - 1);
    const __m512 key = _mm512_maskz_loadu_ps(inside, keys + p);
    __mmask16 due = _mm512_mask_cmp_ps_mask(inside, key, lo, _CMP_GE_OQ);
    due = _mm512_mask_cmp_ps_mask(due, key, hi, _CMP_LE_OQ);
    if (!due) continue;
    _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(due, position));
    found += __builtin_popcount(due);
  }
  return found;
}

std::int64_t advance_slack(double* slack, std::int64_t count, double up, double down,
                           std::uint32_t* out) {
  const __m512d zero = _mm512_setzero_pd(), to_zero = _mm512_set1_pd(-up),
                from_below = _mm512_set1_pd(down);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  std::int64_t found = 0;
  for (std::int64_t p = 0; p < count; p += 8) {
    const auto inside = static_cast<__mmask8>(count - p >= 8 ? 0xFF : (1 << (count - p)) - 1);
    const __m512d old = _mm512_maskz_loadu_pd(inside, slack + p);
    const __mmask8 above = _mm512_cmp_pd_mask(old, zero, _CMP_GT_OQ);
    const __m512d left = _mm512_add_pd(old, _mm512_mask_blend_pd(above, from_below, to_zero));
    _mm512_mask_storeu_pd(slack + p, inside, left);
    const auto due =
        static_cast<__mmask8>(inside & ((above & _mm512_cmp_pd_mask(left, zero, _CMP_LE_OQ)) |
                                        (~above & _mm512_cmp_pd_mask(left, zero, _CMP_GE_OQ))));
    if (!due) continue;
    const __m256i at = _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(p)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + found),
                        _mm256_maskz_compress_epi32(due, at));
    found += __builtin_popcount(due);
  }
  return found;
}

inline __m512 load(const float* z, __mmask16 inside) { return _mm512_maskz_loadu_ps(inside, z); }
inline __m512d load(const double* z, __mmask16 inside) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(inside), z);
}
inline __mmask16 below(__m512 z, __mmask16 inside, float limit) {
  return _mm512_mask_cmp_ps_mask(inside, _mm512_abs_ps(z), _mm512_set1_ps(limit), _CMP_LT_OQ);
}
inline __mmask16 below(__m512d z, __mmask16 inside, double limit) {
  return _mm512_mask_cmp_pd_mask(static_cast<__mmask8>(inside), _mm512_abs_pd(z),
                                 _mm512_set1_pd(limit), _CMP_LT_OQ);
}
inline void compress(float* out, __mmask16 mask, __m512 value) {
  _mm512_storeu_ps(out, _mm512_maskz_compress_ps(mask, value));
}
inline void compress(double* out, __mmask16 mask, __m512d value) {
  _mm512_storeu_pd(out, _mm512_maskz_compress_pd(static_cast<__mmask8>(mask), value));
}

template <typename T>
std::int64_t select(const T* z, std::int64_t count, T limit, std::uint16_t* position, T* value) {
  constexpr int step = 64 / sizeof(T);
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  std::int64_t found = 0;
  for (std::int64_t k = 0; k < count; k += step) {
    const auto inside = static_cast<__mmask16>(count - k >= 16 ? 0xFFFF : (1 << (count - k)) - 1);
    const auto values = load(z + k, inside);
    const __mmask16 mask = below(values, inside, limit);
    if (!mask) continue;
    const __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(k)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(position + found),
                        _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, at)));
    compress(value + found, mask, values);
    found += __builtin_popcount(mask);
  }
  return found;
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "events/kernels_table.inl"
