// Runs a program on angles in extended precision and fits series to the results.
#include "tiles/angle.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lazygram/error.hpp"

namespace lazygram {
namespace {

using Real = long double;
constexpr Real kPi = 3.14159265358979323846264338327950288L;
constexpr int kProbes = 41;           // points between the nodes where the error is measured
constexpr double kTolerance = 1e-13;  // of the error, relative to the largest value
// Rounding of the samples, relative to the largest value: run in extended precision, or through
// duals in float64. The latter is worst at small angles, which few nodes keep away from.
constexpr double kExact = 3e-16, kFromDuals = 1e-14;
constexpr std::size_t kManyTerms = 64;

// A value at all angles; the last entry is the pair of an example with itself. `gap` is that
// entry's k minus k, carried on its own: small angles keep their digits however deep the program
// is.
struct Value {
  std::vector<Real> k, gap, theta;
  bool active = false;
};

class AngleRun {
 public:
  AngleRun(const Program& program, std::int64_t example, const SideTables& tables,
           const ActivationDuals& duals, bool tracked)
      : program_(program), example_(example), tables_(tables), duals_(duals), tracked_(tracked) {}

  Value run(const std::vector<Real>& angles, Real square) {
    Value value;
    for (Real angle : angles) {
      const Real half = std::sin(angle / 2);
      value.k.push_back(square * std::cos(angle));
      value.gap.push_back(2 * square * half * half);
    }
    value.k.push_back(square);
    value.gap.push_back(0);
    value.theta.assign(value.k.size(), 0);
    stack_.clear();
    for (std::size_t at = 0; at < program_.instructions().size(); ++at) step(at, value);
    return value;
  }
  // Whether no value went through a dual in float64.
  bool exact() const { return exact_; }

 private:
  void step(std::size_t at, Value& x) {
    const Instruction& in = program_.instructions()[at];
    const std::size_t n = x.k.size();
    switch (in.op) {
      case Opcode::affine:
        for (std::size_t e = 0; e < n; ++e) {
          x.theta[e] = in.x * x.theta[e] + in.z * x.k[e] + in.w;
          x.k[e] = in.x * x.k[e] + in.y;
          x.gap[e] *= in.x;
        }
        x.active = tracked_ && (x.active || in.z != 0.0 || in.w != 0.0);
        return;
      case Opcode::activation:
        return activation(in, x);
      case Opcode::normalise: {
        const Real factor = tables_.at[at].first[example_];
        for (std::vector<Real>* part : {&x.k, &x.gap, &x.theta})
          for (Real& v : *part) v *= factor * factor;
        return;
      }
      case Opcode::dropout:
        for (std::size_t e = 0; e + 1 < n; ++e) x.gap[e] += x.k[n - 1] / in.x - x.k[n - 1];
        x.k[n - 1] /= in.x;
        x.theta[n - 1] /= in.x;
        return;
      case Opcode::scale:
        for (std::vector<Real>* part : {&x.k, &x.gap, &x.theta})
          for (Real& v : *part) v *= static_cast<Real>(in.x) * in.x;
        return;
      case Opcode::push:
        stack_.push_back(x);
        return;
      case Opcode::swap:
        std::swap(x, stack_.back());
        return;
      case Opcode::add:
      case Opcode::mix: {
        const Value top = std::move(stack_.back());
        stack_.pop_back();
        const bool mixes = in.op == Opcode::mix;
        const Real a = mixes ? in.x : static_cast<Real>(in.x) * in.x;
        const Real b = mixes ? in.y : static_cast<Real>(in.y) * in.y;
        Real cross = 0;
        if (in.means) {
          cross = 2 * static_cast<Real>(in.x) * in.y * tables_.at[at].first[example_] *
                  tables_.at[at].second[example_];
        }
        for (std::size_t e = 0; e < n; ++e) {
          x.k[e] = a * x.k[e] + b * top.k[e] + cross;
          x.gap[e] = a * x.gap[e] + b * top.gap[e];
          x.theta[e] = a * x.theta[e] + b * top.theta[e];
        }
        x.active = x.active || top.active;
        return;
      }
      case Opcode::multiply: {
        const Value top = std::move(stack_.back());
        stack_.pop_back();
        const Real v = x.k[n - 1];
        for (std::size_t e = 0; e < n; ++e) {
          x.theta[e] = x.theta[e] * top.k[e] + x.k[e] * top.theta[e];
          x.gap[e] = v * top.gap[e] + x.gap[e] * top.k[e];
          x.k[e] *= top.k[e];
        }
        x.active = x.active || top.active;
        return;
      }
      default:  // one pixel: nothing to do; emits are not wanted here
        return;
    }
  }

