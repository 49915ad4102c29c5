// Bindings of gram.hpp.
#include "bindings/bind.hpp"
#include "lazygram/gram.hpp"

namespace lazygram::bindings {
namespace {

template <typename T>
MatrixView<T> optional_matrix(const py::object& out, std::int64_t rows, std::int64_t cols) {
  if (out.is_none()) return {};
  const MatrixView<T> view = matrix<T>(out.cast<py::array>(), "out");
  require(view.rows == rows && view.cols == cols, "out: wrong shape");
  return view;
}

template <typename T>
void infinite(const py::array& X1, const py::array& X2, const py::object& first,
              const py::object& second, const py::object& both, int threads,
              const py::object& progress) {
  const ConstMatrixView<T> x1 = matrix<const T>(X1, "X"), x2 = matrix<const T>(X2, "X2");
  const TwoLayerKernels<T> out = {optional_matrix<T>(first, x1.rows, x2.rows),
                                  optional_matrix<T>(second, x1.rows, x2.rows),
                                  optional_matrix<T>(both, x1.rows, x2.rows)};
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;
  gram_infinite<T>(x1, x2, out, options);
}

}  // namespace

void bind_gram(py::module_& module) {
  module.def("coactivation_counts", [](const py::array& a, const py::array& b, const py::array& out,
                                       int threads, const py::object& progress) {
    const ConstPatternsView va = matrix<const std::uint64_t>(a, "patterns");
    const ConstPatternsView vb = matrix<const std::uint64_t>(b, "other");
    const MatrixView<std::int64_t> counts = matrix<std::int64_t>(out, "out");
    require(counts.rows == va.rows && counts.cols == vb.rows, "out: wrong shape");
    const RunOptions options = run_options(threads, progress);
    const py::gil_scoped_release release;
    coactivation_counts(va, vb, counts, options);
  });
  module.def("gram_finite",
             [](const py::array& a, const py::array& X1, const py::array& b, const py::array& X2,
                std::int64_t width, const py::array& out, int threads, const py::object& progress) {
               const ConstPatternsView va = matrix<const std::uint64_t>(a, "patterns");
               const ConstPatternsView vb = matrix<const std::uint64_t>(b, "other");
               const ConstMatrixView<double> x1 = matrix<const double>(X1, "X");
               const ConstMatrixView<double> x2 = matrix<const double>(X2, "X2");
               const MatrixView<double> gram = matrix<double>(out, "out");
               require(gram.rows == va.rows && gram.cols == vb.rows, "out: wrong shape");
               const RunOptions options = run_options(threads, progress);
               const py::gil_scoped_release release;
               gram_finite(va, x1, vb, x2, width, gram, options);
             });
  module.def("gram_infinite", [](const py::array& X1, const py::array& X2, const py::object& first,
                                 const py::object& second, const py::object& both, int threads,
                                 const py::object& progress) {
    if (has_dtype<float>(X1)) {
      infinite<float>(X1, X2, first, second, both, threads, progress);
    } else {
      infinite<double>(X1, X2, first, second, both, threads, progress);
    }
  });
}

}  // namespace lazygram::bindings
