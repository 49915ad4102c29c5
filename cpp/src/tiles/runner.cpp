// One block of pairs through a program: every instruction as loops over the block's planes.
#include "tiles/runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kRootTwoPi = 2.50662827463100050242;
constexpr double kParallel2 = 8e-15;  // 1 - rho^2 below this counts as 0
constexpr double kSlack = 1e-6;       // of covariances against variances, both rounded many times

RectifiedPlan rectified_plan(const duals::Rectified& value, const duals::Rectified* derivative,
                             double scale) {
  RectifiedPlan plan{};
  plan.sine = scale * (value.same + value.opposite);
  plan.cosine = -scale * value.opposite * kPi;
  if (derivative) {
    plan.angle = scale * (derivative->same - derivative->opposite);
    plan.constant = scale * derivative->opposite * kPi;
  }
  return plan;
}

}  // namespace

const TileLoops& tile_loops() {
  static const IsaTable<const TileLoops*> table = {
      &baseline::tile_loops,
#ifdef LAZYGRAM_X86
      &avx2::tile_loops,
      &avx512::tile_loops,
#endif
  };
  return *table.pick();
}

void EntryDual::evaluate_block(const double*, const double*, const double*, std::int64_t,
                               double*) const {
  throw ArgumentError("activation: its dual does not work on whole blocks");
}

Runner::Runner(const RunnerPlan& plan, std::int64_t max_entries)
    : plan_(plan),
      program_(plan.program),
      loops_(tile_loops()),
      track_count_(plan.track_count()),
      max_entries_(max_entries),
      capacity_(round_up(program_.max_planes() * max_entries, 8)),
      values_(program_.max_depth()) {
  const std::int64_t arrays = static_cast<std::int64_t>(values_.size()) * (1 + track_count_) + 1;
  storage_ = Buffer<double>(arrays * capacity_);
  double* next = storage_.data();
  const auto take = [&] { return std::exchange(next, next + capacity_); };
  for (Value& value : values_) {
    value.k = take();
    for (int t = 0; t < track_count_; ++t) value.theta.push_back(take());
    value.active.assign(track_count_, 0);
    if (program_.uses_means())
      value.mean_storage = Buffer<double>(program_.max_pixels() * max_entries);
  }
  spare_ = take();
  expanded_ = Buffer<double>(8 * program_.max_pixels() * max_entries);
  int longest = 1;
  for (const auto& passes : plan.passes)
    for (const WindowPass& pass : passes) longest = std::max(longest, pass.run);
  zeros_ = Buffer<double>(longest * max_entries);
  std::fill_n(zeros_.data(), zeros_.size(), 0.0);
}

void Runner::run_pairs(const PairBlock& block, const SideTables& left, const SideTables& right,
                       const ActivationDuals& duals, const BlockSink& sink) {
  alone_ = false;
  pairs_ = block;
  count_ = block.count;
  left_ = &left;
  right_ = &right;
  duals_ = &duals;
  run(sink);
}

void Runner::run_alone(std::int64_t begin, std::int64_t count, SideTables& tables,
                       ActivationService* service, const std::vector<double*>& means,
                       const BlockSink& sink) {
  alone_ = true;
  begin_ = begin;
  count_ = count;
  left_ = right_ = tables_ = &tables;
  service_ = service;
  means_ = &means;
  run(sink);
}

void Runner::run(const BlockSink& sink) {
  depth_ = 0;
  std::fill(current().active.begin(), current().active.end(), 0);
  current().mean = nullptr;
  for (std::size_t at = 0; at < program_.instructions().size(); ++at) step(at, sink);
  write_final(sink);
}

template <typename Body>
void Runner::each_array(Value& value, const Body& body) const {
  body(value.k);
  for (int t = 0; t < track_count_; ++t)
    if (value.active[t]) body(value.theta[t]);
}

template <typename Body>
void Runner::each_plane(int pixels, const Body& body) const {
  if (!program_.pairs()) {
    for (std::int64_t l = 0; l < pixels; ++l) body(l * count_, l * count_, l * count_);
    return;
  }
  for (std::int64_t l = 0; l < pixels; ++l)
    for (std::int64_t k = 0; k < pixels; ++k)
      body((l * pixels + k) * count_, l * count_, k * count_);
}

