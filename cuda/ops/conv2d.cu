// The three passes are products of matrices that are nowhere written down (gemm_core.h):
//
//   forward           weight (k; c r s)           x patches of all output pixels (c r s; n oh ow)
//   backward data     weight (c; k r' s')         dy patches of all input pixels (k r' s'; n h w)
//   backward weights  dy (k; n oh ow)             x patches (n oh ow; c r s)
//
// An element of a patch lies where its pixel lies plus the offset of its tap (channel, r, s), or outside the image:
// then it is +0. The offsets stand in a table in device memory, made by a small kernel; pixels are taken apart by
// FastDivide.
//
// Forward and backward data are one computation, a lattice convolution: out[n, m, a, b] is the dot product over
// (channel, i, j) of filters and source[n, channel, a * step_h + h_i, b * step_w + w_j]. Forward is one lattice over x;
// backward data is one over dy for each residue of (h, w) modulo the stride, with the taps that reach it.
//
// Groups of few channels would leave most of a tile empty: then a thread computes one output by itself, as it does for
// sizes beyond 32-bit places.
#include "ops/conv2d.h"

#include <numeric>

#include "fast_divide.h"
#include "gemm_core.h"
#include "ops/gemm.h"

namespace nnlite {
namespace {

// ---- One output a thread ----

constexpr int kThreads = 256;

// A dot product, one pair after the other.
template <class T>
class Dot {
 public:
  __device__ void add(T a, T b) {
    if (count_ == kBlock) {
      total_ = result();
      later_ = true;
      count_ = 0;
      sum_ = T(0);
    }
    sum_ = fused(a, b, sum_);
    ++count_;
  }
  __device__ T result() const { return later_ ? total_ + sum_ : sum_; }

