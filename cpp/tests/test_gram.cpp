// Gram matrices: counts against naive bit loops, H against its definition, the limit kernels in
// long double.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"

using namespace lazygram;
using check::with_threads;

namespace {

struct Patterns {
  std::int64_t rows, words, stride;
  std::vector<std::uint64_t> bits;

  Patterns(std::int64_t rows_, std::int64_t words_, std::int64_t stride_, unsigned seed)
      : rows(rows_), words(words_), stride(stride_), bits(rows_ * stride_ + words_) {
    std::mt19937_64 random(seed);
    for (auto& word : bits) word = random() | random();  // three in four bits set
  }
  ConstPatternsView view() const { return {bits.data(), rows, words, stride}; }
};

std::int64_t naive(ConstPatternsView a, std::int64_t i, ConstPatternsView b, std::int64_t j) {
  std::int64_t count = 0;
  for (std::int64_t w = 0; w < a.cols; ++w) {
    for (std::uint64_t x = a.row(i)[w] & b.row(j)[w]; x; x &= x - 1) ++count;
  }
  return count;
}

void check_counts(ConstPatternsView a, ConstPatternsView b) {
  std::vector<std::int64_t> expected(a.rows * b.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < b.rows; ++j) expected[i * b.rows + j] = naive(a, i, b, j);
  }
  check::at_every_level([&] {
    for (int threads : {1, 2, 3}) {
      const std::int64_t stride = b.rows + 2;
      std::vector<std::int64_t> out(a.rows * stride, -7);
      coactivation_counts(a, b, {out.data(), a.rows, b.rows, stride}, with_threads(threads));
      for (std::int64_t i = 0; i < a.rows; ++i) {
        for (std::int64_t j = 0; j < b.rows; ++j)
          CHECK(out[i * stride + j] == expected[i * b.rows + j]);
        CHECK(out[i * stride + b.rows] == -7 && out[i * stride + b.rows + 1] == -7);
      }
    }
  });
}

const long double kPi = 3.141592653589793238462643383279502884L;

struct Reference {
  long double first, second;
};

// Closed forms in long double from the given entries; the angle by Kahan's formula on the scaled
// vectors.
template <typename T>
Reference limit_kernels(const T* x, const T* y, std::int64_t dim) {
  long double xx = 0, yy = 0;
  for (std::int64_t k = 0; k < dim; ++k) {
    xx += static_cast<long double>(x[k]) * x[k];
    yy += static_cast<long double>(y[k]) * y[k];
  }
  const long double nx = std::sqrt(xx), ny = std::sqrt(yy);
  long double minus = 0, plus = 0;
  for (std::int64_t k = 0; k < dim; ++k) {
    const long double d = x[k] / nx - y[k] / ny, s = x[k] / nx + y[k] / ny;
    minus += d * d;
    plus += s * s;
  }
  const long double theta = 2 * std::atan2(std::sqrt(minus), std::sqrt(plus));
  const long double psi = 2 * std::atan2(std::sqrt(plus), std::sqrt(minus));
  const long double scale = nx * ny / (2 * kPi);
  const long double first = scale * std::cos(theta) * psi;
  // sin psi - psi cos psi cancels at small psi; two terms of its series are exact enough there.
  const long double second = psi < 1e-4L ? scale * psi * psi * psi * (1.0L / 3 - psi * psi / 30)
                                         : scale * (std::sin(psi) - psi * std::cos(psi));
  return {first, second};
}

// Error of an entry in units of eps |x||x'|.
template <typename T>
double error(T value, long double expected, long double scale) {
  return static_cast<double>(std::abs(static_cast<long double>(value) - expected) /
                             (scale * std::numeric_limits<T>::epsilon()));
}

