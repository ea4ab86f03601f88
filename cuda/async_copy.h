// Copies from device memory to shared memory that go on while the thread computes (cp.async): no registers on the way,
// and several tiles can be on their way at once. A thread's copies since the last commit() form a group; wait<N>()
// waits until at most the N latest groups of this thread are under way. What other threads copied is there after their
// wait and a __syncthreads().
#pragma once

#include "launch.h"

namespace nnlite {

#if defined(__CUDACC__)

// An address in shared memory: a number of its own kind. It comes out of an empty instruction, so that nvcc does not
// find it anew for every copy.
template <class T>
class SharedPlace {
 public:
  __device__ __forceinline__ SharedPlace(T* p) : address_(static_cast<unsigned>(__cvta_generic_to_shared(p))) {
    asm volatile("" : "+r"(address_));
  }
  __device__ __forceinline__ SharedPlace operator+(int n) const {
    SharedPlace sum = *this;
    sum.address_ += static_cast<unsigned>(n * static_cast<int>(sizeof(T)));
    return sum;
  }
  // The same, as the start of copies constant distances apart.
  __device__ __forceinline__ SharedPlace once() const {
    SharedPlace same = *this;
    asm volatile("" : "+r"(same.address_));
    return same;
  }
  __device__ __forceinline__ unsigned address() const { return address_; }

 private:
  unsigned address_;
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800

// Turing has no such copies: they go through registers, and are done when the thread goes on.
class AsyncCopies {
 public:
  template <int Bytes, class T>
  __device__ __forceinline__ void copy(SharedPlace<T> to, const void* from) {
    copy_or_zero<Bytes>(to, from, true);
  }
  template <int Bytes, class T>
  __device__ __forceinline__ void copy_or_zero(SharedPlace<T> to, const void* from, bool inside) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
    if constexpr (Bytes == 16) {
      const uint4 v = inside ? *static_cast<const uint4*>(from) : uint4{};
      asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to.address()), "r"(v.x), "r"(v.y), "r"(v.z),
                   "r"(v.w)
                   : "memory");
    } else if constexpr (Bytes == 8) {
      const uint2 v = inside ? *static_cast<const uint2*>(from) : uint2{};
      asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(to.address()), "r"(v.x), "r"(v.y) : "memory");
    } else {
      const unsigned v = inside ? *static_cast<const unsigned*>(from) : 0;
      asm volatile("st.shared.u32 [%0], %1;" ::"r"(to.address()), "r"(v) : "memory");
    }
  }
  __device__ __forceinline__ void commit() {}
  template <int Groups>
  __device__ __forceinline__ void wait() {}
};

#else

class AsyncCopies {
 public:
  template <int Bytes, class T>
  __device__ __forceinline__ void copy(SharedPlace<T> to, const void* from) {
    if constexpr (Bytes == 16) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to.address()), "l"(global(from)));
    } else {
      asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to.address()), "l"(global(from)), "n"(Bytes));
    }
  }
  // +0 instead of *from unless `inside`; then nothing is read.
  template <int Bytes, class T>
  __device__ __forceinline__ void copy_or_zero(SharedPlace<T> to, const void* from, bool inside) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to.address()), "l"(global(from)), "n"(Bytes),
                 "r"(inside ? Bytes : 0));
  }
  __device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int Groups>
  __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
  }

 private:
  static __device__ __forceinline__ size_t global(const void* p) { return __cvta_generic_to_global(p); }
};

#endif

#else

template <class T>
class SharedPlace {
 public:
  SharedPlace(T* p) : p_(p) {}
  SharedPlace operator+(int n) const { return p_ + n; }
  SharedPlace once() const { return *this; }
  operator void*() const { return p_; }

 private:
  T* p_;
};

// In the simulator a copy happens at the last moment that the rules allow: in the wait that makes it certain.
class AsyncCopies {
 public:
  template <int Bytes>
  void copy(void* to, const void* from) {
    copy_or_zero<Bytes>(to, from, true);
  }
  template <int Bytes>
  void copy_or_zero(void* to, const void* from, bool inside) {
    if (reinterpret_cast<uintptr_t>(to) % Bytes != 0 || (inside && reinterpret_cast<uintptr_t>(from) % Bytes != 0)) {
      sim::fail("an asynchronous copy needs aligned addresses");
    }
    if (end_ - begin_ == kMost) sim::fail("more asynchronous copies under way than the simulator has room for");
    copies_[end_++ % kMost] = {to, inside ? from : nullptr, Bytes, group_};
  }
  void commit() { ++group_; }
  template <int Groups>
  void wait() {
    for (; begin_ != end_ && copies_[begin_ % kMost].group + Groups < group_; ++begin_) {
      const Copy& c = copies_[begin_ % kMost];
      if (c.from != nullptr) {
        std::memcpy(c.to, c.from, static_cast<size_t>(c.bytes));
      } else {
        std::memset(c.to, 0, static_cast<size_t>(c.bytes));
      }
    }
  }

 private:
  static constexpr unsigned kMost = 512;
  struct Copy {
    void* to;
    const void* from;
    int bytes, group;
  };
  Copy copies_[kMost];
  unsigned begin_ = 0, end_ = 0;
  int group_ = 0;
};

#endif

}  // namespace nnlite
