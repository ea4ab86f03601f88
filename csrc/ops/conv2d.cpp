#include "ops/conv2d.h"

#include "lane_sum.h"
#include "ops/gemm_core.h"

// Forward and backward-data are one computation, a lattice convolution: out[n, m, a, b] is the dot product over
// (channel, i, j) of weight and source[n, channel, a * step_h + dr[i], b * step_w + ds[j]]. Forward is one lattice over
// x; backward-data is one lattice over dy for each residue of (h, w) modulo the stride, with the taps that reach it.
//
// It runs as a matrix product (rows: output channels, columns: output pixels) whose B panels are packed from a window:
// a copy of the source rows that a piece of work needs, with the border written out as +0 and columns sorted by their
// residue modulo step_w. In the window every tap of a run of output pixels is a run of memory, whatever padding, stride
// and dilation are, so packing is whole-vector copies.

namespace nnlite {
namespace {

// One axis of a lattice: taps at positions o * step + d[i].
struct Axis {
  int64_t taps, step;
  const int64_t* d;
  int64_t least, greatest;  // of d
  int64_t size;             // of the source
};

Axis make_axis(int64_t taps, int64_t step, const int64_t* d, int64_t size) {
  Axis axis{taps, step, d, 0, 0, size};
  for (int64_t i = 0; i < taps; ++i) {
    axis.least = i ? std::min(axis.least, d[i]) : d[i];
    axis.greatest = i ? std::max(axis.greatest, d[i]) : d[i];
  }
  return axis;
}

// The layout of a window: [image][channel][row][residue][column].
struct Window {
  Window(Axis h, Axis w, int64_t channels, int64_t out_w, int64_t out_rows) : h(h), w(w), channels(channels) {
    residues = std::min(w.step, w.greatest - w.least + 1);
    columns = out_w + (w.greatest - w.least) / w.step;
    rows = (out_rows - 1) * h.step + h.greatest - h.least + 1;
    row = residues * columns;
    plane = rows * row;
    image = channels * plane;
  }

  // Where tap (channel, i, j) of an output pixel lies, relative to the pixel's own place.
  int64_t tap(int64_t channel, int64_t i, int64_t j) const {
    const int64_t x = w.d[j] - w.least;
    return channel * plane + (h.d[i] - h.least) * row + x % w.step * columns + x / w.step;
  }
  // The place of output pixel (a, b), a counted from the window's first output row.
  int64_t pixel(int64_t a, int64_t b) const { return a * h.step * row + b; }

  // Fills one image's part for output rows [a0, a0 + count) from a source (channels, h.size, w.size).
  template <class T>
  void fill(const T* source, int64_t a0, int64_t count, T* to) const {
    const int64_t needed = (count - 1) * h.step + h.greatest - h.least + 1;
    const int64_t y0 = a0 * h.step + h.least;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < needed; ++i) {
        T* const target = to + c * plane + i * row;
        const int64_t y = y0 + i;
        if (y < 0 || y >= h.size) {
          std::fill_n(target, row, T(0));
          continue;
        }
        const T* const line = source + (c * h.size + y) * w.size;
        for (int64_t q = 0; q < residues; ++q) {
          // Window column b holds source column b * step + q + least.
          const int64_t shift = q + w.least;
          const int64_t first = std::min(columns, shift >= 0 ? 0 : ceil_div(-shift, w.step));
          const int64_t last =
              std::max(first, std::min(columns, shift >= w.size ? 0 : ceil_div(w.size - shift, w.step)));
          T* const part = target + q * columns;
          std::fill_n(part, first, T(0));
          if (w.step == 1) {
            std::copy_n(line + first + shift, last - first, part + first);
          } else {
            for (int64_t b = first; b < last; ++b) part[b] = line[b * w.step + shift];
          }
          std::fill_n(part + last, columns - last, T(0));
        }
      }
    }
  }

  Axis h, w;
  int64_t channels, residues, columns, rows, row, plane, image;
};

// Where the lattice's results go: out[n, m, a * step_h + first_h, b * step_w + first_w], m counted from `out`.
template <class T>
struct Lattice {
  T* out;
  int64_t image, channel, width;  // distances in elements: between images, channels and rows
  int64_t step_h, step_w, first_h, first_w;
  int64_t a, b;  // its size

  T* at(int64_t n, int64_t m, int64_t pixel) const {
    const int64_t row = pixel / b, column = pixel % b;
    return out + n * image + m * channel + (row * step_h + first_h) * width + column * step_w + first_w;
  }
  // Whether consecutive pixels of an image are consecutive in memory.
  bool dense() const { return step_h == 1 && step_w == 1 && width == b; }
};

