#include "array.h"

#include "float_state.h"
#include "no_gil.h"
#include "ops/labels.h"
#include "recording.h"

namespace nnlite {
namespace {

struct OpPlace {
  int arguments = 0;  // that live
  int device = 0;
  const char* name = nullptr;  // the first argument's
};
thread_local OpPlace op_place;

void require_float(const char* op, const char* name, const DeviceArray& a) {
  if (a.type.kind == 'f') return;
  throw py::type_error(std::string(op) + ": " + name + " must be float32 or float64, got " + a.type.name());
}

// While one lives, allocations go to this device.
class Turn {
 public:
  explicit Turn(int device) : before_(device::current()) { device::set_current(device); }
  ~Turn() { device::set_current(before_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  int before_;
};

}  // namespace

std::string ElementType::name() const {
  return (kind == 'f' ? "float" : kind == 'i' ? "int" : "uint") + std::to_string(8 * size);
}

Buffer::Buffer(size_t bytes, int device) : device_(device) {
  const Turn turn(device);
  data_ = device::allocate(bytes);
}

Buffer::~Buffer() {
  if (!owner_) device::release(data_);
}

DeviceArray::DeviceArray(const char* op, ElementType type, const Shape& shape, int device)
    : buffer(
          std::make_shared<Buffer>(static_cast<size_t>(size_of(op, shape)) * static_cast<size_t>(type.size), device)),
      data(static_cast<char*>(buffer->data())),
      shape(shape),
      type(type) {}

int64_t DeviceArray::size() const {
  int64_t n = 1;
  for (const int64_t s : shape) n *= s;
  return n;
}

// Every argument of an op comes this way, so a recorded step keeps what it uses.
DeviceArray& require_array(const char* op, const char* name, py::handle value) {
  if (!py::isinstance<DeviceArray>(value)) {
    throw py::type_error(std::string(op) + ": " + name + " must be a nnlite.cuda.Array, got " + type_name(value));
  }
  auto& array = value.cast<DeviceArray&>();
  if (recording() != nullptr) recording()->hold(array.buffer, array.buffer->data());
  return array;
}

OnDevice::OnDevice(const char* op, const char* name, int device) {
  if (op_place.arguments > 0) {
    check(device == op_place.device, op, ": ", op_place.name, " is on cuda:", op_place.device, " but ", name,
          " is on cuda:", device);
  } else {
    device::set_current(device);
    op_place.device = device;
    op_place.name = name;
  }
  ++op_place.arguments;
}

OnDevice::OnDevice(const OnDevice&) { ++op_place.arguments; }
OnDevice::~OnDevice() { --op_place.arguments; }

Input::Input(const char* op, const char* name, py::handle value, int rank, const char* axes)
    : op_(op), name_(name), array_(require_array(op, name, value)), place_(op, name, array_.device()) {
  require_float(op, name, array_);
  if (rank >= 0 && this->rank() != rank) {
    check(false, op, ": ", name, " must have ", rank, rank == 1 ? " dimension " : " dimensions ", axes, ", got ",
          this->rank(), " with shape ", show(shape()));
  }
}

InPlace::InPlace(const char* op, const char* name, py::handle value)
    : array_(require_array(op, name, value)), place_(op, name, array_.device()) {
  require_float(op, name, array_);
}

template <class T>
Indices<T>::Indices(const char* op, const char* name, py::handle value, const Shape& shape, const char* of)
    : array_(require_array(op, name, value)), place_(op, name, array_.device()) {
  if (array_.type != kElementType<T>) {
    throw py::type_error(std::string(op) + ": " + name + " must be " + kElementType<T>.name() + ", got " +
                         array_.type.name());
  }
  check(array_.shape == shape, op, ": ", name, " has shape ", show(array_.shape), " but ", of, " needs ", show(shape));
}
template class Indices<int32_t>;
template class Indices<uint8_t>;

Labels::Labels(const char* op, const char* name, py::handle value)
    : op_(op), name_(name), array_(require_array(op, name, value)), place_(op, name, array_.device()) {
  if (array_.type.kind == 'f') {
    throw py::type_error(std::string(op) + ": " + name + " must be of an integer type, got " + array_.type.name());
  }
  check(array_.shape.size() == 1, op, ": ", name, " must have 1 dimension (N,), got ", array_.shape.size(),
        " with shape ", show(array_.shape));
  if (array_.type == kElementType<int64_t>) return;
  DeviceArray wide(op, kElementType<int64_t>, array_.shape, array_.device());
  run([&] {
    widen_labels(array_.data, array_.type.size, array_.type.kind == 'i', array_.size(),
                 reinterpret_cast<int64_t*>(wide.data));
  });
  array_ = wide;
}

void Labels::check_range(int64_t n, const char* of) const {
  const int64_t number = device::fault_number(op_, name_, of);
  run([&] {
    check_labels(data(), size(), n, number);
    // Without classes every label is wrong, and the op may be refused before anybody waits for the device.
    if (n == 0) device::synchronize();
  });
}

bool is_integer_array(py::handle value) {
  return py::isinstance<DeviceArray>(value) && value.cast<DeviceArray&>().type.kind != 'f';
}

Shape shape_of(py::handle array) { return array.cast<DeviceArray&>().shape; }

void run_erased(void (*body)(void*), void* context) {
  const NoGil no_gil;
  const FloatState specified;
  body(context);
}

}  // namespace nnlite
