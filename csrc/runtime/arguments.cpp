#include "arguments.h"

#include <algorithm>

#include "axes.h"

namespace nnlite {
namespace {

constexpr int64_t kLargestSize = int64_t{1} << 60;  // elements; times 8 bytes still fits
// Of strides, paddings, dilations and kernels, so that their products with one another and with sizes fit 64 bits.
constexpr int64_t kLargestStep = int64_t{1} << 31;

bool is_index(py::handle value) {
  return PyIndex_Check(value.ptr()) && !PyBool_Check(value.ptr()) && !py::isinstance<py::array>(value);
}

int64_t to_int64(const char* op, const char* name, py::handle value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long n = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  check(overflow == 0 && n <= kLargestSize && n >= -kLargestSize, op, ": size of ", name, " overflows");
  return n;
}

}  // namespace

std::string type_name(py::handle value) {
  const py::handle type = py::type::handle_of(value);
  return py::hasattr(type, "device_index") ? "nnlite.cuda.Array" : std::string(py::str(type.attr("__name__")));
}

std::ostream& operator<<(std::ostream& out, Shown shown) {
  out << "(";
  for (size_t i = 0; i < shown.shape.size(); ++i) out << (i ? ", " : "") << shown.shape[i];
  return out << (shown.shape.size() == 1 ? ",)" : ")");
}

int64_t size_of(const char* op, const Shape& shape) {
  check(shape.size() <= kMostAxes, op, ": arrays have at most ", kMostAxes, " dimensions, got ", shape.size());
  int64_t size = 1;
  bool empty = false;
  for (const int64_t n : shape) {
    empty = empty || n == 0;
    check(n <= kLargestSize / size, op, ": size of an array of shape ", show(shape), " overflows");
    size *= std::max<int64_t>(1, n);
  }
  return empty ? 0 : size;
}

double number(const char* op, const char* name, py::handle value) {
  const double x = PyFloat_AsDouble(value.ptr());
  if (x == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(op) + ": " + name + " must be a number, got " + type_name(value));
  }
  return x;
}

bool flag(const char* op, const char* name, py::handle value) {
  if (value.ptr() == Py_True || value.ptr() == Py_False) return value.ptr() == Py_True;
  const std::string type = type_name(value);
  if (type != "bool" && type != "bool_") {  // NumPy's, as versions 2 and 1 name it
    throw py::type_error(std::string(op) + ": " + name + " must be a bool, got " + type);
  }
  const int truth = PyObject_IsTrue(value.ptr());
  if (truth < 0) throw py::error_already_set();
  return truth == 1;
}

uint64_t counter(const char* op, const char* name, py::handle value, int bits) {
  if (!is_index(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be an int, got " + std::string(py::repr(value)));
  }
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  const uint64_t n = PyLong_AsUnsignedLongLong(index.ptr());
  const bool outside = PyErr_Occurred() != nullptr;
  if (outside) PyErr_Clear();
  check(!outside && (bits == 64 || n >> bits == 0), op, ": ", name, " must be from 0 to 2**", bits, " - 1, got ",
        std::string(py::str(index)));
  return n;
}

int64_t integer(const char* op, const char* name, py::handle value, int64_t least) {
  if (!is_index(value))
    throw py::type_error(std::string(op) + ": " + name + " must be an int, got " + std::string(py::repr(value)));
  const int64_t n = to_int64(op, name, value);
  check(n >= least, op, ": ", name, " must be at least ", least, ", got ", n);
  return n;
}

void check_step(const char* op, const char* name, const std::pair<int64_t, int64_t>& value) {
  check(value.first <= kLargestStep && value.second <= kLargestStep, op, ": ", name, " must be at most ", kLargestStep,
        ", got ", show({value.first, value.second}));
}

std::pair<int64_t, int64_t> pair(const char* op, const char* name, py::handle value, int64_t least) {
  std::pair<int64_t, int64_t> result;
  if (is_index(value)) {
    result.first = result.second = to_int64(op, name, value);
  } else {
    const bool sequence = py::isinstance<py::tuple>(value) || py::isinstance<py::list>(value);
    const py::tuple items = sequence ? py::tuple(py::reinterpret_borrow<py::object>(value)) : py::tuple();
    if (items.size() != 2 || !is_index(items[0]) || !is_index(items[1])) {
      throw py::type_error(std::string(op) + ": " + name + " must be an int or a pair of ints, got " +
                           std::string(py::repr(value)));
    }
    result = {to_int64(op, name, items[0]), to_int64(op, name, items[1])};
  }
  check(result.first >= least && result.second >= least, op, ": ", name, " must be at least ", least, ", got ",
        show({result.first, result.second}));
  check_step(op, name, result);
  return result;
}

Shape integers(const char* op, const char* name, py::handle value) {
  if (!py::isinstance<py::tuple>(value) && !py::isinstance<py::list>(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be a tuple of ints, got " +
                         std::string(py::repr(value)));
  }
  Shape numbers;
  for (const py::handle item : py::tuple(py::reinterpret_borrow<py::object>(value))) {
    if (!is_index(item))
      throw py::type_error(std::string(op) + ": " + name + " must be a tuple of ints, got " +
                           std::string(py::repr(value)));
    numbers.push_back(to_int64(op, name, item));
  }
  return numbers;
}

int axis_argument(const char* op, const char* name, py::handle value, int ndim) {
  const int64_t axis = integer(op, name, value, 0);
  check(axis < ndim, op, ": ", name, " is ", axis, " but there are ", ndim, " axes");
  return static_cast<int>(axis);
}

Shape axes_argument(const char* op, const char* name, py::handle value, int ndim) {
  const Shape axes = shape_argument(op, name, value, -1, "");
  for (const int64_t axis : axes)
    check(axis < ndim, op, ": ", name, " holds ", show(axes), " but there are ", ndim, " axes");
  Shape sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  check(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), op, ": ", name,
        " must not name an axis twice, got ", show(axes));
  return axes;
}

Shape shape_argument(const char* op, const char* name, py::handle value, int rank, const char* axes) {
  const Shape shape = integers(op, name, value);
  check(rank < 0 || static_cast<int>(shape.size()) == rank, op, ": ", name, " must have ", rank, " sizes ", axes,
        ", got ", show(shape));
  for (const int64_t n : shape) check(n >= 0, op, ": ", name, " must not hold a negative size, got ", show(shape));
  return shape;
}

bool is_double_dtype(const char* op, const py::object& value) {
  const py::dtype dtype = py::dtype::from_args(value);
  const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
  if (native && dtype.equal(py::dtype::of<float>())) return false;
  if (native && dtype.equal(py::dtype::of<double>())) return true;
  throw py::type_error(std::string(op) + ": dtype must be float32 or float64, got " + std::string(py::str(dtype)));
}

}  // namespace nnlite
