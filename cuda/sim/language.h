// What nvcc knows and a host compiler does not: the part of CUDA C++ that nnlite's kernels use, with a meaning on the
// host. A kernel is an ordinary function here; sim.cpp runs it once per CUDA thread, each on a stack of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};

namespace nnlite::sim {

// Of the CUDA thread that runs now.
extern uint3 thread_index, block_index, block_size, grid_size;
extern unsigned char* shared_start;

// Waits until all threads of the block are here.
void barrier();
// Puts `value` where the lanes of `mask` see it and waits until all of them have done so; then lane(i) reads.
void exchange(unsigned mask, uint64_t value);
uint64_t lane_value(unsigned mask, unsigned lane);
// Ends the launch: the launch fails with this text and the place of the thread.
[[noreturn]] void fail(const char* message);

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source) {
  exchange(mask, to_word(value));
  const uint64_t word = lane_value(mask, source);
  T result;
  std::memcpy(&result, &word, sizeof result);
  return result;
}

inline unsigned lane() {
  return (thread_index.x + block_size.x * (thread_index.y + block_size.y * thread_index.z)) % 32;
}

}  // namespace nnlite::sim

#define threadIdx (::nnlite::sim::thread_index)
#define blockIdx (::nnlite::sim::block_index)
#define blockDim (::nnlite::sim::block_size)
#define gridDim (::nnlite::sim::grid_size)
constexpr int warpSize = 32;

inline void __syncthreads() { ::nnlite::sim::barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { ::nnlite::sim::exchange(mask, 0); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return ::nnlite::sim::shuffle(mask, value, static_cast<unsigned>(source) % 32);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return ::nnlite::sim::shuffle(mask, value, ::nnlite::sim::lane() ^ static_cast<unsigned>(lane_mask));
}
// Lanes whose source would lie outside the warp keep their own value.
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = ::nnlite::sim::lane();
  return ::nnlite::sim::shuffle(mask, value, lane + delta < 32 ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = ::nnlite::sim::lane();
  return ::nnlite::sim::shuffle(mask, value, lane >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) {
  ::nnlite::sim::exchange(mask, predicate);
  unsigned votes = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1) votes |= static_cast<unsigned>(::nnlite::sim::lane_value(mask, i)) << i;
  }
  return votes;
}
inline bool __any_sync(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate) != 0; }
inline bool __all_sync(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate) == mask; }

// Integers only: sums of floats by atomics have no order.
template <class T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  const T old = *p;
  *p = old + value;
  return old;
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  const T old = *p;
  if (old == expected) *p = value;
  return old;
}
inline void __threadfence() {}

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
