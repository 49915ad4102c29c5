// Duals: building blocks against libm in extended precision, formulas against textbook forms, every
// level, errors.
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "check.hpp"
#include "lazygram/duals.hpp"
#include "lazygram/error.hpp"

using namespace lazygram;
using Long = long double;

static const Long kPiL = 3.14159265358979323846264338327950288L;

// One dual of one covariance, by way of the array function.
static double at(const Dual& formula, double p, double q, double r) {
  double out = -99;
  dual<double>(formula, {&r, 1, 1, 1}, {&p, 0, 0}, {&q, 0, 0}, {&out, 1, 1, 1}, {});
  return out;
}

// |value - truth| <= 1e-13 max(|truth|, 1e-3): the specification's tolerance.
static bool close(double value, Long truth) {
  return std::abs(static_cast<Long>(value) - truth) <= 1e-13L * std::max(std::abs(truth), 1e-3L);
}

TEST(exponential_and_angle) {
  for (double x = -740; x < 709; x += 0.37) {
    const Long truth = std::exp(static_cast<Long>(x));
    CHECK(std::abs(duals::exponential(x) - truth) <= 4e-16L * truth + 5e-324L);
  }
  CHECK(duals::exponential(-1e6) == 0 && std::isinf(duals::exponential(1e6)));
  for (double x = 0; x > -60; x = 1.07 * x - 1e-9) {
    const Long truth = std::expm1(static_cast<Long>(x));
    CHECK(std::abs(duals::exponential_minus_one(x) - truth) <= 5e-16L * std::abs(truth));
  }
  for (double y = 1e-300; y < 1e300; y *= 1.9) {
    for (double x : {0.0, 1e-200, 0.3, 1.0, 7.0, 1e250}) {
      const Long truth = std::atan2(static_cast<Long>(y), static_cast<Long>(x));
      CHECK(std::abs(duals::quadrant_angle(y, x) - truth) <= 6e-16L * truth + 1e-307L);
      const Long wide = std::atan2(static_cast<Long>(y), static_cast<Long>(-x));
      CHECK(std::abs(duals::half_plane_angle(y, -x) - wide) <= 6e-16L * wide);
    }
  }
  CHECK(duals::quadrant_angle(0, 0) == 0);
}

TEST(determinant_keeps_its_relative_accuracy) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.1, 3);
  for (int trial = 0; trial < 2000; ++trial) {
    const double p = uniform(random), q = uniform(random);
    const double r = std::sqrt(p * q) * (1 - std::pow(10.0, -uniform(random) * 5));
    // 106 bits by two long double products split in halves.
    const Long hi_p = static_cast<float>(p), lo_p = p - hi_p;
    const Long hi_r = static_cast<float>(r), lo_r = r - hi_r;
    const Long truth = ((hi_p * q - hi_r * r) + lo_p * q) - lo_r * r;
    CHECK(std::abs(duals::determinant(p, q, r) - truth) <=
          1e-15L * std::abs(truth) + 1e-18L * p * q);
  }
  CHECK(duals::determinant(0.1, 0.1, 0.1) == 0);
}

// Textbook forms by acos in extended precision, away from |rho| = 1 where acos is good.
TEST(arc_cosine_family) {
  check::at_every_level([] {
    const Dual relu = Dual::rectified(1, 1, 0, 0), step = Dual::rectified(0, 1, 0, 1);
    const Dual leaky = Dual::rectified(1, 1, -0.3, 0), cubic = Dual::rectified(3, 1, 0, 0);
    for (double rho = -0.95; rho < 1; rho += 0.05) {
      for (double p : {1e-12, 0.3, 1.0, 9.0, 1e6}) {
        const double q = 2.0, r = rho * std::sqrt(p * q);
        const Long m = std::sqrt(static_cast<Long>(p) * q), c = r / m, t = std::acos(c),
                   s = std::sin(t);
        const Long j1 = s + (kPiL - t) * c;
        CHECK(close(at(step, p, q, r), (kPiL - t) / (2 * kPiL)));
        CHECK(close(at(relu, p, q, r), m * j1 / (2 * kPiL)));
        CHECK(close(at(leaky, p, q, r), 0.49L * m * j1 / (2 * kPiL) + 0.3L * r));
        const Long j3 = 15 * s - 11 * s * s * s + (kPiL - t) * (9 * c + 6 * c * c * c);
        CHECK(std::abs(at(cubic, p, q, r) - m * m * m * j3 / (2 * kPiL)) <=
              1e-13L * m * m * m * std::max(j3, 0.1L));
      }
    }
    // The corners are exact.
    CHECK(at(relu, 1, 1, 1) == 0.5 && at(relu, 1, 1, -1) == 0 && at(step, 4, 9, 6) == 0.5);
    CHECK(at(step, 4, 9, -6) == 0 && at(step, 0, 0, 0) == 1 && at(step, 0, 1, 0) == 0.5);
    CHECK(at(relu, 0, 1, 0) == 0);
  });
}

