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

// Calls f with the numbers [First, End) as constants: accumulators stay in registers only if no variable indexes them.
template <int First, int End, class F>
[[gnu::always_inline]] static inline void each(F f) {
  if constexpr (First < End) {
    f(std::integral_constant<int, First>());
    each<First + 1, End>(f);
  }
}
#define NNLITE_INLINE __attribute__((always_inline))

// The source of a tile of output pixels and the taps it is multiplied with.
template <class T>
struct ShiftedRows {
  const T* source;            // tap (0, 0, 0) of output pixel (0, 0); one output pixel further is one element further
  int64_t channel, row, tap;  // distances between channels, rows (of outputs and of taps) and taps of a row
  int64_t channels, r, s;     // numbers of taps
  const T* weights;           // [channel][j][i]
};

// Where a tile of output pixels goes: rows `ld` apart, of which `width` elements are written. Nothing is added for a
// bias of nullptr.
template <class T>
struct OutputRows {
  T* p;
  int64_t ld, width;
  const T* bias;

  template <int NV>
  [[gnu::always_inline]] void put(int64_t row, const Vec<T> (&y)[NV]) const {
    constexpr int W = kLanes<T>;
    each<0, NV>([&](auto e) NNLITE_INLINE {
      const Vec<T> sum = bias ? y[e] + *bias : y[e];
      T* const to = p + row * ld + e * W;
      if ((e + 1) * W <= width) {
        store(to, sum);
      } else {
        store(to, sum, Lanes(0, width - e * W));
      }
    });
  }
};

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

// Rows x NV vectors of output pixels. Rows is at most r + 1.
template <class T, int Rows, int NV>
static void shifted_rows_kernel(const ShiftedRows<T>& in, const OutputRows<T>& out) {
  constexpr int W = kLanes<T>;
  const int64_t filter = in.r * in.s, all = in.channels * filter;
  T totals[Rows * NV * W] = {};
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
      T* const earlier = totals + a * NV * W;
      each<0, NV>([&](auto e) NNLITE_INLINE {
        if (!first) rows.acc[a][e] = load(earlier + e * W) + rows.acc[a][e];
        if (k < all) store(earlier + e * W, rows.acc[a][e]);
      });
      if (k >= all) out.put(a, rows.acc[a]);
    });
    if (k >= all) return;
  }
}

// The source of output rows from one channel, and the taps.
template <class T>
struct RollingRows {
  const T* source;         // tap row 0 of output pixel (0, 0); the next pixel is one element further
  int64_t row, residue;    // distances between rows of one residue modulo the step, and between residues
  int64_t s;               // taps in a row
  const int64_t* columns;  // their places
  const T* weights;        // [j][i]
};

// `rows` rows x NV vectors of output pixels from one channel, R rows of taps and a vertical step (R * s <= kBlock).
// With so few taps a tile of rows would hardly begin to share before it ends. So the rows roll: the source rows of
// place y are added to all output rows that they reach, then the first of these is complete, and its accumulators begin
// the next one.
template <class T, int R, int Step, int NV>
static void rolling_rows_kernel(const RollingRows<T>& in, int64_t rows, const OutputRows<T>& out) {
  constexpr int W = kLanes<T>, kReached = (R + Step - 1) / Step;
  const RollingRows<T> from = in;
  Vec<T> acc[kReached][NV] = {};  // output row a in acc[a % kReached]
  for (int64_t y = 0, end = rows + kReached - 1; y < end;) {
    each<0, kReached>([&](auto phase) NNLITE_INLINE {
      if (y == end) return;
      each<0, NV>([&](auto e) NNLITE_INLINE { acc[phase][e] = Vec<T>{}; });
      each<0, std::min(R, Step)>([&](auto residue) NNLITE_INLINE {
        const T* const x = from.source + y * from.row + residue * from.residue;
        const T* w = from.weights + residue;
        for (int64_t j = 0; j < from.s; ++j, w += R) {
          Vec<T> v[NV];
          each<0, NV>([&](auto e) NNLITE_INLINE { v[e] = load(x + from.columns[j] + e * W); });
          each<0, (R - residue + Step - 1) / Step>([&](auto behind) NNLITE_INLINE {
            const Vec<T> weight = broadcast(w[behind * Step]);
            each<0, NV>([&](auto e) NNLITE_INLINE {
              auto& sum = acc[(phase + kReached - behind) % kReached][e];
              sum = fma(weight, v[e], sum);
            });
          });
        }
      });
      ++y;
      if (y >= kReached) out.put(y - kReached, acc[(phase + 1) % kReached]);
    });
  }
}
#undef NNLITE_INLINE

// So many vectors that the accumulators of R rows, the source's and a weight have registers.
constexpr int kRollingRows = 7, kRollingStep = 2;
constexpr int rolling_vectors(int r) {
  return r <= 3 ? kSharedVectors : r <= 6 ? kSharedVectors - 1 : kSharedVectors - 2;
}

template <class T>
using RollingRowsKernel = void (*)(const RollingRows<T>&, int64_t, const OutputRows<T>&);

template <class T, int R = kRollingRows, int NV = rolling_vectors(R)>
static RollingRowsKernel<T> rolling_rows_kernel_for(int64_t r, int64_t step, int64_t vectors) {
  if constexpr (R > 1) {
    if (r < R) return rolling_rows_kernel_for<T, R - 1>(r, step, vectors);
  }
  if constexpr (NV > 1) {
    if (vectors < NV) return rolling_rows_kernel_for<T, R, NV - 1>(r, step, vectors);
  }
  return step == 1 ? rolling_rows_kernel<T, R, 1, NV> : rolling_rows_kernel<T, R, kRollingStep, NV>;
}

template <class T>
using ShiftedRowsKernel = void (*)(const ShiftedRows<T>&, const OutputRows<T>&);

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
