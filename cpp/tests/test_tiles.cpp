// The tile engine against a plain interpreter of ReLU programs in extended precision, at every
// level, in float and double; sinks, products, threads, angles, interruption.
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/tiles.hpp"

using namespace lazygram;
using Long = long double;

static const Long kPiL = 3.14159265358979323846264338327950288L;

static ProgramActivation relu() {
  return {Dual::rectified(1, 1, 0, 0), Dual::rectified(0, 1, 0, 1), true, "relu"};
}
static ProgramActivation erf_activation() { return {Dual::erf(1, false), Dual::erf(1, true)}; }

struct Data {
  std::vector<double> values;
  std::int64_t n, d;
  ConstMatrixView<double> view() const { return {values.data(), n, d, d}; }
};

static Data gaussian(std::int64_t n, std::int64_t d, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Data x{std::vector<double>(n * d), n, d};
  for (double& v : x.values) v = normal(generator);
  return x;
}

static std::vector<double> run(const Program& p, const Data& x, const Data* x2,
                               std::vector<Output> outputs, int threads = 2,
                               Precision precision = Precision::automatic) {
  const Evaluation e(p, x.view(), x2 ? x2->view() : ConstMatrixView<double>{}, outputs, nullptr,
                     check::with_threads(threads), precision);
  const std::int64_t n = x.n, n2 = x2 ? x2->n : n;
  std::int64_t channels = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o) channels += e.channels(o);
  std::vector<double> out(channels * n * n2, std::nan(""));
  std::vector<OutputArray> arrays;
  std::int64_t at = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    arrays.push_back({out.data() + at * n * n2, false, n2, 1, n * n2});
    at += e.channels(o);
  }
  e.block(0, n, 0, n2, arrays, check::with_threads(threads));
  return out;
}

static const Output kNngp{Output::Kind::nngp, 0}, kNtk{Output::Kind::ntk, 0},
    kGrams{Output::Kind::grams, 0};

// One pair of examples, all pixel pairs, by the definitions: written for reading, not for speed.
struct Reference {
  const Program& program;
  const Data &left, &right;

  struct Value {
    std::vector<std::vector<Long>> k, t;  // [pixel l][pixel k]; t is the sum over groups
    std::vector<Long> left_mean, right_mean;
  };

  static Long relu_mean(Long v) { return std::sqrt(v / (2 * kPiL)); }

  std::vector<std::vector<Long>> products(const Data& a, std::int64_t i, const Data& b,
                                          std::int64_t j) const {
    const int pixels = program.input_shape().pixels();
    const std::int64_t channels = a.d / pixels;
    std::vector<std::vector<Long>> k(pixels, std::vector<Long>(pixels, 0));
    for (int l = 0; l < pixels; ++l)
      for (int m = 0; m < pixels; ++m)
        for (std::int64_t c = 0; c < channels; ++c)
          k[l][m] += static_cast<Long>(a.values[i * a.d + c * pixels + l]) *
                     b.values[j * b.d + c * pixels + m];
    return k;
  }

  // Runs the pair and both examples alone side by side: states[0] = (i, i), [1] = (j, j), [2] =
  // pair.
  Value run(std::int64_t i, std::int64_t j) const {
    Value states[3];
    states[0].k = products(left, i, left, i);
    states[1].k = products(right, j, right, j);
    states[2].k = products(left, i, right, j);
    for (Value& s : states) s.t.assign(s.k.size(), std::vector<Long>(s.k.size(), 0));
    std::vector<Value> stacks[3];
    for (const Instruction& in : program.instructions()) {
      std::vector<Long> v[2];
      for (int side = 0; side < 2; ++side)
        for (std::size_t l = 0; l < states[side].k.size(); ++l)
          v[side].push_back(states[side].k[l][l]);
      for (int s = 0; s < 3; ++s) {
        const std::vector<Long>& p = v[s == 1 ? 1 : 0];
        const std::vector<Long>& q = v[s == 0 ? 0 : 1];
        step(in, states[s], stacks[s], p, q);
      }
    }
    return states[2];
  }

