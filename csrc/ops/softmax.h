// y[n, k] = exp(x[n, k] - m_n) / Σ_j exp(x[n, j] - m_n); dx = y * (dy - Sum_k(dy * y)). Arrays (n, k), k >= 1.
#pragma once

#include <cstdint>

namespace nnlite {

void softmax_forward(const float* x, int64_t n, int64_t k, float* y);
void softmax_forward(const double* x, int64_t n, int64_t k, double* y);
void softmax_backward(const float* dy, const float* y, int64_t n, int64_t k, float* dx);
void softmax_backward(const double* dy, const double* y, int64_t n, int64_t k, double* dx);

}  // namespace nnlite
