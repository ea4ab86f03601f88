// Vectors over planes: W planes are transposed, and element i of all of them is one vector.
#pragma once

#include "ops/pool2d/bands.h"
#include "ops/window_axis.h"
#include "parallel.h"

namespace nnlite {
namespace {

// Rows [first, last) of W planes side by side: element i of all of them is one vector.
template <class T>
struct SideBySide {
  // Calls f(vector, tap) for the taps of window (oh, ow) in these rows, in ascending order.
  template <class F>
  void each_tap(int64_t oh, int64_t ow, F f) const {
    const int64_t row = h.element(oh, 0), column = w.element(ow, 0);
    const int64_t top = std::max<int64_t>(0, first - row), bottom = std::min(h.kernel, last - row);
    const int64_t left = std::max<int64_t>(0, -column), right = std::min(w.kernel, w.size - column);
    for (int64_t r = top; r < bottom; ++r) {
      for (int64_t s = left; s < right; ++s) {
        f(data + ((row + r - first) * w.size + column + s) * kLanes<T>, r * w.kernel + s);
      }
    }
  }
  WindowAxis h, w;
  int64_t first, last;
  T* data;
};

// Calls f(rows, oh, ow, n, i) for every window of every plane, n <= W planes at a time: the window's result for the
// first of them is element i, and for each next one h.windows * w.windows elements on.
template <class T, class F>
void each_window(const T* x, int64_t planes, WindowAxis h, WindowAxis w, F f) {
  constexpr int W = kLanes<T>;
  const Bands bands(ceil_div(planes, W), h.windows, std::min(h.stride, h.size) * w.size * W);
  parallel_for(0, bands.count(), bands.grain(), [=](int64_t begin, int64_t end) {
    const Scratch<T> data(std::min(h.size, (bands.rows - 1) * h.stride + h.kernel) * w.size * W);
    for (int64_t i = begin; i < end; ++i) {
      const Band b = bands[i];
      const int64_t first = std::max<int64_t>(0, h.element(b.row, 0));
      const int64_t last = std::min(h.size, h.element(b.row + b.rows - 1, h.kernel));
      const SideBySide<T> rows{h, w, first, last, data.get()};
      for (int64_t k = b.plane; k < b.plane + b.planes; ++k) {
        const int64_t plane = k * W, n = std::min<int64_t>(W, planes - plane);
        pack_transposed(x + (plane * h.size + first) * w.size, h.size * w.size, n, (last - first) * w.size, data.get(),
                        W, W);
        for (int64_t oh = b.row; oh < b.row + b.rows; ++oh) {
          for (int64_t ow = 0; ow < w.windows; ++ow) f(rows, oh, ow, n, (plane * h.windows + oh) * w.windows + ow);
        }
      }
    }
  });
}

template <class V, class R>
void spread(V lanes, int64_t n, int64_t apart, R* to) {
  for (int64_t i = 0; i < n; ++i) to[i * apart] = static_cast<R>(lanes[i]);
}

}  // namespace
}  // namespace nnlite
