// Sums are those of lane_sum.h; maxima and running sums are one thread a column.
#include "ops/reduce.h"

#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// Column o * inner + i of x (outer, n, inner).
template <class T>
struct MiddleColumn {
  const T* x;
  int64_t n, inner;
  struct Elements {
    const T* first;
    int64_t step;
    __device__ T operator()(int64_t j) const { return first[j * step]; }
  };
  __device__ Elements operator()(int64_t column) const {
    const int64_t o = column / inner;
    return {x + o * n * inner + (column - o * inner), inner};
  }
};

template <class T>
void sums(const Middle& size, const T* x, T* y) {
  const int64_t columns = size.outer * size.inner;
  if (size.inner == 1) {
    row_sums<T>("sum_forward", lane_sum::Row<T>{x, size.n}, columns, size.n, lane_sum::Store<T>{y});
  } else {
    column_sums<T>("sum_forward", MiddleColumn<T>{x, size.n, size.inner}, size.n, columns, lane_sum::Store<T>{y});
  }
}

template <class T>
__global__ void maxima(MiddleColumn<T> x, int64_t columns, T* most, int64_t* at) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= columns) return;
  const auto element = x(column);
  T best = element(0);
  int64_t where = 0;
  for (int64_t j = 1; j < x.n; ++j) {
    const T v = element(j);
    if (v > best || (v != v && best == best)) best = v, where = j;
  }
  if (most != nullptr) most[column] = best;
  if (at != nullptr) at[column] = where;
}

template <class T>
void max_any(const char* name, const Middle& size, const T* x, T* most, int64_t* at) {
  const int64_t columns = size.outer * size.inner;
  if (columns == 0) return;
  launch(name, maxima<T>, blocks_for(columns, kThreads), kThreads, 0, MiddleColumn<T>{x, size.n, size.inner}, columns,
         most, at);
}

template <class T>
__global__ void running(MiddleColumn<T> x, int64_t columns, MiddleColumn<T> y) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= columns) return;
  const auto from = x(column), to = y(column);
  T sum{};
  for (int64_t j = 0; j < x.n; ++j) {
    sum = j == 0 ? from(j) : sum + from(j);
    const_cast<T*>(to.first)[j * to.step] = sum;
  }
}

template <class T>
void cumsum(const Middle& size, const T* x, T* y) {
  const int64_t columns = size.outer * size.inner;
  if (columns == 0) return;
  launch("cumsum", running<T>, blocks_for(columns, kThreads), kThreads, 0, MiddleColumn<T>{x, size.n, size.inner},
         columns, MiddleColumn<T>{y, size.n, size.inner});
}

}  // namespace

void sum_middle(Middle size, const float* x, float* y) { sums(size, x, y); }
void sum_middle(Middle size, const double* x, double* y) { sums(size, x, y); }
void max_middle(Middle size, const float* x, float* y) { max_any<float>("amax", size, x, y, nullptr); }
void max_middle(Middle size, const double* x, double* y) { max_any<double>("amax", size, x, y, nullptr); }
void argmax_middle(Middle size, const float* x, int64_t* y) { max_any<float>("argmax", size, x, nullptr, y); }
void argmax_middle(Middle size, const double* x, int64_t* y) { max_any<double>("argmax", size, x, nullptr, y); }
void cumsum_middle(Middle size, const float* x, float* y) { cumsum(size, x, y); }
void cumsum_middle(Middle size, const double* x, double* y) { cumsum(size, x, y); }

}  // namespace nnlite
