// Memory that comes back: results of ops and scratch of kernels are taken from a recycling allocator, because the page
// faults of a fresh mapping cost more than most memory-bound kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nnlite {

// A block of at least `bytes`, aligned to 64 bytes, contents undefined. Throws a std::bad_alloc that says how many.
void* acquire(size_t bytes);
void release(void* block) noexcept;

// Scratch memory for the length of a scope; a few elements lie in the object itself.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(count <= kInside ? reinterpret_cast<T*>(inside_)
                               : static_cast<T*>(acquire(static_cast<size_t>(count) * sizeof(T)))) {}
  ~Scratch() {
    if (data_ != reinterpret_cast<T*>(inside_)) release(data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr int64_t kInside = 4096 / sizeof(T);
  alignas(64) unsigned char inside_[4096];
  T* data_;
};

}  // namespace nnlite
