// Elements moved, none changed: what NumPy's and the devices' arrays do themselves, with the checks of an op.
#include "array.h"

namespace nnlite {
namespace movement_bindings {
namespace {

// `shape_object` with the size that its one -1 stands for.
py::object inferred(const Input& x, const py::object& shape_object) {
  if (!py::isinstance<py::tuple>(shape_object) && !py::isinstance<py::list>(shape_object)) return shape_object;
  py::list sizes;
  for (const py::handle size : shape_object) sizes.append(size);
  size_t unknown = sizes.size();
  int64_t known = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int overflow = 0;
    if (!PyLong_Check(sizes[i].ptr()) || PyBool_Check(sizes[i].ptr())) return shape_object;
    const int64_t n = PyLong_AsLongLongAndOverflow(sizes[i].ptr(), &overflow);
    if (n == -1 && overflow == 0) {
      if (unknown < sizes.size()) return shape_object;
      unknown = i;
    } else if (overflow != 0 || n < 0 || __builtin_mul_overflow(known, n, &known)) {
      return shape_object;
    }
  }
  if (unknown == sizes.size()) return shape_object;
  check(known > 0 && x.size() % known == 0, x.op(), ": x has shape ", show(x.shape()), " and cannot take shape ",
        std::string(py::str(py::tuple(sizes))));
  sizes[unknown] = x.size() / known;
  return sizes;
}

py::object reshape(const py::object& x_object, const py::object& shape_object) {
  const Input x("reshape", "x", x_object);
  const Shape shape = shape_argument(x.op(), "shape", inferred(x, shape_object), -1, "");
  check(size_of(x.op(), shape) == x.size(), x.op(), ": x has shape ", show(x.shape()), " and cannot take shape ",
        show(shape));
  py::tuple sizes(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) sizes[i] = shape[i];
  return x_object.attr("reshape")(sizes);
}

py::object copy(const py::object& x_object) {
  const Input x("copy", "x", x_object);
  return x_object.attr("copy")();
}

void assign(const py::object& x_object, const py::object& value_object) {
  const InPlace x("assign", "x", x_object);
  const Input value("assign", "value", value_object);
  check_same_dtype(Input("assign", "x", x_object), value);
  check_same_shape(Input("assign", "x", x_object), value);
  if (py::isinstance<py::array>(x_object)) {
    py::module_::import("numpy").attr("copyto")(x_object, value_object);
  } else {
    x_object.attr("assign")(value_object);
  }
}

}  // namespace
}  // namespace movement_bindings

void bind_movement(py::module_& m) {
  using namespace movement_bindings;
  m.def("reshape", reshape, py::arg("x"), py::arg("shape"));
  m.def("copy", copy, py::arg("x"));
  m.def("assign", assign, py::arg("x"), py::arg("value"));
}

}  // namespace nnlite