template <typename T>
void check_limit(const std::vector<T>& X, std::int64_t n, const std::vector<T>& Y, std::int64_t n2,
                 std::int64_t dim, double roundings) {
  const ConstMatrixView<T> x{X.data(), n, dim, dim}, y{Y.data(), n2, dim, dim};
  std::vector<T> reference;
  for (int threads : {1, 2}) {
    std::vector<T> out(3 * n * n2, T(-7));
    const TwoLayerKernels<T> kernels = {
        {out.data(), n, n2, n2}, {&out[n * n2], n, n2, n2}, {&out[2 * n * n2], n, n2, n2}};
    gram_infinite<T>(x, y, {kernels.first, kernels.second, {}}, with_threads(threads));
    gram_infinite<T>(x, y, {{}, {}, kernels.both}, with_threads(threads));
    std::vector<T> alone(n * n2);  // which outputs are asked for does not change them
    gram_infinite<T>(x, y, {{alone.data(), n, n2, n2}, {}, {}}, with_threads(threads));
    CHECK(std::equal(alone.begin(), alone.end(), out.begin()));
    gram_infinite<T>(x, y, {{}, {alone.data(), n, n2, n2}, {}}, with_threads(threads));
    CHECK(std::equal(alone.begin(), alone.end(), &out[n * n2]));
    gram_infinite<T>(x, y, {{}, {alone.data(), n, n2, n2}, {kernels.both}}, with_threads(threads));
    CHECK(std::equal(alone.begin(), alone.end(), &out[n * n2]));
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n2; ++j) {
        const Reference r = limit_kernels(x.row(i), y.row(j), dim);
        long double xx = 0, yy = 0;
        for (std::int64_t k = 0; k < dim; ++k) {
          xx += static_cast<long double>(x(i, k)) * x(i, k);
          yy += static_cast<long double>(y(j, k)) * y(j, k);
        }
        const long double scale = std::sqrt(xx) * std::sqrt(yy);
        CHECK(error(kernels.first(i, j), r.first, scale) < roundings);
        CHECK(error(kernels.second(i, j), r.second, scale) < roundings);
        CHECK(error(kernels.both(i, j), r.first + r.second, scale) < 2 * roundings);
      }
    }
    if (threads == 1) reference = out;
    CHECK(out == reference);
  }
}

template <typename T>
std::vector<T> normal(std::int64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> value;
  std::vector<T> out(size);
  for (T& x : out) x = static_cast<T>(value(random));
  return out;
}

}  // namespace

TEST(every_tile_of_a_grid_once) {
  for (std::int64_t rows : {1, 127, 128, 129, 400}) {
    for (std::int64_t cols : {1, 128, 300}) {
      for (bool symmetric : {false, true}) {
        if (symmetric && rows != cols) continue;
        const TileGrid grid{rows, cols, symmetric};
        std::vector<int> seen(rows * cols);
        for (std::int64_t index = 0; index < grid.count(); ++index) {
          const TileGrid::Tile t = grid.tile(index);
          CHECK(t.rows > 0 && t.cols > 0 && t.rows <= kGramTile && t.cols <= kGramTile);
          CHECK(t.diagonal == (symmetric && t.i == t.j));
          for (std::int64_t i = t.i; i < t.i + t.rows; ++i) {
            for (std::int64_t j = t.j; j < t.j + t.cols; ++j) ++seen[i * cols + j];
          }
        }
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < cols; ++j) {
            const bool wanted = !symmetric || i / kGramTile <= j / kGramTile;
            CHECK(seen[i * cols + j] == (wanted ? 1 : 0));
          }
        }
      }
    }
  }
}

TEST(counts_of_one_set) {
  for (std::int64_t n : {1, 2, 3, 4, 5, 7, 31, 32, 33, 63, 65, 127, 128, 129, 200}) {
    const Patterns p(n, n > 100 ? 8 : 24, n > 100 ? 8 : 24, static_cast<unsigned>(n));
    check_counts(p.view(), p.view());
  }
}

