// The device as the host sees it: memory, copies, waiting, and the errors that kernels find. device/device.cpp speaks
// to the CUDA runtime, sim/device.cpp to the simulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace nnlite {

// An error of the device or of a kernel; a Python RuntimeError.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A Python MemoryError.
struct OutOfDeviceMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What a kernel found wrong in an argument; a Python ValueError.
struct FoundByKernel : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A loss that is infinite or NaN; a Python FloatingPointError.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What kernels write when an argument in device memory is wrong. Launches go on, but optimizers change nothing while
// `what` is not 0, and the next synchronisation raises the error. `what` numbers a text of the host; the first thread
// to claim the record writes it.
struct Fault {
  int64_t what, index, value, limit;
  int claimed;
};

namespace device {

// Usable devices; 0 where there is no driver or no GPU, and then why_none() says so.
int count();
std::string why_none();
// The device that allocations and launches of this thread go to.
int current();
void set_current(int index);  // DeviceError unless 0 <= index < count()
int multiprocessors();        // of the current device
size_t shared_bytes();        // that a block may have, on the current device

void* allocate(size_t bytes);  // at least 256-byte aligned; never nullptr; OutOfDeviceMemory
void release(void* p) noexcept;
// Bytes in use by arrays, and the most there were since the start or the last reset_peak().
size_t bytes_in_use();
size_t peak_bytes();
void reset_peak();
void release_cached();

void copy_to_device(void* to, const void* from, size_t bytes);
void copy_to_host(void* to, const void* from, size_t bytes);  // waits; raises what kernels found
void copy_on_device(void* to, const void* from, size_t bytes);
void fill_zero(void* to, size_t bytes);
void synchronize();  // waits; raises what kernels found
// DeviceError while a step is being recorded: what is waited for then would be missing in its replays.
void refuse_to_wait();

// The current stream (a cudaStream_t).
void* stream();

// Order between a device's stream and another library's, given as the array API standard numbers them: 1 is the legacy
// default stream, 2 the one of the thread, else it is a cudaStream_t. The host waits for neither.
uintptr_t stream_handle(int index);                 // ours; 0 in the simulator, where everything is in order
void wait_for_stream(int index, uintptr_t theirs);  // what theirs has comes before what ours is given next
void hold_stream(int index, uintptr_t theirs);      // what ours has comes before what theirs is given next
void finish(int index, bool all_streams) noexcept;  // waits for our stream or all; what is wrong shows later

// For bench. A mark in the current stream's order, and milliseconds between two of them; waits for the last. Marks are
// few and never released.
int64_t record_event();
double elapsed_ms(int64_t first, int64_t last);
// Of the device `index`: its name, and the size of its L2 cache.
std::string name(int index);
size_t l2_bytes(int index);

// The fault record in device memory, and the number that stands in it for an argument of an op and what may be wrong
// with it: `kind` is "tap", "finite", or what an index counts, "classes" say (runtime/fault.cpp has the texts).
Fault* fault();
int64_t fault_number(const char* op, const char* argument, const char* kind);
// Raises what `found` says (a ValueError of Python), or returns if it says nothing.
void raise_fault(const Fault& found);

// For launch(): argument checks that CUDA itself words badly.
void check_launch(const char* name, int64_t gx, int64_t gy, int64_t gz, int64_t bx, int64_t by, int64_t bz,
                  size_t shared);
void allow_shared(const char* name, const void* kernel, size_t shared);
void after_launch(const char* name);

}  // namespace device

namespace sim {
struct Size {
  int64_t x, y, z;
};
void run(const char* name, Size grid, Size block, size_t shared, void (*body)(const void*), const void* context);
}  // namespace sim

}  // namespace nnlite