void Runner::step(std::size_t at, const BlockSink& sink) {
  const Instruction& in = program_.instructions()[at];
  if (alone_) record(at);
  const std::int64_t size = program_.planes(in.before) * count_;
  switch (in.op) {
    case Opcode::affine:
      return affine(in);
    case Opcode::patches:
    case Opcode::pool:
      return windows(in, at);
    case Opcode::activation:
      return activation(in, at);
    case Opcode::normalise:
      return normalise(at);
    case Opcode::dropout:
      return dropout(in);
    case Opcode::scale:
      each_array(current(), [&](double* x) { loops_.affine(x, in.x * in.x, 0.0, size); });
      if (current().mean) loops_.affine(current().mean, in.x, 0.0, in.before.pixels() * count_);
      return;
    case Opcode::push: {
      const Value& from = current();
      Value& to = values_[++depth_];
      std::memcpy(to.k, from.k, size * sizeof(double));
      for (int t = 0; t < track_count_; ++t)
        if (from.active[t]) std::memcpy(to.theta[t], from.theta[t], size * sizeof(double));
      to.active = from.active;
      to.mean = nullptr;
      if (from.mean) {
        to.mean = to.mean_storage.data();
        std::memcpy(to.mean, from.mean, in.before.pixels() * count_ * sizeof(double));
      }
      return;
    }
    case Opcode::swap:
      std::swap(current(), top());
      return;
    case Opcode::add:
    case Opcode::mix:
    case Opcode::multiply:
      return add(in, at);
    case Opcode::flatten:
      return flatten(in);
    case Opcode::emit:
      for (std::size_t o = 0; o < plan_.outputs.size(); ++o) {
        if (plan_.outputs[o].kind != Output::Kind::emitted || plan_.outputs[o].slot != in.index)
          continue;
        for (int c = 0; c < program_.planes(in.before); ++c)
          write(sink.base[o], c, current().k + c * count_, sink);
      }
      return;
    case Opcode::emit_mean:
      return;
  }
}

void Runner::affine(const Instruction& in) {
  Value& value = current();
  const std::int64_t size = program_.planes(in.before) * count_;
  const bool trains = in.z != 0.0 || in.w != 0.0;
  const int group = plan_.tracks == Tracks::total ? 0 : in.index;
  for (int t = 0; t < track_count_; ++t) {
    if (t == group && trains) {
      if (value.active[t]) {
        loops_.combine(value.theta[t], in.x, value.k, in.z, in.w, size);
      } else {
        std::memcpy(value.theta[t], value.k, size * sizeof(double));
        if (in.z != 1.0 || in.w != 0.0) loops_.affine(value.theta[t], in.z, in.w, size);
        value.active[t] = 1;
      }
    } else if (value.active[t] && in.x != 1.0) {
      loops_.affine(value.theta[t], in.x, 0.0, size);
    }
  }
  if (in.x != 1.0 || in.y != 0.0) loops_.affine(value.k, in.x, in.y, size);
  value.mean = nullptr;
}

void Runner::windows(const Instruction& in, std::size_t at) {
  Value& value = current();
  const auto map = [&](double*& array) {
    for (const WindowPass& pass : plan_.passes[at]) {
      loops_.sum_runs(spare_, array, zeros_.data(), pass.source.data(), pass.taps, pass.factor,
                      pass.outputs, pass.run * count_);
      std::swap(array, spare_);
    }
  };
  map(value.k);
  for (int t = 0; t < track_count_; ++t)
    if (value.active[t]) map(value.theta[t]);
  if (!value.mean) return;
  if (in.op == Opcode::patches) {  // not known any more; the program does not ask for it again
    value.mean = nullptr;
    return;
  }
  // Means have one plane per pixel, also where the covariances have pixel pairs.
  double* mean = value.mean;
  for (const WindowPass& pass : window_passes(in, false)) {
    loops_.sum_runs(spare_, mean, zeros_.data(), pass.source.data(), pass.taps, pass.factor,
                    pass.outputs, pass.run * count_);
    std::memcpy(mean, spare_, sizeof(double) * pass.outputs * pass.run * count_);
  }
}