TEST(counts_of_two_sets) {
  const std::int64_t shapes[][2] = {{1, 1},  {1, 9},   {9, 1},    {4, 64},
                                    {65, 3}, {33, 70}, {129, 17}, {5, 200}};
  for (const auto& shape : shapes) {
    const Patterns a(shape[0], 16, 16, 3), b(shape[1], 16, 16, 4);
    check_counts(a.view(), b.view());
  }
}

TEST(counts_of_strided_and_repeated_rows) {
  const Patterns strided(37, 8, 13, 5), repeated(70, 40, 0, 6), other(9, 40, 41, 7);
  check_counts(strided.view(), strided.view());
  check_counts(repeated.view(), repeated.view());
  check_counts(repeated.view(), other.view());
  check_counts(other.view(), repeated.view());
}

// Long rows: past every flush, drain and chunk of the kernels (8176 bytes, 512 words), full rows
// among them.
TEST(counts_of_long_rows) {
  for (std::int64_t words : {504, 512, 520, 1016, 1024, 1032, 4096}) {
    Patterns p(6, words, words, 8);
    for (std::int64_t w = 0; w < 2 * words; ++w)
      p.bits[w] = ~std::uint64_t{0};  // rows 0 and 1 full
    check_counts(p.view(), p.view());
  }
}

TEST(counts_of_different_widths_are_refused) {
  const Patterns a(2, 8, 8, 1), b(2, 16, 16, 2);
  std::vector<std::int64_t> out(4);
  CHECK_THROWS(coactivation_counts(a.view(), b.view(), {out.data(), 2, 2, 2}, {}), ArgumentError);
}

// A count of 2^32 - 2^29 > 2^31: one row of 64-bit words with 56 bits set, seen by stride 0.
TEST(counts_above_2_31) {
  const std::int64_t words = std::int64_t{1} << 26;
  Buffer<std::uint64_t> row(words);
  for (std::int64_t w = 0; w < words; ++w) row[w] = ~std::uint64_t{0} >> 8;
  const ConstPatternsView view{row.data(), 1, words, 0};
  std::int64_t count = 0;
  coactivation_counts(view, view, {&count, 1, 1, 1}, {});
  CHECK(count == 56 * words && count > (std::int64_t{1} << 31));
  pattern_counts(view, &count, {});
  CHECK(count == 56 * words);
}

TEST(finite_gram_is_its_definition) {
  const std::int64_t dim = 5, width = 1000;
  const std::int64_t words = pattern_words(width);
  for (std::int64_t n : {1, 3, 129, 150}) {
    const Patterns p(n, words, words, 9), q(7, words, words, 10);
    const std::vector<double> X = normal<double>(n * dim, 11), Y = normal<double>(7 * dim, 12);
    const ConstMatrixView<double> x{X.data(), n, dim, dim}, y{Y.data(), 7, dim, dim};
    for (bool rectangular : {false, true}) {
      const ConstPatternsView b = rectangular ? q.view() : p.view();
      const ConstMatrixView<double> z = rectangular ? y : x;
      std::vector<double> reference;
      check::at_every_level([&] {
        for (int threads : {1, 2, 3}) {
          std::vector<double> out(n * b.rows, -7.0);
          const MatrixView<double> h{out.data(), n, b.rows, b.rows};
          gram_finite(p.view(), x, b, z, width, h, with_threads(threads));
          if (reference.empty()) reference = out;
          CHECK(out == reference);  // no BLAS here, so the same bits at every level too
          for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j < b.rows; ++j) {
              double dot = 0, size = 0;
              for (std::int64_t k = 0; k < dim; ++k) {
                dot += x(i, k) * z(j, k);
                size += std::abs(x(i, k) * z(j, k));
              }
              const double share =
                  static_cast<double>(naive(p.view(), i, b, j)) / static_cast<double>(width);
              CHECK(std::abs(h(i, j) - dot * share) <= 8 * 2.3e-16 * size * share);
              if (!rectangular) CHECK(h(i, j) == h(j, i));
            }
          }
        }
      });
    }
  }
}

