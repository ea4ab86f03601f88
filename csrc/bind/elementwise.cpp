#include "ops/elementwise.h"

#include "array.h"

namespace nnlite {
namespace elementwise_bindings {
namespace {

// Defines the op `name`(a) or `name`(a, b), element by element; kernel(pointers…, n) resolves to the overload for the
// dtype.
template <class Kernel>
void define(py::module_& m, const char* op, const char* a_name, Kernel kernel) {
  m.def(
      op,
      [=](const py::object& a_object) {
        const Input a(op, a_name, a_object);
        return by_dtype(a.is_double(), [&]<class T>(T) {
          Output<T> y(op, a.shape());
          run_into(y, [&, to = y.data()] { kernel(a.as<T>(), to, a.size()); });
          return y.array();
        });
      },
      py::arg(a_name));
}

template <class Kernel>
void define(py::module_& m, const char* op, const char* a_name, const char* b_name, Kernel kernel) {
  m.def(
      op,
      [=](const py::object& a_object, const py::object& b_object) {
        const Input a(op, a_name, a_object), b(op, b_name, b_object);
        check_same_dtype(a, b);
        check_same_shape(a, b);
        return by_dtype(a.is_double(), [&]<class T>(T) {
          Output<T> y(op, a.shape());
          run_into(y, [&, to = y.data()] { kernel(a.as<T>(), b.as<T>(), to, a.size()); });
          return y.array();
        });
      },
      py::arg(a_name), py::arg(b_name));
}

}  // namespace
}  // namespace elementwise_bindings

void bind_elementwise(py::module_& m) {
  using namespace elementwise_bindings;
  define(m, "relu_forward", "x", [](auto... a) { relu_forward(a...); });
  define(m, "relu_backward", "dy", "y", [](auto... a) { relu_backward(a...); });
  define(m, "sigmoid_forward", "x", [](auto... a) { sigmoid_forward(a...); });
  define(m, "sigmoid_backward", "dy", "y", [](auto... a) { sigmoid_backward(a...); });
  define(m, "tanh_forward", "x", [](auto... a) { tanh_forward(a...); });
  define(m, "tanh_backward", "dy", "y", [](auto... a) { tanh_backward(a...); });
  define(m, "exp_forward", "x", [](auto... a) { exp_forward(a...); });
  define(m, "exp_backward", "dy", "y", [](auto... a) { multiply(a...); });
  define(m, "log_forward", "x", [](auto... a) { log_forward(a...); });
  define(m, "log_backward", "dy", "x", [](auto... a) { log_backward(a...); });
  define(m, "add", "a", "b", [](auto... a) { add(a...); });
  define(m, "subtract", "a", "b", [](auto... a) { subtract(a...); });
  define(m, "multiply", "a", "b", [](auto... a) { multiply(a...); });
  define(m, "negative", "a", [](auto... a) { negative(a...); });
}

}  // namespace nnlite
