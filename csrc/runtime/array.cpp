#include "array.h"

#include <new>

#include "float_state.h"
#include "no_gil.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

constexpr size_t kRecycled = 1 << 16;  // results from this many bytes on come from the recycling allocator

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
  const PyGILState_STATE state = with_interpreter(PyGILState_Ensure);
  const bool raised = PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return raised;
}

}  // namespace

py::array in_c_order(const py::array& a) {
  if ((a.flags() & kLayout) == kLayout) return a;
  py::array copy = py::array::ensure(a, kLayout);
  if (!copy) throw std::bad_alloc();
  return copy;
}

Input::Input(const char* op, const char* name, py::handle value, int rank, const char* axes) : op_(op), name_(name) {
  is_double_ = require_float(op, name, require_array(op, name, value, data_));
  if (rank >= 0 && data_.ndim() != rank)
    check(false, op, ": ", name, " must have ", rank, rank == 1 ? " dimension " : " dimensions ", axes, ", got ",
          data_.ndim(), " with shape ", show(shape()));
  data_ = in_c_order(data_);
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

Shape shape_of(py::handle array) {
  const auto a = py::reinterpret_borrow<py::array>(array);
  return Shape(a.shape(), a.shape() + a.ndim());
}

Labels::Labels(const char* op, const char* name, py::handle value)
    : op_(op), name_(name), given_(py::reinterpret_borrow<py::object>(value)) {
  py::array a;
  require_array(op, name, value, a);
  const char kind = a.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw py::type_error(std::string(op) + ": " + name + " must be of an integer type, got " + dtype_name(a));
  }
  check(a.ndim() == 1, op, ": ", name, " must have 1 dimension (N,), got ", a.ndim(), " with shape ",
        show(shape_of(a)));
  // Widened to 64 bits; an unsigned label of 2^63 or more turns negative and is refused with the others that are out of
  // range.
  const auto wide = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(a);
  if (!wide) throw py::error_already_set();
  const auto* const begin = static_cast<const int64_t*>(wide.data());
  labels_.assign(begin, begin + wide.size());
}

void Labels::check_range(int64_t n, const char* of) const {
  for (int64_t i = 0; i < size(); ++i) {
    if (labels_[i] >= 0 && labels_[i] < n) continue;
    const std::string shown = py::str(given_[py::int_(i)]);  // as given: an unsigned label may be above 2^63
    check(false, op_, ": ", name_, "[", i, "] is ", shown, " but there are ", n, " ", of, " (0 to ", n - 1, ")");
  }
}

template <class T>
Indices<T>::Indices(const char* op, const char* name, py::handle value, const Shape& shape, const char* of) {
  py::array given;
  require_array(op, name, value, given);
  const py::dtype wanted = py::dtype::of<T>();
  if (!given.dtype().equal(wanted)) {
    throw py::type_error(std::string(op) + ": " + name + " must be " + std::string(py::str(wanted)) + ", got " +
                         dtype_name(given));
  }
  const Shape found = shape_of(given);
  check(found == shape, op, ": ", name, " has shape ", show(found), " but ", of, " needs ", show(shape));
  data_ = in_c_order(given);
}
template class Indices<int32_t>;
template class Indices<uint8_t>;

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
    const NoGil no_gil;
    const FloatState specified;
    start_polling();
    try {
      body(context);
    } catch (const Interrupted&) {
      interrupted = true;
    }
  }
  if (interrupted) throw py::error_already_set();
}

void run_whole_erased(void (*body)(void*), void* context) {
  run([=] {
    const Uninterruptible whole;
    body(context);
  });
}

}  // namespace nnlite
