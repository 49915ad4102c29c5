// Cosines of unit vectors, series of functions of an angle and the loops over them, and the
// products K v made of both: against closed forms and direct sums in extended precision, at every
// level.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "gram/angle_loops.hpp"
#include "gram/angle_series.hpp"
#include "gram/cosines.hpp"
#include "gram/directions.hpp"
#include "lazygram/tiles.hpp"

using namespace lazygram;
using Long = long double;

static const Long kPiL = 3.14159265358979323846264338327950288L;

static std::vector<double> gaussian(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(count);
  for (double& v : x) v = normal(generator);
  return x;
}

// The two-layer NTK of unit vectors, and a function of a deep network's kind: varying near 0.
static Long two_layer(Long t) { return (std::sin(t) + 2 * (kPiL - t) * std::cos(t)) / (2 * kPiL); }
static Long steep(Long t) { return 1 / (1 + 4 * t) + std::cos(t) / 3; }

static AngleFunction fit(AngleVariable variable, Long (*f)(Long)) {
  std::vector<Long> values;
  for (Long t : angle_samples(variable)) values.push_back(f(t));
  return fit_angle_function(variable, values, 3e-16);
}

TEST(series_fit_what_is_analytic) {
  struct Case {
    Long (*f)(Long);
    AngleVariable variable;
  };
  for (const auto& [f, variable] :
       {Case{two_layer, {}}, Case{two_layer, {0, 32}}, Case{steep, {1, 64}}}) {
    const AngleFunction function = fit(variable, f);
    CHECK(function.resolved);
    for (int k = 0; k <= 1000; ++k) {
      const Long t = kPiL * k / 1000;
      const double found = evaluate(variable, function, static_cast<double>(std::cos(t)),
                                    static_cast<double>(std::sin(t)));
      CHECK(std::abs(found - f(t)) <= 1e-15L * f(0));
    }
  }
  // cos theta O(z) of the two-layer NTK is pi / 2 times cos theta, over pi: one term.
  const AngleFunction function = fit({}, two_layer);
  CHECK(function.wide.odd.size() == 1 && std::abs(function.wide.odd[0] - 0.5) < 1e-15);
  CHECK(function.narrow.even.size() < 12);
  CHECK(!fit({}, [](Long t) { return std::abs(t - 1); }).resolved);
}

// A series in T as the loops take it.
template <typename T>
struct Held {
  std::vector<T> even, odd;
  AngleSeries<T> series{};
  Held(AngleVariable variable, const AngleFunction& function) {
    const AngleFunction::Parts& parts = sizeof(T) == 4 ? function.narrow : function.wide;
    even.assign(parts.even.begin(), parts.even.end());
    odd.assign(parts.odd.begin(), parts.odd.end());
    series.shift = static_cast<T>(variable.shift);
    series.slope = static_cast<T>(variable.slope());
    series.near = T(0.998);
    series.count = 1;
    series.function[0] = {even.data(), odd.data(), static_cast<int>(even.size()),
                          static_cast<int>(odd.size()), T(0)};
  }
};

template <typename T>
static std::vector<T> cosines(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-0.998, 0.998);
  std::vector<T> c(count);
  for (T& v : c) v = static_cast<T>(uniform(generator));
  return c;
}

template <typename T>
static void expect_rows(AngleVariable variable, Long (*f)(Long)) {
  const Held<T> held(variable, fit(variable, f));
  const T eps = std::numeric_limits<T>::epsilon();
  // The sine of an angle near that bound carries 16 roundings of its cosine, z twice as many and
  // steep() five times those.
  const Long tolerance = 16 * 2 * 5 * eps;
  for (const std::int64_t count : {1, 2, 7, 15, 16, 17, 63, 64, 65, 200}) {
    AngleSeries<T> series = held.series;
    const T sine[2] = {T(0.5), T(0.5)};
    series.count = 3;  // f, not written; f + sin; 2 f + sin
    series.function[1] = {sine, nullptr, 2, 0, T(1)};
    series.function[2] = {sine, nullptr, 2, 0, T(2)};
    if (variable.shift > 0) series.count = 1;
    const std::vector<T> c = cosines<T>(count, 1), right = cosines<T>(count, 2);
    std::vector<T> first(count + 1, T(-7)), second(first), third(first);
    T* out[3] = {first.data(), second.data(), third.data()};
    CHECK(!angle_loops<T>().row(series, c.data(), T(3), right.data(), count, out));
    std::vector<T> alone(count);
    T* one[3] = {nullptr, alone.data(), nullptr};
    angle_loops<T>().row(series, c.data(), T(3), right.data(), count, one);
    for (std::int64_t j = 0; j < count; ++j) {
      const Long t = std::acos(static_cast<Long>(c[j])), scale = 3 * static_cast<Long>(right[j]);
      CHECK(std::abs(first[j] - scale * f(t)) <= tolerance * 3);
      if (series.count == 1) continue;
      CHECK(std::abs(second[j] - scale * (f(t) + std::sin(t))) <= tolerance * 3);
      CHECK(std::abs(third[j] - scale * (2 * f(t) + std::sin(t))) <= tolerance * 3);
      CHECK(alone[j] == second[j]);
    }
    CHECK(first[count] == T(-7) && second[count] == T(-7));
    for (const T near : {T(1), T(-1), T(1.0000002), T(0.9995)}) {  // wherever it stands
      std::vector<T> some = c;
      some[count - 1] = near;
      CHECK(angle_loops<T>().row(series, some.data(), T(3), right.data(), count, out));
    }
  }
}

