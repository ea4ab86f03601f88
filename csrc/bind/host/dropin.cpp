#include "ops/dropin.h"

#include "array.h"
#include "conv2d_size.h"

namespace nnlite {
namespace dropin_bindings {
namespace {

py::array convolution(const py::object& x_object, const py::object& weight_object, const py::object& bias_object,
                      const py::object& stride, const py::object& padding) {
  constexpr auto op = "_dropin_conv2d_forward";
  const Input x(op, "x", x_object, 4, "(N, C, H, W)"), weight(op, "weight", weight_object, 4, "(K, C, R, S)"),
      bias(op, "bias", bias_object, 1, "(K,)");
  check_same_dtype(x, weight);
  check_same_dtype(x, bias);
  const Conv2dSize size =
      conv2d_size(op, "x", x.shape(), "weight", weight.shape(), {stride, padding, py::int_(1), py::int_(1)});
  check_shape(bias, {weight[0]}, "weight");
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, {size.n, size.out_h, size.out_w, size.k});
    run([&, to = y.data()] { conv2d_forward_channels_last(size, x.as<T>(), weight.as<T>(), bias.as<T>(), to); });
    return y.array();
  });
}

py::tuple relu_forward(const py::object& x_object) {
  const Input x("_dropin_relu_forward", "x", x_object);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), x.shape());
    Output<uint8_t> mask(x.op(), x.shape());
    run([&, to = y.data(), mark = mask.data()] { relu_forward_mask(x.as<T>(), x.size(), to, mark); });
    return py::make_tuple(y.array(), mask.array());
  });
}

py::tuple rows_relu_forward(const py::object& x_object) {
  const Input x("_dropin_relu_forward_channels_last", "x", x_object, 3, "(N, P, C)");
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(x.op(), {x[0], x[2], x[1]});
    Output<uint8_t> mask(x.op(), {x[0], x[2], x[1]});
    run([&, to = y.data(), mark = mask.data()] { relu_forward_channels_last(x.as<T>(), x[0], x[2], x[1], to, mark); });
    return py::make_tuple(y.array(), mask.array());
  });
}

void relu_backward(const py::object& dy_object, const py::object& mask_object) {
  constexpr auto op = "_dropin_relu_backward";
  InPlace dy(op, "dy", dy_object);
  const Indices<uint8_t> mask(op, "mask", mask_object, dy.shape(), "dy");
  by_dtype(dy.is_double(),
           [&]<class T>(T) { run_whole([&] { relu_backward_in_place(dy.as<T>(), dy.size(), mask.data()); }); });
}

}  // namespace
}  // namespace dropin_bindings

// No ops, hence the underscores: compositions of ops in one pass.
void bind_dropin(py::module_& m) {
  using namespace dropin_bindings;
  m.def("_dropin_conv2d_forward", convolution, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"));
  m.def("_dropin_relu_forward", relu_forward, py::arg("x"));
  m.def("_dropin_relu_forward_channels_last", rows_relu_forward, py::arg("x"));
  m.def("_dropin_relu_backward", relu_backward, py::arg("dy"), py::arg("mask"));
}

}  // namespace nnlite
