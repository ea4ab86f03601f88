// The device as CUDA's runtime has it. A device is opened by its first allocation, copy or launch: importing the
// module, and asking what it can do, start nothing on a GPU. Everything that nnlite does on a device goes through one
// stream, so memory that the host has let go can be used again at once: what still reads it comes before what will
// write it.
#include "device.h"

#include <cuda_runtime_api.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "recording.h"

namespace nnlite {
namespace {

// The host's side of copies: memory that the device reads by itself, in pieces that are filled in turn.
constexpr size_t kPiece = size_t{1} << 20;
constexpr size_t kPieces = 4;
constexpr int kMostDevices = 64;

struct Device {
  int index = 0;
  cudaStream_t stream = nullptr;
  Fault* fault = nullptr;  // in device memory
  int multiprocessors = 0, shared_bytes = 0;
  // From here on, for who holds `copying`.
  std::mutex copying;
  Fault* found = nullptr;  // the host's copy of *fault
  char* pieces = nullptr;
  std::array<cudaEvent_t, kPieces> used{};  // when the device is done with a piece
  size_t next = 0;
};

struct Block {
  int device;
  size_t size;   // that the device gave
  size_t bytes;  // that were asked for
};

// What lives as long as the process. It is not destroyed at its end: the interpreter releases arrays until the last.
struct Process {
  std::mutex opening;
  std::array<std::atomic<Device*>, kMostDevices> devices{};  // nullptr: not opened
  std::mutex memory;
  std::unordered_map<void*, Block> blocks;                    // in use
  std::map<std::pair<int, size_t>, std::vector<void*>> idle;  // by device and size
  size_t in_use = 0, peak = 0;
  std::mutex allowing;
  std::map<std::pair<int, const void*>, size_t> allowed;  // shared memory, by device and kernel
};

Process& process() {
  static auto* const p = new Process;
  return *p;
}

thread_local int current_device = 0;
std::atomic<bool> started{false}, forked{false};
std::atomic<const char*> last_kernel{nullptr};

// CUDA does not survive a fork: the child has the addresses of the driver's state, but not its threads.
void watch_forks() {
  pthread_atfork(nullptr, nullptr, [] { forked = started.load(); });
  started = true;
}

void refuse_after_fork() {
  if (!forked) return;
  throw DeviceError(
      "CUDA cannot be used in a process forked from one that used it; let multiprocessing 'spawn' its processes");
}

std::string name_of(int device) { return "cuda:" + std::to_string(device); }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

[[noreturn]] void raise(cudaError_t error, const std::string& doing) {
  std::string text = doing + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  const char* const kernel = last_kernel;
  if (error == cudaErrorNoKernelImageForDevice) {
    int device = 0, major = 0, minor = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    text += "; " + name_of(device) + " has compute capability " + std::to_string(major) + "." + std::to_string(minor) +
            ": build nnlite with NNLITE_CUDA_ARCHS=" + std::to_string(10 * major + minor);
  } else if (kernel != nullptr) {
    text += std::string("; the last kernel started was that of ") + kernel;
  }
  throw DeviceError(text);
}

void require(cudaError_t error, const std::string& doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // else it would be reported again, of another call
  raise(error, doing);
}

struct Found {
  int count = 0;
  std::string why_none;
};

Found look_for_devices() {
  watch_forks();
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return {0, "no NVIDIA driver is installed (libcuda.so.1 cannot be loaded)"};
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {std::min(count, kMostDevices), ""};
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver) {
    return {0, "the NVIDIA driver is too old: it supports CUDA " + version_text(driver) +
                   ", and nnlite was built with CUDA " + version_text(runtime)};
  }
  if (error == cudaSuccess || error == cudaErrorNoDevice) {
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return {0, "the NVIDIA driver finds no GPU" +
                   (visible == nullptr ? "" : " (CUDA_VISIBLE_DEVICES is '" + std::string(visible) + "')")};
  }
  return {0, std::string("the NVIDIA driver fails: ") + cudaGetErrorString(error)};
}

const Found& found() {
  static const Found result = [] {
    Found devices = look_for_devices();
    started = devices.count > 0;
    return devices;
  }();
  return result;
}

// Another library may have chosen another device for this thread.
void select(int index) {
  int now = -1;
  if (cudaGetDevice(&now) == cudaSuccess && now == index) return;
  require(cudaSetDevice(index), name_of(index));
}

std::unique_ptr<Device> open(int index) {
  auto d = std::make_unique<Device>();
  const std::string doing = name_of(index) + " cannot be opened";
  d->index = index;
  require(cudaDeviceGetAttribute(&d->multiprocessors, cudaDevAttrMultiProcessorCount, index), doing);
  require(cudaDeviceGetAttribute(&d->shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index), doing);
  require(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), doing);
  require(cudaMalloc(reinterpret_cast<void**>(&d->fault), sizeof(Fault)), doing);
  require(cudaMemsetAsync(d->fault, 0, sizeof(Fault), d->stream), doing);
  require(cudaMallocHost(reinterpret_cast<void**>(&d->found), sizeof(Fault)), doing);
  require(cudaMallocHost(reinterpret_cast<void**>(&d->pieces), kPiece * kPieces), doing);
  for (cudaEvent_t& e : d->used) require(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), doing);
  return d;
}

