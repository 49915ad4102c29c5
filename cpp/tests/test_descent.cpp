// Dense descent against a naive double loop: steps, gradients, predictions, distances; threads;
// interruption.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "lazygram/descent.hpp"
#include "lazygram/error.hpp"

using namespace lazygram;
using check::with_threads;

namespace {

template <typename T>
struct Problem {
  std::int64_t n, dim, width, words;
  std::vector<T> X, W, a;
  std::vector<double> rho;
  std::vector<std::uint64_t> bits;

  Problem(std::int64_t n_, std::int64_t dim_, std::int64_t width_)
      : n(n_),
        dim(dim_),
        width(width_),
        words(pattern_words(width_)),
        X(n * dim),
        W(width * dim),
        a(width),
        rho(n),
        bits(n * words) {
    std::mt19937 random(static_cast<unsigned>(n * 1000 + width));
    std::normal_distribution<double> normal;
    for (T& v : X) v = static_cast<T>(normal(random) / std::sqrt(static_cast<double>(dim)));
    for (T& v : W) v = static_cast<T>(normal(random));
    for (T& v : a) v = static_cast<T>(normal(random));
    for (double& v : rho) v = normal(random);
    Neurons<T> neurons;
    neurons.stored = W.data();
    neurons.stride = dim;
    neurons.random.width = width;
    neurons.random.dim = dim;
    activation_patterns<T>(neurons, x(), {bits.data(), n, words, words}, with_threads(1));
  }
  ConstMatrixView<T> x() const { return {X.data(), n, dim, dim}; }
  Parameters<T> parameters() { return {{W.data(), width, dim, dim}, a.data()}; }
  Update<T> update(double step_size, bool train_output) const {
    return {x(), rho.data(), {bits.data(), n, words, words}, step_size, train_output};
  }

  // The definitions, in float64 throughout.
  double z(const T* w, std::int64_t i) const {
    double sum = 0;
    for (std::int64_t k = 0; k < dim; ++k) sum += double(w[k]) * double(X[i * dim + k]);
    return sum;
  }
  double prediction(const std::vector<T>& W_, const std::vector<T>& a_, std::int64_t i) const {
    double sum = 0;
    for (std::int64_t r = 0; r < width; ++r)
      sum += double(a_[r]) * std::max(z(&W_[r * dim], i), 0.0);
    return sum / std::sqrt(double(width));
  }
  bool active(std::int64_t i, std::int64_t r) const {
    return (bits[i * words + r / 64] >> (r % 64)) & 1u;
  }
  double gradient(std::int64_t r, std::int64_t k) const {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i)
      sum += active(i, r) ? rho[i] * double(X[i * dim + k]) : 0.0;
    return double(a[r]) * sum / std::sqrt(double(width));
  }
  double output_gradient(std::int64_t r) const {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += rho[i] * std::max(z(&W[r * dim], i), 0.0);
    return sum / std::sqrt(double(width));
  }
};

// Rounding of sums of n terms of size at most about 10, in the dtype of the weights.
template <typename T>
double tolerance(std::int64_t n) {
  return 10.0 * std::sqrt(static_cast<double>(n)) * 8 * std::numeric_limits<T>::epsilon();
}

