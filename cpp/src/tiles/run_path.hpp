// Tiles of a program by running it on blocks of pairs, in float or double. Private to the tile
// engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "lazygram/blas.hpp"
#include "lazygram/gram.hpp"
#include "lazygram/parallel.hpp"
#include "tiles/examples.hpp"
#include "tiles/runner.hpp"

namespace lazygram {

inline constexpr std::int64_t kVectorEdge = 256;  // of a tile of vectors: products at full speed
inline constexpr std::int64_t kImageEdge = 32;
inline constexpr std::int64_t kPairEdge = 8;
// Bytes that a block of pairs may take: the planes it goes over and over again stay in cache.
inline constexpr std::int64_t kBlockBytes = 72 << 10;
// Cosines above this are computed again from the difference of the two vectors.
inline constexpr double kNearCosine = 0.999;
template <typename T>
inline constexpr std::int64_t kBlockStep = 64 / static_cast<std::int64_t>(sizeof(T));  // entries

inline std::int64_t tile_edge(const Program& program) {
  if (program.pairs()) return kPairEdge;
  return program.is_image() ? kImageEdge : kVectorEdge;
}

template <typename T>
std::int64_t block_entries(const RunnerPlan& plan) {
  const std::int64_t edge = tile_edge(plan.program), step = kBlockStep<T>;
  if (!plan.program.is_image()) return edge;
  if (plan.split()) return step;
  const std::int64_t bytes = plan.values_per_entry() * static_cast<std::int64_t>(sizeof(T));
  return std::clamp<std::int64_t>(kBlockBytes / bytes / step * step, step,
                                  plan.program.pairs() ? edge * edge : edge);
}

// K_ij of all pairs of a block of packed features, [channel][pixel][entries].
template <typename T>
Features<T> packed_features(const Program& program, const T* left, const T* right,
                            std::int64_t features, std::int64_t entries, double scale) {
  const std::int64_t pixels = program.input_shape().pixels();
  return {{left, entries, right, entries, false},
          pixels * entries,
          pixels * entries,
          features / pixels,
          static_cast<T>(scale)};
}

template <typename T>
struct RunScratch {
  std::unique_ptr<Runner<T>> runner;
  Buffer<T> products;           // vectors: inner products of a tile
  Buffer<T> left, right;        // pairs of images: packed features
  std::vector<Buffer<T>> out;   // per output: [channels][edge * edge]; in `exact` [channels][block]
  std::vector<std::int32_t> i, j, near;
  std::vector<std::int64_t> place;
  std::unique_ptr<RunScratch<double>> exact;  // float: what is computed again
};

// The examples as a path reads them, in T.
template <typename T>
struct RunSide {
  std::int64_t n;
  const T* values;  // images: [channel][pixel][n]; vectors: rows
  std::int64_t stride;
  const SideTablesOf<T>* tables;
};

template <typename T>
class RunPath {
 public:
  RunPath(const RunnerPlan& plan, const Examples& first, const Examples* other,
          const ActivationDuals& duals, double input_scale)
      : plan_(plan),
        program_(plan.program),
        first_(first),
        second_(other ? *other : first),
        symmetric_(!other),
        duals_(duals),
        input_scale_(input_scale),
        edge_(tile_edge(plan.program)),
        entries_(block_entries<T>(plan)) {
    if constexpr (std::is_same_v<T, double>) {
      left_ = side_of(first_);
      right_ = side_of(second_);
    } else {
      rounded_.push_back(std::make_unique<RoundedExamples>(program_, first_));
      if (other) rounded_.push_back(std::make_unique<RoundedExamples>(program_, *other));
      left_ = rounded_.front()->side();
      right_ = rounded_.back()->side();
      exact_ = std::make_unique<RunPath<double>>(plan, first, other, duals, input_scale);
    }
  }
  RunPath(const RunPath&) = delete;
  RunPath& operator=(const RunPath&) = delete;

  // Computes a tile into s.out; of a diagonal tile the upper half without the diagonal.
  void tile(const TileGrid::Tile& t, RunScratch<T>& s) const {
    if (!s.runner) {
      prepare(s, entries_, edge_ * edge_);
      if (exact_) {
        s.exact = std::make_unique<RunScratch<double>>();
        exact_->prepare(*s.exact, entries_, entries_);
      }
    }
    if (program_.pairs())
      pair_tile(t, s);
    else if (program_.is_image())
      segment_tile(t, s);
    else
      vector_tile(t, s);
  }

  static std::int64_t scratch_bytes(const RunnerPlan& plan, std::int64_t features,
                                    std::int64_t channels) {
    const std::int64_t edge = tile_edge(plan.program), entries = block_entries<T>(plan);
    const auto item = static_cast<std::int64_t>(sizeof(T));
    const std::int64_t duals = plan.closed ? 0 : 5 * 8 * entries * plan.max_planes;
    const auto with = [&](std::int64_t size, std::int64_t out) {
      std::int64_t values = entries * plan.values_per_entry() + channels * out;
      if (plan.program.pairs()) values += 2 * features * entries;
      return size * values + duals;
    };
    const std::int64_t products = plan.program.is_image() ? 0 : item * edge * edge;
    return with(item, edge * edge) + products + (item == 8 ? 0 : with(8, entries));
  }

