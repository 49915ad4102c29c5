// Per-level kernels of the two-layer limit kernels: cosines to arc-cosine kernel values, a row at a
// time; and the transposition that mirrors a tile.
#pragma once

#include <cstdint>

namespace lazygram {

// |cos| above this: the caller computes the angle from the vectors (see arccosine_exact in
// infinite.cpp).
inline constexpr double kNearParallel = 0.999;

template <typename T>
struct ArccosineKernels {
  // For j < count, c = cosine[j], s = scale * norm[j]:
  //   first[j] = s c (pi - th) / (2 pi), plus the value of second when `both` is set,
  //   second[j] = s (sin th + (pi - th) c) / (2 pi), unless second is null.
  // Returns whether some |c| exceeds kNearParallel; those entries are to be computed again.
  bool (*row)(const T* cosine, T scale, const T* norm, std::int64_t count, bool both, T* first,
              T* second);
  // out (cols x rows) = in (rows x cols) transposed.
  void (*transpose)(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols,
                    T* out, std::int64_t out_stride);
};

// Those of the level in use.
template <typename T>
const ArccosineKernels<T>& arccosine_kernels();

namespace baseline {
extern const ArccosineKernels<float> arccosine_float;
extern const ArccosineKernels<double> arccosine_double;
}  // namespace baseline
namespace avx2 {
extern const ArccosineKernels<float> arccosine_float;
extern const ArccosineKernels<double> arccosine_double;
}  // namespace avx2
namespace avx512 {
extern const ArccosineKernels<float> arccosine_float;
extern const ArccosineKernels<double> arccosine_double;
}  // namespace avx512

}  // namespace lazygram
