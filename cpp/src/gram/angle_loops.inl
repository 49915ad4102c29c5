// Loops over functions of an angle and over the tiles made of them, vectorised at each level;
// included by angle_loops_<level>.cpp with LAZYGRAM_LEVEL set.
//
// About 15 operations and a square root an entry for the two-layer kernels in float32: less than
// the product of vectors of length 8 that gave its cosine.

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "gram/angle_loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

#include "tiles/vectors.inl"

// All lanes; x - 0 is x, where 0 + x would be one more operation.
template <typename T>
inline typename VectorOf<T>::type every(T x) {
  return x - typename VectorOf<T>::type{};
}

// G vectors of cosines as the series take them. A recurrence over terms is a chain of dependent
// multiply-adds, so several vectors run side by side.
template <typename T, int G>
struct Angles {
  using V = typename VectorOf<T>::type;
  V cosine[G], z[G];

  // Where |cosine| exceeds 1 by rounding, z is not a number: such entries are near ones.
  explicit Angles(const AngleSeries<T>& series)
      : shift(every(series.shift)), slope(every(series.slope)), shifted(series.shift > T(0)) {}
  inline void prepare() {
    const V one = every(T(1));
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const V q = root(madd(-cosine[g], cosine[g], one));
      z[g] = shifted ? V(madd(slope, q, -shift) / (q + shift)) : madd(slope, q, -one);
    }
  }
  inline void powers(const T* coefficients, int terms, V (&sum)[G]) const {
    const V last = every(coefficients[terms - 1]);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) sum[g] = last;
    for (int k = terms - 2; k >= 0; --k) {
      const V coefficient = every(coefficients[k]);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) sum[g] = madd(sum[g], z[g], coefficient);
    }
  }
  inline void function(const typename AngleSeries<T>::Function& f, V (&value)[G]) const {
    powers(f.even, f.even_terms, value);
    if (f.odd_terms == 0) return;
    V odd[G];
    powers(f.odd, f.odd_terms, odd);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) value[g] = madd(cosine[g], odd[g], value[g]);
  }

 private:
  const V shift, slope;
  const bool shifted;
};

template <typename T>
inline T largest_lane(typename VectorOf<T>::type v) {
  T largest = v[0];
  for (int l = 1; l < kLanes<T>; ++l) largest = v[l] > largest ? v[l] : largest;
  return largest;
}

template <typename T>
bool row(const AngleSeries<T>& series, const T* cosine, T scale, const T* right, std::int64_t count,
         T* const* out) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>, G = 4, block = G * lanes;
  Angles<T, G> angles(series);
  const V times = every(scale);
  V most{};
  const auto some = [](std::int64_t left) {
    return left < 0 ? 0 : left < kLanes<T> ? left : kLanes<T>;
  };
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t here = count - begin;
    const bool whole = here >= block;
    V scales[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const std::int64_t at = begin + g * lanes;
      angles.cosine[g] = whole ? load(cosine + at) : load_some(cosine + at, some(count - at));
      scales[g] = times * (whole ? load(right + at) : load_some(right + at, some(count - at)));
      const V square = angles.cosine[g] * angles.cosine[g];
      most = square > most ? square : most;
    }
    angles.prepare();
    V first[G];
    for (int f = 0; f < series.count; ++f) {
      V value[G];
      angles.function(series.function[f], value);
      if (f == 0) {
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) first[g] = value[g];
      } else {
        const V ratio = every(series.function[f].ratio);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) value[g] = madd(ratio, first[g], value[g]);
      }
      if (!out[f]) continue;
      T* const to = out[f] + begin;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const V scaled = scales[g] * value[g];
        if (whole) {
          store(to + g * lanes, scaled);
        } else {
          store_some(to + g * lanes, scaled, some(here - g * lanes));
        }
      }
    }
  }
  return largest_lane<T>(most) > series.near;
}

// G rows at a time: v, and right where `both`, are loaded once for all of them.
template <bool both, int G, typename T>
inline T sums_of_rows(const AngleSeries<T>& series, const T* cosine, std::int64_t stride,
                      std::int64_t count, const T* v, const T* w, T* left, T* right) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>;
  Angles<T, G> angles(series);
  const V near = every(series.near), zero{};
  V sum[G] = {}, most{};
  for (std::int64_t j = 0; j < count; j += lanes) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) angles.cosine[g] = load(cosine + g * stride + j);
    angles.prepare();
    V value[G];
    angles.function(series.function[0], value);
    const V weight = load(v + j);
    V column{};
    if constexpr (both) column = load(right + j);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const V square = angles.cosine[g] * angles.cosine[g];
      most = square > most ? square : most;
      value[g] = square > near ? zero : value[g];
      sum[g] = madd(value[g], weight, sum[g]);
      if constexpr (both) column = madd(value[g], every(w[g]), column);
    }
    if constexpr (both) store(right + j, column);
  }
  for (int g = 0; g < G; ++g) {
    T total = 0;
    for (int l = 0; l < lanes; ++l) total += sum[g][l];
    left[g] += total;
  }
  return largest_lane<T>(most);
}

