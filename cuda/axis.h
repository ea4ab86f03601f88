// Where elements and windows lie, counted in 32 bits where that suffices: 64-bit multiplications, and divisions of any
// kind, take many instructions.
#pragma once

#include "fast_divide.h"
#include "launch.h"
#include "ops/window_axis.h"

namespace nnlite {

template <class Index>
struct Divider;
template <>
struct Divider<int32_t> {
  FastDivide by;
  explicit Divider(int64_t d) : by(d) {}
  __device__ int32_t divide(int32_t n) const { return by(n); }
};
template <>
struct Divider<int64_t> {
  int64_t d;
  explicit Divider(int64_t d) : d(d) {}
  __device__ int64_t divide(int64_t n) const { return n / d; }
};

// WindowAxis in numbers of a kernel's size.
template <class Index>
struct Axis {
  Index size, kernel, stride, padding, dilation, windows;
  Divider<Index> by_stride, by_dilation, by_size, by_windows;
  explicit Axis(const WindowAxis& a)
      : size(static_cast<Index>(a.size)),
        kernel(static_cast<Index>(a.kernel)),
        stride(static_cast<Index>(a.stride)),
        padding(static_cast<Index>(a.padding)),
        dilation(static_cast<Index>(a.dilation)),
        windows(static_cast<Index>(a.windows)),
        by_stride(a.stride),
        by_dilation(a.dilation),
        by_size(std::max<int64_t>(1, a.size)),
        by_windows(std::max<int64_t>(1, a.windows)) {}
  __device__ bool holds(Index element) const {
    return static_cast<std::make_unsigned_t<Index>>(element) < static_cast<std::make_unsigned_t<Index>>(size);
  }
};

constexpr int64_t kMost32 = int64_t{1} << 30;

// Whether places in a plane of these axes, with all that windows reach outside it, are small numbers.
static inline bool are_small(const WindowAxis& h, const WindowAxis& w) {
  const auto extent = [](const WindowAxis& a) {
    const auto product = [](int64_t x, int64_t y) { return static_cast<double>(x) * static_cast<double>(y); };
    return product(a.size, 1) + product(a.padding, 2) + product(a.kernel, a.dilation) + product(a.windows, a.stride);
  };
  return extent(h) * extent(w) < static_cast<double>(kMost32);
}

// f(first, count) for slices of `items` items of which none is larger than kMost32 elements in all.
template <class F>
void in_slices(int64_t items, int64_t elements_of_one, F f) {
  const int64_t most = std::max<int64_t>(1, kMost32 / std::max<int64_t>(1, elements_of_one));
  for (int64_t first = 0; first < items; first += most) f(first, std::min(most, items - first));
}

}  // namespace nnlite
