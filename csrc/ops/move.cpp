#include "ops/move.h"

#include <algorithm>

#include "ops/transpose.h"
#include "parallel.h"

namespace nnlite {
namespace {

constexpr int64_t kGrain = 1 << 14;

template <class T>
void move(const Axes<2>& axes, int64_t n, const T* from, T* to) {
  // Planes transposed, which have a kernel of their own: (planes, b, a) read from (planes, a, b).
  const int last = axes.count - 1;
  if (last >= 1 && last <= 2 && axes.stride[0][last - 1] == 1 && axes.stride[1][last] == 1) {
    const int64_t b = axes.size[last - 1], a = axes.size[last], plane = a * b;
    const bool in_order = axes.stride[0][last] == b && axes.stride[1][last - 1] == a;
    if (in_order && (last == 1 || (axes.stride[0][0] == plane && axes.stride[1][0] == plane))) {
      return transpose(from, n / plane, a, b, to);
    }
  }
  const int64_t out = axes.step(0), in = axes.step(1);
  parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) {
    each_row(axes, begin, end, [&](const auto& place, int64_t first, int64_t count) {
      const T* const source = from + place.at[0] + first * out;
      T* const target = to + place.at[1] + first * in;
      if (out == 1 && in == 1) {
        std::copy_n(source, count, target);
      } else if (out == 0 && in == 1) {
        std::fill_n(target, count, *source);
      } else {
        for (int64_t i = 0; i < count; ++i) target[i * in] = source[i * out];
      }
    });
  });
}

template <class T>
void clear(int64_t n, T* to) {
  parallel_for(0, n, 1 << 15, [=](int64_t begin, int64_t end) { std::fill(to + begin, to + end, T(0)); });
}

}  // namespace

void move_elements(const Axes<2>& axes, int64_t n, const float* from, float* to) { move(axes, n, from, to); }
void move_elements(const Axes<2>& axes, int64_t n, const double* from, double* to) { move(axes, n, from, to); }
void clear_elements(int64_t n, float* to) { clear(n, to); }
void clear_elements(int64_t n, double* to) { clear(n, to); }

}  // namespace nnlite
