// The evaluation of a program: examples alone, then tiles of pairs, then the caller's arrays.
#include "lazygram/tiles.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "gram/angle_loops.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "lazygram/gram.hpp"
#include "tiles/angle.hpp"
#include "tiles/angle_path.hpp"
#include "tiles/examples.hpp"
#include "tiles/product.hpp"
#include "tiles/run_path.hpp"
#include "tiles/runner.hpp"

namespace lazygram {
namespace {

constexpr std::int64_t kAloneBytes = 1 << 26;  // of a block of examples whose duals are asked for
// Standard deviations of examples that float can take part in: products of them stay in its range.
constexpr double kSmallest = 1e-12, kLargest = 1e12;

// Writes a tile's channel, or its mirror image, to the caller's array.
template <typename T>
void copy_tile(const T* tile, std::int64_t edge, const TileGrid::Tile& t, const OutputArray& array,
               std::int64_t channel, bool mirrored) {
  T* const data =
      static_cast<T*>(array.data) + channel * array.channel +
      (mirrored ? t.j * array.row + t.i * array.column : t.i * array.row + t.j * array.column);
  // Steps in the array along the tile's rows and columns.
  const std::int64_t down = mirrored ? array.column : array.row;
  const std::int64_t across = mirrored ? array.row : array.column;
  if (across == 1) {
    for (std::int64_t r = 0; r < t.rows; ++r) std::copy_n(tile + r * edge, t.cols, data + r * down);
  } else if (down == 1) {
    angle_loops<T>().transpose(tile, edge, t.rows, t.cols, data, across);
  } else {
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t c = 0; c < t.cols; ++c) data[r * down + c * across] = tile[r * edge + c];
  }
}

template <typename T, typename From>
void copy_out(const From* tile, std::int64_t edge, const TileGrid::Tile& t,
              const OutputArray& array, std::int64_t channel, bool both, std::int64_t mirror) {
  if constexpr (std::is_same_v<T, From>) {
    copy_tile<T>(tile, edge, t, array, channel, false);
    if (both) copy_tile<T>(tile, edge, t, array, mirror, true);
  } else {
    thread_local std::vector<T> rounded;
    rounded.resize(edge * edge);
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t c = 0; c < t.cols; ++c)
        rounded[r * edge + c] = static_cast<T>(tile[r * edge + c]);
    copy_tile<T>(rounded.data(), edge, t, array, channel, false);
    if (both) copy_tile<T>(rounded.data(), edge, t, array, mirror, true);
  }
}

}  // namespace

struct Evaluation::State {
  const Program& program;
  RunnerPlan plan;
  Examples first;
  std::unique_ptr<Examples> other;
  ActivationDuals duals;
  std::vector<Buffer<double>> diagonals;  // per output: channels x n
  std::vector<Buffer<double>> means;      // per emit_mean: pixels x n
  std::vector<int> mean_pixels;
  std::unique_ptr<AnglePath<float>> single_angles;
  std::unique_ptr<AnglePath<double>> double_angles;
  std::unique_ptr<RunPath<float>> single_runs;
  std::unique_ptr<RunPath<double>> double_runs;
  double input_scale = 1.0;
  std::int64_t edge;

  State(const Program& p, ConstMatrixView<double> X1, ConstMatrixView<double> X2,
        std::vector<Output> outputs)
      : program(p), plan(p, std::move(outputs)), first(p, X1), edge(tile_edge(p)) {
    if (X2.data) other = std::make_unique<Examples>(p, X2);
    if (p.normalise_input()) {
      const std::int64_t channels = X1.cols / p.input_shape().pixels();
      input_scale = 1.0 / static_cast<double>(channels);
    }
  }
  const Examples& second() const { return other ? *other : first; }
  const Examples* second_or_null() const { return other.get(); }

  bool by_angles() const { return single_angles || double_angles; }
  bool asks() const {
    for (const ProgramActivation& a : program.activations()) {
      if (!a.value || (!a.derivative && plan.tracks != Tracks::none && a.differentiable) ||
          (program.uses_means() && !is_rectified(a)))
        return true;
    }
    return false;
  }

