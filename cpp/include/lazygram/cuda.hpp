// What a CUDA device can do for the core; without LAZYGRAM_CUDA the library says that it has none.
#pragma once

#include "lazygram/array.hpp"
#include "lazygram/patterns.hpp"

namespace lazygram {

bool cuda_compiled();  // built with LAZYGRAM_CUDA
int cuda_devices();  // devices that can be used now; 0 when not compiled or when there is no driver

// The same integers as coactivation_counts (gram.hpp), computed on the current device. Host arrays
// in and out. Throws std::runtime_error with CUDA's own message, or when not compiled.
void coactivation_counts_cuda(ConstPatternsView a, ConstPatternsView b,
                              MatrixView<std::int64_t> out);

}  // namespace lazygram
