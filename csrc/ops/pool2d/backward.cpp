#include "ops/pool2d.h"

#include "ops/pool2d/over_planes.h"
#include "ops/pool2d/plan.h"
#include "ops/pool2d/three_by_three.h"
#include "ops/pool2d/two_by_two.h"

namespace nnlite {
namespace {

template <class T>
bool max_backward_2x2(const T* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  // The array is the caller's.
  const int64_t all = planes * h.windows * w.windows;
  int valid = 1;
  parallel_for(0, all, 1 << 15, [=, &valid](int64_t begin, int64_t end) {
    if (!are_taps(index + begin, end - begin, 4)) __atomic_store_n(&valid, 0, __ATOMIC_RELAXED);
  });
  if (!valid) return false;
  write_2x2(dx, planes, h, w, [=](int64_t i, int32_t tap, auto kind) {
    if constexpr (std::is_same_v<decltype(kind), T>) {
      return index[i] == tap ? dy[i] : T(0);
    } else {
      return select(hits<T>(index + i, tap), load(dy + i), Vec<T>{});
    }
  });
  return true;
}

// What elements are given by the windows over them, in this order: by all, or by those that have chosen them. The first
// is stored, that is added to -0.
template <class T>
struct AllGiven {
  template <class... Window>
  Vec<T> operator()(Window... window) const {
    return (broadcast(T(-0.0)) + ... + load(g + window.place));
  }
  const T* g;
};
template <class T>
struct ChosenGiven {
  template <class... Window>
  Vec<T> operator()(Window... window) const {
    Vec<T> sum = broadcast(T(-0.0));
    Hits<T> chosen = {};
    const auto add = [&](Over w) {
      const Hits<T> hit = hits<T>(index + w.place, w.tap);
      sum = select(hit, sum + load(g + w.place), sum);
      chosen |= hit;
    };
    (add(window), ...);
    return select(chosen, sum, Vec<T>{});
  }
  const T* g;
  const uint8_t* index;
};

template <class T, class I, class Count>
void chosen_sum(const T* g, const I* index, const int64_t* offset, const int32_t* tap, Count count, int64_t places,
                T* to) {
  for (int64_t i = 0; i < places; i += kLanes<T>) {
    // -0 stores when it is added to: -0 + x is x for every x.
    const Vec<T> nothing = broadcast(T(-0.0));
    Vec<T> sum = nothing;
    Hits<T> chosen = {};
    for (int64_t t = 0; t < count(); ++t) {
      const Hits<T> hit = hits<T>(index + offset[t] + i, tap[t]);
      sum = sum + select(hit, load(g + offset[t] + i), nothing);
      chosen |= hit;
    }
    store(to + i, select(chosen, sum, Vec<T>{}));
  }
}

template <class T, class I>
bool gather_max(const T* dy, const I* index, int64_t planes, WindowAxis h, WindowAxis w, Way way, T* dx) {
  int valid = 1;
  const Neighbours at(planes, h, w);
  parallel_for(0, at.bands.count(), at.bands.grain(), [=, &valid](int64_t begin, int64_t end) {
    const bool in_place = sizeof(I) == 1 && way == Way::three_by_three;
    const Scratch<T> g(at.room()), sums(in_place ? 0 : at.down.phases * at.across.phases * at.room());
    const Scratch<I> choice(at.room());
    bool right = true;
    for (int64_t i = begin; i < end; ++i) {
      const Band b = at.bands[i];
      at.read(dy, b, T(-0.0), g.get(), [](const T*, int64_t) {});
      // The array is the caller's: what it holds is checked here, where it is used.
      at.read(index, b, static_cast<I>(-1), choice.get(),
              [&](const I* row, int64_t n) { right &= are_taps(row, n, h.kernel * w.kernel); });
      if constexpr (sizeof(I) == 1) {
        if (in_place) {
          write_3x3(at, b, h, w, dx, dx + at.end(at.bands[end - 1]), ChosenGiven<T>{g.get(), choice.get()});
          continue;
        }
      }
      T* to = sums.get();
      for (int64_t q = 0; q < at.down.phases; ++q) {
        for (int64_t p = 0; p < at.across.phases; ++p, to += at.room()) {
          int64_t offset[kTried], found = 0;
          int32_t tap[kTried];
          at.each_tap(q, p, [&](int64_t to_window, int64_t t) {
            offset[found] = to_window;
            tap[found++] = static_cast<int32_t>(t);
          });
          with_count(found,
                     [&](auto count) { chosen_sum(g.get(), choice.get(), offset, tap, count, at.places(b), to); });
        }
      }
      at.write(sums.get(), b, dx);
    }
    if (!right) __atomic_store_n(&valid, 0, __ATOMIC_RELAXED);
  });
  return valid != 0;
}

template <class T, class I>
bool scatter_max(const T* dy, const I* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
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

template <class T, class I>
bool max_backward(const T* dy, const I* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  const Way way = plan(Pass::max_backward, h, w).way;
  if constexpr (sizeof(I) == 1) {
    if (way == Way::two_by_two) return max_backward_2x2(dy, index, planes, h, w, dx);
  }
  if (way == Way::scatter) return scatter_max(dy, index, planes, h, w, dx);
  return gather_max(dy, index, planes, h, w, way, dx);
}

template <class T>
void avg_backward_over_planes(const T* dy, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  constexpr int W = kLanes<T>;
  const int64_t size = h.size * w.size, windows = h.windows * w.windows;
  const Bands bands(ceil_div(planes, W), h.size, w.size * W);
  parallel_for(0, bands.count(), bands.grain(), [=](int64_t begin, int64_t end) {
    const Scratch<uint8_t> under_h(h.size), under_w(w.size);
    h.mark(under_h.get());
    w.mark(under_w.get());
    const int64_t most = std::min(h.windows, (bands.rows + h.kernel) / h.stride + 1);
    const Scratch<T> g(most * w.windows * W), data(bands.rows * w.size * W);
    for (int64_t i = begin; i < end; ++i) {
      const Band b = bands[i];
      const SideBySide<T> rows{h, w, b.row, b.row + b.rows, data.get()};
      // The rows of windows that reach these rows.
      const int64_t above = ceil_div(std::max<int64_t>(0, b.row + h.padding - h.kernel + 1), h.stride);
      const int64_t last = std::min(h.windows, (b.row + b.rows - 1 + h.padding) / h.stride + 1);
      const int64_t first = std::min(above, last);
      for (int64_t k = b.plane; k < b.plane + b.planes; ++k) {
        const int64_t plane = k * W, n = std::min<int64_t>(W, planes - plane);
        pack_transposed(dy + plane * windows + first * w.windows, windows, n, (last - first) * w.windows, g.get(), W,
                        W);
        // The first of an element's windows is stored, that is added to -0; elements in no window are +0.
        T* to = data.get();
        for (int64_t row = b.row; row < b.row + b.rows; ++row) {
          for (int64_t v = 0; v < w.size; ++v, to += W) {
            store(to, broadcast(under_h[row] & under_w[v] ? T(-0.0) : T(0)));
          }
        }
        with_division<T>(h.kernel * w.kernel, [&](auto divide) {
          const T* from = g.get();
          for (int64_t oh = first; oh < last; ++oh) {
            for (int64_t ow = 0; ow < w.windows; ++ow, from += W) {
              const Vec<T> v = divide(load(from));
              rows.each_tap(oh, ow, [=](T* sum, int64_t) { store(sum, load(sum) + v); });
            }
          }
        });
        pack_transposed(data.get(), W, b.rows * w.size, n, dx + plane * size + b.row * w.size, size, b.rows * w.size);
      }
    }
  });
}

template <class T>
void avg_backward(const T* dy, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  const Way way = plan(Pass::average_backward, h, w).way;
  if (way == Way::two_by_two) {
    return write_2x2(dx, planes, h, w, [=](int64_t i, int, auto kind) {
      std::memcpy(&kind, dy + i, sizeof kind);
      return kind * T(0.25);
    });
  }
  if (way == Way::over_planes) return avg_backward_over_planes(dy, planes, h, w, dx);
  const bool in_place = way == Way::three_by_three;
  const Neighbours at(planes, h, w);
  parallel_for(0, at.bands.count(), at.bands.grain(), [=](int64_t begin, int64_t end) {
    const Scratch<T> g(at.room()), sums(in_place ? 0 : at.down.phases * at.across.phases * at.room());
    const Scratch<const T*> run(at.down.most() * at.across.most());
    for (int64_t i = begin; i < end; ++i) {
      const Band b = at.bands[i];
      with_division<T>(h.kernel * w.kernel,
                       [&](auto divide) { at.read(dy, b, T(-0.0), g.get(), [](const T*, int64_t) {}, divide); });
      if (in_place) {
        write_3x3(at, b, h, w, dx, dx + at.end(at.bands[end - 1]), AllGiven<T>{g.get()});
        continue;
      }
      T* to = sums.get();
      for (int64_t q = 0; q < at.down.phases; ++q) {
        for (int64_t p = 0; p < at.across.phases; ++p, to += at.room()) {
          int64_t found = 0;
          at.each_tap(q, p, [&](int64_t offset, int64_t) { run[found++] = g.get() + offset; });
          // The first is stored, that is added to -0; elements between the windows are +0.
          with_count(found, [&](auto count) {
            sum_of_runs(run.get(), count, found > 0 ? T(-0.0) : T(0), at.places(b), [](auto v) { return v; }, to);
          });
        }
      }
      at.write(sums.get(), b, dx);
    }
  });
}

template <class T>
void global_backward(const T* dy, int64_t planes, int64_t size, T* dx) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::fill_n(dx + i * size, size, dy[i] / static_cast<T>(size));
  });
}

}  // namespace

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
void avg_pool2d_backward(const float* dy, int64_t planes, WindowAxis h, WindowAxis w, float* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void avg_pool2d_backward(const double* dy, int64_t planes, WindowAxis h, WindowAxis w, double* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void global_avg_pool2d_backward(const float* dy, int64_t planes, int64_t size, float* dx) {
  global_backward(dy, planes, size, dx);
}
void global_avg_pool2d_backward(const double* dy, int64_t planes, int64_t size, double* dx) {
  global_backward(dy, planes, size, dx);
}

}  // namespace nnlite
