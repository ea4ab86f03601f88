// The sum of all elements is one row of long_row_sums: a chunk of 4096 a warp, then the chunk sums by a warp. Its
// gradient is one number everywhere.
#include "ops/sum.h"

#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// A pack a thread; outputs are new arrays, which begin at a multiple of 16 bytes. The elements behind the last whole
// pack are one a thread.
template <class T>
__global__ void fill(const T* value, int64_t n, T* to) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t whole = n / kSize, i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < whole) {
    Pack<T> pack;
    for (int j = 0; j < kSize; ++j) pack.at[j] = *value;
    reinterpret_cast<Pack<T>*>(to)[i] = pack;
  } else if (i < whole + n % kSize) {
    to[whole * kSize + (i - whole)] = *value;
  }
}

template <class T>
void forward(const T* x, int64_t n, T* y) {
  long_row_sums<T>("sum_forward", lane_sum::Row<T>{x, n}, 1, n, lane_sum::Store<T>{y});
}

template <class T>
void backward(const T* dy, int64_t n, T* dx) {
  if (n == 0) return;
  const int64_t threads = n / Pack<T>::kSize + n % Pack<T>::kSize;
  launch("sum_backward", fill<T>, blocks_for(threads, kThreads), kThreads, 0, dy, n, dx);
}

}  // namespace

void sum_forward(const float* x, int64_t n, float* y) { forward(x, n, y); }
void sum_forward(const double* x, int64_t n, double* y) { forward(x, n, y); }
void sum_backward(const float* dy, int64_t n, float* dx) { backward(dy, n, dx); }
void sum_backward(const double* dy, int64_t n, double* dx) { backward(dy, n, dx); }

}  // namespace nnlite
