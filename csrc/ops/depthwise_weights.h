// Backward-weights of a convolution with one input channel per group. Elements of dweight of different groups share
// neither x nor dy, only the walk over the pixels, so the vectors run over output channels of several groups.
//
// x and dy of W channels are turned into [pixel][W]. Then a pixel takes one load of dy and, for each tap, one load of x
// and one fma into the tap's accumulator, whatever stride and dilation are.
#pragma once

#include "ops/conv2d.h"
#include "ops/gemm_core.h"

namespace nnlite {

// Taps at a time: enough accumulators to cover the latency of fma, and as many places in x as x86-64 has registers for.
constexpr int kDepthwiseTaps = 9;
// x and dy are turned once for so many taps: the sums of all blocks are kept, and take this / kBlock of the size of dy.
constexpr int64_t kDepthwiseRound = 8 * kDepthwiseTaps;
constexpr int64_t kDepthwiseWindowBytes = 256 << 10;

// Pixels of one image, and the place of its first row in x.
template <class T>
struct DepthwisePixels {
  const T *x, *dy;          // [row][column][W] and [pixel][W]
  int64_t column, columns;  // the first pixel's, and how many a row has
  int64_t count;
  int64_t step, row;  // distances in x between pixels and rows
};

// sums[t][W] += Σ over the pixels of x[place + taps[t]] * dy, continued from pixels before them.
template <class T, int Taps>
static void depthwise_kernel(const DepthwisePixels<T>& pixels, const int64_t* taps, T* sums) {
  constexpr int W = kLanes<T>;
  Vec<T> acc[Taps];
  const T* x[Taps];
#pragma GCC unroll 16
  for (int t = 0; t < Taps; ++t) {
    acc[t] = load(sums + t * W);
    x[t] = pixels.x + taps[t];
  }
  const T* dy = pixels.dy;
  int64_t column = pixels.column, row = 0;
  for (int64_t rest = pixels.count; rest > 0;) {
    const int64_t run = std::min(rest, pixels.columns - column), end = row + (column + run) * pixels.step;
    for (int64_t p = row + column * pixels.step; p < end; p += pixels.step) {
      const Vec<T> d = load(dy);
#pragma GCC unroll 16
      for (int t = 0; t < Taps; ++t) acc[t] = fma(d, load(x[t] + p), acc[t]);
      dy += W;
    }
    rest -= run;
    row += pixels.row;
    column = 0;
  }
#pragma GCC unroll 16
  for (int t = 0; t < Taps; ++t) store(sums + t * W, acc[t]);
}

template <class T>
using DepthwiseKernel = void (*)(const DepthwisePixels<T>&, const int64_t*, T*);

template <class T, int Taps = kDepthwiseTaps>
static DepthwiseKernel<T> depthwise_kernel_for(int64_t taps) {
  if constexpr (Taps > 1) {
    if (taps < Taps) return depthwise_kernel_for<T, Taps - 1>(taps);
  }
  return depthwise_kernel<T, Taps>;
}

// to[k][i] = planes[i][from + k] for k < count, i < W.
template <class T>
static void interleave_planes(const T* const* planes, int64_t from, int64_t count, T* to) {
  constexpr int W = kLanes<T>;
  Vec<T> block[W];
  int64_t k = 0;
  for (; k + W <= count; k += W) {
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) block[i] = load(planes[i] + from + k);
    transpose<T>(block);
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) store(to + (k + i) * W, block[i]);
  }
  if (k == count) return;
  const Lanes rest(0, count - k);
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) block[i] = load(planes[i] + from + k, rest);
  transpose<T>(block);
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (k + i < count) store(to + (k + i) * W, block[i]);
  }
}

