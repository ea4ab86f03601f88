// Reductions over the middle axis of x (outer, n, inner): y[o, i] from x[o, 0, i], x[o, 1, i], ... in this order.
#pragma once

#include <cstdint>

namespace nnlite {

struct Middle {
  int64_t outer, n, inner;
};

// The Sum of docs/numerics.md, section 4.
void sum_middle(Middle size, const float* x, float* y);
void sum_middle(Middle size, const double* x, double* y);

// The max of section 5, and where it is: the first one, or the first NaN. n >= 1.
void max_middle(Middle size, const float* x, float* y);
void max_middle(Middle size, const double* x, double* y);
void argmax_middle(Middle size, const float* x, int64_t* y);
void argmax_middle(Middle size, const double* x, int64_t* y);

// y[o, j, i] = x[o, 0, i] + ... + x[o, j, i], from the left.
void cumsum_middle(Middle size, const float* x, float* y);
void cumsum_middle(Middle size, const double* x, double* y);

}  // namespace nnlite
