// The extension module of a device: the ops of csrc/bind, compiled against cuda/array.h, and the class of its arrays.
#include <pybind11/stl.h>

#include "array.h"
#include "bindings.inc"
#include "ops/rows.h"
#include "recording.h"
#if defined(NNLITE_SIMULATOR)
#include "sim/sim.h"
#endif

namespace nnlite {
void bind_exchange(py::module_& m, py::class_<DeviceArray>& array);
namespace {

py::dtype dtype_of(const DeviceArray& a) {
  return py::dtype(std::string(1, a.type.kind) + std::to_string(a.type.size));
}

py::tuple shape_tuple(const DeviceArray& a) { return py::tuple(py::cast(a.shape)); }

ElementType element_type(const char* op, const py::dtype& dtype) {
  const ElementType type{dtype.kind(), static_cast<int>(dtype.itemsize())};
  const bool known = type.kind == 'i' || type.kind == 'u' || (type.kind == 'f' && type.size >= 4 && type.size <= 8);
  const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
  if (!known || !native) {
    throw py::type_error(std::string(op) + ": the device has no arrays of " + std::string(py::str(dtype)) +
                         "; convert it, e.g. x.astype(np.float32)");
  }
  return type;
}

void check_device(int index) {
  const int count = device::count();
  check(count > 0, "cuda: there is no device: ", device::why_none());
  check(index >= 0 && index < count, "cuda: device ", index, " does not exist; there ", count == 1 ? "is " : "are ",
        count, count == 1 ? " (cuda:0)" : " from cuda:0 on");
}

DeviceArray from_numpy(const py::array& x, int index) {
  check_device(index);
  const ElementType type = element_type("array", x.dtype());
  const py::array in_order = py::array::ensure(x, py::array::c_style);
  DeviceArray y("array", type, Shape(x.shape(), x.shape() + x.ndim()), index);
  run([&, from = in_order.data()] { device::upload(y.data, from, y.bytes()); });
  return y;
}

py::array to_numpy(const DeviceArray& x) {
  py::array y(dtype_of(x), x.shape);
  run([&, to = y.mutable_data()] { device::copy_to_host(to, x.data, x.bytes()); });
  return y;
}

DeviceArray zeros(const Shape& shape, const py::dtype& dtype, int index) {
  check_device(index);
  DeviceArray y("zeros", element_type("zeros", dtype), shape, index);
  run([&] { device::clear(y.data, y.bytes()); });
  return y;
}

DeviceArray copy(const DeviceArray& x) {
  if (recording() != nullptr) recording()->hold(x.buffer, x.buffer->data());
  DeviceArray y("copy", x.type, x.shape, x.device());
  run([&] { device::move(y.data, x.data, x.bytes()); });
  return y;
}

// x becomes a copy of `from`, where it is.
void assign(DeviceArray& x, const py::object& from_object) {
  const bool on_host = py::isinstance<py::array>(from_object);
  const DeviceArray from =
      on_host ? from_numpy(from_object.cast<py::array>(), x.device()) : require_array("assign", "x", from_object);
  if (from.type != x.type) {
    throw py::type_error("assign: x is " + from.type.name() + " but the array is " + x.type.name());
  }
  check(from.shape == x.shape, "assign: x has shape ", show(from.shape), " but the array has shape ", show(x.shape));
  if (recording() != nullptr) recording()->hold(x.buffer, x.buffer->data());
  check(from.device() == x.device(), "assign: x is on cuda:", from.device(), " but the array is on cuda:", x.device());
  run([&] { device::move(x.data, from.data, x.bytes()); });
}

DeviceArray reshape(const DeviceArray& x, const py::args& sizes) {
  const bool one_tuple = sizes.size() == 1 && !PyIndex_Check(sizes[0].ptr());
  Shape shape = one_tuple ? sizes[0].cast<Shape>() : sizes.cast<Shape>();
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open < 0) {
      open = static_cast<int64_t>(i);
    } else {
      check(shape[i] >= 0, "reshape: cannot reshape array of size ", x.size(), " into shape ", show(shape));
      known = size_of("reshape", {known, shape[i]});
    }
  }
  const Shape asked = shape;
  if (open >= 0 && known > 0 && x.size() % known == 0) {
    shape[static_cast<size_t>(open)] = x.size() / known;
    known = x.size();
  }
  check(known == x.size() && (open < 0 || shape[static_cast<size_t>(open)] >= 0),
        "reshape: cannot reshape array of size ", x.size(), " into shape ", show(asked));
  return {x.buffer, x.data, shape, x.type};
}

