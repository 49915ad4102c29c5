// Runs a program on angles in extended precision and fits Chebyshev series to the results.
#include "tiles/angle.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"
#include "tiles/angle_path.hpp"

namespace lazygram {
namespace {

using Real = long double;
constexpr Real kPi = 3.14159265358979323846264338327950288L;
constexpr int kNodes = 64;
constexpr int kProbes = 41;           // points between the nodes where the error is measured
constexpr double kTolerance = 1e-13;  // of the error, relative to the largest value

// A value at all angles; the last entry is the pair of an example with itself.
struct Value {
  std::vector<Real> k, theta;
  bool active = false;
};

class AngleRun {
 public:
  AngleRun(const Program& program, std::int64_t example, const SideTables& tables,
           const ActivationDuals& duals, bool tracked)
      : program_(program), example_(example), tables_(tables), duals_(duals), tracked_(tracked) {}

  Value run(const std::vector<Real>& angles, Real square) {
    Value value;
    for (Real angle : angles) value.k.push_back(square * std::cos(angle));
    value.k.push_back(square);
    value.theta.assign(value.k.size(), 0);
    stack_.clear();
    for (std::size_t at = 0; at < program_.instructions().size(); ++at) step(at, value);
    return value;
  }

 private:
  void step(std::size_t at, Value& x) {
    const Instruction& in = program_.instructions()[at];
    const std::size_t n = x.k.size();
    switch (in.op) {
      case Opcode::affine:
        for (std::size_t e = 0; e < n; ++e) {
          x.theta[e] = in.x * x.theta[e] + in.z * x.k[e] + in.w;
          x.k[e] = in.x * x.k[e] + in.y;
        }
        x.active = tracked_ && (x.active || in.z != 0.0 || in.w != 0.0);
        return;
      case Opcode::activation:
        return activation(in, x);
      case Opcode::normalise: {
        const Real factor = tables_.at[at].first[example_];
        for (std::vector<Real>* part : {&x.k, &x.theta})
          for (Real& v : *part) v *= factor * factor;
        return;
      }
      case Opcode::dropout:
        x.k[n - 1] /= in.x;
        x.theta[n - 1] /= in.x;
        return;
      case Opcode::scale:
        for (std::vector<Real>* part : {&x.k, &x.theta})
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
          x.theta[e] = a * x.theta[e] + b * top.theta[e];
        }
        x.active = x.active || top.active;
        return;
      }
      case Opcode::multiply: {
        const Value top = std::move(stack_.back());
        stack_.pop_back();
        for (std::size_t e = 0; e < n; ++e) {
          x.theta[e] = x.theta[e] * top.k[e] + x.k[e] * top.theta[e];
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
        const Real k = x.k[e], sine = std::sqrt(std::max<Real>((v - k) * (v + k), 0));
        const Real rest = kPi - std::atan2(sine, k);
        const Real same = sine + rest * k;  // v J_1(theta)
        x.k[e] = in.x * (value->same * same + value->opposite * (same - kPi * k));
        if (slope) x.theta[e] *= in.x * (slope->same * rest + slope->opposite * (kPi - rest));
      }
      return;
    }
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
    for (std::int64_t e = 0; e < n; ++e) x.k[e] = in.x * out[e];
  }

  const Program& program_;
  const std::int64_t example_;
  const SideTables& tables_;
  const ActivationDuals& duals_;
  const bool tracked_;  // whether Theta is wanted: only then are the derivatives' duals there
  std::vector<Value> stack_;
};

// Chebyshev nodes in z, and the angles they stand for.
std::vector<Real> nodes_of(Real shift, Real slope, int count) {
  std::vector<Real> angles;
  for (int j = 0; j < count; ++j) {
    const Real z = std::cos(kPi * (j + 0.5L) / count);
    angles.push_back(shift > 0 ? shift * (1 + z) / (slope - z) : (1 + z) / slope);
  }
  return angles;
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
  while (terms > 1) {
    rest += std::abs(coefficients[terms - 1]);
    if (rest > tolerance) break;
    --terms;
  }
  return terms;
}

double clenshaw(const std::vector<double>& c, double z) {
  double b1 = 0, b2 = 0;
  for (std::size_t k = c.size(); k-- > 1;) {
    const double b0 = 2 * z * b1 + (c[k] - b2);
    b2 = b1;
    b1 = b0;
  }
  return z * b1 + (c[0] - b2);
}

Real largest(const std::vector<Real>& values) {
  Real result = 0;
  for (Real v : values) result = std::max(result, std::abs(v));
  return result;
}

}  // namespace

