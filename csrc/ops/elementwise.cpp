#include "ops/elementwise.h"

#include "elementary.h"
#include "parallel.h"
#include "vector_exp.h"

namespace nnlite {
namespace {

constexpr int64_t kGrain = 1 << 14;            // elements; about 5 us of memory traffic
constexpr int64_t kElementaryGrain = 1 << 13;  // of exp and its like

// y[i] = f(a[i]) and y[i] = f(a[i], b[i]); the loops vectorise by themselves.
template <class T, class F>
void map(const T* a, T* __restrict y, int64_t n, int64_t grain, F f) {
  parallel_for(0, n, grain, [=](int64_t begin, int64_t end) {
    const T* const from = a;
    T* __restrict const to = y;
    for (int64_t i = begin; i < end; ++i) to[i] = f(from[i]);
  });
}

template <class T, class F>
void map(const T* a, const T* b, T* __restrict y, int64_t n, F f) {
  parallel_for(0, n, kGrain, [=](int64_t begin, int64_t end) {
    const T *const left = a, *const right = b;
    T* __restrict const to = y;
    for (int64_t i = begin; i < end; ++i) to[i] = f(left[i], right[i]);
  });
}

template <class T>
void relu(const T* x, T* y, int64_t n) {
  map(x, y, n, kGrain, [](T v) { return v <= 0 ? T(0) : v; });
}
template <class T>
void relu_gradient(const T* dy, const T* y, T* dx, int64_t n) {
  map(dy, y, dx, n, [](T d, T v) { return v <= 0 ? T(0) : d; });
}
template <class T>
void sigmoid_gradient(const T* dy, const T* y, T* dx, int64_t n) {
  map(dy, y, dx, n, [](T d, T v) { return (d * (1 - v)) * v; });
}
template <class T>
void tanh_gradient(const T* dy, const T* y, T* dx, int64_t n) {
  map(dy, y, dx, n, [](T d, T v) { return d * (1 - v * v); });
}

}  // namespace

void relu_forward(const float* x, float* y, int64_t n) { relu(x, y, n); }
void relu_forward(const double* x, double* y, int64_t n) { relu(x, y, n); }
void relu_backward(const float* dy, const float* y, float* dx, int64_t n) { relu_gradient(dy, y, dx, n); }
void relu_backward(const double* dy, const double* y, double* dx, int64_t n) { relu_gradient(dy, y, dx, n); }

void sigmoid_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](float v) { return sigmoid(v); });
}
void sigmoid_forward(const double* x, double* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](double v) { return sigmoid(v); });
}
void sigmoid_backward(const float* dy, const float* y, float* dx, int64_t n) { sigmoid_gradient(dy, y, dx, n); }
void sigmoid_backward(const double* dy, const double* y, double* dx, int64_t n) { sigmoid_gradient(dy, y, dx, n); }

void tanh_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](float v) { return tanh(v); });
}
void tanh_forward(const double* x, double* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](double v) { return tanh(v); });
}
void tanh_backward(const float* dy, const float* y, float* dx, int64_t n) { tanh_gradient(dy, y, dx, n); }
void tanh_backward(const double* dy, const double* y, double* dx, int64_t n) { tanh_gradient(dy, y, dx, n); }

void exp_forward(const float* x, float* y, int64_t n) {
  parallel_for(0, n, kElementaryGrain,
               [=](int64_t begin, int64_t end) { exp_above(x + begin, 0.0f, y + begin, end - begin); });
}
void exp_forward(const double* x, double* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](double v) { return exp(v); });
}
void log_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](float v) { return log(v); });
}
void log_forward(const double* x, double* y, int64_t n) {
  map(x, y, n, kElementaryGrain, [](double v) { return log(v); });
}
void log_backward(const float* dy, const float* x, float* dx, int64_t n) {
  map(dy, x, dx, n, [](float d, float v) { return d / v; });
}
void log_backward(const double* dy, const double* x, double* dx, int64_t n) {
  map(dy, x, dx, n, [](double d, double v) { return d / v; });
}

void add(const float* a, const float* b, float* y, int64_t n) {
  map(a, b, y, n, [](float s, float t) { return s + t; });
}
void add(const double* a, const double* b, double* y, int64_t n) {
  map(a, b, y, n, [](double s, double t) { return s + t; });
}
void subtract(const float* a, const float* b, float* y, int64_t n) {
  map(a, b, y, n, [](float s, float t) { return s - t; });
}
void subtract(const double* a, const double* b, double* y, int64_t n) {
  map(a, b, y, n, [](double s, double t) { return s - t; });
}
void multiply(const float* a, const float* b, float* y, int64_t n) {
  map(a, b, y, n, [](float s, float t) { return s * t; });
}
void multiply(const double* a, const double* b, double* y, int64_t n) {
  map(a, b, y, n, [](double s, double t) { return s * t; });
}
void negative(const float* a, float* y, int64_t n) {
  map(a, y, n, kGrain, [](float v) { return -v; });
}
void negative(const double* a, double* y, int64_t n) {
  map(a, y, n, kGrain, [](double v) { return -v; });
}

}  // namespace nnlite
