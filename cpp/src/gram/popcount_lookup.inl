// Co-activation counts by nibble look-ups (VPSHUFB), for CPUs without a vector population count.
//
// For a nibble r of a row and a nibble c of a column, popcount(r & c) is entry c of a 16-byte table chosen by
// r. The columns of a block are transposed to byte-columns, so one vector holds the same nibble of 32 or 64
// columns and one shuffle counts 4 bits of each. Counters are bytes, widened to 16 bits before they overflow.
//
//   instruction     Haswell..Skylake   Ice Lake   Zen 2..4   (256-bit, per cycle)
//   VPSHUFB         1 (p5)             2          2
//   VPADDB          3                  3          3..4
//   VBROADCASTI128  2 loads            2          2
// Two operations per 4 x lanes bit-products: at most 128 (one shuffle a cycle) or 256 per cycle and core.
//
// Included by popcount_<level>.cpp, which defines LAZYGRAM_LEVEL and a struct Simd with: Vector, kBytes,
// load, store, zero, add8, add16, shuffle8, table (16 bytes to every 128-bit lane), even and odd (the bytes at even
// and odd positions, widened to 16 bits).

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

constexpr int kRows = 4;               // rows of a register block
constexpr int kVectors = 2;            // column vectors of a register block
constexpr int kCols = kVectors * Simd::kBytes;
constexpr int kChunkBytes = 496;       // bytes of a row per pass: 16 flushes of 31 bytes; 3968 bits fit 16
constexpr int kFlush = 31;             // bytes between widenings: 31 * 8 = 248 fits a byte

// kTable[v] holds the two 16-byte tables of byte v: first of its low nibble, then of its high nibble.
struct Tables {
  alignas(64) std::uint8_t entry[256][32];
  constexpr Tables() : entry() {
    for (int v = 0; v < 256; ++v) {
      for (int c = 0; c < 16; ++c) {
        entry[v][c] = bits((v & 15) & c);
        entry[v][16 + c] = bits((v >> 4) & c);
      }
    }
  }
  static constexpr std::uint8_t bits(int x) {
    return static_cast<std::uint8_t>((x & 1) + ((x >> 1) & 1) + ((x >> 2) & 1) + ((x >> 3) & 1));
  }
};
constexpr Tables kTable;

// Low and high nibbles of kChunkBytes byte-columns of up to kCols rows; missing rows are zero.
struct Columns {
  alignas(64) std::uint8_t low[kChunkBytes][kCols];
  alignas(64) std::uint8_t high[kChunkBytes][kCols];
};

// 16 x 16 bytes: out[c][r] = in[r][c], by four rounds of byte interleaving.
inline void transpose16(const std::uint8_t* const (&in)[16], std::int64_t offset, __m128i (&x)[16]) {
  for (int r = 0; r < 16; ++r) {
    x[r] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in[r] + offset));
  }
  for (int round = 0; round < 4; ++round) {
    __m128i y[16];
    for (int k = 0; k < 8; ++k) {
      y[2 * k] = _mm_unpacklo_epi8(x[k], x[k + 8]);
      y[2 * k + 1] = _mm_unpackhi_epi8(x[k], x[k + 8]);
    }
    for (int k = 0; k < 16; ++k) x[k] = y[k];
  }
}

void transpose(const std::uint64_t* b, std::int64_t b_stride, int nb, std::int64_t byte_begin,
               int bytes, Columns& out) {
  alignas(16) static const std::uint8_t zeros[kChunkBytes] = {};
  const __m128i nibble = _mm_set1_epi8(15);
  for (int j0 = 0; j0 < kCols; j0 += 16) {
    const std::uint8_t* rows[16];
    for (int r = 0; r < 16; ++r) {
      rows[r] = j0 + r < nb
                    ? reinterpret_cast<const std::uint8_t*>(b + (j0 + r) * b_stride) + byte_begin
                    : zeros;
    }
    for (int p = 0; p < bytes; p += 16) {
      __m128i x[16];
      transpose16(rows, p, x);
      for (int c = 0; c < 16; ++c) {
        _mm_store_si128(reinterpret_cast<__m128i*>(out.low[p + c] + j0), _mm_and_si128(x[c], nibble));
        _mm_store_si128(reinterpret_cast<__m128i*>(out.high[p + c] + j0),
                        _mm_and_si128(_mm_srli_epi16(x[c], 4), nibble));
      }
    }
  }
}

