#include "ops/gemm.h"

#include "array.h"
#include "ops/bmm.h"

namespace nnlite {
namespace gemm_bindings {
namespace {

Array multiply(GemmSize size, const Input& a, const Input& b, const Input* bias) {
  return by_dtype(a.is_double(), [&]<class T>(T) {
    Output<T> c(a.op(), {size.m, size.n});
    run_into(c, [&, to = c.data()] { gemm(size, a.as<T>(), b.as<T>(), bias ? bias->as<T>() : nullptr, to); });
    return c.array();
  });
}

Array gemm_op(const py::object& a_object, const py::object& b_object, const py::object& transpose_a_object,
              const py::object& transpose_b_object) {
  const bool transpose_a = flag("gemm", "transpose_a", transpose_a_object);
  const bool transpose_b = flag("gemm", "transpose_b", transpose_b_object);
  const Input a("gemm", "a", a_object, 2, "(M, L)"), b("gemm", "b", b_object, 2, "(L, N)");
  check_same_dtype(a, b);
  const int64_t k = a[transpose_a ? 0 : 1];
  check(k == b[transpose_b ? 1 : 0], "gemm: op(a) has ", k, " columns but op(b) has ", b[transpose_b ? 1 : 0], " rows");
  return multiply({a[transpose_a ? 1 : 0], b[transpose_b ? 0 : 1], k, transpose_a, transpose_b}, a, b, nullptr);
}

Array bmm_op(const py::object& a_object, const py::object& b_object, const py::object& transpose_a_object,
             const py::object& transpose_b_object) {
  const bool transpose_a = flag("bmm", "transpose_a", transpose_a_object);
  const bool transpose_b = flag("bmm", "transpose_b", transpose_b_object);
  const Input a("bmm", "a", a_object, 3, "(B, M, L)"), b("bmm", "b", b_object, 3, "(B, L, N)");
  check_same_dtype(a, b);
  check(a[0] == b[0], "bmm: a holds ", a[0], " matrices but b holds ", b[0]);
  const int64_t k = a[transpose_a ? 1 : 2], right = b[transpose_b ? 2 : 1];
  check(k == right, "bmm: op(a) has ", k, " columns but op(b) has ", right, " rows");
  const GemmSize size{a[transpose_a ? 2 : 1], b[transpose_b ? 1 : 2], k, transpose_a, transpose_b};
  return by_dtype(a.is_double(), [&]<class T>(T) {
    Output<T> c("bmm", {a[0], size.m, size.n});
    run_into(c, [&, to = c.data()] { bmm(a[0], size, a.as<T>(), b.as<T>(), to); });
    return c.array();
  });
}

Array linear_forward(const py::object& x_object, const py::object& weight_object, const py::object& bias_object) {
  constexpr auto op = "linear_forward";
  const Input x(op, "x", x_object, 2, "(N, I)"), weight(op, "weight", weight_object, 2, "(O, I)");
  const std::optional<Input> bias = optional_input(op, "bias", bias_object, 1, "(O,)");
  check_same_dtype(x, weight);
  if (bias) check_same_dtype(x, *bias);
  check(x[1] == weight[1], op, ": x has ", x[1], " features but weight expects ", weight[1]);
  if (bias) check_shape(*bias, {weight[0]}, "weight");
  const GemmSize size{x[0], weight[0], x[1], false, true};
  return multiply(size, x, weight, bias ? &*bias : nullptr);
}

Array linear_backward_data(const py::object& dy_object, const py::object& weight_object) {
  constexpr auto op = "linear_backward_data";
  const Input dy(op, "dy", dy_object, 2, "(N, O)"), weight(op, "weight", weight_object, 2, "(O, I)");
  check_same_dtype(dy, weight);
  check(dy[1] == weight[0], op, ": dy has ", dy[1], " features but weight gives ", weight[0]);
  return multiply({dy[0], weight[1], dy[1], false, false}, dy, weight, nullptr);
}

Array linear_backward_weights(const py::object& dy_object, const py::object& x_object) {
  constexpr auto op = "linear_backward_weights";
  const Input dy(op, "dy", dy_object, 2, "(N, O)"), x(op, "x", x_object, 2, "(N, I)");
  check_same_dtype(dy, x);
  check(dy[0] == x[0], op, ": dy has ", dy[0], " rows but x has ", x[0]);
  return multiply({dy[1], x[1], dy[0], true, false}, dy, x, nullptr);
}

Array linear_backward_bias(const py::object& dy_object) {
  const Input dy("linear_backward_bias", "dy", dy_object, 2, "(N, O)");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dbias(dy.op(), {dy[1]});
    run_into(dbias, [&, to = dbias.data()] { column_sums(dy.as<T>(), dy[0], dy[1], to); });
    return dbias.array();
  });
}

}  // namespace
}  // namespace gemm_bindings

void bind_gemm(py::module_& m) {
  using namespace gemm_bindings;
  m.def("gemm", gemm_op, py::arg("a"), py::arg("b"), py::arg("transpose_a") = false, py::arg("transpose_b") = false);
  m.def("bmm", bmm_op, py::arg("a"), py::arg("b"), py::arg("transpose_a") = false, py::arg("transpose_b") = false);
  m.def("linear_forward", linear_forward, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none());
  m.def("linear_backward_data", linear_backward_data, py::arg("dy"), py::arg("weight"));
  m.def("linear_backward_weights", linear_backward_weights, py::arg("dy"), py::arg("x"));
  m.def("linear_backward_bias", linear_backward_bias, py::arg("dy"));
}

}  // namespace nnlite
