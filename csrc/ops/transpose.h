// y[n, b, a] = x[n, a, b]: each plane transposed, the numbers as they are.
#pragma once

#include <cstdint>

namespace nnlite {

void transpose(const float* x, int64_t n, int64_t a, int64_t b, float* y);
void transpose(const double* x, int64_t n, int64_t a, int64_t b, double* y);

}  // namespace nnlite
