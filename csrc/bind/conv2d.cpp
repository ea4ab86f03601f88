#include "ops/conv2d.h"

#include "array.h"
#include "conv2d_size.h"

namespace nnlite {
namespace conv2d_bindings {
namespace {

constexpr auto kXAxes = "(N, C, H, W)";
constexpr auto kWeightAxes = "(K, C/groups, R, S)";
constexpr auto kYAxes = "(N, K, OH, OW)";

Shape output_shape(const Conv2dSize& size) { return {size.n, size.k, size.out_h, size.out_w}; }

Array forward(const py::object& x_object, const py::object& weight_object, const py::object& bias_object,
              py::object stride, py::object padding, py::object dilation, py::object groups) {
  constexpr auto op = "conv2d_forward";
  const Input x(op, "x", x_object, 4, kXAxes), weight(op, "weight", weight_object, 4, kWeightAxes);
  const std::optional<Input> bias = optional_input(op, "bias", bias_object, 1, "(K,)");
  check_same_dtype(x, weight);
  if (bias) check_same_dtype(x, *bias);
  const Conv2dSize size =
      conv2d_size(op, "x", x.shape(), "weight", weight.shape(), {stride, padding, dilation, groups});
  if (bias) check_shape(*bias, {weight[0]}, "weight");
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, output_shape(size));
    run_into(
        y, [&, to = y.data()] { conv2d_forward(size, x.as<T>(), weight.as<T>(), bias ? bias->as<T>() : nullptr, to); });
    return y.array();
  });
}

Array backward_data(const py::object& dy_object, const py::object& weight_object, const py::object& x_shape_object,
                    py::object stride, py::object padding, py::object dilation, py::object groups) {
  constexpr auto op = "conv2d_backward_data";
  const Input dy(op, "dy", dy_object, 4, kYAxes), weight(op, "weight", weight_object, 4, kWeightAxes);
  check_same_dtype(dy, weight);
  const Shape x_shape = shape_argument(op, "x_shape", x_shape_object, 4, kXAxes);
  const Conv2dSize size =
      conv2d_size(op, "x_shape", x_shape, "weight", weight.shape(), {stride, padding, dilation, groups});
  check_shape(dy, output_shape(size), "the output");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(op, x_shape);
    run_into(dx, [&, to = dx.data()] { conv2d_backward_data(size, dy.as<T>(), weight.as<T>(), to); });
    return dx.array();
  });
}

Array backward_weights(const py::object& dy_object, const py::object& x_object, const py::object& weight_shape_object,
                       py::object stride, py::object padding, py::object dilation, py::object groups) {
  constexpr auto op = "conv2d_backward_weights";
  const Input dy(op, "dy", dy_object, 4, kYAxes), x(op, "x", x_object, 4, kXAxes);
  check_same_dtype(dy, x);
  const Shape weight_shape = shape_argument(op, "weight_shape", weight_shape_object, 4, kWeightAxes);
  const Conv2dSize size =
      conv2d_size(op, "x", x.shape(), "weight_shape", weight_shape, {stride, padding, dilation, groups});
  check_shape(dy, output_shape(size), "the output");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dweight(op, weight_shape);
    run_into(dweight, [&, to = dweight.data()] { conv2d_backward_weights(size, dy.as<T>(), x.as<T>(), to); });
    return dweight.array();
  });
}

Array backward_bias(const py::object& dy_object) {
  const Input dy("conv2d_backward_bias", "dy", dy_object, 4, kYAxes);
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dbias(dy.op(), {dy[1]});
    run_into(dbias,
             [&, to = dbias.data()] { plane_sums(dy.as<T>(), dy.size() > 0 ? dy[0] : 0, dy[1], dy[2] * dy[3], to); });
    return dbias.array();
  });
}

}  // namespace
}  // namespace conv2d_bindings

void bind_conv2d(py::module_& m) {
  using namespace conv2d_bindings;
  m.def("conv2d_forward", forward, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1,
        py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1);
  m.def("conv2d_backward_data", backward_data, py::arg("dy"), py::arg("weight"), py::arg("x_shape"),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1);
  m.def("conv2d_backward_weights", backward_weights, py::arg("dy"), py::arg("x"), py::arg("weight_shape"),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1);
  m.def("conv2d_backward_bias", backward_bias, py::arg("dy"));
}

}  // namespace nnlite
