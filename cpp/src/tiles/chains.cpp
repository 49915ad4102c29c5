// Builds routes: coordinate pairs along an axis, their windows, and which of them windows connect.
#include "tiles/chains.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace lazygram {
namespace {

const AxisWindows& windows_of(const Instruction& in, bool columns) {
  return columns ? in.columns : in.rows;
}
int side(ImageShape shape, bool columns) { return columns ? shape.width : shape.height; }

bool has_windows(const Instruction& in) {
  return in.op == Opcode::patches || in.op == Opcode::pool;
}

std::vector<AxisPair> pairs_of(int size, bool pairs) {
  std::vector<AxisPair> result;
  for (std::int32_t l = 0; l < size; ++l)
    for (std::int32_t k = pairs ? 0 : l; k < (pairs ? size : l + 1); ++k) result.push_back({l, k});
  return result;
}

// Places of coordinate pairs (left * size + right) in a list; -1: not there.
std::vector<std::int32_t> places(const std::vector<AxisPair>& pairs, int size) {
  std::vector<std::int32_t> at(static_cast<std::size_t>(size) * size, -1);
  for (std::size_t k = 0; k < pairs.size(); ++k)
    at[pairs[k].left * size + pairs[k].right] = static_cast<std::int32_t>(k);
  return at;
}

// Windows move both coordinates together.
AxisPass patches_pass(const std::vector<AxisPair>& before, const std::vector<AxisPair>& after,
                      const AxisWindows& windows) {
  const std::vector<std::int32_t> at = places(before, windows.inputs);
  std::vector<std::int32_t> source;
  for (const AxisPair& pair : after) {
    for (int s = 0; s < windows.taps; ++s) {
      const int left = windows.source[pair.left * windows.taps + s];
      const int right = windows.source[pair.right * windows.taps + s];
      source.push_back(left < 0 || right < 0 ? -1 : at[left * windows.inputs + right]);
    }
  }
  return {source, windows.taps, static_cast<std::int64_t>(before.size()), 1.0};
}

// Means over the windows of the right coordinate, then of the left one; lists of all pairs.
std::vector<AxisPass> pool_passes(const AxisWindows& windows) {
  const int taps = windows.taps, inputs = windows.inputs, outputs = windows.outputs;
  std::vector<std::int32_t> right, left;
  for (int l = 0; l < inputs; ++l)
    for (const int k : windows.source) right.push_back(k < 0 ? -1 : l * inputs + k);
  for (int l = 0; l < outputs; ++l)
    for (int k = 0; k < outputs; ++k)
      for (int s = 0; s < taps; ++s) {
        const int from = windows.source[l * taps + s];
        left.push_back(from < 0 ? -1 : from * outputs + k);
      }
  return {{right, taps, inputs * inputs, 1.0 / taps}, {left, taps, inputs * outputs, 1.0 / taps}};
}

// Values of a program, numbered; add() and its like join two of them.
struct Values {
  std::vector<int> sizes;          // of the axis
  std::vector<std::size_t> first;  // node of the value's pair (0, 0)
  std::vector<int> before;         // instruction -> current value
  std::vector<std::int32_t> parent;

  int append(int size) {
    sizes.push_back(size);
    first.push_back(parent.size());
    parent.resize(parent.size() + static_cast<std::size_t>(size) * size);
    std::iota(parent.begin() + static_cast<std::ptrdiff_t>(first.back()), parent.end(),
              static_cast<std::int32_t>(first.back()));
    return static_cast<int>(sizes.size()) - 1;
  }
  std::int32_t node(int value, int left, int right) const {
    return static_cast<std::int32_t>(first[value]) + left * sizes[value] + right;
  }
  std::int32_t root(std::int32_t k) {
    while (parent[k] != k) k = parent[k] = parent[parent[k]];
    return k;
  }
  void join(std::int32_t a, std::int32_t b) {
    const std::int32_t from = root(a), to = root(b);
    parent[std::max(from, to)] = std::min(from, to);
  }
};

Values connect(const Program& program, bool columns, std::size_t end) {
  Values v;
  int current = v.append(side(program.input_shape(), columns));
  std::vector<int> stack;
  for (std::size_t k = 0; k < end; ++k) {
    const Instruction& in = program.instructions()[k];
    v.before.push_back(current);
    switch (in.op) {
      case Opcode::patches: {
        const AxisWindows& windows = windows_of(in, columns);
        const int next = v.append(windows.outputs);
        for (const AxisPair& pair : pairs_of(windows.outputs, true))
          for (int s = 0; s < windows.taps; ++s) {
            const int left = windows.source[pair.left * windows.taps + s];
            const int right = windows.source[pair.right * windows.taps + s];
            if (left >= 0 && right >= 0)
              v.join(v.node(next, pair.left, pair.right), v.node(current, left, right));
          }
        current = next;
        break;
      }
      case Opcode::push:
        stack.push_back(current);
        break;
      case Opcode::swap:
        std::swap(current, stack.back());
        break;
      case Opcode::add:
      case Opcode::mix:
      case Opcode::multiply:
        for (const AxisPair& pair : pairs_of(v.sizes[current], true))
          v.join(v.node(current, pair.left, pair.right),
                 v.node(stack.back(), pair.left, pair.right));
        stack.pop_back();
        break;
      default:
        break;
    }
  }
  v.before.push_back(current);
  for (std::size_t value = 0; value < v.sizes.size(); ++value)
    for (int l = 0; l < v.sizes[value]; ++l)
      v.join(v.node(0, 0, 0), v.node(static_cast<int>(value), l, l));
  return v;
}

}  // namespace