// sums[i][j] = co-activations of row i and column j over `bytes` bytes.
void block(const std::uint8_t* const (&rows)[kRows], const Columns& columns, int bytes,
           std::uint16_t (&sums)[kRows][kCols]) {
  using V = Simd::Vector;
  V low[kRows][kVectors], high[kRows][kVectors];  // 16-bit counters of even and odd columns
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) low[i][v] = high[i][v] = Simd::zero();
  }
  for (int begin = 0; begin < bytes; begin += kFlush) {
    const int end = begin + kFlush < bytes ? begin + kFlush : bytes;
    V acc[kRows][kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) acc[i][v] = Simd::zero();
    }
    for (int p = begin; p < end; ++p) {
      V cl[kVectors], ch[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        cl[v] = Simd::load(columns.low[p] + v * Simd::kBytes);
        ch[v] = Simd::load(columns.high[p] + v * Simd::kBytes);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const std::uint8_t* table = kTable.entry[rows[i][p]];
        const V tl = Simd::table(table);
        const V th = Simd::table(table + 16);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          acc[i][v] = Simd::add8(acc[i][v], Simd::shuffle8(tl, cl[v]));
          acc[i][v] = Simd::add8(acc[i][v], Simd::shuffle8(th, ch[v]));
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        low[i][v] = Simd::add16(low[i][v], Simd::even(acc[i][v]));
        high[i][v] = Simd::add16(high[i][v], Simd::odd(acc[i][v]));
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      alignas(64) std::uint16_t even[Simd::kBytes / 2], odd[Simd::kBytes / 2];
      Simd::store(even, low[i][v]);
      Simd::store(odd, high[i][v]);
      for (int k = 0; k < Simd::kBytes / 2; ++k) {
        sums[i][v * Simd::kBytes + 2 * k] = even[k];
        sums[i][v * Simd::kBytes + 2 * k + 1] = odd[k];
      }
    }
  }
}

void coactivation(const std::uint64_t* a, std::int64_t a_stride, int na, const std::uint64_t* b,
                  std::int64_t b_stride, int nb, std::int64_t words, bool upper_only,
                  std::int64_t* counts, std::int64_t ldc) {
  static thread_local Columns columns;
  const std::int64_t bytes = 8 * words;
  for (int j0 = 0; j0 < nb; j0 += kCols) {
    const int cols = nb - j0 < kCols ? nb - j0 : kCols;
    const int row_end = upper_only && j0 + cols < na ? j0 + cols : na;
    for (std::int64_t begin = 0; begin < bytes; begin += kChunkBytes) {
      const int size = static_cast<int>(begin + kChunkBytes < bytes ? kChunkBytes : bytes - begin);
      transpose(b + j0 * b_stride, b_stride, cols, begin, size, columns);
      for (int i0 = 0; i0 < row_end; i0 += kRows) {
        const int rows = row_end - i0 < kRows ? row_end - i0 : kRows;
        const std::uint8_t* ai[kRows];
        for (int i = 0; i < kRows; ++i) {
          ai[i] = reinterpret_cast<const std::uint8_t*>(a + (i0 + (i < rows ? i : 0)) * a_stride) +
                  begin;
        }
        std::uint16_t sums[kRows][kCols];
        block(ai, columns, size, sums);
        for (int i = 0; i < rows; ++i) {
          std::int64_t* out = counts + (i0 + i) * ldc + j0;
          for (int j = 0; j < cols; ++j) out[j] += sums[i][j];
        }
      }
    }
  }
}

}  // namespace

extern const PopcountKernels popcount = {coactivation, count, count_xor};

}  // namespace lazygram::LAZYGRAM_LEVEL
