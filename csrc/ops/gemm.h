// c (m, n) = op(a) (m, k) · op(b) (k, n), then + bias (n) where bias is not nullptr. a is stored (k, m) when
// transpose_a, b (n, k) when transpose_b; all in C order. The order of docs/numerics.md, section 2. linear_forward is
// gemm(x, weight, transpose_b) with a bias; its gradients are plain gemms.
#pragma once

#include <cstdint>

namespace nnlite {

struct GemmSize {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
};

void gemm(GemmSize size, const float* a, const float* b, const float* bias, float* c);
void gemm(GemmSize size, const double* a, const double* b, const double* bias, double* c);

// y[j] = Sum over i of x[i, j], x (rows, columns): the gradient of a bias.
void column_sums(const float* x, int64_t rows, int64_t columns, float* y);
void column_sums(const double* x, int64_t rows, int64_t columns, double* y);

}  // namespace nnlite
