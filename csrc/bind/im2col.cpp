#include "ops/im2col.h"

#include "array.h"
#include "windows.h"

namespace nnlite {
namespace im2col_bindings {
namespace {

std::pair<WindowAxis, WindowAxis> axes(Pair size, const Windows& w) {
  return {{size.first, w.kernel.first, w.stride.first, w.padding.first, w.dilation.first, w.output.first},
          {size.second, w.kernel.second, w.stride.second, w.padding.second, w.dilation.second, w.output.second}};
}

Array forward(const py::object& x_object, const py::object& kernel_size, const py::object& stride,
              const py::object& padding, const py::object& dilation) {
  constexpr auto op = "im2col";
  const Input x(op, "x", x_object, 4, "(N, C, H, W)");
  const Pair kernel = pair(op, "kernel_size", kernel_size, 1), size{x[2], x[3]};
  const auto [h, w] = axes(size, windows(op, size, kernel, stride, padding, dilation));
  const Shape shape{size_of(op, {x[0], h.windows, w.windows}), size_of(op, {x[1], h.kernel, w.kernel})};
  return by_dtype(x.is_double(), [&, h = h, w = w]<class T>(T) {
    Output<T> col(op, shape);
    run_into(col, [&, to = col.data()] { im2col(x.as<T>(), x[0], x[1], h, w, to); });
    return col.array();
  });
}

Array backward(const py::object& col_object, const py::object& x_shape_object, const py::object& kernel_size,
               const py::object& stride, const py::object& padding, const py::object& dilation) {
  constexpr auto op = "col2im";
  const Input col(op, "col", col_object, 2, "(N*OH*OW, C*R*S)");
  const Shape x_shape = shape_argument(op, "x_shape", x_shape_object, 4, "(N, C, H, W)");
  const Pair kernel = pair(op, "kernel_size", kernel_size, 1), size{x_shape[2], x_shape[3]};
  const auto [h, w] = axes(size, windows(op, size, kernel, stride, padding, dilation));
  check_shape(col, {size_of(op, {x_shape[0], h.windows, w.windows}), size_of(op, {x_shape[1], h.kernel, w.kernel})},
              "x_shape");
  return by_dtype(col.is_double(), [&, h = h, w = w]<class T>(T) {
    Output<T> dx(op, x_shape);
    run_into(dx, [&, to = dx.data()] { col2im(col.as<T>(), x_shape[0], x_shape[1], h, w, to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace im2col_bindings

void bind_im2col(py::module_& m) {
  using namespace im2col_bindings;
  m.def("im2col", forward, py::arg("x"), py::arg("kernel_size"), py::arg("stride") = 1, py::arg("padding") = 0,
        py::arg("dilation") = 1);
  m.def("col2im", backward, py::arg("col"), py::arg("x_shape"), py::arg("kernel_size"), py::arg("stride") = 1,
        py::arg("padding") = 0, py::arg("dilation") = 1);
}

}  // namespace nnlite
