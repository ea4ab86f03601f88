#include "ops/map.h"

#include "array.h"

namespace nnlite {
namespace map_bindings {
namespace {

template <class T>
py::object run_op(const MapOp<T>& op, const Input& a, const T* b) {
  Output<T> y(op.name, a.shape());
  run_into(y, [&, to = y.data()] { op.run(a.as<T>(), b, to, a.size()); });
  return y.array();
}

// The op `number` of the list.
template <class T>
const MapOp<T>& op(size_t number) {
  return map_ops<T>()[number];
}

}  // namespace
}  // namespace map_bindings

void bind_map(py::module_& m) {
  using namespace map_bindings;
  for (size_t i = 0; i < map_ops<float>().size(); ++i) {
    const auto [name, a_name, b_name, run] = op<float>(i);
    if (b_name == nullptr) {
      m.def(
          name,
          [=](const py::object& a_object) {
            const Input a(name, a_name, a_object);
            return by_dtype(a.is_double(), [&]<class T>(T) { return run_op<T>(op<T>(i), a, nullptr); });
          },
          py::arg(a_name));
    } else {
      m.def(
          name,
          [=](const py::object& a_object, const py::object& b_object) {
            const Input a(name, a_name, a_object), b(name, b_name, b_object);
            check_same_dtype(a, b);
            check_same_shape(a, b);
            return by_dtype(a.is_double(), [&]<class T>(T) { return run_op<T>(op<T>(i), a, b.as<T>()); });
          },
          py::arg(a_name), py::arg(b_name));
    }
  }
}

}  // namespace nnlite
