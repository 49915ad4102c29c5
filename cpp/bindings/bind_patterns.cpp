// Bindings of philox.hpp and patterns.hpp.
#include "bindings/bind.hpp"
#include "lazygram/philox.hpp"

namespace lazygram::bindings {
namespace {

template <typename T>
void random_rows(const RandomNetwork& network, std::int64_t begin, const py::array& out) {
  const MatrixView<T> view = matrix<T>(out, "out");
  require(view.cols == network.dim && begin >= 0 && begin + view.rows <= network.width,
          "rows: out of range");
  // Not hot: any row that is asked for on its own. Panels of the computations bypass Python.
  network.weights(begin, view.rows, view.data, view.stride);
}

template <typename T>
void patterns(const py::object& source, const py::array& X, const py::array& bits, int threads,
              const py::object& progress) {
  const Neurons<T> w = neurons<T>(source);
  const ConstMatrixView<T> x = matrix<const T>(X, "X");
  const PatternsView out = matrix<std::uint64_t>(bits, "bits");
  require(w.dim() == x.cols, "X: " + std::to_string(x.cols) +
                                 " columns, but the neurons have dimension " +
                                 std::to_string(w.dim()));
  require(out.rows == x.rows && out.cols == pattern_words(w.width()), "bits: wrong shape");
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;  // the core touches no Python object outside `poll`
  activation_patterns(w, x, out, options);
}

}  // namespace

void bind_patterns(py::module_& module) {
  py::class_<RandomNetwork>(module, "RandomNetwork")
      .def(py::init(
               [](std::uint64_t seed, std::int64_t width, std::int64_t dim, bool antisymmetric) {
                 require(width > 0 && dim > 0, "width and dim must be positive");
                 require(!antisymmetric || width % 2 == 0,
                         "width: must be even for the antisymmetric network");
                 return RandomNetwork{seed, width, dim, antisymmetric};
               }),
           py::arg("seed"), py::arg("width"), py::arg("dim"), py::arg("antisymmetric"))
      .def_readonly("seed", &RandomNetwork::seed)
      .def_readonly("width", &RandomNetwork::width)
      .def_readonly("dim", &RandomNetwork::dim)
      .def_readonly("antisymmetric", &RandomNetwork::antisymmetric)
      .def("weights",
           [](const RandomNetwork& network, std::int64_t begin, const py::array& out) {
             if (has_dtype<float>(out)) {
               random_rows<float>(network, begin, out);
             } else {
               random_rows<double>(network, begin, out);
             }
           })
      .def(
          "signs",
          [](const RandomNetwork& network, std::int64_t begin, const py::array& out,
             std::uint32_t output) {
            require(out.ndim() == 1 && begin >= 0 && begin + out.shape(0) <= network.width,
                    "rows: out of range");
            if (has_dtype<float>(out)) {
              network.signs(begin, out.shape(0), vector<float>(out, out.shape(0), "out"), output);
            } else {
              network.signs(begin, out.shape(0), vector<double>(out, out.shape(0), "out"), output);
            }
          },
          py::arg("begin"), py::arg("out"), py::arg("output") = 0);
  module.def("philox4x32", &philox4x32, py::arg("counter"), py::arg("key"));
  module.def("pattern_words", &pattern_words, py::arg("width"));
  module.def("activation_patterns",
             [](const py::object& source, const py::array& X, const py::array& bits, int threads,
                const py::object& progress) {
               if (has_dtype<float>(X)) {
                 patterns<float>(source, X, bits, threads, progress);
               } else {
                 patterns<double>(source, X, bits, threads, progress);
               }
             });
  module.def("pattern_counts", [](const py::array& bits, const py::array& out, int threads) {
    const ConstPatternsView view = matrix<const std::uint64_t>(bits, "bits");
    std::int64_t* counts = vector<std::int64_t>(out, view.rows, "out");
    const RunOptions options = run_options(threads, py::none());
    const py::gil_scoped_release release;
    pattern_counts(view, counts, options);
  });
  module.def("pattern_differences",
             [](const py::array& a, const py::array& b, const py::array& out, int threads) {
               const ConstPatternsView va = matrix<const std::uint64_t>(a, "a");
               const ConstPatternsView vb = matrix<const std::uint64_t>(b, "b");
               require(va.rows == vb.rows && va.cols == vb.cols, "patterns: shapes differ");
               std::int64_t* counts = vector<std::int64_t>(out, va.rows, "out");
               const RunOptions options = run_options(threads, py::none());
               const py::gil_scoped_release release;
               pattern_differences(va, vb, counts, options);
             });
}

}  // namespace lazygram::bindings
