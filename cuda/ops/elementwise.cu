// One thread an element, in packs of 16 bytes: these ops are bound by memory, and wide loads keep more of it in flight.
#include "ops/elementwise.h"

#include "elementary.h"
#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// y[i] = f(x[i]...), a pack a thread; the elements behind the last whole pack one a thread.
template <class F, class T, class... X>
__global__ void packs(F f, int64_t n, T* y, const X*... x) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t whole = n / kSize, i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
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
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = f(x[i]...);
}

template <class F, class T, class... X>
void map(const char* name, F f, int64_t n, T* y, const X*... x) {
  if (n == 0) return;
  if (aligned(y, x...)) {
    const int64_t threads = n / Pack<T>::kSize + n % Pack<T>::kSize;
    launch(name, packs<F, T, X...>, blocks_for(threads, kThreads), kThreads, 0, f, n, y, x...);
  } else {
    launch(name, elements<F, T, X...>, blocks_for(n, kThreads), kThreads, 0, f, n, y, x...);
  }
}

// The formulas of elementwise.h, for float and double alike.
struct Relu {
  __device__ auto operator()(auto x) const { return x <= 0 ? decltype(x)(0) : x; }
};
struct ReluGradient {
  __device__ auto operator()(auto dy, auto y) const { return y <= 0 ? decltype(dy)(0) : dy; }
};
struct Sigmoid {
  __device__ auto operator()(auto x) const { return sigmoid(x); }
};
struct SigmoidGradient {
  __device__ auto operator()(auto dy, auto y) const { return (dy * (1 - y)) * y; }
};
struct Tanh {
  __device__ auto operator()(auto x) const { return tanh(x); }
};
struct TanhGradient {
  __device__ auto operator()(auto dy, auto y) const { return dy * (1 - y * y); }
};
struct Exp {
  __device__ auto operator()(auto x) const { return exp(x); }
};
struct Log {
  __device__ auto operator()(auto x) const { return log(x); }
};
struct Add {
  __device__ auto operator()(auto a, auto b) const { return a + b; }
};
struct Subtract {
  __device__ auto operator()(auto a, auto b) const { return a - b; }
};
struct Multiply {
  __device__ auto operator()(auto a, auto b) const { return a * b; }
};
struct Divide {
  __device__ auto operator()(auto a, auto b) const { return a / b; }
};
struct Negative {
  __device__ auto operator()(auto a) const { return -a; }
};

}  // namespace

void relu_forward(const float* x, float* y, int64_t n) { map("relu_forward", Relu{}, n, y, x); }
void relu_forward(const double* x, double* y, int64_t n) { map("relu_forward", Relu{}, n, y, x); }
void relu_backward(const float* dy, const float* y, float* dx, int64_t n) {
  map("relu_backward", ReluGradient{}, n, dx, dy, y);
}
void relu_backward(const double* dy, const double* y, double* dx, int64_t n) {
  map("relu_backward", ReluGradient{}, n, dx, dy, y);
}

void sigmoid_forward(const float* x, float* y, int64_t n) { map("sigmoid_forward", Sigmoid{}, n, y, x); }
void sigmoid_forward(const double* x, double* y, int64_t n) { map("sigmoid_forward", Sigmoid{}, n, y, x); }
void sigmoid_backward(const float* dy, const float* y, float* dx, int64_t n) {
  map("sigmoid_backward", SigmoidGradient{}, n, dx, dy, y);
}
void sigmoid_backward(const double* dy, const double* y, double* dx, int64_t n) {
  map("sigmoid_backward", SigmoidGradient{}, n, dx, dy, y);
}

void tanh_forward(const float* x, float* y, int64_t n) { map("tanh_forward", Tanh{}, n, y, x); }
void tanh_forward(const double* x, double* y, int64_t n) { map("tanh_forward", Tanh{}, n, y, x); }
void tanh_backward(const float* dy, const float* y, float* dx, int64_t n) {
  map("tanh_backward", TanhGradient{}, n, dx, dy, y);
}
void tanh_backward(const double* dy, const double* y, double* dx, int64_t n) {
  map("tanh_backward", TanhGradient{}, n, dx, dy, y);
}

void exp_forward(const float* x, float* y, int64_t n) { map("exp_forward", Exp{}, n, y, x); }
void exp_forward(const double* x, double* y, int64_t n) { map("exp_forward", Exp{}, n, y, x); }
void log_forward(const float* x, float* y, int64_t n) { map("log_forward", Log{}, n, y, x); }
void log_forward(const double* x, double* y, int64_t n) { map("log_forward", Log{}, n, y, x); }
void log_backward(const float* dy, const float* x, float* dx, int64_t n) {
  map("log_backward", Divide{}, n, dx, dy, x);
}
void log_backward(const double* dy, const double* x, double* dx, int64_t n) {
  map("log_backward", Divide{}, n, dx, dy, x);
}

void add(const float* a, const float* b, float* y, int64_t n) { map("add", Add{}, n, y, a, b); }
void add(const double* a, const double* b, double* y, int64_t n) { map("add", Add{}, n, y, a, b); }
void subtract(const float* a, const float* b, float* y, int64_t n) { map("subtract", Subtract{}, n, y, a, b); }
void subtract(const double* a, const double* b, double* y, int64_t n) { map("subtract", Subtract{}, n, y, a, b); }
void multiply(const float* a, const float* b, float* y, int64_t n) { map("multiply", Multiply{}, n, y, a, b); }
void multiply(const double* a, const double* b, double* y, int64_t n) { map("multiply", Multiply{}, n, y, a, b); }
void negative(const float* a, float* y, int64_t n) { map("negative", Negative{}, n, y, a); }
void negative(const double* a, double* y, int64_t n) { map("negative", Negative{}, n, y, a); }

}  // namespace nnlite
