// Event-driven descent as its users see it: construction, queries, snapshots.
#include "lazygram/events.hpp"

#include <algorithm>
#include <cstring>

#include "events/state.hpp"
#include "gram/popcount.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace lazygram {
namespace {

// Bit rows are visited in no order: with 4 KiB pages nearly every visit would miss the translation
// cache.
void prefer_huge_pages([[maybe_unused]] const Buffer<std::uint64_t>& bits) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = 4096;
  const auto begin = (reinterpret_cast<std::uintptr_t>(bits.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bits.data() + bits.size()) / page * page;
  if (end > begin)
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a hint only
#endif
}

// The columns of a snapshot must be those of this object; what it says about neurons is then
// trusted.
template <typename T>
void resume_from(EventState<T>& state, const EventSnapshot& from, const RunOptions& options) {
  const auto sized = [](std::size_t size, std::int64_t wanted) {
    return static_cast<std::int64_t>(size) == wanted;
  };
  require(
      from.bits.size() == state.m * state.words && sized(from.S.size(), state.n * state.outputs) &&
          sized(from.u.size(), state.columns * state.outputs) &&
          sized(from.up.size(), state.columns) && sized(from.down.size(), state.columns) &&
          sized(from.reach.size(), state.columns) && sized(from.changed.size(), state.columns) &&
          sized(from.C.size(), state.columns * state.n) && sized(from.offset.size(), state.m + 1) &&
          from.index.size() == from.value.size() && sized(from.value.size(), from.offset.back()),
      "resume: the snapshot is of another width, or of another number of examples or test points");
  for (std::uint32_t i : from.index) require(i < state.n, "resume: the snapshot is damaged");
  std::memcpy(state.bits.data(), from.bits.data(), state.bits.size() * sizeof(std::uint64_t));
  if (from.marked.size()) {
    require(from.marked.size() == from.bits.size(), "resume: the snapshot is damaged");
    state.marked = Buffer<std::uint64_t>(from.marked.size());
    std::memcpy(state.marked.data(), from.marked.data(),
                from.marked.size() * sizeof(std::uint64_t));
  }
  for (std::int64_t o = 0; o < state.outputs; ++o) {
    std::copy_n(from.S.begin() + o * state.n, state.n, state.S.begin() + o * state.row);
  }
  state.u = from.u;
  state.up = from.up;
  state.down = from.down;
  state.changed = from.changed;
  state.path_length = from.path_length;
  for (std::int64_t j = 0; j < state.columns; ++j) {
    std::copy_n(from.C.begin() + j * state.n, state.n, state.C.data() + j * state.row);
  }
  state.pairs = make_output_pairs(state);
  const std::int64_t pair_bytes = state.pairs ? state.pairs->bytes() : 0;
  require(sized(from.pairs.size(), pair_bytes),
          "resume: the snapshot is of another number of outputs");
  if (pair_bytes) std::memcpy(state.pairs->data(), from.pairs.data(), from.pairs.size());
  state.corrections.load(from.offset, from.index, from.value);
  state.stats.steps = from.steps;
  state.stats.flips = from.flips;
  state.flips_last = from.flips_last;
  state.set_reach(from.reach.data());
  state.forward(false, options);
}

// Runs body(begin, count, change) over panels: change (count x d) = C_r X with C_r = M_r o S
// + corr_r, so that w_r = w_r(0) - a_r m^{-1/2} change_r; in general C_r = M_r o (a_r . S) + corr_r
// and w_r = w_r(0) - m^{-1/2} change_r.
template <typename T, typename Body>
void for_changes(const EventState<T>& state, std::int64_t first, std::int64_t rows,
                 const RunOptions& options, Body body) {
  struct Scratch {
    Buffer<T> coefficients, change;
  };
  std::vector<Scratch> scratch(resolve_threads(options.threads));
  parallel_tiles(ceil_div(rows, kPanel), options, [&](std::int64_t panel, int thread) {
    Scratch& own = scratch[thread];
    if (!own.change.size()) {
      own.coefficients = Buffer<T>(kPanel * state.n);
      own.change = Buffer<T>(kPanel * state.d);
    }
    const std::int64_t begin = first + panel * kPanel,
                       count = std::min(kPanel, first + rows - begin);
    for (std::int64_t r = 0; r < count; ++r) {
      const std::uint64_t* const bit_row = state.bits.data() + (begin + r) * state.words;
      T* const out = own.coefficients.data() + r * state.n;
      const bool signs = state.readout.signs_only();
      for (std::int64_t i = 0; i < state.n; ++i) {
        double sum = 0;
        for (std::int64_t o = 0; o < state.outputs; ++o) {
          sum += (signs ? 1.0 : state.readout.value(begin + r, o)) * state.S[o * state.row + i];
        }
        out[i] = (bit_row[i / 64] >> (i % 64)) & 1u ? static_cast<T>(sum) : T(0);
      }
      state.corrections.each(
          begin + r, [out](std::uint32_t i, double corr) { out[i] += static_cast<T>(corr); });
    }
    gemm_nn<T>(count, state.d, state.n, T(1), own.coefficients.data(), state.n, state.X.data(),
               state.d, T(0), own.change.data(), state.d);
    body(begin, count, own.change.data());
  });
}

}  // namespace