// x[i] and x[i:j]: views.
DeviceArray rows(const DeviceArray& x, const py::object& key) {
  if (x.shape.empty()) throw py::index_error("an array without dimensions cannot be indexed");
  const int64_t count = x.shape[0];
  const int64_t row = count == 0 ? 0 : static_cast<int64_t>(x.bytes()) / count;
  Shape shape = x.shape;
  int64_t first = 0;
  if (py::isinstance<py::slice>(key)) {
    py::ssize_t start = 0, stop = 0, step = 0, length = 0;
    if (!key.cast<py::slice>().compute(count, &start, &stop, &step, &length)) throw py::error_already_set();
    check(step == 1, "an array on the device is sliced in steps of 1, got ", step);
    first = length > 0 ? start : 0;
    shape[0] = length;
  } else {
    if (!PyIndex_Check(key.ptr()) || py::isinstance<py::array>(key)) {
      throw py::type_error("an array on the device is indexed by an int or a slice of its first axis, got " +
                           type_name(key));
    }
    first = PyNumber_AsSsize_t(key.ptr(), PyExc_IndexError);
    if (first == -1 && PyErr_Occurred()) throw py::error_already_set();
    if (first < 0) first += count;
    if (first < 0 || first >= count)
      throw py::index_error("index is out of bounds for axis 0 with size " + std::to_string(count));
    shape.erase(shape.begin());
  }
  return {x.buffer, x.data + first * row, shape, x.type};
}

py::object item(const DeviceArray& x) {
  check(x.size() == 1, "item: the array must hold one element, got shape ", show(x.shape));
  return to_numpy(x).attr("item")();
}

// What the training loop does to batches, in place of NumPy's indexing, argmax and comparison.
DeviceArray take(const py::object& x_object, const py::object& index_object) {
  const DeviceArray& x = require_array("take", "x", x_object);
  const Labels index("take", "index", index_object);
  check(!x.shape.empty(), "take: x must have at least 1 dimension, got shape ", show(x.shape));
  Shape shape = x.shape;
  const int64_t count = shape[0], row = count == 0 ? 0 : static_cast<int64_t>(x.bytes()) / count;
  shape[0] = index.size();
  DeviceArray y("take", x.type, shape, x.device());
  const int64_t number = device::fault_number("take", "index", "rows");
  run([&] { take_rows(x.data, count, row, index.data(), index.size(), number, y.data); });
  return y;
}

Array argmax(const py::object& x_object) {
  const Input x("argmax", "x", x_object, 2, "(N, K)");
  check(x[1] >= 1, "argmax: x must have at least 1 column, got shape ", show(x.shape()));
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<int64_t> y("argmax", {x[0]});
    run([&, to = y.data()] { argmax_rows(x.as<T>(), x[0], x[1], to); });
    return y.array();
  });
}

Array count_equal_op(const py::object& a_object, const py::object& b_object) {
  const Labels a("count_equal", "a", a_object), b("count_equal", "b", b_object);
  check(a.size() == b.size(), "count_equal: a has ", a.size(), " elements but b has ", b.size());
  Output<int64_t> count("count_equal", {});
  run([&, to = count.data()] { count_equal(a.data(), b.data(), a.size(), to); });
  return count.array();
}

// Raised at the next synchronisation: "the loss is nan in `where`, step `step`".
void check_finite_op(const py::object& x_object, const std::string& where, int64_t step) {
  const Input x("check_finite", "x", x_object, 0, "()");
  const int64_t number = device::fault_number("the loss", where.c_str(), "finite");
  by_dtype(x.is_double(), [&]<class T>(T) { run([&] { check_finite(x.as<T>(), step, number); }); });
}

bool shares_memory(const DeviceArray& x, const DeviceArray& y) {
  return x.data < y.data + y.bytes() && y.data < x.data + x.bytes();
}

// Without the elements, which would have to be waited for.
std::string description(const DeviceArray& x) {
  std::ostringstream out;
  out << "Array(shape=" << show(x.shape) << ", dtype=" << x.type.name() << ", device=cuda:" << x.device() << ")";
  return out.str();
}

// What would need the elements on the host is not done silently.
[[noreturn]] void no_number(const char* what) {
  throw py::type_error(std::string(what) + " of an array in device memory is not provided; use x.numpy()");
}

