// Per-level loops of programs that depend on the angle alone.
#pragma once

#include <cstdint>

namespace lazygram {

// Functions of the angle theta in [0, pi] as Chebyshev series in
//   z = (slope theta - shift) / (theta + shift), or slope theta - 1 if shift is 0.
template <typename T>
struct AngleSeries {
  T shift, slope;
  T near;     // |cos| above this: the angle is taken from the vectors instead
  int count;  // functions, 1 or 2
  int terms[2];
  const T* coefficients[2];  // lowest first
};

template <typename T>
struct AngleLoops {
  // out[f][j] = scale right[j] (function f of the angle with this cosine), j < count. Returns
  // whether some |cosine| exceeds series.near; those entries are to be computed again.
  bool (*row)(const AngleSeries<T>& series, const T* cosine, T scale, const T* right,
              std::int64_t count, T* const* out);
  // Returns sum_j row[j] v[j], and y[j] <- y[j] + factor row[j].
  T (*dot_add)(const T* row, const T* v, T factor, T* y, std::int64_t count);
};

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
