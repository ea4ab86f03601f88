// im2col copies: a block takes one row of windows and some channels, puts what they see of x into shared memory, zeros
// of the padding included, and writes each window's columns, which are consecutive, from there.
//
// col2im gathers, an element of dx a thread. In col, consecutive are the taps of a channel and then the channels; so a
// warp takes one element of 32 channels, whose taps lie in one run of memory, and the warps of a block take elements
// below each other, which share it. With few channels, or where places do not fit into 32 bits, neighbouring threads
// take neighbouring elements of dx instead.
#include "ops/im2col.h"

#include "axis.h"
#include "lane_sum.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// What a block of im2col holds: the lines of `channels` channels that one row of windows sees, `width` elements each,
// for `windows` of these windows.
struct Tiles {
  Tiles(int64_t channels, int64_t windows, int64_t width, int64_t lanes, int64_t c, const WindowAxis& h,
        const WindowAxis& w)
      : channels(static_cast<int32_t>(channels)),
        windows(static_cast<int32_t>(windows)),
        width(static_cast<int32_t>(width)),
        lanes(static_cast<int32_t>(lanes)),
        of_channels(static_cast<int32_t>(blocks_for(c, channels))),
        of_windows(static_cast<int32_t>(blocks_for(w.windows, windows))),
        by_of_channels(of_channels),
        by_of_windows(of_windows),
        by_width(width),
        by_kernel_h(h.kernel),
        by_kernel_w(w.kernel) {}
  int32_t channels, windows, width, lanes;  // `lanes` threads write the columns of a window
  int32_t of_channels, of_windows;          // tiles
  Divider<int32_t> by_of_channels, by_of_windows, by_width, by_kernel_h, by_kernel_w;
};

template <class T>
__global__ void columns_of_tiles(const T* x, int32_t c, Axis<int32_t> h, Axis<int32_t> w, Tiles tiles, T* col) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x), block = static_cast<int32_t>(blockIdx.x);
  const int32_t rest = tiles.by_of_channels.divide(block), line = tiles.by_of_windows.divide(rest);
  const int32_t image = h.by_windows.divide(line), oh = line - image * h.windows;
  const int32_t first_c = (block - rest * tiles.of_channels) * tiles.channels;
  const int32_t first_ow = (rest - line * tiles.of_windows) * tiles.windows;
  const int32_t channels = std::min(tiles.channels, c - first_c),
                windows = std::min(tiles.windows, w.windows - first_ow);
  const int32_t top = oh * h.stride - h.padding, left = first_ow * w.stride - w.padding;
  T* const patch = &shared_memory<T>();
  int32_t* const place = reinterpret_cast<int32_t*>(patch + tiles.channels * h.kernel * tiles.width);

  const auto load = [&](int32_t i) {
    const int32_t channel_row = tiles.by_width.divide(i), channel = tiles.by_kernel_h.divide(channel_row);
    const int32_t row = top + (channel_row - channel * h.kernel) * h.dilation;
    const int32_t column = left + i - channel_row * tiles.width;
    if (!h.holds(row) || !w.holds(column)) return T(0);
    return x[((image * c + first_c + channel) * h.size + row) * w.size + column];
  };
  in_batches<kThreads>(thread, channels * h.kernel * tiles.width, load, [&](int32_t i, T v) { patch[i] = v; });
  const int32_t taps = h.kernel * w.kernel, columns = channels * taps;
  for (int32_t j = thread; j < columns; j += kThreads) {
    const int32_t channel_row = tiles.by_kernel_w.divide(j), s = j - channel_row * w.kernel;
    place[j] = channel_row * tiles.width + s * w.dilation;
  }
  __syncthreads();
  const int32_t row = c * taps, group = thread / tiles.lanes, groups = kThreads / tiles.lanes;
  T* const to = col + (line * w.windows + first_ow) * row + first_c * taps;
  for (int32_t ow = group; ow < windows; ow += groups) {
    for (int32_t j = thread - group * tiles.lanes; j < columns; j += tiles.lanes) {
      to[ow * row + j] = patch[place[j] + ow * w.stride];
    }
  }
}

