// loss = Sum((x - target)^2) / n; dx = (x - target) * ((2 * dloss) / n).
#pragma once

#include <cstdint>

namespace nnlite {

void mse_forward(const float* x, const float* target, int64_t n, float* loss);
void mse_forward(const double* x, const double* target, int64_t n, double* loss);
void mse_backward(const float* dloss, const float* x, const float* target, int64_t n, float* dx);
void mse_backward(const double* dloss, const double* x, const double* target, int64_t n, double* dx);

}  // namespace nnlite
