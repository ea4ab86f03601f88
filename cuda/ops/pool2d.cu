// Forward a window a thread, backward an element a thread, which gathers from the windows that hold it; neighbouring
// threads have neighbouring columns. For windows of 2 x 2 and 3 x 3 at stride 2, the usual ones, the compiler knows all
// taps: forward has all loads under way at once, and backward takes 2 x 2 elements a thread, which share their windows.
#include "ops/pool2d.h"

#include "axis.h"
#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// What becomes of the taps of a window, which come in ascending order.
template <class T, class I>
struct Maximum {
  T* y;
  I* index;
  struct State {
    T best;
    int32_t winner;
  };
  // What stands for a tap outside the plane, and changes nothing. -Inf is beaten by everything but itself, and a window
  // of -Inf alone keeps its first tap.
  __device__ T nothing() const { return static_cast<T>(-__builtin_inf()); }
  __device__ State begin(int32_t first_tap) const { return {nothing(), first_tap}; }
  __device__ void take(State& state, T v, int32_t tap) const {
    if (v > state.best || (v != v && state.best == state.best)) state = {v, tap};
  }
  __device__ void end(const State& state, int64_t window) const {
    y[window] = state.best;
    index[window] = static_cast<I>(state.winner);
  }
};
template <class T>
struct Average {
  T* y;
  T count;
  using State = T;
  __device__ T nothing() const { return T(0); }  // t is never -0
  __device__ State begin(int32_t) const { return T(0); }
  __device__ void take(State& t, T v, int32_t) const { t = t + v; }
  __device__ void end(State t, int64_t window) const { y[window] = t / count; }
};

// kKernel and kStride, of both axes, or 0 where they are not known to the compiler.
template <class T, class Index, int kKernel, int kStride, class Pool>
__global__ void forward(Pool pool, const T* x, Index count, Axis<Index> h, Axis<Index> w) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x);
  if (i >= count) return;
  const Index line = w.by_windows.divide(i), plane = h.by_windows.divide(line);
  const Index oh = line - plane * h.windows, ow = i - line * w.windows;
  const Index top = oh * (kStride ? kStride : h.stride) - h.padding;
  const Index left = ow * (kStride ? kStride : w.stride) - w.padding;
  const Index columns = kKernel ? kKernel : w.kernel;
  const Index first_r = top < 0 ? -top : 0, first_s = left < 0 ? -left : 0;
  const T* const corner = x + plane * h.size * w.size + top * w.size + left;
  auto state = pool.begin(static_cast<int32_t>(first_r * columns + first_s));
  if constexpr (kKernel > 0) {
    T v[kKernel * kKernel];
    for (int tap = 0; tap < kKernel * kKernel; ++tap) {
      const int r = tap / kKernel, s = tap % kKernel;
      v[tap] = h.holds(top + r) && w.holds(left + s) ? corner[r * w.size + s] : pool.nothing();
    }
    for (int tap = 0; tap < kKernel * kKernel; ++tap) pool.take(state, v[tap], tap);
  } else {
    const Index last_r = h.kernel < h.size - top ? h.kernel : h.size - top;
    const Index last_s = columns < w.size - left ? columns : w.size - left;
    for (Index r = first_r; r < last_r; ++r) {
      for (Index s = first_s; s < last_s; ++s) {
        pool.take(state, corner[r * w.size + s], static_cast<int32_t>(r * columns + s));
      }
    }
  }
  pool.end(state, i);
}

// What a window has for its taps is loaded by read(), made ready by prepare(), and asked for by gives(), which is false
// where a tap has no part in it.
template <class T, class I>
struct FromMaximum {
  const T* dy;
  const I* index;
  int32_t taps;
  int64_t number;
  Fault* fault;
  struct Given {
    T g;
    int32_t winner;
  };
  __device__ Given read(int64_t window) const { return {dy[window], index[window]}; }
  // The array is the caller's: what it holds is checked here, where it is used. Of many wrong ones, one is reported.
  __device__ void prepare(Given& given) const {
    if (given.winner >= 0 && given.winner < taps) return;
    auto* const what = reinterpret_cast<unsigned long long*>(&fault->what);
    if (atomicCAS(what, 0, static_cast<unsigned long long>(number)) == 0) {
      fault->value = given.winner;
      fault->limit = taps;
    }
  }
  __device__ bool gives(const Given& given, int32_t tap) const { return given.winner == tap; }
  __device__ T part(const Given& given) const { return given.g; }
};
template <class T>
struct FromAverage {
  const T* dy;
  T count;
  using Given = T;
  __device__ Given read(int64_t window) const { return dy[window]; }
  __device__ void prepare(Given& given) const { given = given / count; }
  __device__ bool gives(Given, int32_t) const { return true; }
  __device__ T part(Given given) const { return given; }
};

