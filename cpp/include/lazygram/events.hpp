// Event-driven gradient descent: the exact trajectory of full-batch descent on the first layer of a
// two-layer ReLU network, at O(n^2) per step plus the pairs (neuron, example) that could have
// changed sign.
//
//   f(x) = m^{-1/2} sum_r a_r max(w_r . x, 0),  z_rj = w_r . x_j,  M_rj = 1{z_rj >= 0}
//   step:  w_r <- w_r - m^{-1/2} a_r sum_i g_i M_ri x_i        g = step size * dloss/du
//
// What follows is for one output and a_r = +-1, which has code of its own. With several outputs, or
// other a_r, a_r g_i and a_r S_i stand for the sums over outputs a_ro g_io and a_ro S_io, the
// clocks count what bounds them for every neuron (readout.hpp), and predictions need the counts of
// every pair of outputs weighted by a_ro a_rp (pairs.hpp).
//
// Facts that it rests on (K = X X^T, S = sum of the g so far, all clocks in units of sqrt(m) |z|):
//   1. sqrt(m) z_rj = sqrt(m) z_rj(0) - a_r [sum_i M_ri K_ij S_i + sum_i corr_ri K_ij]; corr_ri
//   changes only
//      when the pair (r, i) flips: += S_i on turning off, -= S_i on turning on. No weight is ever
//      updated.
//   2. u(k+1) = u(k) - (1/m) (K o C) g + m^{-1/2} sum over the pairs that flip in this step of a_r
//   |z(k+1)|;
//      C, the integer co-activation counts, changes by flips only, so H(k) = K o C / m is there at
//      every step.
//   3. In one step sqrt(m) z_rj moves by at most P_j one way and N_j the other, P_j = sum_i
//   max(K_ij g_i, 0),
//      N_j = sum_i max(-K_ij g_i, 0): two monotone clocks per example say when a pair must be
//      looked at again.
//   4. Pairs whose |z(0)| the clocks never reach are never stored. When a clock reaches the limit,
//   W(0) X^T is
//      made again and the next band of pairs is tracked.
//
// Stored values of T: W(0), X and z(0); predictions, clocks, S, K, corrections and every evaluation
// that decides a sign are float64. The trajectory depends neither on the number of threads nor on
// what is tracked: sums over flips are taken in fixed point, sums over examples in a fixed order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/patterns.hpp"