  void alone(Examples& examples, ActivationService* service, const RunOptions& options,
             bool wanted);
  template <typename T>
  void complete(const TileGrid::Tile& t, std::size_t output, std::vector<Buffer<T>>& out) const;
  void choose_angles(bool single);
  void choose_runs(bool single);
  // body(scratch per thread, compute(tile, scratch)) with the path that was chosen.
  template <typename Body>
  void with_path(int threads, const Body& body) const;
};

// Puts the values of pairs (i, i) in, and the lower half of a diagonal tile.
template <typename T>
void Evaluation::State::complete(const TileGrid::Tile& t, std::size_t output,
                                 std::vector<Buffer<T>>& out) const {
  if (other) return;
  const int channels = output_channels(program, plan.outputs[output]);
  const bool is_pairs = plan.outputs[output].kind == Output::Kind::emitted && program.pairs();
  const int pixels = is_pairs ? program.emit_shape(plan.outputs[output].slot).pixels() : 0;
  for (int c = 0; c < channels; ++c) {
    T* const tile = out[output].data() + c * edge * edge;
    const double* const diagonal = diagonals[output].data() + c * first.n;
    for (std::int64_t r = 0; r < t.rows; ++r) {
      const std::int64_t at = t.i + r - t.j;
      if (at >= 0 && at < t.cols) tile[r * edge + at] = static_cast<T>(diagonal[t.i + r]);
    }
    if (!t.diagonal) continue;
    // Seen from the other example, the pixel pair (l, k) is (k, l).
    const int mirror = is_pairs ? c % pixels * pixels + c / pixels : c;
    const T* const from = out[output].data() + mirror * edge * edge;
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t b = 0; b < r; ++b) tile[r * edge + b] = from[b * edge + r];
  }
}

// Programs of vectors that depend on the angle alone.
void Evaluation::State::choose_angles(bool single) {
  if (program.is_image() || plan.outputs.empty() || plan.outputs.size() > 2) return;
  for (const Output& output : plan.outputs)
    if (output.kind != Output::Kind::nngp && output.kind != Output::Kind::ntk) return;
  std::int64_t example = -1;
  double low = first.square[0], high = low;
  for (const Examples* examples : {static_cast<const Examples*>(&first), second_or_null()}) {
    for (std::int64_t i = 0; examples && i < examples->n; ++i) {
      const double square = examples->square[i];
      low = std::min(low, square);
      high = std::max(high, square);
      if (example < 0 && square > 0.0 && examples == &first) example = i;
    }
  }
  if (example < 0) return;
  const std::optional<int> degree = homogeneous_degree(program);
  // Norms that differ by rounding of the inputs only.
  const bool equal = low > 0.0 && high - low <= low * (single ? 2e-6 : 1e-14);
  if (!degree && !equal) return;
  const double square = first.square[example] * input_scale;
  const std::optional<AngleTable> table =
      angle_table(program, plan.outputs, square, example, first.tables, duals, degree.value_or(0));
  if (!table) return;
  const ConstMatrixView<double> left = first.rows;
  const ConstMatrixView<double> right = other ? other->rows : ConstMatrixView<double>{};
  const double unit = std::pow(input_scale, degree.value_or(0));
  if (single) {
    single_angles = std::make_unique<AnglePath<float>>(*table, left, right, unit, !degree);
  } else {
    double_angles = std::make_unique<AnglePath<double>>(*table, left, right, unit, !degree);
  }
  first.tables.at.clear();
  if (other) other->tables.at.clear();
  first.rows = {};
  if (other) other->rows = {};
}

// Programs that are run on every pair.
void Evaluation::State::choose_runs(bool single) {
  const auto fits = [](double deviation) {
    return deviation == 0.0 || (deviation >= kSmallest && deviation <= kLargest);
  };
  for (const Examples* examples : {static_cast<const Examples*>(&first), second_or_null()}) {
    if (!examples || !single) continue;
    for (std::size_t k = 0; k < program.instructions().size(); ++k) {
      const Opcode op = program.instructions()[k].op;
      const Buffer<double>& table = examples->tables.at[k].first;
      for (std::int64_t e = 0; e < table.size(); ++e)
        single = single && (op == Opcode::activation  ? fits(std::sqrt(table[e]))
                            : op == Opcode::normalise ? fits(table[e])
                                                      : true);
    }
  }
  if (single) {
    single_runs =
        std::make_unique<RunPath<float>>(plan, first, second_or_null(), duals, input_scale);
    if (single_runs->worthwhile()) return;
    single_runs.reset();
  }
  double_runs =
      std::make_unique<RunPath<double>>(plan, first, second_or_null(), duals, input_scale);
}

