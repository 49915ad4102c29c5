// Kernels of kernels.hpp on any CPU: a table turns eight bits into eight lane masks.
#include <cstdint>
#include <cstring>

#include "events/kernels.hpp"

#define LAZYGRAM_LEVEL baseline

#include "events/fold.inl"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename Mask>
struct ByteMasks {
  Mask mask[256][8] = {};
  constexpr ByteMasks() {
    for (int byte = 0; byte < 256; ++byte) {
      for (int bit = 0; bit < 8; ++bit)
        mask[byte][bit] = (byte >> bit) & 1 ? Mask(~Mask(0)) : Mask(0);
    }
  }
};
constexpr ByteMasks<std::uint16_t> kMasks16;
constexpr ByteMasks<std::uint64_t> kMasks64;

// Adds v & mask lane by lane: eight values of T for the eight bits of a byte.
template <typename T, typename Mask>
void add_byte(const Mask (&mask)[8], const T* v, T* sums) {
  Mask value[8];
  std::memcpy(value, v, sizeof value);
  for (int l = 0; l < 8; ++l) value[l] &= mask[l];
  T masked[8];
  std::memcpy(masked, value, sizeof value);
  for (int l = 0; l < 8; ++l) sums[l] = static_cast<T>(sums[l] + masked[l]);
}

template <typename T>
struct Lanes {
  static constexpr int count = sizeof(T) == 2 ? 64 : 32;
  T s[count] = {};
  void add(const std::uint64_t* at_word, const T* v) {
    const std::uint64_t word = *at_word;
    for (int q = 0; q < 8; ++q) {
      const int byte = static_cast<int>((word >> (8 * q)) & 255u);
      if constexpr (sizeof(T) == 2) {
        add_byte(kMasks16.mask[byte], v + 8 * q, s + 8 * q);
      } else {
        add_byte(kMasks64.mask[byte], v + 8 * q, s + 8 * (q % 4));
      }
    }
  }
  auto total() const {
    if constexpr (sizeof(T) == 2) {
      std::int32_t sum = 0;
      for (int l = 0; l < count; ++l) sum += s[l];
      return sum;
    } else {
      T sums[count];
      std::memcpy(sums, s, sizeof s);
      return fold<count>(sums);
    }
  }
};

void add_row(const std::uint64_t* row, std::int64_t words, std::int16_t sign, std::int16_t* acc) {
  for (std::int64_t w = 0; w < words; ++w) {
    for (int q = 0; q < 8; ++q) {
      const std::uint16_t(&mask)[8] = kMasks16.mask[(row[w] >> (8 * q)) & 255u];
      std::int16_t* const at = acc + 64 * w + 8 * q;
      for (int l = 0; l < 8; ++l) {
        at[l] = static_cast<std::int16_t>(
            at[l] + static_cast<std::int16_t>(mask[l] & static_cast<std::uint16_t>(sign)));
      }
    }
  }
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "events/kernels_scalar.inl"
#include "events/kernels_table.inl"
