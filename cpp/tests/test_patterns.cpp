// Packed patterns: every bit against its definition, padding, stored against seeded neurons, counts
// of rows.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/patterns.hpp"
#include "patterns/pack.hpp"

using namespace lazygram;

namespace {

const std::int64_t kWidths[] = {1, 63, 64, 65, 511, 512, 513, 1000};

bool bit(ConstPatternsView patterns, std::int64_t example, std::int64_t neuron) {
  return (patterns.row(example)[neuron / 64] >> (neuron % 64)) & 1u;
}

RunOptions with_threads(int threads) {
  RunOptions options;
  options.threads = threads;
  return options;
}

// Small integers: every pre-activation is exact in any order of summation, and many are exactly
// zero.
template <typename T>
std::vector<T> integers(std::int64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(-2, 2);
  std::vector<T> out(size);
  for (T& x : out) x = static_cast<T>(value(random));
  return out;
}

template <typename T>
void packed_rows_follow_the_definition() {
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  const T tiny = std::numeric_limits<T>::denorm_min();
  const T special[] = {T(0), T(-0.0), nan, -nan, inf, -inf, tiny, -tiny, T(1), T(-1)};
  for (std::int64_t width : kWidths) {
    std::vector<T> z(width);
    std::mt19937 random(static_cast<unsigned>(width));
    for (T& value : z) value = special[random() % 10];
    std::vector<std::uint64_t> bits(ceil_div(width, 64), ~std::uint64_t{0});
    pack_kernels<T>().pack(z.data(), width, bits.data());
    for (std::int64_t r = 0; r < static_cast<std::int64_t>(bits.size()) * 64; ++r) {
      const bool expected = r < width && z[r] >= T(0);
      CHECK(((bits[r / 64] >> (r % 64)) & 1u) == expected);
    }
  }
}

template <typename T>
void expansion_is_the_way_back() {
  for (std::int64_t width : kWidths) {
    const std::int64_t words = ceil_div(width, 64);
    std::vector<std::uint64_t> bits(words);
    std::mt19937_64 random(static_cast<unsigned>(width));
    for (std::uint64_t& word : bits) word = random();
    std::vector<T> out(width + 1, T(77));
    pack_kernels<T>().expand(bits.data(), width, T(-2.5), out.data());
    for (std::int64_t r = 0; r < width; ++r) {
      CHECK(out[r] == ((bits[r / 64] >> (r % 64)) & 1u ? T(-2.5) : T(0)));
    }
    CHECK(out[width] == T(77));
  }
}

template <typename T>
void readout_is_the_masked_sum() {
  for (std::int64_t width : {1, 31, 32, 33, 63, 512}) {
    const std::vector<T> z = integers<T>(width, 5), a = integers<T>(width, 6);
    double expected = 0;  // small integers: exact
    for (std::int64_t r = 0; r < width; ++r)
      expected += double(a[r]) * (z[r] > 0 ? double(z[r]) : 0.0);
    CHECK(pack_kernels<T>().readout(z.data(), a.data(), width) == expected);
    for (std::int64_t position :
         {std::int64_t{0}, width - 1}) {  // an overflow must not look like a zero
      std::vector<T> bad = z;
      bad[position] = std::numeric_limits<T>::quiet_NaN();
      CHECK(std::isnan(pack_kernels<T>().readout(bad.data(), a.data(), width)));
    }
  }
}

template <typename T>
void patterns_against_the_naive_loop() {
  const std::int64_t dim = 7;
  for (std::int64_t n : {1, 5, 300}) {  // 300: more than one block of examples
    const std::vector<T> X = integers<T>(n * dim, 1);
    for (std::int64_t width : kWidths) {
      if (n == 300 && width < 512) continue;
      const std::vector<T> W = integers<T>(width * dim, 2);
      Neurons<T> neurons;
      neurons.stored = W.data();
      neurons.stride = dim;
      neurons.random.width = width;
      neurons.random.dim = dim;
      const std::int64_t words = pattern_words(width);
      CHECK(words % 8 == 0 && words * 64 >= width && words * 64 < width + kPanel);
      for (int threads : {1, 2, 3}) {
        const std::int64_t stride =
            words + 3;  // rows of a wider array; what lies between is not touched
        std::vector<std::uint64_t> bits(n * stride, ~std::uint64_t{0});
        const PatternsView view{bits.data(), n, words, stride};
        activation_patterns<T>(neurons, {X.data(), n, dim, dim}, view, with_threads(threads));
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t r = 0; r < words * 64; ++r) {
            T z = 0;
            for (std::int64_t k = 0; k < dim && r < width; ++k)
              z += W[r * dim + k] * X[i * dim + k];
            CHECK(bit(view, i, r) == (r < width && z >= 0));
          }
          for (std::int64_t w = words; w < stride; ++w) CHECK(view.row(i)[w] == ~std::uint64_t{0});
        }
      }
    }
  }
}