template <typename Body>
void Evaluation::State::with_path(int threads, const Body& body) const {
  const auto run = [&](auto scratch, const auto& path) {
    body(scratch, [&](const TileGrid::Tile& t, auto& mine) { path.tile(t, mine); });
  };
  if (single_runs) return run(std::vector<RunScratch<float>>(threads), *single_runs);
  if (double_runs) return run(std::vector<RunScratch<double>>(threads), *double_runs);
  const auto angles = [&](auto scratch, const auto& path) {
    body(scratch, [&](const TileGrid::Tile& t, auto& mine) { path.tile(t, edge, mine); });
  };
  if (single_angles) return angles(std::vector<AngleScratch<float>>(threads), *single_angles);
  angles(std::vector<AngleScratch<double>>(threads), *double_angles);
}

void Evaluation::State::alone(Examples& examples, ActivationService* service,
                              const RunOptions& options, bool wanted) {
  const std::int64_t n = examples.n;
  const bool asking = asks();
  const auto bytes = static_cast<std::int64_t>(sizeof(double)) * plan.values_per_entry();
  std::int64_t entries = asking ? std::clamp<std::int64_t>(kAloneBytes / bytes / 8, 1,
                                                           std::max<std::int64_t>(1, n / 8)) *
                                      8
                                : block_entries<double>(plan);
  entries = std::min(entries, round_up(n, 8));
  std::vector<double*> mean_rows;
  for (const Buffer<double>& mean : means) mean_rows.push_back(wanted ? mean.data() : nullptr);
  std::vector<std::unique_ptr<Runner<double>>> runners(asking ? 1
                                                              : resolve_threads(options.threads));
  std::vector<Buffer<double>> packed(runners.size());
  const auto body = [&](std::int64_t tile, int thread) {
    if (!runners[thread]) {
      runners[thread] = std::make_unique<Runner<double>>(plan, entries);
      if (program.is_image()) packed[thread] = Buffer<double>(examples.features * entries);
      // Outputs of the second examples are not wanted by anyone.
    }
    Runner<double>& runner = *runners[thread];
    Features<double> features{};
    const std::int64_t begin = tile * entries, count = std::min(entries, n - begin);
    if (program.is_image()) {
      double* const x = packed[thread].data();
      for (std::int64_t f = 0; f < examples.features; ++f)
        std::copy_n(examples.columns.data() + f * n + begin, count, x + f * count);
      features = packed_features<double>(program, x, x, examples.features, count, input_scale);
    } else {
      for (std::int64_t e = 0; e < count; ++e)
        runner.input()[e] = input_scale * examples.square[begin + e];
    }
    BlockSink<double> sink;
    for (const Buffer<double>& diagonal : diagonals)
      sink.base.push_back(wanted ? diagonal.data() + begin : nullptr);
    sink.channel_stride = n;
    sink.real = wanted ? count : 0;
    runner.run_alone(begin, count, program.is_image() ? &features : nullptr, examples.tables,
                     service, mean_rows, sink);
  };
  const std::int64_t tiles = ceil_div(n, entries);
  if (asking) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      body(tile, 0);
      if (options.poll && options.poll(0, 1)) throw Interrupted();
    }
  } else {
    RunOptions quiet = options;
    quiet.poll = [&](std::int64_t, std::int64_t) { return options.poll && options.poll(0, 1); };
    parallel_tiles(tiles, quiet, body);
  }
  examples.tables.find_zeros(program);
}