  static void step(const Instruction& in, Value& x, std::vector<Value>& stack,
                   const std::vector<Long>& p, const std::vector<Long>& q) {
    const std::size_t pixels = x.k.size();
    const auto each = [&](const std::function<void(std::size_t, std::size_t)>& body) {
      for (std::size_t l = 0; l < x.k.size(); ++l)
        for (std::size_t m = 0; m < x.k.size(); ++m) body(l, m);
    };
    const auto window = [&](int l, int s, int t) {  // the input pixel, or -1
      const int y = in.rows.source[l / in.after.width * in.rows.taps + s];
      const int z = in.columns.source[l % in.after.width * in.columns.taps + t];
      return y < 0 || z < 0 ? -1 : y * in.before.width + z;
    };
    switch (in.op) {
      case Opcode::affine:
        each([&](std::size_t l, std::size_t m) {
          x.t[l][m] = in.x * x.t[l][m] + in.z * x.k[l][m] + in.w;
          x.k[l][m] = in.x * x.k[l][m] + in.y;
        });
        x.left_mean.clear();
        return;
      case Opcode::patches:
      case Opcode::pool: {
        const int after = in.after.pixels();
        const bool joint = in.op == Opcode::patches;
        const Long weight = joint ? 1 : 1.0L / (in.rows.taps * in.columns.taps);
        for (auto* part : {&x.k, &x.t}) {
          std::vector<std::vector<Long>> out(after, std::vector<Long>(after, 0));
          for (int l = 0; l < after; ++l)
            for (int m = 0; m < after; ++m)
              for (int a = 0; a < in.rows.taps * in.columns.taps; ++a)
                for (int b = 0; b < in.rows.taps * in.columns.taps; ++b) {
                  if (joint && a != b) continue;
                  const int from = window(l, a / in.columns.taps, a % in.columns.taps);
                  const int other = window(m, b / in.columns.taps, b % in.columns.taps);
                  if (from >= 0 && other >= 0)
                    out[l][m] += weight * (joint ? 1 : weight) * (*part)[from][other];
                }
          *part = out;
        }
        return;
      }
      case Opcode::activation:
        each([&](std::size_t l, std::size_t m) {
          const Long k = x.k[l][m];
          const Long sine = std::sqrt(std::max<Long>(p[l] * q[m] - k * k, 0));
          const Long rest = p[l] * q[m] > 0 ? kPiL - std::atan2(sine, k) : kPiL / 2;
          x.t[l][m] *= in.x * rest / (2 * kPiL);
          x.k[l][m] = in.x * (sine + rest * k) / (2 * kPiL);
        });
        x.left_mean.clear();
        x.right_mean.clear();
        for (std::size_t l = 0; l < pixels; ++l) {
          x.left_mean.push_back(std::sqrt(static_cast<Long>(in.x)) * relu_mean(p[l]));
          x.right_mean.push_back(std::sqrt(static_cast<Long>(in.x)) * relu_mean(q[l]));
        }
        return;
      case Opcode::normalise: {
        const auto factor = [&](const std::vector<Long>& v, std::size_t l) {
          Long mean = 0;
          for (Long u : v) mean += u / v.size();
          return 1 / std::sqrt((in.per_image ? mean : v[l]) + in.x);
        };
        each([&](std::size_t l, std::size_t m) {
          x.k[l][m] *= factor(p, l) * factor(q, m);
          x.t[l][m] *= factor(p, l) * factor(q, m);
        });
        return;
      }
      case Opcode::push:
        stack.push_back(x);
        return;
      case Opcode::swap:
        std::swap(x, stack.back());
        return;
      case Opcode::add: {
        const Value y = stack.back();
        stack.pop_back();
        const Long a = in.x, b = in.y;
        each([&](std::size_t l, std::size_t m) {
          x.k[l][m] = a * a * x.k[l][m] + b * b * y.k[l][m];
          if (!x.left_mean.empty() && !y.left_mean.empty())
            x.k[l][m] +=
                a * b * (x.left_mean[l] * y.right_mean[m] + y.left_mean[l] * x.right_mean[m]);
          x.t[l][m] = a * a * x.t[l][m] + b * b * y.t[l][m];
        });
        if (x.left_mean.empty() || y.left_mean.empty()) {
          x.left_mean.clear();
          return;
        }
        for (std::size_t l = 0; l < pixels; ++l) {
          x.left_mean[l] = a * x.left_mean[l] + b * y.left_mean[l];
          x.right_mean[l] = a * x.right_mean[l] + b * y.right_mean[l];
        }
        return;
      }
      case Opcode::flatten: {
        Long k = 0, t = 0;
        for (std::size_t l = 0; l < pixels; ++l) {
          k += x.k[l][l];
          t += x.t[l][l];
        }
        x.k = {{in.x * k}};
        x.t = {{in.x * t}};
        return;
      }
      default:
        return;
    }
  }
};

