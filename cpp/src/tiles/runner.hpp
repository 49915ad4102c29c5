// Runs a program on one block of pairs; private to the tile engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lazygram/array.hpp"
#include "lazygram/program.hpp"
#include "lazygram/tiles.hpp"
#include "tiles/chains.hpp"
#include "tiles/loops.hpp"

namespace lazygram {

template <typename T>
const TileLoops<T>& tile_loops();

// How Theta is carried: not at all, as one sum, or one per group.
enum class Tracks { none, total, separate };

// What a program needs to know of one set of examples, per instruction: [pixels][n] each.
template <typename T>
struct SideTablesOf {
  struct Entry {
    Buffer<T> first, second, third;  // see Runner::record
    bool has_zero = false;           // activation: some variance is 0
  };
  std::int64_t n = 0;
  std::vector<Entry> at;  // one per instruction
  SideTablesOf(const Program& program, std::int64_t n);
  SideTablesOf(const Program& program, const SideTablesOf<double>& exact);  // rounded
  void find_zeros(const Program& program);
};
using SideTables = SideTablesOf<double>;

// phi of the family that has loops of its own.
bool is_rectified(const ProgramActivation& activation);

// Values per pair of examples.
int output_channels(const Program& program, const Output& output);

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
template <typename T>
struct BlockSink {
  std::vector<T*> base;
  std::int64_t channel_stride = 0;
  const std::int64_t* place = nullptr;
  std::int64_t real = 0;
};

// Everything that all runners of an evaluation share.
struct RunnerPlan {
  const Program& program;
  std::vector<Output> outputs;
  Tracks tracks;
  // Routes through the instructions before `end`, rows x columns, the pairs of a pixel with itself
  // in the first one. If they are chains (`split`), `end` averages over all their planes and the
  // rest of the program has one pixel.
  std::size_t end;
  bool closed;  // all duals have closed forms
  std::vector<AxisRoute> rows, columns;
  std::vector<Route> routes;
  AxisRoute rest_rows, rest_columns;
  std::int64_t max_planes = 1;               // of a route
  std::vector<std::int64_t> tables;          // instruction -> its place among a block's tables
  std::int64_t table_values = 0;             // of a block's tables, per entry
  std::vector<AxisPass> own;                 // flatten -> sum of the planes of a pixel with itself

  RunnerPlan(const Program& program, std::vector<Output> outputs);
  RunnerPlan(const RunnerPlan&) = delete;
  RunnerPlan& operator=(const RunnerPlan&) = delete;
  bool split() const { return end < program.instructions().size(); }
  int track_count() const;
  std::int64_t arrays() const;            // of planes, that a runner has
  std::int64_t values_per_entry() const;  // numbers that a runner keeps
};

// In float, 1 - |rho| is uncertain by about 2e-7, and the angle by this over its sine: beyond this
// 1 - |rho| the derivative's dual, which is linear in the angle, keeps 3e-6.
inline constexpr double kNear = 0x1p-12;

template <typename T>
class Runner {
 public:
  Runner(const RunnerPlan& plan, std::int64_t max_entries);
  // Vectors: [count] inner products of the next run's pairs, to be filled in.
  T* input() { return values_[0].k; }

  // Images: with their features. Float loses digits between near (anti)parallel inputs: entries
  // of which a pair has 1 - |rho| < kNear are named by near(), and their outputs are to be
  // computed again in double. In chains it is done here, chain by chain, with the runner that
  // `exact` has begun the same block with.
  using Exact = std::function<Runner<double>&()>;
  void run_pairs(const PairBlock& block, const Features<T>* features, const SideTablesOf<T>& left,
                 const SideTablesOf<T>& right, const ActivationDuals& duals,
                 const BlockSink<T>& sink, const Exact& exact = {});
  const std::vector<std::int32_t>& near() const { return near_; }

