#include "array.h"

#include <cmath>
#include <limits>
#include <new>

#include "float_state.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

constexpr int64_t kLargestSize = int64_t{1} << 60;  // elements; times 8 bytes still fits
constexpr size_t kRecycled = 1 << 16;               // results from this many bytes on come from the recycling allocator

// "float32", ">f4", as NumPy writes a dtype.
std::string dtype_name(const py::array& a) { return py::str(a.dtype()); }

const py::array& require_array(const char* op, const char* name, py::handle value, py::array& storage) {
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be a numpy.ndarray, got " + type_name(value));
  }
  storage = py::reinterpret_borrow<py::array>(value);
  return storage;
}

// Whether the array holds float64; TypeError unless float32 or float64 in native byte order.
bool require_float(const char* op, const char* name, const py::array& a) {
  const py::dtype dtype = a.dtype();
  const int type = dtype.num();
  if (type != py::detail::npy_api::NPY_FLOAT_ && type != py::detail::npy_api::NPY_DOUBLE_) {
    throw py::type_error(std::string(op) + ": " + name + " must be float32 or float64, got " + dtype_name(a));
  }
  const char order = dtype.byteorder();
  if (order != '=' && order != '|') {
    throw py::type_error(std::string(op) + ": " + name + " must be in native byte order, got " + dtype_name(a));
  }
  return type == py::detail::npy_api::NPY_DOUBLE_;
}

constexpr int kLayout = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;

bool poll_signals() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

}  // namespace

py::array in_c_order(const py::array& a) {
  if ((a.flags() & kLayout) == kLayout) return a;
  py::array copy = py::array::ensure(a, kLayout);
  if (!copy) throw std::bad_alloc();
  return copy;
}

std::string type_name(py::handle value) { return py::str(py::type::handle_of(value).attr("__name__")); }

std::ostream& operator<<(std::ostream& out, Shown shown) {
  out << "(";
  for (size_t i = 0; i < shown.shape.size(); ++i) out << (i ? ", " : "") << shown.shape[i];
  return out << (shown.shape.size() == 1 ? ",)" : ")");
}

int64_t size_of(const char* op, const Shape& shape) {
  int64_t size = 1;
  bool empty = false;
  for (const int64_t n : shape) empty = empty || n == 0;
  if (empty) return 0;
  for (const int64_t n : shape) {
    check(n <= kLargestSize / size, op, ": size of an array of shape ", show(shape), " overflows");
    size *= n;
  }
  return size;
}

Input::Input(const char* op, const char* name, py::handle value, int rank, const char* axes) : op_(op), name_(name) {
  is_double_ = require_float(op, name, require_array(op, name, value, data_));
  if (rank >= 0 && data_.ndim() != rank)
    check(false, op, ": ", name, " must have ", rank, rank == 1 ? " dimension " : " dimensions ", axes, ", got ",
          data_.ndim(), " with shape ", show(shape()));
  data_ = in_c_order(data_);
}

std::optional<Input> optional_input(const char* op, const char* name, py::handle value, int rank, const char* axes) {
  if (value.is_none()) return std::nullopt;
  return std::optional<Input>(std::in_place, op, name, value, rank, axes);
}

InPlace::InPlace(const char* op, const char* name, py::handle value) {
  is_double_ = require_float(op, name, require_array(op, name, value, data_));
  check((data_.flags() & kLayout) == kLayout, op, ": ", name,
        " is changed in place and must be C-contiguous and aligned");
  check(data_.writeable(), op, ": ", name, " is changed in place but is read-only");
}

bool is_integer_array(py::handle value) {
  if (!py::isinstance<py::array>(value)) return false;
  const char kind = py::reinterpret_borrow<py::array>(value).dtype().kind();
  return kind == 'i' || kind == 'u';
}

std::vector<int64_t> labels(const char* op, const char* name, py::handle value) {
  py::array a;
  require_array(op, name, value, a);
  const char kind = a.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw py::type_error(std::string(op) + ": " + name + " must be of an integer type, got " + dtype_name(a));
  }
  check(a.ndim() == 1, op, ": ", name, " must have 1 dimension (N,), got ", a.ndim(), " with shape ",
        show(Shape(a.shape(), a.shape() + a.ndim())));
  // Widened to 64 bits; an unsigned label of 2^63 or more turns negative and is refused with the others that are out of
  // range.
  const py::array wide = a.attr("astype")("int64");
  const auto* const begin = static_cast<const int64_t*>(wide.data());
  return std::vector<int64_t>(begin, begin + wide.size());
}