static void expect_reference(const Program& p, const Data& x, const Data* x2, Precision precision,
                             Long tolerance) {
  const std::vector<double> out = run(p, x, x2, {kNngp, kNtk}, 2, precision);
  const Data& other = x2 ? *x2 : x;
  const std::int64_t size = x.n * other.n;
  const Reference reference{p, x, other};
  Long scale[2] = {0, 0};
  for (std::int64_t e = 0; e < size; ++e)
    for (int o = 0; o < 2; ++o)
      scale[o] = std::max(scale[o], std::abs(static_cast<Long>(out[o * size + e])));
  for (std::int64_t i = 0; i < x.n; ++i) {
    for (std::int64_t j = 0; j < other.n; ++j) {
      const Reference::Value truth = reference.run(i, j);
      const Long values[2] = {truth.k[0][0], truth.t[0][0]};
      for (int o = 0; o < 2; ++o)
        CHECK(std::abs(out[o * size + i * other.n + j] - values[o]) <= tolerance * scale[o]);
    }
  }
}

static Program dense(int depth, double bias) {
  Program p(std::nullopt);
  for (int h = 0; h < depth; ++h) {
    p.affine(2, bias, 2, bias);
    p.activation(relu(), 1);
  }
  p.affine(1, bias, 1, bias);
  return p;
}

static Program residual() {  // with means, and an unusual order of the branches
  Program p(std::nullopt);
  p.affine(1, 0, 1, 0);
  p.activation(relu(), 2);
  for (int h = 0; h < 3; ++h) {
    p.push();
    p.affine(1, 0.1, 0.5, 0.2);
    p.activation(relu(), 1);
    p.swap();
    p.add(1, 0.25);
  }
  p.normalise(0.1, false);
  p.affine(1, 0, 1, 0);
  return p;
}

static Program convolutional(bool pooled, Padding padding) {
  Program p(ImageShape{4, 5});
  p.patches(3, 3, 1, 1, padding);
  p.affine(2.0 / 9, 0.1, 2.0 / 9, 0.1);
  p.activation(relu(), 1);
  p.push();
  p.patches(3, 1, 1, 1, Padding::same);
  p.affine(1.0 / 3, 0, 1.0 / 3, 0);
  p.activation(relu(), 1);
  p.add(0.5, 1);
  p.normalise(0.2, true);
  p.patches(2, 2, 2, 2, Padding::same);
  p.affine(0.25, 0, 0.25, 0);
  p.activation(relu(), 1.5);
  if (pooled) {
    p.pool(2, 1, 1, 1, Padding::same);
    p.affine(1, 0, 1, 0);
    p.activation(relu(), 1);
    p.pool(p.current_shape().height, p.current_shape().width, 1, 1, Padding::valid);
  } else {
    p.flatten(1);
  }
  p.affine(1, 0, 1, 0);
  return p;
}

// No means, several branches, strides: up to the average over all pixels nothing mixes pairs of
// pixels at different distances.
static Program chained(Padding padding, const ProgramActivation& last = relu()) {
  Program p(ImageShape{4, 5});
  p.patches(3, 3, 1, 1, padding);
  p.affine(2.0 / 9, 0.1, 2.0 / 9, 0.1);
  p.activation(relu(), 1);
  p.affine(0.5, 0, 0.3, 0.2);
  p.push();
  p.normalise(0.1, false);
  p.activation(relu(), 2);
  p.patches(1, 3, 1, 1, Padding::same);
  p.affine(1.0 / 3, 0, 1.0 / 3, 0);
  p.add(0.5, 1);
  p.patches(2, 2, 2, 2, Padding::circular);
  p.affine(0.25, 0, 0.25, 0);
  p.activation(last, 1.5);
  p.pool(p.current_shape().height, p.current_shape().width, 1, 1, Padding::valid);
  p.affine(1, 0.1, 1, 0);
  p.activation(relu(), 1);
  p.affine(1, 0, 1, 0);
  return p;
}

TEST(vectors_agree_with_the_reference) {
  const Data x = gaussian(23, 7, 1), y = gaussian(9, 7, 2);
  check::at_every_level([&] {
    for (const Precision precision : {Precision::automatic, Precision::general}) {
      expect_reference(dense(5, 0), x, nullptr, precision, 1e-14L);
      expect_reference(dense(5, 0.3), x, &y, precision, 1e-14L);
      expect_reference(residual(), x, nullptr, precision, 1e-14L);
      expect_reference(residual(), x, &y, precision, 1e-14L);
    }
  });
}

