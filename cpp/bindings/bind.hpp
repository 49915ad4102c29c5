// What every bind_<noun>.cpp shares: array checks, run options, and the list of registration
// functions.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "lazygram/array.hpp"
#include "lazygram/error.hpp"
#include "lazygram/parallel.hpp"
#include "lazygram/patterns.hpp"

namespace lazygram::bindings {

namespace py = pybind11;

void bind_patterns(py::module_& module);
void bind_gram(py::module_& module);
void bind_descent(py::module_& module);
void bind_events(py::module_& module);
void bind_duals(py::module_& module);
void bind_tiles(py::module_& module);

template <typename T>
bool has_dtype(const py::array& array) {
  return py::isinstance<py::array_t<T>>(array);
}

// Row-major view of a 2-D array of exactly T; rows may be strided (a slice, a broadcast), columns
// not.
template <typename T>
MatrixView<T> matrix(const py::array& array, const char* name) {
  using Value = std::remove_const_t<T>;
  require(has_dtype<Value>(array) && array.ndim() == 2,
          std::string(name) + ": a 2-D array of " + std::string(py::str(py::dtype::of<Value>())) +
              " is needed");
  const auto item = static_cast<py::ssize_t>(sizeof(Value));
  require(array.size() == 0 || array.shape(1) <= 1 || array.strides(1) == item,
          std::string(name) + ": the last axis must be contiguous");
  require(array.strides(0) % item == 0,
          std::string(name) + ": the row stride is not a whole number of items");
  T* data = nullptr;
  if constexpr (std::is_const_v<T>) {
    data = static_cast<const Value*>(array.data());
  } else {
    data =
        static_cast<Value*>(const_cast<py::array&>(array).mutable_data());  // throws if read-only
  }
  const std::int64_t stride = array.shape(0) > 1 ? array.strides(0) / item : array.shape(1);
  return {data, array.shape(0), array.shape(1), stride};
}

template <typename T>
T* vector(const py::array& array, std::int64_t size, const char* name) {
  using Value = std::remove_const_t<T>;
  require(has_dtype<Value>(array) && array.ndim() == 1 && array.shape(0) == size &&
              (size <= 1 || array.strides(0) == static_cast<py::ssize_t>(sizeof(Value))),
          std::string(name) + ": a contiguous 1-D array of " + std::to_string(size) + " " +
              std::string(py::str(py::dtype::of<Value>())) + " is needed");
  if constexpr (std::is_const_v<T>) {
    return static_cast<const Value*>(array.data());
  } else {
    return static_cast<Value*>(const_cast<py::array&>(array).mutable_data());
  }
}

// Options of a run that lets Ctrl-C and a progress callback through. Must be made while holding the
// GIL.
inline RunOptions run_options(int threads, const py::object& progress) {
  RunOptions options;
  options.threads = threads;
  options.poll = [progress](std::int64_t done, std::int64_t total) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!progress.is_none()) progress(done, total);
    return false;
  };
  return options;
}

// Neurons given as a (width, dim) array of T or as a RandomNetwork.
template <typename T>
Neurons<T> neurons(const py::object& source) {
  Neurons<T> result;
  if (py::isinstance<RandomNetwork>(source)) {
    result.random = source.cast<RandomNetwork>();
  } else {
    const ConstMatrixView<T> W = matrix<const T>(source.cast<py::array>(), "W");
    result.stored = W.data;
    result.stride = W.stride;
    result.random.width = W.rows;
    result.random.dim = W.cols;
  }
  return result;
}

}  // namespace lazygram::bindings
