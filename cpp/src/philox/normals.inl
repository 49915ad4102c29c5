// Philox 4x32-10 and Box-Muller as plain loops over kNormalBlocks, vectorised by the compiler at
// each level.
//
// Included by normals_<level>.cpp with LAZYGRAM_LEVEL set to the level's namespace. Contraction
// into fused multiply-adds is off for these sources, so the loops give the same bits at every
// level.

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "philox/normals.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

constexpr int N = kNormalBlocks;

// 64-bit lanes that each hold one 32-bit word, which is how x86 multiplies 32 x 32 -> 64: the low
// halves of two lanes give a full lane (PMULUDQ). The compiler does not find that instruction in
// plain loops.
#if defined(__AVX512F__)
using Lanes = __m512i;
inline Lanes multiply(Lanes x, std::uint64_t m) {
  return _mm512_mul_epu32(x, _mm512_set1_epi64(static_cast<long long>(m)));
}
#elif defined(__AVX2__)
using Lanes = __m256i;
inline Lanes multiply(Lanes x, std::uint64_t m) {
  return _mm256_mul_epu32(x, _mm256_set1_epi64x(static_cast<long long>(m)));
}
#elif defined(__SSE2__)
using Lanes = __m128i;
inline Lanes multiply(Lanes x, std::uint64_t m) {
  return _mm_mul_epu32(x, _mm_set1_epi64x(static_cast<long long>(m)));
}
#else
typedef long long Lanes __attribute__((vector_size(16)));
inline Lanes multiply(Lanes x, std::uint64_t m) {
  return (x & 0xFFFFFFFFll) * static_cast<long long>(m);
}
#endif
constexpr int kLanes = sizeof(Lanes) / sizeof(std::uint64_t);
typedef std::uint64_t Words __attribute__((vector_size(sizeof(Lanes))));

// One round maps (c0, c1, c2, c3) to (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0
// c0)). The upper half of a lane is ignored by the next multiplication, so lo(...) needs no mask
// until the end.
void philox_rounds(std::uint64_t key, std::uint64_t (&c0)[N], std::uint64_t (&c1)[N],
                   std::uint64_t (&c2)[N], std::uint64_t (&c3)[N]) {
  constexpr std::uint64_t low = 0xFFFFFFFFu;
  for (int b = 0; b < N; b += kLanes) {
    Words x0, x1, x2, x3;
    std::memcpy(&x0, c0 + b, sizeof x0);
    std::memcpy(&x1, c1 + b, sizeof x1);
    std::memcpy(&x2, c2 + b, sizeof x2);
    std::memcpy(&x3, c3 + b, sizeof x3);
    std::uint64_t k0 = key & low, k1 = key >> 32;
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Words p0 = (Words)multiply((Lanes)x0, 0xD2511F53u);
      const Words p1 = (Words)multiply((Lanes)x2, 0xCD9E8D57u);
      x0 = (p1 >> 32) ^ x1 ^ k0;
      x1 = p1;
      x2 = (p0 >> 32) ^ x3 ^ k1;
      x3 = p0;
      k0 = (k0 + 0x9E3779B9u) & low;
      k1 = (k1 + 0xBB67AE85u) & low;
    }
    x0 &= low;
    x1 &= low;
    x2 &= low;
    x3 &= low;
    std::memcpy(c0 + b, &x0, sizeof x0);
    std::memcpy(c1 + b, &x1, sizeof x1);
    std::memcpy(c2 + b, &x2, sizeof x2);
    std::memcpy(c3 + b, &x3, sizeof x3);
  }
}

inline double as_double(std::uint64_t bits) { return __builtin_bit_cast(double, bits); }
inline std::uint64_t as_bits(double value) { return __builtin_bit_cast(std::uint64_t, value); }

// -2 log(u) for u in (0, 1): u = 2^e f with f in [sqrt(1/2), sqrt(2)), log f = 2 artanh(s), s =
// (f-1)/(f+1); the series in z = s^2 <= 0.0295 is cut where its terms fall below 1e-17. The bits of
// sqrt(1/2) are subtracted first so that e and f come out without a comparison; 64 keeps the
// exponent field positive.
inline double minus_two_log(double u) {
  constexpr std::uint64_t root_half = 0x3FE6A09E667F3BCDu;
  const std::uint64_t shifted = as_bits(u) - root_half + (std::uint64_t{64} << 52);
  const double e = as_double((shifted >> 52) | 0x4330000000000000u) - (4503599627370496.0 + 64.0);
  const double f = as_double((shifted & 0x000FFFFFFFFFFFFFu) + root_half);
  const double s = (f - 1.0) / (f + 1.0);
  const double z = s * s;
  double p = 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  p = p * z + 1.0;
  return -2.0 * (e * 0.69314718055994530942 + 2.0 * s * p);
}

// Taylor series on |x| <= pi/4, cut below 1e-17.
inline double sine(double x) {
  const double z = x * x;
  double p = -1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return x + x * (z * p);
}
inline double cosine(double x) {
  const double z = x * x;
  double p = 1.0 / 20922789888000.0;
  p = p * z - 1.0 / 87178291200.0;
  p = p * z + 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  p = p * z - 0.5;
  return 1.0 + z * p;
}

// 64 random bits to two normals: the upper 36 bits give u = (k + 1/2) / 2^36, the lower 28 the
// angle, as a quadrant (2 bits) and a position in it.
void box_muller(const std::uint64_t* high, const std::uint64_t* low, double* first,
                double* second) {
  for (int b = 0; b < N; ++b) {
    const std::uint64_t word = (high[b] << 32) | low[b];
    const double u =
        as_double(((word >> 28) << 16) | 0x3FF0000000000000u) - (1.0 - 7.275957614183426e-12);
    const double radius = __builtin_sqrt(minus_two_log(u));
    const double turn = as_double(((word & 0x3FFFFFFu) << 26) | 0x3FF0000000000000u) -
                        (1.5 - 7.450580596923828e-09);
    const double x = turn * 1.5707963267948966;
    const std::uint64_t c = as_bits(cosine(x));
    const std::uint64_t s = as_bits(sine(x));
    const std::uint64_t odd = (word >> 26) & 1u;
    const std::uint64_t half = (word >> 27) & 1u;
    const std::uint64_t swap = 0u - odd;
    first[b] = radius * as_double(((c & ~swap) | (s & swap)) ^ ((odd ^ half) << 63));
    second[b] = radius * as_double(((s & ~swap) | (c & swap)) ^ (half << 63));
  }
}

}  // namespace

void normals(std::uint64_t key, std::uint32_t stream, const std::uint32_t* c0,
             const std::uint32_t* c1, const std::uint32_t* c2, double* out) {
  alignas(64) std::uint64_t x0[N], x1[N], x2[N], x3[N];
  for (int b = 0; b < N; ++b) {
    x0[b] = c0[b];
    x1[b] = c1[b];
    x2[b] = c2[b];
    x3[b] = stream;
  }
  philox_rounds(key, x0, x1, x2, x3);
  alignas(64) double n0[N], n1[N], n2[N], n3[N];
  box_muller(x1, x0, n0, n1);
  box_muller(x3, x2, n2, n3);
  for (int b = 0; b < N; ++b) {
    out[4 * b] = n0[b];
    out[4 * b + 1] = n1[b];
    out[4 * b + 2] = n2[b];
    out[4 * b + 3] = n3[b];
  }
}

}  // namespace lazygram::LAZYGRAM_LEVEL
