// A lattice convolution of several small images with vectors over images: lane l of a vector is image l of a group.
// Every tap of a pixel is a whole vector then, and each pixel takes only the taps that lie inside the source: on 8 x 8
// a sixth of all products has a zero of the padding in it.
//
// Leaving them out leaves the bits alone if the filters are finite and no sum ends as -0. A product with +0 is +0 or
// -0, and x + -0 and x + +0 are x for every x but -0, which +0 can turn into +0. Sums begin with +0, so one that is -0
// has underflowed. From there on a sum that leaves zeros out either is the full one, or is -0 where that is +0, until a
// product that is not zero makes them equal; so do the totals of blocks. Whoever finds a -0 at the end has to compute
// that convolution in full.
#pragma once

#include <vector>

#include "ops/gemm_core.h"
#include "ops/lattice.h"

namespace nnlite {
namespace {  // for the standard containers, too: nothing may be merged across instruction sets

template <class T>
typename LaneIndex<T>::type is_negative_zero(Vec<T> v) {
  typename LaneIndex<T>::type bits, sign;
  const Vec<T> zero = broadcast(T(-0.0));
  std::memcpy(&bits, &v, sizeof bits);
  std::memcpy(&sign, &zero, sizeof sign);
  return bits == sign;
}

template <class T>
bool has_any(typename LaneIndex<T>::type mask) {
  const typename LaneIndex<T>::type none = {};
  return std::memcmp(&mask, &none, sizeof none) != 0;
}

template <class T>
bool all_finite(const T* x, int64_t n) {
  typename LaneIndex<T>::type others = {};
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    const Vec<T> v = load(x + i);
    others |= v - v != Vec<T>{};
  }
  bool all = !has_any<T>(others);
  for (; i < n; ++i) all &= x[i] - x[i] == T(0);
  return all;
}

// n is a multiple of kLanes<T>.
template <class T>
bool has_negative_zero(const T* x, int64_t n) {
  typename LaneIndex<T>::type found = {};
  for (int64_t i = 0; i < n; i += kLanes<T>) found |= is_negative_zero<T>(load(x + i));
  return has_any<T>(found);
}

// A tile has so many filters and pixels; what a block of K reads for a band of rows is at most so large.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kLaneRows = 6, kLanePixels = 4;
constexpr int64_t kBandBytes = 1600 << 10;
#else
constexpr int kLaneRows = 4, kLanePixels = 3;
constexpr int64_t kBandBytes = 600 << 10;  // smaller tiles read faster, and wait longer for what is not near
#endif

// Where the operands of a product lie, in a panel of filters and relative to a pixel's first one in a window.
struct Product {
  int32_t filter, source;
};

// The products of one block of K for a tile.
template <class T>
struct LaneProducts {
  const T* filters;  // a panel
  const Product* begin;
  const Product* end;
  bool add, last;  // whether `sums` hold the total of earlier blocks, and whether the sum is complete
  const T* bias;   // added last, or nullptr
};

// Adds the products to a tile's sums, which for row i and pixel v lie at sums + i * ld + to[v]. Returns whether a
// complete sum is -0.
template <class T, int Rows, int Pixels>
bool lanes_kernel(const LaneProducts<T>& products, const T* window, const int32_t* from, T* sums, int64_t ld,
                  const int32_t* to) {
  Vec<T> acc[Rows][Pixels] = {};
  const T* source[Pixels];
  for (int v = 0; v < Pixels; ++v) source[v] = window + from[v];
  const auto step = [&](const Product* p) __attribute__((always_inline)) {
    const T* const filters = products.filters + p->filter;
    Vec<T> x[Pixels];
#pragma GCC unroll 4
    for (int v = 0; v < Pixels; ++v) x[v] = load(source[v] + p->source);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> f = broadcast(filters[i]);
#pragma GCC unroll 4
      for (int v = 0; v < Pixels; ++v) acc[i][v] = fma(f, x[v], acc[i][v]);
    }
  };
  // The sums' lines are asked for in the last steps.
  const Product* const late = products.end - std::min<int64_t>(products.end - products.begin, Rows * Pixels);
  for (const Product* p = products.begin; p < late; ++p) step(p);
  for (const Product* p = late; p < products.end; ++p) {
    __builtin_prefetch(sums + (p - late) / Pixels * ld + to[(p - late) % Pixels], 1);
    step(p);
  }
  typename LaneIndex<T>::type negative_zeros = {};
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Pixels; ++v) {
      T* const place = sums + i * ld + to[v];
      Vec<T> sum = acc[i][v];
      if (products.add) sum = load(place) + sum;
      if (products.last) {
        negative_zeros |= is_negative_zero<T>(sum);
        if (products.bias) sum = sum + products.bias[i];
      }
      store(place, sum);
    }
  }
  return has_any<T>(negative_zeros);
}

