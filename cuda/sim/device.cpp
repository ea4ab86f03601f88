// The simulated device's memory. An allocation lies in pages of its own, its end at an unmapped page; the host cannot
// touch it but by the copies below.
#include "device.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

#include "recording.h"
#include "sim/sim.h"

namespace nnlite {
namespace {

constexpr size_t kPage = 4096;
constexpr int kDevices = 2;  // one that the other can be mixed up with

struct Allocation {
  char* map;
  size_t mapped;  // without the unmapped page
  size_t bytes;
};

std::mutex mutex;
std::map<char*, Allocation> allocations;  // by the address that was handed out
size_t in_use = 0, peak = 0, limit = size_t{4} << 30;
thread_local int current_device = 0;
std::vector<std::chrono::steady_clock::time_point> events;
bool exposed = false;
int multiprocessors_shown = 132;  // as of an H200

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void protect(const Allocation& a, bool accessible) {
  mprotect(a.map, a.mapped, accessible ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// The bytes between the end of an allocation and the unmapped page: fewer than 16.
size_t slack(const char* data, const Allocation& a) { return static_cast<size_t>(a.map + a.mapped - data) - a.bytes; }

// For copies between host and device. No kernel runs while one lives: its end would make the memory inaccessible.
class Exposed {
 public:
  explicit Exposed(const void* p) : machine_(sim::lock_machine()) {
    const std::lock_guard lock(mutex);
    auto it = allocations.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (it == allocations.begin() || p >= std::prev(it)->first + std::prev(it)->second.bytes) {
      throw DeviceError("simulator: a copy from or to what is no device memory");
    }
    allocation_ = (--it)->second;
    protect(allocation_, true);
  }
  ~Exposed() { protect(allocation_, false); }
  Exposed(const Exposed&) = delete;
  Exposed& operator=(const Exposed&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> machine_;
  Allocation allocation_;
};

}  // namespace

namespace sim {

void expose_memory(bool accessible) {
  const std::lock_guard lock(mutex);
  exposed = accessible;
  for (const auto& [data, a] : allocations) protect(a, accessible);
}

void check_bounds(const char* name) {
  const std::lock_guard lock(mutex);
  unsigned char unset[24];  // as allocate() fills memory
  for (int i = 0; i < 3; ++i) std::memcpy(unset + 8 * i, &kUnset, 8);
  for (const auto& [data, a] : allocations) {
    const size_t rest = slack(data, a);
    if (rest == 0) continue;
    protect(a, true);
    const bool whole = std::memcmp(data + a.bytes, unset + a.bytes % 8, rest) == 0;
    protect(a, false);
    if (!whole) {
      throw DeviceError(std::string(name) + ": wrote past the end of an allocation of " + std::to_string(a.bytes) +
                        " bytes");
    }
  }
}

std::string describe_address(const void* p, size_t shared) {
  std::ostringstream out;
  if (is_shared(p)) {
    out << "access outside the " << shared << " bytes of shared memory of the launch";
    return out.str();
  }
  const std::lock_guard lock(mutex);
  const auto* const at = static_cast<const char*>(p);
  for (const auto& [data, a] : allocations) {
    if (at >= data + a.bytes && at < a.map + a.mapped + kPage) {
      out << "access " << at - (data + a.bytes) << " bytes past the end of an allocation of " << a.bytes << " bytes";
      return out.str();
    }
  }
  out << "access at " << p << ", outside every allocation";
  return out.str();
}

void set_memory_limit(size_t bytes) { limit = bytes; }
void set_multiprocessors(int number) { multiprocessors_shown = number; }

}  // namespace sim

namespace device {

int count() { return kDevices; }
std::string why_none() { return ""; }
int current() { return current_device; }
void set_current(int index) { current_device = index; }
int multiprocessors() { return multiprocessors_shown; }
size_t shared_bytes() { return 227 * 1024; }

void* allocate_block(size_t bytes) {
  const std::lock_guard lock(mutex);
  if (bytes > limit || in_use + bytes > limit) {
    throw OutOfDeviceMemory("out of device memory: " + std::to_string(bytes) + " bytes asked for, " +
                            std::to_string(in_use) + " of " + std::to_string(limit) + " in use");
  }
  const size_t mapped = std::max(round_up(bytes, kPage), kPage);
  void* const map = mmap(nullptr, mapped + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) throw OutOfDeviceMemory("simulator: the host has no memory for " + std::to_string(bytes));
  auto* const start = static_cast<char*>(map);
  mprotect(start + mapped, kPage, PROT_NONE);
  char* const data = start + mapped - round_up(bytes, 16);
  for (char* p = data; p < start + mapped; p += sizeof sim::kUnset) std::memcpy(p, &sim::kUnset, sizeof sim::kUnset);
  const Allocation a{start, mapped, bytes};
  if (!exposed) protect(a, false);
  // An empty allocation has an address of its own: the unmapped page's.
  allocations.emplace(data, a);
  in_use += bytes;
  peak = std::max(peak, in_use);
  return data;
}

void release_block(void* p) noexcept {
  const std::lock_guard lock(mutex);
  const auto it = allocations.find(static_cast<char*>(p));
  if (it == allocations.end()) return;
  in_use -= it->second.bytes;
  munmap(it->second.map, it->second.mapped + kPage);
  allocations.erase(it);
}

size_t bytes_in_use() { return in_use; }
size_t peak_bytes() { return peak; }
void reset_peak() { peak = in_use; }
void release_cached() {}

void copy_to_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const Exposed memory(to);
  std::memcpy(to, from, bytes);
}

void copy_to_host(void* to, const void* from, size_t bytes) {
  refuse_to_wait();
  synchronize();
  if (bytes == 0) return;
  const Exposed memory(from);
  std::memcpy(to, from, bytes);
}

void copy_on_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const Exposed target(to), source(from);
  std::memmove(to, from, bytes);
}

void fill_zero(void* to, size_t bytes) {
  if (bytes == 0) return;
  const Exposed memory(to);
  std::memset(to, 0, bytes);
}

Fault* fault() {
  static Fault* const record = [] {
    auto* const p = static_cast<Fault*>(allocate_block(sizeof(Fault)));
    in_use -= sizeof(Fault);  // not the program's
    peak = in_use;
    fill_zero(p, sizeof(Fault));
    return p;
  }();
  return record;
}

void synchronize() {
  Fault found;
  {
    const Exposed memory(fault());
    std::memcpy(&found, fault(), sizeof found);
    std::memset(fault(), 0, sizeof found);
  }
  raise_fault(found);
}

void* stream() { return nullptr; }

std::shared_ptr<void> make_graph(const std::function<void()>& work) {
  return std::make_shared<std::function<void()>>(work);
}
void start_graph(void* graph) { (*static_cast<std::function<void()>*>(graph))(); }

uintptr_t stream_handle(int) { return 0; }
void wait_for_stream(int, uintptr_t) {}
void hold_stream(int, uintptr_t) {}
void finish(int, bool) noexcept {}

int64_t record_event() {
  const std::lock_guard lock(mutex);
  events.push_back(std::chrono::steady_clock::now());
  return static_cast<int64_t>(events.size()) - 1;
}

double elapsed_ms(int64_t first, int64_t last) {
  const std::lock_guard lock(mutex);
  const auto at = [](int64_t event) { return events.at(static_cast<size_t>(event)); };
  return std::chrono::duration<double, std::milli>(at(last) - at(first)).count();
}

std::string name(int) { return "simulator"; }
size_t l2_bytes(int) { return size_t{1} << 20; }

void allow_shared(const char*, const void*, size_t) {}
void after_launch(const char*) {}

}  // namespace device
}  // namespace nnlite
