// Dropout (docs/numerics.md, section 10): element i is kept when word_i >> 8 is at least the threshold, the smallest
// integer t with t * 2^-24 >= p. y = x * scale where kept, else +0; mask is 1 where kept. dx = dy * scale where mask is
// not 0, else +0.
#pragma once

#include <cstdint>

#include "philox.h"

namespace nnlite {

void dropout_forward(const float* x, int64_t n, uint32_t threshold, float scale, Draw draw, float* y, uint8_t* mask);
void dropout_forward(const double* x, int64_t n, uint32_t threshold, double scale, Draw draw, double* y, uint8_t* mask);
void dropout_backward(const float* dy, const uint8_t* mask, int64_t n, float scale, float* dx);
void dropout_backward(const double* dy, const uint8_t* mask, int64_t n, double scale, double* dx);

}  // namespace nnlite