 private:
  T sum_ = T(0), total_ = T(0);
  int count_ = 0;
  bool later_ = false;
};

// Conv2dSize with the type in which places are counted.
template <class Index>
struct Places {
  explicit Places(const Conv2dSize& s)
      : h(static_cast<Index>(s.h)),
        w(static_cast<Index>(s.w)),
        r(static_cast<Index>(s.r)),
        s(static_cast<Index>(s.s)),
        stride_h(static_cast<Index>(s.stride_h)),
        stride_w(static_cast<Index>(s.stride_w)),
        padding_h(static_cast<Index>(s.padding_h)),
        padding_w(static_cast<Index>(s.padding_w)),
        dilation_h(static_cast<Index>(s.dilation_h)),
        dilation_w(static_cast<Index>(s.dilation_w)),
        out_h(static_cast<Index>(s.out_h)),
        out_w(static_cast<Index>(s.out_w)),
        n(s.n),
        c(s.c),
        k(s.k),
        group_c(s.c / s.groups),
        group_k(s.k / s.groups) {}
  Index h, w, r, s, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, out_h, out_w;
  int64_t n, c, k, group_c, group_k;
};

template <class Index, class T>
__device__ T at_or_zero(const T* plane, Index y, Index x, Index h, Index w) {
  return y >= 0 && y < h && x >= 0 && x < w ? plane[y * w + x] : T(0);
}

// Blocks (along the plane, planes): a thread has the same place in several planes if there are more than a grid has.
template <class T, class Index>
__global__ void forward_outputs(Places<Index> p, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t place = int64_t{blockIdx.x} * kThreads + threadIdx.x, plane = int64_t{p.out_h} * p.out_w;
  if (place >= plane) return;
  const Index oh = static_cast<Index>(place) / p.out_w, ow = static_cast<Index>(place) - oh * p.out_w;
  const Index top = oh * p.stride_h - p.padding_h, left = ow * p.stride_w - p.padding_w;
  for (int64_t out = blockIdx.y; out < p.n * p.k; out += gridDim.y) {
    const int64_t n = out / p.k, k = out - n * p.k;
    const T* from = x + (n * p.c + k / p.group_k * p.group_c) * p.h * p.w;
    const T* filter = weight + k * p.group_c * p.r * p.s;
    Dot<T> dot;
    for (int64_t c = 0; c < p.group_c; ++c, from += int64_t{p.h} * p.w) {
      for (Index r = 0; r < p.r; ++r) {
        for (Index s = 0; s < p.s; ++s) {
          dot.add(at_or_zero(from, top + r * p.dilation_h, left + s * p.dilation_w, p.h, p.w), *filter++);
        }
      }
    }
    y[out * plane + place] = bias != nullptr ? dot.result() + bias[k] : dot.result();
  }
}

// distance / stride, if that is exact.
template <class Index>
__device__ bool divide(Index distance, Index stride, Index& quotient) {
  quotient = stride == 1 ? distance : distance / stride;
  return stride == 1 || quotient * stride == distance;
}

template <class T, class Index>
__global__ void backward_data_outputs(Places<Index> p, const T* dy, const T* weight, T* dx) {
  const int64_t place = int64_t{blockIdx.x} * kThreads + threadIdx.x, plane = int64_t{p.h} * p.w;
  if (place >= plane) return;
  const Index h = static_cast<Index>(place) / p.w, w = static_cast<Index>(place) - h * p.w;
  for (int64_t out = blockIdx.y; out < p.n * p.c; out += gridDim.y) {
    const int64_t n = out / p.c, c = out - n * p.c, group = c / p.group_c;
    const T* from = dy + (n * p.k + group * p.group_k) * p.out_h * p.out_w;
    const T* filter = weight + (group * p.group_k * p.group_c + c - group * p.group_c) * p.r * p.s;
    Dot<T> dot;
    for (int64_t k = 0; k < p.group_k; ++k) {
      for (Index r = p.r - 1; r >= 0; --r) {
        Index oh, ow;
        if (!divide<Index>(h + p.padding_h - r * p.dilation_h, p.stride_h, oh)) continue;
        for (Index s = p.s - 1; s >= 0; --s) {
          if (!divide<Index>(w + p.padding_w - s * p.dilation_w, p.stride_w, ow)) continue;
          dot.add(at_or_zero(from, oh, ow, p.out_h, p.out_w), filter[int64_t{r} * p.s + s]);
        }
      }
      from += int64_t{p.out_h} * p.out_w;
      filter += p.group_c * p.r * p.s;
    }
    dx[out * plane + place] = dot.result();
  }
}

// to[part, element] = the dot product over `length` of the (n, oh, ow): all of them, or a block.
template <class T, class Index>
__global__ void backward_weights_outputs(Places<Index> p, int64_t length, const T* dy, const T* x, T* to) {
  const int64_t filter = int64_t{p.r} * p.s, elements = p.k * p.group_c * filter;
  const int64_t element = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (element >= elements) return;
  const int64_t channels = element / filter, k = channels / p.group_c;
  const int64_t c = k / p.group_k * p.group_c + channels - k * p.group_c;
  const Index tap = static_cast<Index>(element - channels * filter), r = tap / p.s, s = tap - r * p.s;
  const int64_t plane = int64_t{p.out_h} * p.out_w, all = p.n * plane;
  for (int64_t part = blockIdx.y; part * length < all; part += gridDim.y) {
    const int64_t end = all < (part + 1) * length ? all : (part + 1) * length;
    int64_t n = part * length / plane;
    Index oh = static_cast<Index>(part * length - n * plane) / p.out_w;
    Index ow = static_cast<Index>(part * length - n * plane) - oh * p.out_w;
    Dot<T> dot;
    for (int64_t i = part * length; i < end; ++i) {
      dot.add(dy[(n * p.k + k) * plane + int64_t{oh} * p.out_w + ow],
              at_or_zero(x + (n * p.c + c) * p.h * p.w, oh * p.stride_h - p.padding_h + r * p.dilation_h,
                         ow * p.stride_w - p.padding_w + s * p.dilation_w, p.h, p.w));
      if (++ow < p.out_w) continue;
      ow = 0;
      if (++oh < p.out_h) continue;
      oh = 0;
      ++n;
    }
    to[part * elements + element] = dot.result();
  }
}

Extent plane_grid(int64_t plane, int64_t planes) {
  return {blocks_for(plane, kThreads), std::min<int64_t>(planes, 65535)};
}

// ---- Patches ----

constexpr int kOutside = -(1 << 30);
constexpr int kTapsTogether = 16;  // a table is filled up to whole steps with taps that lie outside

// A tap of a lattice or filter: its place relative to a pixel's, in memory and as rows and columns.
struct alignas(16) Tap {
  int64_t bytes;
  int h, w;
};
constexpr Tap kNoTap{0, kOutside, kOutside};

template <class T>
__device__ __forceinline__ const void* at_tap(const T* pixel, const Tap& tap) {
  return reinterpret_cast<const char*>(pixel) + tap.bytes;
}

// One axis of a lattice: taps at positions o * step + first + i * distance, their filters' r at filter_first + i *
// filter_step.
struct Axis {
  int taps, step, first, distance, filter_first, filter_step;
};

__global__ void list_taps(int count, int listed, Axis h, Axis w, int height, int width, int element, Tap* taps) {
  const int k = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (k >= listed) return;
  const int filter = h.taps * w.taps, c = k / filter, i = (k - c * filter) / w.taps, j = k - c * filter - i * w.taps;
  const int y = h.first + i * h.distance, x = w.first + j * w.distance;
  taps[k] = k < count ? Tap{((int64_t{c} * height + y) * width + x) * element, y, x} : kNoTap;
}

class TapTable {
 public:
  TapTable(int64_t channels, Axis h, Axis w, int64_t height, int64_t width, size_t element)
      : count_(channels * h.taps * w.taps), table_(padded()) {
    launch("conv2d_taps", list_taps, blocks_for(padded(), kThreads), kThreads, 0, static_cast<int>(count_),
           static_cast<int>(padded()), h, w, static_cast<int>(height), static_cast<int>(width),
           static_cast<int>(element), table_.get());
  }
  int64_t padded() const { return blocks_for(count_, kTapsTogether) * kTapsTogether; }
  const Tap* get() const { return table_.get(); }