namespace lazygram {

// Bytes that a run is expected to need at its peak, by purpose.
struct EventPlan {
  double tracked_pairs = 0;  // expected number for a Gaussian W(0)
  double bits = 0, tracked = 0, corrections = 0, matrices = 0, scratch = 0;
  double total() const { return bits + tracked + corrections + matrices + scratch; }
};

// Clock readings up to which pairs are tracked from the start, one per column (examples, then test
// points); infinity tracks all pairs. Too small costs another W(0) X^T, too large memory and
// scanning.
struct EventOptions {
  const double* reach = nullptr;
  std::int64_t outputs = 1;
  std::int64_t memory_limit = 0;  // bytes; 0: none. A plan above it is refused.
};

// What happened so far. Seconds by phase, pairs counted over all columns.
struct EventStats {
  double setup = 0,
         setup_gemm = 0;  // passes over W(0): seconds; thread-seconds of weights and products
  double matrix_pass = 0, evaluate = 0, apply = 0, counts = 0;
  std::int64_t steps = 0, passes = 0, rebuilds = 0;
  std::int64_t tracked = 0, due = 0, exact = 0, flips = 0;
};

// Everything that determines the rest of the trajectory. Column = example or test point.
struct EventSnapshot {
  std::int64_t steps = 0, flips = 0, flips_last = 0;
  double path_length = 0;
  Buffer<std::uint64_t> bits;    // width x row_words
  Buffer<std::uint64_t> marked;  // the copy that mark took; empty without one
  std::vector<double> S, u, up, down, reach;
  std::vector<std::int32_t> C;        // columns x examples
  std::vector<std::int64_t> changed;  // per column: pairs whose bit differs from the initial one
  std::vector<std::int64_t> offset;   // width + 1: corrections of a neuron in the two arrays below
  std::vector<std::uint32_t> index;
  std::vector<double> value;
  std::vector<std::uint8_t> pairs;  // counts of pairs of outputs, as they are in memory
};

// What the memory of a run depends on beside the sizes of its inputs.
struct ReadoutShape {
  std::int64_t outputs = 1;
  bool units = true;   // all a_ro = +-1
  double scale = 1.0;  // one output: max |a_r|; else 1
};

template <typename T>
EventPlan plan_events(std::int64_t width, ConstMatrixView<T> X, ConstMatrixView<T> X_test,
                      bool random, const double* reach, const ReadoutShape& readout, int threads);

template <typename T>
struct EventState;

template <typename T>
class EventDescent {
 public:
  // Runs the initial forward pass. X (n x d) and X_test (may have no rows) are copied; stored
  // weights are not: they must outlive the object unchanged. a: width x outputs values (which must
  // outlive the object as well), or null for the signs of the seed. With `resume` the state is
  // taken from a snapshot of the same network and inputs.
  EventDescent(const Neurons<T>& neurons, const T* a, ConstMatrixView<T> X,
               ConstMatrixView<T> X_test, const EventOptions& event_options,
               const EventSnapshot* resume, const RunOptions& options);
  ~EventDescent();
  EventDescent(EventDescent&&) noexcept;
  EventDescent& operator=(EventDescent&&) noexcept;

  // One step with rho = dloss/du (examples x outputs). False: a sum overflowed, nothing has
  // changed. An exception leaves the state before the step too, unless memory ran out while flips
  // were applied: then every later call throws. Polls until flips are applied; interrupted among
  // its evaluations, the next step makes W(0) X^T again.
  bool step(const double* rho, double step_size, const RunOptions& options);

  std::int64_t examples() const;
  std::int64_t columns() const;  // examples + test points
  std::int64_t width() const;
  std::int64_t outputs() const;
  const std::vector<double>& predictions() const;  // u: columns x outputs
  const std::vector<std::int64_t>& changed()
      const;  // per column: bits that differ from the initial ones
  const EventStats& stats() const;
  const EventPlan& plan() const;

  void gram(MatrixView<double> out) const;          // H: columns x examples
  void counts(MatrixView<std::int64_t> out) const;  // C: columns x examples
  // sum_r a_ro a_rp M_rj M_ri, columns x examples: o <= p, o < p where all a are +-1; not for signs
  // of one output.
  void output_counts(std::int64_t first, std::int64_t second, MatrixView<double> out) const;
  // Patterns of the columns begin .. begin+out.rows-1, layout of patterns.hpp.
  void patterns(std::int64_t begin, PatternsView out, const RunOptions& options) const;
  // Rows begin .. begin+out.rows-1 of W now.
  void weights(std::int64_t begin, MatrixView<T> out, const RunOptions& options) const;
  // out[r] = |w_r - w_r(0)|_2 for all r: one more product of the size of W(0) X^T.
  void distances(double* out, const RunOptions& options) const;
  // Number of bits of the examples that differ from those at the last call of mark.
  // mark copies the bits: another m n / 8 bytes.
  void mark();
  std::int64_t differences_from_mark(const RunOptions& options) const;
  // Bits of the examples that changed in the last step.
  std::int64_t flips_in_last_step() const;
  // sum over steps and outputs of max_r |a_ro| |g_o|_2: |w_r - w_r(0)|_2 <= m^{-1/2} |X|_2
  // path_length for every r.
  double path_length() const;

  EventSnapshot snapshot() const;

 private:
  std::unique_ptr<EventState<T>> state_;
};

}  // namespace lazygram
