#include "ops/map.h"

#include <algorithm>
#include <array>

#include "array.h"

namespace nnlite {
namespace map_bindings {
namespace {

// The shape of the result: from the last axis on, sizes are equal or 1.
Shape broadcast(const std::vector<Input>& x) {
  Shape shape = x[0].shape();
  for (size_t k = 1; k < x.size(); ++k) {
    const Shape before = shape, other = x[k].shape();
    if (other.size() > shape.size()) shape.insert(shape.begin(), other.size() - shape.size(), 1);
    bool fits = true;
    for (size_t i = 1; i <= other.size(); ++i) {
      int64_t& size = shape[shape.size() - i];
      const int64_t n = other[other.size() - i];
      fits = fits && (n == size || n == 1 || size == 1);
      if (size == 1) size = n;
    }
    check(fits, x[0].op(), ": shapes ", show(before), " and ", show(other), " of ", x[k].name(),
          " cannot be broadcast: counted from the last axis, sizes must be equal or 1");
  }
  return shape;
}

// The nest over `shape` with each argument's strides there.
Axes<kMostOperands> nest(const std::vector<Input>& x, const Shape& shape) {
  Axes<kMostOperands> axes;
  std::vector<Shape> strides(kMostOperands, Shape(shape.size(), 0));
  for (size_t k = 0; k < x.size(); ++k) {
    int64_t step = 1;
    for (size_t i = 1; i <= static_cast<size_t>(x[k].rank()); ++i) {
      const int64_t n = x[k][x[k].rank() - static_cast<int>(i)];
      strides[k][shape.size() - i] = n == 1 ? 0 : step;
      step *= n;
    }
  }
  for (size_t i = 0; i < shape.size(); ++i) axes.add(shape[i], {strides[0][i], strides[1][i], strides[2][i]});
  return axes;
}

// Runs the op `number` of the list.
template <class T>
py::object run_op(size_t number, const std::vector<Input>& x) {
  const MapOp<T>& op = map_ops<T>()[number];
  const Shape shape = op.broadcasts ? broadcast(x) : x[0].shape();
  size_of(op.name, shape);
  const T* pointers[kMostOperands] = {};
  for (size_t k = 0; k < x.size(); ++k) pointers[k] = x[k].as<T>();
  Output<T> y(op.name, shape);
  run_into(y, [&, to = y.data()] { op.run(nest(x, shape), y.size(), pointers, to); });
  return y.array();
}

template <class... Objects>
py::object check_and_run(size_t number, const Objects&... objects) {
  const MapOp<float>& op = map_ops<float>()[number];
  const py::object given[] = {objects...};
  std::vector<Input> x;
  x.reserve(sizeof...(objects));
  for (size_t k = 0; k < sizeof...(objects); ++k) x.emplace_back(op.name, op.arguments[k], given[k]);
  for (size_t k = 1; k < x.size(); ++k) {
    check_same_dtype(x[0], x[k]);
    if (!op.broadcasts) check_same_shape(x[0], x[k]);
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
