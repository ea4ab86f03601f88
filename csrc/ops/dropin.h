// What the drop-in (python/nnlite/dropin) asks for in one pass over memory. Each is a composition of ops, with their
// bits: transpose(conv2d_forward(x)); relu_forward(x) and where its output is 0 or less, from x as it is or transposed;
// and relu_backward in place. The arrays are larger than the caches, so it is the passes that cost.
#pragma once

#include <cstdint>

#include "ops/conv2d.h"

namespace nnlite {

// y (n, out_h, out_w, k).
void conv2d_forward_channels_last(const Conv2dSize& size, const float* x, const float* weight, const float* bias,
                                  float* y);
void conv2d_forward_channels_last(const Conv2dSize& size, const double* x, const double* weight, const double* bias,
                                  double* y);
// y and mask (n, c, plane) of x (n, plane, c).
void relu_forward_channels_last(const float* x, int64_t n, int64_t c, int64_t plane, float* y, uint8_t* mask);
void relu_forward_channels_last(const double* x, int64_t n, int64_t c, int64_t plane, double* y, uint8_t* mask);
void relu_forward_mask(const float* x, int64_t n, float* y, uint8_t* mask);
void relu_forward_mask(const double* x, int64_t n, double* y, uint8_t* mask);
// dy = 0 where mask.
void relu_backward_in_place(float* dy, int64_t n, const uint8_t* mask);
void relu_backward_in_place(double* dy, int64_t n, const uint8_t* mask);

}  // namespace nnlite