template <typename T>
EventDescent<T>::EventDescent(const Neurons<T>& neurons, const T* a, ConstMatrixView<T> X,
                              ConstMatrixView<T> X_test, const EventOptions& event_options,
                              const EventSnapshot* resume, const RunOptions& options) {
  require(X.rows > 0 && X.cols == neurons.dim(), "X: needs rows of the dimension of the neurons");
  require(X_test.rows == 0 || X_test.cols == X.cols,
          "X_test: number of columns differs from that of X");
  require(neurons.width() > 0 && neurons.width() < (std::int64_t{1} << 31),
          "width: must be below 2^31");
  const std::int64_t columns = X.rows + X_test.rows;
  for (std::int64_t j = 0; j < columns; ++j) {
    require(event_options.reach[j] >= 0, "reach: must not be negative");
  }
  state_ = std::make_unique<EventState<T>>(neurons, a, event_options.outputs, X.rows, X_test.rows);
  EventState<T>& s = *state_;
  const EventPlan plan =
      plan_events<T>(neurons.width(), X, X_test, !neurons.stored, event_options.reach,
                     {s.outputs, s.readout.units(), s.readout.largest_scale()}, options.threads);
  require(event_options.memory_limit <= 0 ||
              plan.total() <= static_cast<double>(event_options.memory_limit),
          "memory_limit: the run needs about " +
              std::to_string(static_cast<std::int64_t>(plan.total())) + " bytes, the limit is " +
              std::to_string(event_options.memory_limit));
  s.plan = plan;
  s.memory_limit = event_options.memory_limit;
  s.X = Buffer<T>(columns * s.d);
  for (std::int64_t j = 0; j < columns; ++j) {
    std::memcpy(s.X.data() + j * s.d, j < s.n ? X.row(j) : X_test.row(j - s.n), s.d * sizeof(T));
  }
  s.gram_matrix(options);
  s.bits = Buffer<std::uint64_t>(s.m * s.words);
  prefer_huge_pages(s.bits);
  s.C = Buffer<std::int32_t>(columns * s.row);
  s.D = Buffer<std::int32_t>(columns * 64 * s.words);
  std::fill_n(s.C.data(), s.C.size(), 0);
  std::fill_n(s.D.data(), s.D.size(), 0);
  s.group_bits = Buffer<std::uint64_t>(columns * 8 * kGroup);
  s.S.assign(s.row * s.outputs, 0.0);
  s.u.assign(columns * s.outputs, 0.0);
  s.up.assign(columns, 0.0);
  s.down.assign(columns, 0.0);
  s.changed.assign(columns, 0);
  s.flips.resize(columns);
  if (resume) {
    resume_from(s, *resume, options);
  } else {
    s.set_reach(event_options.reach);
    s.forward(true, options);
  }
}