AxisPass::AxisPass(const std::vector<std::int32_t>& source, int taps, std::int64_t inputs_,
                   double factor_)
    : inputs(inputs_), outputs(static_cast<std::int64_t>(source.size()) / taps), factor(factor_) {
  std::vector<std::int32_t> present;
  for (std::int32_t o = 0; o < outputs; ++o) {
    present.clear();
    for (int s = 0; s < taps; ++s)
      if (source[o * taps + s] >= 0) present.push_back(source[o * taps + s]);
    if (!spans.empty() && spans.back().taps == static_cast<std::int32_t>(present.size())) {
      WindowSpan& span = spans.back();
      bool follows = true;
      for (std::int32_t s = 0; s < span.taps; ++s)
        follows = follows && present[s] == sources[span.source + s] + span.length;
      if (follows) {
        ++span.length;
        continue;
      }
    }
    spans.push_back({o, 1, static_cast<std::int32_t>(present.size()),
                     static_cast<std::int32_t>(sources.size())});
    sources.insert(sources.end(), present.begin(), present.end());
  }
}

AxisRoute whole_route(const Program& program, bool columns, bool pairs, std::size_t begin) {
  const std::vector<Instruction>& instructions = program.instructions();
  AxisRoute route(instructions.size() + 1);
  for (std::size_t k = begin; k < route.size(); ++k) {
    const ImageShape shape =
        k < instructions.size() ? instructions[k].before : program.current_shape();
    route[k].pairs = pairs_of(side(shape, columns), pairs);
  }
  for (std::size_t k = begin; k < instructions.size(); ++k) {
    const Instruction& in = instructions[k];
    if (!has_windows(in) || windows_of(in, columns).trivial()) continue;
    if (in.op == Opcode::pool)
      route[k].passes = pool_passes(windows_of(in, columns));
    else
      route[k].passes = {
          patches_pass(route[k].pairs, pairs_of(side(in.after, columns), pairs),
                       windows_of(in, columns))};
  }
  return route;
}

std::vector<AxisRoute> axis_chains(const Program& program, bool columns, std::size_t end) {
  Values v = connect(program, columns, end);
  std::vector<std::vector<std::int32_t>> components;
  std::vector<std::int32_t> component(v.parent.size(), -1);
  for (std::size_t k = 0; k < v.parent.size(); ++k) {
    const std::int32_t root = v.root(static_cast<std::int32_t>(k));
    if (component[root] < 0) {
      component[root] = static_cast<std::int32_t>(components.size());
      components.emplace_back();
    }
    components[component[root]].push_back(static_cast<std::int32_t>(k));
  }
  // The first one has the coordinates with themselves; the others, largest first, are put where
  // there is room up to its size.
  std::stable_sort(components.begin() + 1, components.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  std::vector<std::vector<std::int32_t>> packed;
  for (auto& nodes : components) {
    const auto place = std::find_if(packed.begin(), packed.end(), [&](const auto& chain) {
      return chain.size() + nodes.size() <= components[0].size();
    });
    if (place == packed.end() || packed.empty())
      packed.push_back(nodes);
    else
      place->insert(place->end(), nodes.begin(), nodes.end());
  }
  std::vector<AxisRoute> routes;
  for (const auto& nodes : packed) {
    // Component by component, so that neighbours in the image are neighbours here.
    std::vector<std::vector<AxisPair>> of_value(v.sizes.size());
    for (const std::int32_t k : nodes) {
      std::size_t value = v.sizes.size() - 1;
      while (static_cast<std::size_t>(k) < v.first[value]) --value;
      const auto local = static_cast<std::int32_t>(k - static_cast<std::int32_t>(v.first[value]));
      of_value[value].push_back({local / v.sizes[value], local % v.sizes[value]});
    }
    AxisRoute route(program.instructions().size() + 1);
    for (std::size_t k = 0; k <= end; ++k) {
      route[k].pairs = of_value[v.before[k]];
      if (k == end) break;
      const Instruction& in = program.instructions()[k];
      if (in.op == Opcode::patches && !windows_of(in, columns).trivial())
        route[k].passes = {
            patches_pass(route[k].pairs, of_value[v.before[k + 1]], windows_of(in, columns))};
    }
    if (!route[end].pairs.empty()) routes.push_back(std::move(route));
  }
  return routes;
}

std::size_t chains_end(const Program& program) {
  const std::vector<Instruction>& instructions = program.instructions();
  const std::size_t none = instructions.size();
  if (!program.pairs() || program.uses_means()) return none;
  const auto averages_all = [](const AxisWindows& windows) {
    std::vector<int> seen = windows.source;
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    return windows.outputs == 1 && windows.taps == windows.inputs &&
           static_cast<int>(seen.size()) == windows.inputs && seen.front() == 0;
  };
  int depth = 0;
  for (std::size_t k = 0; k < none; ++k) {
    const Instruction& in = instructions[k];
    if (in.op == Opcode::pool)
      return depth == 0 && averages_all(in.rows) && averages_all(in.columns) ? k : none;
    if (in.op == Opcode::flatten || in.op == Opcode::emit) return none;
    depth += in.op == Opcode::push;
    depth -= in.op == Opcode::add || in.op == Opcode::mix || in.op == Opcode::multiply;
  }
  return none;
}

}  // namespace lazygram
