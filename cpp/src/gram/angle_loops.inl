// Loops over functions of an angle and over the tiles made of them, vectorised at each level;
// included by angle_loops_<level>.cpp with LAZYGRAM_LEVEL set.
//
// About 15 operations and a square root an entry for the two-layer kernels in float32: less than
// the product of vectors of length 8 that gave its cosine.

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "gram/angle_loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

#include "isa/vectors.inl"

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

#if defined(__AVX512F__)
// Squares of whole vectors: 16 or 8 rows in, as many whole vectors out; a vector of a row of out is
// a cache line when it is aligned, and what is written far apart is written in few pieces.
inline void transpose_block(const float* in, std::int64_t in_stride, float* out,
                            std::int64_t out_stride) {
  __m512 r[16], s[16];
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) r[k] = _mm512_loadu_ps(in + k * in_stride);
    // Pairs of rows, then fours: within 128 bits.
#pragma GCC unroll 8
  for (int k = 0; k < 16; k += 2) {
    s[k] = _mm512_unpacklo_ps(r[k], r[k + 1]);
    s[k + 1] = _mm512_unpackhi_ps(r[k], r[k + 1]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 16; k += 4) {
    const __m512d a = (__m512d)s[k], b = (__m512d)s[k + 1], c = (__m512d)s[k + 2],
                  d = (__m512d)s[k + 3];
    r[k] = (__m512)_mm512_unpacklo_pd(a, c);
    r[k + 1] = (__m512)_mm512_unpackhi_pd(a, c);
    r[k + 2] = (__m512)_mm512_unpacklo_pd(b, d);
    r[k + 3] = (__m512)_mm512_unpackhi_pd(b, d);
  }
  // r[4 g + m] holds, in its quarter q, column 4 q + m of rows 4 g .. 4 g + 3: transpose quarters.
#pragma GCC unroll 4
  for (int m = 0; m < 4; ++m) {
    const __m512 a = _mm512_shuffle_f32x4(r[m], r[4 + m], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(r[m], r[4 + m], 0xdd);
    const __m512 c = _mm512_shuffle_f32x4(r[8 + m], r[12 + m], 0x88);
    const __m512 d = _mm512_shuffle_f32x4(r[8 + m], r[12 + m], 0xdd);
    _mm512_storeu_ps(out + m * out_stride, _mm512_shuffle_f32x4(a, c, 0x88));
    _mm512_storeu_ps(out + (4 + m) * out_stride, _mm512_shuffle_f32x4(b, d, 0x88));
    _mm512_storeu_ps(out + (8 + m) * out_stride, _mm512_shuffle_f32x4(a, c, 0xdd));
    _mm512_storeu_ps(out + (12 + m) * out_stride, _mm512_shuffle_f32x4(b, d, 0xdd));
  }
}
inline void transpose_block(const double* in, std::int64_t in_stride, double* out,
                            std::int64_t out_stride) {
  __m512d r[8];
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) r[k] = _mm512_loadu_pd(in + k * in_stride);
#pragma GCC unroll 2
  for (int m = 0; m < 2; ++m) {
    __m512d p[4];  // p[g]: in its quarter q, column 2 q + m of rows 2 g and 2 g + 1
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g)
      p[g] = m ? _mm512_unpackhi_pd(r[2 * g], r[2 * g + 1])
               : _mm512_unpacklo_pd(r[2 * g], r[2 * g + 1]);
    const __m512d a = _mm512_shuffle_f64x2(p[0], p[1], 0x88);
    const __m512d b = _mm512_shuffle_f64x2(p[0], p[1], 0xdd);
    const __m512d c = _mm512_shuffle_f64x2(p[2], p[3], 0x88);
    const __m512d d = _mm512_shuffle_f64x2(p[2], p[3], 0xdd);
    _mm512_storeu_pd(out + m * out_stride, _mm512_shuffle_f64x2(a, c, 0x88));
    _mm512_storeu_pd(out + (2 + m) * out_stride, _mm512_shuffle_f64x2(b, d, 0x88));
    _mm512_storeu_pd(out + (4 + m) * out_stride, _mm512_shuffle_f64x2(a, c, 0xdd));
    _mm512_storeu_pd(out + (6 + m) * out_stride, _mm512_shuffle_f64x2(b, d, 0xdd));
  }
}
constexpr int kBlockBytes = 64;
#else
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

constexpr int kBlockBytes = 16;
#endif

template <typename T>
void transpose(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols, T* out,
               std::int64_t out_stride) {
  constexpr int side = kBlockBytes / sizeof(T);
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

#if defined(__AVX512F__)
inline void store_past_caches(void* to, const void* from) {
  _mm512_stream_si512(static_cast<__m512i*>(to), _mm512_loadu_si512(from));
}
#elif defined(__AVX2__)
inline void store_past_caches(void* to, const void* from) {
  _mm256_stream_si256(static_cast<__m256i*>(to),
                      _mm256_loadu_si256(static_cast<const __m256i*>(from)));
}
#endif

template <typename T>
void copy(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t cols, T* out,
          std::int64_t out_stride, [[maybe_unused]] bool stream) {
#if defined(__AVX2__)
  for (std::int64_t r = 0; stream && r < rows; ++r) {
    const T* const from = in + r * in_stride;
    T* const to = out + r * out_stride;
    // Whole cache lines only: a line written in part would be read first, and by itself.
    constexpr std::int64_t line = 64 / sizeof(T), lanes = kLanes<T>;
    const auto over =
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64 / sizeof(T));
    std::int64_t c = over ? line - over : 0;
    c = c < cols ? c : cols;
    __builtin_memcpy(to, from, static_cast<std::size_t>(c) * sizeof(T));
    for (; c + line <= cols; c += line)
      for (std::int64_t l = 0; l < line; l += lanes) store_past_caches(to + c + l, from + c + l);
    __builtin_memcpy(to + c, from + c, static_cast<std::size_t>(cols - c) * sizeof(T));
  }
  if (stream) {
    _mm_sfence();  // before another thread is told that the tile is done
    return;
  }
#endif
  for (std::int64_t r = 0; r < rows; ++r)
    __builtin_memcpy(out + r * out_stride, in + r * in_stride,
                     static_cast<std::size_t>(cols) * sizeof(T));
}

}  // namespace

extern const AngleLoops<float> angle_loops_float;
const AngleLoops<float> angle_loops_float = {row<float>, sums<float>, dot_add<float>,
                                             transpose<float>, copy<float>};
extern const AngleLoops<double> angle_loops_double;
const AngleLoops<double> angle_loops_double = {row<double>, sums<double>, dot_add<double>,
                                               transpose<double>, copy<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