TEST(smooth_closed_forms) {
  check::at_every_level([] {
    for (double rho = -1; rho <= 1; rho += 0.125) {
      for (double p : {1e-12, 0.25, 1.0, 4.0}) {
        const double q = 1.0, r = rho * std::sqrt(p);
        const Long P = p, R = r, Q = q;
        CHECK(close(at(Dual::erf(1, false), p, q, r),
                    2 / kPiL * std::asin(2 * R / std::sqrt((1 + 2 * P) * (1 + 2 * Q)))));
        CHECK(close(at(Dual::erf(1, true), p, q, r),
                    4 / kPiL / std::sqrt((1 + 2 * P) * (1 + 2 * Q) - 4 * R * R)));
        CHECK(close(at(Dual::trigonometric(1, 1, kPiL / 2), p, q, r),
                    std::exp(-(P + Q) / 2) * std::sinh(R)));
        CHECK(close(at(Dual::trigonometric(1, 1, 0), p, q, r),
                    std::exp(-(P + Q) / 2) * std::cosh(R)));
        CHECK(close(at(Dual::exponential(1, false), p, q, r), std::exp((P + Q) / 2 + R)));
        CHECK(
            close(at(Dual::gaussian(1, false), p, q, r), 1 / std::sqrt((1 + P) * (1 + Q) - R * R)));
        CHECK(close(at(Dual::polynomial({0, 0, 1}), p, q, r), P * Q + 2 * R * R));
        CHECK(close(at(Dual::polynomial({0, -3, 0, 1}), 1, 1, rho),
                    6 * static_cast<Long>(rho) * rho * rho));
        const Long D = std::sqrt((1 + P) * (1 + Q) - R * R), S = (1 + P) * (1 + Q);
        CHECK(close(at(Dual::gelu(false), p, q, r),
                    (R * std::atan2(D, -R) + (P * Q * D * D + R * R) / (D * S)) / (2 * kPiL)));
      }
    }
  });
}

// Price's theorem: the derivative dual is dE/dr, by a central difference of fourth order.
TEST(price_theorem) {
  const std::vector<std::pair<Dual, Dual>> pairs = {
      {Dual::rectified(1, 1, -0.2, 0), Dual::rectified(0, 1, 0.2, 1)},
      {Dual::rectified(2, 1, 0.5, 0), Dual::rectified(1, 2, -1, 0)},
      {Dual::polynomial({1, 2, 3, 4}), Dual::polynomial({2, 6, 12})},
      {Dual::trigonometric(2, 1.5, 0.3),
       Dual::trigonometric(3, 1.5, 0.3 + static_cast<double>(kPiL) / 2)},
      {Dual::exponential(0.7, false), Dual::exponential(0.7, true)},
      {Dual::gaussian(1.3, false), Dual::gaussian(1.3, true)},
      {Dual::erf(0.8, false), Dual::erf(0.8, true)},
      {Dual::gelu(false), Dual::gelu(true)},
  };
  const double h = 1e-3;
  for (const auto& [value, derivative] : pairs) {
    for (double r : {-0.9, -0.3, 0.0, 0.4, 1.0}) {
      const double p = 1.2, q = 1.6;
      const double slope = (8 * (at(value, p, q, r + h) - at(value, p, q, r - h)) -
                            (at(value, p, q, r + 2 * h) - at(value, p, q, r - 2 * h))) /
                           (12 * h);
      CHECK(std::abs(slope - at(derivative, p, q, r)) < 2e-10 * std::max(1.0, std::abs(slope)));
    }
  }
}