Evaluation::Evaluation(const Program& program, ConstMatrixView<double> X1,
                       ConstMatrixView<double> X2, std::vector<Output> outputs,
                       ActivationService* service, const RunOptions& options, Precision precision) {
  program.require_complete();
  const std::int64_t pixels = program.input_shape().pixels();
  require(X1.rows > 0 && X1.cols > 0 && X1.cols % pixels == 0,
          "X: the number of features is not a multiple of the pixels");
  require(!X2.data || X2.cols == X1.cols, "X2: number of features differs from that of X");
  for (const Output& output : outputs)
    require(
        output.kind != Output::Kind::emitted || (output.slot >= 0 && output.slot < program.emits()),
        "outputs: no such emit");
  require(!std::any_of(outputs.begin(), outputs.end(),
                       [](const Output& o) { return o.kind == Output::Kind::grams; }) ||
              program.groups() > 0,
          "outputs: a program without affine() has no grams");
  state_ = std::make_unique<State>(program, X1, X2, std::move(outputs));
  State& s = *state_;
  for (const Output& output : s.plan.outputs)
    s.diagonals.emplace_back(output_channels(program, output) * X1.rows);
  for (const Instruction& in : program.instructions()) {
    if (in.op != Opcode::emit_mean) continue;
    s.means.emplace_back(in.before.pixels() * X1.rows);
    s.mean_pixels.push_back(in.before.pixels());
  }
  s.alone(s.first, service, options, true);
  if (s.other) s.alone(*s.other, service, options, false);

  s.duals.value.resize(program.activations().size());
  s.duals.derivative.resize(program.activations().size());
  bool tracked = false;
  for (std::size_t k = 0; k < program.instructions().size(); ++k) {
    const Instruction& in = program.instructions()[k];
    if (in.op == Opcode::affine && (in.z != 0.0 || in.w != 0.0))
      tracked = s.plan.tracks != Tracks::none;
    if (in.op != Opcode::activation) continue;
    const ProgramActivation& a = program.activations()[in.index];
    const Buffer<double>& left = s.first.tables.at[k].first;
    const Buffer<double>& right = s.second().tables.at[k].first;
    const auto ask = [&](int derivative) {
      return service->dual(in.index, derivative, left.data(), left.size(), right.data(),
                           right.size());
    };
    if (!a.value) s.duals.value[in.index] = ask(0);
    if (!a.derivative && tracked && a.differentiable) s.duals.derivative[in.index] = ask(1);
  }
  if (precision != Precision::general) s.choose_angles(precision == Precision::single);
  if (!s.by_angles()) s.choose_runs(precision == Precision::single);
}

Evaluation::~Evaluation() = default;

bool Evaluation::symmetric() const { return !state_->other; }
std::int64_t Evaluation::rows() const { return state_->first.n; }
std::int64_t Evaluation::cols() const { return state_->second().n; }
int Evaluation::channels(std::size_t output) const {
  return output_channels(state_->program, state_->plan.outputs[output]);
}
const double* Evaluation::diagonal(std::size_t output) const {
  return state_->diagonals[output].data();
}
const double* Evaluation::mean(int slot, int* pixels) const {
  *pixels = state_->mean_pixels[slot];
  return state_->means[slot].data();
}

void Evaluation::block(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t cols,
                       const std::vector<OutputArray>& arrays, const RunOptions& options) const {
  const State& s = *state_;
  require(i >= 0 && rows >= 0 && i + rows <= this->rows() && j >= 0 && cols >= 0 &&
              j + cols <= this->cols(),
          "block: rows or columns out of range");
  require(arrays.size() == s.plan.outputs.size(), "block: one array per output is needed");
  const bool triangle = symmetric() && i == j && rows == cols;
  const auto copy = [&](const auto& out, const TileGrid::Tile& local) {
    for (std::size_t o = 0; o < arrays.size(); ++o) {
      const bool is_pairs = s.plan.outputs[o].kind == Output::Kind::emitted && s.program.pairs();
      const int pixels = is_pairs ? s.program.emit_shape(s.plan.outputs[o].slot).pixels() : 0;
      for (int c = 0; c < channels(o); ++c) {
        const auto* const tile = out[o].data() + c * s.edge * s.edge;
        const int mirror = is_pairs ? c % pixels * pixels + c / pixels : c;
        const bool both = triangle && !local.diagonal;
        if (arrays[o].single) {
          copy_out<float>(tile, s.edge, local, arrays[o], c, both, mirror);
        } else {
          copy_out<double>(tile, s.edge, local, arrays[o], c, both, mirror);
        }
      }
    }
  };
  const TileGrid grid{rows, cols, triangle, s.edge};
  const int threads = resolve_threads(options.threads);
  s.with_path(threads, [&](auto& scratch, const auto& compute) {
    parallel_tiles(grid.count(), options, [&](std::int64_t index, int thread) {
      const TileGrid::Tile local = grid.tile(index);
      TileGrid::Tile t = local;
      t.i += i;
      t.j += j;
      compute(t, scratch[thread]);
      for (std::size_t o = 0; o < arrays.size(); ++o) s.complete(t, o, scratch[thread].out);
      copy(scratch[thread].out, local);
    });
  });
}