TEST(images_agree_with_the_reference) {
  const Data x = gaussian(11, 40, 3), y = gaussian(5, 40, 4);
  check::at_every_level([&] {
    for (const bool pooled : {false, true}) {
      for (const Padding padding : {Padding::same, Padding::valid, Padding::circular}) {
        expect_reference(convolutional(pooled, padding), x, nullptr, Precision::automatic, 1e-14L);
        expect_reference(convolutional(pooled, padding), x, &y, Precision::automatic, 1e-14L);
      }
    }
  });
}

TEST(chains_agree_with_the_reference) {
  const Data x = gaussian(11, 40, 3), y = gaussian(5, 40, 4);
  check::at_every_level([&] {
    for (const Padding padding : {Padding::same, Padding::valid, Padding::circular}) {
      expect_reference(chained(padding), x, nullptr, Precision::automatic, 1e-14L);
      expect_reference(chained(padding), x, &y, Precision::automatic, 1e-14L);
    }
  });
}

// Roundings of float: 6e-8 each, a few per layer, and for Theta those of an angle, see kNear.
constexpr Long kSingle = 3e-6L;

TEST(float_agrees_with_the_reference) {
  const Data x = gaussian(21, 40, 3), y = gaussian(5, 40, 4);
  const Data vectors = gaussian(23, 7, 1), others = gaussian(9, 7, 2);
  check::at_every_level([&] {
    for (const Padding padding : {Padding::same, Padding::valid, Padding::circular}) {
      expect_reference(chained(padding), x, nullptr, Precision::single, kSingle);
      expect_reference(chained(padding), x, &y, Precision::single, kSingle);
      for (const bool pooled : {false, true})
        expect_reference(convolutional(pooled, padding), x, &y, Precision::single, kSingle);
    }
    expect_reference(convolutional(false, Padding::same), x, nullptr, Precision::single, kSingle);
    expect_reference(dense(5, 0.3), vectors, nullptr, Precision::single, kSingle);
    expect_reference(dense(5, 0.3), vectors, &others, Precision::single, kSingle);
    expect_reference(residual(), vectors, nullptr, Precision::single, kSingle);
  });
}

// Scaled so that nothing but the angles between examples is the matter.
static void expect_float_of(const Program& p, const Data& x) {
  const std::vector<double> single = run(p, x, nullptr, {kNngp, kNtk}, 2, Precision::single);
  const std::vector<double> exact = run(p, x, nullptr, {kNngp, kNtk});
  const std::int64_t n = x.n;
  for (int o = 0; o < 2; ++o) {
    const double *const a = single.data() + o * n * n, *const b = exact.data() + o * n * n;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const double scale = std::sqrt(b[i * n + i] * b[j * n + j]);
        CHECK(std::abs(a[i * n + j] - b[i * n + j]) <= kSingle * scale + 1e-30);
        CHECK(a[i * n + j] == a[j * n + i]);
      }
      CHECK(a[i * n + i] == static_cast<float>(b[i * n + i]));
    }
  }
}

TEST(float_of_near_opposite_zero_and_scaled_examples) {
  const ProgramActivation leaky{Dual::rectified(1, 1, -0.2, 0), Dual::rectified(0, 1, 0.2, 1)};
  check::at_every_level([&] {
    for (const int size : {40, 7}) {
      Data x = gaussian(40, size, 19);
      const auto copy = [&](std::int64_t to, double factor, double change) {
        for (int k = 0; k < size; ++k)
          x.values[to * size + k] =
              static_cast<float>(factor * (x.values[k] + (k == 3 ? change : 0.0)));
      };
      copy(0, 1, 0);
      copy(1, 1, 0);
      copy(2, -1, 0);
      copy(3, 3, 0);
      copy(4, 0, 0);
      for (int k = 0; k < 8; ++k) copy(5 + k, k % 2 ? 1 : -0.7, std::pow(0.1, k));
      for (int k = 0; k < size / 2; ++k) x.values[13 * size + k] = 0;  // some pixels
      for (std::int64_t i = 20; i < 30; ++i)
        for (int k = 0; k < size; ++k) x.values[i * size + k] *= std::pow(10.0, i - 25.0);
      if (size == 7) {
        expect_float_of(dense(3, 0.05), x);
        expect_float_of(residual(), x);
        continue;
      }
      for (const Padding padding : {Padding::same, Padding::circular}) {
        expect_float_of(chained(padding), x);
        expect_float_of(chained(padding, leaky), x);
        expect_float_of(convolutional(false, padding), x);
        expect_float_of(convolutional(true, padding), x);
      }
    }
  });
}

