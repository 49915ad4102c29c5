// Co-activation counts at level avx2: nibble look-ups on 256-bit vectors, see popcount_lookup.inl.
#include <immintrin.h>

#include <cstdint>

#include "gram/popcount.hpp"

#define LAZYGRAM_LEVEL avx2
#include "gram/popcount_rows.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

struct Simd {
  using Vector = __m256i;
  static constexpr int kBytes = 32;
  static Vector zero() { return _mm256_setzero_si256(); }
  static Vector load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
  static void store(void* p, Vector x) { _mm256_store_si256(static_cast<__m256i*>(p), x); }
  static Vector add8(Vector x, Vector y) { return _mm256_add_epi8(x, y); }
  static Vector add16(Vector x, Vector y) { return _mm256_add_epi16(x, y); }
  static Vector shuffle8(Vector table, Vector index) { return _mm256_shuffle_epi8(table, index); }
  static Vector even(Vector x) { return _mm256_and_si256(x, _mm256_set1_epi16(255)); }
  static Vector odd(Vector x) { return _mm256_srli_epi16(x, 8); }
  static void pin(Vector& x) { __asm__("" : "+x"(x)); }
  static Vector table(const std::uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "gram/popcount_lookup.inl"
