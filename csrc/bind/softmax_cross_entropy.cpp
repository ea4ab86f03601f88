#include "ops/softmax_cross_entropy.h"

#include "array.h"

namespace nnlite {
namespace softmax_cross_entropy_bindings {
namespace {

// Labels of any integer type, or class probabilities.
struct CheckedTarget {
  CheckedTarget(const Input& x, const py::object& value) {
    const char* const op = x.op();
    if (is_integer_array(value)) {
      check(shape_of(value) != x.shape(), op, ": one-hot target must be of the type of ", x.name(),
            ", e.g. target.astype(np.", x.is_double() ? "float64" : "float32", ")");
      labels.emplace(op, "target", value);
      check(labels->size() == x[0], op, ": ", x.name(), " has ", x[0], " rows but target has ", labels->size(),
            " labels");
      labels->check_range(x[1]);
    } else {
      probabilities.emplace(op, "target", value, 2, "(N, K)");
      check_same_dtype(x, *probabilities);
      check_same_shape(x, *probabilities);
    }
    check(x[0] > 0, op, ": an empty batch has no mean loss");
  }

  template <class T>
  Target<T> as() const {
    return probabilities ? Target<T>{nullptr, probabilities->as<T>()} : Target<T>{labels->data(), nullptr};
  }

  std::optional<Labels> labels;
  std::optional<Input> probabilities;
};

py::tuple forward(const py::object& x_object, const py::object& target_object) {
  constexpr auto op = "softmax_cross_entropy_forward";
  const Input x(op, "x", x_object, 2, "(N, K)");
  const CheckedTarget target(x, target_object);
  check(x[1] >= 1, op, ": x must have at least 1 class, got shape ", show(x.shape()));
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> loss(op, {}), y(op, x.shape());
    run([&, loss_to = loss.data(), y_to = y.data()] {
      softmax_cross_entropy_forward(x.as<T>(), target.as<T>(), x[0], x[1], loss_to, y_to);
    });
    return py::make_tuple(loss.array(), y.array());
  });
}

Array backward(const py::object& dloss_object, const py::object& y_object, const py::object& target_object) {
  constexpr auto op = "softmax_cross_entropy_backward";
  const Input dloss(op, "dloss", dloss_object, 0, "()"), y(op, "y", y_object, 2, "(N, K)");
  check_same_dtype(dloss, y);
  const CheckedTarget target(y, target_object);
  return by_dtype(y.is_double(), [&]<class T>(T) {
    Output<T> dx(op, y.shape());
    run_into(dx, [&, to = dx.data()] {
      softmax_cross_entropy_backward(dloss.as<T>(), y.as<T>(), target.as<T>(), y[0], y[1], to);
    });
    return dx.array();
  });
}

}  // namespace
}  // namespace softmax_cross_entropy_bindings

void bind_softmax_cross_entropy(py::module_& m) {
  using namespace softmax_cross_entropy_bindings;
  m.def("softmax_cross_entropy_forward", forward, py::arg("x"), py::arg("target"));
  m.def("softmax_cross_entropy_backward", backward, py::arg("dloss"), py::arg("y"), py::arg("target"));
}

}  // namespace nnlite