TEST(rows_of_functions) {
  check::at_every_level([] {
    expect_rows<float>({}, two_layer);
    expect_rows<double>({}, two_layer);
    expect_rows<float>({1, 64}, steep);
    expect_rows<double>({1, 64}, steep);
  });
}

template <typename T>
static void expect_sums() {
  const Held<T> held({}, fit({}, two_layer));
  const T eps = std::numeric_limits<T>::epsilon();
  const std::int64_t stride = 96;
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 13}) {
    for (const std::int64_t count : {16, 32, 80}) {
      std::vector<T> c = cosines<T>(rows * stride, 3);
      const std::vector<T> v = cosines<T>(count, 4), w = cosines<T>(rows, 5);
      for (const bool near : {false, true}) {
        if (near) c[0] = T(1), c[(rows - 1) * stride + count - 1] = T(-1.0000002);
        for (const bool both : {false, true}) {
          std::vector<T> left(rows, T(1)), right(count + 1, T(2));
          CHECK(angle_loops<T>().sums(held.series, c.data(), stride, rows, count, v.data(),
                                      both ? w.data() : nullptr, left.data(),
                                      right.data()) == near);
          const auto value = [&](std::int64_t r, std::int64_t j) -> Long {
            const Long cosine = c[r * stride + j];
            return cosine * cosine > held.series.near ? 0 : two_layer(std::acos(cosine));
          };
          const Long tolerance = 40 * eps * std::max(rows, count);
          for (std::int64_t r = 0; r < rows; ++r) {
            Long sum = 1;
            for (std::int64_t j = 0; j < count; ++j) sum += value(r, j) * v[j];
            CHECK(std::abs(left[r] - sum) <= tolerance);
          }
          for (std::int64_t j = 0; j < count; ++j) {
            Long sum = 2;
            for (std::int64_t r = 0; r < rows && both; ++r) sum += value(r, j) * w[r];
            CHECK(std::abs(right[j] - sum) <= (both ? tolerance : 0));
          }
          CHECK(right[count] == T(2));
        }
      }
    }
  }
}

TEST(sums_of_strips) {
  check::at_every_level([] {
    expect_sums<float>();
    expect_sums<double>();
  });
}

template <typename T>
static void expect_transposed() {
  for (const std::int64_t rows : {1, 3, 4, 17})
    for (const std::int64_t cols : {1, 2, 5, 16, 33}) {
      const std::vector<T> in = cosines<T>(rows * 40, 6);
      std::vector<T> out(cols * 20, T(-7));
      angle_loops<T>().transpose(in.data(), 40, rows, cols, out.data(), 20);
      for (std::int64_t j = 0; j < cols; ++j)
        for (std::int64_t i = 0; i < 20; ++i)
          CHECK(out[j * 20 + i] == (i < rows ? in[i * 40 + j] : T(-7)));
    }
}

TEST(transposition) {
  check::at_every_level([] {
    expect_transposed<float>();
    expect_transposed<double>();
  });
}

template <typename T>
static void expect_copied() {
  const std::vector<T> in = cosines<T>(3 * 90, 12);
  for (const bool stream : {false, true})
    for (const std::int64_t cols : {1, 7, 16, 40, 85})
      for (std::int64_t offset = 0; offset < 18; ++offset) {
        std::vector<T> out(3 * 110 + 18, T(-7));
        angle_loops<T>().copy(in.data() + 1, 90, 3, cols, out.data() + offset, 110, stream);
        for (std::int64_t k = 0; k < static_cast<std::int64_t>(out.size()); ++k) {
          const std::int64_t row = (k - offset) / 110, column = (k - offset) % 110;
          const bool inside = k >= offset && row < 3 && column < cols;
          CHECK(out[k] == (inside ? in[row * 90 + 1 + column] : T(-7)));
        }
      }
}

