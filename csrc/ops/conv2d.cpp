#include "ops/conv2d.h"

#include <deque>
#include <numeric>

#include "lane_sum.h"
#include "ops/depthwise_weights.h"
#include "ops/gemm_core.h"
#include "ops/image_lanes.h"
#include "ops/shifted_rows.h"

// Forward and backward-data are one computation, a lattice convolution: out[n, m, a, b] is the dot product over
// (channel, i, j) of weight and source[n, channel, a * step_h + dr[i], b * step_w + ds[j]]. Forward is one lattice over
// x; backward-data is one lattice over dy for each residue of (h, w) modulo the stride, with the taps that reach it.
//
// It runs as a matrix product (rows: output channels, columns: output pixels) that reads B in a window: a copy of the
// source rows that a piece of work needs, with the border written out as +0, rows and columns sorted so that every tap
// of a vector of output pixels is a vector in memory, whatever padding, stride and dilation are. No matrix of patches
// is ever made, unless images are so small that a vector would be mostly empty. Filters of 1 x 1 need no window. Many
// images whose rows are no whole vectors, or whose padding counts, are done with vectors over images instead:
// image_lanes.h.

namespace nnlite {
namespace {

// A window: the part of a source that a piece of work needs, laid out [image][channel][column plane][row residue][row]
// [column], the border written out as +0. Rows are sorted by their residue modulo the step, so that the source rows of
// one tap follow one another. Columns come in planes: one per residue, with a border as wide as the taps reach, or, for
// `copies`, one per tap, shifted so that the columns of one tap follow one another from row to row without a gap.
struct Window {
  Window(Axis h, Axis w, int64_t channels, int64_t out_w, int64_t out_rows, bool copies)
      : h(h), w(w), channels(channels), copies(copies) {
    planes = copies ? w.taps : std::min(w.step, w.greatest - w.least + 1);
    pitch = copies ? out_w : out_w + (w.greatest - w.least) / w.step;
    residues = std::min(h.step, h.greatest - h.least + 1);
    reach = (h.greatest - h.least) / h.step;
    residue = (out_rows + reach) * pitch;
    channel = planes * residues * residue;
    image = channels * channel;
  }

  // Where tap (channel, i, j) of an output pixel lies, relative to the pixel's own place.
  int64_t tap(int64_t c, int64_t i, int64_t j) const {
    const int64_t y = h.d[i] - h.least, x = w.d[j] - w.least;
    const int64_t row = y % h.step * residue + y / h.step * pitch;
    return c * channel + row + (copies ? j * residues * residue : x % w.step * residues * residue + x / w.step);
  }
  // The places of all taps, by (channel, i, j).
  void taps(int64_t* to) const {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < h.taps; ++i) {
        for (int64_t j = 0; j < w.taps; ++j) *to++ = tap(c, i, j);
      }
    }
  }
  // About how many bytes of cache lines the taps of one channel and of `pixels` output pixels lie in.
  template <class T>
  int64_t span(int64_t pixels) const {
    const bool rows_touch = pixels >= pitch;
    const int64_t spans = planes * (rows_touch ? residues : h.taps), length = pixels + (rows_touch ? reach * pitch : 0);
    return spans * (length * static_cast<int64_t>(sizeof(T)) + 64);
  }
  // The place of output pixel (a, b), a counted from the window's first output row.
  int64_t pixel(int64_t a, int64_t b) const { return a * pitch + b; }

  // Fills one image's part, and up to a vector behind it, for output rows [a0, a0 + count) from a source (channels,
  // h.size, w.size), after which as much is to follow soon where `more`.
  template <class T>
  void fill(const T* source, int64_t a0, int64_t count, T* to, bool more = false) const {
    if (copies) return fill_copies(source, a0, count, to);
    for (int64_t c = 0; c < channels; ++c) {
      // The next channel is on its way while this one is copied.
      if (more || c + 1 < channels) prefetch(source + (c + 1) * h.size * w.size, a0, count);
      for (int64_t q = 0; q < planes; ++q) {
        for (int64_t p = 0; p < residues; ++p) {
          const int64_t y = a0 * h.step + p + h.least;
          const T* const line = source + (c * h.size + y) * w.size + q + w.least;
          fill_plane(line, y, q + w.least, count + reach, to + c * channel + (q * residues + p) * residue);
        }
      }
    }
  }

  Axis h, w;
  int64_t channels, planes, pitch, residues, reach, residue, channel, image;
  bool copies;

 private:
  template <class T>
  void prefetch(const T* plane, int64_t a0, int64_t count) const {
    const int64_t first = std::max<int64_t>(0, a0 * h.step + h.least);
    const int64_t last = std::min(h.size, (a0 + count - 1) * h.step + h.greatest + 1);
    for (const T* p = plane + first * w.size; p < plane + last * w.size; p += 64 / sizeof(T)) __builtin_prefetch(p);
  }

  // Copies are made from a channel's window without them, so that only that one takes care of borders.
  template <class T>
  void fill_copies(const T* source, int64_t a0, int64_t count, T* to) const {
    const Window bordered(h, w, 1, pitch, count, false);
    const Scratch<T> window(bordered.image + kLanes<T>);
    for (int64_t c = 0; c < channels; ++c) {
      bordered.fill(source + c * h.size * w.size, a0, count, window.get(), c + 1 < channels);
      for (int64_t j = 0; j < planes; ++j) {
        const int64_t x = w.d[j] - w.least;
        for (int64_t p = 0; p < residues; ++p) {
          const T* from = window.get() + (x % w.step * residues + p) * bordered.residue + x / w.step;
          T* row = to + c * channel + (j * residues + p) * residue;
          int64_t i = 0;
          // Two rows of half a vector at a time.
          for (; 2 * pitch == kLanes<T> && i + 2 <= count + reach; i += 2) {
            const auto both = [](int lane) { return lane < kLanes<T> / 2 ? lane : lane + kLanes<T> / 2; };
            store(row, pick_lanes<T>(load(from), load(from + bordered.pitch), both));
            from += 2 * bordered.pitch;
            row += 2 * pitch;
          }
          for (; i < count + reach; ++i, from += bordered.pitch, row += pitch) {
            for (int64_t b = 0; b < pitch; b += kLanes<T>) store(row + b, load(from + b));
          }
        }
      }
    }
  }

  // Rows y, y + step, ... of a source, and of each the columns x, x + step, ...; `line` is where (y, x) lies. What lies
  // outside is +0.
  template <class T>
  void fill_plane(const T* line, int64_t y, int64_t x, int64_t rows, T* to) const {
    constexpr int W = kLanes<T>;
    const int64_t width = pitch, step = w.step, height = h.size, down = h.step;
    const int64_t first = std::clamp<int64_t>(x >= 0 ? 0 : ceil_div(-x, step), 0, width);
    const int64_t last = std::clamp(x >= w.size ? 0 : ceil_div(w.size - x, step), first, width);
    const int64_t next = down * w.size;
    if (step == 1 && width == next && x == 0 && y >= 0 &&
        y + rows * down <= height) {  // the rows follow one another in the source, too
      const int64_t all = rows * width;
      for (int64_t b = 0; b < all; b += W) store(to + b, load(line + b, Lanes(0, all - b)));
      return;
    }
    // The first vector, and the first one after it that reaches beyond the source.
    const int64_t inner = std::max<int64_t>(1, ceil_div(first, W)) * W;
    const int64_t outer = inner + std::max<int64_t>(0, last - inner) / W * W;
    const Lanes begin(first, last), end(0, last - outer);
    for (int64_t i = 0; i < rows; ++i, y += down, line += next, to += width) {
      if (y < 0 || y >= height) {
        for (int64_t b = 0; b < width; b += W) store(to + b, Vec<T>{});
      } else if (step == 1) {
        // Whole vectors, whose overhang the next row overwrites.
        store(to, load(line, begin));
        int64_t b = W;
        for (; b < first; b += W) store(to + b, load(line + b, Lanes(first - b, last - b)));
        for (; b + W <= last; b += W) store(to + b, load(line + b));
        if (b < width) store(to + b, load(line + b, end));
        for (b += W; b < width; b += W) store(to + b, Vec<T>{});
      } else {
        int64_t b = 0;
        for (; b < first; ++b) to[b] = T(0);
        if (step == 2) {
          for (; b + W < last; b += W) store(to + b, even_lanes<T>(load(line + 2 * b), load(line + 2 * b + W)));
          // What lies behind the last column becomes +0, here and beyond, where the next row overwrites it.
          const int64_t rest = 2 * (last - b) - 1;
          if (rest > 0) {
            const Vec<T> first_half = load(line + 2 * b, Lanes(0, rest));
            store(to + b, even_lanes<T>(first_half, load(line + 2 * b + W, Lanes(0, rest - W))));
            b += W;
          }
        }
        for (; b < last; ++b) to[b] = line[b * step];
        for (; b < width; ++b) to[b] = T(0);
      }
    }
  }
};

// Whether so many elements are more than the caches near a core hold.
template <class T>
bool is_far(int64_t elements) {
  return elements * static_cast<int64_t>(sizeof(T)) > 4 << 20;
}

