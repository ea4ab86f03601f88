#include "ops/random.h"

#include <limits>

#include "array.h"

namespace nnlite {
namespace random_bindings {
namespace {

Draw draw_of(const char* op, py::handle seed, py::handle draw, py::handle stream) {
  return {counter(op, "seed", seed, 64), static_cast<uint32_t>(counter(op, "draw", draw, 32)),
          static_cast<uint32_t>(counter(op, "stream", stream, 32))};
}

int64_t count_of(const char* op, py::handle value) {
  const int64_t n = integer(op, "n", value, std::numeric_limits<int64_t>::min());
  check(n >= 0, op, ": n must not be negative, got ", n);
  return n;
}

Array bits_op(const py::object& n_object, const py::object& seed, const py::object& draw, const py::object& stream) {
  constexpr auto op = "random_bits";
  const Draw d = draw_of(op, seed, draw, stream);
  const int64_t n = count_of(op, n_object);
  Output<uint32_t> words(op, {n});
  run_into(words, [&, to = words.data()] { random_bits(d, n, to); });
  return words.array();
}

Array permutation_op(const py::object& n_object, const py::object& seed, const py::object& draw,
                     const py::object& stream) {
  constexpr auto op = "random_permutation";
  const Draw d = draw_of(op, seed, draw, stream);
  const int64_t n = count_of(op, n_object);
  Output<int64_t> order(op, {n});
  run_into(order, [&, to = order.data()] { random_permutation(d, n, to); });
  return order.array();
}

// Shape, dtype and draw of a random array, in the order in which the reference checks them.
struct Wanted {
  Wanted(const char* op, const py::object& shape_object, const py::object& dtype, const py::object& seed,
         const py::object& draw_number, const py::object& stream)
      : draw(draw_of(op, seed, draw_number, stream)), shape(shape_argument(op, "shape", shape_object, -1, "")) {
    n = size_of(op, shape);
    is_double = is_double_dtype(op, dtype);
  }
  Draw draw;
  Shape shape;
  int64_t n;
  bool is_double;
};

Array uniform_op(const py::object& shape, const py::object& low, const py::object& high, const py::object& dtype,
                 const py::object& seed, const py::object& draw, const py::object& stream) {
  constexpr auto op = "random_uniform";
  const Wanted wanted(op, shape, dtype, seed, draw, stream);
  const double from = number(op, "low", low), until = number(op, "high", high);
  return by_dtype(wanted.is_double, [&]<class T>(T) {
    Output<T> y(op, wanted.shape);
    run_into(y, [&, to = y.data()] {
      random_uniform(wanted.draw, wanted.n, static_cast<T>(from), static_cast<T>(until - from), to);
    });
    return y.array();
  });
}

Array normal_op(const py::object& shape, const py::object& mean, const py::object& std, const py::object& dtype,
                const py::object& seed, const py::object& draw, const py::object& stream) {
  constexpr auto op = "random_normal";
  const Wanted wanted(op, shape, dtype, seed, draw, stream);
  const double center = number(op, "mean", mean), width = number(op, "std", std);
  return by_dtype(wanted.is_double, [&]<class T>(T) {
    Output<T> y(op, wanted.shape);
    run_into(y, [&, to = y.data()] { random_normal(wanted.draw, wanted.n, center, width, to); });
    return y.array();
  });
}

}  // namespace
}  // namespace random_bindings

void bind_random(py::module_& m) {
  using namespace random_bindings;
  m.def("random_bits", bits_op, py::arg("n"), py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_permutation", permutation_op, py::arg("n"), py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_uniform", uniform_op, py::arg("shape"), py::arg("low"), py::arg("high"), py::arg("dtype"),
        py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_normal", normal_op, py::arg("shape"), py::arg("mean"), py::arg("std"), py::arg("dtype"),
        py::arg("seed"), py::arg("draw"), py::arg("stream"));
}

}  // namespace nnlite