// Tiles of one piece of work: columns are the pixels [first, …) of images n, n + 1, …, `per_image` of them each.
template <class T>
struct LatticeTiles {
  Lattice<T> lattice;
  int64_t n, first, per_image;
  int64_t ld;

  T* direct(int64_t row, int64_t column, int64_t columns) const {
    const int64_t image = column / per_image, pixel = column % per_image;
    if (!lattice.dense() || pixel + columns > per_image) return nullptr;
    return lattice.at(n + image, row, first + pixel);
  }
  template <class Move>
  void pieces(int64_t row, int rows, int64_t column, int64_t columns, Move move) const {
    for (int64_t j = 0; j < columns;) {
      const int64_t image = (column + j) / per_image, pixel = (column + j) % per_image;
      int64_t run = std::min(columns - j, per_image - pixel);
      if (!lattice.dense()) run = std::min(run, lattice.b - (first + pixel) % lattice.b);
      for (int i = 0; i < rows; ++i) move(lattice.at(n + image, row + i, first + pixel), i, j, run);
      j += run;
    }
  }
  void read(int64_t row, int rows, int64_t column, int64_t columns, T* tile, int64_t stride) const {
    pieces(row, rows, column, columns, [&](const T* from, int i, int64_t j, int64_t run) {
      for (int64_t e = 0; e < run; ++e) tile[i * stride + j + e] = from[e * lattice.step_w];
    });
  }
  void write(int64_t row, int rows, int64_t column, int64_t columns, const T* tile, int64_t stride) const {
    pieces(row, rows, column, columns, [&](T* to, int i, int64_t j, int64_t run) {
      for (int64_t e = 0; e < run; ++e) to[e * lattice.step_w] = tile[i * stride + j + e];
    });
  }
};

// Packs `columns` pixels from `column` on, k from k0 on. A panel's pixels fall into runs along output rows; each run is
// copied in whole vectors whose overhang the next run, or the next k, overwrites.
template <class T>
void pack_patches(const T* window, const Window& layout, const int64_t* taps, int64_t first, int64_t per_image,
                  int64_t out_w, T* to, int64_t stride, int64_t k0, int64_t kc, int64_t column, int64_t columns) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
  struct Run {
    int64_t from, to, length;
  } runs[kNR];
  int count = 0;
  const int64_t skipped = first / out_w;  // output rows before the window's first
  for (int64_t j = 0; j < columns;) {
    const int64_t image = (column + j) / per_image, pixel = first + (column + j) % per_image;
    const int64_t a = pixel / out_w, b = pixel % out_w;
    const int64_t length = std::min({columns - j, out_w - b, first + per_image - pixel});
    runs[count++] = {image * layout.image + layout.pixel(a - skipped, b), j, length};
    j += length;
  }
  for (int64_t k = 0; k < kc; ++k) {
    const T* const source = window + taps[k0 + k];
    T* const row = to + k * stride;
    for (int i = 0; i < count; ++i) {
      for (int64_t e = 0; e < runs[i].length; e += W) store(row + runs[i].to + e, load(source + runs[i].from + e));
    }
  }
}

constexpr int64_t kWindowPixels = 384;  // output pixels per window where an image has more: a group of columns

// The convolution described at the top for one group; weights are packed by pack_a as rows of (channel, i, j).
template <class T, class PackA>
void lattice_convolution(int64_t n, int64_t m, int64_t channels, Axis h, Axis w, const T* source, int64_t source_image,
                         PackA pack_a, const T* bias, const Lattice<T>& lattice) {
  constexpr int W = kLanes<T>;
  const int64_t k = channels * h.taps * w.taps;
  const int64_t pixels = lattice.a * lattice.b;
  if (n == 0 || m == 0 || pixels == 0) return;
  const PackedA<T> packed(m, k, pack_a);

  // A piece of work is a band of output rows of one image, or several whole images where they are small.
  const int64_t band = std::min(lattice.a, std::max<int64_t>(1, ceil_div(kWindowPixels, lattice.b)));
  const int64_t bands = ceil_div(lattice.a, band);
  const int64_t images = bands > 1 ? 1 : std::min(n, std::max<int64_t>(1, kWindowPixels / pixels));
  const Window layout(h, w, channels, lattice.b, band);
  const Scratch<int64_t> taps(k + 1);
  for (int64_t c = 0, i = 0; c < channels; ++c) {
    for (int64_t r = 0; r < h.taps; ++r) {
      for (int64_t s = 0; s < w.taps; ++s) taps[i++] = layout.tap(c, r, s);
    }
  }
  const int64_t pieces = ceil_div(n, images) * bands;
  parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    const Scratch<T> window(images * layout.image + 2 * W);
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t n0 = piece / bands * images, a0 = piece % bands * band;
      const int64_t count = std::min(images, n - n0), rows = std::min(band, lattice.a - a0);
      if (k > 0) {
        for (int64_t i = 0; i < count; ++i)
          layout.fill(source + (n0 + i) * source_image, a0, rows, window.get() + i * layout.image);
      }
      const int64_t first = a0 * lattice.b, per_image = rows * lattice.b;
      multiply_columns<T>(
          packed, k, 0, count * per_image, bias, nullptr,
          [&](T* to, int64_t stride, int64_t k0, int64_t kc, int64_t column, int64_t columns) {
            pack_patches(window.get(), layout, taps.get(), first, per_image, lattice.b, to, stride, k0, kc, column,
                         columns);
          },
          LatticeTiles<T>{lattice, n0, first, per_image, lattice.channel});
    }
  });
}

