// Elements moved from one place to another, as they are: transposes, repeats, slices.
#pragma once

#include "axes.h"

namespace nnlite {

// to[i] = from[i] for the elements of a nest; the strides of `from` are those of its array 0, of `to` of its array 1.
void move_elements(const Axes<2>& axes, int64_t n, const float* from, float* to);
void move_elements(const Axes<2>& axes, int64_t n, const double* from, double* to);

void clear_elements(int64_t n, float* to);
void clear_elements(int64_t n, double* to);

}  // namespace nnlite