TEST(what_leaves_the_range_of_float_is_run_in_double) {
  for (const double scale : {1e-20, 1e-14, 1e14, 1e17}) {
    Data x = gaussian(12, 40, 20);
    for (double& v : x.values) v *= scale;
    Program p(ImageShape{4, 5});  // brings all sizes back
    p.normalise(0, false);
    p.patches(3, 3, 1, 1, Padding::same);
    p.affine(2.0 / 9, 0.1, 2.0 / 9, 0.1);
    p.activation(relu(), 1);
    p.flatten(1.0 / 20);
    const std::vector<double> single = run(p, x, nullptr, {kNngp, kNtk}, 2, Precision::single);
    CHECK(single == run(p, x, nullptr, {kNngp, kNtk}));
  }
}

TEST(pooling_of_one_pixel) {
  // A window of 3 x 3 around one pixel: a ninth of its value, which is in K twice.
  Program p(ImageShape{1, 1});
  p.affine(1, 0, 1, 0);
  p.pool(3, 3, 1, 1, Padding::same);
  const Data x = gaussian(3, 4, 21);
  const std::vector<double> out = run(p, x, nullptr, {kNngp});
  double product = 0;
  for (int k = 0; k < 4; ++k) product += x.values[k] * x.values[4 + k];
  CHECK(std::abs(out[1] - product / 81) <= 1e-15 * std::abs(product));
}

TEST(symmetric_bit_for_bit_and_whatever_the_threads) {
  const Data x = gaussian(700, 5, 5), images = gaussian(70, 40, 6);
  const auto expect = [](const Program& p, const Data& data, std::vector<Output> outputs,
                         Precision precision = Precision::automatic) {
    const std::vector<double> one = run(p, data, nullptr, outputs, 1, precision);
    const std::vector<double> three = run(p, data, nullptr, outputs, 3, precision);
    CHECK(std::memcmp(one.data(), three.data(), one.size() * sizeof(double)) == 0);
    const std::int64_t n = data.n;
    for (std::size_t plane = 0; plane < one.size() / (n * n); ++plane)
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < i; ++j)
          CHECK(one[plane * n * n + i * n + j] == one[plane * n * n + j * n + i]);
  };
  expect(dense(3, 0), x, {kNngp, kNtk});     // by angles
  expect(dense(3, 0.1), x, {kGrams, kNtk});  // in general
  expect(convolutional(false, Padding::same), images, {kNtk, kGrams});
  expect(convolutional(true, Padding::same), images, {kNtk});
  expect(chained(Padding::same), images, {kNtk, kGrams});
  for (const bool pooled : {false, true})
    expect(convolutional(pooled, Padding::same), images, {kNtk}, Precision::single);
  expect(chained(Padding::same), images, {kNngp, kNtk}, Precision::single);
  expect(dense(3, 0.1), x, {kGrams, kNtk}, Precision::single);
}

TEST(groups_add_up_to_the_kernel) {
  const Data x = gaussian(30, 4, 7);
  const Program p = residual();
  const std::vector<double> grams = run(p, x, nullptr, {kGrams}), ntk = run(p, x, nullptr, {kNtk});
  for (std::size_t e = 0; e < ntk.size(); ++e) {
    double sum = 0;
    for (int g = 0; g < p.groups(); ++g) sum += grams[g * ntk.size() + e];
    CHECK(std::abs(sum - ntk[e]) <= 1e-14 * ntk[0]);
  }
}

TEST(emitted_pixel_pairs_are_mirrored) {
  Program p(ImageShape{1, 3});
  p.patches(1, 3, 1, 1, Padding::same);
  p.affine(1, 0, 1, 0);
  p.activation(relu(), 1);
  p.emit();
  p.pool(1, 3, 1, 3, Padding::valid);
  const Data x = gaussian(20, 6, 8);
  const std::vector<double> k = run(p, x, nullptr, {{Output::Kind::emitted, 0}});
  const auto at = [&](int l, int m, std::int64_t i, std::int64_t j) {
    return k[(l * 3 + m) * 400 + i * 20 + j];
  };
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t j = 0; j < 20; ++j)
      for (int l = 0; l < 3; ++l)
        for (int m = 0; m < 3; ++m) CHECK(at(l, m, i, j) == at(m, l, j, i));
}