 private:
  int64_t count_;
  Scratch<Tap> table_;
};

// Images as a matrix's source: places are taken apart by divisions.
template <class T>
struct Images {
  const T* data;
  int64_t image, group;  // from one to the next
  int h, w;
};

__device__ __forceinline__ bool inside(int y, int x, int h, int w) {
  return static_cast<unsigned>(y) < static_cast<unsigned>(h) && static_cast<unsigned>(x) < static_cast<unsigned>(w);
}

// Right operand of a lattice: column i is a pixel (n, a, b), k a tap. A thread copies the taps of one pixel (or a few
// pixels), so neighbouring threads read neighbouring pixels. The taps of a step are on their way as long before its
// copies are started as those are before they are needed.
template <class T>
struct Pixels {
  Images<T> source;
  const Tap* taps;
  int listed, columns;
  FastDivide per_image, per_row;
  int step_h, step_w;

  static constexpr bool kSharesMemory = true;
  template <class Tiling, int I>
  struct Memory {
    Tap taps[2 * Tiling::kStages][Tiling::kK];
  };

  template <class Tiling, int I>
  class Loader {
   public:
    __device__ Loader(const Pixels& from, Memory<Tiling, I>& memory, int64_t first, int64_t k, int64_t group)
        : from_(from), memory_(memory), k_(static_cast<int>(k)) {
      const int t = static_cast<int>(threadIdx.x);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int64_t column = first + t % I + p * kThreads;
        const int pixel = column < from.columns ? static_cast<int>(column) : 0;
        const int n = from.per_image(pixel), in_image = from.per_image.rest(pixel, n);
        const int a = from.per_row(in_image), b = from.per_row.rest(in_image, a);
        h_[p] = column < from.columns ? a * from.step_h : kOutside;
        w_[p] = b * from.step_w;
        at_[p] = from.source.data + group * from.source.group + n * from.source.image +
                 int64_t{a * from.step_h} * from.source.w + w_[p];
      }
    }
    __device__ __forceinline__ void look_ahead(AsyncCopies& copies, int step) {
      const int t = static_cast<int>(threadIdx.x), k = k_ + step * kK + t;
      if (t >= kK || k >= from_.listed) return;
      copies.template copy<16>(SharedPlace<Tap>(&memory_.taps[step % kRing][t]), from_.taps + k);
    }
    __device__ __forceinline__ void load(AsyncCopies& copies, SharedPlace<T> to, int step, int) {
      const int t = anew(static_cast<int>(threadIdx.x));
      const int k0 = kThreads > I ? t / I : 0, i = t % I;
      const SharedPlace<T> first = to + (k0 * kPitch<T, I> + i);
      const Tap* const taps = memory_.taps[step % kRing] + k0;
      // All taps are read before the first copy is started: a copy writes to shared memory, and no later read of it may
      // overtake that.
      Tap tap[kTaps];
#pragma unroll
      for (int k = 0; k < kTaps; ++k) tap[k] = taps[k * kTogether];
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
          copies.template copy_or_zero<sizeof(T)>(
              first + (k * kTogether * kPitch<T, I> + p * kThreads), at_tap(at_[p], tap[k]),
              inside(h_[p] + tap[k].h, w_[p] + tap[k].w, from_.source.h, from_.source.w));
        }
      }
    }

