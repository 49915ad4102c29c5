// Fits the series of an even and an odd part to samples, in extended precision.
#include "gram/angle_series.hpp"

#include <algorithm>
#include <cmath>

namespace lazygram {
namespace {

using Real = long double;
constexpr Real kPi = 3.14159265358979323846264338327950288L;
constexpr double kFloatRounding = 3e-8;
constexpr Real kSpread = 16;  // of coefficients, over the largest value

// sin theta at the Chebyshev nodes in z.
std::vector<Real> sines(AngleVariable variable) {
  std::vector<Real> q;
  const Real shift = variable.shift, slope = variable.slope();
  for (int j = 0; j < variable.nodes; ++j) {
    const Real z = std::cos(kPi * (j + 0.5L) / variable.nodes);
    q.push_back(shift > 0 ? shift * (1 + z) / (slope - z) : (1 + z) / slope);
  }
  return q;
}

std::vector<Real> chebyshev(const std::vector<Real>& samples) {
  const int n = static_cast<int>(samples.size());
  std::vector<Real> cosine(4 * n), result(n);
  for (int j = 0; j < 4 * n; ++j) cosine[j] = std::cos(kPi * j / (2 * n));
  for (int k = 0; k < n; ++k) {
    Real sum = 0;
    for (int j = 0; j < n; ++j) sum += samples[j] * cosine[k * (2 * j + 1) % (4 * n)];
    result[k] = sum * (k ? 2 : 1) / n;
  }
  return result;
}

// Leading terms after which the rest sums to less than the tolerance.
int terms_for(const std::vector<Real>& coefficients, Real tolerance) {
  Real rest = 0;
  int terms = static_cast<int>(coefficients.size());
  while (terms > 0) {
    rest += std::abs(coefficients[terms - 1]);
    if (rest > tolerance) break;
    --terms;
  }
  return terms;
}

// The first `terms` Chebyshev polynomials, written out in powers.
std::vector<double> powers(const std::vector<Real>& coefficients, int terms) {
  std::vector<Real> sum(terms, 0), before(terms, 0), now(terms, 0);
  if (terms > 0) now[0] = 1;
  for (int k = 0; k < terms; ++k) {
    for (int e = 0; e < terms; ++e) sum[e] += coefficients[k] * now[e];
    std::vector<Real> next(terms, 0);  // T_(k+1) = 2 z T_k - T_(k-1), and T_1 = z T_0
    for (int e = 0; e < terms; ++e) {
      if (e > 0) next[e] = (k ? 2 : 1) * now[e - 1];
      next[e] -= before[e];
    }
    before = now;
    now = next;
  }
  return {sum.begin(), sum.end()};
}

double horner(const std::vector<double>& coefficients, double z) {
  double sum = 0;
  for (std::size_t k = coefficients.size(); k-- > 0;) sum = sum * z + coefficients[k];
  return sum;
}

}  // namespace

std::vector<Real> angle_samples(AngleVariable variable) {
  std::vector<Real> angles;
  for (Real q : sines(variable)) angles.push_back(std::asin(q));
  for (int j = 0; j < variable.nodes; ++j) angles.push_back(kPi - angles[j]);
  return angles;
}

AngleFunction fit_angle_function(AngleVariable variable, const std::vector<Real>& values,
                                 double rounding) {
  const std::vector<Real> q = sines(variable);
  std::vector<Real> even, odd;
  Real size = 1e-300L;
  for (int j = 0; j < variable.nodes; ++j) {
    const Real acute = values[j], obtuse = values[variable.nodes + j];
    size = std::max({size, std::abs(acute), std::abs(obtuse)});
    even.push_back((acute + obtuse) / 2);
    odd.push_back((acute - obtuse) / (2 * std::sqrt((1 - q[j]) * (1 + q[j]))));
  }
  even = chebyshev(even);
  odd = chebyshev(odd);
  AngleFunction function;
  int most = 0;
  for (const bool is_wide : {true, false}) {
    const Real tolerance = size * (is_wide ? rounding : std::max(rounding, kFloatRounding));
    AngleFunction::Parts& parts = is_wide ? function.wide : function.narrow;
    const int even_terms = std::max(1, terms_for(even, tolerance));
    const int odd_terms = terms_for(odd, tolerance);
    most = std::max({most, even_terms, odd_terms});
    parts.even = powers(even, even_terms);
    parts.odd = powers(odd, odd_terms);
  }
  Real sum = 0;  // of the sizes of all coefficients: what rounding is multiplied by
  for (const std::vector<double>* part : {&function.wide.even, &function.wide.odd})
    for (double c : *part) sum += std::abs(c);
  function.resolved = most < variable.nodes - 4 && sum < kSpread * size;
  return function;
}

double evaluate(AngleVariable variable, const AngleFunction& function, double cosine, double sine) {
  const double slope = variable.slope(), shift = variable.shift;
  const double z = shift > 0 ? (slope * sine - shift) / (sine + shift) : slope * sine - 1;
  return horner(function.wide.even, z) + cosine * horner(function.wide.odd, z);
}

}  // namespace lazygram
