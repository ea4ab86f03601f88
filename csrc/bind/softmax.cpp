#include "ops/softmax.h"

#include "array.h"

namespace nnlite {
namespace softmax_bindings {
namespace {

Array forward(const py::object& x_object) {
  const Input x("softmax_forward", "x", x_object, 2, "(N, K)");
  check(x[1] >= 1, x.op(), ": x must have at least 1 class, got shape ", show(x.shape()));
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), x.shape());
    run_into(y, [&, to = y.data()] { softmax_forward(x.as<T>(), x[0], x[1], to); });
    return y.array();
  });
}

Array backward(const py::object& dy_object, const py::object& y_object) {
  constexpr auto op = "softmax_backward";
  const Input dy(op, "dy", dy_object, 2, "(N, K)"), y(op, "y", y_object, 2, "(N, K)");
  check_same_dtype(dy, y);
  check_same_shape(dy, y);
  return by_dtype(y.is_double(), [&]<class T>(T) {
    Output<T> dx(op, y.shape());
    run_into(dx, [&, to = dx.data()] { softmax_backward(dy.as<T>(), y.as<T>(), y[0], y[1], to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace softmax_bindings

void bind_softmax(py::module_& m) {
  using namespace softmax_bindings;
  m.def("softmax_forward", forward, py::arg("x"));
  m.def("softmax_backward", backward, py::arg("dy"), py::arg("y"));
}

}  // namespace nnlite