TEST(finite_gram_refuses_inputs_that_do_not_fit) {
  const Patterns p(3, 8, 8, 1), q(2, 8, 8, 2);
  const std::vector<double> X(20, 1.0), Y(20, 2.0);
  std::vector<double> out(9);
  const MatrixView<double> h{out.data(), 3, 3, 3};
  const ConstMatrixView<double> x{X.data(), 3, 4, 4}, narrow{X.data(), 3, 3, 4},
      y{Y.data(), 3, 4, 4};
  CHECK_THROWS(gram_finite(p.view(), x, q.view(), x, 512, h, {}), ArgumentError);
  CHECK_THROWS(gram_finite(p.view(), x, p.view(), narrow, 512, h, {}), ArgumentError);
  // The same patterns mean one triangle only, so the examples must be the same too.
  CHECK_THROWS(gram_finite(p.view(), x, p.view(), y, 512, h, {}), ArgumentError);
}

TEST(limit_of_random_inputs) {
  check::at_every_level([] {
    const auto X = normal<double>(20 * 9, 1), Y = normal<double>(13 * 9, 2);
    check_limit<double>(X, 20, X, 20, 9, 30);
    check_limit<double>(X, 20, Y, 13, 9, 30);
    const auto F = normal<float>(20 * 9, 3), G = normal<float>(13 * 9, 4);
    check_limit<float>(F, 20, F, 20, 9, 30);
    check_limit<float>(F, 20, G, 13, 9, 30);
    const auto line = normal<double>(6, 5);  // dimension 1: only parallel and antiparallel pairs
    check_limit<double>(line, 6, line, 6, 1, 4);
  });
}

// More than the caches hold: written past them, from several tiles.
TEST(limit_of_many_inputs) {
  const std::int64_t n = 2090, dim = 3;
  const auto X = normal<double>(n * dim, 31);
  const ConstMatrixView<double> x{X.data(), n, dim, dim};
  std::vector<double> first(n * n), second(n * n), again(n * n);
  const auto run = [&](double* a, double* b, int threads) {
    gram_infinite<double>(x, x, {{a, n, n, n}, {b, n, n, n}, {}}, with_threads(threads));
  };
  run(first.data(), second.data(), 1);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      CHECK(first[i * n + j] == first[j * n + i] && second[i * n + j] == second[j * n + i]);
      if ((i * 31 + j) % 97) continue;
      const Reference r = limit_kernels(x.row(i), x.row(j), dim);
      const Reference a = limit_kernels(x.row(i), x.row(i), dim);
      const Reference b = limit_kernels(x.row(j), x.row(j), dim);
      const long double scale = 2 * std::sqrt(a.first * b.first);  // |x||x'|
      CHECK(error(first[i * n + j], r.first, scale) < 30);
      CHECK(error(second[i * n + j], r.second, scale) < 30);
    }
  }
  run(again.data(), second.data(), 2);
  CHECK(again == first);
}

// Parallel, antiparallel, 1e-9 away from either, other norms, and both sides of the switch at |cos|
// = 0.999.
TEST(limit_near_parallel_and_antiparallel) {
  check::at_every_level([] {
    const std::int64_t dim = 3;
    std::vector<double> X = {1, 2, 3};
    for (double factor : {1.0, -1.0, 2.0, -0.3}) {
      for (double angle : {0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.04470, 0.04474, 0.05}) {
        // (3, 0, -1) is orthogonal to (1, 2, 3); its norm is sqrt(10), that of the first sqrt(14).
        const double t = std::tan(angle) * std::sqrt(14.0 / 10.0);
        X.insert(X.end(), {factor * (1 + 3 * t), factor * 2, factor * (3 - t)});
      }
    }
    const std::int64_t n = static_cast<std::int64_t>(X.size()) / dim;
    check_limit<double>(X, n, X, n, dim, 30);
    const std::vector<float> F(X.begin(), X.end());
    check_limit<float>(F, n, F, n, dim, 30);
  });
}

