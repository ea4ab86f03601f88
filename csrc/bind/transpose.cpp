#include "ops/transpose.h"

#include "array.h"

namespace nnlite {
namespace transpose_bindings {
namespace {

Array transposed(const py::object& x_object) {
  const Input x("transpose", "x", x_object, 3, "(N, A, B)");
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), {x[0], x[2], x[1]});
    run_into(y, [&, to = y.data()] { transpose(x.as<T>(), x[0], x[1], x[2], to); });
    return y.array();
  });
}

}  // namespace
}  // namespace transpose_bindings

void bind_transpose(py::module_& m) {
  using namespace transpose_bindings;
  m.def("transpose", transposed, py::arg("x"));
}

}  // namespace nnlite
