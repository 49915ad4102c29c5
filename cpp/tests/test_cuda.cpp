// CUDA counts equal the CPU's bit for bit; without a device or without CUDA the refusal is a clear
// error.
#include <cstdio>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "check.hpp"
#include "lazygram/cuda.hpp"
#include "lazygram/gram.hpp"

using namespace lazygram;

TEST(counts_equal_those_of_the_cpu) {
  for (const auto& [n, n2, width] : {std::tuple{1, 1, 1}, {33, 70, 1000}, {129, 31, 5000}}) {
    const std::int64_t words = pattern_words(width);
    std::vector<std::uint64_t> a(n * words), b(n2 * words);
    std::uint64_t state = 12345;
    for (auto* rows : {&a, &b}) {
      for (std::size_t k = 0; k < rows->size(); ++k) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const std::int64_t bit = static_cast<std::int64_t>(k) % words * 64;
        const std::int64_t room = width - bit;
        const std::uint64_t mask = room >= 64 ? ~std::uint64_t{0}
                                   : room > 0 ? (std::uint64_t{1} << room) - 1
                                              : 0;
        (*rows)[k] = (state ^ (state >> 29)) & mask;
      }
    }
    const ConstPatternsView va{a.data(), n, words, words}, vb{b.data(), n2, words, words};
    std::vector<std::int64_t> cpu(n * n2), gpu(n * n2);
    coactivation_counts(va, vb, {cpu.data(), n, n2, n2}, {});
    if (cuda_devices() == 0) {
      CHECK_THROWS(coactivation_counts_cuda(va, vb, {gpu.data(), n, n2, n2}), std::runtime_error);
      continue;
    }
    coactivation_counts_cuda(va, vb, {gpu.data(), n, n2, n2});
    CHECK(cpu == gpu);
  }
  std::printf("CUDA compiled: %s, devices: %d\n", cuda_compiled() ? "yes" : "no", cuda_devices());
}

int main() { return check::run(); }