  void activation(const Instruction& in, Value& x) {
    const ProgramActivation& a = program_.activations()[in.index];
    const duals::Rectified* const value = a.value ? a.value->rectified_parameters() : nullptr;
    const duals::Rectified* const slope =
        a.derivative ? a.derivative->rectified_parameters() : nullptr;
    const Real v = x.k.back();
    if (value && value->order == 1 && (slope || !x.active) && v > 0) {
      for (std::size_t e = 0; e < x.k.size(); ++e) {
        const Real k = x.k[e], gap = std::clamp<Real>(x.gap[e], 0, 2 * v);
        const Real angle = 2 * std::atan2(std::sqrt(gap), std::sqrt(2 * v - gap));
        const Real sine = std::sqrt(gap * (2 * v - gap)), rest = kPi - angle;
        const Real same = sine + rest * k;    // v J_1(theta)
        const Real below = sine - angle * k;  // v J_1(pi - theta), without what cancels
        x.k[e] = in.x * (value->same * same + value->opposite * (same - kPi * k));
        x.gap[e] = in.x * (value->same * (kPi * gap - below) - value->opposite * below);
        if (slope) x.theta[e] *= in.x * (slope->same * rest + slope->opposite * (kPi - rest));
      }
      return;
    }
    exact_ = false;
    const auto n = static_cast<std::int64_t>(x.k.size());
    std::vector<double> k(x.k.begin(), x.k.end()), out(x.k.size());
    const std::vector<double> variance(x.k.size(), static_cast<double>(v));
    const auto evaluate = [&](const std::optional<Dual>& closed, const EntryDual* other) {
      if (!closed && other && other->whole_blocks()) {
        other->evaluate_block(k.data(), variance.data(), variance.data(), n, out.data());
        return;
      }
      const std::vector<std::int32_t> place(kDualChunk, static_cast<std::int32_t>(example_));
      for (std::int64_t begin = 0; begin < n; begin += kDualChunk) {
        DualChunk chunk;
        alignas(64) double values[kDualChunk];
        const auto count = static_cast<int>(std::min<std::int64_t>(kDualChunk, n - begin));
        for (int e = 0; e < kDualChunk; ++e) {
          chunk.r[e] = e < count ? k[begin + e] : 0.0;
          chunk.p[e] = chunk.q[e] = static_cast<double>(v);
        }
        require(prepare_chunk(chunk, 1e-6), "X: a covariance inside the program is not finite");
        if (closed) {
          closed->evaluate(chunk, values);
        } else {
          require(other != nullptr, "activation: no dual for it");
          other->evaluate(chunk, place.data(), place.data(), count, values);
        }
        std::copy_n(values, count, out.data() + begin);
      }
    };
    if (x.active) {
      evaluate(a.derivative, duals_.derivative[in.index].get());
      for (std::int64_t e = 0; e < n; ++e) x.theta[e] *= in.x * out[e];
    }
    evaluate(a.value, duals_.value[in.index].get());
    for (std::int64_t e = 0; e < n; ++e) {
      x.k[e] = in.x * out[e];
      x.gap[e] = in.x * (static_cast<Real>(out[n - 1]) - out[e]);
    }
  }

