#include "ops/pool2d.h"

#include "lane_sum.h"
#include "parallel.h"
#include "simd.h"
#include "workspace.h"

namespace nnlite {
namespace {

// Planes worth about 20 us.
int64_t plane_grain(int64_t size) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, size)); }

// Calls f with the stride as a constant where it is 1 or 2, so that the loop over a row vectorises.
template <class F>
void with_stride(int64_t stride, F f) {
  if (stride == 1) {
    f([] { return int64_t{1}; });
  } else if (stride == 2) {
    f([] { return int64_t{2}; });
  } else {
    f([=] { return stride; });
  }
}

// One output row: every tap updates the whole row, so vectors run over windows.
template <class T, class Stride>
void max_row(const T* plane, WindowAxis h, WindowAxis w, int64_t oh, Stride stride, T* __restrict y,
             int32_t* __restrict index) {
  const auto rows = static_cast<int32_t>(h.kernel), columns = static_cast<int32_t>(w.kernel);
  int32_t r = static_cast<int32_t>(std::max<int64_t>(0, -h.element(oh, 0)));
  // -Inf is beaten by everything but itself and NaN; a window of -Inf alone keeps its first tap.
  for (int64_t ow = 0; ow < w.windows; ++ow) {
    y[ow] = static_cast<T>(-__builtin_inf());
    index[ow] = r * columns + static_cast<int32_t>(std::max<int64_t>(0, -w.element(ow, 0)));
  }
  for (; r < rows && h.element(oh, r) < h.size; ++r) {
    const T* const line = plane + h.element(oh, r) * w.size;
    for (int32_t s = 0; s < columns; ++s) {
      const int64_t first = w.first(s), last = w.last(s);
      const T* const tap = line + s - w.padding;
      const int32_t winner = r * columns + s;
      for (int64_t ow = first; ow < last; ++ow) {
        const T v = tap[ow * stride()], best = y[ow];
        const bool wins = (v > best) | ((v != v) & (best == best));
        y[ow] = wins ? v : best;
        index[ow] = wins ? winner : index[ow];
      }
    }
  }
}

// Calls f with the first window of each vector of windows and how many of them there are; the last vector overlaps the
// one before it where there is one.
template <class T, class F>
void for_vectors(int64_t windows, F f) {
  constexpr int W = kLanes<T>;
  for (int64_t ow = 0; ow < windows; ow += W)
    f(windows < W ? 0 : std::min(ow, windows - W), std::min<int64_t>(W, windows));
}

// Indices of taps, int32 in memory, as integers of T's size.
template <class T>
using TapVec = typename LaneIndex<T>::type;
template <class T>
void store_taps(int32_t* to, TapVec<T> taps, int64_t n) {
  if constexpr (sizeof(T) == 4) {
    store(reinterpret_cast<float*>(to), (Vec<float>)taps, Lanes(0, n));
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<int32_t>(taps[i]);
  }
}
template <class T>
TapVec<T> load_taps(const int32_t* from, int64_t n) {
  if constexpr (sizeof(T) == 4) {
    return (TapVec<T>)load(reinterpret_cast<const float*>(from), Lanes(0, n));
  } else {
    TapVec<T> taps = {};
    for (int64_t i = 0; i < n; ++i) taps[i] = from[i];
    return taps;
  }
}

// Windows of 2 x 2 at stride 2 without padding, the usual case: the four taps at once.
template <class T>
void max_row_2x2(const T* top, const T* bottom, int64_t windows, T* y, int32_t* index) {
  constexpr int W = kLanes<T>;
  for_vectors<T>(windows, [=](int64_t ow, int64_t n) {
    const Lanes first(0, 2 * n), second(0, 2 * n - W);
    const auto taps = [&](const T* line, Vec<T>& even, Vec<T>& odd) {
      const Vec<T> a = load(line + 2 * ow, first), b = load(line + 2 * ow + W, second);
      even = even_lanes<T>(a, b);
      odd = odd_lanes<T>(a, b);
    };
    Vec<T> best, v1, v2, v3;
    taps(top, best, v1);
    taps(bottom, v2, v3);
    TapVec<T> winner = {};
    const auto take = [&](Vec<T> v, int tap) {
      const TapVec<T> wins = (v > best) | ((v != v) & (best == best));
      best = wins ? v : best;
      winner = wins ? TapVec<T>{} + tap : winner;
    };
    take(v1, 1);
    take(v2, 2);
    take(v3, 3);
    store(y + ow, best, Lanes(0, n));
    store_taps<T>(index + ow, winner, n);
  });
}