template <typename T>
void seeded_neurons_equal_stored_ones(bool antisymmetric) {
  const std::int64_t n = 20, dim = 6, width = 1400;
  Neurons<T> seeded;
  seeded.random = RandomNetwork{11, width, dim, antisymmetric};
  std::vector<T> W(width * dim), X(n * dim);
  seeded.random.weights(0, width, W.data(), dim);
  RandomNetwork{12, n, dim, false}.weights(0, n, X.data(), dim);
  Neurons<T> stored = seeded;
  stored.stored = W.data();
  stored.stride = dim;
  const std::int64_t words = pattern_words(width);
  std::vector<std::uint64_t> one(n * words), two(n * words, 5);
  activation_patterns<T>(seeded, {X.data(), n, dim, dim}, {one.data(), n, words, words},
                         with_threads(1));
  activation_patterns<T>(stored, {X.data(), n, dim, dim}, {two.data(), n, words, words},
                         with_threads(2));
  CHECK(one == two);
  const PatternsView view{one.data(), n, words, words};
  if (antisymmetric) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t r = 0; r < width / 2; ++r)
        CHECK(bit(view, i, r) == bit(view, i, r + width / 2));
    }
  }
}

}  // namespace

TEST(packing) {
  check::at_every_level([] {
    packed_rows_follow_the_definition<float>();
    packed_rows_follow_the_definition<double>();
  });
}

TEST(expansion) {
  check::at_every_level([] {
    expansion_is_the_way_back<float>();
    expansion_is_the_way_back<double>();
  });
}

TEST(readout) {
  check::at_every_level([] {
    readout_is_the_masked_sum<float>();
    readout_is_the_masked_sum<double>();
  });
}

TEST(patterns) {
  check::at_every_level([] {
    patterns_against_the_naive_loop<float>();
    patterns_against_the_naive_loop<double>();
  });
}

TEST(seeded_neurons) {
  check::at_every_level([] {
    for (bool antisymmetric : {false, true}) {
      seeded_neurons_equal_stored_ones<float>(antisymmetric);
      seeded_neurons_equal_stored_ones<double>(antisymmetric);
    }
  });
}

TEST(counts_and_differences) {
  check::at_every_level([] {
    for (std::int64_t words : {8, 16, 64, 1016}) {
      const std::int64_t n = 5, stride = words + 8;
      std::mt19937_64 random(static_cast<unsigned>(words));
      std::vector<std::uint64_t> a(n * stride), b(n * stride);
      for (auto& word : a) word = random();
      for (auto& word : b) word = random();
      std::memset(&a[stride], 0xff, words * 8);  // a full row, an empty one
      std::memset(&b[stride], 0, words * 8);
      std::vector<std::int64_t> counts(n, -1), differences(n, -1);
      for (int threads : {1, 3}) {
        pattern_counts({a.data(), n, words, stride}, counts.data(), with_threads(threads));
        pattern_differences({a.data(), n, words, stride}, {b.data(), n, words, stride},
                            differences.data(), with_threads(threads));
        for (std::int64_t i = 0; i < n; ++i) {
          std::int64_t count = 0, difference = 0;
          for (std::int64_t w = 0; w < words; ++w) {
            count += std::popcount(a[i * stride + w]);
            difference += std::popcount(a[i * stride + w] ^ b[i * stride + w]);
          }
          CHECK(counts[i] == count);
          CHECK(differences[i] == difference);
        }
      }
      CHECK(counts[1] == 64 * words && differences[1] == 64 * words);
    }
  });
}

TEST(patterns_can_be_interrupted) {
  Neurons<double> neurons;
  neurons.random = RandomNetwork{1, std::int64_t{1} << 40, 4, false};  // never finishes
  const double X[4] = {1, 2, 3, 4};
  std::vector<std::uint64_t> bits(64);
  RunOptions options = with_threads(1);
  options.poll_interval = 0;
  options.poll = [](std::int64_t done, std::int64_t) { return done >= 2; };
  CHECK_THROWS(
      activation_patterns<double>(neurons, {X, 1, 4, 4}, {bits.data(), 1, 64, 64}, options),
      Interrupted);
}

int main() { return check::run(); }