TEST(copies_past_the_caches) {
  check::at_every_level([] {
    expect_copied<float>();
    expect_copied<double>();
  });
}

template <typename T>
static void expect_cosines(std::int64_t n, std::int64_t n2, std::int64_t d) {
  const std::vector<double> x = gaussian(n * d, 7), y = gaussian(n2 * d, 8);
  const Directions<T> left(ConstMatrixView<double>{x.data(), n, d, d});
  const Directions<T> right(ConstMatrixView<double>{y.data(), n2, d, d});
  const std::int64_t edge = 64;
  Buffer<T> scratch = strip_scratch<T>(edge);
  const auto check_tile = [&](const Directions<T>& other, const TileGrid::Tile& t) {
    std::int64_t next = 0;
    for_strips(left, other, t, edge, scratch.data(),
               [&](std::int64_t r, std::int64_t rows, const T* cosine) {
                 CHECK(r == next);
                 next = r + rows;
                 for (std::int64_t a = 0; a < rows; ++a)
                   for (std::int64_t c = t.diagonal ? r : 0; c < t.cols; ++c) {
                     Long sum = 0;
                     for (std::int64_t k = 0; k < d; ++k)
                       sum += static_cast<Long>(left.at(t.i + r + a)[k * left.step]) *
                              other.at(t.j + c)[k * other.step];
                     // Each of d products and sums of at most 1 in all, rounded.
                     CHECK(std::abs(cosine[a * strip_stride(edge) + c] - sum) <=
                           2 * static_cast<Long>(d) * std::numeric_limits<T>::epsilon());
                   }
               });
    CHECK(next == t.rows);
  };
  check_tile(right, {0, 0, std::min(n, edge), std::min(n2, edge), false});
  if (n > 40 && n2 > 40) check_tile(right, {5, 37, n - 5 > edge ? edge : n - 5, n2 - 37, false});
  check_tile(left, {0, 0, std::min(n, edge), std::min(n, edge), true});
  if (n > 40) check_tile(left, {7, 7, 29, 29, true});
  for (std::int64_t i = 0; i < n; ++i) {
    Long square = 0;
    for (std::int64_t k = 0; k < d; ++k) {
      const Long unit = left.at(i)[k * left.step];
      square += unit * unit;
      CHECK(std::abs(unit * left.norm[i] - x[i * d + k]) <=
            2 * std::numeric_limits<T>::epsilon() * left.norm[i]);
    }
    // Coordinates rounded to T, by a length that is a sum of d terms in float64.
    CHECK(std::abs(square - 1) <=
          2 * std::numeric_limits<T>::epsilon() +
              static_cast<Long>(d) * std::numeric_limits<double>::epsilon());
  }
}

TEST(cosines_of_tiles) {
  check::at_every_level([] {
    for (const std::int64_t d : {1, 5, 64, 300, 600}) {  // the last: too long for bundles
      expect_cosines<float>(70, 45, d);
      expect_cosines<double>(33, 90, d);
    }
    expect_cosines<float>(1, 1, 3);
    expect_cosines<double>(31, 64, 3);
  });
}

TEST(angles_of_nearly_parallel_vectors) {
  for (const double angle : {1e-12, 1e-7, 1e-3, 0.1}) {
    const double both[] = {
        1, 0, std::cos(angle), std::sin(angle), -std::cos(angle), std::sin(angle)};
    const Directions<double> x(ConstMatrixView<double>{both, 3, 2, 2});
    const Angle near = angle_between(x, 0, x, 1), far = angle_between(x, 0, x, 2);
    CHECK(std::abs(near.sine - std::sin(angle)) <= 1e-15 * angle);
    CHECK(std::abs(far.sine - std::sin(angle)) <= 1e-15 * angle);
    CHECK(std::abs(near.cosine - std::cos(angle)) <= 4e-16 &&
          std::abs(far.cosine + near.cosine) <= 4e-16);
  }
  const double same[] = {0.1, 0.2, 0.3, 0.1, 0.2, 0.3};
  const Directions<double> x(ConstMatrixView<double>{same, 2, 3, 3});
  CHECK(angle_between(x, 0, x, 1).sine == 0 && angle_between(x, 0, x, 1).cosine == 1);
}

// Two-layer NTK of two examples as given, the angle by Kahan's formula.
static Long ntk(const double* x, const double* y, std::int64_t d) {
  Long xx = 0, yy = 0, minus = 0, plus = 0;
  for (std::int64_t k = 0; k < d; ++k) {
    xx += static_cast<Long>(x[k]) * x[k];
    yy += static_cast<Long>(y[k]) * y[k];
  }
  if (xx == 0 || yy == 0) return 0;
  const Long a = std::sqrt(xx), b = std::sqrt(yy);
  for (std::int64_t k = 0; k < d; ++k) {
    minus += (x[k] / a - y[k] / b) * (x[k] / a - y[k] / b);
    plus += (x[k] / a + y[k] / b) * (x[k] / a + y[k] / b);
  }
  return a * b * two_layer(2 * std::atan2(std::sqrt(minus), std::sqrt(plus)));
}

