// The output weights a as event-driven descent uses them: signs of one output, or any values of
// several.
//
// With zeta_r = sqrt(m) z / scale_r every neuron moves by at most what the clocks of its column
// count:
//   one output:      scale_r = a_r; one step moves zeta by -q, q in [-N, P] (up clock P, down N)
//   several outputs: scale_r = max_o |a_ro| / largest_o; the step moves zeta by at most
//                    sum_o largest_o max(P_o, N_o), the one clock that both names then stand for
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "lazygram/error.hpp"
#include "lazygram/events.hpp"

namespace lazygram {

template <typename T>
class Readout {
 public:
  // values: width x outputs, kept; null for the signs of the seed (one output).
  Readout(const Neurons<T>& neurons, const T* values, std::int64_t outputs)
      : outputs_(outputs), largest_(outputs, 0.0) {
    const std::int64_t m = neurons.width();
    require(outputs > 0 && (values || outputs == 1), "a: several outputs need their values");
    units_ = true;
    for (std::int64_t k = 0; values && k < m * outputs; ++k) {
      const double size = std::fabs(static_cast<double>(values[k]));
      require(std::isfinite(size), "a: output weights must be finite");
      units_ = units_ && size == 1.0;
      largest_[k % outputs] = std::max(largest_[k % outputs], size);
    }
    if (!values) largest_[0] = 1.0;
    if (!signs_only()) {
      values_ = values;
      return;
    }
    positive_ = Buffer<std::uint64_t>(ceil_div(m, 64));
    T made[64];
    for (std::int64_t w = 0; w < positive_.size(); ++w) {
      const std::int64_t begin = 64 * w, count = std::min<std::int64_t>(64, m - begin);
      if (!values) neurons.random.signs(begin, count, made);
      const T* const a = values ? values + begin : made;
      std::uint64_t word = 0;
      for (std::int64_t k = 0; k < count; ++k) word |= static_cast<std::uint64_t>(a[k] > T(0)) << k;
      positive_[w] = word;
    }
  }

  std::int64_t outputs() const { return outputs_; }
  bool units() const { return units_; }                                   // all a_ro = +-1
  bool signs_only() const { return units_ && outputs_ == 1; }             // the fast case
  double largest(std::int64_t output) const { return largest_[output]; }  // max_r |a_ro|
  double largest_scale() const { return outputs_ == 1 ? largest_[0] : 1.0; }

  // a_r where signs_only.
  double sign(std::int64_t neuron) const {
    return (positive_[neuron / 64] >> (neuron % 64)) & 1u ? 1.0 : -1.0;
  }
  // a_r of any other read-out, `outputs` values.
  const T* of(std::int64_t neuron) const { return values_ + neuron * outputs_; }
  double value(std::int64_t neuron, std::int64_t output) const {
    return signs_only() ? sign(neuron) : static_cast<double>(of(neuron)[output]);
  }
  // 0 for a neuron that never moves.
  double scale(std::int64_t neuron) const {
    if (outputs_ == 1) return value(neuron, 0);
    double scale = 0;
    for (std::int64_t o = 0; o < outputs_; ++o) {
      const double a = std::fabs(static_cast<double>(of(neuron)[o]));
      if (a > 0) scale = std::max(scale, a / largest_[o]);
    }
    return scale;
  }

 private:
  std::int64_t outputs_;
  bool units_ = true;
  std::vector<double> largest_;
  const T* values_ = nullptr;
  Buffer<std::uint64_t> positive_;  // bit r: a_r = +1
};

}  // namespace lazygram
