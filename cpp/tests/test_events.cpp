// Event-driven descent against a dense loop written from the definition, step by step.
#include <algorithm>
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

TEST(follows_the_dense_loop_for_hundreds_of_steps) {
  check::at_every_level([] {
    const auto p = problem<double>(300, 70, 11, 5, 1);
    const Comparison c = compare<double>(p, 200, [](int) { return 0.5; }, 1e-11, 20.0, 20);
    CHECK(c.differing_bits == 0);
  });
}

TEST(follows_the_dense_loop_with_float32_state) {
  // z(0) is float32, everything after it float64: the distance to the float64 loop is that of z(0).
  const auto p = problem<float>(300, 40, 11, 3, 2);
  compare<float>(p, 60, [](int) { return 0.3; }, 2e-5);
}

TEST(decreasing_and_irregular_steps) {
  const auto p = problem<double>(513, 33, 7, 2, 3);
  compare<double>(p, 60, [](int k) { return 1.0 / (1 + k) * (k % 3 ? 1.0 : 0.1); }, 1e-11, 3.0, 10);
}

TEST(huge_steps_flip_everything) {
  const auto p = problem<double>(130, 20, 4, 3, 4);
  // The residual grows at every step; bits flip by the half.
  const Comparison c = compare<double>(p, 12, [](int) { return 40.0; }, 1e-9, 1.0);
  CHECK(c.worst_u <= 1e-9);
}

TEST(diverging_steps_stop_before_anything_is_lost) {
  const auto p = problem<double>(90, 12, 4, 0, 5);
  EventDescent<double> engine = p.engine(1.0);
  int steps = 0;
  while (engine.step(residual(engine, p.y).data(), 1e6, {})) CHECK(++steps < 1000);
  CHECK(steps > 10);
  for (double u : engine.predictions()) CHECK(std::isfinite(u));
  check_counts(engine);
  std::vector<double> rho(p.n, std::nan(""));
  CHECK(!engine.step(rho.data(), 0.1, {}));
  CHECK(engine.stats().steps == steps);
}

TEST(single_neuron_single_example_single_dimension) {
  for (const auto& [m, n, d] :
       {std::array<std::int64_t, 3>{1, 5, 3}, {40, 1, 3}, {40, 6, 1}, {1, 1, 1}}) {
    const auto p = problem<double>(m, n, d, 1, 6);
    compare<double>(p, 40, [](int) { return 0.2; }, 1e-10, 0.5);
  }
}

TEST(duplicated_and_antiparallel_examples) {
  auto p = problem<double>(200, 12, 5, 2, 7);
  for (std::int64_t k = 0; k < p.d; ++k) {
    p.X[1 * p.d + k] = p.X[k];
    p.X[2 * p.d + k] = -p.X[k];
    p.X[3 * p.d + k] = 2 * p.X[k];
    p.X_test[k] = p.X[k];
  }
  const Comparison c = compare<double>(p, 80, [](int) { return 0.2; }, 1e-10, 2.0);
  CHECK(c.differing_bits == 0);
}

TEST(zero_inputs_and_zero_labels) {
  auto p = problem<double>(200, 12, 5, 1, 8);
  std::fill_n(p.X.begin(), p.d, 0.0);
  std::fill(p.y.begin(), p.y.end(), 0.0);
  compare<double>(p, 40, [](int) { return 0.4; }, 1e-10);
}

TEST(pairs_exactly_at_zero) {
  // Inputs on the axes, small integer weights: many z are 0, and stay exact while steps are powers
  // of two.
  Problem<double> p = problem<double>(64, 6, 3, 1, 9);
  std::fill(p.X.begin(), p.X.end(), 0.0);
  for (std::int64_t i = 0; i < p.n; ++i) p.X[i * p.d + i % 3] = i < 3 ? 1.0 : -1.0;
  p.X_test = {1.0, 1.0, 0.0};
  for (std::int64_t i = 0; i < p.n; ++i) p.y[i] = static_cast<double>(i % 2);
  for (std::int64_t r = 0; r < 64; ++r) {
    p.a.push_back(r % 2 ? 1.0 : -1.0);
    for (std::int64_t k = 0; k < 3; ++k) p.W.push_back(static_cast<double>((r / (k + 1)) % 3 - 1));
  }
  // m^{-1/2} = 1/8 and eta = 1/8 keep every number a short binary fraction for a few steps.
  const Comparison c = compare<double>(p, 6, [](int) { return 0.125; }, 1e-14, 0.25);
  CHECK(c.differing_bits == 0);
}

