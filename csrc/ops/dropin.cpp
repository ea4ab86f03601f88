#include "ops/dropin.h"

#include <algorithm>

#include "ops/transpose.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

constexpr int64_t kGrain = 1 << 14;

// An image at a time, which stays in the cache until it is transposed; or all together, where threads need more work.
template <class T>
void convolution(const Conv2dSize& size, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t image = size.k * size.out_h * size.out_w, x_image = size.c * size.h * size.w;
  const int64_t together = size.n < 4 * num_threads() ? std::max<int64_t>(1, size.n) : 1;
  parallel_for(0, size.n / together, 1, [&](int64_t begin, int64_t end) {
    Conv2dSize some = size;
    some.n = together;
    const Scratch<T> planes(together * image);
    for (int64_t i = begin; i < end; ++i) {
      conv2d_forward(some, x + i * together * x_image, weight, bias, planes.get());
      transpose(planes.get(), together, size.k, size.out_h * size.out_w, y + i * together * image);
    }
  });
}

// y and mask from y, which may be x.
template <class T>
void rectify(const T* x, int64_t n, T* y, uint8_t* mask) {
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i] <= 0 ? T(0) : x[i];
    y[i] = v;
    mask[i] = v <= 0;
  }
}

template <class T>
void rectify_channels_last(const T* x, int64_t n, int64_t c, int64_t plane, T* y, uint8_t* mask) {
  const int64_t image = c * plane;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, image));
  parallel_for(0, n, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      transpose(x + i * image, 1, plane, c, y + i * image);
      rectify(y + i * image, image, y + i * image, mask + i * image);
    }
  });
}

template <class T>
void rectify_all(const T* x, int64_t n, T* y, uint8_t* mask) {
  parallel_for(0, n, kGrain,
               [=](int64_t begin, int64_t end) { rectify(x + begin, end - begin, y + begin, mask + begin); });
}

template <class T>
void clear(T* dy, int64_t n, const uint8_t* mask) {
  parallel_for(0, n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dy[i] = mask[i] ? T(0) : dy[i];
  });
}

}  // namespace

void conv2d_forward_channels_last(const Conv2dSize& size, const float* x, const float* weight, const float* bias,
                                  float* y) {
  convolution(size, x, weight, bias, y);
}
void conv2d_forward_channels_last(const Conv2dSize& size, const double* x, const double* weight, const double* bias,
                                  double* y) {
  convolution(size, x, weight, bias, y);
}
void relu_forward_channels_last(const float* x, int64_t n, int64_t c, int64_t plane, float* y, uint8_t* mask) {
  rectify_channels_last(x, n, c, plane, y, mask);
}
void relu_forward_channels_last(const double* x, int64_t n, int64_t c, int64_t plane, double* y, uint8_t* mask) {
  rectify_channels_last(x, n, c, plane, y, mask);
}
void relu_forward_mask(const float* x, int64_t n, float* y, uint8_t* mask) { rectify_all(x, n, y, mask); }
void relu_forward_mask(const double* x, int64_t n, double* y, uint8_t* mask) { rectify_all(x, n, y, mask); }
void relu_backward_in_place(float* dy, int64_t n, const uint8_t* mask) { clear(dy, n, mask); }
void relu_backward_in_place(double* dy, int64_t n, const uint8_t* mask) { clear(dy, n, mask); }

}  // namespace nnlite