// Memory that will be read next: planes `distance` apart, of each so many elements. Its lines are asked for a few at a
// time while something else is computed: all at once they would wait for one another.
template <class T>
struct Upcoming {
  static Upcoming rows(const Window& window, const T* source, int64_t a0, int64_t count) {
    const int64_t first = std::clamp<int64_t>(a0 * window.h.step + window.h.least, 0, window.h.size);
    const int64_t last = std::clamp((a0 + count - 1) * window.h.step + window.h.greatest + 1, first, window.h.size);
    const int64_t width = window.w.size;
    return {source + first * width, window.h.size * width, window.channels, (last - first) * width};
  }
  int64_t lines() const { return planes * ceil_div(length, kLine); }
  // Where the next lines begin, of one plane at most so many; nullptr if none are left.
  const T* take(int64_t lines) {
    if (planes == 0) return nullptr;
    const T* const begin = from + asked;
    asked += lines * kLine;
    if (asked >= length) {
      asked = 0;
      from += distance;
      --planes;
    }
    return begin;
  }
  // Asks for the next lines and returns how many there were too few.
  int64_t ask(int64_t lines) {
    for (; lines > 0 && planes > 0; --lines) __builtin_prefetch(take(1), 0, 2);  // into L2
    return lines;
  }

  static constexpr int64_t kLine = 64 / sizeof(T);
  const T* from = nullptr;
  int64_t distance = 0, planes = 0, length = 0, asked = 0;
};

constexpr int64_t kWindowBytes = 256 << 10;
constexpr int64_t kPackedBytes = 320 << 10;
constexpr int64_t kRollingBytes = 32 << 10;  // of one channel
constexpr int64_t kNearBytes = 20 << 10;     // of a window, beside six rows of filters in L1
constexpr int64_t kMostPhases = 16;          // of a plane at a time
constexpr int64_t kLongSum = 64, kMostProducts = 1 << 18;
constexpr int64_t kLanesBytes = 16 << 20, kLaneSumsBytes = 2 << 20;  // of a group of images, and of a piece of it
constexpr double kMostInside = 0.955;                                // on 32 x 32 with 3 x 3 it is 0.959
constexpr int64_t kGrainWork = 1 << 20;                              // multiply-adds that take about 10 us

// Pieces that work is worth, if there are to be more than one: some for each thread, each worth waking a thread.
int64_t wanted_pieces(int64_t work) {
  const int64_t threads = num_threads(), wanted = threads == 1 ? 1 : std::min(4 * threads, work / kGrainWork + 1);
  return wanted < threads ? wanted : wanted / threads * threads;
}

// Few pieces leave threads idle: then a piece's output channels are divided, too.
Parts divide_channels(int64_t m, int64_t pieces, int64_t work) {
  const int64_t each = pieces % num_threads() == 0 ? 1 : ceil_div(wanted_pieces(work), pieces);
  return Parts(m, std::max<int64_t>(kMR, ceil_div(m, each)));
}

// Of a piece: two tiles.
template <class T>
constexpr int64_t kLeastPixels = 2 * kNV * kLanes<T>;

// Work is done in pieces: a band of output rows of one image, or several whole images where they are small.
struct Pieces {
  // Bands of a multiple of `whole` rows, if they have so many, and of about `pixels` pixels; if threads would be idle,
  // of fewer, but of at least `least`.
  Pieces(int64_t n, int64_t a, int64_t b, int64_t pixels, int64_t whole, int64_t wanted, int64_t least)
      : n(n), a(a), b(b) {
    band = std::max<int64_t>(1, pixels / b);
    if (const int64_t all = n * ceil_div(a, band); all < wanted) {
      const int64_t threads = num_threads(), per_image = ceil_div(ceil_div(all, threads) * threads, n);
      const int64_t fair = ceil_div(ceil_div(a, per_image), whole) * whole;
      if (fair * b >= least) band = fair;
    }
    if (band > whole) band = band / whole * whole;
    band = std::min(band, a);
    bands = ceil_div(a, band);
    images = bands > 1 ? 1 : std::clamp<int64_t>(pixels / (a * b), 1, std::max<int64_t>(1, n / wanted));
    count = ceil_div(n, images) * bands;
  }
  int64_t n, a, b, band, bands, images, count;
};

// One piece: output rows [a0, a0 + rows) of images [n0, n0 + images).
struct Piece {
  Piece(const Pieces& p, int64_t i)
      : n0(i / p.bands * p.images),
        images(std::min(p.images, p.n - n0)),
        a0(i % p.bands * p.band),
        rows(std::min(p.band, p.a - a0)) {}
  int64_t n0, images, a0, rows;
};

// Moves a tile of results to where they belong: rows [row, row + rows), columns [pixel, pixel + columns) of an image.
template <class T>
void scatter(const Lattice<T>& lattice, int64_t image, int64_t row, int64_t rows, int64_t pixel, int64_t columns,
             const T* tile, int64_t stride) {
  for (int64_t j = 0; j < columns;) {
    const int64_t run = std::min(columns - j, lattice.b - (pixel + j) % lattice.b);
    for (int64_t i = 0; i < rows; ++i) {
      T* const to = lattice.at(image, row + i, pixel + j);
      for (int64_t e = 0; e < run; ++e) to[e * lattice.step_w] = tile[i * stride + j + e];
    }
    j += run;
  }
}

// Packs pixels [column, column + columns) of several images as [k][kNV * W]. They fall into runs along output rows;
// each run is copied in whole vectors whose overhang the next run, or the next k, overwrites.
template <class T>
void pack_patches(const T* window, const Window& layout, const int64_t* taps, int64_t k, const Lattice<T>& lattice,
                  int64_t column, int64_t columns, T* to) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
  struct Run {
    int64_t from, to, length;
  } runs[kNR];
  int count = 0;
  const int64_t pixels = lattice.a * lattice.b;
  for (int64_t j = 0; j < columns;) {
    const int64_t image = (column + j) / pixels, pixel = (column + j) % pixels;
    const int64_t length = std::min(columns - j, lattice.b - pixel % lattice.b);
    runs[count++] = {image * layout.image + layout.pixel(pixel / lattice.b, pixel % lattice.b), j, length};
    j += length;
  }
  for (int64_t i = 0; i < k; ++i) {
    for (int r = 0; r < count; ++r) {
      for (int64_t e = 0; e < runs[r].length; e += W) {
        store(to + i * kNR + runs[r].to + e, load(window + taps[i] + runs[r].from + e));
      }
    }
  }
}

// Whether each output pixel of an (a, b) lattice has one tap, which lies at the pixel's own place.
bool single_pixels(const Axis& h, const Axis& w, int64_t a, int64_t b) {
  return h.taps == 1 && w.taps == 1 && h.least == 0 && w.least == 0 && h.step == 1 && w.step == 1 && h.size == a &&
         w.size == b;
}

// Whether tap rows follow one another.
bool rows_follow(const Axis& h) {
  for (int64_t i = 1; i < h.taps; ++i) {
    if (h.d[i] != h.d[i - 1] + 1) return false;
  }
  return true;
}
// Whether output rows can share what they load: tap row i + 1 of an output row is tap row i of the next one.
bool rows_share(const Axis& h, const Axis& w) { return rows_follow(h) && h.step == 1 && w.step == 1; }
// Whether rolling_rows_kernel serves.
bool rows_roll(int64_t channels, const Axis& h, const Axis& w) {
  return rows_follow(h) && h.step <= kRollingStep && channels == 1 && h.taps * w.taps > 0 && h.taps <= kRollingRows &&
         h.taps * w.taps <= kBlock;
}

// Rows of a panel of m filters. With 16 registers, tiles of 4 x 3 vectors read less for each product than those of 6 x
// 2: here all panels find a tile's taps in L1.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int64_t kFilterRows = kMR;
#else
constexpr int64_t kFilterRows = 4;
#endif
int64_t panel_rows(int64_t m) { return m > kMR ? kFilterRows : std::max<int64_t>(1, m); }

// Filters in panels of at most `most`, in the order in which the kernel reads them: [chunk][panel][k][row].
template <class T>
void pack_filters(const T* filters, int64_t m, int64_t most, int64_t k, int64_t depth, T* to) {
  const Parts panels(m, most);
  parallel_for(0, panels.count, std::max<int64_t>(1, (1 << 14) / (most * k + 1)), [&](int64_t begin, int64_t end) {
    each_chunk(k, depth, [&](const Chunk& chunk) {
      const int64_t length = chunk.end - chunk.begin;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = panels.first(i), rows = panels.size(i);
        pack_transposed(filters + row * k + chunk.begin, k, rows, length, to + chunk.begin * m + row * length, rows,
                        rows);
      }
    });
  });
}

template <class T>
Left<T> filter_panel(const T* packed, int64_t m, int64_t row, int64_t rows, const Chunk& chunk) {
  return {packed + chunk.begin * (m - rows) + row * (chunk.end - chunk.begin), 1, rows};
}

