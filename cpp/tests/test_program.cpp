// Programs: windows against their definition, shapes and planes, and every error that the builder
// finds.
#include <algorithm>
#include <cmath>
#include <functional>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/program.hpp"

using namespace lazygram;

static ProgramActivation relu() {
  return {Dual::rectified(1, 1, 0, 0), Dual::rectified(0, 1, 0, 1), true, "relu"};
}

static bool refuses(const std::function<void()>& body, const char* what) {
  try {
    body();
  } catch (const ArgumentError& error) {
    return std::string(error.what()).find(what) != std::string::npos;
  }
  return false;
}

TEST(windows_are_those_of_the_field) {
  for (int inputs = 1; inputs <= 9; ++inputs) {
    for (int size = 1; size <= 5; ++size) {
      for (int stride = 1; stride <= 3; ++stride) {
        const AxisWindows same = axis_windows(inputs, size, stride, Padding::same);
        const AxisWindows ring = axis_windows(inputs, size, stride, Padding::circular);
        CHECK(same.outputs == (inputs + stride - 1) / stride && ring.outputs == same.outputs);
        // TensorFlow and XLA: total padding (outputs - 1) stride + size - inputs, the odd one
        // behind.
        const int total = std::max((same.outputs - 1) * stride + size - inputs, 0);
        for (int o = 0; o < same.outputs; ++o) {
          for (int s = 0; s < size; ++s) {
            const int at = o * stride + s - total / 2;
            const bool inside = at >= 0 && at < inputs;
            CHECK(same.source[o * size + s] == (inside ? at : -1));
            CHECK(ring.source[o * size + s] == ((at % inputs) + inputs) % inputs);
          }
        }
        if (size > inputs) {
          CHECK(refuses([&] { axis_windows(inputs, size, stride, Padding::valid); }, "size"));
          continue;
        }
        const AxisWindows valid = axis_windows(inputs, size, stride, Padding::valid);
        CHECK(valid.outputs == (inputs - size) / stride + 1);
        for (int o = 0; o < valid.outputs; ++o)
          for (int s = 0; s < size; ++s) CHECK(valid.source[o * size + s] == o * stride + s);
      }
    }
  }
}

TEST(planes_follow_from_the_operations) {
  Program diagonal(ImageShape{4, 6});
  diagonal.patches(3, 3, 2, 2, Padding::same);
  CHECK((diagonal.current_shape() == ImageShape{2, 3}) && !diagonal.pairs());
  CHECK(diagonal.max_planes() == 24);
  diagonal.flatten(1.0);
  diagonal.require_complete();

  Program pooled(ImageShape{4, 6});
  pooled.push();
  pooled.affine(1, 0, 1, 0);
  pooled.add(1, 1);
  pooled.pool(2, 3, 2, 3, Padding::valid);
  CHECK((pooled.current_shape() == ImageShape{2, 2}) && pooled.pairs());
  CHECK(pooled.max_planes() == 576 && pooled.max_depth() == 2 && pooled.groups() == 1);
  CHECK(refuses([&] { pooled.require_complete(); }, "still an image"));

  Program one_pixel(ImageShape{1, 1});
  one_pixel.pool(1, 1, 1, 1, Padding::valid);
  CHECK(!one_pixel.pairs());
}

TEST(means_are_followed) {
  // Two branches with means: their product is known, and asked for.
  Program crossed(std::nullopt);
  crossed.affine(1, 0, 1, 0);
  crossed.activation(relu(), 1);
  crossed.push();
  crossed.affine(1, 0, 1, 0);
  crossed.activation(relu(), 1);
  crossed.add(0.5, 1);
  CHECK(crossed.uses_means() && crossed.instructions().back().means);
  // A branch that ends with random weights has none.
  Program plain(std::nullopt);
  plain.affine(1, 0, 1, 0);
  plain.activation(relu(), 1);
  plain.push();
  plain.affine(1, 0, 1, 0);
  plain.add(1, 1);
  CHECK(!plain.uses_means() && !plain.instructions().back().means);
  // Concatenated means are not numbers any more.
  Program mixed(std::nullopt);
  mixed.affine(1, 0, 1, 0);
  mixed.activation(relu(), 1);
  mixed.push();
  mixed.push();
  mixed.mix(0.5, 0.5);
  CHECK(refuses([&] { mixed.add(1, 1); }, "means"));
  CHECK(refuses([&] { mixed.emit_mean(); }, "mean"));
}

TEST(errors_name_the_argument) {
  CHECK(refuses([] { Program p(ImageShape{0, 3}); }, "image"));
  CHECK(refuses([] { Program p(ImageShape{300, 300}); }, "32768"));
  Program p(ImageShape{3, 3});
  const double nan = std::nan("");
  CHECK(refuses([&] { p.affine(-1, 0, 0, 0); }, "weight"));
  CHECK(refuses([&] { p.affine(1, nan, 0, 0); }, "bias"));
  CHECK(refuses([&] { p.affine(1, 0, 0, -1); }, "train_bias"));
  CHECK(refuses([&] { p.activation(relu(), -1); }, "scale"));
  CHECK(refuses([&] { p.normalise(-1, false); }, "eps"));
  CHECK(refuses([&] { p.dropout(0); }, "keep"));
  CHECK(refuses([&] { p.dropout(1.5); }, "keep"));
  CHECK(refuses([&] { p.scale(nan); }, "factor"));
  CHECK(refuses([&] { p.swap(); }, "push"));
  CHECK(refuses([&] { p.add(1, 1); }, "push"));
  CHECK(refuses([&] { p.patches(3, 0, 1, 1, Padding::same); }, "size"));
  CHECK(refuses([&] { p.patches(3, 3, 1, 0, Padding::same); }, "stride"));
  p.push();
  p.patches(3, 3, 1, 1, Padding::valid);
  CHECK(refuses([&] { p.add(1, 1); }, "shapes"));
  Program open(std::nullopt);
  open.push();
  CHECK(refuses([&] { open.require_complete(); }, "stack"));
  CHECK(refuses([&] { open.patches(3, 3, 1, 1, Padding::same); }, "vectors"));
  CHECK(refuses([&] { open.flatten(1); }, "vectors"));
}

int main() { return check::run(); }
