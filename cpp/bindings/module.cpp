// The module lazygram._core: BLAS hand-over, instruction-set level, and the rooms' registrations.
#include "bindings/bind.hpp"
#include "lazygram/blas.hpp"
#include "lazygram/cuda.hpp"
#include "lazygram/isa.hpp"

namespace lazygram::bindings {
namespace {

// SciPy exports its BLAS as capsules whose name is the C signature; anything but 32-bit integers is
// refused.
void* blas_pointer(const py::dict& capsules, const char* routine) {
  const py::capsule capsule = capsules[routine];
  const std::string signature = capsule.name();
  if (signature.rfind("void (char *, char *, int *, int *, int *,", 0) != 0) {
    throw py::import_error("scipy.linalg.cython_blas." + std::string(routine) +
                           " has an unexpected signature: " + signature);
  }
  return capsule.get_pointer();
}

void take_blas_from_scipy() {
  const py::dict capsules = py::module_::import("scipy.linalg.cython_blas").attr("__pyx_capi__");
  set_blas(reinterpret_cast<SgemmFunction>(blas_pointer(capsules, "sgemm")),
           reinterpret_cast<DgemmFunction>(blas_pointer(capsules, "dgemm")));
}

std::vector<std::string> names(const std::vector<Isa>& levels) {
  std::vector<std::string> result;
  for (Isa level : levels) result.push_back(isa_name(level));
  return result;
}

}  // namespace
}  // namespace lazygram::bindings

PYBIND11_MODULE(_core, module) {
  using namespace lazygram;
  using namespace lazygram::bindings;
  module.doc() = "Compiled core of lazygram; use the functions of the package instead.";
  try {
    isa_used();  // a wrong LAZYGRAM_ISA must fail the import, not the first computation
  } catch (const ArgumentError& error) {
    throw py::import_error(error.what());
  }
  take_blas_from_scipy();
  module.attr("__version__") = LAZYGRAM_VERSION;
  module.attr("PANEL") = kPanel;
  module.def("isa_compiled", [] { return names(isa_compiled()); });
  module.def("isa_available", [] { return names(isa_available()); });
  module.def("isa_used", [] { return isa_name(isa_used()); });
  module.def("isa_force", &isa_force, py::arg("name"),
             "Use the named instruction-set level ('' for the automatic choice). For tests.");
  module.def("cuda_compiled", &cuda_compiled);
  module.def("cuda_devices", &cuda_devices);
  module.def("max_threads", &max_threads);
  module.def("threading_backend", &threading_backend);
  bind_patterns(module);
  bind_gram(module);
  bind_descent(module);
  bind_events(module);
  bind_duals(module);
  bind_tiles(module);
}