// A convolution on one lattice with groups of one output channel, whose rows share or roll, by shifted_rows.h. Plane i
// of the output, (out_h, out_w), comes from `channels` planes of the source, i * channels and on, and from filter i %
// groups, (channels, h.taps, w.taps). It is done in pieces: bands of a plane.
template <class T>
class OneChannelConvolution {
 public:
  OneChannelConvolution(int64_t planes, int64_t groups, int64_t channels, Axis h, Axis w, const T* source,
                        const T* filters, const T* bias, int64_t out_h, int64_t out_w)
      : planes_(planes),
        groups_(groups),
        channels_(channels),
        out_h_(out_h),
        out_w_(out_w),
        h_(h),
        w_(w),
        source_(source),
        bias_(bias),
        rolls_(rows_roll(channels, h, w)),
        columns_(ceil_div(out_w, kLanes<T>), rolls_ ? rolling_vectors(static_cast<int>(h.taps)) : kSharedVectors),
        pieces_(1, out_h, out_w, (rolls_ ? kRollingBytes : kWindowBytes) / (std::max<int64_t>(1, channels) * sizeof(T)),
                most_rows(columns_.size(0)), 1, 1),
        layout_(h, w, channels, out_w, pieces_.band, false),
        weights_(groups * taps() + 1),
        places_(w.taps + 1) {
    for (int64_t j = 0; j < w.taps && h.taps > 0; ++j) places_[j] = layout_.tap(0, 0, j);
    for (int64_t i = 0; i < groups * taps(); ++i) {
      const int64_t plane = h.taps * w.taps;
      weights_[i / plane * plane + i % w.taps * h.taps + i / w.taps % h.taps] = filters[i];
    }
  }

  int64_t size() const { return out_h_ * out_w_; }
  int64_t per_plane() const { return pieces_.count; }
  int64_t count() const { return planes_ * per_plane(); }
  int64_t work() const { return planes_ * std::max<int64_t>(taps(), 64) * size(); }

  // Pieces [begin, end) of all planes; plane i goes to out + i * distance.
  void run(int64_t begin, int64_t end, T* out, int64_t distance) const {
    const Scratch<T> window(layout_.image + kSharedVectors * kLanes<T>);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t plane = p / per_plane();
      band(plane, Piece(pieces_, p % per_plane()), p + per_plane() < end, window.get(), out + plane * distance);
    }
  }

 private:
  int64_t taps() const { return channels_ * h_.taps * w_.taps; }
  int64_t most_rows(int64_t vectors) const { return std::min<int64_t>(shared_rows(vectors), h_.taps + 1); }

  void band(int64_t plane, const Piece& piece, bool more, T* window, T* out) const {
    constexpr int W = kLanes<T>;
    const int64_t group = plane % groups_;
    const T* const weights = weights_.get() + group * taps();
    if (taps() > 0) layout_.fill(source_ + plane * channels_ * h_.size * w_.size, piece.a0, piece.rows, window, more);
    for (int64_t t = 0; t < columns_.count; ++t) {
      check_interrupt();
      const int64_t vectors = columns_.size(t), column = columns_.first(t) * W;
      const Parts bands(piece.rows, rolls_ ? piece.rows : most_rows(vectors));
      for (int64_t i = 0; i < bands.count; ++i) {
        const int64_t row = bands.first(i);
        const T* const source = window + layout_.pixel(row, column);
        const OutputRows<T> to{out + (piece.a0 + row) * out_w_ + column, out_w_, std::min(vectors * W, out_w_ - column),
                               bias_ ? bias_ + group : nullptr};
        if (rolls_) {
          rolling_rows_kernel_for<T>(h_.taps, h_.step, vectors)(
              {source, layout_.pitch, layout_.residue, w_.taps, places_.get(), weights}, bands.size(i), to);
        } else {
          shifted_rows_kernel_for<T>(bands.size(i), vectors)(
              {source, layout_.channel, layout_.pitch, w_.taps > 1 ? w_.d[1] - w_.d[0] : 0, channels_, h_.taps, w_.taps,
               weights},
              to);
        }
      }
    }
  }

  const int64_t planes_, groups_, channels_, out_h_, out_w_;
  const Axis h_, w_;
  const T *const source_, *const bias_;
  const bool rolls_;
  const Parts columns_;
  const Pieces pieces_;
  const Window layout_;
  const Scratch<T> weights_;       // [group][channel][j][i]
  const Scratch<int64_t> places_;  // of the taps of the first tap row
};

// lattice_convolution for images so small that the last vector of each would be mostly empty: a matrix product whose
// columns are the pixels of several images. A block of K of all their patches is packed and stays in L2 while the
// panels of filters, which may be more than any cache holds, pass by once.
template <class T>
void small_image_convolution(int64_t n, int64_t m, int64_t channels, Axis h, Axis w, const T* source,
                             int64_t source_image, const T* filters, const T* bias, const Lattice<T>& lattice) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
  const int64_t k = channels * h.taps * w.taps, pixels = lattice.a * lattice.b;
  const Window layout(h, w, channels, lattice.b, lattice.a, false);
  const Scratch<int64_t> taps(k + 1);
  layout.taps(taps.get());
  const int64_t together = kPackedBytes / (kBlock * static_cast<int64_t>(sizeof(T)) * pixels);
  const Parts pieces(n, std::max<int64_t>(1, together));
  const int64_t work = n * m * std::max<int64_t>(k, 64) * pixels;
  const Parts divisions = divide_channels(m, pieces.count, work);
  const int64_t all = pieces.count * divisions.count, grain = std::max<int64_t>(1, all * kGrainWork / work);
  parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
    const int64_t most = ceil_div(ceil_div(pieces.size(0) * pixels, W), kNV) * kNR;
    const Scratch<T> window(pieces.size(0) * layout.image + W), packed(most * kBlock + W);
    const Scratch<T> sums(divisions.size(0) * most);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t image = pieces.first(p / divisions.count), images = pieces.size(p / divisions.count);
      const int64_t row = divisions.first(p % divisions.count);
      for (int64_t i = 0; i < images && k > 0; ++i) {
        layout.fill(source + (image + i) * source_image, 0, lattice.a, window.get() + i * layout.image);
      }
      const int64_t columns = images * pixels;
      const Parts panels(divisions.size(p % divisions.count), kMR), tiles(ceil_div(columns, W), kNV);
      each_chunk(k, kBlock, [&](Chunk chunk) {
        const int64_t first = chunk.begin, length = chunk.end - chunk.begin;
        chunk.begin = 0;
        chunk.end = length;
        for (int64_t t = 0; t < tiles.count; ++t) {
          pack_patches(window.get(), layout, taps.get() + first, length, lattice, tiles.first(t) * W,
                       std::min(tiles.size(t) * W, columns - tiles.first(t) * W), packed.get() + t * kNR * kBlock);
        }
        for (int64_t i = 0; i < panels.count; ++i) {
          check_interrupt();
          const int64_t above = panels.first(i), rows = panels.size(i);
          for (int64_t t = 0; t < tiles.count; ++t) {
            // All sums are stored in whole vectors: behind the last column there is room for them.
            micro_kernel_for<T, Strided<T>>(rows, tiles.size(t))(
                chunk, {filters + (row + above) * k + first, k, 1}, {packed.get() + t * kNR * kBlock, kNR},
                {sums.get() + above * most + tiles.first(t) * W, most, kNR, nullptr,
                 bias ? bias + row + above : nullptr, nullptr});
          }
        }
      });
      for (int64_t i = 0; i < images; ++i) {
        scatter(lattice, image + i, row, divisions.size(p % divisions.count), 0, pixels, sums.get() + i * pixels, most);
      }
    }
  });
}

// A convolution of single pixels: a matrix product for each image, whose columns are read where they lie. What a tile
// reads is packed, because planes may be a power of two apart, which L1 cannot hold, and the next tile's is on its way
// meanwhile: its lines lie on as many pages as there are channels.
template <class T>
void pointwise_convolution(int64_t n, int64_t m, int64_t channels, const T* source, int64_t source_image,
                           const T* filters, const T* bias, const Lattice<T>& lattice) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t pixels = lattice.a * lattice.b;
  const int64_t tile_bytes = kNV * W * static_cast<int64_t>(sizeof(T));
  const int64_t depth = std::min(channels, kBlock) * tile_bytes > kNearBytes ? kBlock / 2 : kBlock;
  const Parts tiles(ceil_div(pixels, W), tile_vectors(panel_rows(m)));
  const int64_t work = n * m * std::max<int64_t>(channels, 64) * pixels;
  const Parts divisions = divide_channels(m, n * tiles.count, work);
  const int64_t all = n * tiles.count * divisions.count, grain = std::max<int64_t>(1, all * kGrainWork / work);
  parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
    const Scratch<T> packed(depth * kMostNV * W), waiting(divisions.size(0) * kMostNV * W);
    for (int64_t p = begin; p < end; ++p) {
      check_interrupt();
      const int64_t place = p / divisions.count, image = place / tiles.count, t = place % tiles.count;
      const int64_t row0 = divisions.first(p % divisions.count);
      const Parts panels(divisions.size(p % divisions.count), panel_rows(m));
      const int64_t first = tiles.first(t) * W, vectors = tiles.size(t),
                    columns = std::min(vectors * W, pixels - first);
      const int64_t whole = columns / W, lines = vectors * W / kLine;
      const bool packs = panels.count > 1 || whole < vectors;
      const T* const from = source + image * source_image + first;
      T* const to = lattice.at(image, row0, first);
      each_chunk(channels, depth, [&](const Chunk& chunk) {
        const int64_t length = chunk.end - chunk.begin;
        for (int64_t k = 0; packs && k < length; ++k) {
          const T* const row = from + (chunk.begin + k) * pixels;
          T* const line = packed.get() + k * vectors * W;
          for (int64_t v = 0; v < whole; ++v) store(line + v * W, load(row + v * W));
          if (whole < vectors) store(line + whole * W, load(row + whole * W, Lanes(0, columns - whole * W)));
        }
        for (int64_t i = 0; i < panels.count; ++i) {
          const T* const next = from + chunk.begin * pixels + vectors * W + kLine - 1;
          if (!kAsksLate || panels.count < lines) {
            for (int64_t k = i * length / panels.count; k < (i + 1) * length / panels.count; ++k) {
              for (int64_t j = 0; j < lines; ++j) __builtin_prefetch(next + k * pixels + j * kLine);
            }
          }
          const bool asks = panels.count >= lines && i < lines;
          const int64_t above = panels.first(i), rows = panels.size(i), row = row0 + above;
          micro_kernel_for<T, Strided<T>>(rows, vectors)(
              chunk, {filters + row * channels, channels, 1},
              packs ? Strided<T>{packed.get() - chunk.begin * vectors * W, vectors * W} : Strided<T>{from, pixels},
              {to + above * lattice.channel, lattice.channel, columns, waiting.get() + above * vectors * W,
               bias ? bias + row : nullptr, nullptr, asks ? next + i * kLine : nullptr, pixels});
        }
      });
    }
  });
}

