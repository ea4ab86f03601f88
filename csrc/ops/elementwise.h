// Elementwise ops (docs/numerics.md, sections 5, 8 and 9): n elements each; the result overlaps no argument.
//
//   relu      y = x <= 0 ? +0 : x          dx = y <= 0 ? +0 : dy
//   sigmoid   y = 1 / (1 + exp(-x))        dx = (dy * (1 - y)) * y
//   tanh                                   dx = dy * (1 - y * y)
//   exp                                    dx = dy * y
//   log                                    dx = dy / x
#pragma once

#include <cstdint>

namespace nnlite {

void relu_forward(const float* x, float* y, int64_t n);
void relu_forward(const double* x, double* y, int64_t n);
void relu_backward(const float* dy, const float* y, float* dx, int64_t n);
void relu_backward(const double* dy, const double* y, double* dx, int64_t n);

void sigmoid_forward(const float* x, float* y, int64_t n);
void sigmoid_forward(const double* x, double* y, int64_t n);
void sigmoid_backward(const float* dy, const float* y, float* dx, int64_t n);
void sigmoid_backward(const double* dy, const double* y, double* dx, int64_t n);

void tanh_forward(const float* x, float* y, int64_t n);
void tanh_forward(const double* x, double* y, int64_t n);
void tanh_backward(const float* dy, const float* y, float* dx, int64_t n);
void tanh_backward(const double* dy, const double* y, double* dx, int64_t n);

void exp_forward(const float* x, float* y, int64_t n);
void exp_forward(const double* x, double* y, int64_t n);
void log_forward(const float* x, float* y, int64_t n);
void log_forward(const double* x, double* y, int64_t n);
void log_backward(const float* dy, const float* x, float* dx, int64_t n);
void log_backward(const double* dy, const double* x, double* dx, int64_t n);

void add(const float* a, const float* b, float* y, int64_t n);
void add(const double* a, const double* b, double* y, int64_t n);
void subtract(const float* a, const float* b, float* y, int64_t n);
void subtract(const double* a, const double* b, double* y, int64_t n);
void multiply(const float* a, const float* b, float* y, int64_t n);
void multiply(const double* a, const double* b, double* y, int64_t n);
void negative(const float* a, float* y, int64_t n);
void negative(const double* a, double* y, int64_t n);

}  // namespace nnlite
