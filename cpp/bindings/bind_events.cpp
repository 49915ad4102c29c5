// Bindings of events.hpp: one class per dtype, snapshots as dictionaries of arrays.
#include <cstring>

#include "bindings/bind.hpp"
#include "lazygram/events.hpp"

namespace lazygram::bindings {
namespace {

template <typename T>
py::array_t<T> copied(const T* data, std::vector<py::ssize_t> shape) {
  py::array_t<T> out(shape);
  if (out.size()) std::memcpy(out.mutable_data(), data, out.size() * sizeof(T));
  return out;
}
template <typename T>
py::array_t<T> copied(const std::vector<T>& values) {
  return copied(values.data(), {static_cast<py::ssize_t>(values.size())});
}

template <typename T>
std::vector<T> taken(const py::dict& from, const char* name) {
  require(from.contains(name), std::string("resume: '") + name + "' is missing");
  const auto array = py::cast<py::array>(from[name]);
  require(has_dtype<T>(array), std::string("resume: '") + name + "' has the wrong dtype");
  const auto contiguous = py::array_t<T, py::array::c_style>(array);
  return {contiguous.data(), contiguous.data() + contiguous.size()};
}

Buffer<std::uint64_t> taken_words(const py::dict& from, const char* name) {
  require(from.contains(name), std::string("resume: '") + name + "' is missing");
  const auto array = py::cast<py::array>(from[name]);
  require(has_dtype<std::uint64_t>(array),
          std::string("resume: '") + name + "' has the wrong dtype");
  const auto contiguous = py::array_t<std::uint64_t, py::array::c_style>(array);
  Buffer<std::uint64_t> words(contiguous.size());
  if (words.size())
    std::memcpy(words.data(), contiguous.data(), words.size() * sizeof(std::uint64_t));
  return words;
}

EventSnapshot snapshot_from(const py::dict& from) {
  EventSnapshot s;
  const std::vector<std::int64_t> counters = taken<std::int64_t>(from, "counters");
  const std::vector<double> path_length = taken<double>(from, "path_length");
  require(counters.size() == 3 && path_length.size() == 1, "resume: wrong sizes");
  s.steps = counters[0];
  s.flips = counters[1];
  s.flips_last = counters[2];
  s.path_length = path_length[0];
  s.bits = taken_words(from, "bits");
  s.marked = taken_words(from, "marked");
  s.S = taken<double>(from, "S");
  s.u = taken<double>(from, "u");
  s.up = taken<double>(from, "up");
  s.down = taken<double>(from, "down");
  s.reach = taken<double>(from, "reach");
  s.C = taken<std::int32_t>(from, "C");
  s.changed = taken<std::int64_t>(from, "changed");
  s.offset = taken<std::int64_t>(from, "offset");
  s.index = taken<std::uint32_t>(from, "index");
  s.value = taken<double>(from, "value");
  s.pairs = taken<std::uint8_t>(from, "pairs");
  return s;
}

py::dict snapshot_to(const EventSnapshot& s, std::int64_t width) {
  py::dict to;
  to["counters"] = copied(std::vector<std::int64_t>{s.steps, s.flips, s.flips_last});
  to["path_length"] = copied(std::vector<double>{s.path_length});
  to["bits"] = copied(s.bits.data(), {width, s.bits.size() / width});
  to["marked"] = copied(s.marked.data(), {width, s.marked.size() / width});
  to["S"] = copied(s.S);
  to["u"] = copied(s.u);
  to["up"] = copied(s.up);
  to["down"] = copied(s.down);
  to["reach"] = copied(s.reach);
  to["C"] = copied(s.C);
  to["changed"] = copied(s.changed);
  to["offset"] = copied(s.offset);
  to["index"] = copied(s.index);
  to["value"] = copied(s.value);
  to["pairs"] = copied(s.pairs);
  return to;
}

py::dict stats_dict(const EventStats& s) {
  py::dict to;
  to["setup_seconds"] = s.setup;
  to["setup_gemm_thread_seconds"] = s.setup_gemm;
  to["matrix_pass_seconds"] = s.matrix_pass;
  to["evaluate_seconds"] = s.evaluate;
  to["apply_seconds"] = s.apply;
  to["counts_seconds"] = s.counts;
  to["steps"] = s.steps;
  to["passes"] = s.passes;
  to["rebuilds"] = s.rebuilds;
  to["tracked_pairs"] = s.tracked;
  to["due_pairs"] = s.due;
  to["exact_pairs"] = s.exact;
  to["flips"] = s.flips;
  return to;
}

py::dict plan_dict(const EventPlan& p) {
  py::dict to;
  to["tracked_pairs"] = p.tracked_pairs;
  to["bits"] = p.bits;
  to["tracked"] = p.tracked;
  to["corrections"] = p.corrections;
  to["matrices"] = p.matrices;
  to["scratch"] = p.scratch;
  to["total"] = p.total();
  return to;
}

template <typename T>
std::unique_ptr<EventDescent<T>> make(const py::object& source, const py::object& a,
                                      const py::array& X, const py::array& X_test,
                                      const py::array& reach, std::int64_t memory_limit,
                                      const py::object& resume, int threads,
                                      const py::object& progress) {
  const Neurons<T> w = neurons<T>(source);
  const ConstMatrixView<T> x = matrix<const T>(X, "X"), x_test = matrix<const T>(X_test, "X_test");
  require(w.dim() == x.cols, "X: wrong number of columns");
  EventOptions event_options;
  if (!a.is_none()) event_options.outputs = outputs_of(a.cast<py::array>(), w.width());
  const T* readout =
      a.is_none() ? nullptr
                  : values<const T>(a.cast<py::array>(), w.width(), event_options.outputs, "a");
  event_options.reach = vector<const double>(reach, x.rows + x_test.rows, "reach");
  event_options.memory_limit = memory_limit;
  EventSnapshot snapshot;
  if (!resume.is_none()) snapshot = snapshot_from(resume.cast<py::dict>());
  const RunOptions options = run_options(threads, progress);
  const bool resumes = !resume.is_none();
  const py::gil_scoped_release release;  // the core touches no Python object outside `poll`
  return std::make_unique<EventDescent<T>>(w, readout, x, x_test, event_options,
                                           resumes ? &snapshot : nullptr, options);
}

template <typename T>
void bind_class(py::module_& module, const char* name) {
  using Descent = EventDescent<T>;
  py::class_<Descent>(module, name)
      .def(py::init(&make<T>), py::arg("neurons"), py::arg("a"), py::arg("X"), py::arg("X_test"),
           py::arg("reach"), py::arg("memory_limit"), py::arg("resume"), py::arg("threads"),
           py::arg("progress"), py::keep_alive<1, 2>(),
           py::keep_alive<1, 3>())  // stored weights and read-out are read, not copied
      .def("step",
           [](Descent& self, const py::array& rho, double step_size, int threads,
              const py::object& progress) {
             const double* r = values<const double>(rho, self.examples(), self.outputs(), "rho");
             const RunOptions options = run_options(threads, progress);
             const py::gil_scoped_release release;
             return self.step(r, step_size, options);
           })
      .def_property_readonly("examples", &Descent::examples)
      .def_property_readonly("columns", &Descent::columns)
      .def_property_readonly("width", &Descent::width)
      .def_property_readonly("outputs", &Descent::outputs)
      .def_property_readonly("path_length", &Descent::path_length)
      .def_property_readonly("predictions",
                             [](const Descent& self) { return copied(self.predictions()); })
      .def_property_readonly("changed", [](const Descent& self) { return copied(self.changed()); })
      .def_property_readonly("stats", [](const Descent& self) { return stats_dict(self.stats()); })
      .def_property_readonly("plan", [](const Descent& self) { return plan_dict(self.plan()); })
      .def("gram",
           [](const Descent& self, const py::array& out) {
             const MatrixView<double> view = matrix<double>(out, "out");
             require(view.rows == self.columns() && view.cols == self.examples(),
                     "out: wrong shape");
             self.gram(view);
           })
      .def("counts",
           [](const Descent& self, const py::array& out) {
             const MatrixView<std::int64_t> view = matrix<std::int64_t>(out, "out");
             require(view.rows == self.columns() && view.cols == self.examples(),
                     "out: wrong shape");
             self.counts(view);
           })
      .def("output_counts",
           [](const Descent& self, std::int64_t first, std::int64_t second, const py::array& out) {
             const MatrixView<double> view = matrix<double>(out, "out");
             require(view.rows == self.columns() && view.cols == self.examples(),
                     "out: wrong shape");
             self.output_counts(first, second, view);
           })
      .def("patterns",
           [](const Descent& self, std::int64_t begin, const py::array& bits, int threads) {
             const PatternsView view = matrix<std::uint64_t>(bits, "bits");
             const RunOptions options = run_options(threads, py::none());
             const py::gil_scoped_release release;
             self.patterns(begin, view, options);
           })
      .def("weights",
           [](const Descent& self, std::int64_t begin, const py::array& out, int threads) {
             const MatrixView<T> view = matrix<T>(out, "out");
             const RunOptions options = run_options(threads, py::none());
             const py::gil_scoped_release release;
             self.weights(begin, view, options);
           })
      .def("distances",
           [](const Descent& self, const py::array& out, int threads) {
             double* distances = vector<double>(out, self.width(), "out");
             const RunOptions options = run_options(threads, py::none());
             const py::gil_scoped_release release;
             self.distances(distances, options);
           })
      .def_property_readonly("flips_in_last_step", &Descent::flips_in_last_step)
      .def("mark", &Descent::mark)
      .def("differences_from_mark",
           [](const Descent& self, int threads) {
             const RunOptions options = run_options(threads, py::none());
             const py::gil_scoped_release release;
             return self.differences_from_mark(options);
           })
      .def("snapshot",
           [](const Descent& self) { return snapshot_to(self.snapshot(), self.width()); });
}

template <typename T>
py::dict plan_for(std::int64_t width, const py::array& X, const py::array& X_test, bool random,
                  const py::array& reach, const ReadoutShape& readout, int threads) {
  const ConstMatrixView<T> x = matrix<const T>(X, "X"), x_test = matrix<const T>(X_test, "X_test");
  const double* wanted = vector<const double>(reach, x.rows + x_test.rows, "reach");
  return plan_dict(plan_events<T>(width, x, x_test, random, wanted, readout, threads));
}

}  // namespace

void bind_events(py::module_& module) {
  bind_class<float>(module, "EventDescentF32");
  bind_class<double>(module, "EventDescentF64");
  module.def("plan_events", [](std::int64_t width, const py::array& X, const py::array& X_test,
                               bool random, const py::array& reach, std::int64_t outputs,
                               bool units, double scale, int threads) {
    const ReadoutShape readout{outputs, units, scale};
    return has_dtype<float>(X)
               ? plan_for<float>(width, X, X_test, random, reach, readout, threads)
               : plan_for<double>(width, X, X_test, random, reach, readout, threads);
  });
}

}  // namespace lazygram::bindings