template <class T, class Index, class Gradient>
__global__ void gather(Gradient gradient, Index count, Axis<Index> h, Axis<Index> w, T* dx) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x);
  if (i >= count) return;
  const Index line = w.by_size.divide(i), plane = h.by_size.divide(line);
  // Places on axes that begin with the padding: window o holds o * stride ... o * stride + kernel - 1.
  const Index row = line - plane * h.size + h.padding, column = i - line * w.size + w.padding;
  const Index windows = plane * h.windows * w.windows;
  const auto first = [](const Axis<Index>& axis, Index place) {
    return place < axis.kernel ? 0 : axis.by_stride.divide(place - axis.kernel + axis.stride);
  };
  const auto last = [](const Axis<Index>& axis, Index place) {
    return std::min(axis.windows - 1, axis.by_stride.divide(place));
  };
  const Index first_ow = first(w, column), last_oh = last(h, row), last_ow = last(w, column);
  T sum = T(0);
  bool found = false;
  for (Index oh = first(h, row); oh <= last_oh; ++oh) {
    for (Index ow = first_ow; ow <= last_ow; ++ow) {
      auto given = gradient.read(windows + oh * w.windows + ow);
      gradient.prepare(given);
      if (!gradient.gives(given, static_cast<int32_t>((row - oh * h.stride) * w.kernel + column - ow * w.stride))) {
        continue;
      }
      sum = found ? sum + gradient.part(given) : gradient.part(given);
      found = true;
    }
  }
  dx[i] = found ? sum : T(0);
}

// Stride 2, kernel and padding of both axes known: elements 2 a, 2 a + 1 of an axis lie in the windows from
// a + (padding + 1) / 2 - kReach + 1 to a + (padding + 1) / 2. kEven: rows are whole pairs, and written as such.
template <class T, int kKernel, int kPadding, bool kEven, class Gradient>
__global__ void gather_tiles(Gradient gradient, int32_t count, Axis<int32_t> h, Axis<int32_t> w,
                             Divider<int32_t> by_rows, Divider<int32_t> by_columns, T* dx) {
  constexpr int kReach = (kKernel + 1) / 2, kFirst = (kPadding + 1) / 2 - kReach + 1;
  struct alignas(2 * sizeof(T)) Pair {
    T at[2];
  };
  const int32_t i = static_cast<int32_t>(blockIdx.x) * kThreads + static_cast<int32_t>(threadIdx.x);
  if (i >= count) return;
  const int32_t rows = (h.size + 1) / 2, columns = (w.size + 1) / 2;
  const int32_t line = by_columns.divide(i), plane = by_rows.divide(line);
  const int32_t a = line - plane * rows, b = i - line * columns;
  typename Gradient::Given given[kReach][kReach]{};
  bool there[kReach][kReach];
  for (int y = 0; y < kReach; ++y) {
    for (int x = 0; x < kReach; ++x) {
      const int32_t oh = a + kFirst + y, ow = b + kFirst + x;
      there[y][x] = oh >= 0 && oh < h.windows && ow >= 0 && ow < w.windows;
      if (there[y][x]) given[y][x] = gradient.read((plane * h.windows + oh) * w.windows + ow);
    }
  }
  for (int y = 0; y < kReach; ++y) {
    for (int x = 0; x < kReach; ++x) {
      if (there[y][x]) gradient.prepare(given[y][x]);
    }
  }
  T* const corner = dx + (plane * h.size + 2 * a) * w.size + 2 * b;
  for (int row = 0; row < 2; ++row) {
    Pair pair{};
    for (int column = 0; column < 2; ++column) {
      bool found = false;
      for (int y = 0; y < kReach; ++y) {
        for (int x = 0; x < kReach; ++x) {
          const int r = row + kPadding - 2 * (kFirst + y), s = column + kPadding - 2 * (kFirst + x);
          if (r < 0 || r >= kKernel || s < 0 || s >= kKernel) continue;
          if (!there[y][x] || !gradient.gives(given[y][x], r * kKernel + s)) continue;
          const T g = gradient.part(given[y][x]);
          pair.at[column] = found ? pair.at[column] + g : g;
          found = true;
        }
      }
    }
    if (2 * a + row >= h.size) continue;
    if constexpr (kEven) {
      *reinterpret_cast<Pair*>(corner + row * w.size) = pair;
    } else {
      corner[row * w.size] = pair.at[0];
      if (2 * b + 1 < w.size) corner[row * w.size + 1] = pair.at[1];
    }
  }
}

