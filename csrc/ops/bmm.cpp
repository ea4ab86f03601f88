#include "ops/bmm.h"

#include <algorithm>

#include "parallel.h"

namespace nnlite {
namespace {

// Small products share the threads; large ones use all of them, one after the other.
template <class T>
void products(int64_t count, GemmSize s, const T* a, const T* b, T* c) {
  const int64_t work = std::max<int64_t>(1, s.m * s.n * std::max<int64_t>(s.k, 1));
  const auto one = [=](int64_t i) { gemm(s, a + i * s.m * s.k, b + i * s.k * s.n, nullptr, c + i * s.m * s.n); };
  if (count >= num_threads() && work < (1 << 24)) {
    parallel_for(0, count, std::max<int64_t>(1, (1 << 18) / work), [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) one(i);
    });
  } else {
    for (int64_t i = 0; i < count; ++i) one(i);
  }
}

}  // namespace

void bmm(int64_t count, GemmSize size, const float* a, const float* b, float* c) { products(count, size, a, b, c); }
void bmm(int64_t count, GemmSize size, const double* a, const double* b, double* c) { products(count, size, a, b, c); }

}  // namespace nnlite