template <class T>
using LanesKernel = bool (*)(const LaneProducts<T>&, const T*, const int32_t*, T*, int64_t, const int32_t*);

template <class T, int Rows = kLaneRows, int Pixels = kLanePixels>
LanesKernel<T> lanes_kernel_for(int64_t rows, int64_t pixels) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return lanes_kernel_for<T, Rows - 1, Pixels>(rows, pixels);
  }
  if constexpr (Pixels > 1) {
    if (pixels < Pixels) return lanes_kernel_for<T, Rows, Pixels - 1>(rows, pixels);
  }
  return lanes_kernel<T, Rows, Pixels>;
}

// Outputs [begin, end) along an axis whose taps [first, last) lie inside the source.
struct TapRange {
  int64_t begin, end, first, last;
};

std::vector<TapRange> tap_ranges(const Axis& axis, int64_t outputs) {
  std::vector<TapRange> ranges;
  for (int64_t o = 0; o < outputs; ++o) {
    const auto inside = [&](int64_t i) {
      return o * axis.step + axis.d[i] >= 0 && o * axis.step + axis.d[i] < axis.size;
    };
    int64_t first = 0;
    while (first < axis.taps && !inside(first)) ++first;
    int64_t last = first;
    while (last < axis.taps && inside(last)) ++last;
    if (ranges.empty() || ranges.back().first != first || ranges.back().last != last) {
      ranges.push_back({o, o, first, last});
    }
    ranges.back().end = o + 1;
  }
  return ranges;
}

// The share of an axis' taps that lies inside the source.
double share_inside(const Axis& axis, int64_t outputs) {
  int64_t inside = 0;
  for (const TapRange& range : tap_ranges(axis, outputs))
    inside += (range.end - range.begin) * (range.last - range.first);
  return static_cast<double>(inside) / static_cast<double>(std::max<int64_t>(1, outputs * axis.taps));
}

// The source of a group of kLanes<T> images: [channel][pixel][image]. Fills channels [begin, end) of `window`.
template <class T>
void fill_lanes(const T* source, int64_t source_image, int64_t plane, int64_t begin, int64_t end, T* window) {
  constexpr int W = kLanes<T>;
  pack_transposed(source + begin * plane, source_image, W, (end - begin) * plane, window + begin * plane * W, W, W);
}

// Writes the sums of a group, [channel][pixel][image], to images `image` apart; channels are `channel` apart.
template <class T>
void write_lanes(const T* sums, int64_t channels, int64_t pixels, T* out, int64_t image, int64_t channel) {
  constexpr int W = kLanes<T>;
  for (int64_t i = 0; i < channels; ++i) {
    pack_transposed(sums + i * pixels * W, W, pixels, W, out + i * channel, image, pixels);
  }
}

// Bands of output rows, so that what a block of K reads for a band stays near.
template <class T>
Parts lane_bands(int64_t channels, const Axis& h, const Axis& w, int64_t rows) {
  const int64_t together = std::min(channels, ceil_div(kBlock, std::max<int64_t>(1, h.taps * w.taps)) + 1);
  const int64_t row = together * h.step * w.size * kLanes<T> * static_cast<int64_t>(sizeof(T));
  return {rows, std::max<int64_t>(1, kBandBytes / row - (h.greatest - h.least) / h.step)};
}

// One lattice of a convolution of groups of kLanes<T> images. Filters are (m, k), k = channels * h.taps * w.taps; the
// output is done in `bands` of the lattice's rows.
template <class T>
class LatticeLanes {
 public:
  LatticeLanes(int64_t channels, const Axis& h, const Axis& w, int64_t m, const T* filters, const T* bias,
               const Lattice<T>& lattice, const Parts& bands)
      : channels_(channels),
        plane_(h.size * w.size),
        k_(channels * h.taps * w.taps),
        filters_(filters),
        bias_(bias),
        panels_(m, kLaneRows),
        packed_(panels_.count * k_ * kLaneRows) {
    const std::vector<TapRange> rows = tap_ranges(h, lattice.a), columns = tap_ranges(w, lattice.b);
    for (const TapRange& r : rows) {
      for (const TapRange& c : columns) list_products(h, w, r, c);
    }
    for (int64_t band = 0; band < bands.count; ++band) {
      const int64_t top = bands.first(band), bottom = top + bands.size(band);
      first_tile_.push_back({tiles_.size()});
      int64_t kind = 0;
      for (const TapRange& r : rows) {
        const TapRange inside{std::max(top, r.begin), std::min(bottom, r.end), r.first, r.last};
        for (const TapRange& c : columns) list_tiles(h, w, lattice, top, inside, c, kind++);
      }
    }
    first_tile_.push_back({tiles_.size()});
  }

