// Bindings of descent.hpp.
#include "bindings/bind.hpp"
#include "lazygram/descent.hpp"

namespace lazygram::bindings {
namespace {

template <typename T>
Parameters<T> parameters(const py::array& W, const py::array& a) {
  Parameters<T> p;
  p.W = matrix<T>(W, "W");
  p.outputs = outputs_of(a, p.W.rows);
  p.a = values<T>(a, p.W.rows, p.outputs, "a");
  return p;
}

template <typename T>
Update<T> update(const py::array& X, const py::array& rho, const py::array& bits, double step_size,
                 bool train_output, const Parameters<T>& at) {
  Update<T> u;
  u.X = matrix<const T>(X, "X");
  u.rho = values<const double>(rho, u.X.rows, at.outputs, "rho");
  u.bits = matrix<const std::uint64_t>(bits, "bits");
  u.step_size = step_size;
  u.train_output = train_output;
  require(u.bits.rows == u.X.rows && u.bits.cols == pattern_words(at.W.rows), "bits: wrong shape");
  return u;
}

// One overload per dtype; without `noconvert` a mixed call would write into a converted copy.
template <typename T>
void bind_for(py::module_& module) {
  // One step: (X, rho, bits) describe the update, (X_next, u, bits_next) the forward pass that
  // follows.
  module.def(
      "descend",
      [](const py::array_t<T>& W, const py::array_t<T>& a, const py::array_t<T>& W_out,
         const py::array_t<T>& a_out, const py::array_t<T>& X, const py::array& rho,
         const py::array& bits, double step_size, bool train_output, const py::array_t<T>& X_next,
         const py::array& u, const py::array& bits_next, int threads) {
        const Parameters<T> from = parameters<T>(W, a), to = parameters<T>(W_out, a_out);
        const Update<T> step = update<T>(X, rho, bits, step_size, train_output, from);
        const ConstMatrixView<T> x_next = matrix<const T>(X_next, "X_next");
        double* predictions = values<double>(u, x_next.rows, from.outputs, "u");
        const PatternsView next = matrix<std::uint64_t>(bits_next, "bits_next");
        require(from.W.cols == step.X.cols && x_next.cols == step.X.cols &&
                    to.W.rows == from.W.rows && to.W.cols == from.W.cols &&
                    to.outputs == from.outputs,
                "W: shapes differ");
        require(next.rows == x_next.rows && next.cols == step.bits.cols, "bits_next: wrong shape");
        const RunOptions options = run_options(threads, py::none());
        const py::gil_scoped_release release;
        descend<T>(from, to, &step, x_next, predictions, next, options);
      },
      py::arg("W").noconvert(), py::arg("a").noconvert(), py::arg("W_out").noconvert(),
      py::arg("a_out").noconvert(), py::arg("X").noconvert(), py::arg("rho").noconvert(),
      py::arg("bits").noconvert(), py::arg("step_size").noconvert(),
      py::arg("train_output").noconvert(), py::arg("X_next").noconvert(), py::arg("u").noconvert(),
      py::arg("bits_next").noconvert(), py::arg("threads").noconvert());
  module.def(
      "forward",
      [](const py::array_t<T>& W, const py::array_t<T>& a, const py::array_t<T>& X,
         const py::array& u, const py::array& bits, int threads) {
        const Parameters<T> at = parameters<T>(W, a);
        const ConstMatrixView<T> x = matrix<const T>(X, "X");
        require(x.cols == at.W.cols, "X: wrong number of columns");
        double* predictions = values<double>(u, x.rows, at.outputs, "u");
        const PatternsView out = matrix<std::uint64_t>(bits, "bits");
        require(out.rows == x.rows && out.cols == pattern_words(at.W.rows), "bits: wrong shape");
        const RunOptions options = run_options(threads, py::none());
        const py::gil_scoped_release release;
        descend<T>(at, at, nullptr, x, predictions, out, options);
      },
      py::arg("W").noconvert(), py::arg("a").noconvert(), py::arg("X").noconvert(),
      py::arg("u").noconvert(), py::arg("bits").noconvert(), py::arg("threads").noconvert());
  module.def(
      "loss_gradient",
      [](const py::array_t<T>& W, const py::array_t<T>& a, const py::array_t<T>& X,
         const py::array& rho, const py::array& bits, const py::array_t<T>& gradient,
         const py::array_t<T>& output_gradient, bool train_output, int threads) {
        const Parameters<T> at = parameters<T>(W, a);
        const Update<T> step = update<T>(X, rho, bits, 1.0, train_output, at);
        const MatrixView<T> out = matrix<T>(gradient, "gradient");
        require(out.rows == at.W.rows && out.cols == at.W.cols, "gradient: wrong shape");
        T* out_a = train_output
                       ? values<T>(output_gradient, at.W.rows, at.outputs, "output_gradient")
                       : nullptr;
        const RunOptions options = run_options(threads, py::none());
        const py::gil_scoped_release release;
        loss_gradient<T>(at, step, out, out_a, options);
      },
      py::arg("W").noconvert(), py::arg("a").noconvert(), py::arg("X").noconvert(),
      py::arg("rho").noconvert(), py::arg("bits").noconvert(), py::arg("gradient").noconvert(),
      py::arg("output_gradient").noconvert(), py::arg("train_output").noconvert(),
      py::arg("threads").noconvert());
}

template <typename T>
void predict_for(const py::object& source, const py::object& a, const py::array& X,
                 const py::array& u, int threads, const py::object& progress) {
  const Neurons<T> w = neurons<T>(source);
  const ConstMatrixView<T> x = matrix<const T>(X, "X");
  require(w.dim() == x.cols, "X: wrong number of columns");
  const std::int64_t outputs = a.is_none() ? 1 : outputs_of(a.cast<py::array>(), w.width());
  const T* signs =
      a.is_none() ? nullptr : values<const T>(a.cast<py::array>(), w.width(), outputs, "a");
  double* predictions = values<double>(u, x.rows, outputs, "u");
  const RunOptions options = run_options(threads, progress);
  const py::gil_scoped_release release;
  predict<T>(w, signs, outputs, x, predictions, options);
}

template <typename T>
void distances_for(const py::array& W, const py::object& initial, const py::array& out,
                   int threads) {
  const ConstMatrixView<T> w = matrix<const T>(W, "W");
  const Neurons<T> w0 = neurons<T>(initial);
  require(w0.width() == w.rows && w0.dim() == w.cols, "W: shape differs from that of W(0)");
  double* distances = vector<double>(out, w.rows, "out");
  const RunOptions options = run_options(threads, py::none());
  const py::gil_scoped_release release;
  weight_distances<T>(w, w0, distances, options);
}

}  // namespace

void bind_descent(py::module_& module) {
  bind_for<float>(module);
  bind_for<double>(module);
  module.def("predict", [](const py::object& source, const py::object& a, const py::array& X,
                           const py::array& u, int threads, const py::object& progress) {
    if (has_dtype<float>(X)) {
      predict_for<float>(source, a, X, u, threads, progress);
    } else {
      predict_for<double>(source, a, X, u, threads, progress);
    }
  });
  module.def("weight_distances",
             [](const py::array& W, const py::object& initial, const py::array& out, int threads) {
               if (has_dtype<float>(W)) {
                 distances_for<float>(W, initial, out, threads);
               } else {
                 distances_for<double>(W, initial, out, threads);
               }
             });
}

}  // namespace lazygram::bindings