Runner::Sides Runner::expand(std::size_t at, Buffer<double> SideTables::Entry::*field, int pixels,
                             int slot) {
  const std::int64_t stride = program_.max_pixels() * max_entries_;
  double* const left = expanded_.data() + 2 * slot * stride;
  double* const right = left + stride;
  if (alone_) {
    const double* const table = (tables_->at[at].*field).data() + begin_;
    if (pixels == 1) return {table, table};
    for (std::int64_t l = 0; l < pixels; ++l)
      std::copy_n(table + l * tables_->n, count_, left + l * count_);
    return {left, left};
  }
  const double* const from_left = (left_->at[at].*field).data();
  const double* const from_right = (right_->at[at].*field).data();
  for (std::int64_t l = 0; l < pixels; ++l) {
    const double* const row_left = from_left + l * left_->n;
    const double* const row_right = from_right + l * right_->n;
    if (pairs_.segment) {
      std::fill_n(left + l * count_, count_, row_left[pairs_.i0]);
      if (pixels > 1) std::copy_n(row_right + pairs_.j0, count_, right + l * count_);
      continue;
    }
    for (std::int64_t e = 0; e < count_; ++e) {
      left[l * count_ + e] = row_left[pairs_.i[e]];
      right[l * count_ + e] = row_right[pairs_.j[e]];
    }
  }
  if (pairs_.segment && pixels == 1) return {left, from_right + pairs_.j0};
  return {left, right};
}

void Runner::activation(const Instruction& in, std::size_t at) {
  Value& value = current();
  const ProgramActivation& formula = program_.activations()[in.index];
  const int pixels = in.before.pixels();
  double* active[64];
  std::vector<double*> many;
  int tracks = 0;
  for (int t = 0; t < track_count_; ++t) tracks += value.active[t];
  require(tracks == 0 || formula.differentiable,
          "activation: " + formula.name + " is not differentiable, so there is no tangent kernel");
  double** theta = active;
  if (tracks > 64) {
    many.resize(tracks);
    theta = many.data();
  }
  for (int t = 0, next = 0; t < track_count_; ++t)
    if (value.active[t]) theta[next++] = value.theta[t];
  const duals::Rectified* const parameters =
      formula.value ? formula.value->rectified_parameters() : nullptr;
  const duals::Rectified* const slope =
      formula.derivative ? formula.derivative->rectified_parameters() : nullptr;
  const bool has_zero = left_->at[at].has_zero || right_->at[at].has_zero;
  if (!alone_ && parameters && parameters->order == 1 && (slope || tracks == 0) && !has_zero) {
    const RectifiedPlan plan = rectified_plan(*parameters, slope, in.x);
    Deviations d{};
    if (pairs_.segment) {  // the tables as they are
      const SideTables::Entry &left = left_->at[at], &right = right_->at[at];
      d = {left.second.data() + pairs_.i0,  left.third.data() + pairs_.i0,  left_->n, true,
           right.second.data() + pairs_.j0, right.third.data() + pairs_.j0, right_->n};
    } else {
      const Sides root = expand(at, &SideTables::Entry::second, pixels, 0);
      const Sides inverse = expand(at, &SideTables::Entry::third, pixels, 1);
      d = {root.left, inverse.left, count_, false, root.right, inverse.right, count_};
    }
    if (!program_.pairs()) {
      loops_.rectified(plan, d, value.k, theta, tracks, pixels, count_);
    } else {
      const std::int64_t left_step = std::exchange(d.left_step, 0);
      for (std::int64_t l = 0; l < pixels; ++l) {
        loops_.rectified(plan, d, value.k + l * pixels * count_, theta, tracks, pixels, count_);
        for (int t = 0; t < tracks; ++t) theta[t] += pixels * count_;
        d.left += left_step;
        d.left_inverse += left_step;
      }
    }
  } else {
    std::unique_ptr<EntryDual> own_value, own_derivative;
    const EntryDual *with = nullptr, *with_derivative = nullptr;
    const Sides variance = expand(at, &SideTables::Entry::first, pixels, 0);
    if (alone_) {
      const std::int64_t size = pixels * count_;
      const auto ask = [&](int derivative) {
        require(service_ != nullptr, "activation: no closed form and no service to ask");
        return service_->dual(in.index, derivative, variance.left, size, variance.right, size);
      };
      if (!formula.value) own_value = ask(0);
      if (!formula.derivative && tracks > 0) own_derivative = ask(1);
      with = own_value.get();
      with_derivative = own_derivative.get();
    } else {
      with = duals_->value[in.index].get();
      with_derivative = duals_->derivative[in.index].get();
    }
    general_activation(in, variance, with, with_derivative);
  }
  if (alone_ && program_.uses_means()) {
    value.mean = value.mean_storage.data();
    const Sides variance = expand(at, &SideTables::Entry::first, pixels, 0);
    const std::int64_t size = pixels * count_;
    const double root_scale = std::sqrt(in.x);
    if (parameters && parameters->order == 1) {
      const double mean = 2.0 * parameters->mean / kRootTwoPi;
      for (std::int64_t e = 0; e < size; ++e) value.mean[e] = mean * std::sqrt(variance.left[e]);
    } else {
      require(service_ != nullptr, "activation: no closed form of its mean and no service to ask");
      service_->means(in.index, variance.left, size, value.mean);
    }
    for (std::int64_t e = 0; e < size; ++e) value.mean[e] *= root_scale;
  }
}