template <typename T>
void step_against_the_naive_loop(std::int64_t n, std::int64_t dim, std::int64_t width,
                                 bool train_output) {
  Problem<T> p(n, dim, width);
  const std::vector<T> W = p.W, a = p.a;
  std::vector<T> reference_W, reference_a;
  std::vector<double> reference_u;
  const double eta = 0.3;
  for (int threads : {1, 2, 3}) {
    std::vector<T> W_new(width * dim, T(-7)), a_new(width, T(-7));
    std::vector<double> u(n, -7.0);
    std::vector<std::uint64_t> bits(n * p.words, ~std::uint64_t{0});
    const Update<T> update = p.update(eta, train_output);
    descend<T>(p.parameters(), {{W_new.data(), width, dim, dim}, a_new.data()}, &update, p.x(),
               u.data(), {bits.data(), n, p.words, p.words}, with_threads(threads));
    CHECK(p.W == W && p.a == a);
    if (threads == 1) {
      const double tol = tolerance<T>(n);
      for (std::int64_t r = 0; r < width; ++r) {
        for (std::int64_t k = 0; k < dim; ++k) {
          CHECK(std::abs(W_new[r * dim + k] - (double(W[r * dim + k]) - eta * p.gradient(r, k))) <
                tol);
        }
        if (train_output) {
          CHECK(std::abs(a_new[r] - (double(a[r]) - eta * p.output_gradient(r))) < tol);
        } else {
          CHECK(a_new[r] == a[r]);
        }
      }
      for (std::int64_t i = 0; i < n; ++i) {
        CHECK(std::abs(u[i] - p.prediction(W_new, a_new, i)) < tolerance<T>(width));
        for (std::int64_t r = 0; r < 64 * p.words; ++r) {
          const double z = r < width ? p.z(&W_new[r * dim], i) : -1.0;
          if (r < width && std::abs(z) < tolerance<T>(dim)) continue;  // rounding decides
          CHECK(((bits[i * p.words + r / 64] >> (r % 64)) & 1u) == (z >= 0));
        }
      }
      reference_W = W_new;
      reference_a = a_new;
      reference_u = u;
    }
    CHECK(W_new == reference_W && a_new == reference_a && u == reference_u);
  }
}

template <typename T>
void gradient_is_the_step() {
  Problem<T> p(9, 4, 600);
  const Update<T> update = p.update(123.0, true);  // its step size is not used
  for (int threads : {1, 2}) {
    std::vector<T> gradient(p.width * p.dim), output(p.width);
    loss_gradient<T>(p.parameters(), update, {gradient.data(), p.width, p.dim, p.dim},
                     output.data(), with_threads(threads));
    for (std::int64_t r = 0; r < p.width; ++r) {
      for (std::int64_t k = 0; k < p.dim; ++k) {
        CHECK(std::abs(gradient[r * p.dim + k] - p.gradient(r, k)) < tolerance<T>(p.n));
      }
      CHECK(std::abs(output[r] - p.output_gradient(r)) < tolerance<T>(p.n));
    }
    loss_gradient<T>(p.parameters(), update, {gradient.data(), p.width, p.dim, p.dim}, nullptr,
                     with_threads(threads));
  }
}

}  // namespace

TEST(step_and_forward_pass) {
  check::at_every_level([] {
    for (bool train_output : {false, true}) {
      step_against_the_naive_loop<double>(7, 3, 1, train_output);
      step_against_the_naive_loop<double>(9, 5, 513, train_output);
      step_against_the_naive_loop<double>(260, 3, 1030, train_output);  // several blocks and panels
      step_against_the_naive_loop<float>(9, 5, 513, train_output);
      step_against_the_naive_loop<float>(260, 3, 1030, train_output);
    }
  });
}

TEST(gradient) {
  check::at_every_level([] {
    gradient_is_the_step<float>();
    gradient_is_the_step<double>();
  });
}

// An SGD step: update from some examples, no forward pass.
TEST(update_without_forward_pass) {
  Problem<double> p(9, 4, 700);
  const Update<double> update = p.update(0.5, false);
  std::vector<double> W(p.W.size()), a(p.a.size());
  double untouched = 5;
  descend<double>(p.parameters(), {{W.data(), p.width, p.dim, p.dim}, a.data()}, &update,
                  {p.X.data(), 0, p.dim, p.dim}, &untouched, {}, {});
  CHECK(untouched == 5 && a == p.a);
  for (std::int64_t r = 0; r < p.width; ++r) {
    for (std::int64_t k = 0; k < p.dim; ++k) {
      CHECK(std::abs(W[r * p.dim + k] - (p.W[r * p.dim + k] - 0.5 * p.gradient(r, k))) <
            tolerance<double>(p.n));
    }
  }
}

