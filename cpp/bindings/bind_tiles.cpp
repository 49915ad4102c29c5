// Bindings of program.hpp and tiles.hpp.
#include "bindings/bind.hpp"
#include "lazygram/program.hpp"
#include "lazygram/tiles.hpp"

namespace lazygram::bindings {
namespace {

Padding padding_of(const std::string& name) {
  if (name == "SAME") return Padding::same;
  if (name == "VALID") return Padding::valid;
  if (name == "CIRCULAR") return Padding::circular;
  throw ArgumentError("padding: 'SAME', 'VALID' or 'CIRCULAR' is needed, got '" + name + "'");
}

// Holds Python objects that are released on any thread, with or without the GIL.
template <typename T>
struct Held {
  T value;
  explicit Held(T v) : value(std::move(v)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    const py::gil_scoped_acquire gil;
    value = T();
  }
};

class ClosedDual : public EntryDual {
 public:
  explicit ClosedDual(const Dual& formula) : formula_(formula) {}
  void evaluate(const DualChunk& chunk, const std::int32_t*, const std::int32_t*, int,
                double* out) const override {
    formula_.evaluate(chunk, out);
  }

 private:
  Dual formula_;
};

// Hermite series: coefficients of distinct standard deviations, and which one belongs to a place.
class SeriesDual : public EntryDual {
 public:
  explicit SeriesDual(const py::tuple& t) : arrays_(t) {
    const auto coefficients = [](const py::array& values, const py::array& length) {
      const ConstMatrixView<double> view = matrix<const double>(values, "coefficients");
      require(view.stride == view.cols, "coefficients: must be contiguous");
      return HermiteCoefficients{view.data, view.rows, view.cols,
                                 vector<const std::int32_t>(length, view.rows, "length")};
    };
    first_ = coefficients(t[0].cast<py::array>(), t[1].cast<py::array>());
    second_ = coefficients(t[2].cast<py::array>(), t[3].cast<py::array>());
    const auto index1 = t[4].cast<py::array>(), index2 = t[5].cast<py::array>();
    index1_ = vector<const std::int32_t>(index1, index1.size(), "index1");
    index2_ = vector<const std::int32_t>(index2, index2.size(), "index2");
    require(first_.terms == second_.terms, "coefficients: different numbers of terms");
  }
  bool needs_places() const override { return true; }
  void evaluate(const DualChunk& chunk, const std::int32_t* left, const std::int32_t* right,
                int count, double* out) const override {
    const double* a[kDualChunk];
    const double* b[kDualChunk];
    std::int32_t terms[kDualChunk];
    for (int k = 0; k < count; ++k) {
      const std::int64_t s = index1_[left[k]], t = index2_[right[k]];
      a[k] = first_.values + s * first_.terms;
      b[k] = second_.values + t * second_.terms;
      terms[k] = std::min(first_.length[s], second_.length[t]);
    }
    evaluate_series(a, b, terms, chunk, count, out);
  }

 private:
  Held<py::tuple> arrays_;
  HermiteCoefficients first_, second_;
  const std::int32_t *index1_, *index2_;
};

// A Python function (K, var1, var2) -> values, called once per block.
class CalledDual : public EntryDual {
 public:
  explicit CalledDual(py::object function) : function_(std::move(function)) {}
  bool whole_blocks() const override { return true; }
  void evaluate(const DualChunk&, const std::int32_t*, const std::int32_t*, int,
                double*) const override {
    throw ArgumentError("activation: this dual works on whole blocks only");
  }
  void evaluate_block(const double* K, const double* var1, const double* var2, std::int64_t count,
                      double* out) const override {
    const py::gil_scoped_acquire gil;
    const auto copy = [&](const double* x) { return py::array_t<double>(count, x); };
    const auto result =
        function_.value(copy(K), copy(var1), copy(var2)).cast<py::array_t<double>>();
    require(result.size() == count, "activation: its dual returned a wrong number of values");
    std::copy_n(result.data(), count, out);
  }

