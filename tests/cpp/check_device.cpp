// cuda/device/device.cpp without a GPU: against a CUDA runtime of this file, whose streams do nothing until somebody
// waits for them. What a missing wait leaves to chance on a GPU goes wrong here every time.
//
//   check_device [no-driver | old-driver | no-device]     exit code 1 when a check fails

#include <cuda_runtime_api.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device.h"
#include "recording.h"

namespace {

using Work = std::function<void()>;

struct Stream {
  std::deque<Work> waiting;
  uint64_t given = 0, done = 0;
  std::vector<Work>* captured = nullptr;  // what is given goes here while a graph is made
};

struct Event {
  Stream* stream = nullptr;
  uint64_t position = 0;
};

struct Memory {
  size_t bytes;
  int device;
};

std::recursive_mutex busy;
std::string mode;
Stream legacy, per_thread;
std::vector<Stream*> streams{&legacy, &per_thread};
std::map<char*, Memory> memory;
size_t used[2], most = size_t{1} << 30;
int mallocs = 0, frees = 0, graph_launches = 0;
thread_local int chosen = 0;
cudaError_t last = cudaSuccess, at_wait = cudaSuccess;

using Lock = std::lock_guard<std::recursive_mutex>;

Stream& stream_of(cudaStream_t s) {
  if (s == cudaStreamLegacy) return legacy;
  if (s == cudaStreamPerThread) return per_thread;
  return *reinterpret_cast<Stream*>(s);
}

void give(cudaStream_t s, std::function<void()> work) {
  const Lock lock(busy);
  if (stream_of(s).captured != nullptr) return stream_of(s).captured->push_back(std::move(work));
  stream_of(s).waiting.push_back(std::move(work));
  ++stream_of(s).given;
}

void run_until(Stream& s, uint64_t position) {
  const Lock lock(busy);
  while (s.done < position) {
    const auto work = std::move(s.waiting.front());
    s.waiting.pop_front();
    ++s.done;
    work();
  }
}

cudaError_t failed(cudaError_t error) { return last = error; }

int failures = 0;
void expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

template <class Error, class F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    expect(false, ("no error: " + text).c_str());
  } catch (const Error& e) {
    if (std::string(e.what()).find(text) == std::string::npos) {
      std::printf("got: %s\n", e.what());
      expect(false, text.c_str());
    }
  }
}

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t) { return "name"; }
const char* cudaGetErrorString(cudaError_t) { return "text"; }
cudaError_t cudaGetLastError() { return std::exchange(last, cudaSuccess); }
cudaError_t cudaGetDevice(int* device) { return *device = chosen, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return chosen = device, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  return *version = mode == "no-driver" ? 0 : mode == "old-driver" ? 12040 : 13000, cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = mode.empty() ? 2 : 0;
  if (mode == "old-driver") return failed(cudaErrorInsufficientDriver);
  return mode == "no-device" ? failed(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 100000, cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(busy);
  streams.push_back(new Stream);
  *stream = reinterpret_cast<cudaStream_t>(streams.back());
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  run_until(stream_of(s), stream_of(s).given);
  return at_wait;
}
cudaError_t cudaDeviceSynchronize() {
  for (Stream* const s : streams) run_until(*s, s->given);
  return at_wait;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  give(s, [event = *reinterpret_cast<Event*>(e)] { run_until(*event.stream, event.position); });
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return delete reinterpret_cast<Event*>(e), cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  const Lock lock(busy);
  *reinterpret_cast<Event*>(e) = {&stream_of(s), stream_of(s).given};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  const Event event = *reinterpret_cast<Event*>(e);
  if (event.stream != nullptr) run_until(*event.stream, event.position);
  return at_wait;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  stream_of(s).captured = new std::vector<Work>;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  *graph = reinterpret_cast<cudaGraph_t>(std::exchange(stream_of(s).captured, nullptr));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new auto(*reinterpret_cast<std::vector<Work>*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t s) {
  ++graph_launches;
  for (const Work& work : *reinterpret_cast<std::vector<Work>*>(executable)) give(s, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return delete reinterpret_cast<std::vector<Work>*>(graph), cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return delete reinterpret_cast<std::vector<Work>*>(executable), cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { return *ms = 0, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int) { return cudaSuccess; }

cudaError_t cudaMalloc(void** p, size_t bytes) {
  const Lock lock(busy);
  if (used[chosen] + bytes > most) return failed(cudaErrorMemoryAllocation);
  ++mallocs;
  used[chosen] += bytes;
  auto* const start = static_cast<char*>(std::aligned_alloc(512, (bytes + 511) / 512 * 512));
  std::memset(start, 0xcc, bytes);
  memory[start] = {bytes, chosen};
  *p = start;
  return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
  const Lock lock(busy);
  const auto it = memory.find(static_cast<char*>(p));
  used[it->second.device] -= it->second.bytes;
  memory.erase(it);
  std::free(p);
  ++frees;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { return *p = std::malloc(bytes), cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* left, size_t* all) {
  *left = most - used[chosen];
  *all = most;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  const Lock lock(busy);
  auto it = memory.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  a->type = cudaMemoryTypeUnregistered;
  if (it == memory.begin()) return cudaSuccess;
  --it;
  if (p >= it->first + it->second.bytes) return cudaSuccess;
  a->type = cudaMemoryTypeDevice;
  a->device = it->second.device;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t s) {
  give(s, [=] {
    const auto y = reinterpret_cast<uintptr_t>(to), x = reinterpret_cast<uintptr_t>(from);
    if (y + bytes > x && x + bytes > y) {
      std::memset(to, 0xcc, bytes);  // not defined
    } else {
      std::memcpy(to, from, bytes);
    }
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t s) {
  give(s, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

}  // extern "C"

namespace nnlite {
namespace {

std::vector<char> numbers(size_t n, unsigned seed) {
  std::vector<char> x(n);
  for (char& c : x) c = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
  return x;
}

std::vector<char> down(const void* from, size_t n) {
  std::vector<char> y(n);
  device::copy_to_host(y.data(), from, n);
  return y;
}

void check_copies() {
  const size_t mib = 1 << 20;
  std::vector<std::vector<char>> hosts;
  std::vector<char*> blocks;
  for (const size_t n : {size_t{0}, size_t{1}, mib - 1, mib, mib + 1, 4 * mib, 9 * mib + 5, size_t{3}}) {
    hosts.push_back(numbers(n, static_cast<unsigned>(n)));
    blocks.push_back(static_cast<char*>(device::allocate(n)));
    std::vector<char> source = hosts.back();
    device::copy_to_device(blocks.back(), source.data(), n);
    std::fill(source.begin(), source.end(), 'x');  // it has been read
  }
  for (size_t i = 0; i < hosts.size(); ++i) expect(down(blocks[i], hosts[i].size()) == hosts[i], "copies");
  for (const size_t shift : {size_t{1}, 2 * mib}) {
    const size_t n = hosts[6].size();
    device::copy_to_device(blocks[6], hosts[6].data(), n);
    device::copy_on_device(blocks[6] + shift, blocks[6], n - shift);
    std::vector<char> want = hosts[6];
    std::memmove(want.data() + shift, want.data(), n - shift);
    expect(down(blocks[6], n) == want, "overlapping copies forwards");
    device::copy_on_device(blocks[6], blocks[6] + shift, n - shift);
    std::memmove(want.data(), want.data() + shift, n - shift);
    expect(down(blocks[6], n) == want, "overlapping copies backwards");
  }
  device::fill_zero(blocks[5] + 7, 100);
  expect(down(blocks[5] + 7, 100) == std::vector<char>(100), "zeros");
  for (char* const p : blocks) device::release(p);
  expect_error<DeviceError>([&] { device::fill_zero(hosts[3].data(), 5); }, "should be the device's is the host's");
}

void check_memory() {
  device::release_cached();
  const size_t before = device::bytes_in_use();
  device::reset_peak();
  void* const a = device::allocate(1000);
  void* const b = device::allocate(5000);
  expect(device::bytes_in_use() == before + 6000, "bytes in use");
  device::release(a);
  const int so_far = mallocs;
  expect(device::allocate(1020) == a && mallocs == so_far, "a block is used again");
  device::release(a);
  device::release(b);
  expect(device::bytes_in_use() == before && device::peak_bytes() == before + 6020, "peak");
  for (size_t n = 1; n < 300000; n = n * 9 / 8 + 1) {
    void* const p = device::allocate(n);
    const size_t size = memory.at(static_cast<char*>(p)).bytes;
    expect(size >= n && size <= n + std::max(n / 8, size_t{511}), "sizes");
    device::release(p);
  }
  frees = 0;
  device::release_cached();
  expect(frees > 30, "idle blocks are given back");

  most = used[0] + (10 << 20);
  void* const small = device::allocate(4 << 20);
  device::fill_zero(small, 4 << 20);
  device::release(small);
  void* const large = device::allocate(8 << 20);  // after the idle block, and what was to fill it
  expect_error<OutOfDeviceMemory>([] { device::allocate(9 << 20); },
                                  "9437184 bytes asked for, " + std::to_string(device::bytes_in_use()) + " in use");
  expect(device::bytes_in_use() == before + (8 << 20), "a failure takes nothing");
  device::release(large);
  most = size_t{1} << 30;
}

void check_faults() {
  char* const x = static_cast<char*>(device::allocate(4));
  const int64_t number = device::fault_number("op", "target", "classes");
  for (int way = 0; way < 2; ++way) {
    give(static_cast<cudaStream_t>(device::stream()), [=, to = device::fault()] { *to = {number, 2, 7, 3, 1}; });
    const auto wait = [&] { way == 0 ? device::synchronize() : void(down(x, 4)); };
    expect_error<FoundByKernel>(wait, "op: target[2] is 7 but there are 3 classes");
    device::synchronize();  // raised once
  }
  device::release(x);
}

void check_errors() {
  device::after_launch("good");
  last = cudaErrorInvalidConfiguration;
  expect_error<DeviceError>([] { device::after_launch("bad"); }, "bad: cannot be launched: text (name)");
  device::after_launch("good");
  at_wait = cudaErrorIllegalAddress;
  expect_error<DeviceError>(device::synchronize,
                            "waiting for cuda:0: text (name); the last kernel started was that of good");
  at_wait = cudaSuccess;
  device::allow_shared("k", nullptr, 90000);
  expect_error<DeviceError>([] { device::allow_shared("k", nullptr, 100001); },
                            "k: needs 100001 bytes of shared memory a block, but cuda:0 has 100000");
}

void check_devices() {
  device::set_current(1);
  char* const there = static_cast<char*>(device::allocate(100));
  device::set_current(0);
  expect(memory.at(there).device == 1, "allocation on the current device");
  const std::vector<char> host = numbers(100, 1);
  device::copy_to_device(there + 1, host.data(), 99);
  chosen = 0;  // as another library might
  expect(down(there + 1, 99) == std::vector<char>(host.begin(), host.end() - 1), "the device of the memory");
  device::release(there);
  expect_error<DeviceError>([] { device::set_current(2); }, "cuda:2 does not exist; there are 2");
  expect_error<DeviceError>([] { device::set_current(-1); }, "does not exist");
  expect(device::current() == 0, "a refused device is not chosen");
}

void check_streams() {
  const auto ours = static_cast<cudaStream_t>(device::stream());
  for (const uintptr_t theirs : {uintptr_t{1}, uintptr_t{2}}) {
    const auto other = reinterpret_cast<cudaStream_t>(theirs);
    std::string order;
    give(ours, [&] { order += "a"; });
    device::hold_stream(0, theirs);
    give(other, [&] { order += "b"; });
    device::wait_for_stream(0, theirs);
    give(ours, [&] { order += "c"; });
    expect(order.empty(), "the host does not wait");
    device::finish(0, false);
    expect(order == "abc", "order of streams");
    give(other, [&] { order += "d"; });
    device::finish(0, false);
    expect(order == "abc", "our stream alone");
    device::finish(0, true);
    expect(order == "abcd", "all streams");
  }
  device::hold_stream(0, device::stream_handle(0));  // our own
}

void check_threads() {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (unsigned i = 0; i < 50; ++i) {
        const std::vector<char> host = numbers(1 + 70000 * (i % 3) + t, t * 100 + i);
        char* const p = static_cast<char*>(device::allocate(host.size()));
        device::copy_to_device(p, host.data(), host.size());
        expect(down(p, host.size()) == host, "threads");
        device::release(p);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

// What launches do is played by copies.
void check_recording() {
  const std::vector<char> first = numbers(3000, 1), second = numbers(3000, 2), third = numbers(3000, 3);
  const auto upload = [](char* to, const std::vector<char>& x) { device::copy_to_device(to, x.data(), x.size()); };
  const auto array = [] { return static_cast<char*>(device::allocate(3000)); };
  char *const x = array(), *const y = array(), *const z = array();
  upload(x, first);
  const size_t before = device::bytes_in_use();
  {
    Recording step;
    step.begin();
    expect_error<DeviceError>([&] { Recording().begin(); }, "a step is being captured already");
    expect_error<DeviceError>([&] { down(y, 1); }, "cannot ask for numbers of the device");
    char* const between = array();
    device::move(between, x, 3000);
    device::release(between);
    char* const again = array();
    expect(again == between, "a recording uses its memory again");
    device::move(y, again, 3000);
    device::upload(z, third.data(), 3000);
    device::clear(z, 10);
    step.end();
    expect(down(y, 3000) == first, "recording is doing");
    char* const other = array();
    expect(other != again, "what a recording released stays its own");
    device::release(again);
    device::release(other);
    upload(x, second);
    device::fill_zero(z, 3000);
    for (int i = 0; i < 2; ++i) step.replay();
    expect(graph_launches == 4, "launches before and after an upload are a graph each");
    expect(down(y, 3000) == second, "a replay reads what is there now");
    std::vector<char> want = third;
    std::fill_n(want.begin(), 10, 0);
    expect(down(z, 3000) == want, "an upload is done again");
  }
  expect(device::bytes_in_use() == before, "the recording's memory is given back");
  for (char* const p : {x, y, z}) device::release(p);
}

void check_fork() {
  char* const p = static_cast<char*>(device::allocate(100));
  const size_t before = device::bytes_in_use();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    failures = 0;
    expect_error<DeviceError>(device::synchronize, "forked");
    expect_error<DeviceError>([] { device::allocate(1); }, "forked");
    expect_error<DeviceError>([=] { device::fill_zero(p, 1); }, "forked");
    device::release(p);
    device::finish(0, true);
    expect(device::bytes_in_use() == before, "the parent's memory stays");
    std::fflush(stdout);
    _exit(failures);
  }
  int status = 1;
  waitpid(child, &status, 0);
  expect(status == 0, "a forked child");
  device::release(p);
}

}  // namespace
}  // namespace nnlite

int main(int count, char** arguments) {
  using namespace nnlite;
  mode = count > 1 ? arguments[1] : "";
  if (mode.empty()) {
    expect(device::count() == 2 && device::why_none().empty(), "two devices");
    expect(streams.size() == 2 && mallocs == 0, "counting devices opens none");
    device::synchronize();
    device::release_cached();
    expect(device::bytes_in_use() == 0 && streams.size() == 2, "nor does waiting for them");
    for (const auto check : {check_copies, check_memory, check_faults, check_errors, check_devices, check_streams,
                             check_threads, check_recording, check_fork}) {
      check();
    }
  } else {
    expect(device::count() == 0, "no devices");
    std::printf("%s\n", device::why_none().c_str());
    expect_error<DeviceError>([] { device::allocate(1); }, "cuda:0 does not exist: " + device::why_none());
    expect_error<DeviceError>([] { device::set_current(0); }, "cuda:0 does not exist: " + device::why_none());
  }
  return failures == 0 ? 0 : 1;
}