TEST(predictions) {
  check::at_every_level([] {
    const std::int64_t n = 300, dim = 5, width = 1100;
    Problem<double> p(n, dim, width);
    Neurons<double> seeded;
    seeded.random = RandomNetwork{3, width, dim, false};
    seeded.random.weights(0, width, p.W.data(), dim);
    seeded.random.signs(0, width, p.a.data());
    Neurons<double> stored = seeded;
    stored.stored = p.W.data();
    stored.stride = dim;
    std::vector<double> u(n), v(n);
    predict<double>(stored, p.a.data(), 1, p.x(), u.data(), with_threads(1));
    for (std::int64_t i = 0; i < n; ++i)
      CHECK(std::abs(u[i] - p.prediction(p.W, p.a, i)) < tolerance<double>(width));
    for (int threads : {1, 2, 3}) {
      predict<double>(seeded, nullptr, 1, p.x(), v.data(),
                      with_threads(threads));  // weights and signs on demand
      CHECK(u == v);
    }
  });
}

TEST(distances) {
  const std::int64_t dim = 6, width = 1100;
  Neurons<float> initial;
  initial.random = RandomNetwork{4, width, dim, false};
  std::vector<float> W0(width * dim);
  initial.random.weights(0, width, W0.data(), dim);
  std::vector<float> W = W0;
  std::mt19937 random(5);
  for (float& w : W) w += static_cast<float>(random() % 100) / 1000.0f;
  Neurons<float> stored = initial;
  stored.stored = W0.data();
  stored.stride = dim;
  for (const Neurons<float>& start : {initial, stored}) {
    std::vector<double> out(width);
    weight_distances<float>({W.data(), width, dim, dim}, start, out.data(), with_threads(2));
    for (std::int64_t r = 0; r < width; ++r) {
      double sum = 0;
      for (std::int64_t k = 0; k < dim; ++k) {
        const double d = double(W[r * dim + k]) - double(W0[r * dim + k]);
        sum += d * d;
      }
      CHECK(std::abs(out[r] - std::sqrt(sum)) < 1e-14);
    }
  }
}

TEST(interrupted_step_leaves_the_old_weights) {
  for (int threads : {1, 2}) {
    Problem<double> p(20, 4, 20 * kPanel);
    const std::vector<double> W = p.W, a = p.a;
    std::vector<double> W_new(W.size()), a_new(a.size()), u(p.n);
    std::vector<std::uint64_t> bits(p.bits.size());
    const Update<double> update = p.update(0.1, true);
    RunOptions options = with_threads(threads);
    options.poll_interval = 0;
    options.poll = [](std::int64_t done, std::int64_t) { return done >= 2; };
    // The thread that polls may come too late for a step this short: try again.
    bool interrupted = false;
    for (int attempt = 0; attempt < 100 && !interrupted; ++attempt) {
      try {
        descend<double>(p.parameters(), {{W_new.data(), p.width, p.dim, p.dim}, a_new.data()},
                        &update, p.x(), u.data(), {bits.data(), p.n, p.words, p.words}, options);
      } catch (const Interrupted&) {
        interrupted = true;
      }
      CHECK(p.W == W && p.a == a);
    }
    CHECK(interrupted);
  }
}

// Weights that overflowed must give a prediction that is not finite, whatever cancels inside.
TEST(overflow_shows_in_the_predictions) {
  check::at_every_level([] {
    const float inf = std::numeric_limits<float>::infinity();
    for (std::int64_t width : {1, 40}) {
      std::vector<float> W(width * 2, 1.0f), a(width, 1.0f);
      W[2 * (width - 1)] = inf;
      W[2 * (width - 1) + 1] = -inf;
      const float X[2] = {1, 1};
      Neurons<float> neurons;
      neurons.stored = W.data();
      neurons.stride = 2;
      neurons.random.width = width;
      neurons.random.dim = 2;
      double u = 0;
      predict<float>(neurons, a.data(), 1, {X, 1, 2, 2}, &u, {});
      CHECK(!std::isfinite(u));
    }
  });
}

int main() { return check::run(); }
