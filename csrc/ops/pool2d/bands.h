// Bands: some rows of windows (forward) or of elements (backward) of one plane, or several small planes whole. What
// lies under the windows is first deinterleaved by phase, the remainder of its row and column by the stride, with a
// border for the padding. Then tap t of all windows of a band is one run of memory, and vectors run over columns, rows
// and planes alike; what they compute between the rows is left behind. Backward does the same in the opposite
// direction.
#pragma once

#include <functional>

#include "ops/gemm_core.h"
#include "simd.h"
#include "workspace.h"

namespace nnlite {
namespace {

// Rows, and planes, worth about 20 us.
inline int64_t row_grain(int64_t size) { return std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, size)); }
inline int64_t plane_grain(int64_t size) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, size)); }

// Elements of a band: its scratch memory stays in cache.
constexpr int64_t kBand = 4096;

struct Band {
  int64_t plane, planes, row, rows;
};

// The bands of planes with `rows` rows of `size` elements; small planes are taken together up to `together` elements.
class Bands {
 public:
  Bands(int64_t planes, int64_t rows, int64_t size, int64_t together = kBand)
      : planes(planes),
        rows(std::clamp<int64_t>(kBand / size, 1, rows)),
        group(this->rows < rows ? 1 : std::clamp<int64_t>(together / (rows * size), 1, std::max<int64_t>(1, planes))),
        all_rows_(rows),
        each_((rows + this->rows - 1) / this->rows),
        size_(size) {}

  int64_t count() const { return (planes + group - 1) / group * each_; }
  int64_t grain() const { return std::max<int64_t>(1, (1 << 15) / (group * rows * size_)); }
  Band operator[](int64_t i) const {
    const int64_t plane = i / each_ * group, row = i % each_ * rows;
    return {plane, std::min(group, planes - plane), row, std::min(rows, all_rows_ - row)};
  }

  const int64_t planes, rows, group;  // group: planes of a band

 private:
  int64_t all_rows_, each_, size_;
};

// These three copy whole vectors if the array with the row goes on for `room` elements: what is written behind a row is
// written again with the next one. Scratch memory has the room. This one copies what take makes of the elements.
template <class T, class Take = std::identity>
void copy_row(const T* from, int64_t n, int64_t room, T* to, Take take = {}) {
  typedef T V __attribute__((vector_size(kVecBytes)));
  constexpr int W = kVecBytes / static_cast<int>(sizeof(T));
  if (room >= n + W) {
    for (int64_t i = 0; i < n; i += W) {
      V v;
      std::memcpy(&v, from + i, sizeof v);
      v = take(v);
      std::memcpy(to + i, &v, sizeof v);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = take(from[i]);
  }
}

// Even elements to one place, odd ones to another.
template <class T>
void split_row(const T* from, int64_t n, int64_t room, T* even, T* odd) {
  constexpr int W = kLanes<T>;
  if (room >= n + 2 * W) {
    for (int64_t i = 0; i < n; i += 2 * W) {
      Vec<T> a, b;
      load_apart(from + i, a, b);
      store(even + i / 2, a);
      store(odd + i / 2, b);
    }
  } else {
    for (int64_t i = 0; i < n; i += 2) {
      even[i / 2] = from[i];
      if (i + 1 < n) odd[i / 2] = from[i + 1];
    }
  }
}

template <class T>
void join_row(const T* even, const T* odd, int64_t n, int64_t room, T* to) {
  constexpr int W = kLanes<T>;
  if (room >= n + 2 * W) {
    for (int64_t i = 0; i < n; i += 2 * W) store_together<T>(to + i, load(even + i / 2), load(odd + i / 2));
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = (i % 2 == 0 ? even : odd)[i / 2];
  }
}

// The lines outside [first, last) of `rows`, and the columns outside [left, right) of those inside.
template <class T>
void write_border(T* to, int64_t rows, int64_t pitch, int64_t first, int64_t last, int64_t left, int64_t right,
                  T border) {
  std::fill(to, to + first * pitch, border);
  std::fill(to + last * pitch, to + rows * pitch, border);
  const auto column = [=](int64_t v) {
    for (int64_t i = first; i < last; ++i) to[i * pitch + v] = border;
  };
  for (int64_t v = 0; v < left; ++v) column(v);
  for (int64_t v = right; v < pitch; ++v) column(v);
}

// Calls f with the number of taps as a constant where it is a usual one.
template <class F>
void with_count(int64_t count, F f) {
  switch (count) {
    case 1:
      return f([] { return int64_t{1}; });
    case 2:
      return f([] { return int64_t{2}; });
    case 4:
      return f([] { return int64_t{4}; });
    case 9:
      return f([] { return int64_t{9}; });
    default:
      return f([=] { return count; });
  }
}

template <class T, class Count, class Finish>
void sum_of_runs(const T* const* run, Count count, T start, int64_t places, Finish finish, T* y) {
  for (int64_t i = 0; i < places; i += kLanes<T>) {
    Vec<T> sum = broadcast(start);
    for (int64_t t = 0; t < count(); ++t) sum = sum + load(run[t] + i);
    store(y + i, finish(sum));
  }
}

// Calls f with what divides by the size of a window; a power of two leaves the same bits when it multiplies.
template <class T, class F>
void with_division(int64_t size, F f) {
  const T count = static_cast<T>(size), reciprocal = 1 / count;
  if ((size & (size - 1)) == 0) {
    f([=](auto v) { return v * reciprocal; });
  } else {
    f([=](auto v) { return v / count; });
  }
}

}  // namespace
}  // namespace nnlite
