#include "ops/elementwise.h"

#include "parallel.h"

namespace nnlite {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements: about 10 us of memory traffic

// y[i] = f(a[i]) and y[i] = f(a[i], b[i]); the loops vectorise by themselves.
template <class T, class F>
void map(const T* a, T* y, int64_t n, F f) {
  parallel_for(0, n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = f(a[i]);
  });
}

template <class T, class F>
void map(const T* a, const T* b, T* y, int64_t n, F f) {
  parallel_for(0, n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = f(a[i], b[i]);
  });
}

template <class T>
T relu(T x) {
  return x <= 0 ? T(0) : x;
}

template <class T>
T relu_gradient(T dy, T y) {
  return y <= 0 ? T(0) : dy;
}

}  // namespace

void relu_forward(const float* x, float* y, int64_t n) { map(x, y, n, relu<float>); }
void relu_forward(const double* x, double* y, int64_t n) { map(x, y, n, relu<double>); }
void relu_backward(const float* dy, const float* y, float* dx, int64_t n) { map(dy, y, dx, n, relu_gradient<float>); }
void relu_backward(const double* dy, const double* y, double* dx, int64_t n) { map(dy, y, dx, n, relu_gradient<double>); }

void add(const float* a, const float* b, float* y, int64_t n) {
  map(a, b, y, n, [](float s, float t) { return s + t; });
}
void add(const double* a, const double* b, double* y, int64_t n) {
  map(a, b, y, n, [](double s, double t) { return s + t; });
}

}  // namespace nnlite
