// Networks, a dense loop written from the definition, and comparisons with it, for the tests of
// event-driven descent.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "check.hpp"
#include "lazygram/error.hpp"
#include "lazygram/events.hpp"
#include "lazygram/gram.hpp"

using namespace lazygram;

namespace {

constexpr double kAll = std::numeric_limits<double>::infinity();

template <typename T>
struct Problem {
  RandomNetwork network;
  std::int64_t n, tests, d;
  std::vector<T> X, X_test;
  std::vector<double> y;
  std::vector<T> W;  // stored weights; empty: those of the seed
  std::vector<T> a;  // with W, or with several outputs: width x outputs
  std::int64_t outputs = 1;

  ConstMatrixView<T> inputs() const { return {X.data(), n, d, d}; }
  ConstMatrixView<T> test_inputs() const { return {X_test.data(), tests, d, d}; }
  Neurons<T> neurons() const {
    Neurons<T> w;
    w.random = network;
    if (!W.empty()) {
      w.stored = W.data();
      w.stride = d;
    }
    return w;
  }
  const T* readout() const { return a.empty() ? nullptr : a.data(); }
  EventDescent<T> engine(double reach = kAll, int threads = 1,
                         const EventSnapshot* resume = nullptr) const {
    const std::vector<double> all(n + tests, reach);
    EventOptions options;
    options.reach = all.data();
    options.outputs = outputs;
    RunOptions run;
    run.threads = threads;
    return EventDescent<T>(neurons(), readout(), inputs(), test_inputs(), options, resume, run);
  }
};

// Unit-norm Gaussian inputs and Gaussian labels from the generator of the weights, another seed.
template <typename T>
Problem<T> problem(std::int64_t m, std::int64_t n, std::int64_t d, std::int64_t tests,
                   std::uint64_t seed) {
  Problem<T> p;
  p.network = {seed, m, d, false};
  p.n = n;
  p.tests = tests;
  p.d = d;
  const RandomNetwork source{seed + 1000, n + tests, d + 1, false};
  const std::int64_t stride = round_up(d + 1, 4);
  std::vector<double> rows((n + tests) * stride);
  source.weights(0, n + tests, rows.data(), stride);
  for (std::int64_t i = 0; i < n + tests; ++i) {
    double norm = 0;
    for (std::int64_t k = 0; k < d; ++k) norm += rows[i * stride + k] * rows[i * stride + k];
    for (std::int64_t k = 0; k < d; ++k) {
      (i < n ? p.X : p.X_test).push_back(static_cast<T>(rows[i * stride + k] / std::sqrt(norm)));
    }
    if (i < n) p.y.push_back(rows[i * stride + d]);
  }
  return p;
}

// The same with several outputs, or output weights of any size: signs where `sizes` is 0, else
// values up to that size, some of them zero.
template <typename T>
Problem<T> problem_with_outputs(std::int64_t m, std::int64_t n, std::int64_t d, std::int64_t tests,
                                std::uint64_t seed, std::int64_t outputs, double sizes) {
  Problem<T> p = problem<T>(m, n, d, tests, seed);
  p.outputs = outputs;
  const RandomNetwork source{seed + 2000, m + n, outputs, false};
  const std::int64_t stride = round_up(outputs, 4);
  std::vector<double> rows((m + n) * stride);
  source.weights(0, m + n, rows.data(), stride);
  p.y.clear();
  for (std::int64_t r = 0; r < m + n; ++r) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      const double value = rows[r * stride + o];
      if (r >= m) {
        p.y.push_back(value);
      } else if (sizes == 0) {
        p.a.push_back(static_cast<T>(value > 0 ? 1.0 : -1.0));
      } else {
        p.a.push_back(static_cast<T>(r % 7 == 3 ? 0.0 : sizes * std::erf(value)));
      }
    }
  }
  return p;
}

// The definition, in float64: weights W, one dense step at a time.
struct Dense {
  std::int64_t m, n, columns, d, outputs;
  std::vector<double> W, a, X, z, u;