void Runner::general_activation(const Instruction& in, const Sides& variance, const EntryDual* with,
                                const EntryDual* with_derivative) {
  Value& value = current();
  const ProgramActivation& formula = program_.activations()[in.index];
  const int pixels = in.before.pixels();
  const std::int64_t size = program_.planes(in.before) * count_;
  bool tracked = false;
  for (char active : value.active) tracked = tracked || active;
  // Variances of every entry, plane after plane, and their places in the tables.
  const auto fill = [&](std::int64_t begin, std::int64_t count, double* p, double* q,
                        std::int32_t* place_left, std::int32_t* place_right) {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t plane = (begin + done) / count_, e = (begin + done) % count_;
      const std::int64_t l = program_.pairs() ? plane / pixels : plane;
      const std::int64_t k = program_.pairs() ? plane % pixels : plane;
      const std::int64_t here = std::min(count_ - e, count - done);
      std::copy_n(variance.left + l * count_ + e, here, p + done);
      std::copy_n(variance.right + k * count_ + e, here, q + done);
      if (place_left) {
        for (std::int64_t x = 0; x < here; ++x) {
          const std::int64_t at = e + x;
          if (alone_) {
            place_left[done + x] = static_cast<std::int32_t>(l * count_ + at);
            place_right[done + x] = static_cast<std::int32_t>(k * count_ + at);
          } else {
            const std::int64_t i = pairs_.segment ? pairs_.i0 : pairs_.i[at];
            const std::int64_t j = pairs_.segment ? pairs_.j0 + at : pairs_.j[at];
            place_left[done + x] = static_cast<std::int32_t>(l * left_->n + i);
            place_right[done + x] = static_cast<std::int32_t>(k * right_->n + j);
          }
        }
      }
      done += here;
    }
  };
  const auto multiply = [&](std::int64_t begin, double* factor, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) factor[k] *= in.x;
    for (int t = 0; t < track_count_; ++t)
      if (value.active[t]) loops_.multiply(value.theta[t] + begin, factor, count);
  };
  if ((with && with->whole_blocks()) || (with_derivative && with_derivative->whole_blocks())) {
    if (chunks_.size() < 4 * size) chunks_ = Buffer<double>(4 * size);
    double *const p = chunks_.data(), *const q = p + size, *const out = q + size,
                  *const factor = out + size;
    fill(0, size, p, q, nullptr, nullptr);
    require(with && (with_derivative || !tracked),
            "activation: value and derivative must both work on whole blocks");
    with->evaluate_block(value.k, p, q, size, out);
    if (tracked) {
      with_derivative->evaluate_block(value.k, p, q, size, factor);
      multiply(0, factor, size);
    }
    for (std::int64_t k = 0; k < size; ++k) value.k[k] = in.x * out[k];
    return;
  }
  const bool places =
      (with && with->needs_places()) || (with_derivative && with_derivative->needs_places());
  DualChunk x;
  alignas(64) double out[kDualChunk];
  std::int32_t place_left[kDualChunk], place_right[kDualChunk];
  for (std::int64_t begin = 0; begin < size; begin += kDualChunk) {
    const std::int64_t count = std::min<std::int64_t>(kDualChunk, size - begin);
    std::copy_n(value.k + begin, count, x.r);
    fill(begin, count, x.p, x.q, places ? place_left : nullptr, place_right);
    for (std::int64_t k = count; k < kDualChunk; ++k) {
      x.r[k] = 0.0;
      x.p[k] = x.q[k] = 1.0;
    }
    require(prepare_chunk(x, kSlack),
            "X: a covariance inside the program is not finite, exceeds 1e100 or its variances");
    for (int k = 0; k < kDualChunk; ++k)  // as the arc-cosine loop does, see kParallel there
      x.d[k] = x.d[k] < kParallel2 * (x.p[k] * x.q[k]) ? 0.0 : x.d[k];
    const auto evaluate = [&](const std::optional<Dual>& closed, const EntryDual* other) {
      if (closed) {
        closed->evaluate(x, out);
      } else {
        require(other != nullptr, "activation: no dual for it");
        other->evaluate(x, place_left, place_right, static_cast<int>(count), out);
      }
    };
    if (tracked) {
      evaluate(formula.derivative, with_derivative);
      multiply(begin, out, count);
    }
    evaluate(formula.value, with);
    for (std::int64_t k = 0; k < count; ++k) value.k[begin + k] = in.x * out[k];
  }
}

