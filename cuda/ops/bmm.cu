#include "ops/bmm.h"

namespace nnlite {
namespace {

template <class T>
void products(int64_t count, GemmSize s, const T* a, const T* b, T* c) {
  for (int64_t i = 0; i < count; ++i) gemm(s, a + i * s.m * s.k, b + i * s.k * s.n, nullptr, c + i * s.m * s.n);
}

}  // namespace

void bmm(int64_t count, GemmSize size, const float* a, const float* b, float* c) { products(count, size, a, b, c); }
void bmm(int64_t count, GemmSize size, const double* a, const double* b, double* c) { products(count, size, a, b, c); }

}  // namespace nnlite
