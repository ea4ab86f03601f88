// What a kernel file includes: CUDA C++ as nvcc or, for the simulator, sim/language.h has it, and the few names that
// nnlite adds. Kernels take their block's shared memory as one struct, are started by launch(), and never wait for each
// other except inside a block.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "sim/language.h"
#endif

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>

#include "arith.h"
#include "device.h"
#include "recording.h"

namespace nnlite {

constexpr unsigned kWholeWarp = 0xffffffffu;

// Blocks of a grid, or threads of a block.
struct Extent {
  Extent(int64_t x, int64_t y = 1, int64_t z = 1) : x(x), y(y), z(z) {}
  int64_t x, y, z;
};

// The shared memory of the block, as the struct of this kernel; launch() is told its size.
template <class S>
__device__ S& shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char block_memory[];
  return *reinterpret_cast<S*>(block_memory);
#else
  return *reinterpret_cast<S*>(sim::shared_start);
#endif
}

// a * b + c, rounded once.
static __device__ __forceinline__ float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
static __device__ __forceinline__ double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

// 16 bytes, the widest load and store of a thread.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T at[kSize];
};

// Whether all of these addresses allow loads of 16 bytes.
template <class... Pointers>
bool aligned(const Pointers*... p) {
  return ((reinterpret_cast<uintptr_t>(p) | ...) & 15) == 0;
}

static inline int64_t blocks_for(int64_t n, int64_t per_block) { return (n + per_block - 1) / per_block; }

// How a kernel is started, apart from its arguments; `name` is for errors, `shared` the size of its shared_memory
// struct.
template <class... P>
struct Launcher {
  const char* name;
  void (*kernel)(P...);
  Extent grid, block;
  size_t shared;

  void operator()(const P&... args) const {
#if defined(__CUDACC__)
    device::check_launch(name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
    if (shared > 48 * 1024) device::allow_shared(name, reinterpret_cast<const void*>(kernel), shared);
    const auto size = [](Extent e) {
      return dim3(static_cast<unsigned>(e.x), static_cast<unsigned>(e.y), static_cast<unsigned>(e.z));
    };
    kernel<<<size(grid), size(block), shared, static_cast<cudaStream_t>(device::stream())>>>(args...);
    device::after_launch(name);
#else
    const auto body = [&] { kernel(args...); };
    sim::run(
        name, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared,
        [](const void* context) { (*static_cast<const decltype(body)*>(context))(); }, &body);
#endif
  }
};

// Starts kernel(args...) on the current stream.
template <class... P>
void launch(const char* name, void (*kernel)(P...), Extent grid, Extent block, size_t shared,
            std::type_identity_t<P>... args) {
  if (refreshing() != nullptr) return;
  const Launcher<P...> start{name, kernel, grid, block, shared};
  start(args...);
  if (recording() != nullptr) recording()->add([=] { start(args...); });
}

// The same for a kernel whose argument number kScalars changes whenever a recorded step is replayed. Argument number 0
// says what it works on, and must be what was recorded.
template <size_t kScalars, class... P>
void launch_varying(const char* name, void (*kernel)(P...), Extent grid, Extent block, size_t shared,
                    std::type_identity_t<P>... args) {
  using Arguments = std::tuple<P...>;
  static_assert(std::is_trivially_copyable_v<std::tuple_element_t<kScalars, Arguments>>);
  if (refreshing() != nullptr) {
    const Arguments now(args...);
    auto& recorded = *static_cast<Arguments*>(refreshing()->next_varying(sizeof(Arguments)));
    if (!(std::get<0>(recorded) == std::get<0>(now))) {
      throw DeviceError(std::string(name) +
                        ": an array of the captured step has been replaced since (by to() or "
                        "load_state_dict(), say): capture the step again");
    }
    std::get<kScalars>(recorded) = std::get<kScalars>(now);
    return;
  }
  const Launcher<P...> start{name, kernel, grid, block, shared};
  start(args...);
  if (recording() != nullptr) {
    const auto held = std::make_shared<Arguments>(args...);
    recording()->add_varying([=] { std::apply(start, *held); }, held, sizeof(Arguments));
  }
}

// Device memory for the length of a scope on the host; kernels launched inside it may use it.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count) : data_(static_cast<T*>(device::allocate(static_cast<size_t>(count) * sizeof(T)))) {}
  ~Scratch() { device::release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

}  // namespace nnlite
