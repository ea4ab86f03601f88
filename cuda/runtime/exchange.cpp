// Exchange of device memory with other libraries, without copies: DLPack, which gives an array away as a capsule, and
// __cuda_array_interface__, which only tells where it is.
//
// A capsule holds a description of the memory and a function that ends the loan. Whoever takes the memory renames the
// capsule and then owes that call; a capsule that keeps its name makes it itself when it goes. Two layouts exist: since
// DLPack 1.0 the description carries a version and flags.
#include <pybind11/stl.h>

#include <exception>
#include <optional>
#include <utility>

#include "array.h"

namespace nnlite {
namespace {

// The layout of DLPack's C structures.
namespace dlpack {

enum DeviceType : int32_t { kHost = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : uint8_t { kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };

struct Tensor {
  void* data;
  int32_t device_type;
  int32_t device;
  int32_t rank;
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;  // in elements; nullptr: C order
  uint64_t offset;   // in bytes, of the first element from data
};

struct Legacy {
  static constexpr auto kName = "dltensor", kTaken = "used_dltensor";
  Tensor tensor;
  void* owner;
  void (*end)(Legacy*);
};

struct Versioned {
  static constexpr auto kName = "dltensor_versioned", kTaken = "used_dltensor_versioned";
  uint32_t major, minor;
  void* owner;
  void (*end)(Versioned*);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t kReadOnly = 1, kCopied = 2;
constexpr uint32_t kMajor = 1, kMinor = 0;

}  // namespace dlpack

constexpr uintptr_t kLegacyStream = 1;

// What a capsule of ours points to.
template <class Managed>
struct Loan {
  Managed managed{};
  DeviceArray array;
  Shape shape, strides;
  std::optional<uintptr_t> stream;  // of who took it, if known