void Runner::normalise(std::size_t at) {
  const int pixels = program_.instructions()[at].before.pixels();
  const Sides factor = expand(at, &SideTables::Entry::first, pixels, 0);
  each_array(current(), [&](double* x) {
    each_plane(pixels, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
      loops_.scale_both(x + plane, factor.left + l, factor.right + k, count_);
    });
  });
  if (current().mean) loops_.multiply(current().mean, factor.left, pixels * count_);
}

void Runner::dropout(const Instruction& in) {
  if (!alone_) return;
  const int pixels = in.before.pixels();
  each_array(current(), [&](double* x) {
    each_plane(pixels, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
      if (l == k) loops_.affine(x + plane, 1.0 / in.x, 0.0, count_);
    });
  });
}

void Runner::add(const Instruction& in, std::size_t at) {
  Value& c = current();
  Value& t = top();
  const int pixels = in.before.pixels();
  const std::int64_t size = program_.planes(in.before) * count_;
  if (in.op == Opcode::multiply) {
    for (int g = 0; g < track_count_; ++g) {
      if (t.active[g]) loops_.multiply(t.theta[g], c.k, size);
      if (c.active[g]) loops_.multiply(c.theta[g], t.k, size);
      if (!c.active[g] && t.active[g])
        std::swap(c.theta[g], t.theta[g]);
      else if (c.active[g] && t.active[g])
        loops_.combine(c.theta[g], 1.0, t.theta[g], 1.0, 0.0, size);
      c.active[g] = c.active[g] || t.active[g];
    }
    loops_.multiply(c.k, t.k, size);
    c.mean = nullptr;
  } else {
    const bool mixes = in.op == Opcode::mix;
    const double a = mixes ? in.x : in.x * in.x, b = mixes ? in.y : in.y * in.y;
    loops_.combine(c.k, a, t.k, b, 0.0, size);
    for (int g = 0; g < track_count_; ++g) {
      if (c.active[g] && t.active[g]) {
        loops_.combine(c.theta[g], a, t.theta[g], b, 0.0, size);
      } else if (c.active[g]) {
        loops_.affine(c.theta[g], a, 0.0, size);
      } else if (t.active[g]) {
        std::swap(c.theta[g], t.theta[g]);
        loops_.affine(c.theta[g], b, 0.0, size);
      }
      c.active[g] = c.active[g] || t.active[g];
    }
    if (in.means) {
      const Sides mine = expand(at, &SideTables::Entry::first, pixels, 0);
      const Sides other = expand(at, &SideTables::Entry::second, pixels, 1);
      each_plane(pixels, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
        loops_.add_outer(c.k + plane, in.x * in.y, mine.left + l, mine.right + k, other.left + l,
                         other.right + k, count_);
      });
    }
    if (alone_ && program_.uses_means() && (c.mean || t.mean)) {
      double* const mean = c.mean_storage.data();
      for (std::int64_t e = 0; e < pixels * count_; ++e)
        mean[e] = (c.mean ? in.x * c.mean[e] : 0.0) + (t.mean ? in.y * t.mean[e] : 0.0);
      c.mean = mean;
    }
    if (mixes) c.mean = nullptr;
  }
  std::swap(c, t);
  --depth_;
}

