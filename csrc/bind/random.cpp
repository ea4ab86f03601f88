#include "ops/random.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "array.h"
#include "workspace.h"

namespace nnlite {
namespace {

struct Keyed {
  uint64_t key;
  int64_t index;
};

// order = the stable argsort of keys. The keys are random: after one distribution by their high bits a bucket holds a
// few numbers, and sorting those by insertion is stable too.
void stable_argsort(const uint64_t* keys, int64_t n, int64_t* order) {
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(n))) - 3);
  const Scratch<int64_t> ends((int64_t{1} << bits) + 1);
  const Scratch<Keyed> sorted(n);
  std::fill_n(ends.get(), (int64_t{1} << bits) + 1, int64_t{0});
  for (int64_t i = 0; i < n; ++i) ++ends[static_cast<int64_t>(keys[i] >> (64 - bits)) + 1];
  std::partial_sum(ends.get(), ends.get() + (int64_t{1} << bits) + 1, ends.get());
  for (int64_t i = 0; i < n; ++i) sorted[ends[static_cast<int64_t>(keys[i] >> (64 - bits))]++] = {keys[i], i};
  for (int64_t i = 1; i < n; ++i) {
    const Keyed moved = sorted[i];
    int64_t j = i;
    for (; j > 0 && sorted[j - 1].key > moved.key; --j) sorted[j] = sorted[j - 1];
    sorted[j] = moved;
  }
  for (int64_t i = 0; i < n; ++i) order[i] = sorted[i].index;
}

Draw draw_of(const char* op, py::handle seed, py::handle draw, py::handle stream) {
  return {counter(op, "seed", seed, 64), static_cast<uint32_t>(counter(op, "draw", draw, 32)),
          static_cast<uint32_t>(counter(op, "stream", stream, 32))};
}

int64_t count_of(const char* op, py::handle value) {
  const int64_t n = integer(op, "n", value, std::numeric_limits<int64_t>::min());
  check(n >= 0, op, ": n must not be negative, got ", n);
  return n;
}

py::array bits_op(const py::object& n_object, const py::object& seed, const py::object& draw,
                  const py::object& stream) {
  constexpr auto op = "random_bits";
  const Draw d = draw_of(op, seed, draw, stream);
  const int64_t n = count_of(op, n_object);
  Output<uint32_t> words(op, {n});
  run([&, to = words.data()] { random_bits(d, n, to); });
  return words.array();
}

py::array permutation_op(const py::object& n_object, const py::object& seed, const py::object& draw,
                         const py::object& stream) {
  constexpr auto op = "random_permutation";
  const Draw d = draw_of(op, seed, draw, stream);
  const int64_t n = count_of(op, n_object);
  Output<int64_t> order(op, {n});
  run([&, to = order.data()] {
    const Scratch<uint64_t> keys(n);
    random_bits64(d, n, keys.get());
    stable_argsort(keys.get(), n, to);
  });
  return order.array();
}

// float32 or float64, however it is named.
bool is_double_dtype(const char* op, const py::object& value) {
  const py::dtype dtype = py::dtype::from_args(value);
  const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
  if (native && dtype.equal(py::dtype::of<float>())) return false;
  if (native && dtype.equal(py::dtype::of<double>())) return true;
  throw py::type_error(std::string(op) + ": dtype must be float32 or float64, got " + std::string(py::str(dtype)));
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

py::array uniform_op(const py::object& shape, const py::object& low, const py::object& high, const py::object& dtype,
                     const py::object& seed, const py::object& draw, const py::object& stream) {
  constexpr auto op = "random_uniform";
  const Wanted wanted(op, shape, dtype, seed, draw, stream);
  const double from = number(op, "low", low), until = number(op, "high", high);
  return by_dtype(wanted.is_double, [&]<class T>(T) {
    Output<T> y(op, wanted.shape);
    run([&, to = y.data()] {
      random_uniform(wanted.draw, wanted.n, static_cast<T>(from), static_cast<T>(until - from), to);
    });
    return y.array();
  });
}

py::array normal_op(const py::object& shape, const py::object& mean, const py::object& std, const py::object& dtype,
                    const py::object& seed, const py::object& draw, const py::object& stream) {
  constexpr auto op = "random_normal";
  const Wanted wanted(op, shape, dtype, seed, draw, stream);
  const double center = number(op, "mean", mean), width = number(op, "std", std);
  return by_dtype(wanted.is_double, [&]<class T>(T) {
    Output<T> y(op, wanted.shape);
    run([&, to = y.data()] { random_normal(wanted.draw, wanted.n, center, width, to); });
    return y.array();
  });
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("random_bits", bits_op, py::arg("n"), py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_permutation", permutation_op, py::arg("n"), py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_uniform", uniform_op, py::arg("shape"), py::arg("low"), py::arg("high"), py::arg("dtype"),
        py::arg("seed"), py::arg("draw"), py::arg("stream"));
  m.def("random_normal", normal_op, py::arg("shape"), py::arg("mean"), py::arg("std"), py::arg("dtype"),
        py::arg("seed"), py::arg("draw"), py::arg("stream"));
}

}  // namespace nnlite
