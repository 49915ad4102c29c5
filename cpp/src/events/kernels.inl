// Kernels of kernels.hpp that are the same source at every level, around level-specific primitives:
//   add_masked(word, v, lanes): the masked additions of one word, float (64 lanes) or double (32 lanes)
//   add_row, scan, select: whole functions
// Included by kernels_<level>.cpp, which defines those and LAZYGRAM_LEVEL.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

// Rows of different neurons are far apart: ask for a row this many neurons before it is summed.
constexpr std::int64_t kPrefetchRows = 8;

template <typename T, int lanes>
T reduce(T* sums) {
  for (int half = lanes / 2; half; half /= 2) {
    for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  return sums[0];
}

template <typename T>
void masked_sums(const std::uint64_t* bits, std::int64_t stride, std::int64_t words,
                 const std::uint32_t* ids, std::int64_t count, const T* v, T* out) {
  constexpr int lanes = sizeof(T) == 4 ? 64 : 32;
  for (std::int64_t e = 0; e < count; ++e) {
    if (e + kPrefetchRows < count) {
      const std::uint64_t* const ahead = bits + ids[e + kPrefetchRows] * stride;
      for (std::int64_t w = 0; w < words; w += 8) __builtin_prefetch(ahead + w);
    }
    const std::uint64_t* const row = bits + ids[e] * stride;
    Lanes<T> sums;
    for (std::int64_t w = 0; w < words; ++w) sums.add(row[w], v + 64 * w);
    alignas(64) T total[lanes];
    sums.store(total);
    out[e] = reduce<T, lanes>(total);
  }
}

RowSums row_sums(const double* k, const std::int32_t* c, const double* g, std::int64_t count) {
  constexpr int lanes = 16;
  double drift[lanes] = {}, up[lanes] = {}, down[lanes] = {};
  for (std::int64_t i = 0; i < count; i += lanes) {
    for (int l = 0; l < lanes; ++l) {
      const double t = k[i + l] * g[i + l];
      drift[l] += static_cast<double>(c[i + l]) * t;
      up[l] += t > 0.0 ? t : 0.0;
      down[l] += t < 0.0 ? -t : 0.0;
    }
  }
  return {reduce<double, lanes>(drift), reduce<double, lanes>(up), reduce<double, lanes>(down)};
}

}  // namespace

extern const EventKernels event_kernels = {
    masked_sums<float>, masked_sums<double>, add_row, scan, select<float>, select<double>, row_sums};

}  // namespace lazygram::LAZYGRAM_LEVEL