// Random rows, and among them zero ones, multiples, opposites and neighbours at small angles.
static std::vector<double> awkward(std::int64_t n, std::int64_t d, unsigned seed) {
  std::vector<double> x = gaussian(n * d, seed);
  const auto copy = [&](std::int64_t to, std::int64_t from, double factor, double push) {
    if (to >= n || from >= n) return;
    for (std::int64_t k = 0; k < d; ++k) x[to * d + k] = factor * x[from * d + k];
    x[to * d] += push;
  };
  copy(2, 2, 0, 0);
  copy(3, 0, 1, 0);
  copy(5, 0, -2, 0);
  copy(6, 1, 1, 1e-6);
  copy(n - 1, 1, -1, 1e-3);
  copy(n / 2, 1, 0.5, 0.02);
  return x;
}

static void expect_product(std::int64_t n, std::int64_t n2, std::int64_t d, Precision precision) {
  Program p(std::nullopt);
  p.affine(1, 0, 1, 0);
  p.activation({Dual::rectified(1, 1, 0, 0), Dual::rectified(0, 1, 0, 1), true, "relu"}, 1);
  p.affine(1, 0, 1, 0);
  const bool symmetric = n2 == 0;
  const std::int64_t cols = symmetric ? n : n2;
  std::vector<double> x = awkward(n, d, 9), y = symmetric ? x : awkward(n2, d, 10);
  if (precision == Precision::single) {  // the inputs themselves must not be rounded
    for (auto* part : {&x, &y})
      for (double& value : *part) value = static_cast<float>(value);
  }
  const Evaluation e(
      p, {x.data(), n, d, d},
      symmetric ? ConstMatrixView<double>{} : ConstMatrixView<double>{y.data(), n2, d, d},
      {{Output::Kind::ntk, 0}}, nullptr, {}, precision);
  CHECK(e.by_angles());
  const std::vector<double> v = gaussian(2 * cols, 11);
  std::vector<double> one(n), three(n), columns(2 * n);
  e.product(0, {v.data(), cols, 1, 2}, {one.data(), n, 1, 1}, check::with_threads(1));
  e.product(0, {v.data(), cols, 1, 2}, {three.data(), n, 1, 1}, check::with_threads(3));
  e.product(0, {v.data(), cols, 2, 2}, {columns.data(), n, 2, 2}, check::with_threads(2));
  CHECK(std::memcmp(one.data(), three.data(), n * sizeof(double)) == 0);
  // An entry is right to about 30 roundings of |x||y| (test_gram.cpp), a tile adds up to 256 of
  // them.
  const Long eps = precision == Precision::single ? std::numeric_limits<float>::epsilon()
                                                  : std::numeric_limits<double>::epsilon();
  const auto norms = [d](const std::vector<double>& rows) {
    std::vector<Long> out;
    for (std::size_t i = 0; i < rows.size(); i += d)
      out.push_back(std::sqrt(ntk(&rows[i], &rows[i], d)));
    return out;
  };
  const std::vector<Long> left = norms(x), right = norms(y);
  for (std::int64_t i = 0; i < n; ++i) {
    Long sums[2] = {0, 0}, sizes[2] = {0, 0};
    for (std::int64_t j = 0; j < cols; ++j) {
      const Long entry = ntk(&x[i * d], &y[j * d], d), size = left[i] * right[j];
      for (int c : {0, 1}) {
        sums[c] += entry * v[2 * j + c];
        sizes[c] += size * std::abs(static_cast<Long>(v[2 * j + c]));
      }
    }
    CHECK(std::abs(one[i] - sums[0]) <= 64 * eps * sizes[0]);
    for (int c : {0, 1}) CHECK(std::abs(columns[2 * i + c] - sums[c]) <= 64 * eps * sizes[c]);
  }
}

TEST(products_with_vectors) {
  check::at_every_level([] {
    for (const Precision precision : {Precision::single, Precision::automatic}) {
      for (const std::int64_t n : {1, 7, 33, 257}) expect_product(n, 0, 5, precision);
      expect_product(263, 0, 1, precision);
      expect_product(40, 0, 600, precision);
      expect_product(150, 0, 65, precision);
      expect_product(270, 41, 20, precision);
      expect_product(9, 290, 20, precision);
    }
  });
}

int main() { return check::run(); }