template <class T>
void max_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, int32_t* index) {
  const bool plain = h.kernel == 2 && w.kernel == 2 && h.stride == 2 && w.stride == 2 && h.padding + w.padding == 0;
  parallel_for(0, planes, plane_grain(h.size * w.size), [=](int64_t begin, int64_t end) {
    with_stride(w.stride, [=](auto stride) {
      for (int64_t i = begin * h.windows; i < end * h.windows; ++i) {
        const T* const plane = x + i / h.windows * h.size * w.size;
        const int64_t oh = i % h.windows;
        if (plain) {
          const T* const top = plane + 2 * oh * w.size;
          max_row_2x2(top, top + w.size, w.windows, y + i * w.windows, index + i * w.windows);
        } else {
          max_row(plane, h, w, oh, stride, y + i * w.windows, index + i * w.windows);
        }
      }
    });
  });
}

template <class T>
bool max_backward(const T* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  int valid = 1;
  const int64_t size = h.size * w.size, taps = h.kernel * w.kernel;
  const bool overlap = h.overlap() || w.overlap();
  parallel_for(0, planes, plane_grain(size), [=, &valid](int64_t begin, int64_t end) {
    const Scratch<uint8_t> reached(overlap ? size : 1);
    for (int64_t plane = begin; plane < end; ++plane) {
      T* const to = dx + plane * size;
      std::fill_n(to, size, T(0));
      if (overlap) std::fill_n(reached.get(), size, uint8_t{0});
      const int64_t base = plane * h.windows * w.windows;
      for (int64_t oh = 0; oh < h.windows; ++oh) {
        for (int64_t ow = 0; ow < w.windows; ++ow) {
          const int64_t i = base + oh * w.windows + ow, tap = index[i];
          // The array is the caller's: what it holds is checked here, where it is used.
          if (tap < 0 || tap >= taps) {
            __atomic_store_n(&valid, 0, __ATOMIC_RELAXED);
            continue;
          }
          const int64_t r = tap / w.kernel, row = h.element(oh, r), column = w.element(ow, tap - r * w.kernel);
          if (row < 0 || row >= h.size || column < 0 || column >= w.size) continue;
          T& sum = to[row * w.size + column];
          if (!overlap) {
            sum = dy[i];
          } else {
            uint8_t& again = reached[row * w.size + column];
            sum = again ? sum + dy[i] : dy[i];
            again = 1;
          }
        }
      }
    }
  });
  return valid != 0;
}

// 2 x 2 at stride 2 without padding: every element of two input rows is written once, in order.
template <class T>
bool max_backward_2x2(const T* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  int valid = 1;
  parallel_for(0, planes, plane_grain(h.size * w.size), [=, &valid](int64_t begin, int64_t end) {
    TapVec<T> wrong = {};
    for (int64_t plane = begin; plane < end; ++plane) {
      T* const to = dx + plane * h.size * w.size;
      for (int64_t oh = 0; oh < h.windows; ++oh) {
        const int64_t i = (plane * h.windows + oh) * w.windows;
        T* const top = to + 2 * oh * w.size;
        T* const bottom = top + w.size;
        for_vectors<T>(w.windows, [=, &wrong](int64_t ow, int64_t n) {
          constexpr int W = kLanes<T>;
          const Vec<T> g = load(dy + i + ow, Lanes(0, n));
          const TapVec<T> winner = load_taps<T>(index + i + ow, n);
          const auto put = [&](T* line, int tap) {
            const Vec<T> even = winner == tap ? g : Vec<T>{}, odd = winner == tap + 1 ? g : Vec<T>{};
            store(line + 2 * ow, interleave_first<T>(even, odd), Lanes(0, 2 * n));
            store(line + 2 * ow + W, interleave_second<T>(even, odd), Lanes(0, 2 * n - W));
          };
          put(top, 0);
          put(bottom, 2);
          wrong |= (winner < 0) | (winner > 3);
        });
        std::fill(top + 2 * w.windows, top + w.size, T(0));
        std::fill(bottom + 2 * w.windows, bottom + w.size, T(0));
      }
      std::fill(to + 2 * h.windows * w.size, to + h.size * w.size, T(0));
    }
    for (int i = 0; i < kLanes<T>; ++i) {
      if (wrong[i]) __atomic_store_n(&valid, 0, __ATOMIC_RELAXED);
    }
  });
  return valid != 0;
}

