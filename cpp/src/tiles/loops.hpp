// Per-level loops of the tile engine, in float and double: each runs over planes of `entries` pairs
// that lie one after the other.
#pragma once

#include <cstdint>

namespace lazygram {

// Arc-cosine activation of order 1 (ReLU, leaky ReLU, absolute value), its scale multiplied in:
//   E' = angle (pi - t) + constant,  E = |u||v| (angle sin t + E' cos t)
struct RectifiedPlan {
  double angle, constant;
};

// Coordinates of a pixel of the left example and of one of the right, along one axis.
struct AxisPair {
  std::int32_t left, right;
};

// Planes [row][column][entries] of the pixel pairs (rows x columns); pixel (y, x) is y width + x.
struct PlaneGrid {
  const AxisPair* rows;
  std::int64_t row_count;
  const AxisPair* columns;
  std::int64_t column_count;
  std::int64_t width, entries;
};

// One number for every pixel of the pairs' examples, or several: pixel l has `entries` of them at
// l * step; with `one_left` one for all entries on the left.
template <typename T>
struct PixelSides {
  const T* left;
  std::int64_t left_step;
  const T* right;
  std::int64_t right_step;
  bool one_left;
};

// Standard deviations and their inverses (0 for 0); the same steps for both.
template <typename T>
struct Deviations {
  PixelSides<T> root;
  const T *left_inverse, *right_inverse;
};

// Features of the pairs' examples: channel c at c * left_channel, c * right_channel.
template <typename T>
struct Features {
  PixelSides<T> values;
  std::int64_t left_channel, right_channel, channels;
  T scale;
};

// Outputs [output, output + length) of a window pass: tap s adds the inputs [source[s], source[s] +
// length). Taps outside the image are left out, and neighbouring outputs whose inputs are
// neighbours too are one span.
struct WindowSpan {
  std::int32_t output, length, taps, source;  // source: the first one's place among the sources
};

// Sums over windows, `repeats` times; inputs and outputs have `run` elements each.
struct WindowSums {
  const WindowSpan* spans;
  std::int64_t span_count;
  const std::int32_t* sources;
  std::int64_t inputs, outputs, repeats, run;
};

// Theta <- weight Theta + train_weight K + train_bias, K <- weight K + bias
struct AffinePlan {
  double weight, bias, train_weight, train_bias;
};

template <typename T>
struct TileLoops {
  // K_lk = scale sum_c x_cl y_ck
  void (*products)(const PlaneGrid&, const Features<T>&, T* K);
  // K <- E, theta[t] <- theta[t] E'; closest[e], unless null, <- the smallest 1 - |cos t| of entry
  // e, if that is less.
  void (*rectified)(const RectifiedPlan&, const PlaneGrid&, const Deviations<T>&, T* K,
                    T* const* theta, int tracks, T* closest);
  // out = factor times the sums
  void (*sum)(const WindowSums&, T* out, const T* in, double factor);
  // The affine step of the sums of K and Theta; theta_out null: K alone; theta null: zero.
  void (*sum_affine)(const WindowSums&, const AffinePlan&, T* K_out, const T* K, T* theta_out,
                     const T* theta);
  // x <- a x + b
  void (*affine)(T* x, double a, double b, std::int64_t count);
  // y <- a y + b x + c
  void (*combine)(T* y, double a, const T* x, double b, double c, std::int64_t count);
  // y <- y x
  void (*multiply)(T* y, const T* x, std::int64_t count);
  // x <- x f g, f and g of the plane's two pixels; x <- x + c (f g' + f' g)
  void (*scale_both)(const PlaneGrid&, const PixelSides<T>& f, T* x);
  void (*add_outer)(const PlaneGrid&, double c, const PixelSides<T>& f,
                    const PixelSides<T>& f_prime, T* x);
};

namespace baseline {
extern const TileLoops<float> tile_loops_single;
extern const TileLoops<double> tile_loops_double;
}  // namespace baseline
namespace avx2 {
extern const TileLoops<float> tile_loops_single;
extern const TileLoops<double> tile_loops_double;
}  // namespace avx2
namespace avx512 {
extern const TileLoops<float> tile_loops_single;
extern const TileLoops<double> tile_loops_double;
}  // namespace avx512

}  // namespace lazygram
