// Row kernels of pack.hpp at level avx512: see pack.inl. Compares write mask registers, which are
// the bits.
#include <immintrin.h>

#include <cstdint>

#include "patterns/pack.hpp"

#define LAZYGRAM_LEVEL avx512

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
constexpr int kStep = 64 / sizeof(T);

inline std::uint64_t sign_mask(const float* z) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(z), _mm512_setzero_ps(), _CMP_GE_OQ);
}
inline std::uint64_t sign_mask(const double* z) {
  return _mm512_cmp_pd_mask(_mm512_loadu_pd(z), _mm512_setzero_pd(), _CMP_GE_OQ);
}
inline void expand_mask(std::uint64_t mask, float value, float* out) {
  _mm512_storeu_ps(out, _mm512_maskz_mov_ps(static_cast<__mmask16>(mask), _mm512_set1_ps(value)));
}
inline void expand_mask(std::uint64_t mask, double value, double* out) {
  _mm512_storeu_pd(out, _mm512_maskz_mov_pd(static_cast<__mmask8>(mask), _mm512_set1_pd(value)));
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "patterns/pack.inl"