// The device, opened, as the runtime's choice for this thread.
Device& device_at(int index) {
  refuse_after_fork();
  const int count = found().count;
  if (index < 0 || index >= count) {
    throw DeviceError(name_of(index) + " does not exist" +
                      (count == 0 ? ": " + found().why_none : "; there are " + std::to_string(count)));
  }
  select(index);
  std::atomic<Device*>& place = process().devices[static_cast<size_t>(index)];
  if (Device* const d = place) return *d;
  const std::lock_guard lock(process().opening);
  if (place == nullptr) place = open(index).release();
  return *place;
}

Device& here() { return device_at(current_device); }

// The device that holds the memory at p: ours, or another library's.
Device& holder(const void* p) {
  refuse_after_fork();
  cudaPointerAttributes attributes{};
  require(cudaPointerGetAttributes(&attributes, p), "looking up an address");
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged) {
    throw DeviceError("an address that should be the device's is the host's");
  }
  return device_at(attributes.device);
}

// Sizes are rounded up to one of eight between each power of two and the next, so that blocks of nearly the same size
// replace each other and at most an eighth is lost.
size_t rounded(size_t bytes) {
  const size_t least = 512;
  if (bytes <= least) return least;
  const size_t step = std::max(least, std::bit_floor(bytes - 1) / 8);
  return (bytes + step - 1) / step * step;
}

// Gives the idle blocks of a device back. The caller holds process().memory.
void give_back(const Device& d) {
  Process& p = process();
  cudaStreamSynchronize(d.stream);
  for (auto it = p.idle.lower_bound({d.index, 0}); it != p.idle.end() && it->first.first == d.index;) {
    for (void* const block : it->second) cudaFree(block);
    it = p.idle.erase(it);
  }
  cudaGetLastError();
}

// Starts the copy of the fault record. The caller holds d.copying.
void ask_for_fault(Device& d) {
  require(cudaMemcpyAsync(d.found, d.fault, sizeof(Fault), cudaMemcpyDeviceToHost, d.stream), "reading errors");
}

// Raises what that copy says, once it is there.
void raise_found(Device& d) {
  const Fault it = *d.found;
  if (it.what == 0) return;
  require(cudaMemsetAsync(d.fault, 0, sizeof(Fault), d.stream), "clearing errors");
  device::raise_fault(it);
}

// Device::pieces[i], when the device is done with it.
char* piece(Device& d, size_t i) {
  require(cudaEventSynchronize(d.used[i]), "a copy");
  return d.pieces + i * kPiece;
}

void order(cudaStream_t first, cudaStream_t then) {
  if (first == then) return;
  cudaEvent_t event = nullptr;
  require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  cudaError_t error = cudaEventRecord(event, first);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(then, event, 0);
  cudaEventDestroy(event);  // lives on until nobody waits for it
  require(error, "a stream of another library");
}

// 1 and 2 are CUDA's own names for the two default streams.
cudaStream_t stream_at(uintptr_t handle) { return reinterpret_cast<cudaStream_t>(handle); }

}  // namespace

