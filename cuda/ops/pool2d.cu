// Forward a window a thread, backward an element a thread, which gathers from the windows that hold it; neighbouring
// threads have neighbouring columns. Windows of 2 x 2 and 3 x 3 at stride 2 have the loops over their taps unrolled, so
// that all loads are under way at once. Where 2 x 2 windows tile the plane, backward takes a window a thread instead:
// its four elements are nobody else's.
#include "ops/pool2d.h"

#include "axis.h"
#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// What becomes of the taps of a window, which come in ascending order.
template <class T>
struct Maximum {
  T* y;
  int32_t* index;
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
    index[window] = state.winner;
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

// What a window gives to its tap `tap`; false if nothing.
template <class T>
struct FromMaximum {
  const T* dy;
  const int32_t* index;
  int32_t taps;
  int64_t number;
  Fault* fault;
  __device__ bool operator()(int64_t window, int32_t tap, T& g) const {
    const int32_t winner = index[window];
    g = dy[window];
    // The array is the caller's: what it holds is checked here, where it is used. Of many wrong ones, one is reported.
    if (winner < 0 || winner >= taps) {
      if (atomicCAS(reinterpret_cast<unsigned long long*>(&fault->what), 0, static_cast<unsigned long long>(number)) ==
          0) {
        fault->index = window;
        fault->value = winner;
        fault->limit = taps;
      }
    }
    return winner == tap;
  }
};
template <class T>
struct FromAverage {
  const T* dy;
  T count;
  __device__ bool operator()(int64_t window, int32_t, T& g) const {
    g = dy[window] / count;
    return true;
  }
};

template <class T, class Index, int kKernel, int kStride, class Gradient>
__global__ void gather(Gradient gradient, Index count, Axis<Index> h, Axis<Index> w, T* dx) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x);
  if (i >= count) return;
  const Index line = w.by_size.divide(i), plane = h.by_size.divide(line);
  // Places on axes that begin with the padding: window o holds o * stride ... o * stride + kernel - 1.
  const Index row = line - plane * h.size + h.padding, column = i - line * w.size + w.padding;
  const Index windows = plane * h.windows * w.windows;
  T sum = T(0);
  bool found = false;
  const auto add = [&](Index oh, Index ow, int32_t tap) {
    T g;
    if (!gradient(windows + oh * w.windows + ow, tap, g)) return;
    sum = found ? sum + g : g;
    found = true;
  };
  if constexpr (kKernel > 0) {
    constexpr int kReach = (kKernel + kStride - 1) / kStride;
    const Index last_oh = row / kStride, last_ow = column / kStride;
    for (int a = kReach - 1; a >= 0; --a) {
      for (int b = kReach - 1; b >= 0; --b) {
        const Index oh = last_oh - a, ow = last_ow - b, r = row - oh * kStride, s = column - ow * kStride;
        if (oh >= 0 && oh < h.windows && ow >= 0 && ow < w.windows && r < kKernel && s < kKernel) {
          add(oh, ow, r * kKernel + s);
        }
      }
    }
  } else {
    const auto first = [](const Axis<Index>& axis, Index place) {
      return place < axis.kernel ? 0 : axis.by_stride.divide(place - axis.kernel + axis.stride);
    };
    const auto last = [](const Axis<Index>& axis, Index place) {
      const Index o = axis.by_stride.divide(place);
      return o < axis.windows ? o : axis.windows - 1;
    };
    const Index first_ow = first(w, column), last_oh = last(h, row), last_ow = last(w, column);
    for (Index oh = first(h, row); oh <= last_oh; ++oh) {
      for (Index ow = first_ow; ow <= last_ow; ++ow) {
        add(oh, ow, static_cast<int32_t>((row - oh * h.stride) * w.kernel + column - ow * w.stride));
      }
    }
  }
  dx[i] = found ? sum : T(0);
}