TEST(stored_weights_like_those_of_the_seed) {
  auto p = problem<double>(600, 25, 6, 3, 10);
  EventDescent<double> made = p.engine(5.0);
  const Trace<double> expected = run(made, p, 30, 0.5, 1);
  p.W.resize(600 * 6);
  p.a.resize(600);
  std::vector<double> rows(600 * 8);
  p.network.weights(0, 600, rows.data(), 8);
  for (std::int64_t r = 0; r < 600; ++r) std::copy_n(rows.data() + 8 * r, 6, p.W.data() + 6 * r);
  p.network.signs(0, 600, p.a.data());
  EventDescent<double> stored = p.engine(5.0);
  CHECK(run(stored, p, 30, 0.5, 1) == expected);
  p.a[17] = std::nan("");
  CHECK_THROWS(p.engine(), ArgumentError);
}

TEST(trajectory_depends_on_neither_threads_nor_reach_nor_level) {
  const auto p = problem<double>(1100, 50, 8, 6, 11);
  EventDescent<double> reference = p.engine(kAll, 1);
  const Trace<double> expected = run(reference, p, 40, 0.5, 1);
  CHECK(reference.stats().passes == 1);
  check::at_every_level([&] {
    EventDescent<double> engine = p.engine(kAll, 2);
    CHECK(run(engine, p, 40, 0.5, 2) == expected);
  });
  for (double reach : {0.0, 0.7, 10.0}) {
    EventDescent<double> engine = p.engine(reach, 2);
    CHECK(run(engine, p, 40, 0.5, 2) == expected);
    CHECK(engine.stats().passes > 1);
  }
  const auto q = problem<float>(1100, 50, 8, 6, 11);
  EventDescent<float> one = q.engine(1.0, 1), three = q.engine(4.0, 3);
  CHECK(run(one, q, 40, 0.5, 1) == run(three, q, 40, 0.5, 3));
}

// Few nearly orthogonal examples: descent converges to rounding in some 150 steps of 0.5, and pairs
// that slide along zero are what is left.
TEST(sliding_pairs_follow_the_dense_loop_and_come_to_rest) {
  check::at_every_level([] {
    const auto p = problem<double>(400, 30, 60, 3, 31);
    compare<double>(p, 400, [](int) { return 0.5; }, 1e-11, 30.0, 10);
    EventDescent<double> engine = p.engine(30.0);
    run(engine, p, 60, 0.5, 1);
    const std::int64_t due_before = engine.stats().due, flips_before = engine.stats().flips;
    run(engine, p, 40, 0.5, 1);
    const std::int64_t sliding = (engine.stats().flips - flips_before) / 40;
    CHECK(sliding > 20);  // flip in every other step
    CHECK(engine.stats().due - due_before >= 40 * sliding);
    run(engine, p, 300, 0.5, 1);
    const std::int64_t due_late = engine.stats().due, flips_late = engine.stats().flips;
    run(engine, p, 500, 0.5, 1);
    CHECK(engine.stats().flips - flips_late < 500);
    CHECK(engine.stats().due - due_late < 500 * sliding / 10);
    check_counts(engine);
  });
}

// A resumed engine looks at every pair that may have been looked at before: resumed after every
// step, it finds what an uninterrupted run would find that skips nothing.
template <typename T>
void check_that_skipping_changes_nothing(const Problem<T>& p, int steps, double eta) {
  EventDescent<T> skipping = p.engine(30.0);
  EventDescent<T> looking = p.engine(30.0);
  for (int k = 0; k < steps; ++k) {
    CHECK(skipping.step(residual(skipping, p.y).data(), eta, {}));
    const EventSnapshot snapshot = looking.snapshot();
    looking = p.engine(30.0, 2, &snapshot);
    CHECK(looking.step(residual(looking, p.y).data(), eta, {}));
    CHECK(looking.predictions() == skipping.predictions());
    CHECK(looking.flips_in_last_step() == skipping.flips_in_last_step());
  }
  CHECK(bits_of(looking) == bits_of(skipping));
}

TEST(skipping_looks_at_sliding_pairs_changes_nothing) {
  check_that_skipping_changes_nothing(problem<double>(300, 30, 60, 3, 32), 400, 0.5);
  check_that_skipping_changes_nothing(problem<float>(300, 70, 90, 0, 33), 300, 0.5);
  check_that_skipping_changes_nothing(problem_with_outputs<double>(200, 24, 60, 3, 34, 3, 0), 300,
                                      0.3);
  check_that_skipping_changes_nothing(problem_with_outputs<double>(200, 24, 60, 3, 35, 1, 1.5), 300,
                                      0.3);
}