  // Packs the filters; false where one is not finite.
  bool pack() {
    int finite = 1;
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / (kLaneRows * k_ + 1));
    parallel_for(0, panels_.count, grain, [&](int64_t begin, int64_t end) {
      bool all = true;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = panels_.first(i), rows = panels_.size(i);
        all &= all_finite(filters_ + row * k_, rows * k_);
        T* const to = packed_.get() + i * k_ * kLaneRows;
        pack_transposed(filters_ + row * k_, k_, rows, k_, to, kLaneRows, kLaneRows);
      }
      if (!all) __atomic_store_n(&finite, 0, __ATOMIC_RELAXED);
    });
    return finite != 0;
  }

  // A band of the filters of panels [first, last), whose sums have `pixels` pixels each. Returns whether one is -0.
  bool run(const T* window, int64_t band, int64_t first, int64_t last, T* sums, int64_t pixels) const {
    bool negative_zero = false;
    for (int64_t block = 0; block < blocks(); ++block) {
      for (int64_t i = first; i < last; ++i) {
        check_interrupt();
        const int64_t row = panels_.first(i), rows = panels_.size(i);
        T* const to = sums + (row - panels_.first(first)) * pixels * W;
        for (size_t t = first_tile_[band].at; t < first_tile_[band + 1].at; ++t) {
          const Tile& tile = tiles_[t];
          const Place* const starts = first_product_.data() + tile.kind * (blocks() + 1) + block;
          const LaneProducts<T> products{packed_.get() + i * k_ * kLaneRows,
                                         products_.data() + starts[0].at,
                                         products_.data() + starts[1].at,
                                         block > 0,
                                         block + 1 == blocks(),
                                         bias_ ? bias_ + row : nullptr};
          negative_zero |= lanes_kernel_for<T>(rows, tile.pixels)(products, window, tile.from, to, pixels * W, tile.to);
        }
      }
    }
    return negative_zero;
  }

 private:
  static constexpr int W = kLanes<T>;
  struct Place {
    size_t at;  // in a list
  };
  // Output pixels of one kind: where their first operands lie in a window and where their sums go.
  struct Tile {
    int64_t kind, pixels;
    int32_t from[kLanePixels], to[kLanePixels];
  };

  int64_t blocks() const { return std::max<int64_t>(1, ceil_div(k_, kBlock)); }

  // Those of one more kind of pixels.
  void list_products(const Axis& h, const Axis& w, const TapRange& rows, const TapRange& columns) {
    int64_t block = 0;
    const auto begin_block = [&] { first_product_.push_back({products_.size()}); };
    begin_block();
    for (int64_t c = 0; c < channels_; ++c) {
      for (int64_t i = rows.first; i < rows.last; ++i) {
        for (int64_t j = columns.first; j < columns.last; ++j) {
          const int64_t k = (c * h.taps + i) * w.taps + j;
          for (; block < k / kBlock; ++block) begin_block();
          const int64_t row = h.d[i] - h.d[rows.first], column = w.d[j] - w.d[columns.first];
          products_.push_back(
              {static_cast<int32_t>(k * kLaneRows), static_cast<int32_t>((c * plane_ + row * w.size + column) * W)});
        }
      }
    }
    for (; block < blocks(); ++block) begin_block();
  }

  void list_tiles(const Axis& h, const Axis& w, const Lattice<T>& lattice, int64_t top, const TapRange& rows,
                  const TapRange& columns, int64_t kind) {
    if (rows.begin >= rows.end) return;
    const int64_t width = columns.end - columns.begin;
    const Parts parts((rows.end - rows.begin) * width, kLanePixels);
    for (int64_t p = 0; p < parts.count; ++p) {
      Tile tile{kind, parts.size(p), {}, {}};
      for (int64_t v = 0; v < tile.pixels; ++v) {
        const int64_t a = rows.begin + (parts.first(p) + v) / width, b = columns.begin + (parts.first(p) + v) % width;
        const int64_t to =
            ((a - top) * lattice.step_h + lattice.first_h) * lattice.width + b * lattice.step_w + lattice.first_w;
        if (rows.first < rows.last && columns.first < columns.last) {
          const int64_t row = a * h.step + h.d[rows.first], column = b * w.step + w.d[columns.first];
          tile.from[v] = static_cast<int32_t>((row * w.size + column) * W);
        }
        tile.to[v] = static_cast<int32_t>(to * W);
      }
      tiles_.push_back(tile);
    }
  }

  int64_t channels_, plane_, k_;
  const T *filters_, *bias_;
  Parts panels_;
  Scratch<T> packed_;                 // [panel][k][kLaneRows]
  std::vector<Product> products_;     // [kind]
  std::vector<Place> first_product_;  // [kind][block], and its end
  std::vector<Tile> tiles_;           // [band]
  std::vector<Place> first_tile_;     // [band], and its end
};

}  // namespace
}  // namespace nnlite