void check_same_dtype(const Input& a, const Input& b) {
  if (a.is_double() == b.is_double()) return;
  const auto dtype = [](const Input& x) { return std::string(x.is_double() ? "float64" : "float32"); };
  const bool target = std::string(b.name()) == "target";
  const std::string hint = target ? "target.astype(np." + dtype(a) + ")"
                                  : std::string(a.name()) + ".astype(np." + dtype(b) + ") or model." +
                                        (a.is_double() ? "double()" : "float()");
  throw py::type_error(std::string(a.op()) + ": " + a.name() + " is " + dtype(a) + " but " + b.name() + " is " +
                       dtype(b) + "; convert one of them, e.g. " + hint);
}

void check_same_shape(const Input& a, const Input& b) {
  bool same = a.rank() == b.rank();
  for (int i = 0; same && i < a.rank(); ++i) same = a[i] == b[i];
  if (same) return;
  check(false, a.op(), ": ", a.name(), " has shape ", show(a.shape()), " but ", b.name(), " has shape ",
        show(b.shape()));
}

void check_shape(const Input& a, const Shape& expected, const char* of) {
  if (a.shape() == expected) return;
  check(false, a.op(), ": ", a.name(), " has shape ", show(a.shape()), " but ", of, " needs ", show(expected));
}

namespace {

bool is_index(py::handle value) { return PyIndex_Check(value.ptr()) && !PyBool_Check(value.ptr()); }

int64_t to_int64(const char* op, const char* name, py::handle value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long n = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  check(overflow == 0 && n <= kLargestSize && n >= -kLargestSize, op, ": size of ", name, " overflows");
  return n;
}

}  // namespace

double number(const char* op, const char* name, py::handle value) {
  const double x = PyFloat_AsDouble(value.ptr());
  if (x == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(op) + ": " + name + " must be a number, got " + type_name(value));
  }
  return x;
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
  return result;
}

Shape shape_argument(const char* op, const char* name, py::handle value, int rank, const char* axes) {
  if (!py::isinstance<py::tuple>(value) && !py::isinstance<py::list>(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be a tuple of ints, got " +
                         std::string(py::repr(value)));
  }
  Shape shape;
  for (const py::handle item : py::tuple(py::reinterpret_borrow<py::object>(value))) {
    if (!is_index(item))
      throw py::type_error(std::string(op) + ": " + name + " must be a tuple of ints, got " +
                           std::string(py::repr(value)));
    shape.push_back(to_int64(op, name, item));
  }
  check(rank < 0 || static_cast<int>(shape.size()) == rank, op, ": ", name, " must have ", rank, " sizes ", axes,
        ", got ", show(shape));
  for (const int64_t n : shape) check(n >= 0, op, ": ", name, " must not hold a negative size, got ", show(shape));
  return shape;
}

template <class T>
Output<T>::Output(const char* op, const Shape& shape) {
  const size_t bytes = static_cast<size_t>(size_of(op, shape)) * sizeof(T);
  auto& api = py::detail::npy_api::get();
  py::dtype dtype = py::dtype::of<T>();
  void* const block = bytes < kRecycled ? nullptr : acquire(bytes);  // without a block, NumPy allocates
  constexpr int kOwn = kLayout | py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  static_assert(sizeof(Py_intptr_t) == sizeof(int64_t));
  auto array = py::reinterpret_steal<py::object>(api.PyArray_NewFromDescr_(
      api.PyArray_Type_, dtype.release().ptr(), static_cast<int>(shape.size()),
      reinterpret_cast<const Py_intptr_t*>(shape.data()), nullptr, block, block ? kOwn : 0, nullptr));
  if (!array) {
    release(block);
    throw py::error_already_set();
  }
  if (block != nullptr) {
    py::capsule owner(block, [](void* p) { release(p); });
    api.PyArray_SetBaseObject_(array.ptr(), owner.release().ptr());
  }
  array_ = py::reinterpret_steal<py::array>(array.release());
}
template class Output<float>;
template class Output<double>;
template class Output<int32_t>;
template class Output<int64_t>;
template class Output<uint8_t>;
template class Output<uint32_t>;

void run_erased(void (*body)(void*), void* context) {
  static const bool hooked = (set_poll(poll_signals), true);
  (void)hooked;
  bool interrupted = false;
  {
    const py::gil_scoped_release no_gil;
    const FloatState specified;
    try {
      body(context);
    } catch (const Interrupted&) {
      interrupted = true;
    }
  }
  if (interrupted) throw py::error_already_set();
}

}  // namespace nnlite