template <class T>
void forward(const Conv2dSize& size, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups, k = channels * size.r * size.s;
  const int64_t out_plane = size.out_h * size.out_w, plane = size.h * size.w;
  const Scratch<int64_t> dr(size.r), ds(size.s);
  for (int64_t i = 0; i < size.r; ++i) dr[i] = i * size.dilation_h - size.padding_h;
  for (int64_t i = 0; i < size.s; ++i) ds[i] = i * size.dilation_w - size.padding_w;
  const Axis h = make_axis(size.r, size.stride_h, dr.get(), size.h),
             w = make_axis(size.s, size.stride_w, ds.get(), size.w);
  for (int64_t g = 0; g < size.groups; ++g) {
    const T* const filters = weight + g * m * k;
    lattice_convolution<T>(
        size.n, m, channels, h, w, x + g * channels * plane, size.c * plane,
        [=](T* to, int64_t k0, int64_t kc, int64_t row, int rows) {
          pack_transposed(filters + row * k + k0, k, rows, kc, to, kAStride, kAStride);
        },
        bias ? bias + g * m : nullptr,
        Lattice<T>{y + g * m * out_plane, size.k * out_plane, out_plane, size.out_w, 1, 1, 0, 0, size.out_h,
                   size.out_w});
  }
}

// The taps r that reach input positions of one residue: (position + padding - r * dilation) divisible by the stride, in
// descending r; d[i] is the offset of their output position, relative to the lattice's.
struct Reached {
  Reached(int64_t taps, int64_t residue, int64_t stride, int64_t padding, int64_t dilation) : tap(taps), d(taps) {
    for (int64_t r = taps - 1; r >= 0; --r) {
      const int64_t distance = residue + padding - r * dilation;
      if (distance % stride != 0) continue;
      tap[count] = r;
      d[count++] = distance / stride;
    }
  }
  Scratch<int64_t> tap, d;
  int64_t count = 0;
};

template <class T>
void backward_data(const Conv2dSize& size, const T* dy, const T* weight, T* dx) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups, filter = size.r * size.s;
  const int64_t out_plane = size.out_h * size.out_w, plane = size.h * size.w;
  for (int64_t ph = 0; ph < std::min(size.stride_h, size.h); ++ph) {
    const Reached rows(size.r, ph, size.stride_h, size.padding_h, size.dilation_h);
    const Axis h = make_axis(rows.count, 1, rows.d.get(), size.out_h);
    for (int64_t pw = 0; pw < std::min(size.stride_w, size.w); ++pw) {
      const Reached columns(size.s, pw, size.stride_w, size.padding_w, size.dilation_w);
      const Axis w = make_axis(columns.count, 1, columns.d.get(), size.out_w);
      const int64_t taps = rows.count * columns.count;
      for (int64_t g = 0; g < size.groups; ++g) {
        const T* const filters = weight + g * m * channels * filter;
        lattice_convolution<T>(
            size.n, channels, m, h, w, dy + g * m * out_plane, size.k * out_plane,
            [&](T* to, int64_t k0, int64_t kc, int64_t row, int count) {
              for (int64_t i = 0; i < kc; ++i) {
                const int64_t k = (k0 + i) / taps, t = (k0 + i) % taps;
                const T* const tap = filters + k * channels * filter + rows.tap[t / columns.count] * size.s +
                                     columns.tap[t % columns.count];
                for (int64_t c = 0; c < kAStride; ++c)
                  to[i * kAStride + c] = c < count ? tap[(row + c) * filter] : T(0);
              }
            },
            nullptr,
            Lattice<T>{dx + g * channels * plane, size.c * plane, plane, size.w, size.stride_h, size.stride_w, ph, pw,
                       ceil_div(size.h - ph, size.stride_h), ceil_div(size.w - pw, size.stride_w)});
      }
    }
  }
}