template <class T>
bool max_backward_any(const T* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  const bool plain = h.kernel == 2 && w.kernel == 2 && h.stride == 2 && w.stride == 2 && h.padding + w.padding == 0;
  return (plain ? max_backward_2x2<T> : max_backward<T>)(dy, index, planes, h, w, dx);
}

template <class T>
void avg_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  const T count = static_cast<T>(h.kernel * w.kernel);
  parallel_for(0, planes, plane_grain(h.size * w.size), [=](int64_t begin, int64_t end) {
    with_stride(w.stride, [=](auto stride) {
      for (int64_t i = begin * h.windows; i < end * h.windows; ++i) {
        const T* const plane = x + i / h.windows * h.size * w.size;
        const int64_t oh = i % h.windows;
        T* __restrict const t = y + i * w.windows;
        std::fill_n(t, w.windows, T(0));
        for (int64_t r = 0; r < h.kernel; ++r) {
          const int64_t row = h.element(oh, r);
          if (row < 0 || row >= h.size) continue;
          for (int64_t s = 0; s < w.kernel; ++s) {
            const T* const tap = plane + row * w.size + s - w.padding;
            const int64_t last = w.last(s);
            for (int64_t ow = w.first(s); ow < last; ++ow) t[ow] = t[ow] + tap[ow * stride()];
          }
        }
        for (int64_t ow = 0; ow < w.windows; ++ow) t[ow] = t[ow] / count;
      }
    });
  });
}

template <class T>
void avg_backward(const T* dy, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  const int64_t size = h.size * w.size, windows = h.windows * w.windows;
  const T count = static_cast<T>(h.kernel * w.kernel);
  const Scratch<uint8_t> rows(h.size), columns(w.size);
  h.mark(rows.get());
  w.mark(columns.get());
  parallel_for(0, planes, plane_grain(size), [&](int64_t begin, int64_t end) {
    const Scratch<T> g(windows);
    for (int64_t plane = begin; plane < end; ++plane) {
      for (int64_t i = 0; i < windows; ++i) g[i] = dy[plane * windows + i] / count;
      T* const to = dx + plane * size;
      // -0 stores when it is added to: -0 + x is x for every x.
      for (int64_t row = 0; row < h.size; ++row) {
        for (int64_t v = 0; v < w.size; ++v) to[row * w.size + v] = rows[row] && columns[v] ? T(-0.0) : T(0);
      }
      with_stride(w.stride, [&](auto stride) {
        for (int64_t oh = 0; oh < h.windows; ++oh) {
          const T* const from = g.get() + oh * w.windows;
          for (int64_t r = 0; r < h.kernel; ++r) {
            const int64_t row = h.element(oh, r);
            if (row < 0 || row >= h.size) continue;
            // For one element ow ascends as s descends.
            for (int64_t s = w.kernel - 1; s >= 0; --s) {
              T* const tap = to + row * w.size + s - w.padding;
              const int64_t last = w.last(s);
              for (int64_t ow = w.first(s); ow < last; ++ow) tap[ow * stride()] = tap[ow * stride()] + from[ow];
            }
          }
        }
      });
    }
  });
}

template <class T>
void global_forward(const T* x, int64_t planes, int64_t size, T* y) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = sum(x + i * size, size) / static_cast<T>(size);
  });
}

template <class T>
void global_backward(const T* dy, int64_t planes, int64_t size, T* dx) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::fill_n(dx + i * size, size, dy[i] / static_cast<T>(size));
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
  return max_backward_any(dy, index, planes, h, w, dx);
}
bool max_pool2d_backward(const double* dy, const int32_t* index, int64_t planes, WindowAxis h, WindowAxis w,
                         double* dx) {
  return max_backward_any(dy, index, planes, h, w, dx);
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
