// The loss is one row of long_row_sums; the gradient one pack a thread, each thread taking the factor from dloss
// itself.
#include "ops/mse.h"

#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

template <class T>
struct SquaredDifference {
  const T *x, *target;
  __device__ auto operator()(int64_t) const {
    return [*this](int64_t i) {
      const T d = x[i] - target[i];
      return d * d;
    };
  }
};

template <class T>
void forward(const T* x, const T* target, int64_t n, T* loss) {
  long_row_sums<T>("mse_forward", SquaredDifference<T>{x, target}, 1, n,
                   lane_sum::StoreMean<T>{loss, static_cast<T>(n)});
}

// x and target may begin anywhere if kPacked is false.
template <class T, bool kPacked>
__global__ void gradient(const T* dloss, const T* x, const T* target, int64_t n, T* dx) {
  constexpr int kSize = kPacked ? Pack<T>::kSize : 1;
  struct alignas(kSize * sizeof(T)) Group {
    T at[kSize];
  };
  const int64_t whole = n / kSize, i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < whole) {
    const Group a = reinterpret_cast<const Group*>(x)[i], b = reinterpret_cast<const Group*>(target)[i];
    const T factor = (T(2) * *dloss) / static_cast<T>(n);
    Group result;
    for (int j = 0; j < kSize; ++j) result.at[j] = (a.at[j] - b.at[j]) * factor;
    reinterpret_cast<Group*>(dx)[i] = result;
  } else if (i < whole + n % kSize) {
    const int64_t j = whole * kSize + (i - whole);
    dx[j] = (x[j] - target[j]) * ((T(2) * *dloss) / static_cast<T>(n));
  }
}

template <class T>
void backward(const T* dloss, const T* x, const T* target, int64_t n, T* dx) {
  const bool packed = aligned(x, target, dx);
  const int64_t threads = packed ? n / Pack<T>::kSize + n % Pack<T>::kSize : n;
  launch("mse_backward", packed ? gradient<T, true> : gradient<T, false>, blocks_for(threads, kThreads), kThreads, 0,
         dloss, x, target, n, dx);
}

}  // namespace

void mse_forward(const float* x, const float* target, int64_t n, float* loss) { forward(x, target, n, loss); }
void mse_forward(const double* x, const double* target, int64_t n, double* loss) { forward(x, target, n, loss); }
void mse_backward(const float* dloss, const float* x, const float* target, int64_t n, float* dx) {
  backward(dloss, x, target, n, dx);
}
void mse_backward(const double* dloss, const double* x, const double* target, int64_t n, double* dx) {
  backward(dloss, x, target, n, dx);
}

}  // namespace nnlite