// Backward-weights: the dot products run over pixels, whose patches would have to be transposed to serve as a packed
// operand. Instead the roles turn: rows are the taps (c, r, s), read from the window one value at a time, and columns
// are output channels, from a transposed block of dy. One block of 512 pixels is one piece of work; its sums go to a
// buffer, and the blocks of a wave are added in order.
#if defined(__AVX512F__)
constexpr int kTapRows = 6, kTapVectors = 4;
#elif defined(__AVX2__)
constexpr int kTapRows = 4, kTapVectors = 3;
#else
constexpr int kTapRows = 4, kTapVectors = 4;
#endif

struct PixelRun {
  int64_t from, length;  // place of its first pixel in the window
};

// sums[i][k] = Σ over the pixels of x[tap i] * dy[k]; dy is (pixels, stride).
template <class T, int Rows, int NV>
void tap_kernel(const T* window, const int64_t* taps, const PixelRun* runs, int64_t run_count, const T* dy,
                int64_t stride, T* sums, int64_t ld) {
  constexpr int W = kLanes<T>;
  Vec<T> acc[Rows][NV] = {};
  for (int64_t q = 0; q < run_count; ++q) {
    const T* x[Rows];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) x[i] = window + runs[q].from + taps[i];
    for (int64_t p = 0; p < runs[q].length; ++p) {
      Vec<T> d[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) d[v] = load(dy + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Vec<T> xi = broadcast(x[i][p]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[i][v] = fma(d[v], xi, acc[i][v]);
      }
      dy += stride;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(sums + i * ld + v * W, acc[i][v]);
  }
}

template <class T>
using TapKernel = void (*)(const T*, const int64_t*, const PixelRun*, int64_t, const T*, int64_t, T*, int64_t);

template <class T, int Rows = kTapRows, int NV = kTapVectors>
TapKernel<T> tap_kernel_for(int64_t rows, int64_t vectors) {
  if constexpr (NV > 1) {
    if (vectors < NV) return tap_kernel_for<T, Rows, NV - 1>(rows, vectors);
  }
  if constexpr (Rows > 1) {
    if (rows < Rows) return tap_kernel_for<T, Rows - 1, NV>(rows, vectors);
  }
  return tap_kernel<T, Rows, NV>;
}

template <class T>
void backward_weights_group(const Conv2dSize& size, Axis h, Axis w, const T* dy, const T* x, T* dweight) {
  constexpr int W = kLanes<T>;
  const int64_t channels = size.c / size.groups, m = size.k / size.groups, k = channels * size.r * size.s;
  const int64_t out_plane = size.out_h * size.out_w, pixels = size.n * out_plane, wide = ceil_div(m, W) * W;
  if (m * k == 0) return;
  if (pixels == 0) {
    std::fill_n(dweight, m * k, T(0));
    return;
  }
  const int64_t rows_per_block = std::min(size.out_h, ceil_div(kBlock - 1, size.out_w) + 1);
  const Window layout(h, w, channels, size.out_w, rows_per_block);
  const Scratch<int64_t> taps(k);
  for (int64_t i = 0; i < k; ++i) {
    taps[i] = layout.tap(i / (size.r * size.s), i / size.s % size.r, i % size.s);
  }
  const int64_t blocks = ceil_div(pixels, kBlock);
  const int64_t images = std::min(size.n, ceil_div(kBlock - 1, out_plane) + 1);
  const int64_t wave = std::min<int64_t>(blocks, num_threads() == 1 ? 1 : 4 * num_threads());
  const Scratch<T> sums(wave * k * wide), totals(k * wide);
  for (int64_t first = 0; first < blocks; first += wave) {
    const int64_t in_wave = std::min(wave, blocks - first);
    parallel_for(0, in_wave, 1, [&](int64_t begin, int64_t end) {
      const Scratch<T> window(images * layout.image + 2 * W), columns(kBlock * wide);
      const Scratch<PixelRun> runs(kBlock);
      for (int64_t b = begin; b < end; ++b) {
        int64_t run_count = 0, filled = 0;
        const int64_t p0 = (first + b) * kBlock, p1 = std::min(p0 + kBlock, pixels);
        for (int64_t p = p0; p < p1;) {
          const int64_t n = p / out_plane, inside = p % out_plane, length = std::min(p1 - p, out_plane - inside);
          const int64_t a0 = inside / size.out_w, a1 = (inside + length - 1) / size.out_w;
          const int64_t base = filled++ * layout.image;
          layout.fill(x + n * size.c * size.h * size.w, a0, a1 - a0 + 1, window.get() + base);
          for (int64_t q = inside; q < inside + length;) {
            const int64_t a = q / size.out_w, column = q % size.out_w,
                          run = std::min(inside + length - q, size.out_w - column);
            runs[run_count++] = {base + layout.pixel(a - a0, column), run};
            q += run;
          }
          pack_transposed(dy + n * size.k * out_plane + inside, out_plane, m, length, columns.get() + (p - p0) * wide,
                          wide, wide);
          p += length;
        }
        T* const block = sums.get() + b * k * wide;
        for (int64_t j = 0; j < wide; j += kTapVectors * W) {
          const int64_t vectors = std::min<int64_t>(kTapVectors, (wide - j) / W);
          for (int64_t i = 0; i < k; i += kTapRows) {
            tap_kernel_for<T>(std::min<int64_t>(kTapRows, k - i), vectors)(window.get(), taps.get() + i, runs.get(),
                                                                           run_count, columns.get() + j, wide,
                                                                           block + i * wide + j, wide);
          }
        }
      }
    });
    parallel_for(0, k * wide, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t b = 0; b < in_wave; ++b) {
        const T* const block = sums.get() + b * k * wide;
        if (first == 0 && b == 0) {
          std::copy(block + begin, block + end, totals.get() + begin);
        } else {
          for (int64_t e = begin; e < end; ++e) totals[e] = totals[e] + block[e];
        }
      }
    });
  }
  for (int64_t o = 0; o < m; ++o) {
    for (int64_t i = 0; i < k; ++i) dweight[o * k + i] = totals[i * wide + o];
  }
}

