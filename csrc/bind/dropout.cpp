#include "ops/dropout.h"

#include <cmath>

#include "array.h"

namespace nnlite {
namespace dropout_bindings {
namespace {

constexpr uint32_t kStream = 2;

double probability(const char* op, const py::object& value) {
  const double p = number(op, "p", value);
  check(p >= 0 && p <= 1, op, ": p must be between 0 and 1, got ", std::string(py::str(py::float_(p))));
  return p;
}

// 1 / (1 - p), rounded once; for p = 1, which keeps nothing, it is never used.
template <class T>
T scale_of(double p) {
  return static_cast<T>(1 / (1 - p));
}

py::tuple forward(const py::object& x_object, const py::object& p_object, const py::object& seed,
                  const py::object& draw) {
  constexpr auto op = "dropout_forward";
  const Input x(op, "x", x_object);
  const double p = probability(op, p_object);
  const Draw d{counter(op, "seed", seed, 64), static_cast<uint32_t>(counter(op, "draw", draw, 32)), kStream};
  const auto threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, x.shape());
    Output<uint8_t> mask(op, x.shape());
    run_into(y, [&, y_to = y.data(), mask_to = mask.data()] {
      dropout_forward(x.as<T>(), x.size(), threshold, scale_of<T>(p), d, y_to, mask_to);
    });
    return py::make_tuple(y.array(), mask.array());
  });
}

Array backward(const py::object& dy_object, const py::object& mask_object, const py::object& p_object) {
  constexpr auto op = "dropout_backward";
  const Input dy(op, "dy", dy_object);
  const Indices<uint8_t> mask(op, "mask", mask_object, dy.shape(), "dy");
  const double p = probability(op, p_object);
  return by_dtype(dy.is_double(), [&]<class T>(T) {
    Output<T> dx(op, dy.shape());
    run_into(dx, [&, from = mask.data(), to = dx.data()] {
      dropout_backward(dy.as<T>(), from, dy.size(), scale_of<T>(p), to);
    });
    return dx.array();
  });
}

}  // namespace
}  // namespace dropout_bindings

void bind_dropout(py::module_& m) {
  using namespace dropout_bindings;
  m.def("dropout_forward", forward, py::arg("x"), py::arg("p"), py::arg("seed"), py::arg("draw"));
  m.def("dropout_backward", backward, py::arg("dy"), py::arg("mask"), py::arg("p"));
}

}  // namespace nnlite