  template <typename T>
  explicit Dense(const Problem<T>& p)
      : m(p.network.width),
        n(p.n),
        columns(p.n + p.tests),
        d(p.d),
        outputs(p.outputs),
        W(m * d),
        a(m * outputs) {
    std::vector<T> made(m * round_up(d, 4)), signs(m);
    for (std::int64_t r = 0; r < m; ++r) {
      if (p.W.empty()) {
        p.network.weights(r, 1, made.data(), round_up(d, 4));
      } else {
        std::copy_n(p.W.data() + r * d, d, made.data());
      }
      p.network.signs(r, 1, signs.data());
      for (std::int64_t k = 0; k < d; ++k) W[r * d + k] = static_cast<double>(made[k]);
      for (std::int64_t o = 0; o < outputs; ++o)
        a[r * outputs + o] = static_cast<double>(p.a.empty() ? signs[0] : p.a[r * outputs + o]);
    }
    X.assign(p.X.begin(), p.X.end());
    X.insert(X.end(), p.X_test.begin(), p.X_test.end());
    forward();
  }
  void forward() {
    z.assign(m * columns, 0.0);
    u.assign(columns * outputs, 0.0);
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < d; ++k) sum += W[r * d + k] * X[j * d + k];
        z[r * columns + j] = sum;
        for (std::int64_t o = 0; o < outputs; ++o) {
          u[j * outputs + o] +=
              a[r * outputs + o] * std::max(sum, 0.0) / std::sqrt(static_cast<double>(m));
        }
      }
    }
  }
  void step(const std::vector<double>& rho, double eta) {
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        if (!(z[r * columns + i] >= 0)) continue;
        double dot = 0;
        for (std::int64_t o = 0; o < outputs; ++o) dot += a[r * outputs + o] * rho[i * outputs + o];
        const double c = eta / std::sqrt(static_cast<double>(m)) * dot;
        for (std::int64_t k = 0; k < d; ++k) W[r * d + k] -= c * X[i * d + k];
      }
    }
    forward();
  }
};

template <typename T>
std::vector<double> residual(const EventDescent<T>& engine, const std::vector<double>& y) {
  std::vector<double> rho(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) rho[i] = engine.predictions()[i] - y[i];
  return rho;
}

template <typename T>
std::vector<std::uint64_t> bits_of(const EventDescent<T>& engine) {
  const std::int64_t words = pattern_words(engine.width());
  std::vector<std::uint64_t> bits(engine.columns() * words);
  engine.patterns(0, {bits.data(), engine.columns(), words, words}, {});
  return bits;
}

// C must be what the bits say, exactly.
template <typename T>
void check_counts(const EventDescent<T>& engine) {
  const std::int64_t columns = engine.columns(), n = engine.examples(),
                     words = pattern_words(engine.width());
  std::vector<std::uint64_t> bits = bits_of(engine);
  std::vector<std::int64_t> kept(columns * n), counted(columns * n);
  engine.counts({kept.data(), columns, n, n});
  const ConstPatternsView all{bits.data(), columns, words, words},
      examples{bits.data(), n, words, words};
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t sum = 0;
      for (std::int64_t w = 0; w < words; ++w)
        sum += __builtin_popcountll(all(j, w) & examples(i, w));
      counted[j * n + i] = sum;
    }
  }
  CHECK(kept == counted);
}

