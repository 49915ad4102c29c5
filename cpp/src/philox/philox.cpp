// Philox blocks, and the random initial network made of them.
#include "lazygram/philox.hpp"

#include <algorithm>

#include "lazygram/isa.hpp"
#include "philox/normals.hpp"

namespace lazygram {
namespace {

const IsaTable<NormalsFunction> kNormals = {
    baseline::normals,
#ifdef LAZYGRAM_X86
    avx2::normals,
    avx512::normals,
#endif
};

// Walks the blocks of rows begin .. begin+count-1 in order, kNormalBlocks at a time.
template <typename T>
void fill_rows(std::uint64_t seed, std::int64_t dim, std::int64_t begin, std::int64_t count, T* out,
               std::int64_t stride) {
  const NormalsFunction normals = kNormals.pick();
  const std::int64_t blocks_per_row = ceil_div(dim, 4);
  alignas(64) std::uint32_t c0[kNormalBlocks], c1[kNormalBlocks], c2[kNormalBlocks];
  alignas(64) double values[4 * kNormalBlocks];
  T* target[kNormalBlocks];
  std::int64_t row = 0, block = 0;
  while (row < count) {
    int filled = 0;
    for (; filled < kNormalBlocks && row < count; ++filled) {
      const std::uint64_t global = static_cast<std::uint64_t>(begin + row);
      c0[filled] = static_cast<std::uint32_t>(block);
      c1[filled] = static_cast<std::uint32_t>(global);
      c2[filled] = static_cast<std::uint32_t>(global >> 32);
      target[filled] = out + row * stride + 4 * block;
      if (++block == blocks_per_row) {
        block = 0;
        ++row;
      }
    }
    for (int b = filled; b < kNormalBlocks; ++b) c0[b] = c1[b] = c2[b] = 0;
    normals(seed, static_cast<std::uint32_t>(Stream::weights), c0, c1, c2, values);
    for (int b = 0; b < filled; ++b) {
      const std::int64_t room =
          std::min<std::int64_t>(4, stride - 4 * static_cast<std::int64_t>(c0[b]));
      if (room == 4) {
        for (int k = 0; k < 4; ++k) target[b][k] = static_cast<T>(values[4 * b + k]);
      } else {
        for (int k = 0; k < room; ++k) target[b][k] = static_cast<T>(values[4 * b + k]);
      }
    }
  }
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

template <typename T>
void RandomNetwork::weights(std::int64_t begin, std::int64_t count, T* out,
                            std::int64_t stride) const {
  const std::int64_t half = antisymmetric ? width / 2 : width;
  // Rows from `half` on repeat the first half; a chunk may straddle the seam.
  const std::int64_t end = begin + count;
  const std::int64_t first_end = std::min(end, half);
  if (begin < first_end) fill_rows(seed, dim, begin, first_end - begin, out, stride);
  const std::int64_t second_begin = std::max(begin, half);
  if (second_begin < end) {
    fill_rows(seed, dim, second_begin - half, end - second_begin,
              out + (second_begin - begin) * stride, stride);
  }
}

template <typename T>
void RandomNetwork::signs(std::int64_t begin, std::int64_t count, T* out,
                          std::uint32_t output) const {
  const std::int64_t half = antisymmetric ? width / 2 : width;
  const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(seed),
                                            static_cast<std::uint32_t>(seed >> 32)};
  std::array<std::uint32_t, 4> bits{};
  std::uint64_t current = ~std::uint64_t{0};
  for (std::int64_t i = 0; i < count; ++i) {
    const bool mirrored = begin + i >= half;
    const std::uint64_t r = static_cast<std::uint64_t>(mirrored ? begin + i - half : begin + i);
    const std::uint64_t block = r / 128;  // one block holds 128 signs
    if (block != current) {
      bits = philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                         output, static_cast<std::uint32_t>(Stream::signs)},
                        key);
      current = block;
    }
    const bool positive = (bits[(r / 32) % 4] >> (r % 32)) & 1u;
    out[i] = positive != mirrored ? T(1) : T(-1);
  }
}

template void RandomNetwork::weights(std::int64_t, std::int64_t, float*, std::int64_t) const;
template void RandomNetwork::weights(std::int64_t, std::int64_t, double*, std::int64_t) const;
template void RandomNetwork::signs(std::int64_t, std::int64_t, float*, std::uint32_t) const;
template void RandomNetwork::signs(std::int64_t, std::int64_t, double*, std::uint32_t) const;

}  // namespace lazygram
