// Native vectors of the level: loads, stores, multiply-add and square root, one instruction each;
// multiply-add of numbers, fused where the level has it.
//
// GCC's vector extension gives the arithmetic; what it has no operator for is an intrinsic here,
// and a loop over lanes elsewhere. Included inside a level's anonymous namespace.

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
typedef float FloatVector __attribute__((vector_size(kVectorBytes)));
typedef double DoubleVector __attribute__((vector_size(kVectorBytes)));

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = FloatVector;
};
template <>
struct VectorOf<double> {
  using type = DoubleVector;
};
template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <typename T>
inline typename VectorOf<T>::type load(const T* from) {
  typename VectorOf<T>::type v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
// The first `count` lanes, others zero.
template <typename T>
inline typename VectorOf<T>::type load_some(const T* from, std::int64_t count) {
  typename VectorOf<T>::type v{};
  T lanes[kLanes<T>] = {};
  for (std::int64_t l = 0; l < count; ++l) lanes[l] = from[l];
  __builtin_memcpy(&v, lanes, sizeof v);
  return v;
}
template <typename V, typename T>
inline void store(T* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}
template <typename V, typename T>
inline void store_some(T* to, V v, std::int64_t count) {
  T lanes[kLanes<T>];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (std::int64_t l = 0; l < count; ++l) to[l] = lanes[l];
}

inline double madd(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}
inline float madd(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

#if defined(__AVX512F__)
inline FloatVector madd(FloatVector a, FloatVector b, FloatVector c) {
  return (FloatVector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
inline DoubleVector madd(DoubleVector a, DoubleVector b, DoubleVector c) {
  return (DoubleVector)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
inline FloatVector root(FloatVector a) { return (FloatVector)_mm512_sqrt_ps((__m512)a); }
inline DoubleVector root(DoubleVector a) { return (DoubleVector)_mm512_sqrt_pd((__m512d)a); }
#elif defined(__AVX2__)
inline FloatVector madd(FloatVector a, FloatVector b, FloatVector c) {
  return (FloatVector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
inline DoubleVector madd(DoubleVector a, DoubleVector b, DoubleVector c) {
  return (DoubleVector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
inline FloatVector root(FloatVector a) { return (FloatVector)_mm256_sqrt_ps((__m256)a); }
inline DoubleVector root(DoubleVector a) { return (DoubleVector)_mm256_sqrt_pd((__m256d)a); }
#else
template <typename V, typename = decltype(V{}[0])>
inline V madd(V a, V b, V c) {
#if defined(__ARM_FEATURE_FMA)
  V result;
  for (int l = 0; l < kVectorBytes / static_cast<int>(sizeof a[0]); ++l) {
    result[l] = madd(a[l], b[l], c[l]);  // as a number of a row's remainder would be
  }
  return result;
#else
  return a * b + c;
#endif
}
inline FloatVector root(FloatVector a) {
  for (int l = 0; l < kLanes<float>; ++l) a[l] = __builtin_sqrtf(a[l]);
  return a;
}
inline DoubleVector root(DoubleVector a) {
  for (int l = 0; l < kLanes<double>; ++l) a[l] = __builtin_sqrt(a[l]);
  return a;
}
#endif