TEST(repeated_opposite_and_zero_examples) {
  Data x = gaussian(40, 30, 9);
  for (int k = 0; k < 30; ++k) {
    x.values[1 * 30 + k] = x.values[k];                              // repeated
    x.values[2 * 30 + k] = -x.values[k];                             // opposite
    x.values[3 * 30 + k] = 3 * x.values[k];                          // a multiple
    x.values[4 * 30 + k] = 0;                                        // zero
    x.values[5 * 30 + k] = x.values[k] * (1 + (k == 3 ? 1e-6 : 0));  // nearly the same
  }
  for (const Precision precision : {Precision::automatic, Precision::general}) {
    for (const double bias : {0.0, 0.2}) {
      const std::vector<double> out = run(dense(4, bias), x, nullptr, {kNngp, kNtk}, 2, precision);
      for (double v : out) CHECK(std::isfinite(v));
      for (int o = 0; o < 2; ++o) {
        const double* const k = out.data() + o * 1600;
        CHECK(std::abs(k[1] - k[0]) <= 1e-14 * k[0]);
        if (bias == 0) CHECK(std::abs(k[3] - 3 * k[0]) <= 1e-14 * k[3]);
        if (bias == 0) CHECK(k[4 * 40 + 7] == 0 && k[4 * 40 + 4] == 0);
      }
      // The slope at a small angle: 2.7e-8 is what rounding leaves open where depth is run in
      // steps.
      const Program p = dense(4, bias);
      const Reference reference{p, x, x};
      const Long truth = reference.run(0, 5).t[0][0];
      const bool angles = precision == Precision::automatic && bias == 0;
      CHECK(std::abs(out[1600 + 5] - truth) <= (angles ? 1e-13L : 3e-8L) * truth);
    }
  }
}

TEST(blocks_strides_and_float32) {
  const Data x = gaussian(300, 8, 10);
  for (const double bias : {0.0, 0.1}) {
    const Program p = dense(3, bias);
    const std::vector<double> whole = run(p, x, nullptr, {kNtk});
    const Evaluation e(p, x.view(), {}, {kNtk}, nullptr, {});
    // A block off the diagonal, transposed, in float32, with gaps.
    const std::int64_t rows = 120, cols = 270, step = 3;
    std::vector<float> out(rows * cols * step, -7.0f);
    OutputArray array{out.data(), true, step, step * rows, 0};
    e.block(17, rows, 25, cols, {array}, {});
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const float value = out[(i + j * rows) * step];
        CHECK(std::abs(value - whole[(17 + i) * 300 + 25 + j]) <= 1e-6 * whole[0]);
        CHECK(out[(i + j * rows) * step + 1] == -7.0f);
      }
    }
    CHECK_THROWS(e.block(200, 120, 0, 5, {array}, {}), ArgumentError);
    // Single precision throughout.
    const std::vector<double> single = run(p, x, nullptr, {kNtk}, 2, Precision::single);
    for (std::size_t k = 0; k < whole.size(); ++k)
      CHECK(std::abs(single[k] - whole[k]) <= 2e-6 * whole[0]);
  }
}

TEST(products_are_those_of_the_stored_kernel) {
  const Data x = gaussian(900, 6, 11), y = gaussian(301, 6, 12), images = gaussian(90, 40, 13);
  const auto expect = [](const Program& p, const Data& a, const Data* b, std::int64_t k) {
    const std::int64_t n2 = b ? b->n : a.n;
    const Data v = gaussian(n2, k, 14);
    const std::vector<double> kernel = run(p, a, b, {kNtk});
    const Evaluation e(p, a.view(), b ? b->view() : ConstMatrixView<double>{}, {kNtk}, nullptr, {});
    std::vector<double> one(a.n * k), three(a.n * k);
    e.product(0, v.view(), {one.data(), a.n, k, k}, check::with_threads(1));
    e.product(0, v.view(), {three.data(), a.n, k, k}, check::with_threads(3));
    CHECK(std::memcmp(one.data(), three.data(), one.size() * sizeof(double)) == 0);
    for (std::int64_t i = 0; i < a.n; ++i) {
      for (std::int64_t c = 0; c < k; ++c) {
        Long sum = 0, size = 0;
        for (std::int64_t j = 0; j < n2; ++j) {
          const Long term = static_cast<Long>(kernel[i * n2 + j]) * v.values[j * k + c];
          sum += term;
          size += std::abs(term);
        }
        CHECK(std::abs(one[i * k + c] - sum) <= 1e-14L * size);
      }
    }
  };
  for (const std::int64_t k : {1, 3}) {
    expect(dense(2, 0), x, nullptr, k);
    expect(dense(2, 0.1), x, nullptr, k);
    expect(dense(2, 0), x, &y, k);
    expect(convolutional(false, Padding::same), images, nullptr, k);
    expect(convolutional(true, Padding::same), images, nullptr, k);
  }
}