// The counts of every pair of outputs: exact for signs, to the rounding of their unit otherwise.
template <typename T>
void check_output_counts(const EventDescent<T>& engine, const Problem<T>& p) {
  if (p.a.empty() || !p.W.empty()) return;
  const std::int64_t columns = engine.columns(), n = engine.examples(),
                     words = pattern_words(engine.width()), m = engine.width();
  const bool units = std::all_of(p.a.begin(), p.a.end(), [](T a) { return std::fabs(a) == T(1); });
  const std::vector<std::uint64_t> bits = bits_of(engine);
  std::vector<double> kept(columns * n);
  for (std::int64_t o = 0; o < p.outputs; ++o) {
    for (std::int64_t q = units ? o + 1 : o; q < p.outputs; ++q) {
      engine.output_counts(o, q, {kept.data(), columns, n, n});
      for (std::int64_t j = 0; j < columns; ++j) {
        for (std::int64_t i = 0; i < n; ++i) {
          double sum = 0, size = 0;
          for (std::int64_t r = 0; r < m; ++r) {
            const std::uint64_t both = bits[j * words + r / 64] & bits[i * words + r / 64];
            const double product = static_cast<double>(p.a[r * p.outputs + o]) *
                                   static_cast<double>(p.a[r * p.outputs + q]);
            sum += (both >> (r % 64)) & 1u ? product : 0.0;
            size = std::max(size, std::fabs(product));
          }
          const double rounding =
              units ? 0.0 : static_cast<double>(m) * std::ldexp(std::max(size, 1.0), -42);
          CHECK(std::fabs(kept[j * n + i] - sum) <= rounding);
        }
      }
    }
  }
}

struct Comparison {
  std::int64_t differing_bits = 0;  // all at |z| <= rounding, else the comparison fails
  double worst_u = 0;
};

// Runs both for `steps` steps, each on its own residuals. tolerance: of z and u, relative to the
// largest |u| and |z|.
template <typename T>
Comparison compare(const Problem<T>& p, int steps, const std::function<double(int)>& eta,
                   double tolerance, double reach = kAll, int check_every = 1) {
  Dense dense(p);
  EventDescent<T> engine = p.engine(reach, 2);
  Comparison result;
  for (int k = 0;; ++k) {
    double scale = 1, z_scale = 0;
    for (double u : dense.u) scale = std::max(scale, std::fabs(u));
    for (double z : dense.z) z_scale = std::max(z_scale, std::fabs(z));
    for (std::size_t j = 0; j < dense.u.size(); ++j) {
      result.worst_u =
          std::max(result.worst_u, std::fabs(engine.predictions()[j] - dense.u[j]) / scale);
    }
    CHECK(result.worst_u <= tolerance);
    if (k % check_every == 0) {
      const std::vector<std::uint64_t> bits = bits_of(engine);
      const std::int64_t words = pattern_words(engine.width());
      for (std::int64_t r = 0; r < dense.m; ++r) {
        for (std::int64_t j = 0; j < dense.columns; ++j) {
          const double z = dense.z[r * dense.columns + j];
          const bool bit = (bits[j * words + r / 64] >> (r % 64)) & 1u;
          if (bit == (z >= 0)) continue;
          CHECK(std::fabs(z) <= tolerance * z_scale);
          ++result.differing_bits;
        }
      }
      check_counts(engine);
      check_output_counts(engine, p);
    }
    if (k == steps) break;
    std::vector<double> rho_dense(p.y.size());
    for (std::size_t i = 0; i < p.y.size(); ++i) rho_dense[i] = dense.u[i] - p.y[i];
    CHECK(engine.step(residual(engine, p.y).data(), eta(k), {}));
    dense.step(rho_dense, eta(k));
  }
  return result;
}

// What the trajectory is made of, for bitwise comparisons.
template <typename T>
struct Trace {
  std::vector<double> u;
  std::vector<std::uint64_t> bits;
  std::vector<std::int64_t> changed;
  bool operator==(const Trace&) const = default;
};
template <typename T>
Trace<T> run(EventDescent<T>& engine, const Problem<T>& p, int steps, double eta, int threads) {
  Trace<T> trace;
  RunOptions options;
  options.threads = threads;
  for (int k = 0; k < steps; ++k) {
    CHECK(engine.step(residual(engine, p.y).data(), eta, options));
    trace.u.insert(trace.u.end(), engine.predictions().begin(), engine.predictions().end());
  }
  trace.bits = bits_of(engine);
  trace.changed = engine.changed();
  return trace;
}

}  // namespace