   private:
    static constexpr int kThreads = Tiling::kThreads, kK = Tiling::kK, kRing = 2 * Tiling::kStages;
    static constexpr int kPixels = I > kThreads ? I / kThreads : 1, kTogether = kThreads > I ? kThreads / I : 1;
    static constexpr int kTaps = kK / kTogether;
    static_assert(kThreads % I == 0 || I % kThreads == 0);
    static_assert(kTapsTogether % kK == 0 && kThreads >= kK);
    const Pixels& from_;
    Memory<Tiling, I>& memory_;
    int k_;
    const T* at_[kPixels];
    int h_[kPixels], w_[kPixels];
  };
};

// Left operand of the weights' gradient: row i is a channel, k a pixel (n, oh, ow).
template <class T>
struct Channels {
  Images<T> source;
  FastDivide per_image;
  int plane, channels;

  static constexpr bool kSharesMemory = false;
  template <class Tiling, int I>
  struct Memory {};

  template <class Tiling, int I>
  class Loader {
   public:
    __device__ Loader(const Channels& from, Memory<Tiling, I>&, int64_t first, int64_t k, int64_t group)
        : from_(from),
          at_(from.source.data + group * from.source.group + (first + static_cast<int>(threadIdx.x) / 8) * from.plane),
          k_(static_cast<int>(k)),
          left_(static_cast<int>(from.channels - first < I ? from.channels - first : I)) {}
    __device__ void look_ahead(AsyncCopies&, int) {}
    __device__ __forceinline__ void load(AsyncCopies& copies, SharedPlace<T> to, int step, int count) {
      const int t = anew(static_cast<int>(threadIdx.x)), i = t / 8;
#pragma unroll
      for (int across = 0; across < Tiling::kK; across += 8) {
        const int k = t % 8 + across, pixel = k_ + step * Tiling::kK + k;
        const int n = from_.per_image(pixel), place = from_.per_image.rest(pixel, n);
        const SharedPlace<T> first = to + (k * kPitch<T, I> + i);
        const T* from = at_ + n * from_.source.image + place;
#pragma unroll
        for (int down = 0; down < I; down += S::kLines) {
          if (down > 0) from = anew(from + S::kLines * from_.plane);
          if (k < count && i < left_ - down) copies.template copy<sizeof(T)>(first + down, from);
        }
      }
    }

   private:
    using S = Share<Tiling, I>;
    const Channels& from_;
    const T* at_;
    int k_, left_;
  };
};

// Right operand of the weights' gradient: column i is a tap, k a pixel. The tile's taps stay in shared memory.
template <class T>
struct Patches {
  Images<T> source;
  const Tap* taps;
  int columns;
  FastDivide per_image, per_row;
  int step_h, step_w;

  static constexpr bool kSharesMemory = true;
  template <class Tiling, int I>
  struct Memory {
    Tap taps[I];
  };