 private:
  template <typename>
  friend class RunPath;

  struct RoundedExamples {
    std::int64_t stride;
    Buffer<T> values;
    SideTablesOf<T> tables;
    RoundedExamples(const Program& program, const Examples& x)
        : stride(x.features), values(x.n * x.features), tables(program, x.tables) {
      if (program.is_image()) {
        std::copy_n(x.columns.data(), values.size(), values.data());
        return;
      }
      for (std::int64_t i = 0; i < x.n; ++i)
        std::copy_n(x.rows.row(i), x.features, values.data() + i * x.features);
    }
    RunSide<T> side() const { return {tables.n, values.data(), stride, &tables}; }
  };
  static RunSide<double> side_of(const Examples& x) {
    return {x.n, x.columns.size() > 0 ? x.columns.data() : x.rows.data, x.rows.stride, &x.tables};
  }

  void prepare(RunScratch<T>& s, std::int64_t entries, std::int64_t out) const {
    s.runner = std::make_unique<Runner<T>>(plan_, entries);
    if (program_.pairs()) {
      s.left = Buffer<T>(first_.features * entries);
      s.right = Buffer<T>(first_.features * entries);
    }
    for (const Output& output : plan_.outputs)
      s.out.emplace_back(output_channels(program_, output) * out);
  }

  BlockSink<T> sink(const RunScratch<T>& s, std::int64_t channel_stride) const {
    BlockSink<T> sink;
    for (const Buffer<T>& out : s.out) sink.base.push_back(out.data());
    sink.channel_stride = channel_stride;
    return sink;
  }

  // Features of the pairs, side by side.
  Features<T> pack(const PairBlock& block, RunScratch<T>& s) const {
    const std::int64_t count = block.count;
    for (std::int64_t f = 0; f < first_.features; ++f) {
      const T* const from_left = left_.values + f * left_.n;
      const T* const from_right = right_.values + f * right_.n;
      for (std::int64_t e = 0; e < count; ++e) {
        s.left[f * count + e] = from_left[block.i[e]];
        s.right[f * count + e] = from_right[block.j[e]];
      }
    }
    return packed_features<T>(program_, s.left.data(), s.right.data(), first_.features, count,
                              input_scale_);
  }

  // Features of a segment: where they are.
  Features<T> segment_features(const PairBlock& block) const {
    const std::int64_t pixels = program_.input_shape().pixels();
    return {{left_.values + block.i0, left_.n, right_.values + block.j0, right_.n, true},
            pixels * left_.n,
            pixels * right_.n,
            first_.features / pixels,
            static_cast<T>(input_scale_)};
  }

  // Inner products of vector i with j .. j + count - 1.
  void near_products(std::int64_t i, std::int64_t j, std::int64_t count, T* k) const {
    const double size = std::sqrt(first_.square[i]) * kNearCosine * input_scale_;
    for (std::int64_t c = 0; c < count; ++c) {
      const double other_square = second_.square[j + c];
      const double product = k[c];
      if (product * product <= size * size * other_square) continue;
      if (first_.square[i] > 0.0 && other_square > 0.0)
        k[c] = static_cast<T>(input_scale_ *
                              near_product(first_.rows.row(i), second_.rows.row(j + c),
                                           first_.features, first_.square[i], other_square,
                                           product > 0.0));
    }
  }
  void multiply(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t cols, T* out) const {
    gemm_nt<T>(rows, cols, first_.features, static_cast<T>(input_scale_),
               left_.values + i * left_.stride, left_.stride, right_.values + j * right_.stride,
               right_.stride, T(0), out, edge_);
  }

  void run(const PairBlock& block, const Features<T>* features, const BlockSink<T>& to,
           RunScratch<T>& s) const {
    if constexpr (std::is_same_v<T, double>) {
      s.runner->run_pairs(block, features, *left_.tables, *right_.tables, duals_, to);
    } else {
      bool begun = false;
      Features<double> exact_features{};
      const auto begin = [&]() -> Runner<double>& {
        Runner<double>& runner = *s.exact->runner;
        if (std::exchange(begun, true)) return runner;
        exact_features = exact_->pack(block, *s.exact);
        runner.begin_pairs(block, &exact_features, first_.tables, second_.tables, duals_);
        return runner;
      };
      s.runner->run_pairs(block, features, *left_.tables, *right_.tables, duals_, to, begin);
      s.near.clear();
      for (const std::int32_t e : s.runner->near()) {
        const std::int64_t i = block.segment ? block.i0 : block.i[e];
        const std::int64_t j = block.segment ? block.j0 + e : block.j[e];
        if (e < to.real && !(symmetric_ && i == j)) s.near.push_back(e);
      }
      if (!s.near.empty()) exact_->again(block, s.near, to, *s.exact);
    }
  }