template <bool both, typename T>
T sums_of_strip(const AngleSeries<T>& series, const T* cosine, std::int64_t stride,
                std::int64_t rows, std::int64_t count, const T* v, const T* w, T* left, T* right) {
  T most = 0;
  std::int64_t r = 0;
  const auto step = [&](auto result, std::int64_t taken) {
    most = result > most ? result : most;
    r += taken;
  };
  while (r + 4 <= rows)
    step(sums_of_rows<both, 4>(series, cosine + r * stride, stride, count, v, both ? w + r : w,
                               left + r, right),
         4);
  while (r < rows)
    step(sums_of_rows<both, 1>(series, cosine + r * stride, stride, count, v, both ? w + r : w,
                               left + r, right),
         1);
  return most;
}

template <typename T>
bool sums(const AngleSeries<T>& series, const T* cosine, std::int64_t stride, std::int64_t rows,
          std::int64_t count, const T* v, const T* w, T* left, T* right) {
  const T most = w ? sums_of_strip<true>(series, cosine, stride, rows, count, v, w, left, right)
                   : sums_of_strip<false>(series, cosine, stride, rows, count, v, w, left, right);
  return most > series.near;
}

template <typename T>
T dot_add(const T* row, const T* v, T factor, T* __restrict y, std::int64_t count) {
  using V = typename VectorOf<T>::type;
  constexpr int lanes = kLanes<T>, G = 4, block = G * lanes;
  V sum[G] = {};
  const V times = V{} + factor;
  std::int64_t j = 0;
  for (; j + block <= count; j += block) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const V k = load(row + j + g * lanes);
      T* const to = y + j + g * lanes;
      sum[g] = madd(k, load(v + j + g * lanes), sum[g]);
      store(to, madd(k, times, load(to)));
    }
  }
  const V both = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  T total = 0;
  for (int l = 0; l < lanes; ++l) total += both[l];
  for (; j < count; ++j) {
    total = madd(row[j], v[j], total);
    y[j] = madd(factor, row[j], y[j]);
  }
  return total;
}

typedef float FourFloats __attribute__((vector_size(16)));
typedef double TwoDoubles __attribute__((vector_size(16)));

// Blocks of 16 bytes x 16 bytes in registers; four of them in a row of out fill a cache line.
inline void transpose_block(const float* in, std::int64_t in_stride, float* out,
                            std::int64_t out_stride) {
  FourFloats r0, r1, r2, r3;
  __builtin_memcpy(&r0, in, 16);
  __builtin_memcpy(&r1, in + in_stride, 16);
  __builtin_memcpy(&r2, in + 2 * in_stride, 16);
  __builtin_memcpy(&r3, in + 3 * in_stride, 16);
  const FourFloats a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
  const FourFloats b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
  const FourFloats c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  const FourFloats d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  store(out, __builtin_shufflevector(a, b, 0, 1, 4, 5));
  store(out + out_stride, __builtin_shufflevector(a, b, 2, 3, 6, 7));
  store(out + 2 * out_stride, __builtin_shufflevector(c, d, 0, 1, 4, 5));
  store(out + 3 * out_stride, __builtin_shufflevector(c, d, 2, 3, 6, 7));
}
inline void transpose_block(const double* in, std::int64_t in_stride, double* out,
                            std::int64_t out_stride) {
  TwoDoubles r0, r1;
  __builtin_memcpy(&r0, in, 16);
  __builtin_memcpy(&r1, in + in_stride, 16);
  store(out, __builtin_shufflevector(r0, r1, 0, 2));
  store(out + out_stride, __builtin_shufflevector(r0, r1, 1, 3));
}

template <typename T>
void transpose(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols, T* out,
               std::int64_t out_stride) {
  constexpr int side = 16 / sizeof(T);
  const std::int64_t whole_rows = rows / side * side, whole_cols = cols / side * side;
  for (std::int64_t j = 0; j < whole_cols; j += side) {
    for (std::int64_t i = 0; i < whole_rows; i += side) {
      transpose_block(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
    }
  }
  for (std::int64_t j = 0; j < cols; ++j) {
    for (std::int64_t i = j < whole_cols ? whole_rows : 0; i < rows; ++i) {
      out[j * out_stride + i] = in[i * in_stride + j];
    }
  }
}

}  // namespace

extern const AngleLoops<float> angle_loops_float;
const AngleLoops<float> angle_loops_float = {row<float>, sums<float>, dot_add<float>,
                                             transpose<float>};
extern const AngleLoops<double> angle_loops_double;
const AngleLoops<double> angle_loops_double = {row<double>, sums<double>, dot_add<double>,
                                               transpose<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
