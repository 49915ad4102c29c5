// Runs a program on one block of pairs; private to the tile engine.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/program.hpp"
#include "lazygram/tiles.hpp"
#include "tiles/loops.hpp"

namespace lazygram {

const TileLoops& tile_loops();

// How Theta is carried: not at all, as one sum, or one per group.
enum class Tracks { none, total, separate };

// What a program needs to know of one set of examples, per instruction: [pixels][n] each.
struct SideTables {
  struct Entry {
    Buffer<double> first, second, third;  // see Runner::record
    bool has_zero = false;                // activation: some variance is 0
  };
  std::int64_t n = 0;
  std::vector<Entry> at;  // one per instruction
  SideTables(const Program& program, std::int64_t n);
  void find_zeros(const Program& program);
};

// Duals of the activations, by number; null where the closed form is used or nothing is needed.
struct ActivationDuals {
  std::vector<std::unique_ptr<EntryDual>> value, derivative;
};

// Pairs (i[e], j[e]), e < count. `segment`: i[e] = i0 and j[e] = j0 + e.
struct PairBlock {
  std::int64_t count = 0;
  bool segment = false;
  std::int64_t i0 = 0, j0 = 0;
  const std::int32_t* i = nullptr;
  const std::int32_t* j = nullptr;
};

// Where outputs of the block go: channel c of entry e at base[output][c * channel_stride +
// place[e]], place[e] = e if null. Only the first `real` entries are written.
struct BlockSink {
  std::vector<double*> base;
  std::int64_t channel_stride = 0;
  const std::int64_t* place = nullptr;
  std::int64_t real = 0;
};

// Linear maps over planes, one axis (or one pair of axes) at a time: output run o is factor times
// the sum of the input runs source[o * taps + s] (-1: nothing), a run being `run` planes.
struct WindowPass {
  int taps = 1, run = 1, outputs = 0;
  double factor = 1.0;
  std::vector<std::int32_t> source;
};

// The passes of a patches or pool instruction; `pairs`: planes are pixel pairs.
std::vector<WindowPass> window_passes(const Instruction& in, bool pairs);

// Everything that all runners of an evaluation share.
struct RunnerPlan {
  const Program& program;
  std::vector<Output> outputs;
  Tracks tracks;
  std::vector<std::vector<WindowPass>> passes;  // per instruction
  std::vector<char> emits_wanted;
  RunnerPlan(const Program& program, std::vector<Output> outputs);
  std::int64_t bytes_per_entry() const;
  int track_count() const;
};

class Runner {
 public:
  Runner(const RunnerPlan& plan, std::int64_t max_entries);
  // [planes][count] inner products of the next run's pairs, to be filled in.
  double* input() { return values_[0].k; }

  void run_pairs(const PairBlock& block, const SideTables& left, const SideTables& right,
                 const ActivationDuals& duals, const BlockSink& sink);
  // Pairs (i, i), i = begin .. begin + count - 1: records what the tables hold. `service` is asked
  // for duals and means without a closed form; means: [pixels][n] per emit_mean.
  void run_alone(std::int64_t begin, std::int64_t count, SideTables& tables,
                 ActivationService* service, const std::vector<double*>& means,
                 const BlockSink& sink);

 private:
  struct Value {
    double* k = nullptr;
    std::vector<double*> theta;  // per track
    std::vector<char> active;    // theta of the track is not zero
    double* mean = nullptr;      // [pixels][count], run_alone only; null: zero
    Buffer<double> mean_storage;
  };
  struct Sides {  // [pixels][count] each
    const double *left, *right;
  };

  void run(const BlockSink& sink);
  void step(std::size_t at, const BlockSink& sink);
  void affine(const Instruction& in);
  void windows(const Instruction& in, std::size_t at);
  void activation(const Instruction& in, std::size_t at);
  void general_activation(const Instruction& in, const Sides& variance, const EntryDual* value,
                          const EntryDual* derivative);
  void normalise(std::size_t at);
  void dropout(const Instruction& in);
  void add(const Instruction& in, std::size_t at);
  void flatten(const Instruction& in);
  void record(std::size_t at);
  void write(double* base, int channel, const double* plane, const BlockSink& sink) const;
  void write_final(const BlockSink& sink) const;

  // A table of an instruction for the block's pairs, expanded to [pixels][count] into slot `slot`
  // of expanded_ (two arrays each); run_alone: the recorded slice.
  Sides expand(std::size_t at, Buffer<double> SideTables::Entry::*field, int pixels, int slot);
  // body(plane offset, left offset, right offset) for every plane, offsets in elements.
  template <typename Body>
  void each_plane(int pixels, const Body& body) const;
  // body(array) for K and every active Theta of a value.
  template <typename Body>
  void each_array(Value& value, const Body& body) const;
  Value& current() { return values_[depth_]; }
  Value& top() { return values_[depth_ - 1]; }

  const RunnerPlan& plan_;
  const Program& program_;
  const TileLoops& loops_;
  const int track_count_;
  const std::int64_t max_entries_;
  const std::int64_t capacity_;  // elements of one plane array
  Buffer<double> storage_, expanded_, zeros_, chunks_;
  double* spare_ = nullptr;    // one plane array
  std::vector<Value> values_;  // the stack, and above it the current value at depth_
  std::size_t depth_ = 0;

  // The run in progress.
  std::int64_t count_ = 0;
  bool alone_ = false;
  std::int64_t begin_ = 0;
  PairBlock pairs_{};
  const SideTables* left_ = nullptr;
  const SideTables* right_ = nullptr;
  SideTables* tables_ = nullptr;
  const ActivationDuals* duals_ = nullptr;
  ActivationService* service_ = nullptr;
  const std::vector<double*>* means_ = nullptr;
};

}  // namespace lazygram
