// Arcsines of vectors, for the loop of arc-cosine activations.
//
// Included inside a level's anonymous namespace. asin(x) = x + x t P(t), t = x^2 <= 1/4, with the
// polynomial P by cpp/tools/asin_polynomial.py: relative error 5e-9 (float), 1.5e-17 (double)
// before rounding.

#include "isa/vectors.inl"

inline FloatVector asin_tail(FloatVector t) {
  FloatVector p = FloatVector{} + 0.04216630869690434933f;
  p = madd(p, t, FloatVector{} + 0.02417951538816685426f);
  p = madd(p, t, FloatVector{} + 0.04547037566613679545f);
  p = madd(p, t, FloatVector{} + 0.074952976452232101419f);
  return madd(p, t, FloatVector{} + 0.16666752482181996299f);
}
inline DoubleVector asin_tail(DoubleVector t) {
  DoubleVector p = DoubleVector{} + 0.031912183886240849187;
  p = madd(p, t, DoubleVector{} - 0.01622412784473110717);
  p = madd(p, t, DoubleVector{} + 0.019528186536085140114);
  p = madd(p, t, DoubleVector{} + 0.0065280033731262946168);
  p = madd(p, t, DoubleVector{} + 0.012169205354094676371);
  p = madd(p, t, DoubleVector{} + 0.013885236387872330511);
  p = madd(p, t, DoubleVector{} + 0.017359704672701153868);
  p = madd(p, t, DoubleVector{} + 0.022371758056416079183);
  p = madd(p, t, DoubleVector{} + 0.030381959136708205035);
  p = madd(p, t, DoubleVector{} + 0.044642856828335276313);
  p = madd(p, t, DoubleVector{} + 0.075000000003370042468);
  return madd(p, t, DoubleVector{} + 0.16666666666665408966);
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
