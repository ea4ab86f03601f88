// What a lattice convolution (conv2d.cpp) runs over: the taps along an axis, and where results go.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nnlite {

// One axis of a lattice: taps at positions o * step + d[i].
struct Axis {
  int64_t taps, step;
  const int64_t* d;
  int64_t least, greatest;  // of d
  int64_t size;             // of the source
};

static inline Axis make_axis(int64_t taps, int64_t step, const int64_t* d, int64_t size) {
  Axis axis{taps, step, d, 0, 0, size};
  for (int64_t i = 0; i < taps; ++i) {
    axis.least = i ? std::min(axis.least, d[i]) : d[i];
    axis.greatest = i ? std::max(axis.greatest, d[i]) : d[i];
  }
  return axis;
}

// Where the lattice's results go: out[n, m, a * step_h + first_h, b * step_w + first_w], m counted from `out`.
template <class T>
struct Lattice {
  T* out;
  int64_t image, channel, width;  // distances in elements: between images, channels and rows
  int64_t step_h, step_w, first_h, first_w;
  int64_t a, b;  // its size

  T* at(int64_t n, int64_t m, int64_t pixel) const {
    const int64_t row = pixel / b, column = pixel % b;
    return out + n * image + m * channel + (row * step_h + first_h) * width + column * step_w + first_w;
  }
  Lattice from_channel(int64_t m) const {
    Lattice lattice = *this;
    lattice.out += m * channel;
    return lattice;
  }
};

}  // namespace nnlite