  // Outputs of some entries of a block, of which only those that are named are written.
  template <typename To>
  void again(const PairBlock& block, const std::vector<std::int32_t>& entries,
             const BlockSink<To>& to, RunScratch<T>& s) const {
    const std::int64_t room = s.out[0].size() / output_channels(program_, plan_.outputs[0]);
    BlockSink<T> mine = sink(s, room);
    mine.real = block.count;
    Features<T> features{};
    const bool image = program_.is_image();
    if (image) features = block.segment ? segment_features(block) : pack(block, s);
    if (!image) {
      multiply(block.i0, 1, block.j0, block.count, s.runner->input());
      near_products(block.i0, block.j0, block.count, s.runner->input());
    }
    run(block, image ? &features : nullptr, mine, s);
    for (std::size_t o = 0; o < s.out.size(); ++o)
      for (int c = 0; c < output_channels(program_, plan_.outputs[o]); ++c)
        for (const std::int32_t e : entries)
          to.base[o][c * to.channel_stride + (to.place ? to.place[e] : e)] =
              static_cast<To>(s.out[o][c * room + e]);
  }

  void vector_tile(const TileGrid::Tile& t, RunScratch<T>& s) const {
    if (s.products.size() == 0) s.products = Buffer<T>(edge_ * edge_);
    multiply(t.i, t.rows, t.j, t.cols, s.products.data());
    BlockSink<T> to = sink(s, edge_ * edge_);
    const std::vector<T*> base = to.base;
    for (std::int64_t r = 0; r < t.rows; ++r) {
      const std::int64_t begin = t.diagonal ? r : 0;
      PairBlock block;
      block.count = to.real = t.cols - begin;
      block.segment = true;
      block.i0 = t.i + r;
      block.j0 = t.j + begin;
      T* const k = s.runner->input();
      std::copy_n(s.products.data() + r * edge_ + begin, block.count, k);
      near_products(block.i0, block.j0, block.count, k);
      for (std::size_t o = 0; o < base.size(); ++o) to.base[o] = base[o] + r * edge_ + begin;
      run(block, nullptr, to, s);
    }
  }

  void segment_tile(const TileGrid::Tile& t, RunScratch<T>& s) const {
    BlockSink<T> to = sink(s, edge_ * edge_);
    const std::vector<T*> base = to.base;
    for (std::int64_t r = 0; r < t.rows; ++r) {
      // On the diagonal whole vectors; complete() writes over what lies below it.
      const std::int64_t first = t.diagonal ? r / kBlockStep<T> * kBlockStep<T> : 0;
      for (std::int64_t begin = first; begin < t.cols; begin += entries_) {
        PairBlock block;
        block.count = to.real = std::min(entries_, t.cols - begin);
        block.segment = true;
        block.i0 = t.i + r;
        block.j0 = t.j + begin;
        const Features<T> features = segment_features(block);
        for (std::size_t o = 0; o < base.size(); ++o) to.base[o] = base[o] + r * edge_ + begin;
        run(block, &features, to, s);
      }
    }
  }

  void pair_tile(const TileGrid::Tile& t, RunScratch<T>& s) const {
    s.i.clear();
    s.j.clear();
    s.place.clear();
    for (std::int64_t r = 0; r < t.rows; ++r) {
      for (std::int64_t c = 0; c < t.cols; ++c) {
        const std::int64_t i = t.i + r, j = t.j + c;
        if (symmetric_ && (i == j || (t.diagonal && j < i))) continue;  // see complete()
        s.i.push_back(static_cast<std::int32_t>(i));
        s.j.push_back(static_cast<std::int32_t>(j));
        s.place.push_back(r * edge_ + c);
      }
    }
    const auto real = static_cast<std::int64_t>(s.i.size());
    while (s.i.size() % kBlockStep<T>) {  // whole vectors: the last pair again
      s.i.push_back(s.i.back());
      s.j.push_back(s.j.back());
    }
    BlockSink<T> to = sink(s, edge_ * edge_);
    for (std::int64_t begin = 0; begin < real; begin += entries_) {
      PairBlock block;
      block.count = std::min(entries_, static_cast<std::int64_t>(s.i.size()) - begin);
      block.i = s.i.data() + begin;
      block.j = s.j.data() + begin;
      const Features<T> features = pack(block, s);
      to.place = s.place.data() + begin;
      to.real = std::min(block.count, real - begin);
      run(block, &features, to, s);
      interruption_point();
    }
  }

  const RunnerPlan& plan_;
  const Program& program_;
  const Examples &first_, &second_;
  const bool symmetric_;
  const ActivationDuals& duals_;
  const double input_scale_;
  const std::int64_t edge_, entries_;
  std::vector<std::unique_ptr<RoundedExamples>> rounded_;
  RunSide<T> left_{}, right_{};
  std::unique_ptr<RunPath<double>> exact_;
};

}  // namespace lazygram