  const Program& program_;
  const std::int64_t example_;
  const SideTables& tables_;
  const ActivationDuals& duals_;
  const bool tracked_;  // whether Theta is wanted: only then are the derivatives' duals there
  std::vector<Value> stack_;
  bool exact_ = true;
};

Real largest(const std::vector<Real>& values) {
  Real result = 0;
  for (Real v : values) result = std::max(result, std::abs(v));
  return result;
}

}  // namespace

std::optional<int> homogeneous_degree(const Program& program) {
  std::vector<int> stack;
  int degree = 1;
  for (const Instruction& in : program.instructions()) {
    switch (in.op) {
      case Opcode::affine:
        if (in.y != 0.0 || in.w != 0.0) return std::nullopt;
        break;
      case Opcode::activation: {
        const ProgramActivation& a = program.activations()[in.index];
        const duals::Rectified* const value = a.value ? a.value->rectified_parameters() : nullptr;
        if (!value || value->order != 1) return std::nullopt;
        break;
      }
      case Opcode::normalise:
        if (in.x != 0.0) return std::nullopt;
        degree = 0;
        break;
      case Opcode::push:
        stack.push_back(degree);
        break;
      case Opcode::swap:
        std::swap(degree, stack.back());
        break;
      case Opcode::add:
      case Opcode::mix:
        if (stack.back() != degree) return std::nullopt;
        stack.pop_back();
        break;
      case Opcode::multiply:
        degree += stack.back();
        stack.pop_back();
        break;
      default:
        break;
    }
  }
  return degree;
}

std::optional<AngleTable> angle_table(const Program& program, const std::vector<Output>& outputs,
                                      double square, std::int64_t example, const SideTables& tables,
                                      const ActivationDuals& duals, int exponent) {
  bool tracked = false;
  for (const Output& output : outputs) tracked = tracked || output.kind == Output::Kind::ntk;
  AngleRun run(program, example, tables, duals, tracked);
  const Real unit = std::pow(static_cast<Real>(square), -exponent);
  const auto wanted = [&](const Value& value, const Output& output) {
    std::vector<Real> samples = output.kind == Output::Kind::ntk ? value.theta : value.k;
    samples.pop_back();
    for (Real& sample : samples) sample *= unit;
    return samples;
  };
  const auto fitted = [&](AngleVariable variable) {
    AngleTable table;
    table.variable = variable;
    table.exponent = exponent;
    const Value value = run.run(angle_samples(variable), square);
    for (const Output& output : outputs)
      table.functions.push_back(
          fit_angle_function(variable, wanted(value, output), run.exact() ? kExact : kFromDuals));
    return table;
  };
  const auto measure = [&](AngleTable& table) {
    std::vector<Real> probes;
    for (int j = 0; j < kProbes; ++j) {
      const Real s = static_cast<Real>(j) / (kProbes - 1);
      probes.push_back(kPi * s * s);
    }
    const Value value = run.run(probes, square);
    for (std::size_t f = 0; f < outputs.size(); ++f) {
      AngleFunction& function = table.functions[f];
      const std::vector<Real> truth = wanted(value, outputs[f]);
      for (std::size_t j = 0; j < probes.size(); ++j) {
        const double found =
            evaluate(table.variable, function, static_cast<double>(std::cos(probes[j])),
                     static_cast<double>(std::sin(probes[j])));
        function.error =
            std::max(function.error, static_cast<double>(std::abs(found - truth[j]) /
                                                         std::max<Real>(largest(truth), 1e-300L)));
      }
    }
  };
  const auto cost = [](const AngleTable& table) {
    std::size_t terms = 0;
    for (const AngleFunction& f : table.functions)
      terms = std::max(terms, f.wide.even.size() + f.wide.odd.size());
    return terms;
  };
  // The shift that suits the number of layers (measured: about 17 / depth) is nearly always the one
  // that needs the fewest terms; the others are tried where it needs many.
  int depth = 0;
  for (const Instruction& in : program.instructions()) depth += in.op == Opcode::activation;
  const double usual = depth < 4 ? 0.0 : std::min(2.0, 17.0 / depth);
  run.run({Real(1)}, square);
  const bool exact = run.exact();
  for (const int nodes : exact ? std::vector{64} : std::vector{32, 64}) {
    std::optional<AngleTable> best;
    for (const double shift : {usual, 0.25, 0.5, 1.0, 0.0}) {
      AngleTable table = fitted({shift, nodes});
      const bool resolved = std::all_of(table.functions.begin(), table.functions.end(),
                                        [](const AngleFunction& f) { return f.resolved; });
      if (resolved && (!best || cost(table) < cost(*best))) best = std::move(table);
      if (best && cost(*best) < kManyTerms) break;
    }
    if (!best) continue;
    measure(*best);
    if (std::all_of(best->functions.begin(), best->functions.end(),
                    [](const AngleFunction& f) { return f.error <= kTolerance; }))
      return best;
  }
  return std::nullopt;
}

}  // namespace lazygram