 private:
  Held<py::object> function_;
};

// service.means(activation, variances) and service.dual(activation, derivative, left, right); the
// latter returns a Dual, a tuple (a series) or a callable.
class PythonService : public ActivationService {
 public:
  explicit PythonService(py::object service) : service_(std::move(service)) {}
  void means(int activation, const double* variances, std::int64_t count, double* out) override {
    const py::gil_scoped_acquire gil;
    const auto result =
        service_.value.attr("means")(activation, py::array_t<double>(count, variances))
            .cast<py::array_t<double>>();
    require(result.size() == count, "activation: wrong number of means");
    std::copy_n(result.data(), count, out);
  }
  std::unique_ptr<EntryDual> dual(int activation, int derivative, const double* left,
                                  std::int64_t left_count, const double* right,
                                  std::int64_t right_count) override {
    const py::gil_scoped_acquire gil;
    const py::object made =
        service_.value.attr("dual")(activation, derivative, py::array_t<double>(left_count, left),
                                    py::array_t<double>(right_count, right));
    if (py::isinstance<Dual>(made)) return std::make_unique<ClosedDual>(made.cast<const Dual&>());
    if (py::isinstance<py::tuple>(made))
      return std::make_unique<SeriesDual>(made.cast<py::tuple>());
    return std::make_unique<CalledDual>(made);
  }