// An element of col a thread.
template <class T>
__global__ void columns_of_elements(const T* x, int64_t c, Axis<int64_t> h, Axis<int64_t> w, int64_t count, T* col) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t tap_row = i / w.kernel, s = i - tap_row * w.kernel;
  const int64_t channel_row = tap_row / h.kernel, r = tap_row - channel_row * h.kernel;
  const int64_t window = channel_row / c, channel = channel_row - window * c;
  const int64_t line = window / w.windows, ow = window - line * w.windows;
  const int64_t image = line / h.windows, oh = line - image * h.windows;
  const int64_t row = oh * h.stride - h.padding + r * h.dilation;
  const int64_t column = ow * w.stride - w.padding + s * w.dilation;
  col[i] = h.holds(row) && w.holds(column) ? x[((image * c + channel) * h.size + row) * w.size + column] : T(0);
}

// The windows that may hold an element: those from first to last where (place - o * stride) is a multiple of the
// dilation. A place is an element's distance from the beginning of the padding.
template <class Index>
struct Holding {
  Index first, last;
  __device__ Holding(const Axis<Index>& axis, Index place) {
    const Index before = place - (axis.kernel - 1) * axis.dilation;
    first = before <= 0 ? 0 : axis.by_stride.divide(before + axis.stride - 1);
    last = std::min(axis.windows - 1, axis.by_stride.divide(place));
  }
};

// The sum of what the windows' columns hold of one element; `from` is the element's channel in the image's first row.
template <class T, class Index>
__device__ T gathered(const T* from, Index row_size, Index row, Index column, const Axis<Index>& h,
                      const Axis<Index>& w) {
  const Index row_place = row + h.padding, column_place = column + w.padding;
  const Holding<Index> rows(h, row_place), columns(w, column_place);
  T sum = T(0);
  bool found = false;
  for (Index oh = rows.first; oh <= rows.last; ++oh) {
    const Index down = row_place - oh * h.stride, r = h.by_dilation.divide(down);
    if (r * h.dilation != down) continue;
    for (Index ow = columns.first; ow <= columns.last; ++ow) {
      const Index across = column_place - ow * w.stride, s = w.by_dilation.divide(across);
      if (s * w.dilation != across) continue;
      const T v = from[(oh * w.windows + ow) * row_size + r * w.kernel + s];
      sum = found ? sum + v : v;
      found = true;
    }
  }
  return sum;
}

template <class T, class Index>
__global__ void elements(const T* col, Index count, Index c, Divider<Index> by_c, Axis<Index> h, Axis<Index> w, T* dx) {
  const Index i = static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x);
  if (i >= count) return;
  const Index line = w.by_size.divide(i), plane = h.by_size.divide(line), image = by_c.divide(plane);
  const Index taps = h.kernel * w.kernel, row_size = c * taps;
  const T* const from = col + image * h.windows * w.windows * row_size + (plane - image * c) * taps;
  dx[i] = gathered<T, Index>(from, row_size, line - plane * h.size, i - line * w.size, h, w);
}

// Of 32 channels, 32 columns and 8 rows, a row a warp.
template <class T>
struct Patch {
  T at[kWarps][kWarp][kWarp + 1];  // row, column, channel
};
template <class T>
__global__ void elements_of_channels(const T* col, int32_t c, int32_t channel_tiles, int32_t row_tiles,
                                     int32_t column_tiles, Axis<int32_t> h, Axis<int32_t> w, T* dx) {
  Patch<T>& patch = shared_memory<Patch<T>>();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp, warp = static_cast<int32_t>(threadIdx.x) / kWarp;
  int32_t block = static_cast<int32_t>(blockIdx.x);
  const int32_t left = block % column_tiles * kWarp;
  block /= column_tiles;
  const int32_t row = block % row_tiles * kWarps + warp;
  block /= row_tiles;
  const int32_t first_c = block % channel_tiles * kWarp, image = block / channel_tiles;
  if (row >= h.size) return;
  const int32_t taps = h.kernel * w.kernel, row_size = c * taps;
  const T* const from = col + image * h.windows * w.windows * row_size + (first_c + lane) * taps;
  for (int32_t i = 0; i < kWarp && left + i < w.size; ++i) {
    if (first_c + lane < c) patch.at[warp][i][lane] = gathered<T, int32_t>(from, row_size, row, left + i, h, w);
  }
  __syncwarp();
  if (left + lane >= w.size) return;
  T* const to = dx + ((image * c + first_c) * h.size + row) * w.size + left + lane;
  for (int32_t i = 0; i < kWarp && first_c + i < c; ++i) to[i * h.size * w.size] = patch.at[warp][lane][i];
}