// The convolution described at the top for one group; row i of `filters` (m, k) holds the weights of output channel i
// by (channel, i, j). It is done in pieces of at most `band` of its rows, b pixels each, and in divisions of its output
// channels.
template <class T>
class LatticeConvolution {
 public:
  LatticeConvolution(int64_t channels, Axis h, Axis w, const T* source, int64_t source_image, const T* filters,
                     const T* bias, int64_t b, int64_t band, const Parts& divisions, int64_t pixels)
      : k_(channels * h.taps * w.taps),
        b_(b),
        source_(source),
        source_image_(source_image),
        filters_(filters),
        bias_(bias),
        divisions_(divisions),
        panel_rows_(panel_rows(end(divisions.count - 1))),
        tile_width_(tile_vectors(panel_rows_)),
        layout_(h, w, channels, b, band, b % kLanes<T> != 0),
        taps_(k_ + 1),
        // Worth it where every filter is read often.
        packs_filters_(pixels >= 64 * kNR),
        packed_filters_(packs_filters_ ? end(divisions.count - 1) * k_ + 1 : 1) {
    layout_.taps(taps_.get());
    // What a tile reads of the window, it reads again for every panel of filters: it should stay in L1.
    const int64_t per_tap = layout_.template span<T>(kNR) / std::max<int64_t>(1, h.taps * w.taps);
    depth_ = std::min(k_, kBlock) * per_tap > kNearBytes ? kBlock / 2 : kBlock;
    for (int64_t i = 0; packs_filters_ && i < divisions.count; ++i) {
      const int64_t first = divisions.first(i) * k_;
      pack_filters(filters + first, divisions.size(i), panel_rows_, k_, depth_, packed_filters_.get() + first);
    }
  }

  // Room that run needs.
  int64_t window_size() const { return layout_.image + kMostNV * kLanes<T>; }
  int64_t waiting_size() const { return divisions_.size(0) * kMostNV * kLanes<T>; }

  // Elements of an image's source, and those that rows [a0, a0 + rows) need.
  int64_t source_size() const { return layout_.channels * layout_.h.size * layout_.w.size; }
  Upcoming<T> source(int64_t image, int64_t a0, int64_t rows) const {
    return Upcoming<T>::rows(layout_, source_ + image * source_image_, a0, rows);
  }

  // Rows [a0, a0 + rows) of an image for the channels of one division, which lie `distance` apart in `out`. Meanwhile
  // what comes next is asked for.
  void run(int64_t image, int64_t a0, int64_t rows, int64_t division, T* window, T* waiting, T* out, int64_t distance,
           Upcoming<T> next) const {
    constexpr int W = kLanes<T>;
    const int64_t row0 = divisions_.first(division), m0 = divisions_.size(division), pixels = rows * b_;
    const Parts panels(m0, panel_rows_), tiles(ceil_div(pixels, W), tile_width_);
    const int64_t lines = ceil_div(next.lines(), tiles.count * panels.count);
    if (k_ > 0) layout_.fill(source_ + image * source_image_, a0, rows, window);
    for (int64_t t = 0; t < tiles.count; ++t) {
      check_interrupt();
      const int64_t first = tiles.first(t) * W, columns = std::min(tiles.size(t) * W, pixels - first);
      Gathered<T> right{{}, taps_.get()};
      for (int v = 0; v < tile_width_; ++v) {
        const int64_t pixel = std::min(first + v * W, pixels - 1);
        right.base[v] = window + layout_.pixel(pixel / b_, pixel % b_);
      }
      each_chunk(k_, depth_, [&](const Chunk& chunk) {
        for (int64_t i = 0; i < panels.count; ++i) {
          if (!kAsksLate && chunk.begin == 0) next.ask(lines);
          const int64_t above = panels.first(i), panel_rows = panels.size(i), row = row0 + above;
          const Left<T> left = packs_filters_
                                   ? filter_panel(packed_filters_.get() + row0 * k_, m0, above, panel_rows, chunk)
                                   : Left<T>{filters_ + row * k_, k_, 1};
          micro_kernel_for<T, Gathered<T>>(panel_rows, tiles.size(t))(
              chunk, left, right,
              {out + above * distance + first, distance, columns, waiting + above * tile_width_ * W,
               bias_ ? bias_ + row : nullptr, nullptr, kAsksLate ? next.take(chunk.end - chunk.begin) : nullptr,
               Upcoming<T>::kLine});
        }
      });
    }
  }

 private:
  static constexpr int64_t kNR = kNV * kLanes<T>;
  int64_t end(int64_t division) const { return divisions_.first(division) + divisions_.size(division); }

  int64_t k_, b_;
  const T* source_;
  int64_t source_image_;
  const T* filters_;
  const T* bias_;
  Parts divisions_;
  int64_t panel_rows_, tile_width_;
  Window layout_;
  Scratch<int64_t> taps_;
  bool packs_filters_;
  Scratch<T> packed_filters_;
  int64_t depth_;
};

// Pixels of a piece that keeps so many values of each.
template <class T>
int64_t pixels_of_piece(int64_t values) {
  return std::clamp<int64_t>(kWindowBytes / (std::max<int64_t>(1, values) * static_cast<int64_t>(sizeof(T))),
                             kLeastPixels<T>, 4096);
}

// Rows that make whole vectors.
template <class T>
int64_t whole_rows(int64_t width) {
  return kLanes<T> / std::gcd<int64_t>(kLanes<T>, width);
}

// Whether an image's last vector is mostly empty, and there are filters enough for packing.
template <class T>
bool is_small(int64_t m, int64_t pixels) {
  return m > 8 * kMR && ceil_div(pixels, kLanes<T>) * kLanes<T> * 8 > pixels * 9;
}

// What is filled into a window after image i of a piece.
template <class T>
Upcoming<T> upcoming(const LatticeConvolution<T>& convolution, const Pieces& pieces, const Piece& piece, int64_t i) {
  if (!is_far<T>(pieces.n * convolution.source_size())) return {};
  if (i + 1 < piece.n0 + piece.images) return convolution.source(i + 1, piece.a0, piece.rows);
  const int64_t below = piece.a0 + pieces.band;
  if (below < pieces.a) return convolution.source(i, below, std::min(pieces.band, pieces.a - below));
  return i + 1 < pieces.n ? convolution.source(i + 1, 0, pieces.band) : Upcoming<T>();
}

// A convolution on one lattice, whose results are an image as it lies in memory, in full: products with the padding
// included.
template <class T>
void full_convolution(int64_t n, int64_t m, int64_t channels, Axis h, Axis w, const T* source, int64_t source_image,
                      const T* filters, const T* bias, const Lattice<T>& lattice) {
  const int64_t pixels = lattice.a * lattice.b;
  if (is_small<T>(m, pixels)) {
    return small_image_convolution(n, m, channels, h, w, source, source_image, filters, bias, lattice);
  }
  if (single_pixels(h, w, lattice.a, lattice.b)) {
    return pointwise_convolution(n, m, channels, source, source_image, filters, bias, lattice);
  }
  const int64_t copies = lattice.b % kLanes<T> ? w.taps : 1;
  const int64_t work = n * m * std::max<int64_t>(channels * h.taps * w.taps, 64) * pixels;  // short sums: memory-bound
  const Pieces pieces(n, lattice.a, lattice.b, pixels_of_piece<T>(channels * copies), whole_rows<T>(lattice.b),
                      wanted_pieces(work), kLeastPixels<T>);
  const Parts divisions = divide_channels(m, pieces.count, work);
  const LatticeConvolution<T> convolution(channels, h, w, source, source_image, filters, bias, lattice.b, pieces.band,
                                          divisions, n * pixels);
  const int64_t all = pieces.count * divisions.count, grain = std::max<int64_t>(1, all * kGrainWork / work);
  parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
    const Scratch<T> window(convolution.window_size()), waiting(convolution.waiting_size());
    for (int64_t p = begin; p < end; ++p) {
      const Piece piece(pieces, p / divisions.count);
      const int64_t division = p % divisions.count;
      for (int64_t i = piece.n0; i < piece.n0 + piece.images; ++i) {
        convolution.run(i, piece.a0, piece.rows, division, window.get(), waiting.get(),
                        lattice.at(i, divisions.first(division), piece.a0 * lattice.b), lattice.channel,
                        upcoming(convolution, pieces, piece, i));
      }
    }
  });
}