void Evaluation::product(std::size_t output, ConstMatrixView<double> V, MatrixView<double> out,
                         const RunOptions& options) const {
  const State& s = *state_;
  require(output < s.plan.outputs.size() && channels(output) == 1,
          "output: one value per pair is needed");
  require(V.rows == cols() && out.rows == rows() && out.cols == V.cols, "V, out: wrong shapes");
  if (s.by_angles() && V.cols == 1 && s.plan.outputs.size() == 1) {
    const double* const own = symmetric() ? diagonal(output) : nullptr;
    if (s.single_angles)
      return angle_product(*s.single_angles, rows(), own, s.edge, V, out, options);
    return angle_product(*s.double_angles, rows(), own, s.edge, V, out, options);
  }
  const int threads = resolve_threads(options.threads);
  s.with_path(threads, [&](auto& scratch, const auto& compute) {
    using T = std::remove_reference_t<decltype(scratch[0].out[0][0])>;
    tile_product<T>(rows(), symmetric(), s.edge, V, out, options,
                    [&](const TileGrid::Tile& t, int thread) -> const T* {
                      compute(t, scratch[thread]);
                      s.complete(t, output, scratch[thread].out);
                      return scratch[thread].out[output].data();
                    });
  });
}

bool Evaluation::by_angles() const { return state_->by_angles(); }

EvaluationMemory Evaluation::memory(const Program& program, std::int64_t features, std::int64_t n,
                                    std::int64_t n2, const std::vector<Output>& outputs,
                                    int threads, Precision precision) {
  const RunnerPlan plan(program, outputs);
  const auto item = static_cast<std::int64_t>(sizeof(double));
  const bool single = precision == Precision::single;
  std::int64_t tables = 0, means = 0;
  for (const Instruction& in : program.instructions()) {
    const int pixels = in.before.pixels();
    if (in.op == Opcode::activation)
      tables += (is_rectified(program.activations()[in.index]) ? 3 : 1) * pixels;
    if (in.op == Opcode::normalise) tables += pixels;
    if (in.means) tables += 2 * pixels;
    if (in.op == Opcode::emit_mean) means += pixels;
  }
  // Images: columns; vectors: norms, and unit vectors where angles decide. Float: all again.
  std::int64_t per_example = item * (tables + features + (program.is_image() ? 0 : 3));
  if (single) per_example += static_cast<std::int64_t>(sizeof(float)) * (tables + features);
  std::int64_t channels = 0;
  for (const Output& output : outputs) channels += output_channels(program, output);
  EvaluationMemory memory;
  // Unit vectors come in whole bundles.
  const std::int64_t held =
      program.is_image() ? n + n2 : round_up(n, kBundle) + round_up(n2, kBundle);
  memory.examples = per_example * held + item * (channels + means) * n;
  // What does not fit into float's range is run in double.
  const std::int64_t in_double = RunPath<double>::scratch_bytes(plan, features, channels);
  const std::int64_t in_float =
      single ? RunPath<float>::scratch_bytes(plan, features, channels) : 0;
  memory.scratch = resolve_threads(threads) * std::max(in_double, in_float);
  memory.scratch = std::max(memory.scratch,
                            std::min(kAloneBytes, round_up(n, 8) * item * plan.values_per_entry()));
  return memory;
}

}  // namespace lazygram