 private:
  Held<py::object> service_;
};

std::vector<Output> outputs_of(const std::vector<std::pair<std::string, int>>& names) {
  std::vector<Output> outputs;
  for (const auto& [kind, slot] : names) {
    Output output{Output::Kind::emitted, slot};
    if (kind == "nngp") output.kind = Output::Kind::nngp;
    if (kind == "ntk") output.kind = Output::Kind::ntk;
    if (kind == "grams") output.kind = Output::Kind::grams;
    outputs.push_back(output);
  }
  return outputs;
}

// An evaluation with everything it refers to.
struct BoundEvaluation {
  std::shared_ptr<const Program> program;
  py::array X1, X2;
  std::unique_ptr<PythonService> service;
  std::unique_ptr<Evaluation> evaluation;
};

// (rows, cols) or (channels, rows, cols); any strides that are whole items.
OutputArray output_array(py::array& array, int channels, std::int64_t rows, std::int64_t cols) {
  OutputArray out;
  out.single = has_dtype<float>(array);
  require(out.single || has_dtype<double>(array), "out: float32 or float64 is needed");
  const bool flat = array.ndim() == 2 && channels == 1;
  require(flat || (array.ndim() == 3 && array.shape(0) == channels), "out: wrong shape");
  const int at = flat ? 0 : 1;
  require(array.shape(at) == rows && array.shape(at + 1) == cols, "out: wrong shape");
  const py::ssize_t item = array.itemsize();
  for (int k = 0; k < array.ndim(); ++k)
    require(array.strides(k) % item == 0, "out: strides are not whole numbers of items");
  out.data = array.mutable_data();  // throws if read-only
  out.row = array.strides(at) / item;
  out.column = array.strides(at + 1) / item;
  out.channel = flat ? 0 : array.strides(0) / item;
  return out;
}

}  // namespace

void bind_tiles(py::module_& module) {
  py::class_<Program, std::shared_ptr<Program>>(module, "Program")
      .def(py::init([](const std::optional<std::pair<int, int>>& image, bool normalise_input) {
             std::optional<ImageShape> shape;
             if (image) shape = ImageShape{image->first, image->second};
             return std::make_shared<Program>(shape, normalise_input);
           }),
           py::arg("image"), py::arg("normalise_input"))
      .def("affine", &Program::affine)
      .def("patches",
           [](Program& p, int h, int w, int sy, int sx, const std::string& padding) {
             p.patches(h, w, sy, sx, padding_of(padding));
           })
      .def("activation",
           [](Program& p, const std::optional<Dual>& value, const std::optional<Dual>& derivative,
              bool differentiable, const std::string& name,
              double scale) { p.activation({value, derivative, differentiable, name}, scale); })
      .def("normalise", &Program::normalise)
      .def("dropout", &Program::dropout)
      .def("scale", &Program::scale)
      .def("push", &Program::push)
      .def("swap", &Program::swap)
      .def("add", &Program::add)
      .def("mix", &Program::mix)
      .def("multiply", &Program::multiply)
      .def("pool", [](Program& p, int h, int w, int sy, int sx,
                      const std::string& padding) { p.pool(h, w, sy, sx, padding_of(padding)); })
      .def("flatten", &Program::flatten)
      .def("emit", &Program::emit)
      .def("emit_mean", &Program::emit_mean)
      .def("require_complete", &Program::require_complete)
      .def_property_readonly("groups", &Program::groups)
      .def_property_readonly("pairs", &Program::pairs)
      .def_property_readonly("shape",
                             [](const Program& p) {
                               return std::pair{p.current_shape().height, p.current_shape().width};
                             })
      .def("emit_pixels", [](const Program& p, int slot) { return p.emit_shape(slot).pixels(); });

  py::class_<BoundEvaluation>(module, "Evaluation")
      .def(py::init([](std::shared_ptr<Program> program, const py::array& X1,
                       const std::optional<py::array>& X2,
                       const std::vector<std::pair<std::string, int>>& outputs,
                       const py::object& service, int threads, const py::object& progress,
                       const std::string& precision) {
        auto bound = std::make_unique<BoundEvaluation>();
        bound->program = std::move(program);
        bound->X1 = X1;
        const ConstMatrixView<double> x1 = matrix<const double>(X1, "X");
        ConstMatrixView<double> x2;
        if (X2) {
          bound->X2 = *X2;
          x2 = matrix<const double>(*X2, "X2");
        }
        if (!service.is_none()) bound->service = std::make_unique<PythonService>(service);
        const RunOptions options = run_options(threads, progress);
        const std::vector<Output> wanted = outputs_of(outputs);
        require(precision == "double" || precision == "single" || precision == "general",
                "precision: 'double', 'single' or 'general' is needed");
        const Precision chosen = precision == "single"    ? Precision::single
                                 : precision == "general" ? Precision::general
                                                          : Precision::automatic;
        {
          const py::gil_scoped_release release;
          bound->evaluation = std::make_unique<Evaluation>(*bound->program, x1, x2, wanted,
                                                           bound->service.get(), options, chosen);
        }
        if (bound->evaluation->by_angles()) bound->X1 = bound->X2 = py::array();
        return bound;
      }))
      .def("channels", [](const BoundEvaluation& b,
                          std::size_t output) { return b.evaluation->channels(output); })
      .def_property_readonly("by_angles",
                             [](const BoundEvaluation& b) { return b.evaluation->by_angles(); })
      .def("product",
           [](const BoundEvaluation& b, std::size_t output, const py::array& V,
              const py::array& out, int threads, const py::object& progress) {
             const ConstMatrixView<double> v = matrix<const double>(V, "V");
             const MatrixView<double> to = matrix<double>(out, "out");
             const RunOptions options = run_options(threads, progress);
             const py::gil_scoped_release release;
             b.evaluation->product(output, v, to, options);
           })
      .def("diagonal",
           [](const BoundEvaluation& b, std::size_t output) {
             const py::ssize_t channels = b.evaluation->channels(output);
             return py::array_t<double>({channels, static_cast<py::ssize_t>(b.evaluation->rows())},
                                        b.evaluation->diagonal(output));
           })
      .def("mean",
           [](const BoundEvaluation& b, int slot) {
             int pixels = 0;
             const double* const data = b.evaluation->mean(slot, &pixels);
             return py::array_t<double>(
                 {static_cast<py::ssize_t>(pixels), static_cast<py::ssize_t>(b.evaluation->rows())},
                 data);
           })
      .def("block", [](const BoundEvaluation& b, std::int64_t i, std::int64_t rows, std::int64_t j,
                       std::int64_t cols, std::vector<py::array> arrays, int threads,
                       const py::object& progress) {
        std::vector<OutputArray> out;
        for (std::size_t o = 0; o < arrays.size(); ++o)
          out.push_back(output_array(arrays[o], b.evaluation->channels(o), rows, cols));
        const RunOptions options = run_options(threads, progress);
        const py::gil_scoped_release release;
        b.evaluation->block(i, rows, j, cols, out, options);
      });
  module.def("evaluation_memory",
             [](const Program& program, std::int64_t features, std::int64_t n, std::int64_t n2,
                const std::vector<std::pair<std::string, int>>& outputs, int threads,
                bool single) {
               const EvaluationMemory memory =
                   Evaluation::memory(program, features, n, n2, outputs_of(outputs), threads,
                                      single ? Precision::single : Precision::automatic);
               return std::pair{memory.examples, memory.scratch};
             });
}

}  // namespace lazygram::bindings
