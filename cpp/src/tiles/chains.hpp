// Which planes a program runs on together: pixel pairs along each axis, in chains that windows do
// not mix; private to the tile engine.
//
// A window moves both pixels of a pair alike, so that K_lk depends on inputs at one distance (at
// multiples of it after strides) up to the first pooling. The planes of one distance are few, and
// run through all layers in the level-1 cache. Both axes separate: a chain is a set of coordinate
// pairs of the rows times one of the columns.
#pragma once

#include <cstdint>
#include <vector>

#include "lazygram/program.hpp"
#include "tiles/loops.hpp"

namespace lazygram {

// Output o is factor times the sum of some inputs.
struct AxisPass {
  std::int64_t inputs = 1, outputs = 1;
  double factor = 1.0;
  std::vector<WindowSpan> spans;
  std::vector<std::int32_t> sources;

  AxisPass() = default;
  // Of the inputs source[o * taps + s]; -1: nothing.
  AxisPass(const std::vector<std::int32_t>& source, int taps, std::int64_t inputs, double factor);
  WindowSums sums(std::int64_t repeats, std::int64_t run) const {
    return {spans.data(), static_cast<std::int64_t>(spans.size()), sources.data(), inputs, outputs,
            repeats,      run};
  }
};

// One axis before an instruction, and what patches or pool do to it.
struct AxisStage {
  std::vector<AxisPair> pairs;
  std::vector<AxisPass> passes;
};

// Stages of every instruction, and one at the end; empty where the route does not lead.
using AxisRoute = std::vector<AxisStage>;

struct Route {
  const AxisRoute *rows, *columns;
  std::int64_t planes(std::size_t at) const {
    return static_cast<std::int64_t>((*rows)[at].pairs.size() * (*columns)[at].pairs.size());
  }
};

// All coordinate pairs, or (`pairs` false) those of a coordinate with itself, of the instructions
// from `begin` on.
AxisRoute whole_route(const Program& program, bool columns, bool pairs, std::size_t begin);

// The chains of one axis up to the instruction `end`; coordinates paired with themselves are in the
// first one. Small chains are put together.
std::vector<AxisRoute> axis_chains(const Program& program, bool columns, std::size_t end);

// The instruction that averages over all pixels, if everything before it separates into chains: no
// other pooling, no means, no second value on the stack there. Else none: the number of
// instructions.
std::size_t chains_end(const Program& program);

}  // namespace lazygram
