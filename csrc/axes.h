// Several arrays read or written in one nest of loops over the axes of a result: NumPy's broadcasting, slices and
// transposes. For CPU and CUDA; kernels take it by value.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace nnlite {

constexpr int kMostAxes = 64;  // NumPy's

template <int Arrays>
struct Axes {
  int count = 0;
  int64_t size[kMostAxes];            // outermost first
  int64_t stride[Arrays][kMostAxes];  // in elements; 0 where an array repeats

  // Adds an axis inside those that are there. One of size 1 is left out; one that continues the axis before it in
  // every array becomes part of that.
  void add(int64_t n, const int64_t (&strides)[Arrays]) {
    if (n == 1) return;
    bool continues = count > 0;
    for (int k = 0; k < Arrays; ++k) continues = continues && stride[k][count - 1] == n * strides[k];
    if (!continues) size[count++] = 1;
    size[count - 1] *= n;
    for (int k = 0; k < Arrays; ++k) stride[k][count - 1] = strides[k];
  }

  // The elements of all axes but the innermost.
  int64_t rows() const {
    int64_t n = 1;
    for (int axis = 0; axis + 1 < count; ++axis) n *= size[axis];
    return n;
  }
  int64_t row_size() const { return count > 0 ? size[count - 1] : 1; }
  // The step of array k along the innermost axis; 1 where there is no axis.
  int64_t step(int k) const { return count > 0 ? stride[k][count - 1] : 1; }

  // Where element `i` of the nest lies in each array.
  struct Place {
    int64_t at[Arrays];
  };
  NNLITE_HD Place place(int64_t i) const {
    Place place = {};
    for (int axis = count - 1; axis >= 0; --axis) {
      const int64_t rest = i / size[axis], index = i - rest * size[axis];
      for (int k = 0; k < Arrays; ++k) place.at[k] += index * stride[k][axis];
      i = rest;
    }
    return place;
  }
};

// Calls f(row's place, first, count) for the parts of rows that make up elements [begin, end) of the nest.
template <int Arrays, class F>
static inline void each_row(const Axes<Arrays>& axes, int64_t begin, int64_t end, F f) {
  const int64_t n = axes.row_size();
  int64_t index[kMostAxes];
  auto place = axes.place(begin / n * n);
  for (int64_t axis = axes.count - 2, i = begin / n; axis >= 0; --axis) {
    index[axis] = i % axes.size[axis];
    i /= axes.size[axis];
  }
  int64_t first = begin % n;
  for (int64_t i = begin; i < end; first = 0) {
    const int64_t count = n - first < end - i ? n - first : end - i;
    f(place, first, count);
    i += count;
    for (int axis = axes.count - 2; axis >= 0; --axis) {  // to the next row
      const bool wraps = ++index[axis] == axes.size[axis];
      const int64_t moved = wraps ? 1 - axes.size[axis] : 1;
      for (int k = 0; k < Arrays; ++k) place.at[k] += moved * axes.stride[k][axis];
      if (!wraps) break;
      index[axis] = 0;
    }
  }
}

}  // namespace nnlite
