// Row kernels of pack.hpp for any CPU: see pack.inl.
#include <cstdint>

#include "patterns/pack.hpp"

#define LAZYGRAM_LEVEL baseline

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

template <typename T>
constexpr int kStep = 8;

template <typename T>
inline std::uint64_t sign_mask(const T* z) {
  std::uint64_t mask = 0;
  for (int k = 0; k < 8; ++k) mask |= static_cast<std::uint64_t>(z[k] >= T(0)) << k;
  return mask;
}

template <typename T>
inline void expand_mask(std::uint64_t mask, T value, T* out) {
  for (int k = 0; k < 8; ++k) out[k] = (mask >> k) & 1u ? value : T(0);
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL

#include "patterns/pack.inl"
