// Programs of vectors that depend on a pair's angle alone, tabulated once: their depth costs
// nothing per entry.
//
// Two cases. Homogeneous: activations of order 1 (ReLU, leaky ReLU, |x|) and no biases, so that
// K = |x|^a |y|^a k(theta), Theta = |x|^a |y|^a t(theta). Equal norms: any program, K = k(theta).
// Both functions are analytic on [0, pi], so the series of gram/angle_series.hpp fit them. After
// many layers their scale near 0 is 1 / depth: iterated theta -> theta - c theta^2 behaves like
// theta / (1 + c depth theta), hence the shift of their variable. Samples are taken in extended
// precision; the error is measured between the nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gram/angle_series.hpp"
#include "lazygram/program.hpp"
#include "tiles/runner.hpp"

namespace lazygram {

struct AngleTable {
  AngleVariable variable;
  int exponent = 0;                      // a; 0 in the case of equal norms
  std::vector<AngleFunction> functions;  // k and t, those that are wanted
};

// The exponent a if the program is homogeneous in the norms, else nothing.
std::optional<int> homogeneous_degree(const Program& program);

// The table for outputs among nngp and ntk (in their order), if its error stays below 1e-13.
// `example` is any nonzero one of the tables; a table of all examples may be used if they have
// equal norms.
std::optional<AngleTable> angle_table(const Program& program, const std::vector<Output>& outputs,
                                      double square, std::int64_t example, const SideTables& tables,
                                      const ActivationDuals& duals, int exponent);

}  // namespace lazygram
