// Programs of vectors that depend on a pair's angle alone, tabulated once: their depth costs
// nothing per entry.
//
// Two cases. Homogeneous: activations of order 1 (ReLU, leaky ReLU, |x|) and no biases, so that
// K = |x|^a |y|^a k(theta), Theta = |x|^a |y|^a t(theta). Equal norms: any program, K = k(theta).
// Both functions are analytic on [0, pi]. After many layers their scale near 0 is 1 / depth:
// iterated theta -> theta - c theta^2 behaves like theta / (1 + c depth theta), so Chebyshev series
// in z = (slope theta - shift) / (theta + shift) with shift about 1 / depth need few terms. Samples
// are taken in extended precision; the error is measured between the nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lazygram/program.hpp"
#include "tiles/runner.hpp"

namespace lazygram {

struct AngleTable {
  double shift = 0, slope = 0;
  int exponent = 0;  // a; 0 in the case of equal norms
  // k and t, those that are wanted: Chebyshev coefficients for float64, how many float32 needs, and
  // the largest error found, relative to the largest value.
  struct Function {
    std::vector<double> coefficients;
    int float_terms = 0;
    double error = 0;
  };
  std::vector<Function> functions;

  double value(std::size_t function, double theta) const;
};

// The exponent a if the program is homogeneous in the norms, else nothing.
std::optional<int> homogeneous_degree(const Program& program);

// k (`ntk` 0) or t (`ntk` 1) at the angles, run in extended precision. `example` is any nonzero one
// of the tables; a table of all examples may be used if they have equal norms.
std::vector<long double> at_angles(const Program& program, const std::vector<long double>& angles,
                                   double square, std::int64_t example, const SideTables& tables,
                                   const ActivationDuals& duals, bool ntk);

// The table for outputs among nngp and ntk (in their order), if its error stays below 1e-13.
std::optional<AngleTable> angle_table(const Program& program, const std::vector<Output>& outputs,
                                      double square, std::int64_t example, const SideTables& tables,
                                      const ActivationDuals& duals, int exponent);

}  // namespace lazygram
