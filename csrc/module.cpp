// One extension module per instruction set. Its ops are those of csrc/bind, gathered by CMake.
#include <pybind11/pybind11.h>

#include "fma.h"
#include "parallel.h"

#include "bindings.inc"

namespace py = pybind11;

namespace nnlite {
void bind_dropin(py::module_& m);
void bind_pool2d_plan(py::module_& m);
}  // namespace nnlite

namespace {

// What the choice of a module depends on, asked of the CPU and the operating system; keys as in nnlite/backend.py.
py::dict cpu_features() {
  py::dict features;
#if defined(__x86_64__)
  __builtin_cpu_init();
  features["avx2"] = __builtin_cpu_supports("avx2") != 0;
  features["fma"] = __builtin_cpu_supports("fma") != 0;
  features["avx512f"] = __builtin_cpu_supports("avx512f") != 0;
  features["avx512bw"] = __builtin_cpu_supports("avx512bw") != 0;
  features["avx512dq"] = __builtin_cpu_supports("avx512dq") != 0;
  features["avx512vl"] = __builtin_cpu_supports("avx512vl") != 0;
#elif defined(__aarch64__)
  features["neon"] = true;
#endif
  return features;
}

}  // namespace

PYBIND11_MODULE(NNLITE_MODULE, m) {
  nnlite::bind_all(m);
  nnlite::bind_dropin(m);
  nnlite::bind_pool2d_plan(m);
#if defined(__clang__)
  m.attr("_compiler") = "Clang " __clang_version__;
#else
  m.attr("_compiler") = "GCC " __VERSION__;
#endif
  nnlite::set_fma_instruction(true);
  m.def("_cpu_features", cpu_features);
  m.def("_set_fma_instruction", &nnlite::set_fma_instruction);
  m.def("_set_num_threads", &nnlite::set_num_threads);
  m.def("_get_num_threads", &nnlite::num_threads);
}