int64_t image_size(int64_t c, const WindowAxis& h, const WindowAxis& w) {
  return c * std::max(h.size * w.size, h.windows * w.windows * h.kernel * w.kernel);
}

template <class T>
void to_columns(const T* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, T* col) {
  constexpr auto op = "im2col";
  const int64_t taps = h.kernel * w.kernel, columns = h.windows * w.windows * c * taps;
  if (n * columns == 0) return;
  const int64_t windows = std::min<int64_t>(w.windows, 64);
  const int64_t width = (windows - 1) * w.stride + (w.kernel - 1) * w.dilation + 1;
  constexpr int64_t kElement = sizeof(T), kUsual = 32 * 1024;
  const auto most = static_cast<int64_t>(device::shared_bytes());
  if (!are_small(h, w) || image_size(c, h, w) > kMost32 || h.kernel * width * kElement + taps * 4 > most) {
    launch(op, columns_of_elements<T>, blocks_for(n * columns, kThreads), kThreads, 0, x, c, Axis<int64_t>(h),
           Axis<int64_t>(w), n * columns, col);
    return;
  }
  const int64_t of_channel = h.kernel * width * kElement + taps * 4;
  const int64_t channels = std::clamp<int64_t>(kUsual / of_channel, 1, c);
  int64_t lanes = 1;
  while (lanes < channels * taps && lanes < kWarp) lanes *= 2;
  const Tiles tiles(channels, windows, width, lanes, c, h, w);
  in_slices(n, image_size(c, h, w), [&](int64_t first, int64_t count) {
    const int64_t blocks = count * h.windows * tiles.of_windows * tiles.of_channels;
    launch(op, columns_of_tiles<T>, blocks, kThreads, static_cast<size_t>(channels * of_channel),
           x + first * c * h.size * w.size, static_cast<int32_t>(c), Axis<int32_t>(h), Axis<int32_t>(w), tiles,
           col + first * columns);
  });
}

template <class T>
void from_columns(const T* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, T* dx) {
  constexpr auto op = "col2im";
  const int64_t image = c * h.size * w.size, columns = h.windows * w.windows * c * h.kernel * w.kernel;
  if (n * image == 0) return;
  const auto start = [&]<class Index>(Index, int64_t first, int64_t count) {
    launch(op, elements<T, Index>, blocks_for(count * image, kThreads), kThreads, 0, col + first * columns,
           static_cast<Index>(count * image), static_cast<Index>(c), Divider<Index>(c), Axis<Index>(h), Axis<Index>(w),
           dx + first * image);
  };
  if (!are_small(h, w) || image_size(c, h, w) > kMost32) return start(int64_t{}, 0, n);
  in_slices(n, image_size(c, h, w), [&](int64_t first, int64_t count) {
    if (c < kWarp / 2) return start(int32_t{}, first, count);
    const int64_t channel_tiles = blocks_for(c, kWarp), row_tiles = blocks_for(h.size, kWarps);
    const int64_t column_tiles = blocks_for(w.size, kWarp);
    launch(op, elements_of_channels<T>, count * channel_tiles * row_tiles * column_tiles, kThreads, sizeof(Patch<T>),
           col + first * columns, static_cast<int32_t>(c), static_cast<int32_t>(channel_tiles),
           static_cast<int32_t>(row_tiles), static_cast<int32_t>(column_tiles), Axis<int32_t>(h), Axis<int32_t>(w),
           dx + first * image);
  });
}

}  // namespace

void im2col(const float* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, float* col) {
  to_columns(x, n, c, h, w, col);
}
void im2col(const double* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, double* col) {
  to_columns(x, n, c, h, w, col);
}
void col2im(const float* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, float* dx) {
  from_columns(col, n, c, h, w, dx);
}
void col2im(const double* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, double* dx) {
  from_columns(col, n, c, h, w, dx);
}

}  // namespace nnlite
