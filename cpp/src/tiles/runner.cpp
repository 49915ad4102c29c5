// One block of pairs through a program: every instruction as loops over the block's planes.
#include "tiles/runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "lazygram/error.hpp"
#include "lazygram/isa.hpp"

namespace lazygram {

template <>
const TileLoops<float>& tile_loops() {
  static const IsaTable<const TileLoops<float>*> table = {
      &baseline::tile_loops_single,
#ifdef LAZYGRAM_X86
      &avx2::tile_loops_single,
      &avx512::tile_loops_single,
#endif
  };
  return *table.pick();
}

template <>
const TileLoops<double>& tile_loops() {
  static const IsaTable<const TileLoops<double>*> table = {
      &baseline::tile_loops_double,
#ifdef LAZYGRAM_X86
      &avx2::tile_loops_double,
      &avx512::tile_loops_double,
#endif
  };
  return *table.pick();
}

void EntryDual::evaluate_block(const double*, const double*, const double*, std::int64_t,
                               double*) const {
  throw ArgumentError("activation: its dual does not work on whole blocks");
}

template <typename T>
Runner<T>::Runner(const RunnerPlan& plan, std::int64_t max_entries)
    : plan_(plan),
      program_(plan.program),
      loops_(tile_loops<T>()),
      track_count_(plan.track_count()),
      max_entries_(max_entries),
      capacity_(round_up(plan.max_planes * max_entries, 64 / sizeof(T))),
      storage_(plan.arrays() * capacity_),
      expanded_(plan.table_values * max_entries),
      zeros_(max_entries),
      closest_(max_entries),
      values_(program_.max_depth()),
      expanded_fields_(3 * program_.instructions().size()) {
  T* next = storage_.data();
  const auto take = [&] { return std::exchange(next, next + capacity_); };
  const std::int64_t means = program_.uses_means() ? program_.max_pixels() * max_entries : 0;
  for (Value& value : values_) {
    value.k = take();
    for (int t = 0; t < track_count_; ++t) value.theta.push_back(take());
    value.active.assign(track_count_, 0);
    if (means) value.mean_storage = Buffer<T>(means);
  }
  spare_.push_back(take());
  if (plan.tracks == Tracks::total) spare_.push_back(take());
  if (means) spare_mean_ = Buffer<T>(means);
  if (plan.split()) {
    sums_ = Buffer<T>((1 + track_count_) * max_entries);
    pooled_ = Buffer<double>((1 + track_count_) * max_entries);
  }
  std::fill_n(zeros_.data(), zeros_.size(), T(0));
}

template <typename T>
void Runner<T>::begin_pairs(const PairBlock& block, const Features<T>* features,
                            const SideTablesOf<T>& left, const SideTablesOf<T>& right,
                            const ActivationDuals& duals) {
  alone_ = false;
  watched_ = sizeof(T) == sizeof(float);
  pairs_ = block;
  count_ = block.count;
  features_ = features;
  left_ = &left;
  right_ = &right;
  duals_ = &duals;
  std::fill(expanded_fields_.begin(), expanded_fields_.end(), 0);
}

template <typename T>
void Runner<T>::run_pairs(const PairBlock& block, const Features<T>* features,
                          const SideTablesOf<T>& left, const SideTablesOf<T>& right,
                          const ActivationDuals& duals, const BlockSink<T>& sink,
                          const Exact& exact) {
  begin_pairs(block, features, left, right, duals);
  run(sink, exact);
}

template <typename T>
void Runner<T>::run_alone(std::int64_t begin, std::int64_t count, const Features<T>* features,
                          SideTablesOf<T>& tables, ActivationService* service,
                          const std::vector<double*>& means, const BlockSink<T>& sink) {
  alone_ = true;
  watched_ = false;
  begin_ = begin;
  count_ = count;
  features_ = features;
  left_ = right_ = tables_ = &tables;
  service_ = service;
  means_ = &means;
  run(sink, {});
}

template <typename T>
void Runner<T>::start(const Route& route) {
  route_ = route;
  depth_ = 0;
  std::fill(current().active.begin(), current().active.end(), 0);
  current().mean = nullptr;
  std::fill_n(closest_.data(), count_, T(2));
}

template <typename T>
void Runner<T>::run(const BlockSink<T>& sink, const Exact& exact) {
  std::size_t at = 0;
  if (plan_.split()) {
    run_chains(exact);
    at = plan_.end + 1;
  } else {
    start(plan_.routes[0]);
    first_route_ = true;
    if (features_) loops_.products(grid(0), *features_, current().k);
  }
  while (at < program_.instructions().size()) at = step(at, &sink);
  at_ = at;
  gather_near();
  write_final(sink);
}

// Chain after chain up to the average over all planes; leaves the averages as the current value.
template <typename T>
void Runner<T>::run_chains(const Exact& exact) {
  const Instruction& pool = program_.instructions()[plan_.end];
  double* const pooled = pooled_.data();
  std::fill_n(pooled, (1 + track_count_) * count_, 0.0);
  const auto add = [&](const auto* sums, std::int64_t e) {
    for (int a = 0; a <= track_count_; ++a)
      pooled[a * count_ + e] += static_cast<double>(sums[a * count_ + e]);
  };
  std::vector<char> active;
  for (const Route& route : plan_.routes) {
    first_route_ = &route == &plan_.routes[0];
    const T* const sums = chain(route);
    active = current().active;
    gather_near();
    if (static_cast<std::int64_t>(near_.size()) < count_)
      for (std::int64_t e = 0; e < count_; ++e)
        if (closest_[e] >= T(kNear)) add(sums, e);
    if (near_.empty()) continue;
    Runner<double>& runner = exact();
    const double* const precise = runner.chain(route);
    for (const std::int32_t e : near_) add(precise, e);
    active = runner.values_[0].active;
  }
  start({&plan_.rest_rows, &plan_.rest_columns});
  Value& value = current();
  value.active = active;
  const double pixels = pool.rows.taps * pool.columns.taps, factor = 1.0 / (pixels * pixels);
  for (int a = 0; a <= track_count_; ++a) {
    T* const to = a ? value.theta[a - 1] : value.k;
    for (std::int64_t e = 0; e < count_; ++e)
      to[e] = static_cast<T>(factor * pooled[a * count_ + e]);
  }
  first_route_ = true;
}

template <typename T>
const T* Runner<T>::chain(const Route& route) {
  start(route);
  at_ = 0;
  loops_.products(grid(0), *features_, current().k);
  for (std::size_t at = 0; at < plan_.end;) {
    at = step(at, nullptr);
    // Nothing is left to be done here if every entry is.
    if (watched_ && std::all_of(closest_.data(), closest_.data() + count_,
                                [](T rest) { return rest < T(kNear); }))
      return nullptr;
  }
  at_ = plan_.end;
  // Inputs that follow each other: one output of as many taps.
  every_.resize(planes());
  std::iota(every_.begin(), every_.end(), 0);
  const WindowSpan span{0, 1, static_cast<std::int32_t>(planes()), 0};
  const WindowSums all{&span, 1, every_.data(), planes(), 1, 1, count_};
  T* const sums = sums_.data();
  std::fill_n(sums, (1 + track_count_) * count_, T(0));
  loops_.sum(all, sums, current().k, 1.0);
  for (int t = 0; t < track_count_; ++t)
    if (current().active[t])
      loops_.sum(all, sums + (1 + t) * count_, current().theta[t], 1.0);
  return sums;
}

template <typename T>
void Runner<T>::gather_near() {
  near_.clear();
  if (!watched_) return;
  for (std::int64_t e = 0; e < count_; ++e)
    if (closest_[e] < T(kNear)) near_.push_back(static_cast<std::int32_t>(e));
}

template <typename T>
PlaneGrid Runner<T>::grid(std::size_t at) const {
  const std::vector<AxisPair>&rows = (*route_.rows)[at].pairs, &columns = (*route_.columns)[at].pairs;
  return {rows.data(),
          static_cast<std::int64_t>(rows.size()),
          columns.data(),
          static_cast<std::int64_t>(columns.size()),
          program_.instructions()[at].before.width,
          count_};
}

template <typename T>
template <typename Body>
void Runner<T>::each_array(Value& value, const Body& body) const {
  body(value.k);
  for (int t = 0; t < track_count_; ++t)
    if (value.active[t]) body(value.theta[t]);
}

// body(pixel, plane) for the planes of a pixel with itself.
template <typename T>
template <typename Body>
void Runner<T>::each_own(const Body& body) const {
  const PlaneGrid g = grid(at_);
  for (std::int64_t r = 0; r < g.row_count; ++r)
    for (std::int64_t c = 0; c < g.column_count; ++c)
      if (g.rows[r].left == g.rows[r].right && g.columns[c].left == g.columns[c].right)
        body(g.rows[r].left * g.width + g.columns[c].left, r * g.column_count + c);
}

template <typename T>
std::size_t Runner<T>::step(std::size_t at, const BlockSink<T>* sink) {
  const Instruction& in = program_.instructions()[at];
  at_ = at;
  if (alone_ && first_route_) record(at);
  const std::int64_t size = planes() * count_;
  switch (in.op) {
    case Opcode::affine:
      affine(in);
      break;
    case Opcode::patches:
    case Opcode::pool: {
      const bool more = at + 1 < program_.instructions().size();
      const Instruction* const next = more ? &program_.instructions()[at + 1] : nullptr;
      if (windows(in, at, next && next->op == Opcode::affine ? next : nullptr)) return at + 2;
      break;
    }
    case Opcode::activation:
      activation(in, at);
      break;
    case Opcode::normalise: {
      const PixelSides<T> factor = sides(at, 0);
      each_array(current(), [&](T* x) { loops_.scale_both(grid(at), factor, x); });
      if (current().mean)
        for (int l = 0; l < in.before.pixels(); ++l)
          loops_.multiply(current().mean + l * count_, factor.left + l * factor.left_step, count_);
      break;
    }
    case Opcode::dropout:
      if (alone_)
        each_array(current(), [&](T* x) {
          each_own([&](std::int64_t, std::int64_t plane) {
            loops_.affine(x + plane * count_, 1.0 / in.x, 0.0, count_);
          });
        });
      break;
    case Opcode::scale:
      each_array(current(), [&](T* x) { loops_.affine(x, in.x * in.x, 0.0, size); });
      if (current().mean) loops_.affine(current().mean, in.x, 0.0, in.before.pixels() * count_);
      break;
    case Opcode::push: {
      const Value& from = current();
      Value& to = values_[++depth_];
      std::memcpy(to.k, from.k, size * sizeof(T));
      for (int t = 0; t < track_count_; ++t)
        if (from.active[t]) std::memcpy(to.theta[t], from.theta[t], size * sizeof(T));
      to.active = from.active;
      to.mean = nullptr;
      if (from.mean) {
        to.mean = to.mean_storage.data();
        std::memcpy(to.mean, from.mean, in.before.pixels() * count_ * sizeof(T));
      }
      break;
    }
    case Opcode::swap:
      std::swap(current(), top());
      break;
    case Opcode::add:
    case Opcode::mix:
    case Opcode::multiply:
      add(in, at);
      break;
    case Opcode::flatten:
      flatten(at);
      break;
    case Opcode::emit:
      if (sink) emit(in, *sink);
      break;
    case Opcode::emit_mean:
      break;
  }
  return at + 1;
}

template <typename T>
void Runner<T>::affine(const Instruction& in) {
  Value& value = current();
  const std::int64_t size = planes() * count_;
  const bool trains = in.z != 0.0 || in.w != 0.0;
  const int group = plan_.tracks == Tracks::total ? 0 : in.index;
  for (int t = 0; t < track_count_; ++t) {
    if (t == group && trains) {
      if (value.active[t]) {
        loops_.combine(value.theta[t], in.x, value.k, in.z, in.w, size);
      } else {
        std::memcpy(value.theta[t], value.k, size * sizeof(T));
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

// Sums over windows, one axis after the other; the last pass can do the affine step that follows.
template <typename T>
bool Runner<T>::windows(const Instruction& in, std::size_t at, const Instruction* affine) {
  Value& value = current();
  const AxisStage &rows = (*route_.rows)[at], &columns = (*route_.columns)[at];
  const std::int64_t columns_after =
      columns.passes.empty() ? columns.pairs.size() : columns.passes.back().outputs;
  struct Pass {
    WindowSums sums;
    double factor;
  };
  Pass passes[4];
  int count = 0;
  for (const AxisPass& pass : columns.passes)
    passes[count++] = {pass.sums(static_cast<std::int64_t>(rows.pairs.size()), count_), pass.factor};
  for (const AxisPass& pass : rows.passes)
    passes[count++] = {pass.sums(1, columns_after * count_), pass.factor};
  const bool fuses = affine && count > 0 && plan_.tracks != Tracks::separate;
  for (int p = 0; p < count - fuses; ++p)
    each_array(value, [&](T*& array) {
      loops_.sum(passes[p].sums, spare_[0], array, passes[p].factor);
      std::swap(array, spare_[0]);
    });
  if (fuses) {
    const Pass& last = passes[count - 1];
    const AffinePlan plan{affine->x * last.factor, affine->y, affine->z * last.factor, affine->w};
    const bool tracked = track_count_ > 0, was = tracked && value.active[0];
    const bool is = was || (tracked && (affine->z != 0.0 || affine->w != 0.0));
    loops_.sum_affine(last.sums, plan, spare_[0], value.k, is ? spare_[1] : nullptr,
                      was ? value.theta[0] : nullptr);
    std::swap(value.k, spare_[0]);
    if (is) std::swap(value.theta[0], spare_[1]);
    if (is) value.active[0] = 1;
  }
  if (in.op == Opcode::pool && !fuses) {
    if (value.mean) pool_means(in);
  } else {  // not known any more; the program does not ask for it again
    value.mean = nullptr;
  }
  return fuses;
}

// Means have one plane per pixel, also where the covariances have pixel pairs.
template <typename T>
void Runner<T>::pool_means(const Instruction& in) {
  T* const mean = current().mean;
  const auto pass = [&](const AxisWindows& windows, std::int64_t repeats, std::int64_t run) {
    if (windows.trivial()) return;
    const AxisPass axis(windows.source, windows.taps, windows.inputs, 1.0 / windows.taps);
    loops_.sum(axis.sums(repeats, run), spare_mean_.data(), mean, axis.factor);
    std::memcpy(mean, spare_mean_.data(), repeats * windows.outputs * run * sizeof(T));
  };
  pass(in.columns, in.before.height, count_);
  pass(in.rows, 1, in.after.width * count_);
}

template <typename T>
PixelSides<T> Runner<T>::sides(std::size_t at, int field) {
  using Entry = typename SideTablesOf<T>::Entry;
  Buffer<T> Entry::* const fields[] = {&Entry::first, &Entry::second, &Entry::third};
  const T* const from_left = (left_->at[at].*fields[field]).data();
  const T* const from_right = (right_->at[at].*fields[field]).data();
  // Neighbours among the examples: the tables as they are.
  if (alone_) return {from_left + begin_, left_->n, from_right + begin_, right_->n, false};
  if (pairs_.segment)
    return {from_left + pairs_.i0, left_->n, from_right + pairs_.j0, right_->n, true};
  const std::int64_t pixels = program_.instructions()[at].before.pixels();
  T* const left = expanded_.data() + (plan_.tables[at] + 2 * field * pixels) * max_entries_;
  T* const right = left + pixels * max_entries_;
  char& done = expanded_fields_[3 * at + field];
  for (std::int64_t l = 0; l < pixels && !done; ++l) {
    for (std::int64_t e = 0; e < count_; ++e) {
      left[l * count_ + e] = from_left[l * left_->n + pairs_.i[e]];
      right[l * count_ + e] = from_right[l * right_->n + pairs_.j[e]];
    }
  }
  done = 1;
  return {left, count_, right, count_, false};
}

template <typename T>
void Runner<T>::add(const Instruction& in, std::size_t at) {
  Value& c = current();
  Value& t = top();
  const std::int64_t size = planes() * count_;
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
    if (in.means) loops_.add_outer(grid(at), in.x * in.y, sides(at, 0), sides(at, 1), c.k);
    if (alone_ && program_.uses_means() && (c.mean || t.mean)) {
      T* const mean = c.mean_storage.data();
      for (std::int64_t e = 0; e < in.before.pixels() * count_; ++e)
        mean[e] = static_cast<T>((c.mean ? in.x * c.mean[e] : 0.0) +
                                 (t.mean ? in.y * t.mean[e] : 0.0));
      c.mean = mean;
    }
    if (mixes) c.mean = nullptr;
  }
  std::swap(c, t);
  --depth_;
}

template <typename T>
void Runner<T>::flatten(std::size_t at) {
  Value& value = current();
  const AxisPass& own = plan_.own[at];
  each_array(value, [&](T*& x) {
    loops_.sum(own.sums(1, count_), spare_[0], x, own.factor);
    std::swap(x, spare_[0]);
  });
  value.mean = nullptr;
}

template <typename T>
void Runner<T>::emit(const Instruction& in, const BlockSink<T>& sink) {
  const PlaneGrid g = grid(at_);
  const std::int64_t pixels = in.before.pixels();
  for (std::size_t o = 0; o < plan_.outputs.size(); ++o) {
    if (plan_.outputs[o].kind != Output::Kind::emitted || plan_.outputs[o].slot != in.index)
      continue;
    for (std::int64_t plane = 0; plane < planes(); ++plane) {
      const AxisPair row = g.rows[plane / g.column_count], column = g.columns[plane % g.column_count];
      const std::int64_t l = row.left * g.width + column.left, k = row.right * g.width + column.right;
      write(sink.base[o], program_.pairs() ? l * pixels + k : l, current().k + plane * count_, sink);
    }
  }
}

// What the instruction needs of one example alone, before it is executed.
template <typename T>
void Runner<T>::record(std::size_t at) {
  const Instruction& in = program_.instructions()[at];
  auto& entry = tables_->at[at];
  const Value& value = current();
  const std::int64_t pixels = in.before.pixels();
  const auto row = [&](const Buffer<T>& table, std::int64_t l) {
    return table.data() + l * tables_->n + begin_;
  };
  const auto copy_mean = [&](const T* mean, T* out) {
    for (std::int64_t l = 0; l < pixels; ++l) {
      T* const to = out + l * tables_->n + begin_;
      if (mean)
        std::copy_n(mean + l * count_, count_, to);
      else
        std::fill_n(to, count_, T(0));
    }
  };
  if (in.op == Opcode::activation) {
    each_own([&](std::int64_t l, std::int64_t plane) {
      const T* const v = value.k + plane * count_;
      std::copy_n(v, count_, row(entry.first, l));
      if (entry.second.size() == 0) return;
      T *const root = row(entry.second, l), *const inverse = row(entry.third, l);
      for (std::int64_t e = 0; e < count_; ++e) {
        root[e] = v[e] < T(kDualMinVariance) ? T(0) : std::sqrt(v[e]);
        inverse[e] = root[e] > T(0) ? T(1) / root[e] : T(0);
      }
    });
  } else if (in.op == Opcode::normalise) {
    each_own([&](std::int64_t l, std::int64_t plane) {
      std::copy_n(value.k + plane * count_, count_, row(entry.first, l));
    });
    for (std::int64_t e = 0; e < count_; ++e) {
      T mean = 0;
      for (std::int64_t l = 0; l < pixels; ++l) mean += row(entry.first, l)[e];
      mean /= static_cast<T>(pixels);
      for (std::int64_t l = 0; l < pixels; ++l) {
        T& v = row(entry.first, l)[e];
        const T sum = (in.per_image ? mean : v) + static_cast<T>(in.x);
        v = sum > T(kDualMinVariance) ? T(1) / std::sqrt(sum) : T(0);
      }
    }
  } else if (in.means) {
    copy_mean(value.mean, entry.first.data());
    copy_mean(top().mean, entry.second.data());
  } else if constexpr (std::is_same_v<T, double>) {
    if (in.op == Opcode::emit_mean && (*means_)[in.index])
      copy_mean(value.mean, (*means_)[in.index]);
  }
}

template <typename T>
void Runner<T>::write(T* base, std::int64_t channel, const T* plane,
                      const BlockSink<T>& sink) const {
  T* const out = base + channel * sink.channel_stride;
  if (!sink.place) {
    std::copy_n(plane, sink.real, out);
    return;
  }
  for (std::int64_t e = 0; e < sink.real; ++e) out[sink.place[e]] = plane[e];
}

template <typename T>
void Runner<T>::write_final(const BlockSink<T>& sink) {
  const Value& value = current();
  for (std::size_t o = 0; o < plan_.outputs.size(); ++o) {
    T* const base = sink.base[o];
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
      T* const sum = spare_[0];
      std::fill_n(sum, count_, T(0));
      for (int t = 0; t < track_count_; ++t)
        if (value.active[t]) loops_.combine(sum, 1.0, value.theta[t], 1.0, 0.0, count_);
      write(base, 0, sum, sink);
    }
  }
}

template class Runner<float>;
template class Runner<double>;

}  // namespace lazygram
