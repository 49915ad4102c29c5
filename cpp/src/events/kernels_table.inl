// Kernels of kernels.hpp that are the same source at every level, around level-specific primitives:
//   Lanes<T>: partial sums, 64 of 16-bit integers or 32 of double; add(word, v) adds the masked
//   values of one
//     word, total() adds them up, the doubles as `fold` does
//   add_row, scan, advance_slack, select: whole functions
// Included by kernels_<level>.cpp, which defines those and LAZYGRAM_LEVEL.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

// Rows of different neurons are far apart: ask for a row this many neurons before it is summed.
constexpr std::int64_t kPrefetchRows = 8;

template <typename T, typename Sum>
void masked_sums(const std::uint64_t* bits, std::int64_t stride, std::int64_t words,
                 const std::uint32_t* ids, std::int64_t count, const T* v, Sum* out) {
  for (std::int64_t e = 0; e < count; ++e) {
    if (e + kPrefetchRows < count) {
      const std::uint64_t* const ahead = bits + ids[e + kPrefetchRows] * stride;
      for (std::int64_t w = 0; w < words; w += 8) __builtin_prefetch(ahead + w);
    }
    const std::uint64_t* const row = bits + ids[e] * stride;
    Lanes<T> sums;
    for (std::int64_t w = 0; w < words; ++w) sums.add(row + w, v + 64 * w);
    out[e] = sums.total();
  }
}

RowSums row_sums(const double* k, const std::int32_t* c, const double* g, const double* moved,
                 std::int64_t count) {
  constexpr int lanes = 16;
  double drift[lanes] = {}, up[lanes] = {}, down[lanes] = {};
  for (std::int64_t i = 0; i < count; i += lanes) {
    for (int l = 0; l < lanes; ++l) {
      drift[l] += static_cast<double>(c[i + l]) * (k[i + l] * g[i + l]);
      const double t = k[i + l] * moved[i + l];
      up[l] += t > 0.0 ? t : 0.0;
      down[l] += t < 0.0 ? -t : 0.0;
    }
  }
  return {fold<lanes>(drift), fold<lanes>(up), fold<lanes>(down)};
}

void products(const double* k, const double* s, std::int64_t count, double* v) {
  for (std::int64_t i = 0; i < count; ++i) v[i] = k[i] * s[i];
}

ShortForm to_short(const double* v, std::int64_t count, std::int16_t* shorts) {
  constexpr int lanes = kShortLanes;
  alignas(64) double sums[lanes] = {};
  for (std::int64_t i = 0; i < count; i += lanes) {
    for (int l = 0; l < lanes; ++l) sums[l] += v[i + l] < 0 ? -v[i + l] : v[i + l];
  }
  double largest = 1e-280;
  for (int l = 0; l < lanes; ++l) largest = sums[l] > largest ? sums[l] : largest;
  // Half a unit of rounding for each value included.
  const double unit = largest / (32760.0 - 0.5 * static_cast<double>(count / lanes));
  const double inverse_unit = 1.0 / unit;
  alignas(64) double errors[16] = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    for (int l = 0; l < 16; ++l) {
      const double scaled = v[i + l] * inverse_unit;
      const double rounded = (scaled + 0x1.8p52) - 0x1.8p52;
      shorts[i + l] = static_cast<std::int16_t>(static_cast<std::int32_t>(rounded));
      const double error = scaled - rounded;
      errors[l] += error < 0 ? -error : error;
    }
  }
  return {unit, fold<16>(errors) * unit, fold<lanes>(sums)};
}

template <typename Count>
PairSums pair_sums(const double* k, const Count* c, std::int64_t count, const double* g1,
                   const double* g2, double at1, double at2, double* sums1, double* sums2) {
  constexpr int lanes = 16;
  double first[lanes] = {}, second[lanes] = {};
  for (std::int64_t i = 0; i < count; i += lanes) {
    double t[lanes];
    for (int l = 0; l < lanes; ++l) {
      t[l] = k[i + l] * static_cast<double>(c[i + l]);
      first[l] += t[l] * g2[i + l];
      second[l] += t[l] * g1[i + l];
    }
    for (int l = 0; l < lanes; ++l) sums1[i + l] += t[l] * at2;
    for (int l = 0; l < lanes; ++l) sums2[i + l] += t[l] * at1;
  }
  return {fold<lanes>(first), fold<lanes>(second)};
}

void add_row_wide(const std::uint64_t* row, std::int64_t words, std::int64_t value,
                  std::int64_t* acc) {
  for (std::int64_t w = 0; w < words; ++w) {
    const std::uint64_t word = row[w];
    std::int64_t* const at = acc + 64 * w;
    for (int l = 0; l < 64; ++l) {
      at[l] += value & -static_cast<std::int64_t>((word >> l) & 1u);
    }
  }
}

}  // namespace

extern const EventKernels event_kernels = {masked_sums<std::int16_t, std::int32_t>,
                                           masked_sums<double, double>,
                                           add_row,
                                           add_row_wide,
                                           scan,
                                           advance_slack,
                                           select<float>,
                                           select<double>,
                                           row_sums,
                                           products,
                                           to_short,
                                           pair_sums<std::int32_t>,
                                           pair_sums<std::int64_t>};

}  // namespace lazygram::LAZYGRAM_LEVEL