  // Pairs (i, i), i = begin .. begin + count - 1: records what the tables hold. `service` is asked
  // for duals and means without a closed form; means: [pixels][n] per emit_mean. Double only.
  void run_alone(std::int64_t begin, std::int64_t count, const Features<T>* features,
                 SideTablesOf<T>& tables, ActivationService* service,
                 const std::vector<double*>& means, const BlockSink<T>& sink);

  // A block of pairs, chain by chain: the sums over a chain's planes of K and the active Thetas,
  // one array after the other.
  void begin_pairs(const PairBlock& block, const Features<T>* features,
                   const SideTablesOf<T>& left, const SideTablesOf<T>& right,
                   const ActivationDuals& duals);
  const T* chain(const Route& route);

 private:
  struct Value {
    T* k = nullptr;
    std::vector<T*> theta;     // per track
    std::vector<char> active;  // theta of the track is not zero
    T* mean = nullptr;         // [pixels][count], run_alone only; null: zero
    Buffer<T> mean_storage;
  };

  void run(const BlockSink<T>& sink, const Exact& exact);
  void start(const Route& route);
  void run_chains(const Exact& exact);
  std::size_t step(std::size_t at, const BlockSink<T>* sink);  // returns the next instruction
  void affine(const Instruction& in);
  bool windows(const Instruction& in, std::size_t at, const Instruction* affine);
  void pool_means(const Instruction& in);
  void activation(const Instruction& in, std::size_t at);
  void correct_zeros(std::size_t at, const PixelSides<T>& inverse, T ratio);
  void general_activation(const Instruction& in, std::size_t at);
  void activation_means(const Instruction& in, std::size_t at);
  void own_variances(const Instruction& in, std::size_t at);
  bool own_zeros(const Instruction& in, std::size_t at);
  void add(const Instruction& in, std::size_t at);
  void flatten(std::size_t at);
  void emit(const Instruction& in, const BlockSink<T>& sink);
  void record(std::size_t at);
  void gather_near();
  void write(T* base, std::int64_t channel, const T* plane, const BlockSink<T>& sink) const;
  void write_final(const BlockSink<T>& sink);

  PlaneGrid grid(std::size_t at) const;
  std::int64_t planes() const { return route_.planes(at_); }
  // A table of an instruction (its number: `field`) for the block's pairs.
  PixelSides<T> sides(std::size_t at, int field);
  // body(array) for K and every active Theta of a value.
  template <typename Body>
  void each_array(Value& value, const Body& body) const;
  template <typename Body>
  void each_own(const Body& body) const;
  Value& current() { return values_[depth_]; }
  Value& top() { return values_[depth_ - 1]; }

  const RunnerPlan& plan_;
  const Program& program_;
  const TileLoops<T>& loops_;
  const int track_count_;
  const std::int64_t max_entries_;
  const std::int64_t capacity_;  // elements of one plane array
  Buffer<T> storage_, expanded_, zeros_, closest_, spare_mean_, sums_;
  Buffer<double> chunks_, pooled_;
  std::vector<T*> spare_;      // one plane array, or two
  std::vector<Value> values_;  // the stack, and above it the current value at depth_
  std::size_t depth_ = 0;

  // The run in progress.
  std::size_t at_ = 0;  // the instruction
  Route route_{};
  bool first_route_ = true;
  std::int64_t count_ = 0;
  bool alone_ = false, watched_ = false;
  std::int64_t begin_ = 0;
  PairBlock pairs_{};
  const Features<T>* features_ = nullptr;
  const SideTablesOf<T>* left_ = nullptr;
  const SideTablesOf<T>* right_ = nullptr;
  SideTablesOf<T>* tables_ = nullptr;
  const ActivationDuals* duals_ = nullptr;
  ActivationService* service_ = nullptr;
  const std::vector<double*>* means_ = nullptr;
  std::vector<char> expanded_fields_;  // 3 per instruction: the block's tables are there
  std::vector<std::int32_t> near_, every_;
  std::vector<T*> active_;  // Thetas that are not zero
  std::vector<double> own_;

  template <typename>
  friend class Runner;
};

}  // namespace lazygram
