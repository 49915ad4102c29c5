// Co-activation counts at level avx512 (no VPOPCNTDQ): nibble look-ups on 512-bit vectors, see
// popcount_lookup.inl.
#include <immintrin.h>

#include <cstdint>

#include "gram/popcount.hpp"

#define LAZYGRAM_LEVEL avx512
#include "gram/popcount_rows.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

struct Simd {
  using Vector = __m512i;
  static constexpr int kBytes = 64;
  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector load(const void* p) { return _mm512_load_si512(p); }
  static void store(void* p, Vector x) { _mm512_store_si512(p, x); }
  static Vector add8(Vector x, Vector y) { return _mm512_add_epi8(x, y); }
  static Vector add16(Vector x, Vector y) { return _mm512_add_epi16(x, y); }
  static Vector shuffle8(Vector table, Vector index) { return _mm512_shuffle_epi8(table, index); }
  static Vector even(Vector x) { return _mm512_and_si512(x, _mm512_set1_epi16(255)); }
  static Vector odd(Vector x) { return _mm512_srli_epi16(x, 8); }
  static void pin(Vector& x) { __asm__("" : "+v"(x)); }
  static Vector table(const std::uint8_t* p) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "gram/popcount_lookup.inl"
