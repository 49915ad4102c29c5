// Dense gradient descent of a two-layer ReLU network, panel by panel.
//
//   f(x) = m^{-1/2} sum_r a_r max(w_r . x, 0)                   one value for each output: a_ro
//   w_r <- w_r - eta m^{-1/2} a_r sum_i rho_i M_ri x_i          rho = dloss/du, u_i = f(x_i)
//   a_r <- a_r - eta m^{-1/2} sum_i rho_i max(w_r . x_i, 0)     (only when both layers are trained)
// with a_r rho_i the sum over the outputs.
// The second sum equals w_r . (sum_i rho_i M_ri x_i), so it costs no further matrix product.
//
// Weights are read from one buffer and written to another: an interrupted step leaves the old ones
// whole. Predictions are sums of per-panel float64 partial sums taken in panel order: the same for
// any thread count.
#pragma once

#include <cstdint>

#include "lazygram/array.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/patterns.hpp"

namespace lazygram {

// Parameters of the network: W (width x dim, contiguous rows) and a (width x outputs).
template <typename T>
struct Parameters {
  MatrixView<T> W;
  T* a = nullptr;
  std::int64_t outputs = 1;
};

// The update of one step, from predictions that the caller has turned into rho.
template <typename T>
struct Update {
  ConstMatrixView<T> X;    // the examples of the step (all, or a batch)
  const double* rho;       // X.rows x outputs
  ConstPatternsView bits;  // patterns of X under the weights of the step
  double step_size;
  bool train_output;  // also the output layer a
};

// One step with the forward pass that follows it. With `update` null: forward pass only (from ==
// to). With `X` empty (rows 0): update only. u: X.rows x outputs; bits: X.rows x
// pattern_words(width), may be empty.
template <typename T>
void descend(const Parameters<T>& from, const Parameters<T>& to, const Update<T>* update,
             ConstMatrixView<T> X, double* u, PatternsView bits, const RunOptions& options);

// dL/dW (width x dim) into gradient and, when not null, dL/da (width x outputs) into
// output_gradient: `update` with step size 1, step_size ignored.
template <typename T>
void loss_gradient(const Parameters<T>& at, const Update<T>& update, MatrixView<T> gradient,
                   T* output_gradient, const RunOptions& options);

// u_i = f(x_i) for neurons that may be made on demand; a null makes the random signs (one output).
template <typename T>
void predict(const Neurons<T>& neurons, const T* a, std::int64_t outputs, ConstMatrixView<T> X,
             double* u, const RunOptions& options);

// out[r] = |w_r - w_r(0)|_2 in float64.
template <typename T>
void weight_distances(ConstMatrixView<T> W, const Neurons<T>& initial, double* out,
                      const RunOptions& options);

}  // namespace lazygram
