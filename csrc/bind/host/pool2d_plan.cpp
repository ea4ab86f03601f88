#include "ops/pool2d/plan.h"

#include "array.h"
#include "windows.h"

namespace nnlite {
namespace pool2d_plan_bindings {
namespace {

py::tuple pool2d_plan(const std::string& op, const Pair& size, const Pair& kernel, const py::object& stride,
                      const py::object& padding) {
  const Windows found = windows("_pool2d_plan", size, kernel, stride, padding);
  const WindowAxis h{size.first, kernel.first, found.stride.first, found.padding.first, 1, found.output.first};
  const WindowAxis w{size.second, kernel.second, found.stride.second, found.padding.second, 1, found.output.second};
  const bool max = op.starts_with("max"), forward = op.ends_with("forward");
  const Rule& rule = plan(max ? (forward ? Pass::max_forward : Pass::max_backward)
                              : (forward ? Pass::average_forward : Pass::average_backward),
                          h, w);
  return py::make_tuple(rule.name, rule.why);
}

}  // namespace
}  // namespace pool2d_plan_bindings

// No op, hence the underscore: which way an op of pooling goes, and why.
void bind_pool2d_plan(py::module_& m) {
  m.def("_pool2d_plan", pool2d_plan_bindings::pool2d_plan, py::arg("op"), py::arg("size"), py::arg("kernel_size"),
        py::arg("stride"), py::arg("padding"));
}

}  // namespace nnlite
