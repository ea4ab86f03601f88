// y = Sum(x), all elements in C order (docs/numerics.md, section 4); dx = dy everywhere.
#pragma once

#include <cstdint>

namespace nnlite {

void sum_forward(const float* x, int64_t n, float* y);
void sum_forward(const double* x, int64_t n, double* y);
void sum_backward(const float* dy, int64_t n, float* dx);
void sum_backward(const double* dy, int64_t n, double* dx);

}  // namespace nnlite
