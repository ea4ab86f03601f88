// Elements go in groups of four, for which one block of Philox has the words: a thread makes the words of its groups
// while their elements are under way from memory.
#include "ops/dropout.h"

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 2;  // a thread's, kThreads apart
constexpr int kGroup = 4;

// The four elements of a group, and how they are kept: a byte each.
template <class T>
struct alignas(16) Group {
  T at[kGroup];
};
struct alignas(kGroup) Fates {
  uint8_t at[kGroup];
};

// What stands behind the last whole group is read and written one by one, and so is everything where an address does
// not allow more.
template <class G, class E>
__device__ G load(const E* x, int64_t group, int64_t n, bool whole) {
  if (whole) return reinterpret_cast<const G*>(x)[group];
  G result{};
  for (int j = 0; j < kGroup; ++j) {
    if (group * kGroup + j < n) result.at[j] = x[group * kGroup + j];
  }
  return result;
}

template <class G, class E>
__device__ void store(const G& values, E* y, int64_t group, int64_t n, bool whole) {
  if (whole) {
    reinterpret_cast<G*>(y)[group] = values;
    return;
  }
  for (int j = 0; j < kGroup; ++j) {
    if (group * kGroup + j < n) y[group * kGroup + j] = values.at[j];
  }
}

template <class T>
__global__ void forward(const T* x, int64_t n, uint32_t threshold, T scale, Draw draw, bool wide, T* y, uint8_t* mask) {
  const int64_t first = int64_t{blockIdx.x} * kThreads * kGroups + threadIdx.x;
  Group<T> values[kGroups];
  for (int k = 0; k < kGroups; ++k) {
    const int64_t i = first + k * kThreads;
    values[k] = load<Group<T>>(x, i, n, wide && (i + 1) * kGroup <= n);
  }
  for (int k = 0; k < kGroups; ++k) {
    const int64_t i = first + k * kThreads;
    uint32_t words[kGroup];
    philox(draw, static_cast<uint64_t>(i), words[0], words[1], words[2], words[3]);
    Fates kept;
    for (int j = 0; j < kGroup; ++j) {
      kept.at[j] = words[j] >> 8 >= threshold;
      values[k].at[j] = kept.at[j] ? values[k].at[j] * scale : T(0);
    }
    const bool whole = wide && (i + 1) * kGroup <= n;
    store(values[k], y, i, n, whole);
    store(kept, mask, i, n, whole);
  }
}

template <class T>
__global__ void backward(const T* dy, const uint8_t* mask, int64_t n, T scale, bool wide, T* dx) {
  const int64_t first = int64_t{blockIdx.x} * kThreads * kGroups + threadIdx.x;
  Group<T> values[kGroups];
  Fates kept[kGroups];
  for (int k = 0; k < kGroups; ++k) {
    const int64_t i = first + k * kThreads;
    const bool whole = wide && (i + 1) * kGroup <= n;
    values[k] = load<Group<T>>(dy, i, n, whole);
    kept[k] = load<Fates>(mask, i, n, whole);
  }
  for (int k = 0; k < kGroups; ++k) {
    const int64_t i = first + k * kThreads;
    for (int j = 0; j < kGroup; ++j) values[k].at[j] = kept[k].at[j] != 0 ? values[k].at[j] * scale : T(0);
    store(values[k], dx, i, n, wide && (i + 1) * kGroup <= n);
  }
}

constexpr int64_t kPerBlock = int64_t{kThreads} * kGroups * kGroup;

// Whether groups may be read and written at once.
template <class T>
bool wide(const T* x, const T* y, const uint8_t* mask) {
  return aligned(x, y) && reinterpret_cast<uintptr_t>(mask) % kGroup == 0;
}

template <class T>
void run_forward(const T* x, int64_t n, uint32_t threshold, T scale, Draw draw, T* y, uint8_t* mask) {
  if (n == 0) return;
  launch_varying<4>("dropout_forward", forward<T>, blocks_for(n, kPerBlock), kThreads, 0, x, n, threshold, scale, draw,
                    wide(x, y, mask), y, mask);
}

template <class T>
void run_backward(const T* dy, const uint8_t* mask, int64_t n, T scale, T* dx) {
  if (n == 0) return;
  launch("dropout_backward", backward<T>, blocks_for(n, kPerBlock), kThreads, 0, dy, mask, n, scale, wide(dy, dx, mask),
         dx);
}

}  // namespace

void dropout_forward(const float* x, int64_t n, uint32_t threshold, float scale, Draw draw, float* y, uint8_t* mask) {
  run_forward(x, n, threshold, scale, draw, y, mask);
}
void dropout_forward(const double* x, int64_t n, uint32_t threshold, double scale, Draw draw, double* y,
                     uint8_t* mask) {
  run_forward(x, n, threshold, scale, draw, y, mask);
}
void dropout_backward(const float* dy, const uint8_t* mask, int64_t n, float scale, float* dx) {
  run_backward(dy, mask, n, scale, dx);
}
void dropout_backward(const double* dy, const uint8_t* mask, int64_t n, double scale, double* dx) {
  run_backward(dy, mask, n, scale, dx);
}

}  // namespace nnlite
