// The boundary between Python and the kernels. Every check of an argument lives here and in bind/; kernels see plain
// pointers and sizes. Error texts are those of nnlite/reference/checks.py.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
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

// A checked argument: a float32 or float64 array in native byte order, C order and aligned. An input that is not so
// laid out is copied here, in this one place; nothing is ever converted.
class Input {
 public:
  // `rank` < 0 admits any; `axes` is its description in the error, e.g. "(N, C, H, W)".
  Input(const char* op, const char* name, py::handle value, int rank = -1, const char* axes = "");

  const char* op() const { return op_; }
  const char* name() const { return name_; }
  bool is_double() const { return is_double_; }
  int rank() const { return static_cast<int>(data_.ndim()); }
  int64_t operator[](int axis) const { return data_.shape(axis); }
  int64_t size() const { return data_.size(); }
  Shape shape() const { return Shape(data_.shape(), data_.shape() + data_.ndim()); }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_.data());
  }

 private:
  const char* op_;
  const char* name_;
  py::array data_;
  bool is_double_;
};

// An argument that may be None.
std::optional<Input> optional_input(const char* op, const char* name, py::handle value, int rank, const char* axes);

// An array that an op changes in place: C order, aligned and writable, never copied.
class InPlace {
 public:
  InPlace(const char* op, const char* name, py::handle value);
  bool is_double() const { return is_double_; }
  int64_t size() const { return data_.size(); }
  Shape shape() const { return Shape(data_.shape(), data_.shape() + data_.ndim()); }
  template <class T>
  T* as() {
    return static_cast<T*>(data_.mutable_data());
  }

 private:
  py::array data_;
  bool is_double_;
};

// "int", "ndarray": the type of a value in an error.
std::string type_name(py::handle value);

// The array itself if it is in C order and aligned, else a copy that is.
py::array in_c_order(const py::array& a);

// An array of a type other than the floats, e.g. int32 indices, of the shape that `of` needs; in C order, copied if it
// was not.
template <class T>
py::array_t<T, py::array::c_style> typed_array(const char* op, const char* name, py::handle value, const Shape& shape,
                                               const char* of) {
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be a numpy.ndarray, got " + type_name(value));
  }
  const auto given = py::reinterpret_borrow<py::array>(value);
  const py::dtype wanted = py::dtype::of<T>();
  if (!given.dtype().equal(wanted)) {
    throw py::type_error(std::string(op) + ": " + name + " must be " + std::string(py::str(wanted)) + ", got " +
                         std::string(py::str(given.dtype())));
  }
  const Shape found(given.shape(), given.shape() + given.ndim());
  check(found == shape, op, ": ", name, " has shape ", show(found), " but ", of, " needs ", show(shape));
  return py::reinterpret_borrow<py::array_t<T, py::array::c_style>>(in_c_order(given));
}

// Integer labels of any integer dtype, copied to int64 before they are checked, because the GIL is released afterwards.
std::vector<int64_t> labels(const char* op, const char* name, py::handle value);
bool is_integer_array(py::handle value);

void check_same_dtype(const Input& a, const Input& b);
void check_same_shape(const Input& a, const Input& b);
void check_shape(const Input& a, const Shape& expected, const char* of);

// A hyperparameter: anything that converts to a Python float.
double number(const char* op, const char* name, py::handle value);
// An unsigned number of `bits` bits: the seed, draw number or stream of a random op.
uint64_t counter(const char* op, const char* name, py::handle value, int bits);
// An int of at least `least`.
int64_t integer(const char* op, const char* name, py::handle value, int64_t least);
// int or pair of ints, each at least `least`: "conv2d_forward: stride must be at least 1, got (0, 1)".
std::pair<int64_t, int64_t> pair(const char* op, const char* name, py::handle value, int64_t least);
// A tuple of `rank` sizes, none negative.
Shape shape_argument(const char* op, const char* name, py::handle value, int rank, const char* axes);

// A new array from the recycling allocator, contents undefined.
template <class T>
class Output {
 public:
  Output(const char* op, const Shape& shape);
  T* data() { return static_cast<T*>(array_.mutable_data()); }
  py::array array() const { return array_; }

 private:
  py::array array_;
};

// Calls f(float{}) or f(double{}).
template <class F>
auto by_dtype(bool is_double, F f) {
  return is_double ? f(double{}) : f(float{});
}

// Runs a kernel: without the GIL, under the specified floating-point state, Ctrl-C heeded.
void run_erased(void (*body)(void*), void* context);
template <class F>
void run(F f) {
  run_erased([](void* context) { (*static_cast<F*>(context))(); }, &f);
}

}  // namespace nnlite