// Whether image_lanes.h serves: there are images enough, and sums so long that turning images into lanes and back is
// little beside them, but neither windows, nor results, nor the lists of products are large.
template <class T>
bool lanes_serve(int64_t n, int64_t channels, int64_t taps, int64_t plane, int64_t out_plane) {
  const int64_t bytes = std::max(channels * plane, out_plane) * kLanes<T> * static_cast<int64_t>(sizeof(T));
  return n >= kLanes<T> && channels * taps >= kLongSum && channels * taps * taps <= kMostProducts &&
         bytes <= kLanesBytes;
}

// The lattices of a convolution by image_lanes.h, some groups of images at a time: all threads turn their sources, then
// each draws bands and panels of filters. in_full(first, count) computes those images in full: those left over, those
// of a group that has a sum of -0, and all of them where filters are not finite.
template <class T, class InFull>
void lanes_convolution(int64_t n, int64_t m, int64_t channels, int64_t plane, const T* source, int64_t source_image,
                       std::deque<LatticeLanes<T>>& lattices, const Parts& bands, const Lattice<T>& out, int64_t height,
                       int64_t taps, InFull in_full) {
  constexpr int W = kLanes<T>;
  for (LatticeLanes<T>& lattice : lattices) {
    if (!lattice.pack()) return in_full(0, n);
  }
  const int64_t groups = n / W, together = std::min<int64_t>(groups, num_threads());
  const int64_t window_size = channels * plane * W, work = W * m * channels * taps * out.a * out.b;  // of a group
  const int64_t band_pixels = std::min(bands.size(0) * out.step_h, height) * out.width;
  const Parts panels(m, kLaneRows);
  const Scratch<T> windows(together * window_size);
  const Scratch<uint8_t> again(groups);
  std::fill_n(again.get(), groups, uint8_t{0});
  for (int64_t first = 0; first < groups; first += together) {
    const int64_t count = std::min(together, groups - first);
    parallel_for(0, count * channels, std::max<int64_t>(1, (1 << 15) / (plane * W)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end;) {
        const int64_t group = i / channels, next = std::min(end, (group + 1) * channels);
        fill_lanes(source + (first + group) * W * source_image, source_image, plane, i - group * channels,
                   next - group * channels, windows.get() + group * window_size);
        i = next;
      }
    });
    const int64_t most = kLaneSumsBytes / (band_pixels * W * static_cast<int64_t>(sizeof(T)));
    const int64_t rows = std::min(most, divide_channels(m, count * bands.count, count * work).size(0));
    const Parts divisions(panels.count, std::max<int64_t>(1, rows / kLaneRows));
    const int64_t items = count * bands.count * divisions.count;
    parallel_for(0, items, std::max<int64_t>(1, items * kGrainWork / (count * work)), [&](int64_t begin, int64_t end) {
      const Scratch<T> sums(divisions.size(0) * kLaneRows * band_pixels * W);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t division = i % divisions.count, band = i / divisions.count % bands.count;
        const int64_t group = i / divisions.count / bands.count;
        const int64_t begin_panel = divisions.first(division), end_panel = begin_panel + divisions.size(division);
        const int64_t row = panels.first(begin_panel);
        const int64_t rows = panels.first(end_panel - 1) + panels.size(end_panel - 1) - row;
        const int64_t top = bands.first(band) * out.step_h;
        const int64_t pixels = std::min(bands.size(band) * out.step_h, height - top) * out.width;
        bool negative_zero = false;
        for (const LatticeLanes<T>& lattice : lattices) {
          negative_zero |=
              lattice.run(windows.get() + group * window_size, band, begin_panel, end_panel, sums.get(), pixels);
        }
        write_lanes(sums.get(), rows, pixels,
                    out.out + (first + group) * W * out.image + row * out.channel + top * out.width, out.image,
                    out.channel);
        if (negative_zero) __atomic_store_n(&again[first + group], uint8_t{1}, __ATOMIC_RELAXED);
      }
    });
  }
  for (int64_t group = 0; group < groups; ++group) {
    if (again[group]) in_full(group * W, W);
  }
  if (n % W) in_full(groups * W, n % W);
}

