// Rows of matrices in device memory, for the training loop: what NumPy's indexing, argmax and comparison do for arrays
// in host memory.
#pragma once

#include <cstdint>

namespace nnlite {

// y[i] = x[index[i]], rows of `row` bytes of an array of `count` rows. A wrong index is a fault of kind "rows", and its
// row in y is zero.
void take_rows(const void* x, int64_t count, int64_t row, const int64_t* index, int64_t n, int64_t fault_number,
               void* y);

// y[i] = the first k at which x[i, k] is largest, or the first NaN; x (n, k), k >= 1.
void argmax_rows(const float* x, int64_t n, int64_t k, int64_t* y);
void argmax_rows(const double* x, int64_t n, int64_t k, int64_t* y);

// How many i < n have a[i] == b[i].
void count_equal(const int64_t* a, const int64_t* b, int64_t n, int64_t* count);

// A fault of kind "finite", with x as its value, unless x is finite.
void check_finite(const float* x, int64_t index, int64_t fault_number);
void check_finite(const double* x, int64_t index, int64_t fault_number);

}  // namespace nnlite
