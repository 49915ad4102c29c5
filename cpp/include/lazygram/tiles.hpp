// Evaluates a program (program.hpp) on tiles of pairs of examples, and hands the results to a sink.
//
// First every example alone: its variances, means and everything else that depends on one example,
// exact, O(n). Then the pairs, tile by tile: inner products, the whole program on a block of pairs
// that stays in cache, and the block's outputs. Examples alone are float64 always, pairs as
// Precision says; sinks may be either.
// Tiles, and so results, do not depend on the number of threads. With one set of examples a
// diagonal block is computed as one triangle: symmetric bit for bit, its diagonal from the first
// pass.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/duals.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/program.hpp"

namespace lazygram {

// E[phi phi] or E[phi' phi'] of one activation for given variances.
class EntryDual {
 public:
  virtual ~EntryDual() = default;
  // Entries 0 .. count-1 of a clipped chunk; left[k], right[k] are the places of its variances
  // among those that the dual was made for.
  virtual void evaluate(const DualChunk& chunk, const std::int32_t* left, const std::int32_t* right,
                        int count, double* out) const = 0;
  virtual bool needs_places() const { return false; }
  // One call for a whole block (a call is expensive): any number of unclipped entries.
  virtual bool whole_blocks() const { return false; }
  virtual void evaluate_block(const double* K, const double* var1, const double* var2,
                              std::int64_t count, double* out) const;
};

// What the program's activations need and the core has no closed form for. Only called on the
// thread that made the Evaluation.
class ActivationService {
 public:
  virtual ~ActivationService() = default;
  virtual void means(int activation, const double* variances, std::int64_t count, double* out) = 0;
  virtual std::unique_ptr<EntryDual> dual(int activation, int derivative, const double* left,
                                          std::int64_t left_count, const double* right,
                                          std::int64_t right_count) = 0;
};

struct Output {
  enum class Kind { nngp, ntk, grams, emitted } kind;
  int slot = 0;  // emitted: which
};

// Where an output goes: channel c of pair (i, j) at data[c * channel + i * row + j * column]
// (strides in elements of float or double, of any sign).
struct OutputArray {
  void* data = nullptr;
  bool single = false;
  std::int64_t row = 0, column = 0, channel = 0;
};

// Bytes that an evaluation needs besides its inputs and outputs.
struct EvaluationMemory {
  std::int64_t examples = 0;  // copies of the inputs, and what depends on one example
  std::int64_t scratch = 0;   // tiles, all threads
};

// Pairs are run in double, or `single`: in float, to 3e-6 of sqrt(K_ii K_jj), with those that are
// nearly (anti)parallel somewhere, and sizes that float does not have, in double (src/tiles/
// run_path.hpp). Programs of vectors whose result depends on the angle alone (src/tiles/angle.hpp)
// are run from a table; `general` keeps the way of all others, in double.
enum class Precision { automatic, single, general };

class Evaluation {
 public:
  // X1 (n x features), X2 (n2 x features) or empty for the symmetric problem; features are channels
  // x pixels for an image. The program, the inputs and the service must outlive the evaluation.
  Evaluation(const Program& program, ConstMatrixView<double> X1, ConstMatrixView<double> X2,
             std::vector<Output> outputs, ActivationService* service, const RunOptions& options,
             Precision precision = Precision::automatic);
  ~Evaluation();

  bool symmetric() const;
  std::int64_t rows() const;
  std::int64_t cols() const;
  int channels(std::size_t output) const;

  // Values of pairs (i, i) of the first examples, channels x n.
  const double* diagonal(std::size_t output) const;
  // Means that emit_mean recorded for the first examples, pixels x n.
  const double* mean(int slot, int* pixels) const;

  // Pairs [i, i + rows) x [j, j + cols); arrays begin at pair (i, j), one per output.
  void block(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t cols,
             const std::vector<OutputArray>& arrays, const RunOptions& options) const;

  // out (n x k) = output V, V (n2 x k), without storing the output; O(n k) memory. Sums over
  // examples are in float64, those within a tile in the tile's precision, always in the same order.
  void product(std::size_t output, ConstMatrixView<double> V, MatrixView<double> out,
               const RunOptions& options) const;

  bool by_angles() const;  // run from a table: the inputs are not needed any more

  static EvaluationMemory memory(const Program& program, std::int64_t features, std::int64_t n,
                                 std::int64_t n2, const std::vector<Output>& outputs, int threads,
                                 Precision precision = Precision::automatic);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lazygram
