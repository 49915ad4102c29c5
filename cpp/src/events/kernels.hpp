// Per-level kernels of event-driven descent: masked sums of bit rows, list scans, the pass over K
// and C.
//
// Bit rows are neuron-major: bit i of a row is M_ri. Every float sum has a fixed number of partial
// sums (lane l takes the terms i with i % lanes == l) and a fixed reduction, without fused
// multiply-adds, so all levels return the same bits.
//
// Cost per call, n examples: a masked sum n/32 (16-bit) or n/8 (double) vector additions at
// AVX-512, its loads from the level-1 cache; a row update n/32; a scan 1/16 compare per key.
#pragma once

#include <cstdint>

namespace lazygram {

// Sums of one row of the pass: drift = sum C_ji K_ji g_i, and with t_i = K_ji moved_i
// up = sum max(t_i, 0), down = sum max(-t_i, 0).
struct RowSums {
  double drift, up, down;
};

// What a vector is in 16-bit units: values[i] = unit * shorts[i] up to a total of `error` over all
// i; magnitude = sum |values[i]|.
struct ShortForm {
  double unit, error, magnitude;
};

// Two sums of one row of the pass over a pair of outputs.
struct PairSums {
  double first, second;
};

// Values that a whole 64-bit word of a bit row addresses; vectors are padded to it with zeros.
inline constexpr std::int64_t kWordLanes = 64;
inline constexpr std::int64_t kShortLanes = 64;

struct EventKernels {
  // out[e] = sum over set bits i of row ids[e] (words words, row stride `stride` words) of v[i].
  // The 16-bit sums are taken in kShortLanes counters, i % kShortLanes each, which the caller's
  // values must not overflow.
  void (*masked_sums_short)(const std::uint64_t* bits, std::int64_t stride, std::int64_t words,
                            const std::uint32_t* ids, std::int64_t count, const std::int16_t* v,
                            std::int32_t* out);
  void (*masked_sums_double)(const std::uint64_t* bits, std::int64_t stride, std::int64_t words,
                             const std::uint32_t* ids, std::int64_t count, const double* v,
                             double* out);
  // acc[i] += sign where bit i is set, i < 64 words.
  void (*add_row)(const std::uint64_t* row, std::int64_t words, std::int16_t sign,
                  std::int16_t* acc);
  // The same with any value and 64-bit counters.
  void (*add_row_wide)(const std::uint64_t* row, std::int64_t words, std::int64_t value,
                       std::int64_t* acc);
  // Positions p in [begin, end) with low <= keys[p] <= high, ascending; out has room for end -
  // begin + 16.
  std::int64_t (*scan)(const float* keys, std::int64_t begin, std::int64_t end, float low,
                       float high, std::uint32_t* out);
  // What is left of the way of sliding pairs, whose sign says which of the two clocks counts it
  // down. Positions of those that have come to their ends, ascending; out has room for count + 16.
  std::int64_t (*advance_slack)(double* slack, std::int64_t count, double up, double down,
                                std::uint32_t* out);
  // Positions k < count with |z[k]| < limit and their values; both outputs have room for count
  // + 16.
  std::int64_t (*select_float)(const float* z, std::int64_t count, float limit,
                               std::uint16_t* position, float* value);
  std::int64_t (*select_double)(const double* z, std::int64_t count, double limit,
                                std::uint16_t* position, double* value);
  // count is a multiple of 16. `moved` stands for g in up and down.
  RowSums (*row_sums)(const double* k, const std::int32_t* c, const double* g, const double* moved,
                      std::int64_t count);
  // v[i] = k[i] s[i].
  void (*products)(const double* k, const double* s, std::int64_t count, double* v);
  // In units that keep each of the kShortLanes sums of shorts below 2^15. count is a multiple of
  // kShortLanes.
  ShortForm (*to_short)(const double* v, std::int64_t count, std::int16_t* shorts);
  // With t_i = k_i c_i: first = sum t_i g2_i, second = sum t_i g1_i; sums1_i += t_i at2,
  // sums2_i += t_i at1. count is a multiple of 16.
  PairSums (*pair_sums)(const double* k, const std::int32_t* c, std::int64_t count,
                        const double* g1, const double* g2, double at1, double at2, double* sums1,
                        double* sums2);
  PairSums (*pair_sums_wide)(const double* k, const std::int64_t* c, std::int64_t count,
                             const double* g1, const double* g2, double at1, double at2,
                             double* sums1, double* sums2);
};

namespace baseline {
extern const EventKernels event_kernels;
}
namespace avx2 {
extern const EventKernels event_kernels;
}
namespace avx512 {
extern const EventKernels event_kernels;
}

const EventKernels& event_kernels();  // those of the level in use

}  // namespace lazygram