// A convolution on one lattice, whose results are an image as it lies in memory: in lanes where there is padding to
// leave out, or where rows are not read in whole vectors otherwise.
template <class T>
void lattice_convolution(int64_t n, int64_t m, int64_t channels, Axis h, Axis w, const T* source, int64_t source_image,
                         const T* filters, const T* bias, const Lattice<T>& lattice) {
  if (n * m * lattice.a * lattice.b == 0) return;
  const auto in_full = [&](int64_t first, int64_t count) {
    Lattice<T> part = lattice;
    part.out += first * lattice.image;
    full_convolution(count, m, channels, h, w, source + first * source_image, source_image, filters, bias, part);
  };
  const int64_t plane = h.size * w.size, taps = h.taps * w.taps;
  const bool single = single_pixels(h, w, lattice.a, lattice.b);
  [[maybe_unused]] const bool gains = single
                                          ? is_small<T>(m, plane)
                                          : h.step > 1 || w.step > 1 || lattice.b % kLanes<T> != 0 ||
                                                share_inside(h, lattice.a) * share_inside(w, lattice.b) < kMostInside;
  if constexpr (kHasSpecialKernels) {
    if (gains && lanes_serve<T>(n, channels, taps, plane, lattice.a * lattice.b)) {
      const Parts bands = lane_bands<T>(channels, h, w, lattice.a);
      std::deque<LatticeLanes<T>> lanes;
      lanes.emplace_back(channels, h, w, m, filters, bias, lattice, bands);
      lanes_convolution(n, m, channels, plane, source, source_image, lanes, bands, lattice, lattice.a, taps, in_full);
      return;
    }
  }
  in_full(0, n);
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
  if constexpr (kHasSpecialKernels) {
    if (m == 1 && (rows_share(h, w) || rows_roll(channels, h, w)) && size.n * out_plane > 0) {
      const OneChannelConvolution<T> convolution(size.n * size.k, size.k, channels, h, w, x, weight, bias, size.out_h,
                                                 size.out_w);
      const int64_t grain = convolution.count() * kGrainWork / convolution.work();
      parallel_for(0, convolution.count(), std::max<int64_t>(1, grain),
                   [&](int64_t begin, int64_t end) { convolution.run(begin, end, y, out_plane); });
      return;
    }
  }
  const Lattice<T> lattice{y, size.k * out_plane, out_plane, size.out_w, 1, 1, 0, 0, size.out_h, size.out_w};
  for (int64_t g = 0; g < size.groups; ++g) {
    lattice_convolution<T>(size.n, m, channels, h, w, x + g * channels * plane, size.c * plane, weight + g * m * k,
                           bias ? bias + g * m : nullptr, lattice.from_channel(g * m));
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

// The lattice over dy for one residue (ph, pw) of (h, w) modulo the stride.
template <class T>
struct Phase {
  Phase(const Conv2dSize& size, const T* weight, T* dx, int64_t ph, int64_t pw)
      : rows(size.r, ph, size.stride_h, size.padding_h, size.dilation_h),
        columns(size.s, pw, size.stride_w, size.padding_w, size.dilation_w),
        h(make_axis(rows.count, 1, rows.d.get(), size.out_h)),
        w(make_axis(columns.count, 1, columns.d.get(), size.out_w)),
        filters(size.c * (size.k / size.groups) * h.taps * w.taps + 1),
        lattice{dx,
                size.c * size.h * size.w,
                size.h * size.w,
                size.w,
                size.stride_h,
                size.stride_w,
                ph,
                pw,
                ceil_div(size.h - ph, size.stride_h),
                ceil_div(size.w - pw, size.stride_w)} {
    const int64_t channels = size.c / size.groups, m = size.k / size.groups, each = m * h.taps * w.taps;
    // Several channels at a time: they lie side by side in `weight`.
    parallel_for(0, size.c, std::max<int64_t>(16, (1 << 14) / (each + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin / channels * m; k < ceil_div(end, channels) * m; ++k) {
        const int64_t group = k / m, first = group * channels;
        for (int64_t c = std::max(begin, first); c < std::min(end, first + channels); ++c) {
          const T* const tap = weight + (k * channels + c - first) * size.r * size.s;
          T* to = filters.get() + c * each + (k - group * m) * h.taps * w.taps;
          for (int64_t i = 0; i < rows.count; ++i) {
            for (int64_t j = 0; j < columns.count; ++j) *to++ = tap[rows.tap[i] * size.s + columns.tap[j]];
          }
        }
      }
    });
  }

  const T* group_filters(const Conv2dSize& size, int64_t group) const {
    return filters.get() + group * (size.c / size.groups) * (size.k / size.groups) * h.taps * w.taps;
  }

  Reached rows, columns;
  Axis h, w;
  Scratch<T> filters;  // turned: row c holds (k, i, j) of its group for the taps that reach
  Lattice<T> lattice;
};

// to[i * step + j] = from[j][i] for all elements of a row of `width`.
template <class T>
void interleave(const T* const* from, int64_t step, int64_t width, T* to) {
  constexpr int W = kLanes<T>;
  int64_t i = 0;
  if (step == 2) {
    const auto two = [&](int64_t at) { store_together(to + 2 * at, load(from[0] + at), load(from[1] + at)); };
    for (; 2 * (i + W) <= width; i += W) two(i);
    // The rest once more together with some before it.
    if (i > 0 && 2 * i < width) two(width / 2 - W);
    if (i > 0) i = width / 2;
  }
  for (; i * step < width; ++i) {
    for (int64_t j = 0; j < std::min(step, width - i * step); ++j) to[i * step + j] = from[j][i];
  }
}

// Interleaves rows of residues into a plane of dx: for each ph < count its rows top + ph, top + ph + phases_h, ...
// above `bottom`. Those of residue (ph, pw) lie densely from `rows[ph * phases_w + pw]` on, which is moved behind them.
template <class T>
void interleave_rows(const Conv2dSize& size, const T** rows, int64_t top, int64_t count, int64_t bottom, T* dx) {
  const int64_t phases_h = std::min(size.stride_h, size.h), phases_w = std::min(size.stride_w, size.w);
  const int64_t width = size.w / size.stride_w, wider = size.w % size.stride_w;
  for (int64_t ph = 0; ph < count; ++ph, rows += phases_w) {
    for (int64_t y = top + ph; y < bottom; y += phases_h) {
      interleave(rows, phases_w, size.w, dx + y * size.w);
      for (int64_t pw = 0; pw < phases_w; ++pw) rows[pw] += width + (pw < wider);
    }
  }
}

// One channel per group: all residues of a plane are done while it is in cache.
template <class T>
void backward_data_of_planes(const Conv2dSize& size, const T* dy, const T* weight, T* dx) {
  struct Residue {
    Residue(const Conv2dSize& size, const T* dy, const T* weight, T* dx, int64_t ph, int64_t pw)
        : phase(size, weight, dx, ph, pw),
          convolution(size.n * size.c, size.c, size.k / size.groups, phase.h, phase.w, dy, phase.filters.get(), nullptr,
                      phase.lattice.a, phase.lattice.b) {}
    Phase<T> phase;
    OneChannelConvolution<T> convolution;
  };
  const int64_t planes = size.n * size.c, plane = size.h * size.w;
  const int64_t phases_h = std::min(size.stride_h, size.h), phases_w = std::min(size.stride_w, size.w);
  std::deque<Residue> residues;
  int64_t work = 0, room = 0;
  for (int64_t ph = 0; ph < phases_h; ++ph) {
    for (int64_t pw = 0; pw < phases_w; ++pw) {
      const auto& convolution = residues.emplace_back(size, dy, weight, dx, ph, pw).convolution;
      work += convolution.work();
      room += convolution.size();
    }
  }
  if (residues.size() == 1) {
    const auto& only = residues[0].convolution;
    parallel_for(0, only.count(), std::max<int64_t>(1, only.count() * kGrainWork / work),
                 [&](int64_t begin, int64_t end) { only.run(begin, end, dx, plane); });
    return;
  }
  parallel_for(0, planes, std::max<int64_t>(1, planes * kGrainWork / work), [&](int64_t begin, int64_t end) {
    const Scratch<T> results(room);
    const T* rows[kMostPhases];
    for (int64_t i = begin; i < end; ++i) {
      T* to = results.get();
      const T** row = rows;
      for (const Residue& residue : residues) {
        const int64_t pieces = residue.convolution.per_plane();
        residue.convolution.run(i * pieces, (i + 1) * pieces, to, 0);
        *row++ = to;
        to += residue.convolution.size();
      }
      interleave_rows(size, rows, 0, phases_h, size.h, dx + i * plane);
    }
  });
}

// Backward-data with strides: the rows of all residues are computed densely, then interleaved, a band of dx at a time;
// here those of row residues [ph0, ph0 + count_h).
template <class T>
void strided_rows_of_dx(const Conv2dSize& size, const T* dy, const T* weight, T* dx, int64_t ph0, int64_t count_h) {
  struct Residue {
    Residue(const Conv2dSize& size, int64_t group, const Phase<T>& phase, const T* source, int64_t band,
            const Parts& divisions)
        : height(phase.lattice.a),
          convolution(size.k / size.groups, phase.h, phase.w, source, size.k * size.out_h * size.out_w,
                      phase.group_filters(size, group), nullptr, phase.lattice.b, band, divisions,
                      size.n * phase.lattice.a * phase.lattice.b) {}
    int64_t height;
    LatticeConvolution<T> convolution;
  };
  const int64_t channels = size.c / size.groups, m = size.k / size.groups, plane = size.h * size.w;
  const int64_t phases_h = std::min(size.stride_h, size.h), phases_w = std::min(size.stride_w, size.w);
  const int64_t count = count_h * phases_w;
  // Only residues that taps reach are computed, at most as many as there are taps; the others are zeros.
  std::deque<Phase<T>> phases;
  const Scratch<int64_t> place(count);
  int64_t taps = 0, kept = 0;
  for (int64_t r = 0; r < count; ++r) {
    const int64_t ph = ph0 + r / phases_w, pw = r % phases_w;
    const int64_t reached = Reached(size.r, ph, size.stride_h, size.padding_h, size.dilation_h).count *
                            Reached(size.s, pw, size.stride_w, size.padding_w, size.dilation_w).count;
    place[r] = reached ? kept++ : -1;
    if (reached) phases.emplace_back(size, weight, dx, ph, pw);
    taps += reached;
  }
  const int64_t a = ceil_div(size.h - ph0, size.stride_h), b = ceil_div(size.w, size.stride_w);  // of the largest
  const int64_t work = size.n * channels * std::max<int64_t>(m * taps, 64 * count) * a * b;
  const Pieces pieces(size.n, a, b, pixels_of_piece<T>(m + channels * kept), whole_rows<T>(b), wanted_pieces(work),
                      kLeastPixels<T>);
  const Parts divisions = divide_channels(channels, pieces.count, work);
  const int64_t all = pieces.count * divisions.count, grain = std::max<int64_t>(1, all * kGrainWork / work);
  for (int64_t g = 0; g < size.groups; ++g) {
    std::deque<Residue> residues;
    int64_t window_size = 0, waiting_size = 0;
    for (const Phase<T>& phase : phases) {
      const auto& convolution =
          residues.emplace_back(size, g, phase, dy + g * m * size.out_h * size.out_w, pieces.band, divisions)
              .convolution;
      window_size = std::max(window_size, convolution.window_size());
      waiting_size = convolution.waiting_size();
    }
    parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
      const Scratch<T> window(window_size), waiting(waiting_size);
      const int64_t room = pieces.band * b;  // of one channel of a residue
      const Scratch<T> results(kept * divisions.size(0) * room), zeros(room);
      std::fill_n(zeros.get(), room, T(0));
      const Scratch<const T*> rows(count);
      for (int64_t p = begin; p < end; ++p) {
        const Piece piece(pieces, p / divisions.count);
        const int64_t division = p % divisions.count, m0 = divisions.size(division);
        for (int64_t i = piece.n0; i < piece.n0 + piece.images; ++i) {
          T* to = results.get();
          for (const Residue& residue : residues) {
            const int64_t height = std::min(piece.rows, residue.height - piece.a0);
            // All residues read the same source.
            const bool last = &residue == &residues.back();
            if (height > 0)
              residue.convolution.run(i, piece.a0, height, division, window.get(), waiting.get(), to, room,
                                      last ? upcoming(residue.convolution, pieces, piece, i) : Upcoming<T>());
            to += m0 * room;
          }
          const int64_t bottom = std::min(size.h, (piece.a0 + piece.rows) * phases_h);
          for (int64_t c = 0; c < m0; ++c) {
            for (int64_t r = 0; r < count; ++r)
              rows[r] = place[r] < 0 ? zeros.get() : results.get() + (place[r] * m0 + c) * room;
            interleave_rows(size, rows.get(), piece.a0 * phases_h + ph0, count_h, bottom,
                            dx + (i * size.c + g * channels + divisions.first(division) + c) * plane);
          }
        }
      }
    });
  }
}

// Backward-data with strides, in full.
template <class T>
void strided_backward_data(const Conv2dSize& size, const T* dy, const T* weight, T* dx) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups;
  const int64_t phases_h = std::min(size.stride_h, size.h), phases_w = std::min(size.stride_w, size.w);
  if (!is_small<T>(channels, ceil_div(size.h, phases_h) * ceil_div(size.w, phases_w))) {
    // Strides are small, or there are many residues: then not all of them are kept at a time.
    const int64_t together = std::max<int64_t>(1, kMostPhases / phases_w);
    for (int64_t ph = 0; ph < phases_h; ph += together) {
      strided_rows_of_dx(size, dy, weight, dx, ph, std::min(together, phases_h - ph));
    }
    return;
  }
  for (int64_t ph = 0; ph < phases_h; ++ph) {
    for (int64_t pw = 0; pw < phases_w; ++pw) {
      const Phase<T> phase(size, weight, dx, ph, pw);
      for (int64_t g = 0; g < size.groups; ++g) {
        small_image_convolution(size.n, channels, m, phase.h, phase.w, dy + g * m * size.out_h * size.out_w,
                                size.k * size.out_h * size.out_w, phase.group_filters(size, g),
                                static_cast<T*>(nullptr), phase.lattice.from_channel(g * channels));
      }
    }
  }
}

