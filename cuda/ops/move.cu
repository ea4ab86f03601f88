#include "ops/move.h"

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void elements(Axes<2> axes, int64_t n, const T* from, T* to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const auto place = axes.place(i);
  to[place.at[1]] = from[place.at[0]];
}

template <class T>
void move(const Axes<2>& axes, int64_t n, const T* from, T* to) {
  if (n > 0) launch("move", elements<T>, blocks_for(n, kThreads), kThreads, 0, axes, n, from, to);
}

template <class T>
__global__ void zeros(int64_t n, T* to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) to[i] = 0;
}

template <class T>
void clear(int64_t n, T* to) {
  if (n > 0) launch("clear", zeros<T>, blocks_for(n, kThreads), kThreads, 0, n, to);
}

}  // namespace

void move_elements(const Axes<2>& axes, int64_t n, const float* from, float* to) { move(axes, n, from, to); }
void move_elements(const Axes<2>& axes, int64_t n, const double* from, double* to) { move(axes, n, from, to); }
void clear_elements(int64_t n, float* to) { clear(n, to); }
void clear_elements(int64_t n, double* to) { clear(n, to); }

}  // namespace nnlite