// dx[i] = dy[plane of i] / size, a pack a thread.
template <class T, class Index, bool kPacked>
__global__ void spread(const T* dy, Index count, Index size, Divider<Index> by_size, T* dx) {
  constexpr int kSize = kPacked ? Pack<T>::kSize : 1;
  struct alignas(kSize * sizeof(T)) Group {
    T at[kSize];
  };
  const Index first = (static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x)) * kSize;
  if (first >= count) return;
  const Index plane = by_size.divide(first);
  const T g = dy[plane] / static_cast<T>(size);
  Group group;
  for (int j = 0; j < kSize; ++j) group.at[j] = g;
  *reinterpret_cast<Group*>(dx + first) = group;
}

bool is(const WindowAxis& a, int kernel, int stride) { return a.kernel == kernel && a.stride == stride; }
bool both_are(const WindowAxis& h, const WindowAxis& w, int kernel, int stride) {
  return is(h, kernel, stride) && is(w, kernel, stride);
}

int64_t largest_plane(const WindowAxis& h, const WindowAxis& w) {
  return std::max(h.size * w.size, h.windows * w.windows);
}
// pool_at(first window) is the functor for windows from there on.
template <class T, class PoolAt>
void start_forward(const char* name, PoolAt pool_at, const T* x, int64_t planes, WindowAxis h, WindowAxis w) {
  using Pool = decltype(pool_at(0));
  const auto start = [&]<class Index>(Index, auto kernel, int64_t first, int64_t count) {
    const int64_t windows = count * h.windows * w.windows;
    launch(name, kernel, blocks_for(windows, kThreads), kThreads, 0, pool_at(first * h.windows * w.windows),
           x + first * h.size * w.size, static_cast<Index>(windows), Axis<Index>(h), Axis<Index>(w));
  };
  if (planes == 0) return;
  if (!are_small(h, w)) return start(int64_t{}, forward<T, int64_t, 0, 0, Pool>, 0, planes);
  const auto kernel = both_are(h, w, 2, 2)   ? forward<T, int32_t, 2, 2, Pool>
                      : both_are(h, w, 3, 2) ? forward<T, int32_t, 3, 2, Pool>
                                             : forward<T, int32_t, 0, 0, Pool>;
  in_slices(planes, largest_plane(h, w), [&](int64_t first, int64_t count) { start(int32_t{}, kernel, first, count); });
}

// gather_tiles for such windows; nullptr for others.
template <class T, class Gradient>
auto kernel_of_tiles(const WindowAxis& h, const WindowAxis& w) {
  const bool even = w.size % 2 == 0, same = h.padding == w.padding;
  if (same && both_are(h, w, 2, 2) && h.padding == 0) {
    return even ? gather_tiles<T, 2, 0, true, Gradient> : gather_tiles<T, 2, 0, false, Gradient>;
  }
  if (same && both_are(h, w, 3, 2) && h.padding == 0) {
    return even ? gather_tiles<T, 3, 0, true, Gradient> : gather_tiles<T, 3, 0, false, Gradient>;
  }
  if (same && both_are(h, w, 3, 2) && h.padding == 1) {
    return even ? gather_tiles<T, 3, 1, true, Gradient> : gather_tiles<T, 3, 1, false, Gradient>;
  }
  return decltype(&gather_tiles<T, 2, 0, true, Gradient>)(nullptr);
}

template <class T, class GradientAt>
void start_backward(const char* name, GradientAt gradient_at, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  using Gradient = decltype(gradient_at(0));
  if (planes == 0) return;
  const auto start = [&]<class Index>(Index, int64_t first, int64_t count) {
    const int64_t elements = count * h.size * w.size;
    launch(name, gather<T, Index, Gradient>, blocks_for(elements, kThreads), kThreads, 0,
           gradient_at(first * h.windows * w.windows), static_cast<Index>(elements), Axis<Index>(h), Axis<Index>(w),
           dx + first * h.size * w.size);
  };
  if (!are_small(h, w)) return start(int64_t{}, 0, planes);
  const auto tiles = kernel_of_tiles<T, Gradient>(h, w);
  in_slices(planes, largest_plane(h, w), [&](int64_t first, int64_t count) {
    if (tiles == nullptr) return start(int32_t{}, first, count);
    const int64_t rows = (h.size + 1) / 2, columns = (w.size + 1) / 2, threads = count * rows * columns;
    launch(name, tiles, blocks_for(threads, kThreads), kThreads, 0, gradient_at(first * h.windows * w.windows),
           static_cast<int32_t>(threads), Axis<int32_t>(h), Axis<int32_t>(w), Divider<int32_t>(rows),
           Divider<int32_t>(columns), dx + first * h.size * w.size);
  });
}

