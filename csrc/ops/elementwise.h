// Elementwise ops (docs/numerics.md, sections 5 and 8). n elements each; y may not overlap the inputs.
#pragma once

#include <cstdint>

namespace nnlite {

// y = x > 0 or NaN ? x : +0
void relu_forward(const float* x, float* y, int64_t n);
void relu_forward(const double* x, double* y, int64_t n);
// dx = y <= 0 ? +0 : dy
void relu_backward(const float* dy, const float* y, float* dx, int64_t n);
void relu_backward(const double* dy, const double* y, double* dx, int64_t n);

void add(const float* a, const float* b, float* y, int64_t n);
void add(const double* a, const double* b, double* y, int64_t n);

}  // namespace nnlite
