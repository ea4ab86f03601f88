// Windows along one axis: tap t of window o lies on element o * stride - padding + t * dilation.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nnlite {

struct WindowAxis {
  int64_t size, kernel, stride, padding, dilation, windows;

  int64_t element(int64_t o, int64_t t) const { return o * stride - padding + t * dilation; }
  // The windows whose tap t lies inside the input: [first, last).
  int64_t first(int64_t t) const {
    const int64_t before = padding - t * dilation;
    return std::min(windows, before <= 0 ? 0 : (before + stride - 1) / stride);
  }
  int64_t last(int64_t t) const {
    const int64_t room = size - 1 + padding - t * dilation;
    return std::max(first(t), room < 0 ? 0 : std::min(windows, room / stride + 1));
  }
  bool overlap() const { return (kernel - 1) * dilation >= stride; }
  // Marks the elements that lie in a window.
  void mark(uint8_t* covered) const {
    std::fill_n(covered, size, uint8_t{0});
    for (int64_t t = 0; t < kernel; ++t) {
      for (int64_t o = first(t); o < last(t); ++o) covered[element(o, t)] = 1;
    }
  }
};

}  // namespace nnlite
