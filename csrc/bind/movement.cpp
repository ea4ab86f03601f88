// Elements moved, none changed.
#include <deque>

#include "array.h"
#include "ops/move.h"

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

Shape strides_of(const Shape& shape) {
  Shape stride(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) stride[i - 1] = stride[i] * shape[i];
  return stride;
}

// A new array of `shape`, filled by the nest.
template <class T>
Array moved(const Input& x, const Shape& shape, const Axes<2>& nest, int64_t first) {
  Output<T> y(x.op(), shape);
  run_into(y, [&, to = y.data()] { move_elements(nest, y.size(), x.as<T>() + first, to); });
  return y.array();
}
Array moved(const Input& x, const Shape& shape, const Axes<2>& nest, int64_t first = 0) {
  return by_dtype(x.is_double(), [&]<class T>(T) { return moved<T>(x, shape, nest, first); });
}

Array permute(const py::object& x_object, const py::object& axes_object) {
  const Input x("permute", "x", x_object);
  const Shape axes = axes_argument(x.op(), "axes", axes_object, x.rank());
  check(axes.size() == static_cast<size_t>(x.rank()), x.op(), ": axes must name each of the ", x.rank(),
        " axes of x, got ", show(axes));
  Shape shape;
  for (const int64_t axis : axes) shape.push_back(x[static_cast<int>(axis)]);
  const Shape from = strides_of(x.shape()), to = strides_of(shape);
  Axes<2> nest;
  for (size_t i = 0; i < shape.size(); ++i) nest.add(shape[i], {from[static_cast<size_t>(axes[i])], to[i]});
  return moved(x, shape, nest);
}

Array expand(const py::object& x_object, const py::object& shape_object) {
  const Input x("expand", "x", x_object);
  const Shape shape = shape_argument(x.op(), "shape", shape_object, -1, "");
  size_of(x.op(), shape);
  bool fits = x.rank() <= static_cast<int>(shape.size());
  const size_t added = fits ? shape.size() - static_cast<size_t>(x.rank()) : 0;
  for (int i = 0; fits && i < x.rank(); ++i) fits = x[i] == 1 || x[i] == shape[added + static_cast<size_t>(i)];
  check(fits, x.op(), ": x has shape ", show(x.shape()), " and cannot be repeated to ", show(shape));
  const Shape from = strides_of(x.shape()), to = strides_of(shape);
  Axes<2> nest;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool repeats = i < added || x[static_cast<int>(i - added)] == 1;
    nest.add(shape[i], {repeats ? 0 : from[i - added], to[i]});
  }
  return moved(x, shape, nest);
}

// The elements start + i * step of an array of `shape`, `size` an axis.
struct Lattice {
  Shape start, size, step;
  int64_t first = 0;  // where the first one lies
  Shape stride;       // from one to the next, in elements
};

Lattice lattice(const char* op, const char* name, const Shape& shape, const py::object& start, const Shape& size,
                const py::object& step) {
  Lattice l{integers(op, "start", start), size, integers(op, "step", step), 0, strides_of(shape)};
  const std::pair<const char*, const Shape*> all[] = {{"start", &l.start}, {"size", &l.size}, {"step", &l.step}};
  for (const auto& [what, numbers] : all) {
    check(numbers->size() == shape.size(), op, ": ", what, " must have ", shape.size(), " numbers, one an axis of ",
          name, ", got ", show(*numbers));
  }
  for (const int64_t by : l.step) check(by != 0, op, ": step must not be 0, got ", show(l.step));
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t n = shape[i], from = l.start[i];
    int64_t last = 0;
    const bool overflows =
        __builtin_mul_overflow(l.size[i] - 1, l.step[i], &last) || __builtin_add_overflow(from, last, &last);
    check(l.size[i] == 0 || (!overflows && from >= 0 && from < n && last >= 0 && last < n), op, ": axis ", i, " of ",
          name, " has ", n, " elements but ", from, " to ", last, " were asked for");
    if (l.size[i] == 0) continue;
    l.first += from * l.stride[i];
    l.stride[i] *= l.step[i];
  }
  return l;
}

