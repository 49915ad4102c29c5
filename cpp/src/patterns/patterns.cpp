// Produces packed activation patterns panel by panel; counts and compares them.
#include "lazygram/patterns.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "gram/popcount.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/isa.hpp"
#include "patterns/pack.hpp"

namespace lazygram {

template <>
const PackKernels<float>& pack_kernels<float>() {
  static const IsaTable<const PackKernels<float>*> table = {
      &baseline::pack_float,
#ifdef LAZYGRAM_X86
      &avx2::pack_float,
      &avx512::pack_float,
#endif
  };
  return *table.pick();
}

template <>
const PackKernels<double>& pack_kernels<double>() {
  static const IsaTable<const PackKernels<double>*> table = {
      &baseline::pack_double,
#ifdef LAZYGRAM_X86
      &avx2::pack_double,
      &avx512::pack_double,
#endif
  };
  return *table.pick();
}

template <typename T>
void activation_patterns(const Neurons<T>& neurons, ConstMatrixView<T> X, PatternsView bits,
                         const RunOptions& options) {
  const PackKernels<T>& kernels = pack_kernels<T>();
  const std::int64_t width = neurons.width();
  const std::int64_t panels = ceil_div(width, kPanel);
  const std::int64_t block_rows = std::min(kExampleBlock, X.rows);
  const int threads = resolve_threads(options.threads);
  std::vector<Buffer<T>> weight_scratch(threads), z_scratch(threads);
  parallel_tiles(panels, options, [&](std::int64_t panel, int thread) {
    if (!z_scratch[thread].size()) {
      z_scratch[thread] = Buffer<T>(block_rows * kPanel);
      weight_scratch[thread] = Buffer<T>(neurons.scratch_size());
    }
    T* const z = z_scratch[thread].data();
    const std::int64_t begin = panel * kPanel;
    const std::int64_t count = std::min(kPanel, width - begin);
    std::int64_t stride = 0;
    const T* const weights = neurons.panel(begin, count, weight_scratch[thread].data(), &stride);
    for (std::int64_t i0 = 0; i0 < X.rows; i0 += kExampleBlock) {
      interruption_point();
      const std::int64_t rows = std::min(kExampleBlock, X.rows - i0);
      gemm_nt<T>(rows, count, X.cols, T(1), X.row(i0), X.stride, weights, stride, T(0), z, kPanel);
      for (std::int64_t i = 0; i < rows; ++i) {
        std::uint64_t* const out = bits.row(i0 + i) + begin / 64;
        if (count < kPanel) std::memset(out, 0, kPanel / 8);
        kernels.pack(z + i * kPanel, count, out);
      }
    }
  });
}

template void activation_patterns(const Neurons<float>&, ConstMatrixView<float>, PatternsView,
                                  const RunOptions&);
template void activation_patterns(const Neurons<double>&, ConstMatrixView<double>, PatternsView,
                                  const RunOptions&);

void pattern_counts(ConstPatternsView patterns, std::int64_t* out, const RunOptions& options) {
  const PopcountKernels& kernels = popcount_kernels();
  parallel_tiles(patterns.rows, options, [&](std::int64_t i, int) {
    out[i] = kernels.count(patterns.row(i), patterns.cols);
  });
}

void pattern_differences(ConstPatternsView a, ConstPatternsView b, std::int64_t* out,
                         const RunOptions& options) {
  const PopcountKernels& kernels = popcount_kernels();
  parallel_tiles(a.rows, options, [&](std::int64_t i, int) {
    out[i] = kernels.count_xor(a.row(i), b.row(i), a.cols);
  });
}

}  // namespace lazygram
