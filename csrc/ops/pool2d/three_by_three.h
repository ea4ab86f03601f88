// Windows of 3 x 3 at a stride of 2: forward reads them where they lie, and backward writes the elements in place. Each
// third tap is a first one of the next window: vectors of it are those of the first taps, moved by a lane (forward) or
// read one window further on (backward).
#pragma once

#include "ops/pool2d/neighbours.h"
#include "ops/pool2d/tap_index.h"

namespace nnlite {
namespace {

// Calls f with the padding, 0 or 1, as a constant.
template <class F>
void with_padding(WindowAxis w, F f) {
  if (w.padding == 0) return f([] { return 0; });
  f([] { return 1; });
}

// The three taps of windows i, i + 1, ... in a row, of which the last lies in the plane in the lanes `inside`.
template <class T, class Padding>
void load_row_of_taps(const T* row, int64_t i, Padding padding, TapVec<T> inside, T border, Vec<T>* tap) {
  constexpr int W = kLanes<T>;
  Vec<T> even, odd;
  load_apart(row + 2 * i, even, odd);
  if constexpr (padding() == 0) {
    tap[0] = even;
    tap[1] = odd;
    tap[2] = pick_lanes<T>(even, broadcast(row[2 * (i + W)]), [](int lane) { return lane + 1; });
  } else {
    tap[0] = pick_lanes<T>(broadcast(i > 0 ? row[2 * i - 1] : border), odd, [](int lane) { return lane + W - 1; });
    tap[1] = even;
    tap[2] = inside ? odd : broadcast(border);
  }
}

// Calls f(row_taps, first, last, i, ow, room) for windows ow, ow + 1, ... of each of `rows` rows of windows; their
// results are elements i, i + 1, ..., of which `room` are to be written. Rows [first, last) of taps lie in the plane,
// the first of them at x; row_taps(r, tap) loads those of row r. Not inline: the loop needs all registers.
template <class Padding, class T, class F>
__attribute__((noinline)) void read_3x3(Padding padding, const T* x, int64_t step, int64_t first, int64_t last,
                                        WindowAxis w, T border, int64_t rows, int64_t i, int64_t room, F f) {
  constexpr int W = kLanes<T>;
  TapVec<T> lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
  for (; rows > 0; --rows, x += 2 * step, i += w.windows, room -= w.windows) {
    for (int64_t ow = 0; ow < w.windows; ow += W) {
      const TapVec<T> inside = lane < static_cast<int32_t>(std::min<int64_t>(W, w.size / 2 - ow));
      const auto row_taps = [=](int64_t r, Vec<T>* tap) {
        load_row_of_taps(x + (r - first) * step, ow, padding, inside, border, tap);
      };
      f(row_taps, first, last, i + ow, ow, room - ow);
    }
  }
}

// Calls f so for all windows. Whole vectors are loaded; rows are copied where these would leave the array.
template <class T, class F>
void each_3x3(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T border, F f) {
  const int64_t reach = 2 * ceil_div(w.windows, kLanes<T>) * kLanes<T> + 1, size = w.size;
  const T* const end_of_x = x + planes * h.size * size;
  parallel_for(0, planes * h.windows, row_grain(2 * size), [=](int64_t begin, int64_t end) {
    const Scratch<T> copies(3 * reach);
    for (int64_t i = begin, rows; i < end; i += rows) {
      const int64_t plane = i / h.windows, oh = i % h.windows, top = h.element(oh, 0);
      const int64_t first = std::max<int64_t>(0, -top), last = std::min<int64_t>(3, h.size - top);
      const T* const from = x + (plane * h.size + top + first) * size;
      // Rows of windows that lie in the plane are read together.
      const int64_t alike = last - first < 3 ? 1 : std::min(end - i, (h.size - 3 - top) / 2 + 1);
      const int64_t room = end_of_x - from - (last - first - 1) * size - reach;
      const int64_t whole = room < 0 ? 0 : std::min(alike, room / (2 * size) + 1);
      rows = std::max<int64_t>(1, whole);
      with_padding(w, [&](auto padding) {
        const auto read = [&](const T* row, int64_t step) {
          read_3x3(padding, row, step, first, last, w, border, rows, i * w.windows, (end - i) * w.windows, f);
        };
        if (whole > 0) return read(from, size);
        for (int64_t r = 0; r < last - first; ++r) std::copy_n(from + r * size, size, copies.get() + r * reach);
        read(copies.get(), reach);
      });
    }
  });
}

// A window over an element, and the tap that lies on it.
struct Over {
  int64_t place;
  int32_t tap;
};

// Writes `pairs` pairs of rows of elements under windows of 3 x 3 at steps of 2, whole vectors from column 2 * start to
// the left: what they write behind a row is written again. Every second row and column lies under one window, those
// between under two: sum(windows...) of the windows over an element, in ascending order, is asked for a vector of
// elements. `place` is that of the window above and left of the first four elements. Not inline: as read_3x3.
template <class Padding, class T, class F>
__attribute__((noinline)) void write_row_pairs(Padding padding, T* to, int64_t size, int64_t pairs, int64_t start,
                                               int64_t place, int64_t pitch, F sum) {
  constexpr int kOne = 1 - padding();
  for (; pairs > 0; --pairs, to += 2 * size, place += pitch) {
    for (int64_t v = start; v >= 0; v -= kLanes<T>) {
      const int64_t ul = place + v, ur = ul + 1, ll = ul + pitch, lr = ll + 1;
      const Vec<T> one = sum(Over{kOne ? lr : ul, 4});
      const Vec<T> across = kOne ? sum(Over{ll, 5}, Over{lr, 3}) : sum(Over{ul, 5}, Over{ur, 3});
      const Vec<T> down = kOne ? sum(Over{ur, 7}, Over{lr, 1}) : sum(Over{ul, 7}, Over{ll, 1});
      const Vec<T> both = sum(Over{ul, 8}, Over{ur, 6}, Over{ll, 2}, Over{lr, 0});
      store_together<T>(to + 2 * v, kOne ? both : one, kOne ? down : across);
      store_together<T>(to + size + 2 * v, kOne ? across : down, kOne ? one : both);
    }
  }
}

// Writes the elements of a band so, and +0 to those in no window; up to `end` all is written later.
template <class T, class F>
void write_3x3(const Neighbours& at, Band b, WindowAxis h, WindowAxis w, T* x, const T* end, F sum) {
  constexpr int W = kLanes<T>;
  const int64_t size = w.size, pitch = at.place(0, 1), last = std::min(h.size, 2 * (b.row + b.rows));
  const int64_t used = std::min(size, w.element(w.windows - 1, 3)), under = h.element(h.windows - 1, 3);
  const int64_t start = (used - 1) / (2 * W) * W, reach = 2 * (start + W);
  T* const first = x + (b.plane * h.size + 2 * b.row) * size;
  const Scratch<T> pair(2 * reach);
  with_padding(w, [&](auto padding) {
    for (int64_t k = 0; k < b.planes; ++k) {
      T* to = first + k * h.size * size;
      const int64_t room = end - to - size - reach, place = at.place(k, 0);
      const int64_t whole = room < 0 ? 0 : std::min(b.rows, room / (2 * size) + 1);
      write_row_pairs(padding, to, size, whole, start, place, pitch, sum);
      to += 2 * whole * size;
      for (int64_t a = whole; a < b.rows; ++a, to += 2 * size) {
        write_row_pairs(padding, pair.get(), reach, 1, start, place + a * pitch, pitch, sum);
        std::copy_n(pair.get(), size, to);
        if (2 * (b.row + a) + 1 < h.size) std::copy_n(pair.get() + reach, size, to + size);
      }
    }
  });
  for (int64_t k = 0; k < b.planes; ++k) {
    T* const rows = first + k * h.size * size;
    for (int64_t i = 0; used < size && i < last - 2 * b.row; ++i) rows[i * size + used] = T(0);
    if (under < last) std::fill_n(rows + (under - 2 * b.row) * size, size, T(0));
  }
}

}  // namespace
}  // namespace nnlite