template <class T>
static void depthwise_weights(const Conv2dSize& size, const T* dy, const T* x, T* dweight) {
  constexpr int W = kLanes<T>;
  const int64_t m = size.k / size.groups, all_taps = size.r * size.s, plane = size.h * size.w;
  const int64_t out_plane = size.out_h * size.out_w, pixels = size.n * out_plane;
  if (size.k == 0) return;
  if (pixels == 0) {
    std::fill_n(dweight, size.k * all_taps, T(0));
    return;
  }
  // The window: some rows of W channels of an image, the border written out as +0. Rows are filled when they are
  // needed, so that blocks that follow one another share them.
  const int64_t width = (size.out_w - 1) * size.stride_w + (size.s - 1) * size.dilation_w + 1;
  const int64_t left = std::min(size.padding_w, width), inner = std::min(size.w, width - left);
  const auto reached = [&](int64_t out_rows) {
    return (out_rows - 1) * size.stride_h + (size.r - 1) * size.dilation_h + 1;
  };
  const int64_t block_rows = std::min(size.out_h, ceil_div(kBlock - 1, size.out_w) + 1);
  const int64_t rows = std::clamp<int64_t>(kDepthwiseWindowBytes / (width * W * static_cast<int64_t>(sizeof(T))),
                                           reached(block_rows), reached(size.out_h));
  const Scratch<int64_t> places(all_taps);
  for (int64_t t = 0; t < all_taps; ++t) {
    places[t] = (t / size.s * size.dilation_h * width + t % size.s * size.dilation_w) * W;
  }

  const int64_t blocks = ceil_div(pixels, kBlock), vectors = ceil_div(size.k, W);
  const Parts rounds(all_taps, kDepthwiseRound);
  const Scratch<T> sums(vectors * blocks * rounds.size(0) * W);  // [vector][block][tap][W]
  for (int64_t round = 0; round < rounds.count; ++round) {
    const int64_t first_tap = rounds.first(round), taps = rounds.size(round);
    const Parts parts(taps, kDepthwiseTaps);
    // Turning x and dy takes about as long as 16 taps.
    const int64_t grain = std::max(vectors * blocks / (8 * num_threads()), (1 << 19) / (kBlock * W * (taps + 16)));
    parallel_for(0, vectors * blocks, grain, [&](int64_t begin, int64_t end) {
      const Scratch<T> window(rows * width * W), columns(std::min(kBlock, out_plane) * W);
      int64_t held = -1, top = 0, bottom = 0;  // the window's image and vector, and the rows that it holds
      for (int64_t i = begin; i < end; ++i) {
        check_interrupt();
        const int64_t v = i / blocks, first = i % blocks * kBlock, last = std::min(first + kBlock, pixels);
        // Lanes behind the last channel repeat it.
        const T *x_planes[W], *dy_planes[W];
        for (int lane = 0; lane < W; ++lane) {
          const int64_t k = std::min(v * W + lane, size.k - 1);
          x_planes[lane] = x + k / m * plane;
          dy_planes[lane] = dy + k * out_plane;
        }
        T* const to = sums.get() + i * taps * W;
        std::fill_n(to, taps * W, T(0));
        for (int64_t p = first; p < last;) {
          const int64_t n = p / out_plane, inside = p % out_plane, count = std::min(last - p, out_plane - inside);
          const int64_t column = inside % size.out_w, y0 = inside / size.out_w * size.stride_h;
          const int64_t y1 = y0 + reached((column + count - 1) / size.out_w + 1);
          if (held != v * size.n + n || y1 > top + rows) {
            held = v * size.n + n;
            top = bottom = y0;
          }
          for (; bottom < y1; ++bottom) {
            const int64_t y = bottom - size.padding_h, have = y >= 0 && y < size.h ? inner : 0;
            T* const row = window.get() + (bottom - top) * width * W;
            std::fill_n(row, left * W, T(0));
            interleave_planes(x_planes, n * size.c * plane + y * size.w, have, row + left * W);
            std::fill_n(row + (left + have) * W, (width - left - have) * W, T(0));
          }
          interleave_planes(dy_planes, n * size.k * out_plane + inside, count, columns.get());
          const DepthwisePixels<T> some{window.get() + (y0 - top) * width * W,
                                        columns.get(),
                                        column,
                                        size.out_w,
                                        count,
                                        size.stride_w * W,
                                        size.stride_h * width * W};
          for (int64_t j = 0; j < parts.count; ++j) {
            const int64_t t = parts.first(j);
            depthwise_kernel_for<T>(parts.size(j))(some, places.get() + first_tap + t, to + t * W);
          }
          p += count;
        }
      }
    });
    parallel_for(0, vectors * taps, ceil_div(1 << 12, blocks), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t v = i / taps, t = i % taps;
        const T* const from = sums.get() + (v * blocks * taps + t) * W;
        Vec<T> total = load(from);
        for (int64_t b = 1; b < blocks; ++b) total = total + load(from + b * taps * W);
        const int64_t k = v * W, have = std::min<int64_t>(W, size.k - k);
        for (int64_t lane = 0; lane < have; ++lane) dweight[(k + lane) * all_taps + first_tap + t] = total[lane];
      }
    });
  }
}

}  // namespace nnlite