TEST(sliding_pairs_depend_on_neither_threads_nor_reach_nor_level) {
  const auto p = problem<double>(500, 40, 70, 5, 36);
  EventDescent<double> reference = p.engine(kAll, 1);
  const Trace<double> expected = run(reference, p, 350, 0.5, 1);
  check::at_every_level([&] {
    EventDescent<double> engine = p.engine(5.0, 2);
    CHECK(run(engine, p, 350, 0.5, 2) == expected);
    CHECK(engine.stats().passes > 1);
  });
}

TEST(several_outputs_follow_the_dense_loop) {
  check::at_every_level([] {
    for (std::int64_t outputs : {2, 10}) {
      const auto p = problem_with_outputs<double>(200, 70, 9, 5, 21, outputs, 0);
      const Comparison c = compare<double>(p, 60, [](int) { return 0.15; }, 1e-11, 20.0, 60);
      CHECK(c.differing_bits == 0);
    }
  });
}

TEST(output_weights_of_any_size) {
  for (std::int64_t outputs : {1, 3}) {
    for (double size : {0.3, 2.5}) {
      const auto p = problem_with_outputs<double>(260, 40, 9, 5, 22, outputs, size);
      const double eta = 0.3 / (size * size);
      const Comparison c = compare<double>(p, 80, [=](int) { return eta; }, 1e-11, 3.0, 10);
      CHECK(c.differing_bits == 0);
      // Steps at which bits flip by the half, and neurons of size zero among the others.
      compare<double>(p, 6, [=](int) { return 60 * eta; }, 1e-9, 1.0, 2);
    }
  }
  auto p = problem_with_outputs<double>(130, 12, 4, 1, 23, 2, 1.0);
  std::fill(p.a.begin(), p.a.end(), 0.0);
  compare<double>(p, 3, [](int) { return 0.5; }, 1e-14);
  p.a[5] = std::numeric_limits<double>::infinity();
  CHECK_THROWS(p.engine(), ArgumentError);
}

TEST(one_output_given_twice_is_one_output) {
  // a for outputs 0 and 1 the same, residuals shared by halves: the trajectory of one output.
  const auto one = problem<double>(300, 30, 8, 4, 24);
  Problem<double> two = one;
  two.outputs = 2;
  std::vector<double> signs(300);
  one.network.signs(0, 300, signs.data());
  for (double a : signs) two.a.insert(two.a.end(), {a, a});
  EventDescent<double> first = one.engine(5.0), second = two.engine(5.0);
  for (int k = 0; k < 40; ++k) {
    const std::vector<double> rho = residual(first, one.y);
    std::vector<double> halves;
    for (double x : rho) halves.insert(halves.end(), {0.25 * x, 0.75 * x});
    CHECK(first.step(rho.data(), 0.4, {}));
    CHECK(second.step(halves.data(), 0.4, {}));
    for (std::int64_t j = 0; j < first.columns(); ++j) {
      CHECK(std::fabs(first.predictions()[j] - second.predictions()[2 * j]) < 1e-12);
      CHECK(std::fabs(first.predictions()[j] - second.predictions()[2 * j + 1]) < 1e-12);
    }
  }
  CHECK(bits_of(first) == bits_of(second));
}

TEST(several_outputs_depend_on_neither_threads_nor_reach_nor_level) {
  for (double size : {0.0, 1.5}) {
    const auto p = problem_with_outputs<double>(700, 70, 8, 6, 25, 3, size);
    EventDescent<double> reference = p.engine(kAll, 1);
    const Trace<double> expected = run(reference, p, 20, 0.2, 1);
    check::at_every_level([&] {
      EventDescent<double> engine = p.engine(2.0, 2);
      CHECK(run(engine, p, 20, 0.2, 2) == expected);
    });
    EventDescent<double> first = p.engine(4.0);
    run(first, p, 7, 0.2, 1);
    const EventSnapshot snapshot = first.snapshot();
    EventDescent<double> second = p.engine(4.0, 2, &snapshot);
    CHECK(run(second, p, 13, 0.2, 2) == run(first, p, 13, 0.2, 1));
    CHECK(first.predictions() == reference.predictions());
  }
}