  explicit Loan(const DeviceArray& a) : array(a), shape(a.shape), strides(a.shape.size(), 1) {
    for (size_t i = shape.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * shape[i - 1];
  }

  // What others do with the memory may be under way, and comes before its next use by our stream.
  ~Loan() {
    if (stream == kLegacyStream) {
      try {
        device::wait_for_stream(array.device(), kLegacyStream);
        return;
      } catch (const std::exception&) {
      }
    }
    device::finish(array.device(), true);  // a stream of theirs may no longer exist
  }
};

uint8_t code_of(ElementType type) {
  return type.kind == 'f' ? dlpack::kFloat : type.kind == 'i' ? dlpack::kInt : dlpack::kUint;
}

// Without the GIL or with it, from whatever thread.
template <class Managed>
void end_loan(Managed* managed) {
  delete static_cast<Loan<Managed>*>(managed->owner);
}

template <class Managed>
void end_untaken(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, Managed::kName)) return;  // taken: not ours any more
  auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::kName));
  if (managed->end != nullptr) managed->end(managed);
}

template <class Managed>
py::object lend(const DeviceArray& x, std::optional<uintptr_t> stream, [[maybe_unused]] bool copied) {
  auto loan = std::make_unique<Loan<Managed>>(x);
  Managed& m = loan->managed;
  m.tensor = {x.data,
              dlpack::kCuda,
              x.device(),
              static_cast<int32_t>(x.shape.size()),
              code_of(x.type),
              static_cast<uint8_t>(8 * x.type.size),
              1,
              loan->shape.data(),
              loan->strides.data(),
              0};
  m.owner = loan.get();
  m.end = end_loan<Managed>;
  if constexpr (std::is_same_v<Managed, dlpack::Versioned>) {
    m.major = dlpack::kMajor;
    m.minor = dlpack::kMinor;
    m.flags = copied ? dlpack::kCopied : 0;
  }
  if (stream) run([&] { device::hold_stream(x.device(), *stream); });
  loan->stream = stream;
  PyObject* const capsule = PyCapsule_New(&m, Managed::kName, end_untaken<Managed>);
  if (capsule == nullptr) throw py::error_already_set();
  static_cast<void>(loan.release());
  return py::reinterpret_steal<py::object>(capsule);
}

// The stream that is to wait for ours; none for -1, which asks for no order.
std::optional<uintptr_t> consumer_stream(const py::object& stream) {
  if (stream.is_none()) return kLegacyStream;
  if (!PyIndex_Check(stream.ptr()) || PyBool_Check(stream.ptr())) {
    throw py::type_error("__dlpack__: stream must be an int or None, got " + type_name(stream));
  }
  const auto number = stream.cast<int64_t>();
  check(number != 0, "__dlpack__: stream 0 is ambiguous; 1 is the legacy default stream, 2 that of the thread");
  check(number >= -1, "__dlpack__: stream must be -1, 1, 2 or the address of a stream, got ", number);
  if (number == -1) return std::nullopt;
  return static_cast<uintptr_t>(number);
}

py::tuple dlpack_device(const DeviceArray& x) { return py::make_tuple(static_cast<int>(dlpack::kCuda), x.device()); }

DeviceArray copy_of(const DeviceArray& x) {
  DeviceArray y("copy", x.type, x.shape, x.device());
  run([&] { device::copy_on_device(y.data, x.data, x.bytes()); });
  return y;
}

py::object to_dlpack(const DeviceArray& x, const py::object& stream, const py::object& max_version,
                     const py::object& dl_device, const py::object& copy) {
  if (!dl_device.is_none() && !dl_device.cast<py::tuple>().equal(dlpack_device(x))) {
    throw py::buffer_error("__dlpack__: the array is on cuda:" + std::to_string(x.device()) +
                           " and is lent there only; x.numpy() copies it to the host");
  }
  const std::optional<uintptr_t> theirs = consumer_stream(stream);
  const bool copied = !copy.is_none() && copy.cast<bool>();
  const DeviceArray lent = copied ? copy_of(x) : x;
  const bool versioned = !max_version.is_none() && max_version.cast<py::tuple>()[0].cast<int64_t>() >= 1;
  return versioned ? lend<dlpack::Versioned>(lent, theirs, copied) : lend<dlpack::Legacy>(lent, theirs, copied);
}

// ValueError or TypeError unless nnlite has arrays like this one.
ElementType check_tensor(const dlpack::Tensor& t) {
  check(t.device_type == dlpack::kCuda || t.device_type == dlpack::kCudaManaged,
        "from_dlpack: the array is not in the memory of a CUDA device but on a device of type ", t.device_type,
        t.device_type == dlpack::kHost || t.device_type == dlpack::kCudaHost ? " (host memory)" : "");
  const int count = device::count();
  check(t.device >= 0 && t.device < count, "from_dlpack: the array is on cuda:", t.device, ", but there are ", count,
        " devices");
  const char kind = t.code == dlpack::kFloat ? 'f' : t.code == dlpack::kInt ? 'i' : t.code == dlpack::kUint ? 'u' : 0;
  const bool power = t.bits == 8 || t.bits == 16 || t.bits == 32 || t.bits == 64;
  if (kind == 0 || t.lanes != 1 || !power || (kind == 'f' && t.bits < 32)) {
    const char* const name = kind == 'f'                  ? "float"
                             : kind == 'i'                ? "int"
                             : kind == 'u'                ? "uint"
                             : t.code == dlpack::kBool    ? "bool"
                             : t.code == dlpack::kBfloat  ? "bfloat"
                             : t.code == dlpack::kComplex ? "complex"
                                                          : "a type with other code and ";
    throw py::type_error("from_dlpack: the device has no arrays of " + std::string(name) +
                         (t.code == dlpack::kBool ? "" : std::to_string(t.bits)) +
                         (t.lanes == 1 ? "" : "x" + std::to_string(t.lanes)) +
                         "; they are of float32, float64 and the integers");
  }
  const ElementType type{kind, t.bits / 8};
  const Shape shape(t.shape, t.shape + t.rank);
  const int64_t size = size_of("from_dlpack", shape);
  if (t.strides != nullptr && size > 0) {
    int64_t expected = 1;
    for (size_t i = shape.size(); i-- > 0; expected *= shape[i]) {
      check(shape[i] == 1 || t.strides[i] == expected, "from_dlpack: the array must be in C order, but has shape ",
            show(shape), " and strides ", show(Shape(t.strides, t.strides + t.rank)), "; make it contiguous first");
    }
  }
  const auto address = reinterpret_cast<uintptr_t>(t.data) + t.offset;
  check(size == 0 || address % static_cast<size_t>(type.size) == 0,
        "from_dlpack: the array begins at an address that is ", "not a multiple of its ", type.size,
        " bytes an element");
  return type;
}

// Takes what the capsule holds; `stream`, if any, is one that ours has to wait for.
template <class Managed>
DeviceArray take(const py::object& capsule, std::optional<uintptr_t> stream) {
  auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if (managed == nullptr) throw py::error_already_set();
  bool read_only = false;
  if constexpr (std::is_same_v<Managed, dlpack::Versioned>) {
    check(managed->major <= dlpack::kMajor, "from_dlpack: the capsule is of version ", managed->major,
          " of DLPack, and nnlite knows ", dlpack::kMajor);
    read_only = (managed->flags & dlpack::kReadOnly) != 0;
  }
  const dlpack::Tensor t = managed->tensor;
  const ElementType type = check_tensor(t);
  const Shape shape(t.shape, t.shape + t.rank);
  if (stream) run([&] { device::wait_for_stream(t.device, *stream); });
  // Their memory may be used for something else as soon as they are told, so nothing of ours may be under way.
  const auto end = [index = t.device](Managed* m) {
    device::finish(index, false);
    if (m->end != nullptr) m->end(m);
  };
  auto data = static_cast<char*>(t.data) + t.offset;
  if (PyCapsule_SetName(capsule.ptr(), Managed::kTaken) != 0) throw py::error_already_set();
  const std::shared_ptr<Managed> owner(managed, end);
  const DeviceArray x(std::make_shared<Buffer>(data, t.device, owner), data, shape, type);
  return read_only ? copy_of(x) : x;
}

DeviceArray from_dlpack(const py::object& x) {
  py::object capsule = x;
  std::optional<uintptr_t> stream;
  if (!PyCapsule_CheckExact(x.ptr())) {
    if (!py::hasattr(x, "__dlpack__") || !py::hasattr(x, "__dlpack_device__")) {
      throw py::type_error("from_dlpack: x must have __dlpack__ and __dlpack_device__, got " + type_name(x));
    }
    // Asked first, so that an array of the host is refused before it is lent.
    const auto place = x.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    check_tensor({nullptr, place.first, place.second, 0, dlpack::kFloat, 32, 1, nullptr, nullptr, 0});
    const uintptr_t ours = device::stream_handle(place.second);
    const py::object ours_object = ours == 0 ? py::object(py::int_(-1)) : py::object(py::int_(ours));
    try {
      capsule = x.attr("__dlpack__")(py::arg("stream") = ours_object,
                                     py::arg("max_version") = py::make_tuple(dlpack::kMajor, dlpack::kMinor));
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;
      capsule = x.attr("__dlpack__")(py::arg("stream") = ours_object);  // of before DLPack 1.0
    }
  } else {
    stream = kLegacyStream;  // nobody was asked to wait
  }
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::Versioned::kName)) return take<dlpack::Versioned>(capsule, stream);
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::Legacy::kName)) return take<dlpack::Legacy>(capsule, stream);
  for (const char* const taken : {dlpack::Versioned::kTaken, dlpack::Legacy::kTaken}) {
    check(!PyCapsule_IsValid(capsule.ptr(), taken), "from_dlpack: the capsule has been used already");
  }
  throw py::type_error("from_dlpack: __dlpack__ must give a capsule of DLPack, got " + type_name(capsule));
}