void bind_array(py::module_& m) {
  py::class_<DeviceArray> array(m, "Array", py::module_local(),
                                "An array in device memory, in C order. ``x.numpy()`` copies it to the host.");
  array.def_property_readonly("shape", shape_tuple, "Size of each dimension.")
      .def_property_readonly("dtype", dtype_of, "Type of the elements, a numpy.dtype.")
      .def_property_readonly(
          "ndim", [](const DeviceArray& x) { return x.shape.size(); }, "Number of dimensions.")
      .def_property_readonly("size", &DeviceArray::size, "Number of elements.")
      .def_property_readonly("nbytes", &DeviceArray::bytes, "Bytes of the elements.")
      .def_property_readonly("device_index", &DeviceArray::device, "Number of the device that holds it.")
      .def_property_readonly(
          "_address", [](const DeviceArray& x) { return reinterpret_cast<uintptr_t>(x.data); },
          "Address of the first element in device memory.")
      .def("numpy", to_numpy, "A copy in host memory, as numpy.ndarray. Waits for the device.")
      .def("item", item, "The only element as a Python number. Waits for the device.")
      .def("copy", copy, "A copy in device memory.")
      .def("assign", assign, py::arg("x"), "Copies ``x``, of this shape and dtype, into this array.")
      .def("reshape", reshape, "The same elements in another shape, sharing memory; one size may be -1.")
      .def("__getitem__", rows, py::arg("key"))
      .def("__len__",
           [](const DeviceArray& x) {
             if (x.shape.empty()) throw py::type_error("len() of an array without dimensions");
             return x.shape[0];
           })
      .def("shares_memory", shares_memory, py::arg("other"), "Whether writing into one may change the other.")
      .def("__repr__", description)
      .def(
          "__eq__", [](const py::object&, const py::object&) -> bool { no_number("=="); }, py::is_operator())
      .def(
          "__ne__", [](const py::object&, const py::object&) -> bool { no_number("!="); }, py::is_operator())
      .def("__bool__", [](const DeviceArray&) -> bool { no_number("bool()"); })
      .def("__hash__", [](const py::object& x) { return py::int_(reinterpret_cast<intptr_t>(x.ptr()) >> 4); })
      .def("__reduce__",
           [](const DeviceArray&) -> py::tuple {
             throw py::type_error(
                 "an array in device memory cannot be pickled; use x.numpy(), or model.to(\"cpu\") first");
           })
      .def("__copy__", copy)
      .def(
          "__deepcopy__", [](const DeviceArray& x, const py::object&) { return copy(x); }, py::arg("memo"))
      .def("__array__", [](const DeviceArray&, const py::args&, const py::kwargs&) {
        throw py::type_error("an array in device memory is no NumPy array; use x.numpy()");
      });
  bind_exchange(m, array);
}

void bind_recording(py::module_& m) {
  py::class_<Recording>(m, "_Recording", py::module_local())
      .def(py::init<>())
      .def("begin", &Recording::begin)
      .def("end", &Recording::end)
      .def("begin_refresh", &Recording::begin_refresh)
      .def("end_refresh", &Recording::end_refresh)
      .def("abandon_refresh", &Recording::abandon_refresh)
      .def(
          "owns", [](const Recording& r, const DeviceArray& x) { return r.owns(x.buffer->data()); }, py::arg("x"))
      .def("replay", [](Recording& r) { run([&] { r.replay(); }); });
}

void register_errors() {
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const FoundByKernel& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const NotFinite& e) {
      PyErr_SetString(PyExc_FloatingPointError, e.what());
    } catch (const OutOfDeviceMemory& e) {
      PyErr_SetString(PyExc_MemoryError, e.what());
    } catch (const DeviceError& e) {
      PyErr_SetString(PyExc_RuntimeError, e.what());
    }
  });
}

}  // namespace
}  // namespace nnlite

PYBIND11_MODULE(NNLITE_MODULE, m) {
  using namespace nnlite;
  register_errors();
  bind_array(m);
  bind_recording(m);
  bind_all(m);
#if defined(NNLITE_SIMULATOR)
  m.attr("_DEVICE") = "cuda_sim";
#else
  m.attr("_DEVICE") = "cuda";
#endif
  m.def("_from_numpy", from_numpy, py::arg("x"), py::arg("device"));
  m.def("_take", take, py::arg("x"), py::arg("index"));
  m.def("_argmax", argmax, py::arg("x"));
  m.def("_count_equal", count_equal_op, py::arg("a"), py::arg("b"));
  m.def("_check_finite", check_finite_op, py::arg("x"), py::arg("where"), py::arg("step"));
  m.def("_zeros", zeros, py::arg("shape"), py::arg("dtype"), py::arg("device"));
  m.def("_device_count", device::count);
  m.def("_why_none", device::why_none);
  m.def("_synchronize", [] { run([] { device::synchronize(); }); });
  m.def("_bytes_in_use", device::bytes_in_use);
  m.def("_peak_bytes", device::peak_bytes);
  m.def("_reset_peak", device::reset_peak);
  m.def("_release_cached", device::release_cached);
  m.def("_check_device", check_device, py::arg("index"));
  m.def("_record_event", device::record_event);
  m.def(
      "_elapsed_ms",
      [](int64_t first, int64_t last) {
        double ms = 0;
        run([&] { ms = device::elapsed_ms(first, last); });
        return ms;
      },
      py::arg("first"), py::arg("last"));
  m.def("_device_name", device::name, py::arg("index"));
  m.def("_l2_bytes", device::l2_bytes, py::arg("index"));
#if defined(NNLITE_SIMULATOR)
  m.def(
      "_set_order",
      [](const std::string& order, uint64_t seed) {
        sim::set_order(order == "ascending"    ? sim::Order::ascending
                       : order == "descending" ? sim::Order::descending
                                               : sim::Order::random,
                       seed);
      },
      py::arg("order"), py::arg("seed") = 0);
  m.def("_set_memory_limit", sim::set_memory_limit, py::arg("bytes"));
  m.def(
      "_planted",
      [](const std::string& name, const py::object& x_object, const py::object& y_object) {
        const Input x("_planted", "x", x_object);
        InPlace y("_planted", "y", y_object);
        run([&, to = y.as<float>()] { sim::planted(name, x.as<float>(), to); });
      },
      py::arg("name"), py::arg("x"), py::arg("y"));
  m.def("_set_multiprocessors", sim::set_multiprocessors, py::arg("number"));
#endif
}
