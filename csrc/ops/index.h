// Elements along the middle axis of x (outer, n, inner) chosen by indices, all of them in 0 ... n - 1, and gradients
// added up where they came from. `count` is the size of that axis in y.
#pragma once

#include <cstdint>

namespace nnlite {

struct Chosen {
  int64_t outer, n, inner, count;
};

// y[o, j, i] = x[o, index[j], i].
void index_select(Chosen size, const float* x, const int64_t* index, float* y);
void index_select(Chosen size, const double* x, const int64_t* index, double* y);
// dx[o, k, i] = 0 + dy[o, j, i] + ... for all j with index[j] = k, ascending.
void index_select_backward(Chosen size, const float* dy, const int64_t* index, float* dx);
void index_select_backward(Chosen size, const double* dy, const int64_t* index, double* dx);

// y[o, j, i] = x[o, index[o, j, i], i].
void gather(Chosen size, const float* x, const int64_t* index, float* y);
void gather(Chosen size, const double* x, const int64_t* index, double* y);
void gather_backward(Chosen size, const float* dy, const int64_t* index, float* dx);
void gather_backward(Chosen size, const double* dy, const int64_t* index, double* dx);

}  // namespace nnlite
