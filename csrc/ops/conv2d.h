// Two-dimensional convolution (cross-correlation), NCHW, in the order of docs/numerics.md, section 3:
//
//   y[n, k, oh, ow]      = Σ (c, r, s)    x[n, c, oh*sh - ph + r*dh, ow*sw - pw + s*dw] * weight[k, c, r, s]   (+
//   bias[k]) dx[n, c, h, w]       = Σ (k, r', s')  dy[n, k, oh, ow] * weight[k, c, R-1-r', S-1-s']   over the taps that
//   the stride reaches dweight[k, c, r, s]  = Σ (n, oh, ow)  dy[n, k, oh, ow] * x[n, c, oh*sh - ph + r*dh, …] dbias[k]
//   = Sum over (n, oh, ow) of dy
//
// with positions outside x or dy as +0. c and k count within a group.
#pragma once

#include <cstdint>

namespace nnlite {

struct Conv2dSize {
  int64_t n, c, h, w;  // x; c counts all groups
  int64_t k, r, s;     // weight (k, c / groups, r, s)
  int64_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups;
  int64_t out_h, out_w;  // y (n, k, out_h, out_w)
};

void conv2d_forward(const Conv2dSize& size, const float* x, const float* weight, const float* bias, float* y);
void conv2d_forward(const Conv2dSize& size, const double* x, const double* weight, const double* bias, double* y);
void conv2d_backward_data(const Conv2dSize& size, const float* dy, const float* weight, float* dx);
void conv2d_backward_data(const Conv2dSize& size, const double* dy, const double* weight, double* dx);
void conv2d_backward_weights(const Conv2dSize& size, const float* dy, const float* x, float* dweight);
void conv2d_backward_weights(const Conv2dSize& size, const double* dy, const double* x, double* dweight);
// dbias[c] = Sum over planes of dy (n, c, plane).
void plane_sums(const float* dy, int64_t n, int64_t c, int64_t plane, float* dbias);
void plane_sums(const double* dy, int64_t n, int64_t c, int64_t plane, double* dbias);

}  // namespace nnlite
