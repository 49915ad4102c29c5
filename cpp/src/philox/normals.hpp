// Per-level kernel of philox.hpp: Philox blocks to normals.
#pragma once

#include <cstdint>

namespace lazygram {

inline constexpr int kNormalBlocks = 64;  // blocks in one call

// For b < kNormalBlocks: normals of counter (c0[b], c1[b], c2[b], stream) to out[4b .. 4b+3].
using NormalsFunction = void (*)(std::uint64_t key, std::uint32_t stream, const std::uint32_t* c0,
                                 const std::uint32_t* c1, const std::uint32_t* c2, double* out);

namespace baseline {
void normals(std::uint64_t, std::uint32_t, const std::uint32_t*, const std::uint32_t*,
             const std::uint32_t*, double*);
}
namespace avx2 {
void normals(std::uint64_t, std::uint32_t, const std::uint32_t*, const std::uint32_t*,
             const std::uint32_t*, double*);
}
namespace avx512 {
void normals(std::uint64_t, std::uint32_t, const std::uint32_t*, const std::uint32_t*,
             const std::uint32_t*, double*);
}

}  // namespace lazygram
