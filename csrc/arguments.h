// Arguments that are no arrays, and how errors are worded: the same for every device. Error texts are those of
// nnlite/reference/checks.py.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace nnlite {

namespace py = pybind11;
using Shape = std::vector<int64_t>;

// Raises ValueError with the parts joined, unless `condition` holds.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream message;
  (message << ... << parts);
  throw py::value_error(message.str());
}

// "(3, 4)", as Python writes a tuple: written only if the message is.
struct Shown {
  const Shape& shape;
};
inline Shown show(const Shape& shape) { return {shape}; }
std::ostream& operator<<(std::ostream& out, Shown shown);

// The product of sizes; ValueError when it (or its bytes) would overflow.
int64_t size_of(const char* op, const Shape& shape);

// "int", "ndarray": the type of a value in an error.
std::string type_name(py::handle value);

// A hyperparameter: anything that converts to a Python float.
double number(const char* op, const char* name, py::handle value);
// A flag: True or False, of Python or NumPy, and nothing that only converts to one.
bool flag(const char* op, const char* name, py::handle value);
// An unsigned number of `bits` bits: the seed, draw number or stream of a random op.
uint64_t counter(const char* op, const char* name, py::handle value, int bits);
// An int of at least `least`.
int64_t integer(const char* op, const char* name, py::handle value, int64_t least);
// int or pair of ints, each at least `least`: "conv2d_forward: stride must be at least 1, got (0, 1)".
std::pair<int64_t, int64_t> pair(const char* op, const char* name, py::handle value, int64_t least);
// ValueError where a stride, padding, dilation or kernel is larger than 2^31.
void check_step(const char* op, const char* name, const std::pair<int64_t, int64_t>& value);
// A tuple of `rank` sizes, none negative.
Shape shape_argument(const char* op, const char* name, py::handle value, int rank, const char* axes);

// A tuple of ints of any sign.
Shape integers(const char* op, const char* name, py::handle value);
// An axis, or different axes, of an array of `ndim` dimensions, counted from 0.
int axis_argument(const char* op, const char* name, py::handle value, int ndim);
Shape axes_argument(const char* op, const char* name, py::handle value, int ndim);

// float32 or float64, however it is named.
bool is_double_dtype(const char* op, const py::object& value);

// Calls f(float{}) or f(double{}).
template <class F>
auto by_dtype(bool is_double, F f) {
  return is_double ? f(double{}) : f(float{});
}

}  // namespace nnlite