TEST(weights_and_distances_with_several_outputs) {
  const auto p = problem_with_outputs<double>(300, 30, 8, 0, 26, 3, 1.5);
  Dense dense(p);
  const Dense start = dense;
  EventDescent<double> engine = p.engine(4.0);
  for (int k = 0; k < 20; ++k) {
    std::vector<double> rho(p.y.size());
    for (std::size_t i = 0; i < rho.size(); ++i) rho[i] = dense.u[i] - p.y[i];
    dense.step(rho, 0.2);
    CHECK(engine.step(residual(engine, p.y).data(), 0.2, {}));
  }
  std::vector<double> W(300 * 8), distance(300);
  engine.weights(0, {W.data(), 300, 8, 8}, {});
  engine.distances(distance.data(), {});
  double k_norm = 0;
  for (std::int64_t i = 0; i < p.n; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < 8; ++k) dot += p.X[i * 8 + k] * p.X[j * 8 + k];
      k_norm += dot * dot;
    }
  }
  const double bound = engine.path_length() * std::sqrt(std::sqrt(k_norm)) / std::sqrt(300.0);
  for (std::int64_t r = 0; r < 300; ++r) {
    double sum = 0;
    for (std::int64_t k = 0; k < 8; ++k) {
      CHECK(std::fabs(W[r * 8 + k] - dense.W[r * 8 + k]) < 1e-12);
      sum += std::pow(dense.W[r * 8 + k] - start.W[r * 8 + k], 2);
    }
    CHECK(std::fabs(distance[r] - std::sqrt(sum)) < 1e-12);
    CHECK(distance[r] <= bound);
  }
}

TEST(snapshot_resumes_bitwise_at_any_step) {
  const auto p = problem<double>(700, 30, 8, 4, 12);
  EventDescent<double> whole = p.engine(4.0);
  for (int at : {0, 1, 7, 20}) {
    EventDescent<double> first = p.engine(4.0);
    run(first, p, at, 0.5, 1);
    const EventSnapshot snapshot = first.snapshot();
    EventDescent<double> second = p.engine(4.0, 2, &snapshot);
    CHECK(second.stats().steps == at);
    CHECK(second.stats().flips == first.stats().flips);
    const Trace<double> rest = run(first, p, 15, 0.5, 1);
    CHECK(run(second, p, 15, 0.5, 2) == rest);
    CHECK(second.path_length() == first.path_length());
    CHECK(second.stats().flips == first.stats().flips);
    check_counts(second);
  }
  const EventSnapshot snapshot = whole.snapshot();
  const auto other = problem<double>(701, 30, 8, 4, 12);
  CHECK_THROWS(other.engine(4.0, 1, &snapshot), ArgumentError);
}

TEST(weights_distances_gram_and_changes) {
  const auto p = problem<double>(520, 30, 8, 4, 13);
  Dense dense(p);
  const Dense start = dense;
  EventDescent<double> engine = p.engine(4.0);
  for (int k = 0; k < 25; ++k) {
    std::vector<double> rho(p.n);
    for (std::int64_t i = 0; i < p.n; ++i) rho[i] = dense.u[i] - p.y[i];
    dense.step(rho, 0.5);
    CHECK(engine.step(residual(engine, p.y).data(), 0.5, {}));
  }
  std::vector<double> W(500 * 8), distance(520), H(34 * 30);
  engine.weights(20, {W.data(), 500, 8, 8}, {});
  engine.distances(distance.data(), {});
  engine.gram({H.data(), 34, 30, 30});
  double k_norm = 0;
  for (std::int64_t r = 0; r < 520; ++r) {
    double sum = 0;
    for (std::int64_t k = 0; k < 8; ++k) {
      const double w = dense.W[r * 8 + k];
      if (r >= 20) CHECK(std::fabs(W[(r - 20) * 8 + k] - w) < 1e-12);
      sum += (w - start.W[r * 8 + k]) * (w - start.W[r * 8 + k]);
    }
    CHECK(std::fabs(distance[r] - std::sqrt(sum)) < 1e-12);
  }
  std::vector<std::int64_t> changed(34, 0);
  for (std::int64_t i = 0; i < 34; ++i) {
    for (std::int64_t j = 0; j < 30; ++j) {
      double dot = 0, h = 0;
      for (std::int64_t k = 0; k < 8; ++k) dot += dense.X[i * 8 + k] * dense.X[j * 8 + k];
      for (std::int64_t r = 0; r < 520; ++r)
        h += dense.z[r * 34 + i] >= 0 && dense.z[r * 34 + j] >= 0;
      CHECK(std::fabs(H[i * 30 + j] - dot * h / 520) < 1e-12);
      if (i < 30) {
        CHECK(i < j || H[i * 30 + j] == H[j * 30 + i]);
        k_norm += dot * dot;
      }
    }
    for (std::int64_t r = 0; r < 520; ++r)
      changed[i] += (dense.z[r * 34 + i] >= 0) != (start.z[r * 34 + i] >= 0);
  }
  CHECK(engine.changed() == changed);
  // |X|_2^2 <= |K|_F: the bound that path_length gives.
  const double bound = engine.path_length() * std::sqrt(std::sqrt(k_norm)) / std::sqrt(520.0);
  CHECK(*std::max_element(distance.begin(), distance.end()) <= bound);
}

