// A convolution with one output channel. The micro-kernel of gemm_core.h could share nothing there, because its rows
// are output channels. Here output rows share: source row y is tap row y - a of output row a, so that one load feeds
// several output rows, and one broadcast of a weight all vectors of a row.
//
// docs/numerics.md takes (channel, i, j) in ascending order, with one accumulator per output. So output row a is always
// one tap row i behind row a - 1, and the first ones are in the next channel already while the last ones finish the one
// before: all accumulators are busy in every step.
#pragma once

#include <type_traits>

#include "ops/gemm_core.h"

namespace nnlite {

// As many accumulators as there are registers for.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSharedVectors = 4;
constexpr int shared_rows(int64_t) { return 6; }
#else
constexpr int kSharedVectors = 3;
constexpr int shared_rows(int64_t vectors) { return vectors == 3 ? 4 : 6; }
#endif

// The source of a tile of output pixels and the taps it is multiplied with.
template <class T>
struct ShiftedRows {
  const T* source;            // tap (0, 0, 0) of output pixel (0, 0); one output pixel further is one element further
  int64_t channel, row, tap;  // distances between channels, rows (of outputs and of taps) and taps of a row
  int64_t channels, r, s;     // numbers of taps
  const T* weights;           // [channel][j][i]
};

// Calls f with the numbers [First, End) as constants: accumulators stay in registers only if no variable indexes them.
template <int First, int End, class F>
[[gnu::always_inline]] static inline void each(F f) {
  if constexpr (First < End) {
    f(std::integral_constant<int, First>());
    each<First + 1, End>(f);
  }
}
#define NNLITE_INLINE __attribute__((always_inline))

template <class T, int Rows, int NV>
struct SharingRows {
  static constexpr int W = kLanes<T>;
  const ShiftedRows<T>& in;
  Vec<T> acc[Rows][NV];

  // Output rows [First, End) take tap j of source row x, with the weight w[-a].
  template <int First, int End>
  NNLITE_INLINE void take(const T* x, const T* w) {
    if constexpr (First < End) {
      Vec<T> v[NV];
      each<0, NV>([&](auto e) NNLITE_INLINE { v[e] = load(x + e * W); });
      each<First, End>([&](auto a) NNLITE_INLINE {
        const Vec<T> weight = broadcast(w[-a]);
        each<0, NV>([&](auto e) NNLITE_INLINE { acc[a][e] = fma(weight, v[e], acc[a][e]); });
      });
    }
  }

  // Output rows [0, Next) take tap rows [y - a] of channel c, the others tap rows [r + y - a] of the channel before it;
  // without `New` or `Old` these or those rest.
  template <bool Old, bool New, int Next = 1>
  NNLITE_INLINE void step(int64_t c, int64_t y) {
    if constexpr (Next < Rows) {
      if (y >= Next) return step<Old, New, Next + 1>(c, y);
    }
    const T* x = in.source + c * in.channel + y * in.row;
    const T* w = in.weights + c * in.r * in.s + y;
    const int64_t old_x = in.r * in.row - in.channel, old_w = in.r - in.r * in.s;
    for (int64_t j = 0; j < in.s; ++j, x += in.tap, w += in.r) {
      take<0, New ? Next : 0>(x, w);
      take<Next, Old ? Rows : Next>(x + old_x, w + old_w);
    }
  }

  // All rows take taps [from, to) of channel c.
  NNLITE_INLINE void taps(int64_t c, int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      const int64_t i = t / in.s, j = t % in.s;
      const T* x = in.source + c * in.channel + i * in.row + j * in.tap;
      const Vec<T> weight = broadcast(in.weights[c * in.r * in.s + j * in.r + i]);
      each<0, Rows>([&](auto a) NNLITE_INLINE {
        each<0, NV>([&](auto e) NNLITE_INLINE { acc[a][e] = fma(weight, load(x + e * W), acc[a][e]); });
        x += in.row;
      });
    }
  }
};

// Rows x NV vectors of output pixels, to totals[row][NV * W]. Rows is at most r + 1.
template <class T, int Rows, int NV>
static void shifted_rows_kernel(const ShiftedRows<T>& in, T* totals) {
  constexpr int W = kLanes<T>;
  const int64_t filter = in.r * in.s, all = in.channels * filter;
  for (int64_t k = 0;;) {
    SharingRows<T, Rows, NV> rows{in, {}};
    const bool first = k == 0;
    const int64_t end = std::min(k + kBlock, all);
    if (k < end) {
      // A block may begin and end within a channel.
      int64_t c = k / filter;
      const int64_t last = end / filter;
      if (c * filter < k) {
        rows.taps(c, k - c * filter, std::min(filter, end - c * filter));
        ++c;
      }
      if (c < last) {
        for (int64_t y = 0; y < in.r; ++y) rows.template step<false, true>(c, y);
        for (++c; c < last; ++c) {
          for (int64_t y = 0; y < in.r; ++y) rows.template step<true, true>(c, y);
        }
        for (int64_t y = 0; y < Rows - 1; ++y) rows.template step<true, false>(c, y);
      }
      if (c == last) rows.taps(c, 0, end - c * filter);
      k = end;
    }
    each<0, Rows>([&](auto a) NNLITE_INLINE {
      each<0, NV>([&](auto e) NNLITE_INLINE {
        T* const total = totals + (a * NV + e) * W;
        store(total, first ? rows.acc[a][e] : load(total) + rows.acc[a][e]);
      });
    });
    if (k >= all) return;
  }
}
#undef NNLITE_INLINE

template <class T>
using ShiftedRowsKernel = void (*)(const ShiftedRows<T>&, T*);

template <class T, int NV = kSharedVectors, int Rows = shared_rows(NV)>
static ShiftedRowsKernel<T> shifted_rows_kernel_for(int64_t rows, int64_t vectors) {
  if constexpr (NV > 1) {
    if (vectors < NV) return shifted_rows_kernel_for<T, NV - 1>(rows, vectors);
  }
  if constexpr (Rows > 1) {
    if (rows < Rows) return shifted_rows_kernel_for<T, NV, Rows - 1>(rows, vectors);
  }
  return shifted_rows_kernel<T, Rows, NV>;
}

}  // namespace nnlite
