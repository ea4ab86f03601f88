#include "ops/pool2d.h"

#include <limits>

#include "array.h"
#include "windows.h"

namespace nnlite {
namespace pool2d_bindings {
namespace {

constexpr auto kXAxes = "(N, C, H, W)";
constexpr auto kYAxes = "(N, C, OH, OW)";

void check_plane(const char* op, int64_t h, int64_t w) {
  check(h >= 1 && w >= 1, op, ": x must have planes of at least (1, 1), got ", show({h, w}));
}

struct Pool {
  Pool(const char* op, const Shape& x, const py::object& kernel_size, const py::object& stride,
       const py::object& padding) {
    const Pair kernel = pair(op, "kernel_size", kernel_size, 1);
    check_plane(op, x[2], x[3]);
    const py::object kernel_object = py::make_tuple(kernel.first, kernel.second);
    const Windows found = windows(op, {x[2], x[3]}, kernel, stride.is_none() ? kernel_object : stride, padding);
    const Pair p = found.padding;
    check(p.first <= kernel.first / 2 && p.second <= kernel.second / 2, op,
          ": padding must be at most half the kernel, got padding ", show({p.first, p.second}), " for kernel_size ",
          show({kernel.first, kernel.second}));
    check(kernel.first <= std::numeric_limits<int32_t>::max() / kernel.second, op, ": size of kernel_size overflows");
    h = {x[2], kernel.first, found.stride.first, p.first, 1, found.output.first};
    w = {x[3], kernel.second, found.stride.second, p.second, 1, found.output.second};
    planes = size_of(op, {x[0], x[1]});
    y_shape = {x[0], x[1], h.windows, w.windows};
  }
  int64_t taps() const { return h.kernel * w.kernel; }
  // Calls f with a number of the type that indices of taps have.
  template <class F>
  auto by_index_type(F f) const {
    return taps() < 256 ? f(uint8_t{}) : f(int32_t{});
  }
  WindowAxis h, w;
  int64_t planes;
  Shape y_shape;
};

py::tuple max_forward(const py::object& x_object, const py::object& kernel_size, const py::object& stride,
                      const py::object& padding) {
  constexpr auto op = "max_pool2d_forward";
  const Input x(op, "x", x_object, 4, kXAxes);
  const Pool pool(op, x.shape(), kernel_size, stride, padding);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    return pool.by_index_type([&]<class I>(I) {
      Output<T> y(op, pool.y_shape);
      Output<I> index(op, pool.y_shape);
      run_into(y, [&, y_to = y.data(), index_to = index.data()] {
        max_pool2d_forward(x.as<T>(), pool.planes, pool.h, pool.w, y_to, index_to);
      });
      return py::make_tuple(y.array(), index.array());
    });
  });
}

Array max_backward(const py::object& dy_object, const py::object& index_object, const py::object& x_shape_object,
                   const py::object& kernel_size, const py::object& stride, const py::object& padding) {
  constexpr auto op = "max_pool2d_backward";
  const Input dy(op, "dy", dy_object, 4, kYAxes);
  const Shape x_shape = shape_argument(op, "x_shape", x_shape_object, 4, kXAxes);
  const Pool pool(op, x_shape, kernel_size, stride, padding);
  check_shape(dy, pool.y_shape, "the output");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    return pool.by_index_type([&]<class I>(I) {
      const Indices<I> index(op, "index", index_object, pool.y_shape, "the output");
      Output<T> dx(op, x_shape);
      bool valid = true;
      run_into(dx, [&, from = index.data(), to = dx.data()] {
        valid = max_pool2d_backward(dy.as<T>(), from, pool.planes, pool.h, pool.w, to);
      });
      const int64_t count = valid ? 0 : index.size();
      for (int64_t i = 0; i < count; ++i) {
        const int64_t tap = index.data()[i];
        check(tap >= 0 && tap < pool.taps(), op, ": index holds [", tap, "] but a window has ", pool.taps(),
              " taps (0 to ", pool.taps() - 1, ")");
      }
      return dx.array();
    });
  });
}

Array avg_forward(const py::object& x_object, const py::object& kernel_size, const py::object& stride,
                  const py::object& padding) {
  constexpr auto op = "avg_pool2d_forward";
  const Input x(op, "x", x_object, 4, kXAxes);
  const Pool pool(op, x.shape(), kernel_size, stride, padding);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, pool.y_shape);
    run_into(y, [&, to = y.data()] { avg_pool2d_forward(x.as<T>(), pool.planes, pool.h, pool.w, to); });
    return y.array();
  });
}

Array avg_backward(const py::object& dy_object, const py::object& x_shape_object, const py::object& kernel_size,
                   const py::object& stride, const py::object& padding) {
  constexpr auto op = "avg_pool2d_backward";
  const Input dy(op, "dy", dy_object, 4, kYAxes);
  const Shape x_shape = shape_argument(op, "x_shape", x_shape_object, 4, kXAxes);
  const Pool pool(op, x_shape, kernel_size, stride, padding);
  check_shape(dy, pool.y_shape, "the output");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(op, x_shape);
    run_into(dx, [&, to = dx.data()] { avg_pool2d_backward(dy.as<T>(), pool.planes, pool.h, pool.w, to); });
    return dx.array();
  });
}

Array global_forward(const py::object& x_object) {
  constexpr auto op = "global_avg_pool2d_forward";
  const Input x(op, "x", x_object, 4, kXAxes);
  check_plane(op, x[2], x[3]);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, {x[0], x[1], 1, 1});
    run_into(y, [&, to = y.data()] { global_avg_pool2d_forward(x.as<T>(), x[0] * x[1], x[2] * x[3], to); });
    return y.array();
  });
}

Array global_backward(const py::object& dy_object, const py::object& x_shape_object) {
  constexpr auto op = "global_avg_pool2d_backward";
  const Input dy(op, "dy", dy_object, 4, "(N, C, 1, 1)");
  const Shape x = shape_argument(op, "x_shape", x_shape_object, 4, kXAxes);
  check_plane(op, x[2], x[3]);
  check_shape(dy, {x[0], x[1], 1, 1}, "the output");
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(op, x);
    run_into(dx, [&, to = dx.data()] { global_avg_pool2d_backward(dy.as<T>(), x[0] * x[1], x[2] * x[3], to); });
    return dx.array();
  });
}

}  // namespace
}  // namespace pool2d_bindings

void bind_pool2d(py::module_& m) {
  using namespace pool2d_bindings;
  m.def("max_pool2d_forward", max_forward, py::arg("x"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = 0);
  m.def("max_pool2d_backward", max_backward, py::arg("dy"), py::arg("index"), py::arg("x_shape"),
        py::arg("kernel_size"), py::arg("stride") = py::none(), py::arg("padding") = 0);
  m.def("avg_pool2d_forward", avg_forward, py::arg("x"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = 0);
  m.def("avg_pool2d_backward", avg_backward, py::arg("dy"), py::arg("x_shape"), py::arg("kernel_size"),
        py::arg("stride") = py::none(), py::arg("padding") = 0);
  m.def("global_avg_pool2d_forward", global_forward, py::arg("x"));
  m.def("global_avg_pool2d_backward", global_backward, py::arg("dy"), py::arg("x_shape"));
}

}  // namespace nnlite
