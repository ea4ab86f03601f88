#include "ops/index.h"

#include "array.h"

namespace nnlite {
namespace index_bindings {
namespace {

constexpr auto kAlong = "elements along the axis";

// The indices, which are checked to be inside the axis; of any shape.
Labels indices(const char* op, const py::object& index, int64_t n) {
  if (!is_integer_array(index)) {
    const bool array = py::hasattr(index, "dtype");
    throw py::type_error(std::string(op) + ": index must be an array of an integer type, got " +
                         (array ? std::string(py::str(index.attr("dtype"))) : type_name(index)));
  }
  Labels labels(op, "index", index.attr("reshape")(-1));
  labels.check_range(n, kAlong);
  return labels;
}

// x (outer, n, inner) around `axis`, with `count` elements chosen of it.
Chosen around(const Shape& shape, int axis, int64_t count) {
  Chosen size{1, shape[static_cast<size_t>(axis)], 1, count};
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i != static_cast<size_t>(axis)) (i < static_cast<size_t>(axis) ? size.outer : size.inner) *= shape[i];
  }
  return size;
}

Shape positions(const char* op, const py::object& index) {
  if (!is_integer_array(index)) return {};
  const Shape shape = shape_of(index);
  check(shape.size() == 1, op, ": index must have 1 dimension (J,), got ", shape.size(), " with shape ", show(shape));
  return shape;
}

void check_alike(const char* op, const Shape& index, const Shape& shape, int axis) {
  bool alike = index.size() == shape.size();
  for (size_t i = 0; alike && i < shape.size(); ++i) {
    alike = index[i] == shape[i] || i == static_cast<size_t>(axis);
  }
  check(alike, op, ": index has shape ", show(index), " but x has shape ", show(shape),
        "; they differ at most along axis ", axis);
}

Array select(const py::object& x_object, const py::object& index_object, const py::object& axis_object) {
  const Input x("index_select", "x", x_object);
  const int axis = axis_argument(x.op(), "axis", axis_object, x.rank());
  const Labels index = indices(x.op(), index_object, x[axis]);
  positions(x.op(), index_object);
  Shape shape = x.shape();
  shape[static_cast<size_t>(axis)] = index.size();
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), shape);
    const Chosen size = around(x.shape(), axis, index.size());
    run_into(y, [&, to = y.data()] { index_select(size, x.as<T>(), index.data(), to); });
    return y.array();
  });
}

Array select_backward(const py::object& dy_object, const py::object& index_object, const py::object& x_shape,
                      const py::object& axis_object) {
  const Input dy("index_select_backward", "dy", dy_object);
  const Shape shape = shape_argument(dy.op(), "x_shape", x_shape, -1, "");
  size_of(dy.op(), shape);
  const int axis = axis_argument(dy.op(), "axis", axis_object, static_cast<int>(shape.size()));
  const Labels index = indices(dy.op(), index_object, shape[static_cast<size_t>(axis)]);
  positions(dy.op(), index_object);
  Shape expected = shape;
  expected[static_cast<size_t>(axis)] = index.size();
  check_shape(dy, expected, "x_shape and index");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(dy.op(), shape);
    const Chosen size = around(shape, axis, index.size());
    run_into(dx, [&, to = dx.data()] { index_select_backward(size, dy.as<T>(), index.data(), to); });
    return dx.array();
  });
}

Array gather_op(const py::object& x_object, const py::object& index_object, const py::object& axis_object) {
  const Input x("gather", "x", x_object);
  const int axis = axis_argument(x.op(), "axis", axis_object, x.rank());
  const Labels index = indices(x.op(), index_object, x[axis]);
  const Shape shape = shape_of(index_object);
  check_alike(x.op(), shape, x.shape(), axis);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), shape);
    const Chosen size = around(x.shape(), axis, shape[static_cast<size_t>(axis)]);
    run_into(y, [&, to = y.data()] { gather(size, x.as<T>(), index.data(), to); });
    return y.array();
  });
}

Array gather_backward_op(const py::object& dy_object, const py::object& index_object, const py::object& x_shape,
                         const py::object& axis_object) {
  const Input dy("gather_backward", "dy", dy_object);
  const Shape shape = shape_argument(dy.op(), "x_shape", x_shape, -1, "");
  size_of(dy.op(), shape);
  const int axis = axis_argument(dy.op(), "axis", axis_object, static_cast<int>(shape.size()));
  const Labels index = indices(dy.op(), index_object, shape[static_cast<size_t>(axis)]);
  check_alike(dy.op(), shape_of(index_object), shape, axis);
  check_shape(dy, shape_of(index_object), "index");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(dy.op(), shape);
    const Chosen size = around(shape, axis, shape_of(index_object)[static_cast<size_t>(axis)]);
    run_into(dx, [&, to = dx.data()] { gather_backward(size, dy.as<T>(), index.data(), to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace index_bindings

void bind_index(py::module_& m) {
  using namespace index_bindings;
  m.def("index_select", select, py::arg("x"), py::arg("index"), py::arg("axis"));
  m.def("index_select_backward", select_backward, py::arg("dy"), py::arg("index"), py::arg("x_shape"), py::arg("axis"));
  m.def("gather", gather_op, py::arg("x"), py::arg("index"), py::arg("axis"));
  m.def("gather_backward", gather_backward_op, py::arg("dy"), py::arg("index"), py::arg("x_shape"), py::arg("axis"));
}

}  // namespace nnlite
