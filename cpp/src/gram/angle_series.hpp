// Functions of an angle as two short power series in its sine: what all loops over angles evaluate.
//
//   f(theta) = E(z) + cos(theta) O(z),   q = sin(theta),
//   z = (slope q - shift) / (q + shift), or slope q - 1 if shift is 0;   -1 <= z <= 1.
//
// E and cos O are the parts of f that are even and odd about pi/2. If f is analytic around [0, pi],
// both E and O are analytic in q around [0, 1], and q comes from a cosine by one square root,
// without an arcsine. For entire f (two layers: the functions are cos theta (pi - theta) and sin
// theta) the nearest singularity is q = -1 and coefficients fall like 5.8^-k; where f varies on a
// scale s near theta = 0, a shift of about s brings that back. Coefficients are small (measured:
// their absolute values sum to about the size of f), so powers of z are summed as they are, one
// multiply-add a term.
#pragma once

#include <cstdint>
#include <vector>

namespace lazygram {

struct AngleFunction {
  // Coefficients of powers of z, lowest first; the odd ones may be none.
  struct Parts {
    std::vector<double> even, odd;
  };
  Parts wide, narrow;     // for float64, for float32
  bool resolved = false;  // enough samples, and no large coefficients that cancel
  double error = 0;       // the largest found, relative to the largest value
};

// What turns sin theta into z, and at how many values of it functions are sampled.
struct AngleVariable {
  double shift = 0;
  int nodes = 64;
  double slope() const { return shift > 0 ? 1 + 2 * shift : 2; }
};

// The angles at which fit_angle_function wants values.
std::vector<long double> angle_samples(AngleVariable variable);

// `rounding`: of the values, relative to the largest; smaller coefficients are not kept.
AngleFunction fit_angle_function(AngleVariable variable, const std::vector<long double>& values,
                                 double rounding);

double evaluate(AngleVariable variable, const AngleFunction& function, double cosine, double sine);

}  // namespace lazygram
