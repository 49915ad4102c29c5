// Memory of the sparse corrections: blocks of a few sizes cut from chunks, given-back blocks
// reused.
#include "events/corrections.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lazygram {
namespace {

constexpr std::int64_t kChunk = 16384;  // doubles: 128 KiB

// Doubles that a block of `capacity` corrections takes; capacities are multiples of 4.
std::int64_t block_size(std::uint32_t capacity) { return capacity + capacity / 2; }

// 4, 8, 12, 16, 20, 28, ...: a third more each time wastes about a seventh of the memory.
std::uint32_t next_capacity(std::uint32_t capacity) {
  if (capacity == 0) return 4;
  return capacity + std::max<std::uint32_t>(4, capacity / 3 / 4 * 4);
}

// sum += value; returns the magnitude of the rounding error (two-sum: Knuth, TAOCP 2, 4.2.2).
double rounded_sum(double& sum, double value) {
  const double before = sum;
  sum += value;
  const double added = sum - before;
  return std::fabs((before - (sum - added)) + (value - added));
}

}  // namespace

Corrections::Corrections(std::int64_t width)
    : shard_width_(round_up(ceil_div(width, kShards), 64)), lists_(width), shards_(kShards) {}

void Corrections::grow(List& list, Shard& shard) {
  const std::uint32_t capacity = next_capacity(list.capacity);
  const std::size_t kind = capacity / 4;
  if (shard.unused.size() <= kind) shard.unused.resize(kind + 1);
  double* block = nullptr;
  if (!shard.unused[kind].empty()) {
    block = shard.unused[kind].back();
    shard.unused[kind].pop_back();
  } else {
    const std::int64_t size = block_size(capacity);
    if (shard.chunks.empty() || shard.used + size > shard.chunks.back().size()) {
      shard.chunks.emplace_back(std::max(kChunk, size));
      shard.used = 0;
    }
    block = shard.chunks.back().data() + shard.used;
    shard.used += size;
  }
  std::memset(block, 0, block_size(capacity) * sizeof(double));
  if (list.capacity) {
    std::memcpy(block, list.more, list.capacity * sizeof(double));
    std::memcpy(block + capacity, list.more + list.capacity, list.capacity * sizeof(std::uint32_t));
    shard.unused[list.capacity / 4].push_back(list.more);
  }
  list.more = block;
  list.capacity = capacity;
}

double Corrections::add(std::int64_t neuron, std::uint32_t example, double value) {
  List& list = lists_[neuron];
  Shard& own = shards_[shard(neuron)];
  for (std::uint32_t e = 0; e < std::min(list.size, kInline); ++e) {
    if (list.index[e] == example) {
      return rounded_sum(list.value[e], value);
    }
  }
  if (list.size < kInline) {
    list.value[list.size] = value;
    list.index[list.size++] = example;
    own.longest = std::max(own.longest, list.size);
    return 0;
  }
  const std::uint32_t count = list.size - kInline;
  auto* index = reinterpret_cast<std::uint32_t*>(list.more + list.capacity);
  for (std::uint32_t e = 0; e < count; ++e) {
    if (index[e] == example) {
      return rounded_sum(list.more[e], value);
    }
  }
  if (count == list.capacity) {
    grow(list, own);
    index = reinterpret_cast<std::uint32_t*>(list.more + list.capacity);
  }
  list.more[count] = value;
  index[count] = example;
  own.longest = std::max(own.longest, ++list.size);
  return 0;
}

std::uint32_t Corrections::longest() const {
  std::uint32_t most = 0;
  for (const Shard& own : shards_) most = std::max(most, own.longest);
  return most;
}

std::int64_t Corrections::entries() const {
  std::int64_t total = 0;
  for (const List& list : lists_) total += list.size;
  return total;
}

void Corrections::save(std::vector<std::int64_t>& offset, std::vector<std::uint32_t>& index,
                       std::vector<double>& value) const {
  const std::int64_t total = entries();
  offset.assign(1, 0);
  offset.reserve(lists_.size() + 1);
  index.clear();
  value.clear();
  index.reserve(total);
  value.reserve(total);
  for (std::size_t r = 0; r < lists_.size(); ++r) {
    each(static_cast<std::int64_t>(r), [&](std::uint32_t example, double corr) {
      index.push_back(example);
      value.push_back(corr);
    });
    offset.push_back(static_cast<std::int64_t>(value.size()));
  }
}

void Corrections::load(const std::vector<std::int64_t>& offset,
                       const std::vector<std::uint32_t>& index, const std::vector<double>& value) {
  for (std::size_t r = 0; r < lists_.size(); ++r) {
    for (std::int64_t e = offset[r]; e < offset[r + 1]; ++e) {
      add(static_cast<std::int64_t>(r), index[e], value[e]);
    }
  }
}

}  // namespace lazygram
