#include "ops/softmax.h"

#include "parallel.h"
#include "softmax_row.h"

namespace nnlite {
namespace {

template <class T>
void forward(const T* x, int64_t n, int64_t k, T* y) {
  const int64_t block = softmax_block(k);
  parallel_for(0, n, std::max(block, (1 << 13) / k), [=](int64_t begin, int64_t end) {
    T m[kSoftmaxRows], s[kSoftmaxRows];
    for (int64_t r = begin; r < end; r += block) {
      softmax_rows(x + r * k, std::min(block, end - r), k, y + r * k, m, s);
    }
  });
}

template <class T>
void backward(const T* dy, const T* y, int64_t n, int64_t k, T* __restrict dx) {
  parallel_for(0, n, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(k, 1)), [=](int64_t begin, int64_t end) {
    T* __restrict const to = dx;
    for (int64_t r = begin; r < end; ++r) {
      const T dot = sum<T>(k, [](auto a, auto b) { return a * b; }, dy + r * k, y + r * k);
      for (int64_t i = r * k; i < (r + 1) * k; ++i) to[i] = y[i] * (dy[i] - dot);
    }
  });
}

}  // namespace

void softmax_forward(const float* x, int64_t n, int64_t k, float* y) { forward(x, n, k, y); }
void softmax_forward(const double* x, int64_t n, int64_t k, double* y) { forward(x, n, k, y); }
void softmax_backward(const float* dy, const float* y, int64_t n, int64_t k, float* dx) { backward(dy, y, n, k, dx); }
void softmax_backward(const double* dy, const double* y, int64_t n, int64_t k, double* dx) {
  backward(dy, y, n, k, dx);
}

}  // namespace nnlite
