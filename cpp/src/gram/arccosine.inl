// Arc-cosine kernel values as one plain loop, vectorised by the compiler at each level; about 25
// operations an entry, so an entry costs less than reading and writing it from memory.
//
// asin(x) = x + x t P(t) with t = x^2 for |x| <= 1/2, and pi/2 - 2 asin(sqrt((1 - |x|)/2)) above.
// P is in asin_tail.inl. Included by arccosine_<level>.cpp with LAZYGRAM_LEVEL set.

#include <cstdint>

#include "gram/arccosine.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

#include "gram/asin_tail.inl"

inline float asin_tail(float t) {
  return asin_tail_float(t, [](float a, float b, float c) { return a * b + c; });
}
inline double asin_tail(double t) {
  return asin_tail_double(t, [](double a, double b, double c) { return a * b + c; });
}

// kind: 0 first only, 1 first and second, 2 their sum and second.
template <int kind, typename T>
bool row_of_kind(const T* __restrict cosine, T scale, const T* __restrict norm, std::int64_t count,
                 T* __restrict first, T* __restrict second) {
  constexpr T half_pi = T(1.5707963267948966192);
  constexpr T over_two_pi = T(0.15915494309189533577);
  int near = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const T raw = cosine[j];
    const T size = raw < 0 ? -raw : raw;
    near |= size > T(kNearParallel) ? 1 : 0;
    const T a = size < T(1) ? size : T(1);
    const T one_minus = T(1) - a;
    const bool big = a > T(0.5);
    const T t = big ? T(0.5) * one_minus : a * a;
    const T half_angle =
        root(T(0.5) * one_minus);  // taken always: a branch would stop vectorisation
    const T x = big ? half_angle : a;
    const T small_asin = x + x * (t * asin_tail(t));
    const T asin_size = big ? half_pi - T(2) * small_asin : small_asin;
    const T complement = half_pi + (raw < 0 ? -asin_size : asin_size);  // pi - th
    const T c = raw < 0 ? -a : a;
    const T s = (scale * over_two_pi) * norm[j];
    const T product = c * complement;
    if constexpr (kind == 0) {
      first[j] = s * product;
    } else {
      const T sum = root(one_minus * (T(1) + a)) + product;
      first[j] = kind == 1 ? s * product : s * (product + sum);
      second[j] = s * sum;
    }
  }
  return near != 0;
}

template <typename T>
bool row(const T* cosine, T scale, const T* norm, std::int64_t count, bool both, T* first,
         T* second) {
  if (!second) return row_of_kind<0>(cosine, scale, norm, count, first, second);
  if (!both) return row_of_kind<1>(cosine, scale, norm, count, first, second);
  return row_of_kind<2>(cosine, scale, norm, count, first, second);
}

typedef float FourFloats __attribute__((vector_size(16)));
typedef double TwoDoubles __attribute__((vector_size(16)));

template <typename V, typename T>
inline void store(T* out, V value) {
  __builtin_memcpy(out, &value, 16);
}

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

extern const ArccosineKernels<float> arccosine_float = {row<float>, transpose<float>};
extern const ArccosineKernels<double> arccosine_double = {row<double>, transpose<double>};

}  // namespace lazygram::LAZYGRAM_LEVEL