TEST(tables_follow_their_definition) {
  check::at_every_level([] {
    const std::vector<double> c = {0.3, -0.2, 0.1, 0.05, -0.01};
    const Dual table = Dual::correlation_table(0.7, c);
    const Dual single = Dual::root_table({}, {0.3, 0.4}, {2, 3}, {0.5, 1.5, -0.25, 0.125, 2, 3});
    const Dual graded =
        Dual::root_table({0.1, 0.3}, {0.05, 0.2, 0.5, 0.06, 0.21, 0.51}, {20, 10, 5, 21, 11, 6},
                         {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60});
    for (double rho = -1; rho <= 1; rho += 0.0625) {
      double sum = 0;
      for (int k = 0; k < 5; ++k) sum += c[k] * std::cos(k * std::acos(rho));
      CHECK(close(at(table, 4, 1, 2 * rho), 0.7L + rho * sum));
      const double x = std::sqrt((1 - std::abs(rho)) / 2);
      const bool negative = rho < 0;
      const double t = negative ? (x - 0.4) * 3 : (x - 0.3) * 2;
      const double first = negative ? 1.5 : 0.5, second = negative ? 0.125 : -0.25,
                   third = negative ? 3 : 2;
      CHECK(close(at(single, 4, 1, 2 * rho), (first * t + second) * t + third));
      const int panel = (x > 0.1) + (x > 0.3) + (negative ? 3 : 0);
      const double centre[] = {0.05, 0.2, 0.5, 0.06, 0.21, 0.51}, scale[] = {20, 10, 5, 21, 11, 6};
      const Long u = (x - centre[panel]) * scale[panel];
      CHECK(close(at(graded, 4, 1, 2 * rho), (panel + 1) * u + 10 * (panel + 1)));
    }
  });
}

// exp(s z) has a_k(s) = e^{s^2/2} s^k / sqrt(k!).
TEST(series_of_the_exponential) {
  const int terms = 64;
  const double scales[] = {0.5, 1.0, 1.7};
  std::vector<double> a(3 * terms);
  for (int s = 0; s < 3; ++s) {
    double value = std::exp(0.5 * scales[s] * scales[s]);
    for (int k = 0; k < terms; ++k) {
      a[s * terms + k] = value;
      value *= scales[s] / std::sqrt(k + 1.0);
    }
  }
  const std::int32_t length[] = {32, 64, 64};
  const HermiteCoefficients all{a.data(), 3, terms, length};
  check::at_every_level([&] {
    // 3 x 900 entries: more than one chunk; var1 a column, var2 a row, K dense.
    const std::int64_t n = 900;
    std::vector<double> K(3 * n), p(3), q(n), out(3 * n);
    std::vector<std::int32_t> i(3), j(n);
    for (int s = 0; s < 3; ++s) p[s] = scales[s] * scales[s], i[s] = s;
    for (int k = 0; k < n; ++k) {
      j[k] = k % 3;
      q[k] = scales[j[k]] * scales[j[k]];
    }
    for (int s = 0; s < 3; ++s) {
      for (int k = 0; k < n; ++k) K[s * n + k] = scales[s] * scales[j[k]] * std::cos(0.01 * k);
    }
    for (int threads : {1, 2}) {
      RunOptions options;
      options.threads = threads;
      dual_series<double>(all, all, {K.data(), 3, n, n}, {p.data(), 1, 0}, {q.data(), 0, 1},
                          {i.data(), 1, 0}, {j.data(), 0, 1}, {out.data(), 3, n, n}, options);
      for (int s = 0; s < 3; ++s) {
        for (int k = 0; k < n; ++k) {
          CHECK(
              close(out[s * n + k], std::exp((static_cast<Long>(p[s]) + q[k]) / 2 + K[s * n + k])));
        }
      }
    }
  });
}

