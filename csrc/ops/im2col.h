// col[(n, oh, ow), (c, r, s)] = x[n, c, oh*sh - ph + r*dh, ow*sw - pw + s*dw], +0 outside x; h and w are the axes of
// the windows. col2im gathers: each element of dx is the sum of the columns it went to in ascending (oh, ow), the first
// stored, later ones added; none: +0.
#pragma once

#include <cstdint>

#include "ops/window_axis.h"

namespace nnlite {

void im2col(const float* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, float* col);
void im2col(const double* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, double* col);
void col2im(const float* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, float* dx);
void col2im(const double* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, double* dx);

}  // namespace nnlite
