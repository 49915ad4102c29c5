// Co-activation counts by nibble look-ups (VPSHUFB), for CPUs without a vector population count.
//
// For a nibble r of a row and a nibble c of a column, popcount(r & c) is entry c of a 16-byte table
// chosen by r. The columns of a block are transposed to byte-columns, so one vector holds the same
// nibble of 32 or 64 columns and one shuffle counts 4 bits of each. Counters are bytes, widened to
// 16 bits before they overflow.
//
//   instruction     Haswell..Skylake   Ice Lake   Zen 2..4   (256-bit, per cycle)
//   VPSHUFB         1 (p5)             2          2
//   VPADDB          3                  3          3..4
//   VBROADCASTI128  2 loads            2          2
// Two operations per 4 x lanes bit-products: at most 128 (one shuffle a cycle) or 256 per cycle and
// core.
//
// Included by popcount_<level>.cpp, which defines LAZYGRAM_LEVEL and a struct Simd with: Vector,
// kBytes, load, store, zero, add8, add16, shuffle8, table (16 bytes to every 128-bit lane), even
// and odd (the bytes at even and odd positions, widened to 16 bits), pin (an empty assembly
// statement that keeps a value in a register).

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

constexpr int kRows = 4;     // rows of a register block
constexpr int kVectors = 2;  // column vectors of a register block
constexpr int kCols = kVectors * Simd::kBytes;
constexpr int kFlush = 28;  // bytes between widenings: 28 * 8 = 224 fits a byte
constexpr int kChunkBytes =
    112;  // bytes of a row per pass: 4 widenings; the columns of a pass fit level 1
constexpr int kTileRows = 128;  // rows whose 16-bit counters are kept at once

// kTable[v] holds the two 16-byte tables of byte v: first of its low nibble, then of its high
// nibble.
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
inline void transpose16(const std::uint8_t* const (&in)[16], std::int64_t offset,
                        __m128i (&x)[16]) {
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
        _mm_store_si128(reinterpret_cast<__m128i*>(out.low[p + c] + j0),
                        _mm_and_si128(x[c], nibble));
        _mm_store_si128(reinterpret_cast<__m128i*>(out.high[p + c] + j0),
                        _mm_and_si128(_mm_srli_epi16(x[c], 4), nibble));
      }
    }
  }
}

// 16-bit counters of one row: for every column vector those of its even columns, then of its odd
// ones.
struct Counters {
  alignas(64) std::uint16_t value[kVectors][2][Simd::kBytes / 2];
};

// Adds the co-activations of kRows rows with all columns over `bytes` bytes.
void block(const std::uint8_t* const (&rows)[kRows], const Columns& columns, int bytes,
           Counters* const (&counters)[kRows]) {
  using V = Simd::Vector;
  for (int begin = 0; begin < bytes; begin += kFlush) {
    const int end = begin + kFlush < bytes ? begin + kFlush : bytes;
    V acc[kRows][kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) acc[i][v] = Simd::zero();
    }
    for (int p = begin; p < end; ++p) {
      // One half of the byte after the other: 8 counters, 2 columns and a table then fit 16
      // registers.
      for (int half = 0; half < 2; ++half) {
        const auto& nibbles = half ? columns.high : columns.low;
        V c[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) c[v] = Simd::load(nibbles[p] + v * Simd::kBytes);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) {
          const V table = Simd::table(kTable.entry[rows[i][p]] + 16 * half);
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) {
            acc[i][v] = Simd::add8(acc[i][v], Simd::shuffle8(table, c[v]));
            // Left alone, GCC adds the two halves first, runs out of registers and spills the
            // counters.
            Simd::pin(acc[i][v]);
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        std::uint16_t* const even = counters[i]->value[v][0];
        std::uint16_t* const odd = counters[i]->value[v][1];
        Simd::store(even, Simd::add16(Simd::load(even), Simd::even(acc[i][v])));
        Simd::store(odd, Simd::add16(Simd::load(odd), Simd::odd(acc[i][v])));
      }
    }
  }
}

// Moves the 16-bit counters into the 64-bit ones and clears them.
void drain(Counters* counters, int rows, int cols, std::int64_t* counts, std::int64_t ldc) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      const int in_vector = j % Simd::kBytes;
      counts[i * ldc + j] += counters[i].value[j / Simd::kBytes][in_vector % 2][in_vector / 2];
    }
    counters[i] = Counters{};
  }
}

void coactivation(const std::uint64_t* a, std::int64_t a_stride, int na, const std::uint64_t* b,
                  std::int64_t b_stride, int nb, std::int64_t words, bool upper_only,
                  std::int64_t* counts, std::int64_t ldc) {
  static thread_local Columns columns;
  static thread_local Counters
      counters[kTileRows + 1];  // the last takes what missing rows would count
  constexpr std::int64_t drain_every = (65535 / (8 * kChunkBytes)) * kChunkBytes;
  const std::int64_t bytes = 8 * words;
  for (int j0 = 0; j0 < nb; j0 += kCols) {
    const int cols = nb - j0 < kCols ? nb - j0 : kCols;
    const int all_rows = upper_only && j0 + cols < na ? j0 + cols : na;
    for (int row0 = 0; row0 < all_rows; row0 += kTileRows) {
      const int rows = all_rows - row0 < kTileRows ? all_rows - row0 : kTileRows;
      std::int64_t* const out = counts + row0 * ldc + j0;
      for (std::int64_t begin = 0; begin < bytes; begin += kChunkBytes) {
        if (begin && begin % drain_every == 0) drain(counters, rows, cols, out, ldc);
        const int size =
            static_cast<int>(begin + kChunkBytes < bytes ? kChunkBytes : bytes - begin);
        transpose(b + j0 * b_stride, b_stride, cols, begin, size, columns);
        for (int i0 = 0; i0 < rows; i0 += kRows) {
          const std::uint8_t* ai[kRows];
          Counters* ci[kRows];
          for (int i = 0; i < kRows; ++i) {
            const bool there = i0 + i < rows;
            const std::uint64_t* const row = a + (row0 + i0 + (there ? i : 0)) * a_stride;
            ai[i] = reinterpret_cast<const std::uint8_t*>(row) + begin;
            ci[i] = &counters[there ? i0 + i : kTileRows];
          }
          block(ai, columns, size, ci);
        }
      }
      drain(counters, rows, cols, out, ldc);
    }
  }
}

}  // namespace

extern const PopcountKernels popcount = {coactivation, count, count_xor};

}  // namespace lazygram::LAZYGRAM_LEVEL
