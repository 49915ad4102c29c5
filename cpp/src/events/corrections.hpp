// Sparse per-neuron corrections: for neuron r the pairs (example i, corr_ri), grown flip by flip.
//
// Neurons are split into kShards ranges, each with its own memory, so ranges can be worked on in
// parallel and the contents never depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "lazygram/array.hpp"

namespace lazygram {

inline constexpr int kShards = 64;

class Corrections {
 public:
  explicit Corrections(std::int64_t width);

  std::int64_t shard_width() const { return shard_width_; }  // a multiple of 64
  int shard(std::int64_t neuron) const { return static_cast<int>(neuron / shard_width_); }

  // corr[neuron][example] += value; returns by how much that was rounded. Calls for neurons of
  // different shards may run at the same time.
  double add(std::int64_t neuron, std::uint32_t example, double value);

  // sum over the corrections of a neuron of k[example] * corr, four partial sums in fixed order.
  // Unused places hold value 0 at example 0: whole groups of four are added without a look at the
  // size.
  double dot(std::int64_t neuron, const double* k) const {
    const List& list = lists_[neuron];
    double s[kInline];
    for (std::uint32_t l = 0; l < kInline; ++l) s[l] = k[list.index[l]] * list.value[l];
    if (list.size > kInline) {
      const double* const value = list.more;
      const auto* const index = reinterpret_cast<const std::uint32_t*>(value + list.capacity);
      for (std::uint32_t e = 0; e < list.size - kInline; e += kInline) {
        for (std::uint32_t l = 0; l < kInline; ++l) s[l] += k[index[e + l]] * value[e + l];
      }
    }
    return (s[0] + s[2]) + (s[1] + s[3]);
  }
  void prefetch(std::int64_t neuron) const { __builtin_prefetch(&lists_[neuron]); }
  void prefetch_more(std::int64_t neuron) const {
    const List& list = lists_[neuron];
    if (list.size <= kInline) return;
    const char* const begin = reinterpret_cast<const char*>(list.more);
    for (std::uint32_t byte = 0; byte < 12 * list.capacity; byte += 64)
      __builtin_prefetch(begin + byte);
  }

  std::int64_t entries() const;
  std::uint32_t longest() const;  // the largest number of corrections that a neuron has
  // use(example, corr) for every correction of a neuron, in the order in which they came.
  template <typename Use>
  void each(std::int64_t neuron, Use use) const {
    const List& list = lists_[neuron];
    const auto* const index = reinterpret_cast<const std::uint32_t*>(list.more + list.capacity);
    for (std::uint32_t e = 0; e < list.size; ++e) {
      if (e < kInline) {
        use(list.index[e], list.value[e]);
      } else {
        use(index[e - kInline], list.more[e - kInline]);
      }
    }
  }

  void save(std::vector<std::int64_t>& offset, std::vector<std::uint32_t>& index,
            std::vector<double>& value) const;
  void load(const std::vector<std::int64_t>& offset, const std::vector<std::uint32_t>& index,
            const std::vector<double>& value);

 private:
  static constexpr std::uint32_t kInline = 4;
  // One cache line: the first four corrections, then a block of `capacity` doubles followed by as
  // many indices.
  struct alignas(64) List {
    double value[kInline] = {};
    std::uint32_t index[kInline] = {};
    double* more = nullptr;
    std::uint32_t size = 0, capacity = 0;
  };
  struct Shard {
    std::vector<Buffer<double>> chunks;
    std::int64_t used = 0;                     // doubles used of the last chunk
    std::uint32_t longest = 0;                 // of its lists
    std::vector<std::vector<double*>> unused;  // blocks given back, by capacity / 4
  };
  static void grow(List& list, Shard& shard);

  std::int64_t shard_width_;
  std::vector<List> lists_;
  std::vector<Shard> shards_;
};

}  // namespace lazygram
