// The boundary between Python and the kernels, for arrays in device memory: csrc/array.h's names, with which bind/ is
// compiled a second time. What is checked on the host there and cannot be here, because the values are on the device,
// is checked by a kernel and raised at the next synchronisation (device.h, Fault).
#pragma once

#include <memory>
#include <optional>

#include "arguments.h"
#include "device.h"

namespace nnlite {

// What an op returns: an instance of the class that module.cpp binds as Array.
using Array = py::object;

// The type of an array's elements, as NumPy names it: kind 'f', 'i' or 'u' and size in bytes.
struct ElementType {
  char kind;
  int size;
  bool operator==(const ElementType&) const = default;
  std::string name() const;
};
template <class T>
constexpr ElementType kElementType{std::is_floating_point_v<T> ? 'f'
                                   : std::is_signed_v<T>       ? 'i'
                                                               : 'u',
                                   sizeof(T)};

// Device memory with an owner: nnlite's allocator, or another library whose `owner` is let go at the end.
class Buffer {
 public:
  Buffer(size_t bytes, int device);
  Buffer(void* data, int device, std::shared_ptr<void> owner)
      : data_(data), device_(device), owner_(std::move(owner)) {}
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }
  int device() const { return device_; }

 private:
  void* data_;
  int device_;
  std::shared_ptr<void> owner_;
};

// Elements in C order; arrays may share a buffer.
struct DeviceArray {
  std::shared_ptr<Buffer> buffer;
  char* data;
  Shape shape;
  ElementType type;

  DeviceArray(const char* op, ElementType type, const Shape& shape, int device);
  DeviceArray(std::shared_ptr<Buffer> buffer, char* data, Shape shape, ElementType type)
      : buffer(std::move(buffer)), data(data), shape(std::move(shape)), type(type) {}
  int64_t size() const;
  size_t bytes() const { return static_cast<size_t>(size()) * static_cast<size_t>(type.size); }
  int device() const { return buffer->device(); }
};

// TypeError naming op and argument unless `value` is an Array of this module.
DeviceArray& require_array(const char* op, const char* name, py::handle value);

// While an argument of an op lives, the op's device is that argument's; ValueError if another argument is elsewhere.
class OnDevice {
 public:
  OnDevice(const char* op, const char* name, int device);
  OnDevice(const OnDevice&);
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice();
};

// A checked argument: a float32 or float64 array.
class Input {
 public:
  // `rank` < 0 admits any; `axes` is its description in the error, e.g. "(N, C, H, W)".
  Input(const char* op, const char* name, py::handle value, int rank = -1, const char* axes = "");

  const char* op() const { return op_; }
  const char* name() const { return name_; }
  bool is_double() const { return array_.type.size == 8; }
  int rank() const { return static_cast<int>(array_.shape.size()); }
  int64_t operator[](int axis) const { return array_.shape[static_cast<size_t>(axis)]; }
  int64_t size() const { return array_.size(); }
  Shape shape() const { return array_.shape; }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(array_.data);
  }

 private:
  const char* op_;
  const char* name_;
  DeviceArray array_;
  OnDevice place_;
};

// An array that an op changes in place.
class InPlace {
 public:
  InPlace(const char* op, const char* name, py::handle value);
  bool is_double() const { return array_.type.size == 8; }
  int64_t size() const { return array_.size(); }
  Shape shape() const { return array_.shape; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(array_.data);
  }

 private:
  DeviceArray array_;
  OnDevice place_;
};

// An array of a type other than the floats, e.g. int32 indices, of the shape that `of` needs.
template <class T>
class Indices {
 public:
  Indices(const char* op, const char* name, py::handle value, const Shape& shape, const char* of);
  int64_t size() const { return array_.size(); }
  const T* data() const { return reinterpret_cast<const T*>(array_.data); }

 private:
  DeviceArray array_;
  OnDevice place_;
};

// Labels (N,) of any integer type, as int64.
class Labels {
 public:
  Labels(const char* op, const char* name, py::handle value);
  int64_t size() const { return array_.size(); }
  const int64_t* data() const { return reinterpret_cast<const int64_t*>(array_.data); }
  // One outside 0 ... n - 1, where there are n `of`, is an error at the next synchronisation.
  void check_range(int64_t n, const char* of = "classes") const;

 private:
  const char* op_;
  const char* name_;
  DeviceArray array_;
  OnDevice place_;
};

bool is_integer_array(py::handle value);
Shape shape_of(py::handle array);

// A new array on the op's device, contents undefined.
template <class T>
class Output {
 public:
  Output(const char* op, const Shape& shape) : array_(op, kElementType<T>, shape, device::current()) {}
  T* data() { return reinterpret_cast<T*>(array_.data); }
  int64_t size() const { return array_.size(); }
  Array array() const { return py::cast(array_); }

 private:
  DeviceArray array_;
};

// Runs a launcher without the GIL, under the specified floating-point state.
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

template <class F>
void run_whole(F f) {
  run(f);
}

}  // namespace nnlite

#include "input_checks.h"
