// Per-level loops over cosines: functions of the angle written out or summed; the transposition
// that mirrors a tile.
#pragma once

#include <cstdint>

namespace lazygram {

// Functions of the angle in [0, pi] in the form of angle_series.hpp, in the precision of the loops.
template <typename T>
struct AngleSeries {
  T shift, slope;
  T near;     // cos^2 above this: the angle is taken from the vectors instead
  int count;  // functions, at most 3
  struct Function {
    const T *even, *odd;  // coefficients, lowest first
    int even_terms, odd_terms;
    T ratio;  // so many times function 0 is added (0 for function 0 itself)
  } function[3];
};

template <typename T>
struct AngleLoops {
  // out[f][j] = scale right[j] (function f of the angle with this cosine), j < count; a function
  // whose out is null is not written. Returns whether some cosine^2 exceeds series.near; those
  // entries are to be computed again.
  bool (*row)(const AngleSeries<T>& series, const T* cosine, T scale, const T* right,
              std::int64_t count, T* const* out);
  // Sums over a strip of rows x count cosines, count a multiple of kAngleBlock, function 0 only:
  //   left[r] += sum_c f_rc v[c],   right[c] += sum_r f_rc w[r] unless w is null.
  // An entry with cosine^2 > series.near counts as 0. Returns whether there is one.
  bool (*sums)(const AngleSeries<T>& series, const T* cosine, std::int64_t stride,
               std::int64_t rows, std::int64_t count, const T* v, const T* w, T* left, T* right);
  // Returns sum_j row[j] v[j], and y[j] <- y[j] + factor row[j].
  T (*dot_add)(const T* row, const T* v, T factor, T* y, std::int64_t count);
  // out (cols x rows) = in (rows x cols) transposed.
  void (*transpose)(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols,
                    T* out, std::int64_t out_stride);
};

// Whole vectors at every level.
inline constexpr std::int64_t kAngleBlock = 16;

// Those of the level in use.
template <typename T>
const AngleLoops<T>& angle_loops();

namespace baseline {
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace baseline
namespace avx2 {
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace avx2
namespace avx512 {
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace avx512

}  // namespace lazygram
