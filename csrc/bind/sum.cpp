#include "ops/sum.h"

#include "array.h"

namespace nnlite {
namespace sum_bindings {
namespace {

Array forward(const py::object& x_object) {
  const Input x("sum_forward", "x", x_object);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), {});
    run_into(y, [&, to = y.data()] { sum_forward(x.as<T>(), x.size(), to); });
    return y.array();
  });
}

Array backward(const py::object& dy_object, const py::object& x_shape) {
  const Input dy("sum_backward", "dy", dy_object, 0, "()");
  const Shape shape = shape_argument(dy.op(), "x_shape", x_shape, -1, "");
  const int64_t n = size_of(dy.op(), shape);
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(dy.op(), shape);
    run_into(dx, [&, to = dx.data()] { sum_backward(dy.as<T>(), n, to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace sum_bindings

void bind_sum(py::module_& m) {
  using namespace sum_bindings;
  m.def("sum_forward", forward, py::arg("x"));
  m.def("sum_backward", backward, py::arg("dy"), py::arg("x_shape"));
}

}  // namespace nnlite
