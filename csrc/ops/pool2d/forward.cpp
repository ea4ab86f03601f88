#include "ops/pool2d.h"

#include "lane_sum.h"
#include "ops/pool2d/over_planes.h"
#include "ops/pool2d/plan.h"
#include "ops/pool2d/taps.h"
#include "ops/pool2d/three_by_three.h"
#include "ops/pool2d/two_by_two.h"

namespace nnlite {
namespace {

// The first tap inside the plane: what a window of -Inf alone keeps.
int32_t first_tap(WindowAxis h, WindowAxis w, int64_t oh, int64_t ow) {
  return static_cast<int32_t>(std::max<int64_t>(0, -h.element(oh, 0)) * w.kernel +
                              std::max<int64_t>(0, -w.element(ow, 0)));
}

// The run of a window of -Inf alone may begin with the border, which is -Inf too.
template <class T, class I>
void skip_border(WindowAxis h, WindowAxis w, Band b, const T* y, I* index) {
  const int64_t few = std::min(w.windows, ceil_div(w.padding, w.stride));
  for (int64_t k = 0; k < b.planes; ++k) {
    for (int64_t oh = b.row; oh < b.row + b.rows; ++oh) {
      const int64_t row = ((b.plane + k) * h.windows + oh) * w.windows;
      const int64_t last = row + (h.element(oh, 0) < 0 ? w.windows : few);
      for (int64_t i = row; i < last; ++i) {
        if (y[i] == static_cast<T>(-__builtin_inf())) index[i] = static_cast<I>(first_tap(h, w, oh, i - row));
      }
    }
  }
}

template <class T, class I, class Count>
void max_of_runs(const T* const* run, Count count, int64_t places, T* y, I* index) {
  for (int64_t i = 0; i < places; i += kLanes<T>) {
    Vec<T> best = load(run[0] + i);
    TapVec<T> winner = {};
    for (int32_t t = 1; t < count(); ++t) {
      const Vec<T> v = load(run[t] + i);
      const TapVec<T> won = wins<T>(v, best);
      best = won ? v : best;
      winner = won ? TapVec<T>{} + t : winner;
    }
    store(y + i, best);
    store_taps<T>(index + i, winner);
  }
}

template <class T, class I>
void max_forward_over_planes(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, I* index) {
  each_window(x, planes, h, w, [=](const SideBySide<T>& rows, int64_t oh, int64_t ow, int64_t n, int64_t i) {
    Vec<T> best = broadcast(static_cast<T>(-__builtin_inf()));
    TapVec<T> winner = TapVec<T>{} + first_tap(h, w, oh, ow);
    rows.each_tap(oh, ow, [&](const T* p, int64_t tap) {
      const Vec<T> v = load(p);
      const TapVec<T> won = wins<T>(v, best);
      best = won ? v : best;
      winner = won ? TapVec<T>{} + static_cast<int32_t>(tap) : winner;
    });
    spread(best, n, h.windows * w.windows, y + i);
    spread(winner, n, h.windows * w.windows, index + i);
  });
}

template <class T>
void max_forward_2x2(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, uint8_t* index) {
  each_2x2(x, planes, h, w, [=](int64_t i, auto a, auto b, auto c, auto d) {
    if constexpr (std::is_same_v<decltype(a), T>) {
      const T rest[3] = {b, c, d};
      T best = a;
      int32_t winner = 0;
      for (int32_t tap = 1; tap < 4; ++tap) {
        const T v = rest[tap - 1];
        if (v <= best || best != best) continue;
        best = v;
        winner = tap;
      }
      y[i] = best;
      index[i] = static_cast<uint8_t>(winner);
    } else {
      const Vec<T> rest[3] = {b, c, d};
      Vec<T> best = a;
      TapVec<T> winner = {};
      for (int32_t tap = 1; tap < 4; ++tap) {
        const TapVec<T> won = wins<T>(rest[tap - 1], best);
        best = won ? rest[tap - 1] : best;
        winner = won ? TapVec<T>{} + tap : winner;
      }
      store(y + i, best);
      store_taps<T>(index + i, winner);
    }
  });
}

template <class T>
void max_forward_3x3(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, uint8_t* index) {
  const T least = static_cast<T>(-__builtin_inf());
  each_3x3(x, planes, h, w, least,
           [=](auto row_taps, int64_t first, int64_t last, int64_t i, int64_t ow, int64_t room) {
             // The first greatest of the rows' first greatest ones: shorter chains than from tap to tap.
             const auto max_of_row = [&](int64_t r, TapVec<T>& winner) {
               Vec<T> tap[3];
               row_taps(r, tap);
               winner = TapVec<T>{};
               if (ow == 0) winner[0] = w.padding;  // not the border
               for (int32_t s = 1; s < 3; ++s) {
                 const TapVec<T> won = wins<T>(tap[s], tap[0]);
                 tap[0] = won ? tap[s] : tap[0];
                 winner = won ? TapVec<T>{} + s : winner;
               }
               winner += static_cast<int32_t>(3 * r);
               return tap[0];
             };
             TapVec<T> winner, next_winner;
             Vec<T> best = max_of_row(first, winner);
             for (int64_t r = first + 1; r < last; ++r) {
               const Vec<T> next = max_of_row(r, next_winner);
               const TapVec<T> won = wins<T>(next, best);
               best = won ? next : best;
               winner = won ? next_winner : winner;
             }
             if (room >= kLanes<T>) {
               store(y + i, best);
               store_taps<T>(index + i, winner);
             } else {
               spread(best, room, 1, y + i);
               spread(winner, room, 1, index + i);
             }
           });
}

template <class T, class I>
void max_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, I* index) {
  const Way way = plan(Pass::max_forward, h, w).way;
  if constexpr (sizeof(I) == 1) {
    if (way == Way::two_by_two) return max_forward_2x2(x, planes, h, w, y, index);
    if (way == Way::three_by_three) return max_forward_3x3(x, planes, h, w, y, index);
  }
  if (way == Way::over_planes) return max_forward_over_planes(x, planes, h, w, y, index);
  const Bands bands = window_bands(planes, h, w);
  parallel_for(0, bands.count(), bands.grain(), [=](int64_t begin, int64_t end) {
    const Taps<T> taps(h, w, bands, static_cast<T>(-__builtin_inf()));
    const Scratch<T> best(taps.room());
    const Scratch<I> winner(taps.room());
    for (int64_t i = begin; i < end; ++i) {
      const Band b = bands[i];
      taps.read(x, x + planes * h.size * w.size, b);
      with_count(h.kernel * w.kernel,
                 [&](auto count) { max_of_runs(taps.run.get(), count, taps.places(b), best.get(), winner.get()); });
      taps.write(best.get(), b, y);
      taps.write(winner.get(), b, index);
      if (h.padding + w.padding > 0) skip_border(h, w, b, y, index);
    }
  });
}

template <class T>
void avg_forward_over_planes(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  with_division<T>(h.kernel * w.kernel, [=](auto divide) {
    each_window(x, planes, h, w, [=](const SideBySide<T>& rows, int64_t oh, int64_t ow, int64_t n, int64_t i) {
      Vec<T> sum = {};
      rows.each_tap(oh, ow, [&](const T* p, int64_t) { sum = sum + load(p); });
      spread(divide(sum), n, h.windows * w.windows, y + i);
    });
  });
}

template <class T>
void avg_forward_3x3(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  each_3x3(x, planes, h, w, T(0), [=](auto row_taps, int64_t first, int64_t last, int64_t i, int64_t, int64_t room) {
    Vec<T> sum = {};
    for (int64_t r = first; r < last; ++r) {
      Vec<T> tap[3];
      row_taps(r, tap);
      sum = sum + tap[0] + tap[1] + tap[2];
    }
    sum = sum / T(9);
    if (room >= kLanes<T>) {
      store(y + i, sum);
    } else {
      spread(sum, room, 1, y + i);
    }
  });
}

template <class T>
void avg_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  const Way way = plan(Pass::average_forward, h, w).way;
  if (way == Way::two_by_two) {
    return each_2x2(x, planes, h, w, [=](int64_t i, auto a, auto b, auto c, auto d) {
      const auto mean = ((((T(0) + a) + b) + c) + d) * T(0.25);
      std::memcpy(y + i, &mean, sizeof mean);
    });
  }
  if (way == Way::over_planes) return avg_forward_over_planes(x, planes, h, w, y);
  if (way == Way::three_by_three) return avg_forward_3x3(x, planes, h, w, y);
  const Bands bands = window_bands(planes, h, w);
  parallel_for(0, bands.count(), bands.grain(), [=](int64_t begin, int64_t end) {
    const Taps<T> taps(h, w, bands, T(0));
    const Scratch<T> mean(taps.room());
    for (int64_t i = begin; i < end; ++i) {
      const Band b = bands[i];
      taps.read(x, x + planes * h.size * w.size, b);
      with_count(h.kernel * w.kernel, [&](auto count) {
        with_division<T>(h.kernel * w.kernel, [&](auto divide) {
          sum_of_runs(taps.run.get(), count, T(0), taps.places(b), divide, mean.get());
        });
      });
      taps.write(mean.get(), b, y);
    }
  });
}

template <class T>
void global_forward(const T* x, int64_t planes, int64_t size, T* y) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = sum(x + i * size, size) / static_cast<T>(size);
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
void avg_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y) {
  avg_forward(x, planes, h, w, y);
}
void avg_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y) {
  avg_forward(x, planes, h, w, y);
}
void global_avg_pool2d_forward(const float* x, int64_t planes, int64_t size, float* y) {
  global_forward(x, planes, size, y);
}
void global_avg_pool2d_forward(const double* x, int64_t planes, int64_t size, double* y) {
  global_forward(x, planes, size, y);
}

}  // namespace nnlite
