// Per-level loops of the tile engine: each runs over planes of `entries` pairs that lie one after
// the other.
#pragma once

#include <cstdint>

namespace lazygram {

// Arc-cosine activation of order 1 (ReLU, leaky ReLU, absolute value), its scale multiplied in:
//   E  = |u||v| (sine (sin t + (pi - t) cos t) + cosine cos t)
//   E' = angle (pi - t) + constant
struct RectifiedPlan {
  double sine, cosine, angle, constant;
};

// Standard deviations of the pairs' examples and their inverses (0 for 0). Row o of a side begins
// at o * step; on the left every row has `entries` values, or one for all its entries.
struct Deviations {
  const double *left, *left_inverse;
  std::int64_t left_step;
  bool one_left;
  const double *right, *right_inverse;
  std::int64_t right_step;
};

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

struct TileLoops {
  // K <- E, theta[t] <- theta[t] E' for `rows` rows of `entries` pairs.
  void (*rectified)(const RectifiedPlan&, const Deviations&, double* K, double* const* theta,
                    int tracks, std::int64_t rows, std::int64_t entries);
  // out[o] = factor * sum_s in[source[o * taps + s]] over runs of `run` elements; source -1: zeros,
  // an array of `run` zeros.
  void (*sum_runs)(double* out, const double* in, const double* zeros, const std::int32_t* source,
                   int taps, double factor, std::int64_t outputs, std::int64_t run);
  // x <- a x + b
  void (*affine)(double* x, double a, double b, std::int64_t count);
  // y <- a y + b x + c
  void (*combine)(double* y, double a, const double* x, double b, double c, std::int64_t count);
  // y <- y x
  void (*multiply)(double* y, const double* x, std::int64_t count);
  // out[r][e] <- out[r][e] + a[e] b[r][e] for `rows` rows of `count` entries.
  void (*multiply_add)(double* out, const double* a, const double* b, std::int64_t rows,
                       std::int64_t count);
  // x <- x f g for one plane; x <- x + c (f g' + f' g)
  void (*scale_both)(double* x, const double* f, const double* g, std::int64_t count);
  void (*add_outer)(double* x, double c, const double* left1, const double* right1,
                    const double* left2, const double* right2, std::int64_t count);
};

namespace baseline {
extern const TileLoops tile_loops;
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace baseline
namespace avx2 {
extern const TileLoops tile_loops;
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace avx2
namespace avx512 {
extern const TileLoops tile_loops;
extern const AngleLoops<float> angle_loops_float;
extern const AngleLoops<double> angle_loops_double;
}  // namespace avx512

}  // namespace lazygram
