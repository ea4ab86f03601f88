// Pooling (docs/numerics.md, section 5) of `planes` planes of h.size x w.size to h.windows x w.windows; h and w are the
// axes of the windows, dilation 1.
//
//   max     the first maximum, or the first NaN, of the taps inside the plane; index is its r * kernel_w + s, in 8 bits
//           where a window has fewer than 256 taps: 255 stands for none
//   avg     (Σ of the taps inside the plane, from +0) / (kernel_h * kernel_w)
//   global  Sum(plane) / (h * w)
//
// Backward gathers: each element is the sum of its contributions in ascending (oh, ow), the first stored, later ones
// added; none: +0.
#pragma once

#include <cstdint>

#include "ops/window_axis.h"

namespace nnlite {

void max_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y, uint8_t* index);
void max_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y, uint8_t* index);
void max_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y, int32_t* index);
void max_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y, int32_t* index);
// False where index holds a tap that a window does not have; dx is then of no use.
bool max_pool2d_backward(const float* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w, float* dx);
bool max_pool2d_backward(const double* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w,
                         double* dx);
bool max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, float* dx);
bool max_pool2d_backward(const double* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w,
                         double* dx);
void avg_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y);
void avg_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y);
void avg_pool2d_backward(const float* dy, int64_t planes, WindowAxis h, WindowAxis w, float* dx);
void avg_pool2d_backward(const double* dy, int64_t planes, WindowAxis h, WindowAxis w, double* dx);
void global_avg_pool2d_forward(const float* x, int64_t planes, int64_t size, float* y);
void global_avg_pool2d_forward(const double* x, int64_t planes, int64_t size, double* y);
void global_avg_pool2d_backward(const float* dy, int64_t planes, int64_t size, float* dx);
void global_avg_pool2d_backward(const double* dy, int64_t planes, int64_t size, double* dx);

}  // namespace nnlite