namespace device {

int count() { return found().count; }
std::string why_none() { return found().why_none; }
int current() { return current_device; }

void set_current(int index) {
  if (index < 0 || index >= count()) device_at(index);
  current_device = index;
}

void* allocate_block(size_t bytes) {
  Device& d = here();
  Process& p = process();
  const size_t size = rounded(bytes);
  const std::lock_guard lock(p.memory);
  void* block = nullptr;
  const auto idle = p.idle.find({d.index, size});
  if (idle != p.idle.end() && !idle->second.empty()) {
    block = idle->second.back();
    idle->second.pop_back();
  } else {
    cudaError_t error = cudaMalloc(&block, size);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      give_back(d);
      error = cudaMalloc(&block, size);
    }
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t left = 0, all = 0;
      cudaMemGetInfo(&left, &all);
      throw OutOfDeviceMemory("out of device memory: " + std::to_string(bytes) + " bytes asked for, " +
                              std::to_string(p.in_use) + " in use by nnlite, " + std::to_string(left) + " of " +
                              std::to_string(all) + " free on " + name_of(d.index));
    }
    require(error, "allocating device memory");
  }
  p.blocks.emplace(block, Block{d.index, size, bytes});
  p.in_use += bytes;
  p.peak = std::max(p.peak, p.in_use);
  return block;
}

void release_block(void* block) noexcept {
  if (forked) return;  // the parent's
  Process& p = process();
  const std::lock_guard lock(p.memory);
  const auto it = p.blocks.find(block);
  if (it == p.blocks.end()) return;
  const Block b = it->second;
  p.blocks.erase(it);
  p.in_use -= b.bytes;
  p.idle[{b.device, b.size}].push_back(block);
}

size_t bytes_in_use() {
  const std::lock_guard lock(process().memory);
  return process().in_use;
}

size_t peak_bytes() {
  const std::lock_guard lock(process().memory);
  return process().peak;
}

void reset_peak() {
  const std::lock_guard lock(process().memory);
  process().peak = process().in_use;
}

void release_cached() {
  refuse_after_fork();
  const std::lock_guard lock(process().memory);
  for (const std::atomic<Device*>& place : process().devices) {
    if (Device* const d = place) give_back(device_at(d->index));
  }
}

// Returns as soon as `from` has been read.
void copy_to_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  Device& d = holder(to);
  const std::lock_guard lock(d.copying);
  for (size_t done = 0; done < bytes; done += kPiece) {
    const size_t i = d.next++ % kPieces, n = std::min(kPiece, bytes - done);
    char* const staged = piece(d, i);
    std::memcpy(staged, static_cast<const char*>(from) + done, n);
    require(cudaMemcpyAsync(static_cast<char*>(to) + done, staged, n, cudaMemcpyHostToDevice, d.stream),
            "a copy to the device");
    require(cudaEventRecord(d.used[i], d.stream), "a copy to the device");
  }
}

void copy_to_host(void* to, const void* from, size_t bytes) {
  refuse_to_wait();
  if (bytes == 0) return synchronize();
  Device& d = holder(from);
  const std::lock_guard lock(d.copying);
  ask_for_fault(d);
  const size_t first = d.next;
  const auto length = [bytes](size_t k) { return std::min(kPiece, bytes - k * kPiece); };
  const size_t count = (bytes + kPiece - 1) / kPiece;
  for (size_t asked = 0, done = 0; done < count; ++done) {
    for (; asked < count && asked < done + kPieces; ++asked) {
      const size_t i = (first + asked) % kPieces;
      // The stream puts this behind earlier copies from the piece.
      require(cudaMemcpyAsync(d.pieces + i * kPiece, static_cast<const char*>(from) + asked * kPiece, length(asked),
                              cudaMemcpyDeviceToHost, d.stream),
              "a copy to the host");
      require(cudaEventRecord(d.used[i], d.stream), "a copy to the host");
    }
    std::memcpy(static_cast<char*>(to) + done * kPiece, piece(d, (first + done) % kPieces), length(done));
  }
  d.next = first + count;
  raise_found(d);
}

