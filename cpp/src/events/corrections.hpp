// Sparse per-neuron corrections: for neuron r the pairs (example i, corr_ri), grown flip by flip.
//
// Neurons are split into kShards ranges, each with its own memory, so ranges can be worked on in parallel
// and the contents never depend on the number of threads.
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

  // corr[neuron][example] += value. Calls for neurons of different shards may run at the same time.
  void add(std::int64_t neuron, std::uint32_t example, double value);

  // sum over the corrections of a neuron of k[example] * corr, four partial sums in fixed order; 0 without any.
  double dot(std::int64_t neuron, const double* k) const {
    const List& list = lists_[neuron];
    const std::uint32_t size = list.size;
    if (!size) return 0.0;
    const double* const value = list.values;
    const auto* const index = reinterpret_cast<const std::uint32_t*>(value + list.capacity);
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    std::uint32_t e = 0;
    for (; e + 4 <= size; e += 4) {
      s0 += k[index[e]] * value[e];
      s1 += k[index[e + 1]] * value[e + 1];
      s2 += k[index[e + 2]] * value[e + 2];
      s3 += k[index[e + 3]] * value[e + 3];
    }
    for (; e < size; ++e) s0 += k[index[e]] * value[e];
    return (s0 + s2) + (s1 + s3);
  }
  void prefetch_header(std::int64_t neuron) const { __builtin_prefetch(&lists_[neuron]); }
  void prefetch_values(std::int64_t neuron) const {
    const List& list = lists_[neuron];
    if (!list.size) return;
    const char* const begin = reinterpret_cast<const char*>(list.values);
    for (std::uint32_t byte = 0; byte < 12 * list.capacity; byte += 64) __builtin_prefetch(begin + byte);
  }

  std::int64_t entries() const;
  // dense[example] += corr for one neuron.
  template <typename Value>
  void add_to(std::int64_t neuron, Value* dense) const {
    const List& list = lists_[neuron];
    const auto* const index = reinterpret_cast<const std::uint32_t*>(list.values + list.capacity);
    for (std::uint32_t e = 0; e < list.size; ++e) dense[index[e]] += static_cast<Value>(list.values[e]);
  }

  void save(std::vector<std::int64_t>& offset, std::vector<std::uint32_t>& index,
            std::vector<double>& value) const;
  void load(const std::vector<std::int64_t>& offset, const std::vector<std::uint32_t>& index,
            const std::vector<double>& value);

 private:
  // capacity doubles followed by capacity indices.
  struct List {
    double* values = nullptr;
    std::uint32_t size = 0, capacity = 0;
  };
  struct Shard {
    std::vector<Buffer<double>> chunks;
    std::int64_t used = 0;                    // doubles used of the last chunk
    std::vector<std::vector<double*>> unused;  // blocks given back, by capacity / 4
  };
  void grow(List& list, Shard& shard);

  std::int64_t shard_width_;
  std::vector<List> lists_;
  std::vector<Shard> shards_;
};

}  // namespace lazygram
