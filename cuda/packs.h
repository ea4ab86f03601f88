// Kernels that compute one element from those at the same place: a thread a pack of 16 bytes, since they are bound by
// memory and wide loads keep more of it in flight.
#pragma once

#include "launch.h"

namespace nnlite {

constexpr int kPackThreads = 256;

// y[i] = f(x[i]...), a pack a thread; the elements behind the last whole pack one a thread.
template <class F, class T, class... X>
__global__ void packs(F f, int64_t n, T* y, const X*... x) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t whole = n / kSize, i = int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  if (i < whole) {
    Pack<T> result;
    [&](const Pack<X>... in) {
      for (int j = 0; j < kSize; ++j) result.at[j] = f(in.at[j]...);
    }(reinterpret_cast<const Pack<X>*>(x)[i]...);
    reinterpret_cast<Pack<T>*>(y)[i] = result;
  } else if (i < whole + n % kSize) {
    const int64_t j = whole * kSize + (i - whole);
    y[j] = f(x[j]...);
  }
}

// The same where an address is no multiple of 16 bytes: rows of an array, say.
template <class F, class T, class... X>
__global__ void elements(F f, int64_t n, T* y, const X*... x) {
  const int64_t i = int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  if (i < n) y[i] = f(x[i]...);
}

template <class F, class T, class... X>
void map(const char* name, F f, int64_t n, T* y, const X*... x) {
  if (n == 0) return;
  if (aligned(y, x...)) {
    const int64_t threads = n / Pack<T>::kSize + n % Pack<T>::kSize;
    launch(name, packs<F, T, X...>, blocks_for(threads, kPackThreads), kPackThreads, 0, f, n, y, x...);
  } else {
    launch(name, elements<F, T, X...>, blocks_for(n, kPackThreads), kPackThreads, 0, f, n, y, x...);
  }
}

}  // namespace nnlite
