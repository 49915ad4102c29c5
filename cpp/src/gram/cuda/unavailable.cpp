// Stands in for the CUDA kernels in a build without them.
#include <stdexcept>

#include "lazygram/cuda.hpp"

namespace lazygram {

bool cuda_compiled() { return false; }
int cuda_devices() { return 0; }

void coactivation_counts_cuda(ConstPatternsView, ConstPatternsView, MatrixView<std::int64_t>) {
  throw std::runtime_error("lazygram was built without CUDA (CMake option LAZYGRAM_CUDA)");
}

}  // namespace lazygram
