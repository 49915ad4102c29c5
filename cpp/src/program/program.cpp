// Builds a program: checks every operation against the shape and mean of the values it acts on.
#include "lazygram/program.hpp"

#include <algorithm>
#include <cmath>

#include "lazygram/error.hpp"

namespace lazygram {
namespace {

void require_number(double value, const char* name) {
  require(std::isfinite(value), std::string(name) + ": must be finite");
}

void require_nonnegative(double value, const char* name) {
  require(std::isfinite(value) && value >= 0,
          std::string(name) + ": must be >= 0, got " + std::to_string(value));
}

}  // namespace

AxisWindows axis_windows(int inputs, int size, int stride, Padding padding) {
  require(size >= 1, "size: must be at least 1, got " + std::to_string(size));
  require(stride >= 1, "stride: must be at least 1, got " + std::to_string(stride));
  AxisWindows result;
  result.inputs = inputs;
  result.taps = size;
  int before = 0;
  if (padding == Padding::valid) {
    require(size <= inputs, "size: " + std::to_string(size) + " exceeds the image's " +
                                std::to_string(inputs) + " with VALID padding");
    result.outputs = (inputs - size) / stride + 1;
  } else {
    result.outputs = (inputs + stride - 1) / stride;
    before = std::max((result.outputs - 1) * stride + size - inputs, 0) / 2;
  }
  result.source.assign(static_cast<std::size_t>(result.outputs) * size, -1);
  for (int o = 0; o < result.outputs; ++o) {
    for (int s = 0; s < size; ++s) {
      int at = o * stride + s - before;
      if (padding == Padding::circular) at = ((at % inputs) + inputs) % inputs;
      if (at >= 0 && at < inputs) result.source[static_cast<std::size_t>(o) * size + s] = at;
    }
  }
  return result;
}

Program::Program(std::optional<ImageShape> image, bool normalise_input)
    : input_(image.value_or(ImageShape{})),
      image_(image.has_value()),
      normalise_input_(normalise_input),
      current_{input_, Mean::zero} {
  require(input_.height >= 1 && input_.width >= 1, "image: sides must be at least 1");
  require(static_cast<std::int64_t>(input_.height) * input_.width <= 1 << 15,
          "image: more than 32768 pixels");
}

Instruction& Program::append(Opcode op) {
  Instruction instruction;
  instruction.op = op;
  instruction.before = instruction.after = current_.shape;
  instructions_.push_back(std::move(instruction));
  return instructions_.back();
}

const Program::Value& Program::top(const char* what) const {
  require(!stack_.empty(), std::string(what) + ": the stack is empty, push() comes first");
  return stack_.back();
}

void Program::require_image(const char* what) const {
  require(image_, std::string(what) + ": the inputs are vectors, not images");
}

void Program::affine(double weight, double bias, double train_weight, double train_bias) {
  require_nonnegative(weight, "weight");
  require_nonnegative(bias, "bias");
  require_nonnegative(train_weight, "train_weight");
  require_nonnegative(train_bias, "train_bias");
  Instruction& i = append(Opcode::affine);
  i.x = weight;
  i.y = bias;
  i.z = train_weight;
  i.w = train_bias;
  i.index = groups_++;
  current_.mean = Mean::zero;
}

void Program::patches(int height, int width, int stride_y, int stride_x, Padding padding) {
  require_image("patches");
  AxisWindows rows = axis_windows(current_.shape.height, height, stride_y, padding);
  AxisWindows columns = axis_windows(current_.shape.width, width, stride_x, padding);
  Instruction& i = append(Opcode::patches);
  i.after = current_.shape = {rows.outputs, columns.outputs};
  i.rows = std::move(rows);
  i.columns = std::move(columns);
  if (current_.mean != Mean::zero) current_.mean = Mean::unknown;
}

void Program::activation(ProgramActivation activation, double scale) {
  require_nonnegative(scale, "scale");
  Instruction& i = append(Opcode::activation);
  i.x = scale;
  i.index = static_cast<int>(activations_.size());
  activations_.push_back(std::move(activation));
  current_.mean = Mean::vector;
}

void Program::normalise(double eps, bool per_image) {
  require_nonnegative(eps, "eps");
  Instruction& i = append(Opcode::normalise);
  i.x = eps;
  i.per_image = per_image;
}

void Program::dropout(double keep) {
  require(keep > 0 && keep <= 1, "keep: must be in (0, 1], got " + std::to_string(keep));
  append(Opcode::dropout).x = keep;
}

void Program::scale(double factor) {
  require_number(factor, "factor");
  append(Opcode::scale).x = factor;
}

void Program::push() {
  append(Opcode::push);
  stack_.push_back(current_);
  max_depth_ = std::max(max_depth_, static_cast<int>(stack_.size()) + 1);
}

void Program::swap() {
  require(!stack_.empty(), "swap: the stack is empty, push() comes first");
  Instruction& i = append(Opcode::swap);
  std::swap(current_, stack_.back());
  i.after = current_.shape;
}

void Program::add(double alpha, double beta) {
  require_number(alpha, "alpha");
  require_number(beta, "beta");
  const Value other = top("add");
  require(other.shape == current_.shape, "add: the two values have different image shapes");
  const bool crossed = other.mean != Mean::zero && current_.mean != Mean::zero;
  require(!crossed || (other.mean == Mean::vector && current_.mean == Mean::vector),
          "add: the product of the two branches' means is not known; end one branch with affine()");
  stack_.pop_back();
  Instruction& i = append(Opcode::add);
  i.x = alpha;
  i.y = beta;
  i.means = crossed;
  uses_means_ = uses_means_ || crossed;
  if (current_.mean == Mean::zero) current_.mean = other.mean;
}

void Program::mix(double a, double b) {
  require_nonnegative(a, "a");
  require_nonnegative(b, "b");
  const Value other = top("mix");
  require(other.shape == current_.shape, "mix: the two values have different image shapes");
  stack_.pop_back();
  Instruction& i = append(Opcode::mix);
  i.x = a;
  i.y = b;
  const bool zero = other.mean == Mean::zero && current_.mean == Mean::zero;
  current_.mean = zero ? Mean::zero : Mean::unknown;
}

void Program::multiply() {
  const Value other = top("multiply");
  require(other.shape == current_.shape, "multiply: the two values have different image shapes");
  stack_.pop_back();
  append(Opcode::multiply);
  const bool zero = other.mean == Mean::zero || current_.mean == Mean::zero;
  current_.mean = zero ? Mean::zero : Mean::unknown;
}

void Program::pool(int height, int width, int stride_y, int stride_x, Padding padding) {
  require_image("pool");
  AxisWindows rows = axis_windows(current_.shape.height, height, stride_y, padding);
  AxisWindows columns = axis_windows(current_.shape.width, width, stride_x, padding);
  if (current_.shape.pixels() > 1) pairs_ = true;
  Instruction& i = append(Opcode::pool);
  i.after = current_.shape = {rows.outputs, columns.outputs};
  i.rows = std::move(rows);
  i.columns = std::move(columns);
}

void Program::flatten(double weight) {
  require_image("flatten");
  require_number(weight, "weight");
  Instruction& i = append(Opcode::flatten);
  i.x = weight;
  i.after = current_.shape = {1, 1};
  if (current_.mean != Mean::zero) current_.mean = Mean::unknown;
}

int Program::emit() {
  append(Opcode::emit).index = emits();
  emit_shapes_.push_back(current_.shape);
  return emits() - 1;
}

int Program::emit_mean() {
  require(current_.mean != Mean::unknown, "emit_mean: the mean is not known here");
  append(Opcode::emit_mean).index = emitted_means_;
  uses_means_ = true;
  return emitted_means_++;
}

void Program::require_complete() const {
  require(stack_.empty(), "program: " + std::to_string(stack_.size()) +
                              " values are left on the stack; add(), mix() or multiply() them");
  require(current_.shape.pixels() == 1, "program: the result is still an image of " +
                                            std::to_string(current_.shape.height) + " x " +
                                            std::to_string(current_.shape.width) +
                                            " pixels; end with flatten() or pool()");
}

int Program::max_pixels() const {
  int most = input_.pixels();
  for (const Instruction& i : instructions_) most = std::max(most, i.after.pixels());
  return most;
}

int Program::max_planes() const { return pairs_ ? max_pixels() * max_pixels() : max_pixels(); }

}  // namespace lazygram