void copy_on_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0 || to == from) return;
  Device& d = holder(to);
  const auto copy = [&](void* y, const void* x) {
    require(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDeviceToDevice, d.stream), "a copy on the device");
  };
  const auto a = reinterpret_cast<uintptr_t>(to), b = reinterpret_cast<uintptr_t>(from);
  if (a + bytes <= b || b + bytes <= a) return copy(to, from);
  const int before = std::exchange(current_device, d.index);
  void* between = nullptr;
  try {
    between = allocate_block(bytes);
  } catch (...) {
    current_device = before;
    throw;
  }
  current_device = before;
  copy(between, from);
  copy(to, between);
  release_block(between);
}

void fill_zero(void* to, size_t bytes) {
  if (bytes == 0) return;
  const Device& d = holder(to);
  require(cudaMemsetAsync(to, 0, bytes, d.stream), "filling with zeros");
}

void synchronize() {
  refuse_after_fork();
  for (const std::atomic<Device*>& place : process().devices) {
    if (place == nullptr) continue;
    Device& d = device_at(place.load()->index);
    const std::lock_guard lock(d.copying);
    ask_for_fault(d);
    require(cudaStreamSynchronize(d.stream), "waiting for " + name_of(d.index));
    raise_found(d);
  }
}

int multiprocessors() { return here().multiprocessors; }
size_t shared_bytes() { return static_cast<size_t>(here().shared_bytes); }

void* stream() { return here().stream; }

// The launches of `work` as a CUDA graph.
std::shared_ptr<void> make_graph(const std::function<void()>& work) {
  const Device& d = here();
  const char* const doing = "capture";
  require(cudaStreamBeginCapture(d.stream, cudaStreamCaptureModeRelaxed), doing);
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(d.stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  require(cudaStreamEndCapture(d.stream, &graph), doing);
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  require(error, doing);
  return {executable, [](void* p) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(p)); }};
}

void start_graph(void* graph) {
  require(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), here().stream), "starting a captured step");
}

Fault* fault() { return here().fault; }

uintptr_t stream_handle(int index) { return reinterpret_cast<uintptr_t>(device_at(index).stream); }

void wait_for_stream(int index, uintptr_t theirs) { order(stream_at(theirs), device_at(index).stream); }
void hold_stream(int index, uintptr_t theirs) { order(device_at(index).stream, stream_at(theirs)); }

void finish(int index, bool all_streams) noexcept {
  if (forked) return;
  try {
    const Device& d = device_at(index);
    all_streams ? cudaDeviceSynchronize() : cudaStreamSynchronize(d.stream);
  } catch (const std::exception&) {
  }
}

// A mark is the event itself.
int64_t record_event() {
  const Device& d = here();
  cudaEvent_t event = nullptr;
  require(cudaEventCreate(&event), "an event");
  require(cudaEventRecord(event, d.stream), "an event");
  return reinterpret_cast<int64_t>(event);
}

double elapsed_ms(int64_t first, int64_t last) {
  float ms = 0;
  require(cudaEventSynchronize(reinterpret_cast<cudaEvent_t>(last)), "an event");
  require(cudaEventElapsedTime(&ms, reinterpret_cast<cudaEvent_t>(first), reinterpret_cast<cudaEvent_t>(last)),
          "an event");
  return static_cast<double>(ms);
}

std::string name(int index) {
  cudaDeviceProp found{};
  require(cudaGetDeviceProperties(&found, index), name_of(index));
  return found.name;
}

size_t l2_bytes(int index) {
  int bytes = 0;
  require(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, index), name_of(index));
  return static_cast<size_t>(bytes);
}

void allow_shared(const char* name, const void* kernel, size_t shared) {
  const Device& d = here();
  Process& p = process();
  const std::lock_guard lock(p.allowing);
  size_t& allowed = p.allowed[{d.index, kernel}];
  if (allowed >= shared) return;
  if (shared > static_cast<size_t>(d.shared_bytes)) {
    throw DeviceError(std::string(name) + ": needs " + std::to_string(shared) +
                      " bytes of shared memory a block, but " + name_of(d.index) + " has " +
                      std::to_string(d.shared_bytes));
  }
  require(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)), name);
  allowed = shared;
}

void after_launch(const char* name) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) raise(error, std::string(name) + ": cannot be launched");
  last_kernel = name;
}

}  // namespace device
}  // namespace nnlite