TEST(interpolation_follows_its_definition) {
  check::at_every_level([] {
    const double edges[] = {0.2}, centre[] = {0.1, 0.45, 0.11, 0.46}, scale[] = {10, 4, 9, 3.5};
    const duals::InterpolationGrid grid{2, 16, 3, edges, centre, scale};
    std::vector<double> contracted(2 * 4 * 3 * 16), weights = {0.2, 0.5, 0.3, -0.1, 0.8, 0.3};
    for (std::size_t k = 0; k < contracted.size(); ++k) contracted[k] = std::sin(1.3 * k);
    for (double rho = -1; rho <= 1; rho += 0.03125) {
      for (std::int32_t one : {0, 1}) {
        for (std::int32_t two : {0, 1}) {
          double r = rho, p = 1, out;
          dual_interpolated<double>(grid, {contracted.data(), 2, 192, 192},
                                    {weights.data(), 2, 3, 3}, {&r, 1, 1, 1}, {&p, 0, 0},
                                    {&p, 0, 0}, {&one, 0, 0}, {&two, 0, 0}, {&out, 1, 1, 1}, {});
          const double truth =
              duals::interpolated(grid, contracted.data() + 192 * one, weights.data() + 3 * two,
                                  {1, 1, rho, duals::determinant(1, 1, rho)});
          CHECK(std::abs(out - truth) < 1e-13);
        }
      }
    }
  });
}

TEST(arrays_chunks_and_float32) {
  const std::int64_t rows = 7, cols = 1001, stride = 1010;
  std::vector<float> K(rows * stride, 9e9f), p(rows), q(cols), out(rows * stride, -1.0f);
  std::vector<double> one(rows * cols);
  for (int i = 0; i < rows; ++i) p[i] = 0.1f + i;
  for (int j = 0; j < cols; ++j) q[j] = 3.0f / (1 + j % 13);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j)
      K[i * stride + j] = 0.999f * std::sqrt(p[i] * q[j]) * std::sin(0.3f * j + i);
  }
  const Dual relu = Dual::rectified(1, 1, 0, 0);
  check::at_every_level([&] {
    for (int threads : {1, 3}) {
      RunOptions options;
      options.threads = threads;
      dual<float>(relu, {K.data(), rows, cols, stride}, {p.data(), 1, 0}, {q.data(), 0, 1},
                  {out.data(), rows, cols, stride}, options);
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) {
          const double truth = at(relu, p[i], q[j], K[i * stride + j]);
          CHECK(std::abs(out[i * stride + j] - truth) <= 6e-8 * truth);
        }
        for (int j = cols; j < stride; ++j) CHECK(out[i * stride + j] == -1.0f);
      }
    }
  });
}

// The message of what `call` throws.
static std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "nothing";
}

TEST(errors_name_the_argument) {
  const Dual relu = Dual::rectified(1, 1, 0, 0);
  const double nan = std::nan("");
  check::at_every_level([&] {
    CHECK(message([&] { at(relu, 1, 1, 1.001); }).rfind("K: not a covariance", 0) == 0);
    CHECK(message([&] { at(relu, 0, 1, 0.1); }).rfind("K: not a covariance", 0) == 0);
    CHECK(message([&] { at(relu, 1, 1, nan); }).rfind("K: not finite", 0) == 0);
    CHECK(message([&] { at(relu, -1, 1, 0); }).rfind("var1: negative", 0) == 0);
    CHECK(message([&] { at(relu, 1, nan, 0); }).rfind("var2: not finite", 0) == 0);
    CHECK(message([&] { at(relu, 1, 1e200, 0); }).rfind("var2: above", 0) == 0);
    CHECK(at(relu, 1, 1, 1 + 1e-12) == 0.5);  // rounding is clipped
  });
  CHECK_THROWS(Dual::rectified(9, 1, 0, 0), ArgumentError);
  CHECK_THROWS(Dual::polynomial({}), ArgumentError);
  CHECK_THROWS(Dual::root_table({}, {1}, {1}, {1}), ArgumentError);
}

int main() { return check::run(); }
