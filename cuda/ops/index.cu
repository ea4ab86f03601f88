// Forward an element a thread. Backward a thread looks through all indices for those of its element, in ascending
// order: no atomic addition, whose order would be chance.
#include "ops/index.h"

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// Index j of element i of the axis' row (o, ., i): index_select has one list for all, gather one for each.
struct One {
  const int64_t* index;
  __device__ int64_t operator()(const Chosen&, int64_t, int64_t j, int64_t) const { return index[j]; }
};
struct Each {
  const int64_t* index;
  __device__ int64_t operator()(const Chosen& size, int64_t o, int64_t j, int64_t i) const {
    return index[(o * size.count + j) * size.inner + i];
  }
};

template <class T, class Index>
__global__ void choose(Chosen size, const T* x, Index index, int64_t n, T* y) {
  const int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e >= n) return;
  const int64_t row = e / size.inner, i = e - row * size.inner, o = row / size.count, j = row - o * size.count;
  // An index out of range has been reported; nothing is read there.
  const int64_t k = index(size, o, j, i);
  y[e] = k >= 0 && k < size.n ? x[(o * size.n + k) * size.inner + i] : T(0);
}

template <class T, class Index>
__global__ void add_up(Chosen size, const T* dy, Index index, int64_t n, T* dx) {
  const int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e >= n) return;
  const int64_t row = e / size.inner, i = e - row * size.inner, o = row / size.n, k = row - o * size.n;
  T sum = 0;
  for (int64_t j = 0; j < size.count; ++j) {
    if (index(size, o, j, i) == k) sum = sum + dy[(o * size.count + j) * size.inner + i];
  }
  dx[e] = sum;
}

template <class T, class Index>
void forward(const char* name, const Chosen& size, const T* x, Index index, T* y) {
  const int64_t n = size.outer * size.count * size.inner;
  if (n > 0) launch(name, choose<T, Index>, blocks_for(n, kThreads), kThreads, 0, size, x, index, n, y);
}
template <class T, class Index>
void backward(const char* name, const Chosen& size, const T* dy, Index index, T* dx) {
  const int64_t n = size.outer * size.n * size.inner;
  if (n > 0) launch(name, add_up<T, Index>, blocks_for(n, kThreads), kThreads, 0, size, dy, index, n, dx);
}

}  // namespace

void index_select(Chosen size, const float* x, const int64_t* index, float* y) {
  forward("index_select", size, x, One{index}, y);
}
void index_select(Chosen size, const double* x, const int64_t* index, double* y) {
  forward("index_select", size, x, One{index}, y);
}
void index_select_backward(Chosen size, const float* dy, const int64_t* index, float* dx) {
  backward("index_select_backward", size, dy, One{index}, dx);
}
void index_select_backward(Chosen size, const double* dy, const int64_t* index, double* dx) {
  backward("index_select_backward", size, dy, One{index}, dx);
}
void gather(Chosen size, const float* x, const int64_t* index, float* y) { forward("gather", size, x, Each{index}, y); }
void gather(Chosen size, const double* x, const int64_t* index, double* y) {
  forward("gather", size, x, Each{index}, y);
}
void gather_backward(Chosen size, const float* dy, const int64_t* index, float* dx) {
  backward("gather_backward", size, dy, Each{index}, dx);
}
void gather_backward(Chosen size, const double* dy, const int64_t* index, double* dx) {
  backward("gather_backward", size, dy, Each{index}, dx);
}

}  // namespace nnlite
