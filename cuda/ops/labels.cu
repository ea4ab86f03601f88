#include "ops/labels.h"

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void widen(const T* x, int64_t n, int64_t* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = static_cast<int64_t>(x[i]);
}

// One block looks through all labels, so that the first wrong one is the one reported.
struct FirstWrong {
  int64_t index[kThreads];
};

__global__ void find_wrong(const int64_t* labels, int64_t n, int64_t classes, int64_t number, Fault* fault) {
  FirstWrong& shared = shared_memory<FirstWrong>();
  int64_t first = n;
  for (int64_t i = threadIdx.x; i < n && first == n; i += kThreads) {
    if (labels[i] < 0 || labels[i] >= classes) first = i;
  }
  shared.index[threadIdx.x] = first;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const int64_t other = shared.index[threadIdx.x + half];
      if (other < shared.index[threadIdx.x]) shared.index[threadIdx.x] = other;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0 && shared.index[0] < n && atomicCAS(&fault->claimed, 0, 1) == 0) {
    *fault = {number, shared.index[0], labels[shared.index[0]], classes, 1};
  }
}

template <class T>
void widen_all(const void* x, int64_t n, int64_t* y) {
  launch("widen_labels", widen<T>, blocks_for(n, kThreads), kThreads, 0, static_cast<const T*>(x), n, y);
}

}  // namespace

void widen_labels(const void* x, int size, bool is_signed, int64_t n, int64_t* y) {
  if (n == 0) return;
  switch (is_signed ? -size : size) {
    case -1:
      return widen_all<int8_t>(x, n, y);
    case -2:
      return widen_all<int16_t>(x, n, y);
    case -4:
      return widen_all<int32_t>(x, n, y);
    case 1:
      return widen_all<uint8_t>(x, n, y);
    case 2:
      return widen_all<uint16_t>(x, n, y);
    case 4:
      return widen_all<uint32_t>(x, n, y);
    default:
      return widen_all<int64_t>(x, n, y);
  }
}

void check_labels(const int64_t* labels, int64_t n, int64_t classes, int64_t fault_number) {
  if (n == 0) return;
  launch("check_labels", find_wrong, 1, kThreads, sizeof(FirstWrong), labels, n, classes, fault_number,
         device::fault());
}

}  // namespace nnlite