  template <class Tiling, int I>
  class Loader {
   public:
    __device__ Loader(const Patches& from, Memory<Tiling, I>& memory, int64_t first, int64_t k, int64_t group)
        : from_(from), memory_(memory), at_(from.source.data + group * from.source.group), k_(static_cast<int>(k)) {
      for (int i = static_cast<int>(threadIdx.x); i < I; i += Tiling::kThreads) {
        memory.taps[i] = first + i < from.columns ? from.taps[first + i] : kNoTap;
      }
    }
    __device__ void look_ahead(AsyncCopies&, int) {}
    __device__ __forceinline__ void load(AsyncCopies& copies, SharedPlace<T> to, int step, int count) {
      const int t = anew(static_cast<int>(threadIdx.x)), i = t / 8;
#pragma unroll
      for (int across = 0; across < Tiling::kK; across += 8) {
        const int k = t % 8 + across, pixel = k_ + step * Tiling::kK + k;
        if (k >= count) continue;
        const int n = from_.per_image(pixel), in_image = from_.per_image.rest(pixel, n);
        const int a = from_.per_row(in_image), b = from_.per_row.rest(in_image, a);
        const int h = a * from_.step_h, w = b * from_.step_w;
        const T* const from = at_ + n * from_.source.image + int64_t{h} * from_.source.w + w;
        const SharedPlace<T> first = to + (k * kPitch<T, I> + i);
        Tap tap[kTaps];  // as in Pixels
#pragma unroll
        for (int down = 0; down < kTaps; ++down) tap[down] = memory_.taps[i + down * S::kLines];
#pragma unroll
        for (int down = 0; down < kTaps; ++down) {
          copies.template copy_or_zero<sizeof(T)>(
              first + down * S::kLines, at_tap(from, tap[down]),
              inside(h + tap[down].h, w + tap[down].w, from_.source.h, from_.source.w));
        }
      }
    }

   private:
    using S = Share<Tiling, I>;
    static constexpr int kTaps = I / S::kLines;
    const Patches& from_;
    Memory<Tiling, I>& memory_;
    const T* at_;
    int k_;
  };
};

// Where a lattice's results go: row i is a channel, column j the pixel (n, a, b) at image n, a * down + b * across.
template <class T>
struct LatticeResult {
  T* c;
  int64_t row, group;
  bool packs;  // pixels lie one after the other, and an image has whole packs of them at aligned addresses
  FastDivide per_image, per_row;
  int64_t image, down, across;

  __device__ int64_t offset(int64_t j) const {
    const int pixel = static_cast<int>(j), n = per_image(pixel), in_image = per_image.rest(pixel, n);
    const int a = per_row(in_image);
    return n * image + a * down + per_row.rest(in_image, a) * across;
  }
  LatticeResult slots(T* at, int64_t m, int64_t n, int64_t blocks) const {
    const FastDivide all(n);
    return {at, n, blocks * m * n, n % Pack<T>::kSize == 0, all, all, 0, 0, 1};
  }
};

// ---- The passes ----

// Whether every place is a number of 31 bits, with padding and dilation.
bool is_small(const Conv2dSize& s) {
  constexpr int64_t kMost = 1 << 29, kMostPlaces = (int64_t{1} << 31) - 1;
  const auto below = [](std::initializer_list<int64_t> factors, int64_t most) {
    int64_t product = 1;
    for (const int64_t f : factors) {
      if (f == 0) return true;
      if (product > most / f) return false;
      product *= f;
    }
    return true;
  };
  return below({s.h}, kMost) && below({s.w}, kMost) && below({s.padding_h}, kMost) && below({s.padding_w}, kMost) &&
         below({s.stride_h}, kMost) && below({s.stride_w}, kMost) && below({s.dilation_h}, kMost) &&
         below({s.dilation_w}, kMost) && below({s.dilation_h, s.r}, kMost) && below({s.dilation_w, s.s}, kMost) &&
         below({s.stride_h, s.out_h}, kMost) && below({s.stride_w, s.out_w}, kMost) &&
         below({s.c, s.h + 2 * s.padding_h, s.w + 2 * s.padding_w}, kMostPlaces) &&
         below({s.k, s.out_h + s.r * s.dilation_h, s.out_w + s.s * s.dilation_w}, kMostPlaces) &&
         below({s.n, s.h, s.w}, kMostPlaces) && below({s.n, s.out_h, s.out_w}, kMostPlaces) &&
         below({s.k, s.c, s.r, s.s}, kMostPlaces) && below({s.groups}, 65535);
}