template <typename T>
EventDescent<T>::~EventDescent() = default;
template <typename T>
EventDescent<T>::EventDescent(EventDescent&&) noexcept = default;
template <typename T>
EventDescent<T>& EventDescent<T>::operator=(EventDescent&&) noexcept = default;

template <typename T>
bool EventDescent<T>::step(const double* rho, double step_size, const RunOptions& options) {
  return state_->step(rho, step_size, options);
}

template <typename T>
std::int64_t EventDescent<T>::examples() const {
  return state_->n;
}
template <typename T>
std::int64_t EventDescent<T>::columns() const {
  return state_->columns;
}
template <typename T>
std::int64_t EventDescent<T>::width() const {
  return state_->m;
}
template <typename T>
std::int64_t EventDescent<T>::outputs() const {
  return state_->outputs;
}
template <typename T>
const std::vector<double>& EventDescent<T>::predictions() const {
  return state_->u;
}
template <typename T>
const std::vector<std::int64_t>& EventDescent<T>::changed() const {
  return state_->changed;
}
template <typename T>
const EventStats& EventDescent<T>::stats() const {
  return state_->stats;
}
template <typename T>
const EventPlan& EventDescent<T>::plan() const {
  return state_->plan;
}
template <typename T>
std::int64_t EventDescent<T>::flips_in_last_step() const {
  return state_->flips_last;
}

template <typename T>
void EventDescent<T>::mark() {
  EventState<T>& s = *state_;
  if (!s.marked.size()) s.marked = Buffer<std::uint64_t>(s.bits.size());
  std::memcpy(s.marked.data(), s.bits.data(), s.bits.size() * sizeof(std::uint64_t));
}

template <typename T>
std::int64_t EventDescent<T>::differences_from_mark(const RunOptions& options) const {
  const EventState<T>& s = *state_;
  require(s.marked.size() > 0, "mark: has not been called");
  std::vector<std::int64_t> partial(ceil_div(s.m, kPanel), 0);
  parallel_tiles(ceil_div(s.m, kPanel), options, [&](std::int64_t panel, int) {
    const std::int64_t end = std::min(s.m, (panel + 1) * kPanel);
    for (std::int64_t r = panel * kPanel; r < end; ++r) {
      partial[panel] += popcount_kernels().count_xor(
          s.bits.data() + r * s.words, s.marked.data() + r * s.words, s.example_words);
    }
  });
  std::int64_t total = 0;
  for (std::int64_t count : partial) total += count;
  return total;
}

template <typename T>
double EventDescent<T>::path_length() const {
  return state_->path_length;
}

template <typename T>
void EventDescent<T>::gram(MatrixView<double> out) const {
  const EventState<T>& s = *state_;
  const double scale = 1.0 / static_cast<double>(s.m);
  for (std::int64_t j = 0; j < s.columns; ++j) {
    for (std::int64_t i = 0; i < s.n; ++i) {
      out(j, i) = s.K[j * s.k_stride + i] * (static_cast<double>(s.C[j * s.row + i]) * scale);
    }
  }
}

template <typename T>
void EventDescent<T>::counts(MatrixView<std::int64_t> out) const {
  const EventState<T>& s = *state_;
  for (std::int64_t j = 0; j < s.columns; ++j) {
    for (std::int64_t i = 0; i < s.n; ++i) out(j, i) = s.C[j * s.row + i];
  }
}

template <typename T>
void EventDescent<T>::output_counts(std::int64_t first, std::int64_t second,
                                    MatrixView<double> out) const {
  const EventState<T>& s = *state_;
  require(s.pairs && out.rows == s.columns && out.cols == s.n && out.stride == s.n,
          "outputs: nothing is counted for pairs of outputs, or out has the wrong shape");
  s.pairs->counts(first, second, out.data);
}