template <class T, class I>
void max_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, I* index) {
  const auto pool_at = [=](int64_t window) { return Maximum<T, I>{y + window, index + window}; };
  start_forward("max_pool2d_forward", pool_at, x, planes, h, w);
}

template <class T, class I>
bool max_backward(const T* dy, const I* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  constexpr auto op = "max_pool2d_backward";
  const int64_t number = device::fault_number(op, "index", "tap");
  const auto gradient_at = [=](int64_t window) {
    const auto taps = static_cast<int32_t>(h.kernel * w.kernel);
    return FromMaximum<T, I>{dy + window, index + window, taps, number, device::fault()};
  };
  start_backward(op, gradient_at, planes, h, w, dx);
  return true;
}

template <class T>
void avg_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  const auto pool_at = [=](int64_t window) { return Average<T>{y + window, static_cast<T>(h.kernel * w.kernel)}; };
  start_forward("avg_pool2d_forward", pool_at, x, planes, h, w);
}

template <class T>
void avg_backward(const T* dy, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  const auto gradient_at = [=](int64_t window) {
    return FromAverage<T>{dy + window, static_cast<T>(h.kernel * w.kernel)};
  };
  start_backward("avg_pool2d_backward", gradient_at, planes, h, w, dx);
}

template <class T>
void global_forward(const T* x, int64_t planes, int64_t size, T* y) {
  row_sums<T>("global_avg_pool2d_forward", lane_sum::Row<T>{x, size}, planes, size,
              lane_sum::StoreMean<T>{y, static_cast<T>(size)});
}

template <class T>
void global_backward(const T* dy, int64_t planes, int64_t size, T* dx) {
  const auto start = [&]<class Index, bool kPacked>(Index, int64_t first, int64_t count) {
    const int64_t elements = count * size;
    launch("global_avg_pool2d_backward", spread<T, Index, kPacked>,
           blocks_for(elements, kThreads * (kPacked ? Pack<T>::kSize : 1)), kThreads, 0, dy + first,
           static_cast<Index>(elements), static_cast<Index>(size), Divider<Index>(size), dx + first * size);
  };
  if (planes == 0) return;
  if (size >= kMost32) return start.template operator()<int64_t, false>(0, 0, planes);
  in_slices(planes, size, [&](int64_t first, int64_t count) {
    if (size % Pack<T>::kSize == 0) {
      start.template operator()<int32_t, true>(0, first, count);
    } else {
      start.template operator()<int32_t, false>(0, first, count);
    }
  });
}

}  // namespace

void max_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y, uint8_t* index) {
  max_forward(x, planes, h, w, y, index);
}
void max_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y, uint8_t* index) {
  max_forward(x, planes, h, w, y, index);
}
void max_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y, int32_t* index) {
  max_forward(x, planes, h, w, y, index);
}
void max_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y, int32_t* index) {
  max_forward(x, planes, h, w, y, index);
}
bool max_pool2d_backward(const float* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w, float* dx) {
  return max_backward(dy, index, planes, h, w, dx);
}
bool max_pool2d_backward(const double* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w,
                         double* dx) {
  return max_backward(dy, index, planes, h, w, dx);
}
bool max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, float* dx) {
  return max_backward(dy, index, planes, h, w, dx);
}
bool max_pool2d_backward(const double* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w,
                         double* dx) {
  return max_backward(dy, index, planes, h, w, dx);
}
void avg_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y) {
  avg_forward(x, planes, h, w, y);
}
void avg_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y) {
  avg_forward(x, planes, h, w, y);
}
void avg_pool2d_backward(const float* dy, int64_t planes, WindowAxis h, WindowAxis w, float* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void avg_pool2d_backward(const double* dy, int64_t planes, WindowAxis h, WindowAxis w, double* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void global_avg_pool2d_forward(const float* x, int64_t planes, int64_t size, float* y) {
  global_forward(x, planes, size, y);
}
void global_avg_pool2d_forward(const double* x, int64_t planes, int64_t size, double* y) {
  global_forward(x, planes, size, y);
}
void global_avg_pool2d_backward(const float* dy, int64_t planes, int64_t size, float* dx) {
  global_backward(dy, planes, size, dx);
}
void global_avg_pool2d_backward(const double* dy, int64_t planes, int64_t size, double* dx) {
  global_backward(dy, planes, size, dx);
}

}  // namespace nnlite
