// A kernel as a short list of operations on covariances: what layers compile to and tiles.hpp runs.
//
// A program acts on one current value and a stack of values. For a pair of examples (i, j) a value
// is
//   K        covariance of the features (NNGP), one number per plane
//   Theta_g  what group g of trained weights has contributed to the neural tangent kernel
// with, for each example alone, its variances v_i = K_ii and means b_i = lim m^{-1/2} sum_a x_ia
// per pixel. Planes: 1 for vectors; for images the pixels l (K_ij,ll) as long as nothing pools, all
// pixel pairs (l, k) otherwise. E, E' below are Gaussian expectations of phi and phi' (duals.hpp)
// with covariance [[v_i, K], [K, v_j]].
// - affine: Theta_h <- w Theta_h, Theta_g = t K + s for the new group g, K <- w K + b, b_i <- 0
// - patches: K_lk <- sum_s K_{nbr(l, s), nbr(k, s)}, Theta likewise (pixels outside are zero)
// - activation: K <- c E[phi phi], Theta <- c E[phi' phi'] Theta, b_i <- sqrt(c) E phi
// - normalise: K_lk <- f_il f_jk K_lk, Theta likewise, f = (v + eps)^{-1/2}, v averaged or not
// - dropout: v_i <- v_i / keep, other pairs unchanged
// - scale: K <- c^2 K, Theta <- c^2 Theta, b_i <- c b_i
// - add: x <- alpha x + beta y, independent but for their means:
//   K <- alpha^2 K_x + beta^2 K_y + alpha beta (b_x,i b_y,j + b_y,i b_x,j), Theta without the last
// - mix: K <- a K_x + b K_y, Theta likewise (concatenated features)
// - multiply: K <- K_x K_y, Theta <- Theta_x K_y + K_x Theta_y (independent features)
// - pool: K_LL' <- mean over both windows; flatten: K <- weight sum_l K_ll; Theta likewise
// - emit, emit_mean: record K or b_i
//
// Sources: Lee et al. 2018 (NNGP), Jacot et al. 2018 (NTK), Arora et al. 2019 (CNTK), Du, thesis
// (2019), ch. 3 (ResNet with means), Yang 2019 (general programs).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lazygram/duals.hpp"

namespace lazygram {

struct ImageShape {
  int height = 1, width = 1;
  int pixels() const { return height * width; }
  bool operator==(const ImageShape&) const = default;
};

enum class Padding { same, valid, circular };

// Windows along one axis: output o sees the inputs source[o * taps + s], -1 where it sees padding.
struct AxisWindows {
  int inputs = 1, outputs = 1, taps = 1;
  std::vector<int> source{0};
  bool trivial() const { return taps == 1 && inputs == outputs; }
};
AxisWindows axis_windows(int inputs, int size, int stride, Padding padding);

enum class Opcode {
  affine,
  patches,
  activation,
  normalise,
  dropout,
  scale,
  push,
  swap,
  add,
  mix,
  multiply,
  pool,
  flatten,
  emit,
  emit_mean
};

struct Instruction {
  Opcode op;
  // affine: weight, bias, train_weight, train_bias; activation: scale; normalise: eps; dropout:
  // keep; scale: factor; add: alpha, beta; mix: a, b; flatten: weight.
  double x = 1.0, y = 0.0, z = 0.0, w = 0.0;
  bool per_image = false;     // normalise: variances averaged over pixels
  bool means = false;         // add, multiply: both operands have means that matter
  int index = 0;              // affine: group; activation: its number; emit, emit_mean: slot
  AxisWindows rows, columns;  // patches, pool
  ImageShape before, after;   // of the current value
};

// phi as the program sees it: closed forms where they exist; everything else asks the caller.
struct ProgramActivation {
  std::optional<Dual> value, derivative;
  bool differentiable = true;
  std::string name = "the activation";  // in messages
};

class Program {
 public:
  explicit Program(std::optional<ImageShape> image, bool normalise_input = false);

  void affine(double weight, double bias, double train_weight, double train_bias);
  void patches(int height, int width, int stride_y, int stride_x, Padding padding);
  void activation(ProgramActivation activation, double scale);
  void normalise(double eps, bool per_image);
  void dropout(double keep);
  void scale(double factor);
  void push();
  void swap();
  void add(double alpha, double beta);
  void mix(double a, double b);
  void multiply();
  void pool(int height, int width, int stride_y, int stride_x, Padding padding);
  void flatten(double weight);
  int emit();       // returns its slot among emit()s
  int emit_mean();  // returns its slot among emit_mean()s

  // Throws ArgumentError unless one plane is left and the stack is empty.
  void require_complete() const;

  const std::vector<Instruction>& instructions() const { return instructions_; }
  const std::vector<ProgramActivation>& activations() const { return activations_; }
  ImageShape input_shape() const { return input_; }
  bool is_image() const { return image_; }
  bool normalise_input() const { return normalise_input_; }
  ImageShape current_shape() const { return current_.shape; }
  bool pairs() const { return pairs_; }
  bool uses_means() const { return uses_means_; }
  int groups() const { return groups_; }
  int emits() const { return static_cast<int>(emit_shapes_.size()); }
  int emitted_means() const { return emitted_means_; }
  ImageShape emit_shape(int slot) const { return emit_shapes_[slot]; }
  int max_depth() const { return max_depth_; }  // values alive at once, the current one included
  int planes(ImageShape shape) const {
    return pairs_ ? shape.pixels() * shape.pixels() : shape.pixels();
  }
  int max_planes() const;
  int max_pixels() const;

 private:
  enum class Mean { zero, vector, unknown };
  struct Value {
    ImageShape shape;
    Mean mean = Mean::zero;
  };
  Instruction& append(Opcode op);
  const Value& top(const char* what) const;
  void require_image(const char* what) const;

  ImageShape input_;
  bool image_, normalise_input_;
  bool pairs_ = false, uses_means_ = false;
  Value current_;
  std::vector<Value> stack_;
  std::vector<Instruction> instructions_;
  std::vector<ProgramActivation> activations_;
  std::vector<ImageShape> emit_shapes_;
  int groups_ = 0, emitted_means_ = 0, max_depth_ = 1;
};

}  // namespace lazygram