template <class T>
void backward_data(const Conv2dSize& size, const T* dy, const T* weight, T* dx) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups;
  const int64_t phases_h = std::min(size.stride_h, size.h), phases_w = std::min(size.stride_w, size.w);
  if (size.n * size.c * size.h * size.w == 0) return;
  if constexpr (kHasSpecialKernels) {
    if (channels == 1 && size.dilation_h == 1 && phases_h * phases_w <= kMostPhases) {
      return backward_data_of_planes(size, dy, weight, dx);
    }
  }
  const bool strided = phases_h * phases_w > 1;
  const int64_t out_plane = size.out_h * size.out_w;
  [[maybe_unused]] const int64_t taps = ceil_div(size.r * size.s, phases_h * phases_w);  // of a residue
  if constexpr (kHasSpecialKernels) {
    if (strided && size.groups == 1 && lanes_serve<T>(size.n, m, taps, out_plane, size.h * size.w)) {
      std::deque<Phase<T>> phases;
      std::deque<LatticeLanes<T>> lanes;
      for (int64_t ph = 0; ph < phases_h; ++ph) {
        for (int64_t pw = 0; pw < phases_w; ++pw) phases.emplace_back(size, weight, dx, ph, pw);
      }
      const Phase<T>& largest = phases.front();  // in rows and columns
      const Parts bands = lane_bands<T>(m, largest.h, largest.w, largest.lattice.a);
      for (const Phase<T>& phase : phases) {
        lanes.emplace_back(m, phase.h, phase.w, channels, phase.filters.get(), nullptr, phase.lattice, bands);
      }
      lanes_convolution(size.n, channels, m, out_plane, dy, size.k * out_plane, lanes, bands, largest.lattice, size.h,
                        size.r * size.s, [&](int64_t first, int64_t count) {
                          Conv2dSize part = size;
                          part.n = count;
                          strided_backward_data(part, dy + first * size.k * out_plane, weight,
                                                dx + first * size.c * size.h * size.w);
                        });
      return;
    }
  }
  if (strided) return strided_backward_data(size, dy, weight, dx);
  const Phase<T> phase(size, weight, dx, 0, 0);
  for (int64_t g = 0; g < size.groups; ++g) {
    lattice_convolution<T>(size.n, channels, m, phase.h, phase.w, dy + g * m * out_plane, size.k * out_plane,
                           phase.group_filters(size, g), nullptr, phase.lattice.from_channel(g * channels));
  }
}

// Backward-weights: the dot products run over pixels. Rows are the taps (c, r, s), read from a window one value at a
// time; columns are output channels, from transposed dy. Pixels are cut into the specified blocks of 512; a few blocks
// are prepared (window, transposed dy) by all threads, then every thread adds them, in order, to the tiles of dweight
// that it has drawn.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTapVectors = 4;
constexpr int tap_rows(int vectors) { return vectors <= 2 ? 12 : vectors == 3 ? 9 : 6; }
#else
constexpr int kTapVectors = 2;
constexpr int tap_rows(int vectors) { return vectors == 1 ? 9 : 6; }
#endif
constexpr int64_t kPreparedBytes = 1 << 20;
constexpr int64_t kSmallBytes = 64 << 10;

// Rows of the padding are left out where channels fill tiles and it is worth looking for values that forbid it.
constexpr int64_t kManyChannels = 4;
constexpr double kMostRowsInside = 0.975;  // on 28 x 28 with 3 x 3 it is 0.976

struct PixelRun {
  int64_t from, length;  // place of its first pixel in the window
  uint64_t outside;      // bit r: tap row r of it lies in the padding and is left out
};

// What will be prepared next, asked for in equal parts.
template <class T>
struct NextBlock {
  void ask() {
    for (int64_t left = std::min(part, lines); left > 0;) {
      const int64_t missing = next->ask(left);
      lines -= left - missing;
      left = missing;
      next += missing > 0;
    }
  }
  Upcoming<T>* next;
  int64_t lines, part;
};

template <class T>
struct Prepared {
  const T* window;
  const PixelRun* runs;
  int64_t run_count;
  const T* dy;  // [column group][pixel][its columns]
  int64_t pixels;
  NextBlock<T>* next = nullptr;
};

// What a tile of taps adds to: runs of taps that follow one another in memory, `apart` taps from each other. Of pixels
// outside any of `rows` nothing is added.
template <class T>
struct TapTile {
  const int64_t* taps;
  T* totals;
  int64_t ld, apart;
  uint64_t rows;
};

