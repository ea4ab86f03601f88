#include "ops/mse.h"

#include "parallel_sum.h"

namespace nnlite {
namespace {

template <class T>
void forward(const T* x, const T* target, int64_t n, T* loss) {
  const auto square = [](auto a, auto b) {
    const auto d = a - b;
    return d * d;
  };
  *loss = parallel_sum<T>(n, square, x, target) / static_cast<T>(n);
}

template <class T>
void backward(T dloss, const T* x, const T* target, int64_t n, T* __restrict dx) {
  const T factor = (T(2) * dloss) / static_cast<T>(n);
  parallel_for(0, n, 1 << 15, [=](int64_t begin, int64_t end) {
    T* __restrict const to = dx;
    for (int64_t i = begin; i < end; ++i) to[i] = (x[i] - target[i]) * factor;
  });
}

}  // namespace

void mse_forward(const float* x, const float* target, int64_t n, float* loss) { forward(x, target, n, loss); }
void mse_forward(const double* x, const double* target, int64_t n, double* loss) { forward(x, target, n, loss); }
void mse_backward(const float* dloss, const float* x, const float* target, int64_t n, float* dx) {
  backward(*dloss, x, target, n, dx);
}
void mse_backward(const double* dloss, const double* x, const double* target, int64_t n, double* dx) {
  backward(*dloss, x, target, n, dx);
}

}  // namespace nnlite
