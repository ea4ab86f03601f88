// The simulator's parts among themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace nnlite::sim {

// What memory holds before anything is written: a signalling NaN as binary64, NaNs as binary32.
constexpr uint64_t kUnset = 0x7ff4dead7fa0dead;

enum class Order { ascending, descending, random };
// The order in which threads of a block, and blocks of a grid, run.
void set_order(Order order, uint64_t seed);

// Keeps other threads from running kernels.
std::unique_lock<std::recursive_mutex> lock_machine();

// sim/device.cpp: device memory is accessible while kernels run, and at no other time.
void expose_memory(bool accessible);
// DeviceError if the last kernel wrote behind the end of an allocation, before the next page.
void check_bounds(const char* name);
std::string describe_address(const void* p, size_t shared);
bool is_shared(const void* p);
void set_memory_limit(size_t bytes);
// What device::multiprocessors() says: kernels for large problems are chosen for small ones if it is 1.
void set_multiprocessors(int number);

// sim/planted.cpp
void planted(const std::string& name, const float* x, float* y);

}  // namespace nnlite::sim