Array slice(const py::object& x_object, const py::object& start, const py::object& size_object,
            const py::object& step) {
  const Input x("slice", "x", x_object);
  const Shape size = shape_argument(x.op(), "size", size_object, -1, "");
  size_of(x.op(), size);
  const Lattice from = lattice(x.op(), "x", x.shape(), start, size, step);
  const Shape to = strides_of(size);
  Axes<2> nest;
  for (size_t i = 0; i < size.size(); ++i) nest.add(size[i], {from.stride[i], to[i]});
  return moved(x, size, nest, from.first);
}

Array place(const py::object& x_object, const py::object& shape_object, const py::object& start,
            const py::object& step) {
  const Input x("place", "x", x_object);
  const Shape shape = shape_argument(x.op(), "shape", shape_object, -1, "");
  size_of(x.op(), shape);
  const Lattice to = lattice(x.op(), "shape", shape, start, x.shape(), step);
  const Shape from = strides_of(x.shape());
  Axes<2> nest;
  for (int i = 0; i < x.rank(); ++i) nest.add(x[i], {from[static_cast<size_t>(i)], to.stride[static_cast<size_t>(i)]});
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), shape);
    run_into(y, [&, data = y.data()] {
      clear_elements(y.size(), data);
      if (x.size() > 0) move_elements(nest, x.size(), x.as<T>(), data + to.first);
    });
    return y.array();
  });
}

Array concat(const py::object& arrays, const py::object& axis_object) {
  constexpr auto op = "concat";
  if (!py::isinstance<py::list>(arrays) && !py::isinstance<py::tuple>(arrays)) {
    throw py::type_error(std::string(op) + ": arrays must be a list of arrays, got " + type_name(arrays));
  }
  std::deque<std::string> names;
  std::deque<Input> x;
  for (const py::handle item : arrays) {
    names.push_back("arrays[" + std::to_string(names.size()) + "]");
    x.emplace_back(op, names.back().c_str(), item);
  }
  check(!x.empty(), op, ": arrays must hold at least one array");
  for (const Input& other : x) check_same_dtype(x[0], other);
  const int axis = axis_argument(op, "axis", axis_object, x[0].rank());
  Shape shape = x[0].shape();
  shape[static_cast<size_t>(axis)] = 0;
  for (const Input& other : x) {
    bool same = other.rank() == x[0].rank();
    for (int i = 0; same && i < other.rank(); ++i) same = i == axis || other[i] == x[0][i];
    check(same, op, ": arrays[0] has shape ", show(x[0].shape()), " but ", other.name(), " has shape ",
          show(other.shape()), "; axis is ", axis);
    shape[static_cast<size_t>(axis)] += other[axis];
  }
  const int64_t pitch = strides_of(shape)[static_cast<size_t>(axis)];
  return by_dtype(x[0].is_double(), [&]<class T>(T) {
    Output<T> y(op, shape);
    run_into(y, [&, to = y.data()] {
      int64_t first = 0;
      for (const Input& from : x) {
        const int64_t row = from[axis] * pitch;  // what lies together of this array
        if (from.size() == 0) continue;
        Axes<2> nest;
        nest.add(from.size() / row, {row, shape[static_cast<size_t>(axis)] * pitch});
        nest.add(row, {1, 1});
        move_elements(nest, from.size(), from.as<T>(), to + first);
        first += row;
      }
    });
    return y.array();
  });
}

}  // namespace
}  // namespace movement_bindings

void bind_movement(py::module_& m) {
  using namespace movement_bindings;
  m.def("reshape", reshape, py::arg("x"), py::arg("shape"));
  m.def("permute", permute, py::arg("x"), py::arg("axes"));
  m.def("expand", expand, py::arg("x"), py::arg("shape"));
  m.def("slice", slice, py::arg("x"), py::arg("start"), py::arg("size"), py::arg("step"));
  m.def("place", place, py::arg("x"), py::arg("shape"), py::arg("start"), py::arg("step"));
  m.def("concat", concat, py::arg("arrays"), py::arg("axis"));
  m.def("copy", copy, py::arg("x"));
  m.def("assign", assign, py::arg("x"), py::arg("value"));
}

}  // namespace nnlite