template <>
const AngleLoops<float>& angle_loops<float>() {
  static const IsaTable<const AngleLoops<float>*> table = {
      &baseline::angle_loops_float,
#ifdef LAZYGRAM_X86
      &avx2::angle_loops_float,
      &avx512::angle_loops_float,
#endif
  };
  return *table.pick();
}

template <>
const AngleLoops<double>& angle_loops<double>() {
  static const IsaTable<const AngleLoops<double>*> table = {
      &baseline::angle_loops_double,
#ifdef LAZYGRAM_X86
      &avx2::angle_loops_double,
      &avx512::angle_loops_double,
#endif
  };
  return *table.pick();
}

double AngleTable::value(std::size_t function, double theta) const {
  const double z = shift > 0 ? (slope * theta - shift) / (theta + shift) : slope * theta - 1.0;
  return clenshaw(functions[function].coefficients, z);
}

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

std::vector<long double> at_angles(const Program& program, const std::vector<long double>& angles,
                                   double square, std::int64_t example, const SideTables& tables,
                                   const ActivationDuals& duals, bool ntk) {
  Value value = AngleRun(program, example, tables, duals, ntk).run(angles, square);
  std::vector<Real>& result = ntk ? value.theta : value.k;
  result.pop_back();
  return result;
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
  // Fewer terms against one division: candidates from no shift to what deep networks need.
  std::optional<AngleTable> best;
  int best_cost = 1 << 30;
  for (const double shift : {0.0, 1.0, 0.25, 0.06}) {
    AngleTable table;
    table.shift = shift;
    table.slope = static_cast<double>(shift > 0 ? (kPi + 2 * shift) / kPi : 2 / kPi);
    table.exponent = exponent;
    const Value value = run.run(nodes_of(table.shift, table.slope, kNodes), square);
    int cost = shift > 0 ? 8 : 0;
    bool resolved = true;
    for (const Output& output : outputs) {
      const std::vector<Real> samples = wanted(value, output);
      const std::vector<Real> c = chebyshev(samples);
      const Real size = std::max<Real>(largest(samples), 1e-300L);
      const int terms = terms_for(c, 4e-16L * size);
      resolved = resolved && terms < kNodes - 4;
      AngleTable::Function function;
      function.coefficients.assign(c.begin(), c.begin() + terms);
      function.float_terms = std::min(terms, terms_for(c, 3e-8L * size));
      table.functions.push_back(std::move(function));
      cost += terms;
    }
    if (resolved && cost < best_cost) {
      best_cost = cost;
      best = std::move(table);
    }
    if (best && best_cost < 24) break;
  }
  if (!best) return best;
  std::vector<Real> probes;
  for (int j = 0; j < kProbes; ++j) {
    const Real s = static_cast<Real>(j) / (kProbes - 1);
    probes.push_back(kPi * s * s);
  }
  const Value value = run.run(probes, square);
  for (std::size_t f = 0; f < outputs.size(); ++f) {
    AngleTable::Function& function = best->functions[f];
    const std::vector<Real> truth = wanted(value, outputs[f]);
    for (std::size_t j = 0; j < probes.size(); ++j) {
      const Real difference = std::abs(best->value(f, static_cast<double>(probes[j])) - truth[j]);
      function.error =
          std::max(function.error,
                   static_cast<double>(difference / std::max<Real>(largest(truth), 1e-300L)));
    }
    if (!(function.error <= kTolerance)) return std::nullopt;
  }
  return best;
}

}  // namespace lazygram
