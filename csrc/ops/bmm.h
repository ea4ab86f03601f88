// gemm of `count` pairs of matrices, each one after the other in memory.
#pragma once

#include "ops/gemm.h"

namespace nnlite {

void bmm(int64_t count, GemmSize size, const float* a, const float* b, float* c);
void bmm(int64_t count, GemmSize size, const double* a, const double* b, double* c);

}  // namespace nnlite
