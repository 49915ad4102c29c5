// Row kernels of pack.hpp around two level-specific primitives:
//   sign_mask(z): LAZYGRAM_STEP sign bits of LAZYGRAM_STEP consecutive values (step is 8, 16, 32 or
//   64) expand_mask(mask, value, out): the reverse
// Included by pack_<level>.cpp, which defines those and LAZYGRAM_LEVEL.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
void pack(const T* z, std::int64_t count, std::uint64_t* bits) {
  constexpr int step = kStep<T>;
  const std::int64_t whole = count / 64;
  for (std::int64_t w = 0; w < whole; ++w) {
    std::uint64_t word = 0;
    for (int k = 0; k < 64; k += step) word |= sign_mask(z + 64 * w + k) << k;
    bits[w] = word;
  }
  if (count % 64) {
    std::uint64_t word = 0;
    for (std::int64_t k = 64 * whole; k < count; ++k) {
      word |= static_cast<std::uint64_t>(z[k] >= T(0)) << (k % 64);
    }
    bits[whole] = word;
  }
}

template <typename T>
double readout(const T* z, const T* a, std::int64_t count) {
  constexpr int lanes = 32;  // partial sums: fills the widest registers twice, fixed order
  double sums[lanes] = {};
  std::int64_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    for (int l = 0; l < lanes; ++l) {
      const T s = z[k + l] < T(0) ? T(0) : z[k + l];  // NaN stays NaN: an overflow must show
      sums[l] += static_cast<double>(a[k + l]) * static_cast<double>(s);
    }
  }
  for (int l = 0; k < count; ++k, ++l) {
    const T s = z[k] < T(0) ? T(0) : z[k];
    sums[l] += static_cast<double>(a[k]) * static_cast<double>(s);
  }
  for (int half = lanes / 2; half; half /= 2) {
    for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  return sums[0];
}

template <typename T>
void expand(const std::uint64_t* bits, std::int64_t count, T value, T* out) {
  constexpr int step = kStep<T>;
  const std::int64_t whole = count / 64;
  for (std::int64_t w = 0; w < whole; ++w) {
    for (int k = 0; k < 64; k += step) expand_mask(bits[w] >> k, value, out + 64 * w + k);
  }
  for (std::int64_t k = 64 * whole; k < count; ++k) {
    out[k] = (bits[whole] >> (k % 64)) & 1u ? value : T(0);
  }
}

}  // namespace

extern const PackKernels<float> pack_float = {pack<float>, readout<float>, expand<float>};
extern const PackKernels<double> pack_double = {pack<double>, readout<double>, expand<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