// K_a of nearly antiparallel inputs is about psi^3: right to the relative accuracy that psi itself
// has, 3 d psi / psi with d psi a few roundings of the unit vectors.
TEST(second_layer_kernel_near_antiparallel_is_relatively_accurate) {
  const double x[2] = {1, 0};
  for (double psi : {1e-2, 1e-4, 1e-6, 1e-9}) {
    const double y[2] = {-std::cos(psi), std::sin(psi)};
    double value = 0;
    gram_infinite<double>({x, 1, 2, 2}, {y, 1, 2, 2}, {{}, {&value, 1, 1, 1}, {}}, {});
    const long double expected = limit_kernels(x, y, 2).second;
    CHECK(std::abs(value - expected) <= expected * (1e-14L + 3 * 4.5e-16L / psi));
  }
}

TEST(limit_of_huge_and_tiny_norms) {
  check::at_every_level([] {
    const auto X = normal<double>(8 * 4, 6);
    for (double factor : {1e-150, 1e150}) {
      std::vector<double> scaled = X;
      for (double& value : scaled) value *= factor;
      check_limit<double>(scaled, 8, scaled, 8, 4, 30);
      check_limit<double>(scaled, 8, X, 8, 4, 30);
    }
    const auto F = normal<float>(8 * 4, 6);
    for (float factor : {1e-15f, 1e15f}) {
      std::vector<float> scaled = F;
      for (float& value : scaled) value *= factor;
      check_limit<float>(scaled, 8, scaled, 8, 4, 30);
    }
  });
}

TEST(limit_is_symmetric_and_half_the_square_on_the_diagonal) {
  check::at_every_level([] {
    const std::int64_t n = 701,
                       dim = 6;  // more than one tile, and edges that are no multiple of a block
    const auto X = normal<double>(n * dim, 13);
    const ConstMatrixView<double> x{X.data(), n, dim, dim};
    std::vector<double> first(n * n), second(n * n);
    gram_infinite<double>(x, x, {{first.data(), n, n, n}, {second.data(), n, n, n}, {}},
                          with_threads(2));
    for (std::int64_t i = 0; i < n; ++i) {
      double square = 0;
      for (std::int64_t k = 0; k < dim; ++k) square += x(i, k) * x(i, k);
      CHECK(std::abs(first[i * n + i] - square / 2) < 1e-15 * square);
      CHECK(first[i * n + i] == second[i * n + i]);  // theta_ii = 0 exactly
      for (std::int64_t j = 0; j < n; ++j) {
        CHECK(first[i * n + j] == first[j * n + i]);
        CHECK(second[i * n + j] == second[j * n + i]);
      }
    }
  });
}

TEST(limit_of_a_zero_row_is_zero) {
  const double X[4] = {0, 0, 1, 2};
  double first[4], second[4];
  const ConstMatrixView<double> x{X, 2, 2, 2};
  gram_infinite<double>(x, x, {{first, 2, 2, 2}, {second, 2, 2, 2}, {}}, {});
  CHECK(first[0] == 0 && first[1] == 0 && first[2] == 0 && std::abs(first[3] - 2.5) < 1e-15);
  CHECK(second[0] == 0 && second[1] == 0 && second[2] == 0);
  CHECK_THROWS(gram_infinite<double>(x, {X, 2, 1, 2}, {{first, 2, 2, 2}, {}, {}}, {}),
               ArgumentError);
}

TEST(a_long_count_can_be_interrupted_inside_a_tile) {
  const Patterns p(128, 8192, 8192, 14);  // one tile
  std::vector<std::int64_t> out(128 * 128);
  RunOptions options = with_threads(1);
  options.poll_interval = 0;
  int polls = 0;
  options.poll = [&](std::int64_t done, std::int64_t total) {
    CHECK(done == 0 && total == 1);
    return ++polls == 2;
  };
  CHECK_THROWS(coactivation_counts(p.view(), p.view(), {out.data(), 128, 128, 128}, options),
               Interrupted);
  CHECK(polls == 2);
}

int main() { return check::run(); }