// Groups of so few channels are computed output by output.
bool is_thin(const Conv2dSize& s) { return s.groups > 1 && std::min(s.c, s.k) / s.groups < 4; }

template <class T>
void lattice_convolution(const char* name, const Product<T>& size, Axis h, Axis w, int64_t out_h, int64_t out_w,
                         const Strided<T>& filters, const Images<T>& source, const LatticeResult<T>& result) {
  const TapTable taps(size.k / (h.taps * w.taps), h, w, source.h, source.w, sizeof(T));
  multiply(name, size, filters,
           Pixels<T>{source, taps.get(), static_cast<int>(taps.padded()), static_cast<int>(size.n),
                     FastDivide(out_h * out_w), FastDivide(out_w), h.step, w.step},
           result);
}

template <class T>
void forward(const Conv2dSize& s, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t channels = s.c / s.groups, m = s.k / s.groups, axis = channels * s.r * s.s, out = s.out_h * s.out_w;
  if (s.n * s.k * out == 0) return;
  const bool small = is_small(s);
  if (axis == 0 || !small || is_thin(s)) {
    const auto run = [&]<class Index>(Index) {
      launch("conv2d_forward", forward_outputs<T, Index>, plane_grid(out, s.n * s.k), kThreads, 0, Places<Index>(s), x,
             weight, bias, y);
    };
    return small ? run(int{}) : run(int64_t{});
  }
  const auto narrow = [](int64_t n) { return static_cast<int>(n); };
  const Axis h{narrow(s.r), narrow(s.stride_h), narrow(-s.padding_h), narrow(s.dilation_h), 0, 1};
  const Axis w{narrow(s.s), narrow(s.stride_w), narrow(-s.padding_w), narrow(s.dilation_w), 0, 1};
  lattice_convolution<T>(
      "conv2d_forward", {m, s.n * out, axis, s.groups, bias, nullptr}, h, w, s.out_h, s.out_w,
      {weight, axis, m, m * axis, false, false}, {x, s.c * s.h * s.w, channels * s.h * s.w, narrow(s.h), narrow(s.w)},
      {y, out, m * out, out % Pack<T>::kSize == 0 && aligned(y), FastDivide(out), FastDivide(out), s.k * out, 0, 1});
}

// The taps r that reach input positions of one residue: (position + padding - r * dilation) divisible by the stride, in
// descending r. They lie a constant distance apart, and so do their output positions.
Axis reached(int64_t taps, int64_t residue, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t period = stride / std::gcd(stride, dilation);
  for (int64_t r = taps - 1; r >= 0 && r >= taps - period; --r) {
    const int64_t distance = residue + padding - r * dilation;
    if (distance % stride != 0) continue;
    return {static_cast<int>(r / period + 1),
            1,
            static_cast<int>(distance / stride),
            static_cast<int>(period * dilation / stride),
            static_cast<int>(r),
            static_cast<int>(-period)};
  }
  return {0, 1, 0, 0, 0, 0};
}

// turned[group][k, i, j][c] = weight[group, k][c][r_i, s_j], for the taps that reach a lattice. A thread has one (k, c)
// and all taps: what it reads lies in a few lines of L1, and neighbouring threads write neighbouring c.
template <class T>
__global__ void turn_filters(int64_t filters, int channels, Axis h, Axis w, int r, int s, const T* weight, T* turned) {
  const int64_t number = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (number >= filters) return;
  const int k = static_cast<int>(number) / channels, c = static_cast<int>(number) - k * channels;
  const T* const filter = weight + number * r * s;
  T* to = turned + int64_t{k} * h.taps * w.taps * channels + c;  // k counts through all groups
  for (int i = 0; i < h.taps; ++i) {
    const T* const line = filter + (h.filter_first + i * h.filter_step) * s + w.filter_first;
#pragma unroll 4
    for (int j = 0; j < w.taps; ++j, to += channels) *to = line[j * w.filter_step];
  }
}