// Version 3. The stream is ours: whoever reads the memory waits for it.
py::dict cuda_array_interface(const DeviceArray& x) {
  const uintptr_t stream = device::stream_handle(x.device());
  py::dict result;
  result["shape"] = py::tuple(py::cast(x.shape));
  result["typestr"] = std::string(x.type.size == 1 ? "|" : "<") + x.type.kind + std::to_string(x.type.size);
  result["data"] = py::make_tuple(x.size() == 0 ? 0 : reinterpret_cast<uintptr_t>(x.data), false);
  result["strides"] = py::none();
  result["version"] = 3;
  result["stream"] = stream == 0 ? py::object(py::none()) : py::object(py::int_(stream));
  return result;
}

}  // namespace

void bind_exchange(py::module_& m, py::class_<DeviceArray>& array) {
  array
      .def("__dlpack__", to_dlpack, py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
           py::arg("dl_device") = py::none(), py::arg("copy") = py::none(),
           "A DLPack capsule that shares this array's memory; its taker's ``stream`` waits for what is under way.")
      .def("__dlpack_device__", dlpack_device, "DLPack's type and number of the device.")
      .def_property_readonly("__cuda_array_interface__", cuda_array_interface,
                             "Where the array is, by version 3 of the protocol.");
  m.def("_from_dlpack", from_dlpack, py::arg("x"));
}

}  // namespace nnlite