TEST(equal_norms_go_by_angles) {
  Data x = gaussian(60, 5, 15);
  for (std::int64_t i = 0; i < x.n; ++i) {
    double sum = 0;
    for (int k = 0; k < 5; ++k) sum += x.values[i * 5 + k] * x.values[i * 5 + k];
    for (int k = 0; k < 5; ++k) x.values[i * 5 + k] *= 2 / std::sqrt(sum);
  }
  Program p(std::nullopt, true);
  for (int h = 0; h < 3; ++h) {
    p.affine(1.5, 0.3, 1.5, 0.3);
    p.activation(h == 1 ? relu() : erf_activation(), 1);
  }
  p.affine(1, 0, 1, 0);
  const Evaluation e(p, x.view(), {}, {kNngp, kNtk}, nullptr, {});
  CHECK(e.by_angles());
  const std::vector<double> fast = run(p, x, nullptr, {kNngp, kNtk});
  const std::vector<double> slow = run(p, x, nullptr, {kNngp, kNtk}, 2, Precision::general);
  for (std::size_t k = 0; k < fast.size(); ++k)
    CHECK(std::abs(fast[k] - slow[k]) <= 1e-13 * std::abs(slow[k < 3600 ? 0 : 3600]));
  x.values[3] *= 1.1;
  CHECK(!Evaluation(p, x.view(), {}, {kNngp}, nullptr, {}).by_angles());
}

TEST(angle_tables_of_deep_networks) {
  const Data x = gaussian(2, 3, 16);
  for (const int depth : {1, 2, 5, 20, 60}) {
    const Program p = dense(depth, 0);
    CHECK(Evaluation(p, x.view(), {}, {kNtk}, nullptr, {}).by_angles());
    // All angles; below 1e-4 the reference loses digits itself.
    Data y{{}, 0, 2};
    for (double t = 1e-4; t < 3.14159; t = t * 1.15 + 1e-4) {
      y.values.insert(y.values.end(), {std::cos(t), std::sin(t)});
      ++y.n;
    }
    const Data pole{{1.0, 0.0}, 1, 2};
    expect_reference(p, pole, &y, Precision::automatic, 2e-13L);
  }
}

TEST(errors_and_interruption) {
  const Data x = gaussian(600, 6, 17);
  const Program p = dense(2, 0.1);
  CHECK_THROWS(run(p, gaussian(3, 5, 1), &x, {kNtk}), ArgumentError);
  Program open(ImageShape{2, 3});
  CHECK_THROWS(run(open, x, nullptr, {kNtk}), ArgumentError);
  CHECK_THROWS(run(p, x, nullptr, {{Output::Kind::emitted, 0}}), ArgumentError);
  Program step(std::nullopt);
  step.affine(1, 0, 1, 0);
  step.activation({Dual::rectified(0, 1, 0, 1), std::nullopt, false, "step"}, 1);
  run(step, x, nullptr, {kNngp});
  CHECK_THROWS(run(step, x, nullptr, {kNtk}), ArgumentError);

  RunOptions stop = check::with_threads(1);  // of two, the one that polls may come too late
  stop.poll_interval = 0;
  stop.poll = [](std::int64_t, std::int64_t) { return true; };
  const Evaluation e(p, x.view(), {}, {kNtk}, nullptr, {});
  std::vector<double> out(600 * 600);
  CHECK_THROWS(e.block(0, 600, 0, 600, {{out.data(), false, 600, 1, 0}}, stop), Interrupted);
  CHECK_THROWS(e.product(0, {out.data(), 600, 1, 1}, {out.data() + 600, 600, 1, 1}, stop),
               Interrupted);
}

int main() { return check::run(); }