// totals[i][...] += Σ over a block's pixels of x[tap i] * dy.
template <class T, int Rows, int NV, int Run>
void tap_kernel(const Prepared<T>& block, const T* dy, const TapTile<T>& tile, bool first) {
  constexpr int W = kLanes<T>;
  Vec<T> acc[Rows][NV] = {};
  const T* x[Rows / Run];
  for (int i = 0; i < Rows / Run; ++i) x[i] = block.window + tile.taps[i * tile.apart];
  for (int64_t q = 0; q < block.run_count; ++q) {
    if (block.next) block.next->ask();
    if (block.runs[q].outside & tile.rows) {
      dy += block.runs[q].length * NV * W;
      continue;
    }
    const int64_t end = block.runs[q].from + block.runs[q].length;
    for (int64_t p = block.runs[q].from; p < end; ++p) {
      Vec<T> d[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) d[v] = load(dy + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Vec<T> xi = broadcast(x[i / Run][p + i % Run]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[i][v] = fma(d[v], xi, acc[i][v]);
      }
      dy += NV * W;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      T* const total = tile.totals + (i / Run * tile.apart + i % Run) * tile.ld + v * W;
      store(total, first ? acc[i][v] : load(total) + acc[i][v]);
    }
  }
}

template <class T>
using TapKernel = void (*)(const Prepared<T>&, const T*, const TapTile<T>&, bool);

// The kernel for `runs` runs of taps.
template <class T, int Run, int NV, int Runs = tap_rows(NV) / Run>
TapKernel<T> tap_kernel_for(int64_t runs) {
  if constexpr (Runs > 1) {
    if (runs < Runs) return tap_kernel_for<T, Run, NV, Runs - 1>(runs);
  }
  return tap_kernel<T, Runs * Run, NV, Run>;
}

template <class T, int Run, int NV = kTapVectors>
TapKernel<T> tap_kernel_for_vectors(int64_t runs, int64_t vectors) {
  if constexpr (NV > 1) {
    if (vectors < NV) return tap_kernel_for_vectors<T, Run, NV - 1>(runs, vectors);
  }
  return tap_kernel_for<T, Run, NV>(runs);
}

// Where `leaves_out`, products with the rows of the padding are left out, in blocks of finite dy; for the bits that is
// as in image_lanes.h.
template <class T, int Run>
void backward_weights_group(const Conv2dSize& size, Axis h, Axis w, const T* dy, const T* x, T* dweight,
                            bool leaves_out) {
  constexpr int W = kLanes<T>;
  const int64_t channels = size.c / size.groups, m = size.k / size.groups, k = channels * size.r * size.s;
  const int64_t out_plane = size.out_h * size.out_w, pixels = size.n * out_plane, wide = ceil_div(m, W) * W;
  if (m * k == 0) return;
  if (pixels == 0) {
    std::fill_n(dweight, m * k, T(0));
    return;
  }
  const Window layout(h, w, channels, size.out_w, std::min(size.out_h, ceil_div(kBlock - 1, size.out_w) + 1), false);
  const Scratch<int64_t> taps(k);
  // Single pixels are read where they lie.
  const bool in_place = single_pixels(h, w, size.out_h, size.out_w);
  if (in_place) {
    for (int64_t c = 0; c < channels; ++c) taps[c] = c * out_plane;
  } else {
    layout.taps(taps.get());
  }
  const int64_t blocks = ceil_div(pixels, kBlock);
  const int64_t images = std::min(size.n, ceil_div(kBlock - 1, out_plane) + 1);
  const int64_t window_size = in_place ? 1 : images * layout.image + W, dy_size = std::min(kBlock, pixels) * wide;
  const Parts groups(wide / W, kTapVectors);
  // A tile's taps are of one row and several channels where rows are left out.
  const int64_t sets = leaves_out ? size.r * size.s / Run : 1, set_runs = k / Run / sets;
  const int64_t apart = leaves_out ? size.r * size.s : Run;

  // Calls f(n, inside, length, a0, a1) for the images n of block b: of each its pixels [inside, inside + length), which
  // lie in rows a0 to a1.
  const auto each_image = [&](int64_t b, auto f) {
    for (int64_t p = b * kBlock, p1 = std::min(p + kBlock, pixels); p < p1;) {
      const int64_t inside = p % out_plane, length = std::min(p1 - p, out_plane - inside);
      f(p / out_plane, inside, length, inside / size.out_w, (inside + length - 1) / size.out_w);
      p += length;
    }
  };
  // Fills window, columns (dy_size of them) and runs (kBlock) for block b.
  const auto prepare = [&](int64_t b, T* window, T* columns, PixelRun* runs) {
    int64_t run_count = 0, filled = 0, before = 0;
    const int64_t all = std::min(kBlock, pixels - b * kBlock);
    each_image(b, [&](int64_t n, int64_t inside, int64_t length, int64_t a0, int64_t a1) {
      if (in_place) {
        runs[run_count++] = {n * size.c * out_plane + inside, length, 0};
      } else {
        const int64_t base = filled++ * layout.image;
        layout.fill(x + n * size.c * size.h * size.w, a0, a1 - a0 + 1, window + base);
        for (int64_t q = inside; q < inside + length;) {
          const int64_t a = q / size.out_w, column = q % size.out_w,
                        run = std::min(inside + length - q, size.out_w - column);
          uint64_t outside = 0;
          for (int64_t i = 0; leaves_out && i < h.taps; ++i) {
            const int64_t row = a * h.step + h.d[i];
            if (row < 0 || row >= h.size) outside |= uint64_t{1} << i;
          }
          runs[run_count++] = {base + layout.pixel(a - a0, column), run, outside};
          q += run;
        }
      }
      for (int64_t g = 0; g < groups.count; ++g) {
        const int64_t o = groups.first(g) * W, width = groups.size(g) * W;
        pack_transposed(dy + (n * size.k + o) * out_plane + inside, out_plane, std::min(width, m - o), length,
                        columns + o * all + before * width, width, width);
      }
      before += length;
    });
    if (leaves_out && !all_finite(columns, all * wide)) {
      for (int64_t q = 0; q < run_count; ++q) runs[q].outside = 0;
    }
    return Prepared<T>{in_place ? x : window, runs, run_count, columns, all};
  };
  // What prepare will read for block b, at most 2 * images of them; returns how many lines they are.
  const auto list_upcoming = [&](int64_t b, Upcoming<T>* to) {
    int64_t lines = 0;
    each_image(b, [&](int64_t n, int64_t inside, int64_t length, int64_t a0, int64_t a1) {
      to[0] = Upcoming<T>::rows(layout, x + n * size.c * size.h * size.w, a0, a1 - a0 + 1);
      to[1] = {dy + n * size.k * out_plane + inside, out_plane, m, length};
      lines += to[0].lines() + to[1].lines();
      to += 2;
    });
    return lines;
  };
  // Adds `count` blocks in order to the tiles of runs [begin, end) of a set and column group g.
  const auto add = [&](const Prepared<T>* prepared, int64_t count, int64_t g, int64_t set, int64_t begin, int64_t end,
                       T* to, bool first) {
    const int64_t o = groups.first(g) * W, vectors = groups.size(g);
    const Parts tiles(end - begin, tap_rows(static_cast<int>(vectors)) / Run);
    for (int64_t i = 0; i < tiles.count; ++i) {
      check_interrupt();
      const int64_t tap = set * Run + (begin + tiles.first(i)) * apart;
      const TapTile<T> tile{taps.get() + tap, to + tap * wide + o, wide, apart,
                            leaves_out ? uint64_t{1} << set * Run / size.s : 0};
      const TapKernel<T> kernel = tap_kernel_for_vectors<T, Run>(tiles.size(i), vectors);
      for (int64_t b = 0; b < count; ++b) {
        kernel(prepared[b], prepared[b].dy + o * prepared[b].pixels, tile, first && b == 0);
      }
    }
  };

  const Scratch<T> totals(k * wide);
  if (k * wide * static_cast<int64_t>(sizeof(T)) <= kSmallBytes) {
    // Small results: every thread computes whole blocks, each into a buffer of its own; then the buffers are added.
    const int64_t wave = std::min(blocks, kPreparedBytes / static_cast<int64_t>(k * wide * sizeof(T)));
    const Scratch<T> sums(wave * k * wide);
    const bool far = !in_place && is_far<T>(size.n * (channels * size.h * size.w + m * out_plane));
    for (int64_t first = 0; first < blocks; first += wave) {
      const int64_t count = std::min(wave, blocks - first);
      const int64_t grain = std::max(count / (8 * num_threads()), kGrainWork / (kBlock * k * wide));
      parallel_for(0, count, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) {
        const Scratch<T> window(window_size), columns(dy_size);
        const Scratch<PixelRun> runs(kBlock);
        const Scratch<Upcoming<T>> upcoming(2 * images);
        for (int64_t b = begin; b < end; ++b) {
          Prepared<T> prepared = prepare(first + b, window.get(), columns.get(), runs.get());
          NextBlock<T> next{upcoming.get(), 0, 0};
          if (far && first + b + 1 < blocks) {
            next.lines = list_upcoming(first + b + 1, next.next);
            next.part = ceil_div(next.lines, std::max<int64_t>(1, k / tap_rows(1)) * groups.count * prepared.run_count);
            prepared.next = &next;
          }
          for (int64_t g = 0; g < groups.count; ++g) {
            for (int64_t set = 0; set < sets; ++set)
              add(&prepared, 1, g, set, 0, set_runs, sums.get() + b * k * wide, true);
          }
        }
      });
      parallel_for(0, k * wide, 1 << 14, [&](int64_t begin, int64_t end) {
        for (int64_t b = 0; b < count; ++b) {
          const T* const block = sums.get() + b * k * wide;
          if (first + b == 0) {
            std::copy(block + begin, block + end, totals.get() + begin);
          } else {
            for (int64_t e = begin; e < end; ++e) totals[e] = totals[e] + block[e];
          }
        }
      });
    }
  } else {
    // Large results: a few blocks are prepared by all threads, then every thread adds them to the tiles it draws.
    const int64_t together =
        std::clamp<int64_t>(kPreparedBytes / ((window_size + dy_size) * static_cast<int64_t>(sizeof(T))),
                            std::min<int64_t>(2 * num_threads(), blocks), blocks);
    const Scratch<T> windows(together * window_size), columns(together * dy_size);
    const Scratch<PixelRun> runs(together * kBlock);
    const Scratch<Prepared<T>> prepared(together);
    const Parts tap_runs(set_runs, 4 * tap_rows(1) / Run);
    for (int64_t first = 0; first < blocks; first += together) {
      const int64_t count = std::min(together, blocks - first);
      parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          prepared[b] =
              prepare(first + b, windows.get() + b * window_size, columns.get() + b * dy_size, runs.get() + b * kBlock);
        }
      });
      parallel_for(0, groups.count * sets * tap_runs.count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const int64_t i = t % tap_runs.count, set = t / tap_runs.count % sets, g = t / tap_runs.count / sets;
          const int64_t run = tap_runs.first(i);
          add(prepared.get(), count, g, set, run, run + tap_runs.size(i), totals.get(), first == 0);
        }
      });
    }
  }
  if (leaves_out && has_negative_zero(totals.get(), k * wide)) {
    return backward_weights_group<T, Run>(size, h, w, dy, x, dweight, false);
  }
  parallel_for(0, k, std::max<int64_t>(8 * W, (1 << 14) / m), [&](int64_t begin, int64_t end) {
    pack_transposed(totals.get() + begin * wide, wide, end - begin, m, dweight + begin, k, end - begin);
  });
}

template <class T>
void backward_weights(const Conv2dSize& size, const T* dy, const T* x, T* dweight) {
  const int64_t channels = size.c / size.groups, m = size.k / size.groups;
  // Vectors over groups are worth turning x when vectors over one group's output channels would be half empty.
  if constexpr (kHasSpecialKernels) {
    if (channels == 1 && size.groups > 1 && 2 * m <= kLanes<T>) return depthwise_weights(size, dy, x, dweight);
  }
  const Scratch<int64_t> dr(size.r), ds(size.s);
  for (int64_t i = 0; i < size.r; ++i) dr[i] = i * size.dilation_h - size.padding_h;
  for (int64_t i = 0; i < size.s; ++i) ds[i] = i * size.dilation_w - size.padding_w;
  const Axis h = make_axis(size.r, size.stride_h, dr.get(), size.h),
             w = make_axis(size.s, size.stride_w, ds.get(), size.w);
  for (int64_t g = 0; g < size.groups; ++g) {
    // In a window the taps of a kernel row follow one another unless there are strides or dilation.
    const bool plain = size.stride_w == 1 && size.dilation_w == 1;
    const auto group = plain && size.s == 3   ? backward_weights_group<T, 3>
                       : plain && size.s == 5 ? backward_weights_group<T, 5>
                                              : backward_weights_group<T, 1>;
    const bool leaves_out =
        plain && channels >= kManyChannels && size.r <= 64 && share_inside(h, size.out_h) < kMostRowsInside;
    group(size, h, w, dy + g * m * size.out_h * size.out_w, x + g * channels * size.h * size.w,
          dweight + g * m * channels * size.r * size.s, leaves_out);
  }
}

template <class T>
void plane_sums_any(const T* dy, int64_t n, int64_t c, int64_t plane, T* dbias) {
  // Planes in the order of memory, then each channel's.
  const Scratch<T> sums(n * c);
  parallel_for(0, n * c, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, plane)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) sums[i] = sum(dy + i * plane, plane);
               });
  const int64_t grain = std::min(kColumnBlock<T>, std::max<int64_t>(16, (1 << 16) / std::max<int64_t>(1, n)));
  parallel_for(0, c, grain, [&](int64_t begin, int64_t end) {
    column_sums(n, end - begin, RowMajor<T>{sums.get() + begin, c}, dbias + begin);
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
