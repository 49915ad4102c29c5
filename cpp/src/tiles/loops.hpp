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
}  // namespace baseline
namespace avx2 {
extern const TileLoops tile_loops;
}  // namespace avx2
namespace avx512 {
extern const TileLoops tile_loops;
}  // namespace avx512

}  // namespace lazygram
