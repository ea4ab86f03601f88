#include "ops/reduce.h"

#include "array.h"
#include "ops/move.h"

namespace nnlite {
namespace reduce_bindings {
namespace {

bool holds(const Shape& axes, int axis) {
  for (const int64_t a : axes) {
    if (a == axis) return true;
  }
  return false;
}

Shape without(const Shape& shape, const Shape& axes) {
  Shape kept;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!holds(axes, static_cast<int>(i))) kept.push_back(shape[i]);
  }
  return kept;
}

// Whether, but for axes of size 1, `axes` are neighbours; then x is (outer, n, inner).
bool neighbours(const Input& x, const Shape& axes, Middle& size) {
  size = {1, 1, 1};
  int part = 0;  // before, in, behind them
  for (int i = 0; i < x.rank(); ++i) {
    if (x[i] == 1) continue;
    const bool reduced = holds(axes, i);
    if (part == 0 && reduced) part = 1;
    if (part == 1 && !reduced) part = 2;
    if (part == 2 && reduced) return false;
    (part == 0 ? size.outer : part == 1 ? size.n : size.inner) *= x[i];
  }
  return true;
}

// Runs f(size, x as (outer, n, inner)), of a copy with `axes` last where they are no neighbours.
template <class T, class F>
void with_middle(const Input& x, const Shape& axes, F f) {
  Middle size;
  if (neighbours(x, axes, size)) return f(size, x.as<T>());
  Axes<2> nest;
  Shape stride(static_cast<size_t>(x.rank()), 1);
  for (size_t i = stride.size() - 1; i-- > 0;) stride[i] = stride[i + 1] * x[static_cast<int>(i) + 1];
  size = {1, 1, 1};
  for (const bool reduced : {false, true}) {
    for (int i = 0; i < x.rank(); ++i) {
      if (holds(axes, i) == reduced) (reduced ? size.n : size.outer) *= x[i];
    }
  }
  int64_t step = x.size();
  for (const bool reduced : {false, true}) {
    for (int i = 0; i < x.rank(); ++i) {
      if (holds(axes, i) != reduced) continue;
      step /= x[i];
      nest.add(x[i], {stride[static_cast<size_t>(i)], step});
    }
  }
  Output<T> rows(x.op(), {x.size()});
  run([&, to = rows.data()] { move_elements(nest, x.size(), x.as<T>(), to); });
  f(size, rows.data());
}

Array sum_op(const py::object& x_object, const py::object& axes_object) {
  const Input x("sum_forward", "x", x_object);
  Shape axes;
  if (axes_object.is_none()) {
    for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  } else {
    axes = axes_argument(x.op(), "axes", axes_object, x.rank());
  }
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), without(x.shape(), axes));
    if (x.size() == 0) {
      run_into(y, [&, to = y.data()] { clear_elements(y.size(), to); });
    } else {
      with_middle<T>(x, axes, [&](const Middle& size, const T* from) {
        run_into(y, [&, to = y.data()] { sum_middle(size, from, to); });
      });
    }
    return y.array();
  });
}

Array sum_backward_op(const py::object& dy_object, const py::object& x_shape) {
  const Input dy("sum_backward", "dy", dy_object, 0, "()");
  const Shape shape = shape_argument(dy.op(), "x_shape", x_shape, -1, "");
  const int64_t n = size_of(dy.op(), shape);
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(dy.op(), shape);
    Axes<2> nest;
    nest.add(n, {0, 1});
    run_into(dx, [&, to = dx.data()] { move_elements(nest, n, dy.as<T>(), to); });
    return dx.array();
  });
}

Array amax(const py::object& x_object, const py::object& axes_object) {
  const Input x("amax", "x", x_object);
  const Shape axes = axes_argument(x.op(), "axes", axes_object, x.rank());
  for (const int64_t axis : axes) {
    check(x[static_cast<int>(axis)] > 0, x.op(), ": x has shape ", show(x.shape()), ", so axes ", show(axes),
          " hold nothing");
  }
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), without(x.shape(), axes));
    if (y.size() == 0) return y.array();
    with_middle<T>(x, axes,
                   [&](const Middle& size, const T* from) { run([&, to = y.data()] { max_middle(size, from, to); }); });
    return y.array();
  });
}

Middle along(const Input& x, int axis) {
  Middle size{1, x[axis], 1};
  for (int i = 0; i < x.rank(); ++i) {
    if (i != axis) (i < axis ? size.outer : size.inner) *= x[i];
  }
  return size;
}

Array argmax(const py::object& x_object, const py::object& axis_object) {
  const Input x("argmax", "x", x_object);
  const int axis = axis_argument(x.op(), "axis", axis_object, x.rank());
  check(x[axis] > 0, x.op(), ": x has shape ", show(x.shape()), ", so axis ", axis, " holds nothing");
  Output<int64_t> y(x.op(), without(x.shape(), {axis}));
  by_dtype(x.is_double(),
           [&]<class T>(T) { run_into(y, [&, to = y.data()] { argmax_middle(along(x, axis), x.as<T>(), to); }); });
  return y.array();
}

Array cumsum(const py::object& x_object, const py::object& axis_object) {
  const Input x("cumsum", "x", x_object);
  const int axis = axis_argument(x.op(), "axis", axis_object, x.rank());
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), x.shape());
    run_into(y, [&, to = y.data()] { cumsum_middle(along(x, axis), x.as<T>(), to); });
    return y.array();
  });
}

}  // namespace
}  // namespace reduce_bindings

void bind_reduce(py::module_& m) {
  using namespace reduce_bindings;
  m.def("sum_forward", sum_op, py::arg("x"), py::arg("axes") = py::none());
  m.def("sum_backward", sum_backward_op, py::arg("dy"), py::arg("x_shape"));
  m.def("amax", amax, py::arg("x"), py::arg("axes"));
  m.def("argmax", argmax, py::arg("x"), py::arg("axis"));
  m.def("cumsum", cumsum, py::arg("x"), py::arg("axis"));
}

}  // namespace nnlite
