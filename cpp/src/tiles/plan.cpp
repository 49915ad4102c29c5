// What is known before any pair is looked at: tables per example, window passes, sizes.
#include <algorithm>
#include <utility>

#include "tiles/runner.hpp"

namespace lazygram {
namespace {

// Output run o of a pass over `axes` of an array of shape `dims` sums inputs that are windows
// apart, along all axes together.
WindowPass window_pass(const int* dims, const std::vector<int>& axes, const AxisWindows& windows,
                       double factor) {
  WindowPass pass;
  pass.taps = windows.taps;
  pass.factor = factor;
  int in[4], out[4];
  std::copy_n(dims, 4, in);
  std::copy_n(dims, 4, out);
  for (int axis : axes) out[axis] = windows.outputs;
  const int last = *std::max_element(axes.begin(), axes.end());
  for (int axis = last + 1; axis < 4; ++axis) {
    pass.run *= in[axis];
    in[axis] = out[axis] = 1;
  }
  pass.outputs = out[0] * out[1] * out[2] * out[3];
  pass.source.resize(static_cast<std::size_t>(pass.outputs) * pass.taps);
  std::size_t at = 0;
  for (int o = 0; o < pass.outputs; ++o) {
    const int where[4] = {o / (out[1] * out[2] * out[3]), o / (out[2] * out[3]) % out[1],
                          o / out[3] % out[2], o % out[3]};
    for (int s = 0; s < pass.taps; ++s) {
      int from[4];
      std::copy_n(where, 4, from);
      bool inside = true;
      for (int axis : axes) {
        from[axis] = windows.source[static_cast<std::size_t>(where[axis]) * windows.taps + s];
        inside = inside && from[axis] >= 0;
      }
      const int index = ((from[0] * in[1] + from[1]) * in[2] + from[2]) * in[3] + from[3];
      pass.source[at++] = inside ? index : -1;
    }
  }
  return pass;
}

}  // namespace

// Planes are [y][x] or, for pixel pairs, [y][x][y'][x'].
std::vector<WindowPass> window_passes(const Instruction& in, bool pairs) {
  std::vector<WindowPass> result;
  int dims[4] = {in.before.height, in.before.width, 1, 1};
  if (pairs) {
    dims[2] = dims[0];
    dims[3] = dims[1];
  }
  const auto append = [&](const std::vector<int>& axes, const AxisWindows& windows, double factor) {
    result.push_back(window_pass(dims, axes, windows, factor));
    for (int axis : axes) dims[axis] = windows.outputs;
  };
  for (const auto& [windows, axis] : {std::pair{&in.columns, 1}, std::pair{&in.rows, 0}}) {
    if (windows->trivial()) continue;
    const double weight = in.op == Opcode::pool ? 1.0 / windows->taps : 1.0;
    if (!pairs) {
      append({axis}, *windows, weight);
    } else if (in.op == Opcode::patches) {
      append({axis, axis + 2}, *windows, weight);
    } else {
      append({axis + 2}, *windows, weight);
      append({axis}, *windows, weight);
    }
  }
  return result;
}

SideTables::SideTables(const Program& program, std::int64_t n_)
    : n(n_), at(program.instructions().size()) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    const Instruction& in = program.instructions()[k];
    const std::int64_t size = in.before.pixels() * n;
    if (in.op == Opcode::activation) {
      at[k].first = Buffer<double>(size);
      const auto& formula = program.activations()[in.index].value;
      if (formula && formula->rectified_parameters()) {
        at[k].second = Buffer<double>(size);
        at[k].third = Buffer<double>(size);
      }
    } else if (in.op == Opcode::normalise) {
      at[k].first = Buffer<double>(size);
    } else if (in.means) {
      at[k].first = Buffer<double>(size);
      at[k].second = Buffer<double>(size);
    }
  }
}

void SideTables::find_zeros(const Program& program) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (program.instructions()[k].op != Opcode::activation) continue;
    const Buffer<double>& v = at[k].first;
    at[k].has_zero =
        std::any_of(v.data(), v.data() + v.size(), [](double x) { return x < kDualMinVariance; });
  }
}

RunnerPlan::RunnerPlan(const Program& program_, std::vector<Output> outputs_)
    : program(program_),
      outputs(std::move(outputs_)),
      tracks(Tracks::none),
      passes(program_.instructions().size()),
      emits_wanted(program_.emits()) {
  for (const Output& output : outputs) {
    if (output.kind == Output::Kind::ntk && tracks == Tracks::none) tracks = Tracks::total;
    if (output.kind == Output::Kind::grams) tracks = Tracks::separate;
    if (output.kind == Output::Kind::emitted) emits_wanted[output.slot] = 1;
  }
  for (std::size_t k = 0; k < passes.size(); ++k) {
    const Instruction& in = program.instructions()[k];
    if (in.op == Opcode::patches || in.op == Opcode::pool)
      passes[k] = window_passes(in, program.pairs());
  }
}

int RunnerPlan::track_count() const {
  return tracks == Tracks::none ? 0 : tracks == Tracks::total ? 1 : program.groups();
}

std::int64_t RunnerPlan::bytes_per_entry() const {
  const std::int64_t arrays = program.max_depth() * (1 + track_count()) + 1;
  return static_cast<std::int64_t>(sizeof(double)) *
         (arrays * program.max_planes() + 8 * program.max_pixels());
}

}  // namespace lazygram
