// Bindings of duals.hpp.
#include "bindings/bind.hpp"
#include "lazygram/duals.hpp"

namespace lazygram::bindings {
namespace {

// A 2-D array whose strides may be zero or any whole number of items.
template <typename T>
BroadcastView<T> broadcast(const py::array& array, const char* name, std::int64_t rows,
                           std::int64_t cols) {
  require(
      has_dtype<T>(array) && array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == cols,
      std::string(name) + ": wrong shape or dtype");
  const auto item = static_cast<py::ssize_t>(sizeof(T));
  require(array.strides(0) % item == 0 && array.strides(1) % item == 0,
          std::string(name) + ": strides are not whole numbers of items");
  return {static_cast<const T*>(array.data()), array.strides(0) / item, array.strides(1) / item};
}

HermiteCoefficients coefficients(const py::array& values, const py::array& length) {
  const ConstMatrixView<double> view = matrix<const double>(values, "coefficients");
  require(view.stride == view.cols, "coefficients: must be contiguous");
  return {view.data, view.rows, view.cols, vector<const std::int32_t>(length, view.rows, "length")};
}

template <typename T>
void evaluate(const Dual& formula, const py::array& K, const py::array& var1, const py::array& var2,
              const py::array& out, int threads, const py::object& progress) {
  const ConstMatrixView<T> k = matrix<const T>(K, "K");
  const BroadcastView<T> p = broadcast<T>(var1, "var1", k.rows, k.cols);
  const BroadcastView<T> q = broadcast<T>(var2, "var2", k.rows, k.cols);
  const MatrixView<T> target = matrix<T>(out, "out");
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;
  dual<T>(formula, k, p, q, target, options);
}

template <typename T>
void series(const HermiteCoefficients& first, const HermiteCoefficients& second, const py::array& K,
            const py::array& var1, const py::array& var2, const py::array& index1,
            const py::array& index2, const py::array& out, int threads,
            const py::object& progress) {
  const ConstMatrixView<T> k = matrix<const T>(K, "K");
  const BroadcastView<T> p = broadcast<T>(var1, "var1", k.rows, k.cols);
  const BroadcastView<T> q = broadcast<T>(var2, "var2", k.rows, k.cols);
  const auto s = broadcast<std::int32_t>(index1, "index1", k.rows, k.cols);
  const auto t = broadcast<std::int32_t>(index2, "index2", k.rows, k.cols);
  const MatrixView<T> target = matrix<T>(out, "out");
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;
  dual_series<T>(first, second, k, p, q, s, t, target, options);
}

template <typename T>
void interpolate(const duals::InterpolationGrid& grid, const py::array& contracted,
                 const py::array& weights, const py::array& K, const py::array& var1,
                 const py::array& var2, const py::array& index1, const py::array& index2,
                 const py::array& out, int threads, const py::object& progress) {
  const ConstMatrixView<double> a = matrix<const double>(contracted, "contracted");
  const ConstMatrixView<double> b = matrix<const double>(weights, "weights");
  const ConstMatrixView<T> k = matrix<const T>(K, "K");
  const BroadcastView<T> p = broadcast<T>(var1, "var1", k.rows, k.cols);
  const BroadcastView<T> q = broadcast<T>(var2, "var2", k.rows, k.cols);
  const auto s = broadcast<std::int32_t>(index1, "index1", k.rows, k.cols);
  const auto t = broadcast<std::int32_t>(index2, "index2", k.rows, k.cols);
  const MatrixView<T> target = matrix<T>(out, "out");
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;
  dual_interpolated<T>(grid, a, b, k, p, q, s, t, target, options);
}

}  // namespace

void bind_duals(py::module_& module) {
  py::class_<Dual>(module, "Dual")
      .def_static("rectified", &Dual::rectified, py::arg("order"), py::arg("a"), py::arg("b"),
                  py::arg("at_zero"))
      .def_static("polynomial", &Dual::polynomial, py::arg("coefficients"))
      .def_static("trigonometric", &Dual::trigonometric, py::arg("amplitude"), py::arg("frequency"),
                  py::arg("phase"))
      .def_static("exponential", &Dual::exponential, py::arg("rate"), py::arg("derivative"))
      .def_static("gaussian", &Dual::gaussian, py::arg("width"), py::arg("derivative"))
      .def_static("erf", &Dual::erf, py::arg("scale"), py::arg("derivative"))
      .def_static("gelu", &Dual::gelu, py::arg("derivative"))
      .def_static("correlation_table", &Dual::correlation_table, py::arg("at_zero"),
                  py::arg("chebyshev"))
      .def_static("root_table", &Dual::root_table, py::arg("edges"), py::arg("centre"),
                  py::arg("scale"), py::arg("coefficients"));
  module.attr("SERIES_BLOCK") = duals::kSeriesBlock;
  module.attr("INTERPOLATION_BLOCK") = duals::kInterpolationBlock;
  module.attr("ROOT_MAX_PANELS") = duals::kRootMaxPanels;
  module.def("dual", [](const Dual& formula, const py::array& K, const py::array& var1,
                        const py::array& var2, const py::array& out, int threads,
                        const py::object& progress) {
    if (has_dtype<float>(K)) {
      evaluate<float>(formula, K, var1, var2, out, threads, progress);
    } else {
      evaluate<double>(formula, K, var1, var2, out, threads, progress);
    }
  });
  module.def("dual_series",
             [](const py::array& first, const py::array& first_length, const py::array& second,
                const py::array& second_length, const py::array& K, const py::array& var1,
                const py::array& var2, const py::array& index1, const py::array& index2,
                const py::array& out, int threads, const py::object& progress) {
               const HermiteCoefficients a = coefficients(first, first_length),
                                         b = coefficients(second, second_length);
               if (has_dtype<float>(K)) {
                 series<float>(a, b, K, var1, var2, index1, index2, out, threads, progress);
               } else {
                 series<double>(a, b, K, var1, var2, index1, index2, out, threads, progress);
               }
             });
  // edges, centre, scale: the panels; size: powers of the local coordinate.
  module.def("dual_interpolated",
             [](const std::vector<double>& edges, const std::vector<double>& centre,
                const std::vector<double>& scale, int size, const py::array& contracted,
                const py::array& weights, const py::array& K, const py::array& var1,
                const py::array& var2, const py::array& index1, const py::array& index2,
                const py::array& out, int threads, const py::object& progress) {
               const int panels = static_cast<int>(edges.size()) + 1;
               require(centre.size() == 2 * edges.size() + 2 && scale.size() == centre.size(),
                       "centre, scale: two per panel");
               require(weights.ndim() == 2, "weights: a 2-D array is needed");
               const duals::InterpolationGrid grid{
                   panels,       size,          static_cast<int>(weights.shape(1)),
                   edges.data(), centre.data(), scale.data()};
               if (has_dtype<float>(K)) {
                 interpolate<float>(grid, contracted, weights, K, var1, var2, index1, index2, out,
                                    threads, progress);
               } else {
                 interpolate<double>(grid, contracted, weights, K, var1, var2, index1, index2, out,
                                     threads, progress);
               }
             });
}

}  // namespace lazygram::bindings