template <typename T>
void EventDescent<T>::patterns(std::int64_t begin, PatternsView out,
                               const RunOptions& options) const {
  const EventState<T>& s = *state_;
  require(begin >= 0 && begin + out.rows <= s.columns && out.cols == pattern_words(s.m),
          "bits: wrong shape");
  parallel_tiles(out.cols, options, [&](std::int64_t w, int) {
    const std::int64_t r0 = 64 * w, count = std::clamp<std::int64_t>(s.m - r0, 0, 64);
    for (std::int64_t j = 0; j < out.rows; ++j) {
      std::uint64_t word = 0;
      for (std::int64_t k = 0; k < count; ++k) word |= std::uint64_t{s.bit(r0 + k, begin + j)} << k;
      out(j, w) = word;
    }
  });
}

template <typename T>
void EventDescent<T>::weights(std::int64_t begin, MatrixView<T> out,
                              const RunOptions& options) const {
  const EventState<T>& s = *state_;
  require(begin >= 0 && begin + out.rows <= s.m && out.cols == s.d, "weights: rows out of range");
  for_changes(
      s, begin, out.rows, options, [&](std::int64_t r0, std::int64_t count, const T* change) {
        Buffer<T> scratch(s.neurons.scratch_size());
        std::int64_t stride = 0;
        const T* const w0 = s.neurons.panel(r0, count, scratch.data(), &stride);
        for (std::int64_t r = 0; r < count; ++r) {
          const double factor = (s.readout.signs_only() ? s.readout.sign(r0 + r) : 1.0) / s.root_m;
          T* const w = out.row(r0 + r - begin);
          for (std::int64_t k = 0; k < s.d; ++k) {
            w[k] = static_cast<T>(static_cast<double>(w0[r * stride + k]) -
                                  factor * static_cast<double>(change[r * s.d + k]));
          }
        }
      });
}

template <typename T>
void EventDescent<T>::distances(double* out, const RunOptions& options) const {
  const EventState<T>& s = *state_;
  for_changes(s, 0, s.m, options, [&](std::int64_t r0, std::int64_t count, const T* change) {
    for (std::int64_t r = 0; r < count; ++r) {
      double sum = 0;
      for (std::int64_t k = 0; k < s.d; ++k) {
        const double x = static_cast<double>(change[r * s.d + k]);
        sum += x * x;
      }
      out[r0 + r] = std::sqrt(sum) / s.root_m;
    }
  });
}

template <typename T>
EventSnapshot EventDescent<T>::snapshot() const {
  const EventState<T>& s = *state_;
  require(
      s.valid,
      "event descent: the state was lost when memory ran out in a step; resume from a checkpoint");
  EventSnapshot to;
  to.steps = s.stats.steps;
  to.flips = s.stats.flips;
  to.flips_last = s.flips_last;
  to.path_length = s.path_length;
  to.bits = Buffer<std::uint64_t>(s.bits.size());
  std::memcpy(to.bits.data(), s.bits.data(), s.bits.size() * sizeof(std::uint64_t));
  if (s.marked.size()) {
    to.marked = Buffer<std::uint64_t>(s.marked.size());
    std::memcpy(to.marked.data(), s.marked.data(), s.marked.size() * sizeof(std::uint64_t));
  }
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    to.S.insert(to.S.end(), s.S.begin() + o * s.row, s.S.begin() + o * s.row + s.n);
  }
  if (s.pairs) to.pairs.assign(s.pairs->data(), s.pairs->data() + s.pairs->bytes());
  to.u = s.u;
  to.up = s.up;
  to.down = s.down;
  to.reach = s.reach;
  to.changed = s.changed;
  to.C.resize(s.columns * s.n);
  for (std::int64_t j = 0; j < s.columns; ++j) {
    std::copy_n(s.C.data() + j * s.row, s.n, to.C.begin() + j * s.n);
  }
  s.corrections.save(to.offset, to.index, to.value);
  return to;
}

template class EventDescent<float>;
template class EventDescent<double>;

}  // namespace lazygram
