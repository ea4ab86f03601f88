// The softmax of rows, and what a loss takes from it on the way (docs/numerics.md, section 7). Defined in
// ops/softmax.cu.
#pragma once

#include "ops/softmax_cross_entropy.h"

namespace nnlite {

// y = softmax of n rows of k elements and, if `losses` is not nullptr, losses[row] = the cross-entropy of t.
void softmax_rows(const char* name, const float* x, Target<float> t, int64_t n, int64_t k, float* y, float* losses);
void softmax_rows(const char* name, const double* x, Target<double> t, int64_t n, int64_t k, double* y, double* losses);

}  // namespace nnlite
