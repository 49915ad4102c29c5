// Row kernels of pack.hpp at level avx2: see pack.inl. Compare + MOVMSK packs 8 floats (4 doubles)
// at a time; the way back tests one bit per lane against a constant.
#include <immintrin.h>

#include <cstdint>

#include "patterns/pack.hpp"

#define LAZYGRAM_LEVEL avx2

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
constexpr int kStep = 32 / sizeof(T);

inline std::uint64_t sign_mask(const float* z) {
  return static_cast<std::uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(z), _mm256_setzero_ps(), _CMP_GE_OQ)));
}
inline std::uint64_t sign_mask(const double* z) {
  return static_cast<std::uint32_t>(
      _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(z), _mm256_setzero_pd(), _CMP_GE_OQ)));
}
inline void expand_mask(std::uint64_t mask, float value, float* out) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bit);
  const __m256 on = _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit));
  _mm256_storeu_ps(out, _mm256_and_ps(on, _mm256_set1_ps(value)));
}
inline void expand_mask(std::uint64_t mask, double value, double* out) {
  const __m256i bit = _mm256_setr_epi64x(1, 2, 4, 8);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi64x(static_cast<long long>(mask)), bit);
  const __m256d on = _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, bit));
  _mm256_storeu_pd(out, _mm256_and_pd(on, _mm256_set1_pd(value)));
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "patterns/pack.inl"
