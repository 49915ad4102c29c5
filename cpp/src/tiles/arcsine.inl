// Arcsines of vectors, for the loops of angles and of arc-cosine activations.
//
// Included inside a level's anonymous namespace, with the vectors and the polynomial that it needs.

#include "gram/asin_tail.inl"
#include "tiles/vectors.inl"

inline FloatVector asin_tail(FloatVector t) {
  return asin_tail_float(t,
                         [](FloatVector a, FloatVector b, FloatVector c) { return madd(a, b, c); });
}
inline DoubleVector asin_tail(DoubleVector t) {
  return asin_tail_double(
      t, [](DoubleVector a, DoubleVector b, DoubleVector c) { return madd(a, b, c); });
}

// For cos t = sign (1 - rest), 0 <= rest <= 1: pi/2 - |t - pi/2|, that is asin |cos t|.
template <typename V>
inline V asin_of(V size, V rest) {
  const V half = rest * V(V{} + 0.5f), chord = root(half), square = size * size;
  const auto big = size > V(V{} + 0.5f);
  const V t = big ? half : square;
  const V x = big ? chord : size;
  const V small = madd(x, t * asin_tail(t), x);
  using T = decltype(V{}[0] + 0);
  return big ? madd(V{} - T(2), small, V{} + T(1.5707963267948966192)) : small;
}