template <class T>
void backward_data(const Conv2dSize& s, const T* dy, const T* weight, T* dx) {
  const int64_t channels = s.c / s.groups, m = s.k / s.groups, plane = s.h * s.w, out = s.out_h * s.out_w;
  if (s.n * s.c * plane == 0) return;
  const bool small = is_small(s);
  if (m == 0 || !small || is_thin(s)) {
    const auto run = [&]<class Index>(Index) {
      launch("conv2d_backward_data", backward_data_outputs<T, Index>, plane_grid(plane, s.n * s.c), kThreads, 0,
             Places<Index>(s), dy, weight, dx);
    };
    return small ? run(int{}) : run(int64_t{});
  }
  const int64_t rows = std::min(s.stride_h, s.h), columns = std::min(s.stride_w, s.w);
  const auto axis_h = [&](int64_t residue) { return reached(s.r, residue, s.stride_h, s.padding_h, s.dilation_h); };
  const auto axis_w = [&](int64_t residue) { return reached(s.s, residue, s.stride_w, s.padding_w, s.dilation_w); };
  // Elements that no tap reaches are written only here.
  int64_t reached_h = 0, reached_w = 0;
  for (int64_t a = 0; a < rows; ++a) reached_h += axis_h(a).taps > 0;
  for (int64_t b = 0; b < columns; ++b) reached_w += axis_w(b).taps > 0;
  if (reached_h < rows || reached_w < columns) {
    device::fill_zero(dx, static_cast<size_t>(s.n * s.c * plane) * sizeof(T));
  }
  for (int64_t a = 0; a < rows; ++a) {
    const Axis h = axis_h(a);
    if (h.taps == 0) continue;
    for (int64_t b = 0; b < columns; ++b) {
      const Axis w = axis_w(b);
      if (w.taps == 0) continue;
      const int64_t axis = m * h.taps * w.taps;
      const Scratch<T> turned(s.groups * axis * channels);
      launch("conv2d_turn_filters", turn_filters<T>, blocks_for(s.k * channels, kThreads), kThreads, 0, s.k * channels,
             static_cast<int>(channels), h, w, static_cast<int>(s.r), static_cast<int>(s.s), weight, turned.get());
      const int64_t out_h = blocks_for(s.h - a, s.stride_h), out_w = blocks_for(s.w - b, s.stride_w);
      const bool dense = s.stride_h == 1 && s.stride_w == 1;
      lattice_convolution<T>(
          "conv2d_backward_data", {channels, s.n * out_h * out_w, axis, s.groups, nullptr, nullptr}, h, w, out_h, out_w,
          {turned.get(), channels, channels, axis * channels, true, channels % Pack<T>::kSize == 0},
          {dy, s.k * out, m * out, static_cast<int>(s.out_h), static_cast<int>(s.out_w)},
          {dx + a * s.w + b, plane, channels * plane, dense && plane % Pack<T>::kSize == 0 && aligned(dx),
           FastDivide(out_h * out_w), FastDivide(out_w), s.c * plane, s.stride_h * s.w, s.stride_w});
    }
  }
}

