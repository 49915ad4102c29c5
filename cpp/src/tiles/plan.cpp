// What is known before any pair is looked at: tables per example, routes, sizes.
#include <algorithm>
#include <utility>

#include "tiles/runner.hpp"

namespace lazygram {

template <typename T>
SideTablesOf<T>::SideTablesOf(const Program& program, std::int64_t n_)
    : n(n_), at(program.instructions().size()) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    const Instruction& in = program.instructions()[k];
    const std::int64_t size = in.before.pixels() * n;
    if (in.op == Opcode::activation) {
      at[k].first = Buffer<T>(size);
      if (is_rectified(program.activations()[in.index])) {
        at[k].second = Buffer<T>(size);
        at[k].third = Buffer<T>(size);
      }
    } else if (in.op == Opcode::normalise) {
      at[k].first = Buffer<T>(size);
    } else if (in.means) {
      at[k].first = Buffer<T>(size);
      at[k].second = Buffer<T>(size);
    }
  }
}

template <typename T>
SideTablesOf<T>::SideTablesOf(const Program& program, const SideTablesOf<double>& exact)
    : SideTablesOf(program, exact.n) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    const auto round = [](const Buffer<T>& to, const Buffer<double>& from) {
      for (std::int64_t e = 0; e < to.size(); ++e) to[e] = static_cast<T>(from[e]);
    };
    round(at[k].first, exact.at[k].first);
    round(at[k].second, exact.at[k].second);
    round(at[k].third, exact.at[k].third);
    at[k].has_zero = exact.at[k].has_zero;
  }
}

template <typename T>
void SideTablesOf<T>::find_zeros(const Program& program) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (program.instructions()[k].op != Opcode::activation) continue;
    const Buffer<T>& v = at[k].first;
    at[k].has_zero =
        std::any_of(v.data(), v.data() + v.size(), [](T x) { return x < kDualMinVariance; });
  }
}

template struct SideTablesOf<float>;
template struct SideTablesOf<double>;

bool is_rectified(const ProgramActivation& activation) {
  const duals::Rectified* const value =
      activation.value ? activation.value->rectified_parameters() : nullptr;
  return value && value->order == 1;
}

int output_channels(const Program& program, const Output& output) {
  switch (output.kind) {
    case Output::Kind::grams:
      return program.groups();
    case Output::Kind::emitted:
      return program.planes(program.emit_shape(output.slot));
    default:
      return 1;
  }
}

RunnerPlan::RunnerPlan(const Program& program_, std::vector<Output> outputs_)
    : program(program_), outputs(std::move(outputs_)), tracks(Tracks::none), end(0), closed(true) {
  for (const Output& output : outputs) {
    if (output.kind == Output::Kind::ntk && tracks == Tracks::none) tracks = Tracks::total;
    if (output.kind == Output::Kind::grams) tracks = Tracks::separate;
  }
  // Duals that come from the caller are asked for whole blocks.
  closed = std::all_of(
      program.activations().begin(), program.activations().end(), [&](const ProgramActivation& a) {
        return a.value && (a.derivative || tracks == Tracks::none || !a.differentiable);
      });
  const std::size_t all = program.instructions().size();
  end = closed ? chains_end(program) : all;
  if (end == all) {
    rows.push_back(whole_route(program, false, program.pairs(), 0));
    columns.push_back(whole_route(program, true, program.pairs(), 0));
  } else {
    rows = axis_chains(program, false, end);
    columns = axis_chains(program, true, end);
    rest_rows = whole_route(program, false, true, end + 1);
    rest_columns = whole_route(program, true, true, end + 1);
  }
  for (const AxisRoute& r : rows)
    for (const AxisRoute& c : columns) {
      routes.push_back({&r, &c});
      for (std::size_t k = 0; k <= end; ++k)
        max_planes = std::max(max_planes, routes.back().planes(k));
      for (std::size_t k = 0; k < end; ++k) {
        for (const AxisPass& pass : c[k].passes)
          max_planes = std::max<std::int64_t>(max_planes, r[k].pairs.size() * pass.outputs);
        for (const AxisPass& pass : r[k].passes)
          max_planes = std::max<std::int64_t>(max_planes, c[k + 1].pairs.size() * pass.outputs);
      }
    }
  for (std::size_t k = 0; k < all; ++k) {
    const Instruction& in = program.instructions()[k];
    const int fields = in.op == Opcode::activation  ? 3
                       : in.op == Opcode::normalise ? 1
                       : in.means                   ? 2
                                                    : 0;
    const std::int64_t size = 2 * fields * in.before.pixels();
    // Chains come back to them; else an instruction's tables are in the place of the last one's.
    // Without pixel pairs a block's examples are neighbours, and need none.
    tables.push_back(split() ? table_values : 0);
    if (program.pairs())
      table_values = split() ? table_values + size : std::max(table_values, size);
    own.emplace_back();
    if (in.op != Opcode::flatten) continue;
    const AxisRoute& r = k < end ? rows[0] : rest_rows;
    const AxisRoute& c = k < end ? columns[0] : rest_columns;
    const auto row_count = static_cast<std::int32_t>(r[k].pairs.size());
    const auto column_count = static_cast<std::int32_t>(c[k].pairs.size());
    std::vector<std::int32_t> planes;
    for (std::int32_t p = 0; p < row_count * column_count; ++p) {
      const AxisPair row = r[k].pairs[p / column_count], column = c[k].pairs[p % column_count];
      if (row.left == row.right && column.left == column.right) planes.push_back(p);
    }
    own.back() = {planes, static_cast<int>(planes.size()), row_count * column_count, in.x};
  }
}

int RunnerPlan::track_count() const {
  return tracks == Tracks::none ? 0 : tracks == Tracks::total ? 1 : program.groups();
}

std::int64_t RunnerPlan::arrays() const {
  return program.max_depth() * (1 + track_count()) + 1 + (tracks == Tracks::total);
}

std::int64_t RunnerPlan::values_per_entry() const {
  return arrays() * max_planes + track_count() + 1 + table_values +
         (program.uses_means() ? (program.max_depth() + 1) * program.max_pixels() : 0) +
         (split() ? 3 * (track_count() + 1) : 0);
}

}  // namespace lazygram