template <class T>
void backward_weights(const Conv2dSize& size, const T* dy, const T* x, T* dweight) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups;
  const Scratch<int64_t> dr(size.r), ds(size.s);
  for (int64_t i = 0; i < size.r; ++i) dr[i] = i * size.dilation_h - size.padding_h;
  for (int64_t i = 0; i < size.s; ++i) ds[i] = i * size.dilation_w - size.padding_w;
  const Axis h = make_axis(size.r, size.stride_h, dr.get(), size.h),
             w = make_axis(size.s, size.stride_w, ds.get(), size.w);
  for (int64_t g = 0; g < size.groups; ++g) {
    backward_weights_group(size, h, w, dy + g * m * size.out_h * size.out_w, x + g * channels * size.h * size.w,
                           dweight + g * m * channels * size.r * size.s);
  }
}

template <class T>
void plane_sums_any(const T* dy, int64_t n, int64_t c, int64_t plane, T* dbias) {
  const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, n * plane));
  parallel_for(0, c, grain, [=](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) {
      RunningSum<T> planes;
      for (int64_t i = 0; i < n; ++i) planes.add(sum(dy + (i * c + channel) * plane, plane));
      dbias[channel] = planes.total();
    }
  });
}

}  // namespace

void conv2d_forward(const Conv2dSize& size, const float* x, const float* weight, const float* bias, float* y) {
  forward(size, x, weight, bias, y);
}
void conv2d_forward(const Conv2dSize& size, const double* x, const double* weight, const double* bias, double* y) {
  forward(size, x, weight, bias, y);
}
void conv2d_backward_data(const Conv2dSize& size, const float* dy, const float* weight, float* dx) {
  backward_data(size, dy, weight, dx);
}
void conv2d_backward_data(const Conv2dSize& size, const double* dy, const double* weight, double* dx) {
  backward_data(size, dy, weight, dx);
}
void conv2d_backward_weights(const Conv2dSize& size, const float* dy, const float* x, float* dweight) {
  backward_weights(size, dy, x, dweight);
}
void conv2d_backward_weights(const Conv2dSize& size, const double* dy, const double* x, double* dweight) {
  backward_weights(size, dy, x, dweight);
}
void plane_sums(const float* dy, int64_t n, int64_t c, int64_t plane, float* dbias) {
  plane_sums_any(dy, n, c, plane, dbias);
}
void plane_sums(const double* dy, int64_t n, int64_t c, int64_t plane, double* dbias) {
  plane_sums_any(dy, n, c, plane, dbias);
}

}  // namespace nnlite