TEST(minibatches_through_zero_residuals) {
  const auto p = problem<double>(300, 24, 6, 2, 14);
  Dense dense(p);
  EventDescent<double> engine = p.engine(1.0);
  for (int k = 0; k < 60; ++k) {
    std::vector<double> rho(p.n, 0.0), rho_dense(p.n, 0.0);
    for (std::int64_t i = k % 4; i < p.n; i += 4) {
      rho[i] = engine.predictions()[i] - p.y[i];
      rho_dense[i] = dense.u[i] - p.y[i];
    }
    CHECK(engine.step(rho.data(), 0.4, {}));
    dense.step(rho_dense, 0.4);
    for (std::int64_t j = 0; j < engine.columns(); ++j) {
      CHECK(std::fabs(engine.predictions()[j] - dense.u[j]) < 1e-11);
    }
  }
}

TEST(interruption_keeps_the_state_before_the_step) {
  const auto p = problem<double>(3000, 20, 6, 0, 15);
  EventDescent<double> engine = p.engine(0.5), twin = p.engine(kAll);
  run(engine, p, 3, 0.5, 1);
  run(twin, p, 3, 0.5, 1);
  RunOptions interrupting;
  interrupting.threads = 1;
  interrupting.poll_interval = 0;
  interrupting.poll = [](std::int64_t, std::int64_t) { return true; };
  CHECK_THROWS(engine.step(residual(engine, p.y).data(), 20.0, interrupting), Interrupted);
  // Another one, in the middle of the pass that extends what is tracked.
  int polls = 0;
  interrupting.poll = [&](std::int64_t, std::int64_t) { return ++polls > 3; };
  CHECK_THROWS(engine.step(residual(engine, p.y).data(), 20.0, interrupting), Interrupted);
  CHECK(engine.predictions() == twin.predictions());
  // And one among the evaluations, after everything else has been polled for.
  EventDescent<double> other = p.engine(kAll);
  run(other, p, 3, 0.5, 1);
  int calls = 0;
  interrupting.poll = [&](std::int64_t, std::int64_t) { return ++calls > 5; };
  CHECK_THROWS(other.step(residual(other, p.y).data(), 20.0, interrupting), Interrupted);
  CHECK(other.stats().passes == 1);
  CHECK(other.changed() == twin.changed());
  const Trace<double> expected = run(twin, p, 5, 2.0, 1);
  CHECK(run(engine, p, 5, 2.0, 2) == expected);
  CHECK(run(other, p, 5, 2.0, 2) == expected);
  CHECK(other.stats().passes == 2);
}

TEST(plan_and_memory_limit) {
  const auto p = problem<double>(5000, 20, 6, 4, 16);
  const std::vector<double> reach(24, 3.0);
  const EventPlan plan =
      plan_events<double>(5000, p.inputs(), p.test_inputs(), true, reach.data(), {}, 1);
  EventDescent<double> engine = p.engine(3.0);
  CHECK(std::fabs(static_cast<double>(engine.stats().tracked) - plan.tracked_pairs) <
        6 * std::sqrt(plan.tracked_pairs) + 1);
  EventOptions options;
  RunOptions one;
  one.threads = 1;
  options.reach = reach.data();
  options.memory_limit = static_cast<std::int64_t>(plan.total()) - 1000;
  CHECK_THROWS(EventDescent<double>(p.neurons(), nullptr, p.inputs(), p.test_inputs(), options,
                                    nullptr, one),
               ArgumentError);
  options.memory_limit = static_cast<std::int64_t>(plan.total()) + 1000;
  EventDescent<double> limited(p.neurons(), nullptr, p.inputs(), p.test_inputs(), options, nullptr,
                               one);
  bool refused = false;
  try {
    for (int k = 0; k < 50; ++k) limited.step(residual(limited, p.y).data(), 0.5, one);
  } catch (const ArgumentError&) {
    refused = true;
  }
  CHECK(refused);
  check_counts(limited);
}

int main() { return check::run(); }