template <class T>
void backward_weights(const Conv2dSize& s, const T* dy, const T* x, T* dweight) {
  const int64_t channels = s.c / s.groups, m = s.k / s.groups, columns = channels * s.r * s.s;
  const int64_t out = s.out_h * s.out_w, axis = s.n * out, elements = s.k * columns;
  if (elements == 0) return;
  if (axis == 0) return device::fill_zero(dweight, static_cast<size_t>(elements) * sizeof(T));
  const bool small = is_small(s);
  const Product<T> size{m, columns, axis, s.groups, nullptr, nullptr};
  const Matrix<T> result{dweight, columns, 1, m * columns, columns % Pack<T>::kSize == 0 && aligned(dweight)};
  if (!small || is_thin(s)) {
    constexpr int64_t kMostSlots = 256 << 20;
    const int64_t blocks = blocks_for(axis, kBlock);
    const bool slots =
        blocks > 1 && elements < int64_t{1} << 31 && blocks <= kMostSlots / static_cast<int64_t>(sizeof(T)) / elements;
    const auto run = [&]<class Index>(Index) {
      const Extent grid(blocks_for(elements, kThreads), slots ? std::min<int64_t>(blocks, 65535) : 1);
      const Scratch<T> parts(slots ? blocks * elements : 0);
      launch("conv2d_backward_weights", backward_weights_outputs<T, Index>, grid, kThreads, 0, Places<Index>(s),
             slots ? kBlock : axis, dy, x, slots ? parts.get() : dweight);
      if (!slots) return;
      launch("conv2d_backward_weights", add_slots<T, Matrix<T>>, blocks_for(elements, kSlotThreads), kSlotThreads, 0,
             Product<T>{1, elements, axis, 1, nullptr, nullptr}, blocks, true, parts.get(),
             Matrix<T>{dweight, 0, 1, 0, false});
    };
    return small ? run(int{}) : run(int64_t{});
  }
  const auto narrow = [](int64_t n) { return static_cast<int>(n); };
  const Axis h{narrow(s.r), narrow(s.stride_h), narrow(-s.padding_h), narrow(s.dilation_h), 0, 1};
  const Axis w{narrow(s.s), narrow(s.stride_w), narrow(-s.padding_w), narrow(s.dilation_w), 0, 1};
  const TapTable taps(channels, h, w, s.h, s.w, sizeof(T));
  multiply("conv2d_backward_weights", size,
           Channels<T>{{dy, s.k * out, m * out, 0, 0}, FastDivide(out), narrow(out), narrow(m)},
           Patches<T>{{x, s.c * s.h * s.w, channels * s.h * s.w, narrow(s.h), narrow(s.w)},
                      taps.get(),
                      narrow(columns),
                      FastDivide(out),
                      FastDivide(s.out_w),
                      narrow(s.stride_h),
                      narrow(s.stride_w)},
           result);
}

// ---- Sums of planes ----

constexpr int kWarps = kThreads / 32, kChunk = 4096;

// y[row, chunk] = the sum of a chunk of a row, a warp for each: its lanes are the 32 of the rule.
template <class T>
__global__ void row_chunks(const T* x, int64_t rows, int64_t length, int64_t chunks, T* y) {
  const int64_t number = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (number >= rows * chunks) return;
  const int64_t row = number / chunks, first = (number - row * chunks) * kChunk;
  const int count = static_cast<int>(length - first < kChunk ? length - first : kChunk);
  const T* const from = x + row * length + first;
  T sum = T(0);
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x % 32); i < count; i += 32) sum = sum + from[i];
  for (int half = 16; half > 0; half /= 2) sum = sum + __shfl_down_sync(kWholeWarp, sum, half);
  if (threadIdx.x % 32 == 0) y[number] = sum;
}

// y[row] = Sum of the row.
template <class T>
void sums_of_rows(const T* x, int64_t rows, int64_t length, T* y) {
  const int64_t chunks = std::max<int64_t>(1, blocks_for(length, kChunk));
  const auto run = [&](T* to) {
    launch("conv2d_backward_bias", row_chunks<T>, blocks_for(rows * chunks, kWarps), kThreads, 0, x, rows, length,
           chunks, to);
  };
  if (chunks == 1) return run(y);
  const Scratch<T> sums(rows * chunks);
  run(sums.get());
  sums_of_rows(static_cast<const T*>(sums.get()), rows, chunks, y);
}

template <class T>
void plane_sums_any(const T* dy, int64_t n, int64_t c, int64_t plane, T* dbias) {
  if (n * c == 0) return column_sums(dy, 0, c, dbias);
  const Scratch<T> planes(n * c);
  sums_of_rows(dy, n * c, plane, planes.get());
  column_sums(planes.get(), n, c, dbias);
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