void Runner::flatten(const Instruction& in) {
  Value& value = current();
  const std::int64_t pixels = in.before.pixels(), step = program_.pairs() ? pixels + 1 : 1;
  each_array(value, [&](double* x) {
    for (std::int64_t l = 1; l < pixels; ++l)
      loops_.combine(x, 1.0, x + l * step * count_, 1.0, 0.0, count_);
    loops_.affine(x, in.x, 0.0, count_);
  });
  value.mean = nullptr;
}

// What the instruction needs of one example alone, before it is executed.
void Runner::record(std::size_t at) {
  const Instruction& in = program_.instructions()[at];
  SideTables::Entry& entry = tables_->at[at];
  const Value& value = current();
  const std::int64_t pixels = in.before.pixels(), step = program_.pairs() ? pixels + 1 : 1;
  const auto variance = [&](std::int64_t l) { return value.k + l * step * count_; };
  const auto row = [&](const Buffer<double>& table, std::int64_t l) {
    return table.data() + l * tables_->n + begin_;
  };
  const auto copy_mean = [&](const double* mean, const Buffer<double>& table) {
    for (std::int64_t l = 0; l < pixels; ++l) {
      if (mean) {
        std::copy_n(mean + l * count_, count_, row(table, l));
      } else {
        std::fill_n(row(table, l), count_, 0.0);
      }
    }
  };
  if (in.op == Opcode::activation) {
    for (std::int64_t l = 0; l < pixels; ++l) {
      const double* const v = variance(l);
      std::copy_n(v, count_, row(entry.first, l));
      if (entry.second.size() == 0) continue;
      for (std::int64_t e = 0; e < count_; ++e) {
        const double root = std::sqrt(v[e]);
        row(entry.second, l)[e] = root;
        row(entry.third, l)[e] = root > 0.0 ? 1.0 / root : 0.0;
      }
    }
  } else if (in.op == Opcode::normalise) {
    const auto inverse = [&](double v) {
      const double sum = v + in.x;
      return sum > kDualMinVariance ? 1.0 / std::sqrt(sum) : 0.0;
    };
    for (std::int64_t e = 0; e < count_; ++e) {
      double mean = 0.0;
      if (in.per_image) {
        for (std::int64_t l = 0; l < pixels; ++l) mean += variance(l)[e];
        mean /= static_cast<double>(pixels);
      }
      for (std::int64_t l = 0; l < pixels; ++l)
        row(entry.first, l)[e] = inverse(in.per_image ? mean : variance(l)[e]);
    }
  } else if (in.means) {
    copy_mean(value.mean, entry.first);
    copy_mean(top().mean, entry.second);
  } else if (in.op == Opcode::emit_mean && (*means_)[in.index]) {
    double* const out = (*means_)[in.index];
    for (std::int64_t l = 0; l < pixels; ++l) {
      double* const to = out + l * tables_->n + begin_;
      if (value.mean) {
        std::copy_n(value.mean + l * count_, count_, to);
      } else {
        std::fill_n(to, count_, 0.0);
      }
    }
  }
}

void Runner::write(double* base, int channel, const double* plane, const BlockSink& sink) const {
  double* const out = base + channel * sink.channel_stride;
  if (!sink.place) {
    std::copy_n(plane, sink.real, out);
    return;
  }
  for (std::int64_t e = 0; e < sink.real; ++e) out[sink.place[e]] = plane[e];
}

void Runner::write_final(const BlockSink& sink) const {
  const Value& value = values_[depth_];
  for (std::size_t o = 0; o < plan_.outputs.size(); ++o) {
    double* const base = sink.base[o];
    if (plan_.outputs[o].kind == Output::Kind::nngp) write(base, 0, value.k, sink);
    if (plan_.outputs[o].kind == Output::Kind::grams) {
      for (int t = 0; t < track_count_; ++t)
        write(base, t, value.active[t] ? value.theta[t] : zeros_.data(), sink);
    }
    if (plan_.outputs[o].kind == Output::Kind::ntk) {
      if (plan_.tracks == Tracks::total) {
        write(base, 0, value.active[0] ? value.theta[0] : zeros_.data(), sink);
        continue;
      }
      double* const sum = spare_;
      std::fill_n(sum, count_, 0.0);
      for (int t = 0; t < track_count_; ++t)
        if (value.active[t]) loops_.combine(sum, 1.0, value.theta[t], 1.0, 0.0, count_);
      write(base, 0, sum, sink);
    }
  }
}

}  // namespace lazygram
