// The polynomial P of asin(x) = x + x t P(t), t = x^2 <= 1/4, shared by the arc-cosine loops.
//
// P by cpp/tools/asin_polynomial.py: relative error 5e-9 (float), 1.5e-17 (double) before rounding.
// `step(a, b, c)` is a b + c, fused or not,
// of numbers or vectors: that is the including loop's choice.

template <typename V, typename Step>
inline V asin_tail_float(V t, Step step) {
  V p = V{} + 0.04216630869690434933f;
  p = step(p, t, V{} + 0.02417951538816685426f);
  p = step(p, t, V{} + 0.04547037566613679545f);
  p = step(p, t, V{} + 0.074952976452232101419f);
  return step(p, t, V{} + 0.16666752482181996299f);
}

template <typename V, typename Step>
inline V asin_tail_double(V t, Step step) {
  V p = V{} + 0.031912183886240849187;
  p = step(p, t, V{} - 0.01622412784473110717);
  p = step(p, t, V{} + 0.019528186536085140114);
  p = step(p, t, V{} + 0.0065280033731262946168);
  p = step(p, t, V{} + 0.012169205354094676371);
  p = step(p, t, V{} + 0.013885236387872330511);
  p = step(p, t, V{} + 0.017359704672701153868);
  p = step(p, t, V{} + 0.022371758056416079183);
  p = step(p, t, V{} + 0.030381959136708205035);
  p = step(p, t, V{} + 0.044642856828335276313);
  p = step(p, t, V{} + 0.075000000003370042468);
  return step(p, t, V{} + 0.16666666666665408966);
}
