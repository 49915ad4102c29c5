// Counter-based random numbers: any rows of the initial weights W(0) and any signs a can be made
// again.
//
// Generator: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011). Key = the 64-bit seed; counter = (block in the row, row low word, row high word,
// stream). Row r of W(0) is made of blocks 0, 1, ...; block b gives its columns 4b .. 4b+3, so
// neither the chunk that is asked for nor the number of threads changes a number.
//
// Normals: Box-Muller in float64 on two 64-bit halves of a block: 36 bits for the radius, 28 for
// the angle (largest |value| 7.1). Only +, -, *, / and sqrt of IEEE arithmetic are used, unfused,
// so every instruction-set level gives the same bits. float32 weights are the float64 ones rounded.
#pragma once

#include <array>
#include <cstdint>

#include "lazygram/array.hpp"

namespace lazygram {

// Streams of one seed: independent sequences for independent purposes.
enum class Stream : std::uint32_t { weights = 0, signs = 1 };

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// The random initial network of a seed: w_r ~ N(0, I_dim), a_r uniform on {-1, +1}, for several
// outputs independently. Antisymmetric: neurons r and r + width/2 share w_r and have opposite a_r,
// so the network is exactly zero (width even).
struct RandomNetwork {
  std::uint64_t seed = 0;
  std::int64_t width = 0;
  std::int64_t dim = 0;
  bool antisymmetric = false;

  // Rows begin .. begin+count-1 of W(0) into out, row stride `stride` >= dim; columns dim ..
  // stride-1 of out may be overwritten up to the next multiple of 4. T: float or double.
  template <typename T>
  void weights(std::int64_t begin, std::int64_t count, T* out, std::int64_t stride) const;

  // Signs a_r of one output as -1 or +1.
  template <typename T>
  void signs(std::int64_t begin, std::int64_t count, T* out, std::uint32_t output = 0) const;
};

}  // namespace lazygram
