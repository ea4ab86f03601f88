#include "ops/map.h"

#include <span>

#include "array.h"

namespace nnlite {
namespace map_bindings {
namespace {

using Inputs = std::span<const Input>;

bool same_shapes(Inputs x) {
  for (const Input& other : x.subspan(1)) {
    if (other.shape() != x[0].shape()) return false;
  }
  return true;
}

// The shape of the result: from the last axis on, sizes are equal or 1.
Shape broadcast(Inputs x) {
  Shape shape = x[0].shape();
  for (const Input& next : x.subspan(1)) {
    const Shape before = shape, other = next.shape();
    if (other.size() > shape.size()) shape.insert(shape.begin(), other.size() - shape.size(), 1);
    bool fits = true;
    for (size_t i = 1; i <= other.size(); ++i) {
      int64_t& size = shape[shape.size() - i];
      const int64_t n = other[other.size() - i];
      fits = fits && (n == size || n == 1 || size == 1);
      if (size == 1) size = n;
    }
    check(fits, x[0].op(), ": shapes ", show(before), " and ", show(other), " of ", next.name(),
          " cannot be broadcast: counted from the last axis, sizes must be equal or 1");
  }
  size_of(x[0].op(), shape);
  return shape;
}

// The nest over `shape` with each argument's strides there.
Axes<kMostOperands> nest(Inputs x, const Shape& shape) {
  Axes<kMostOperands> axes;
  int64_t strides[kMostOperands][kMostAxes] = {};
  for (size_t k = 0; k < x.size(); ++k) {
    int64_t step = 1;
    for (int i = x[k].rank() - 1; i >= 0; --i) {
      const int64_t n = x[k][i];
      strides[k][shape.size() - static_cast<size_t>(x[k].rank() - i)] = n == 1 ? 0 : step;
      step *= n;
    }
  }
  for (size_t i = 0; i < shape.size(); ++i) axes.add(shape[i], {strides[0][i], strides[1][i], strides[2][i]});
  return axes;
}

// Runs the op `number` of the list.
template <class T>
py::object run_op(size_t number, Inputs x) {
  const MapOp<T>& op = map_ops<T>()[number];
  const T* pointers[kMostOperands] = {};
  for (size_t k = 0; k < x.size(); ++k) pointers[k] = x[k].as<T>();
  const bool alike = x.size() == 1 || same_shapes(x);
  const Shape shape = alike ? x[0].shape() : broadcast(x);
  Output<T> y(op.name, shape);
  run_into(y, [&, to = y.data()] {
    Axes<kMostOperands> axes;
    if (alike) {
      axes.add(y.size(), {1, 1, 1});
    } else {
      axes = nest(x, shape);
    }
    op.run(axes, y.size(), pointers, to);
  });
  return y.array();
}

template <class... Objects>
py::object check_and_run(size_t number, const Objects&... objects) {
  const MapOp<float>& op = map_ops<float>()[number];
  size_t k = 0;
  const Input x[] = {Input(op.name, op.arguments[k++], objects)...};
  for (const Input& other : Inputs(x).subspan(1)) {
    check_same_dtype(x[0], other);
    if (!op.broadcasts) check_same_shape(x[0], other);
  }
  return by_dtype(x[0].is_double(), [&]<class T>(T) { return run_op<T>(number, x); });
}

}  // namespace
}  // namespace map_bindings

void bind_map(py::module_& m) {
  using namespace map_bindings;
  using Object = const py::object&;
  for (size_t i = 0; i < map_ops<float>().size(); ++i) {
    const auto& [name, names, broadcasts, run] = map_ops<float>()[i];
    if (names.size() == 1) {
      m.def(name, [i](Object a) { return check_and_run(i, a); }, py::arg(names[0]));
    } else if (names.size() == 2) {
      m.def(name, [i](Object a, Object b) { return check_and_run(i, a, b); }, py::arg(names[0]), py::arg(names[1]));
    } else {
      m.def(
          name, [i](Object a, Object b, Object c) { return check_and_run(i, a, b, c); }, py::arg(names[0]),
          py::arg(names[1]), py::arg(names[2]));
    }
  }
}

}  // namespace nnlite
