// Windows of 2 x 2 that neither overlap nor reach beyond the plane are read and written where they lie, two rows at a
// time. Whole vectors are loaded and stored; what they write behind a row is written again with the next one.
#pragma once

#include "ops/pool2d/bands.h"
#include "ops/window_axis.h"
#include "parallel.h"

namespace nnlite {
namespace {

// Calls f(i, a, b, c, d) with the elements of windows i, i + 1, ... as vectors, or of window i as numbers.
template <class T, class F>
void each_2x2(const T* x, int64_t planes, WindowAxis h, WindowAxis w, F f) {
  constexpr int W = kLanes<T>;
  const T* const end_of_x = x + planes * h.size * w.size;
  parallel_for(0, planes * h.windows, row_grain(2 * w.size), [=](int64_t begin, int64_t end) {
    int64_t plane = begin / h.windows, oh = begin % h.windows;
    for (int64_t first = begin * w.windows; first < end * w.windows; first += w.windows) {
      const T *const upper = x + (plane * h.size + 2 * oh) * w.size, *const lower = upper + w.size;
      const int64_t room = std::min(end * w.windows - first, (end_of_x - lower) / 2);
      int64_t i = 0;
      for (; i < w.windows && i + W <= room; i += W) {
        Vec<T> a, b, c, d;
        load_apart(upper + 2 * i, a, b);
        load_apart(lower + 2 * i, c, d);
        f(first + i, a, b, c, d);
      }
      for (; i < w.windows; ++i) f(first + i, upper[2 * i], upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]);
      if (++oh == h.windows) {
        oh = 0;
        ++plane;
      }
    }
  });
}

// Writes what value(i, tap, V()) says of windows i, i + 1, ... (V a vector) or of window i (V a number) to the element
// under tap 0, 1, 2 or 3; elements in no window are +0.
template <class T, class F>
void write_2x2(T* x, int64_t planes, WindowAxis h, WindowAxis w, F value) {
  constexpr int W = kLanes<T>;
  const int64_t all = planes * h.windows * w.windows;
  parallel_for(0, planes * h.size, row_grain(w.size), [=](int64_t begin, int64_t end) {
    int64_t plane = begin / h.size, y = begin % h.size;
    T* const end_of_x = x + end * w.size;
    for (T* row = x + begin * w.size; row < end_of_x; row += w.size) {
      int64_t i = 0;
      if (y < 2 * h.windows) {
        const int64_t first = (plane * h.windows + y / 2) * w.windows;
        const int32_t tap = y % 2 * 2;
        const int64_t room = std::min(all - first, (end_of_x - row) / 2);
        for (; i < w.windows && i + W <= room; i += W) {
          store_together<T>(row + 2 * i, value(first + i, tap, Vec<T>{}), value(first + i, tap + 1, Vec<T>{}));
        }
        for (; i < w.windows; ++i) {
          row[2 * i] = value(first + i, tap, T());
          row[2 * i + 1] = value(first + i, tap + 1, T());
        }
        i = 2 * w.windows;
      }
      for (; i < w.size; ++i) row[i] = T(0);
      if (++y == h.size) {
        y = 0;
        ++plane;
      }
    }
  });
}

}  // namespace
}  // namespace nnlite