// Windows of 2 x 2 at stride 2 without padding, a window a thread; planes of an odd size have half windows at the edge,
// which hold zeros. kEven: rows are whole pairs, which are written as such.
template <class T, bool kEven, class Gradient>
__global__ void scatter_tiles(Gradient gradient, int32_t count, Axis<int32_t> h, Axis<int32_t> w,
                              Divider<int32_t> by_rows, Divider<int32_t> by_columns, T* dx) {
  struct alignas(2 * sizeof(T)) Pair {
    T at[2];
  };
  const int32_t i = static_cast<int32_t>(blockIdx.x) * kThreads + static_cast<int32_t>(threadIdx.x);
  if (i >= count) return;
  const int32_t rows = (h.size + 1) / 2, columns = (w.size + 1) / 2;
  const int32_t line = by_columns.divide(i), plane = by_rows.divide(line);
  const int32_t oh = line - plane * rows, ow = i - line * columns;
  const bool whole = oh < h.windows && ow < w.windows;
  T* const corner = dx + (plane * h.size + 2 * oh) * w.size + 2 * ow;
  for (int r = 0; r < 2 && 2 * oh + r < h.size; ++r) {
    Pair pair{};
    if (whole) {
      for (int s = 0; s < 2; ++s) {
        T g;
        if (gradient((plane * h.windows + oh) * w.windows + ow, 2 * r + s, g)) pair.at[s] = g;
      }
    }
    if constexpr (kEven) {
      *reinterpret_cast<Pair*>(corner + r * w.size) = pair;
    } else {
      corner[r * w.size] = pair.at[0];
      if (2 * ow + 1 < w.size) corner[r * w.size + 1] = pair.at[1];
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

template <class T, class GradientAt>
void start_backward(const char* name, GradientAt gradient_at, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  using Gradient = decltype(gradient_at(0));
  if (planes == 0) return;
  const auto start = [&]<class Index>(Index, auto kernel, int64_t first, int64_t count) {
    const int64_t elements = count * h.size * w.size;
    launch(name, kernel, blocks_for(elements, kThreads), kThreads, 0, gradient_at(first * h.windows * w.windows),
           static_cast<Index>(elements), Axis<Index>(h), Axis<Index>(w), dx + first * h.size * w.size);
  };
  if (!are_small(h, w)) return start(int64_t{}, gather<T, int64_t, 0, 0, Gradient>, 0, planes);
  in_slices(planes, largest_plane(h, w), [&](int64_t first, int64_t count) {
    if (both_are(h, w, 2, 2) && h.padding + w.padding == 0) {
      T* const to = dx + first * h.size * w.size;
      const int64_t rows = (h.size + 1) / 2, columns = (w.size + 1) / 2, tiles = count * rows * columns;
      const bool even = w.size % 2 == 0;
      launch(name, even ? scatter_tiles<T, true, Gradient> : scatter_tiles<T, false, Gradient>,
             blocks_for(tiles, kThreads), kThreads, 0, gradient_at(first * h.windows * w.windows),
             static_cast<int32_t>(tiles), Axis<int32_t>(h), Axis<int32_t>(w), Divider<int32_t>(rows),
             Divider<int32_t>(columns), to);
    } else {
      start(int32_t{}, both_are(h, w, 3, 2) ? gather<T, int32_t, 3, 2, Gradient> : gather<T, int32_t, 0, 0, Gradient>,
            first, count);
    }
  });
}

template <class T>
void max_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, int32_t* index) {
  const auto pool_at = [=](int64_t window) { return Maximum<T>{y + window, index + window}; };
  start_forward("max_pool2d_forward", pool_at, x, planes, h, w);
}

template <class T>
bool max_backward(const T* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  constexpr auto op = "max_pool2d_backward";
  const int64_t number = device::fault_number(op, "index", "tap");
  const auto gradient_at = [=](int64_t window) {
    const auto taps = static_cast<int32_t>(h.kernel * w.kernel);
    return FromMaximum<T>{dy + window, index + window, taps, number, device::fault()};
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
struct StoreMean {
  T* y;
  T size;
  __device__ void operator()(int64_t plane, T sum) const { y[plane] = sum / size; }
};

template <class T>
void global_forward(const T* x, int64_t planes, int64_t size, T* y) {
  row_sums<T>("global_avg_pool2d_forward", lane_sum::Row<T>{x, size}, planes, size,
              StoreMean<T>{y, static_cast<T>(size)});
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

void max_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y, int32_t* index) {
  max_forward(x, planes, h, w, y, index);
}
void max_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y, int32_t* index) {
  max_forward(x, planes, h, w, y, index);
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
