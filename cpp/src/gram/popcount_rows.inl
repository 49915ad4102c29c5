// Population counts of whole rows as plain loops; GCC and Clang use the level's own instructions
// for them. Included by popcount_<level>.cpp with LAZYGRAM_LEVEL set.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

// Bits set in each byte of x, by halving: works on any CPU and vectorises.
inline std::uint64_t byte_counts(std::uint64_t x) {
  x -= (x >> 1) & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  return (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
}

// Sum of the bytes of x, each at most 255.
inline std::uint64_t sum_bytes(std::uint64_t x) {
  x = (x & 0x00FF00FF00FF00FFu) + ((x >> 8) & 0x00FF00FF00FF00FFu);
  return (x * 0x0001000100010001u) >> 48;
}

template <typename Word>
std::int64_t count_words(std::int64_t words, Word word) {
  std::uint64_t total = 0;
  for (std::int64_t begin = 0; begin < words; begin += 31) {  // 31 * 8 fits a byte
    const std::int64_t end = begin + 31 < words ? begin + 31 : words;
    std::uint64_t bytes = 0;
    for (std::int64_t w = begin; w < end; ++w) bytes += byte_counts(word(w));
    total += sum_bytes(bytes);
  }
  return static_cast<std::int64_t>(total);
}

std::int64_t count(const std::uint64_t* a, std::int64_t words) {
  return count_words(words, [a](std::int64_t w) { return a[w]; });
}

std::int64_t count_xor(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words) {
  return count_words(words, [a, b](std::int64_t w) { return a[w] ^ b[w]; });
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL
