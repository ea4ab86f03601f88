// The boundary between Python and the kernels, for arrays in host memory: numpy.ndarray. Every check of an argument
// lives here, in arguments.h and in bind/; kernels see plain pointers and sizes. cuda/array.h defines the same names
// over device memory, and bind/ is compiled against either.
#pragma once

#include <optional>

#include "arguments.h"

namespace nnlite {

// What an op returns.
using Array = py::array;

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

// The array itself if it is in C order and aligned, else a copy that is.
py::array in_c_order(const py::array& a);

// An array of a type other than the floats, e.g. int32 indices, of the shape that `of` needs; copied if it was not in C
// order.
template <class T>
class Indices {
 public:
  Indices(const char* op, const char* name, py::handle value, const Shape& shape, const char* of);
  int64_t size() const { return data_.size(); }
  const T* data() const { return static_cast<const T*>(data_.data()); }

 private:
  py::array data_;
};

// Labels (N,) of any integer type, copied to int64 before they are checked, because the GIL is released afterwards.
class Labels {
 public:
  Labels(const char* op, const char* name, py::handle value);
  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  const int64_t* data() const { return labels_.data(); }
  // ValueError naming the first one outside 0 ... n - 1, where there are n `of`.
  void check_range(int64_t n, const char* of = "classes") const;

 private:
  const char* op_;
  const char* name_;
  py::object given_;
  std::vector<int64_t> labels_;
};

bool is_integer_array(py::handle value);
Shape shape_of(py::handle array);

// A new array from the recycling allocator, contents undefined.
template <class T>
class Output {
 public:
  Output(const char* op, const Shape& shape);
  T* data() { return static_cast<T*>(array_.mutable_data()); }
  int64_t size() const { return array_.size(); }
  py::array array() const { return array_; }

 private:
  py::array array_;
};

// Runs a kernel: without the GIL, under the specified floating-point state, Ctrl-C heeded.
void run_erased(void (*body)(void*), void* context);
template <class F>
void run(F f) {
  run_erased([](void* context) { (*static_cast<F*>(context))(); }, &f);
}

// The same where there is a result: one without elements needs no kernel, however long its other axes are.
template <class T, class F>
void run_into(const Output<T>& y, F f) {
  if (y.size() > 0) run(f);
}

// The same for an update in place, which is done or not done whatever signals come.
void run_whole_erased(void (*body)(void*), void* context);
template <class F>
void run_whole(F f) {
  run_whole_erased([](void* context) { (*static_cast<F*>(context))(); }, &f);
}

}  // namespace nnlite

#include "input_checks.h"
