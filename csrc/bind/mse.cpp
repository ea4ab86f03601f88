#include "ops/mse.h"

#include "array.h"

namespace nnlite {
namespace mse_bindings {
namespace {

void check_pair(const Input& x, const Input& target) {
  check_same_dtype(x, target);
  check_same_shape(x, target);
  check(x.size() > 0, x.op(), ": an empty batch has no mean loss");
}

Array forward(const py::object& x_object, const py::object& target_object) {
  constexpr auto op = "mse_forward";
  const Input x(op, "x", x_object), target(op, "target", target_object);
  check_pair(x, target);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> loss(op, {});
    run_into(loss, [&, to = loss.data()] { mse_forward(x.as<T>(), target.as<T>(), x.size(), to); });
    return loss.array();
  });
}

Array backward(const py::object& dloss_object, const py::object& x_object, const py::object& target_object) {
  constexpr auto op = "mse_backward";
  const Input dloss(op, "dloss", dloss_object, 0, "()"), x(op, "x", x_object), target(op, "target", target_object);
  check_pair(x, target);
  check_same_dtype(dloss, x);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> dx(op, x.shape());
    run_into(dx, [&, to = dx.data()] { mse_backward(dloss.as<T>(), x.as<T>(), target.as<T>(), x.size(), to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace mse_bindings

void bind_mse(py::module_& m) {
  using namespace mse_bindings;
  m.def("mse_forward", forward, py::arg("x"), py::arg("target"));
  m.def("mse_backward", backward, py::arg("dloss"), py::arg("x"), py::arg("target"));
}

}  // namespace nnlite
