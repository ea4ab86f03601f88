#include "ops/pool2d.h"

#include <functional>

#include "lane_sum.h"
#include "ops/gemm_core.h"
#include "parallel.h"
#include "simd.h"
#include "workspace.h"

namespace nnlite {
namespace {

// Rows, and planes, worth about 20 us.
int64_t row_grain(int64_t size) { return std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, size)); }
int64_t plane_grain(int64_t size) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, size)); }

// Max and average pooling work on bands: some rows of windows (forward) or of elements (backward) of one plane, or
// several small planes whole. What lies under the windows is first written apart by phase, the remainder of its row and
// column by the stride, with a border for the padding. Then tap t of all windows of a band is one run of memory, and
// vectors run over columns, rows and planes alike; what they compute between the rows is left behind. Backward does the
// same in the opposite direction. Rows of few windows or of long steps, windows of 2 x 2, and windows of 3 x 3 at steps
// of 2 have ways of their own: see over_planes, are_fours and are_nines.

// Elements of a band: its scratch memory stays in cache.
constexpr int64_t kBand = 4096;

struct Band {
  int64_t plane, planes, row, rows;
};

// The bands of planes with `rows` rows of `size` elements; small planes are taken together up to `together` elements.
class Bands {
 public:
  Bands(int64_t planes, int64_t rows, int64_t size, int64_t together = kBand)
      : planes(planes),
        rows(std::clamp<int64_t>(kBand / size, 1, rows)),
        group(this->rows < rows ? 1 : std::clamp<int64_t>(together / (rows * size), 1, std::max<int64_t>(1, planes))),
        all_rows_(rows),
        each_((rows + this->rows - 1) / this->rows),
        size_(size) {}

  int64_t count() const { return (planes + group - 1) / group * each_; }
  int64_t grain() const { return std::max<int64_t>(1, (1 << 15) / (group * rows * size_)); }
  Band operator[](int64_t i) const {
    const int64_t plane = i / each_ * group, row = i % each_ * rows;
    return {plane, std::min(group, planes - plane), row, std::min(rows, all_rows_ - row)};
  }

  const int64_t planes, rows, group;  // group: planes of a band

 private:
  int64_t all_rows_, each_, size_;
};

// These three copy whole vectors if the array with the row goes on for `room` elements: what is written behind a row is
// written again with the next one. Scratch memory has the room. This one copies what take makes of the elements.
template <class T, class Take = std::identity>
void copy_row(const T* from, int64_t n, int64_t room, T* to, Take take = {}) {
  typedef T V __attribute__((vector_size(kVecBytes)));
  constexpr int W = kVecBytes / static_cast<int>(sizeof(T));
  if (room >= n + W) {
    for (int64_t i = 0; i < n; i += W) {
      V v;
      std::memcpy(&v, from + i, sizeof v);
      v = take(v);
      std::memcpy(to + i, &v, sizeof v);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = take(from[i]);
  }
}

// Even elements to one place, odd ones to another.
template <class T>
void split_row(const T* from, int64_t n, int64_t room, T* even, T* odd) {
  constexpr int W = kLanes<T>;
  if (room >= n + 2 * W) {
    for (int64_t i = 0; i < n; i += 2 * W) {
      Vec<T> a, b;
      load_apart(from + i, a, b);
      store(even + i / 2, a);
      store(odd + i / 2, b);
    }
  } else {
    for (int64_t i = 0; i < n; i += 2) {
      even[i / 2] = from[i];
      if (i + 1 < n) odd[i / 2] = from[i + 1];
    }
  }
}

template <class T>
void join_row(const T* even, const T* odd, int64_t n, int64_t room, T* to) {
  constexpr int W = kLanes<T>;
  if (room >= n + 2 * W) {
    for (int64_t i = 0; i < n; i += 2 * W) store_together<T>(to + i, load(even + i / 2), load(odd + i / 2));
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = (i % 2 == 0 ? even : odd)[i / 2];
  }
}

// The lines outside [first, last) of `rows`, and the columns outside [left, right) of those inside.
template <class T>
void write_border(T* to, int64_t rows, int64_t pitch, int64_t first, int64_t last, int64_t left, int64_t right,
                  T border) {
  std::fill(to, to + first * pitch, border);
  std::fill(to + last * pitch, to + rows * pitch, border);
  const auto column = [=](int64_t v) {
    for (int64_t i = first; i < last; ++i) to[i * pitch + v] = border;
  };
  for (int64_t v = 0; v < left; ++v) column(v);
  for (int64_t v = right; v < pitch; ++v) column(v);
}

// Calls f with the number of taps as a constant where it is a usual one.
template <class F>
void with_count(int64_t count, F f) {
  switch (count) {
    case 1:
      return f([] { return int64_t{1}; });
    case 2:
      return f([] { return int64_t{2}; });
    case 4:
      return f([] { return int64_t{4}; });
    case 9:
      return f([] { return int64_t{9}; });
    default:
      return f([=] { return count; });
  }
}

// The elements under the windows of a band, apart by phase. Window (row, ow) of the band's plane k has place
// place(k, row) + ow, and tap t of the window at place i is run[t][i].
template <class T>
class Taps {
 public:
  Taps(WindowAxis h, WindowAxis w, const Bands& bands, T border)
      : run(h.kernel * w.kernel),
        h_(h),
        w_(w),
        border_(border),
        phases_h_(std::min(h.stride, h.kernel)),
        phases_w_(w.stride),
        height_(bands.rows + (h.kernel - 1) / h.stride),
        pitch_(w.windows + (w.kernel - 1) / w.stride),
        used_(std::min(w.size, w.element(w.windows - 1, w.kernel))),
        room_((bands.group * height_ + 1) * pitch_ + kVecBytes),
        data_(phases_h_ * phases_w_ * room_) {
    for (int64_t p = 0; p < phases_w_; ++p) {
      left_[p] = p < w.padding ? ceil_div(w.padding - p, w.stride) : 0;
      right_[p] = ceil_div(used_ + w.padding - p, w.stride);
    }
    for (int64_t r = 0; r < h.kernel; ++r) {
      for (int64_t s = 0; s < w.kernel; ++s) {
        run[r * w.kernel + s] = phase(r % h.stride, s % w.stride) + r / h.stride * pitch_ + s / w.stride;
      }
    }
  }

  int64_t room() const { return room_; }
  int64_t places(Band b) const { return place(b.planes - 1, b.rows); }
  int64_t place(int64_t plane, int64_t row) const { return (plane * height_ + row) * pitch_; }

  // x is the whole array, which ends at x_end.
  void read(const T* x, const T* x_end, Band b) const {
    for (int64_t k = 0; k < b.planes; ++k) {
      const T* const plane = x + (b.plane + k) * h_.size * w_.size;
      for (int64_t q = 0; q < phases_h_; ++q) {
        const int64_t rows = b.rows + (h_.kernel - 1 - q) / h_.stride, top = h_.element(b.row, q);
        const int64_t first = std::min(rows, top < 0 ? ceil_div(-top, h_.stride) : 0);
        const int64_t last = std::clamp(ceil_div(std::max<int64_t>(0, h_.size - top), h_.stride), first, rows);
        read_rows(plane + (top + first * h_.stride) * w_.size, x_end, last - first, phase(q, 0) + place(k, first));
        for (int64_t p = 0; p < phases_w_; ++p) {
          write_border(phase(q, p) + place(k, 0), rows, pitch_, first, last, left_[p], right_[p], border_);
        }
      }
    }
  }

  // Copies the row of results at every row of places to (planes, h.windows, w.windows).
  template <class R>
  void write(const R* from, Band b, R* to) const {
    const R* const end = to + ((b.plane + b.planes - 1) * h_.windows + b.row + b.rows) * w_.windows;
    for (int64_t k = 0; k < b.planes; ++k) {
      for (int64_t i = 0; i < b.rows; ++i) {
        R* const row = to + ((b.plane + k) * h_.windows + b.row + i) * w_.windows;
        copy_row(from + place(k, i), w_.windows, end - row, row);
      }
    }
  }

  const Scratch<const T*> run;

 private:
  T* phase(int64_t q, int64_t p) const { return data_.get() + (q * phases_w_ + p) * room_; }

  void read_rows(const T* from, const T* end, int64_t rows, T* to) const {
    const int64_t shift = w_.padding, step = h_.stride * w_.size;
    if (w_.stride == 1) {
      each_row(from, step, rows, to,
               [=, n = used_](const T* row, T* line) { copy_row(row, n, end - row, line + shift); });
    } else {
      const int64_t even = shift % 2 * room_ + shift / 2, odd = (shift + 1) % 2 * room_ + (shift + 1) / 2;
      each_row(from, step, rows, to,
               [=, n = used_](const T* row, T* line) { split_row(row, n, end - row, line + even, line + odd); });
    }
  }

  template <class Read>
  void each_row(const T* from, int64_t step, int64_t rows, T* to, Read read) const {
    for (const int64_t pitch = pitch_; rows > 0; --rows, from += step, to += pitch) read(from, to);
  }

  WindowAxis h_, w_;
  T border_;
  int64_t phases_h_, phases_w_, height_, pitch_, used_, room_;
  int64_t left_[2], right_[2];  // where the elements of a row lie, for each phase
  Scratch<T> data_;
};

// Indices of taps, of type I in memory, as integers of T's size. (What the compiler makes of conversions from and to
// bytes takes longer than the rest.)
template <class T>
using TapVec = typename LaneIndex<T>::type;
template <class T, class I>
void store_taps(I* to, TapVec<T> taps) {
  if constexpr (sizeof(I) == 1) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)taps));
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)taps));
    }
    return;
#elif defined(__AVX2__)
    const __m256i low_bytes = sizeof(T) == 4 ? _mm256_set1_epi32(0x0c080400) : _mm256_set1_epi16(0x0800);
    const __m256i bytes = _mm256_shuffle_epi8((__m256i)taps, low_bytes);
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    if constexpr (sizeof(T) == 4) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi32(low, high));
    } else {
      _mm_storeu_si32(to, _mm_unpacklo_epi16(low, high));
    }
    return;
#endif
  }
  typedef I Memory __attribute__((vector_size(kLanes<T> * sizeof(I))));
  const auto v = __builtin_convertvector(taps, Memory);
  std::memcpy(to, &v, sizeof v);
}

// Where windows have chosen a tap, and what is so selected.
#if defined(__AVX512F__)
template <class T>
using Hits = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
template <class T>
Hits<T> hits(const uint8_t* index, int32_t tap) {
  const auto* const at = reinterpret_cast<const __m128i*>(index);
  const __m128i v = sizeof(T) == 4 ? _mm_loadu_si128(at) : _mm_loadl_epi64(at);
  return static_cast<Hits<T>>(_mm_cmpeq_epi8_mask(v, _mm_set1_epi8(static_cast<char>(tap))));
}
template <class T>
Hits<T> hits(const int32_t* index, int32_t tap) {
  if constexpr (sizeof(T) == 4) return _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(index), _mm512_set1_epi32(tap));
  return static_cast<Hits<T>>(
      _mm256_cmpeq_epi32_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index)), _mm256_set1_epi32(tap)));
}
Vec<float> select(__mmask16 hit, Vec<float> a, Vec<float> b) { return _mm512_mask_blend_ps(hit, b, a); }
Vec<double> select(__mmask8 hit, Vec<double> a, Vec<double> b) { return _mm512_mask_blend_pd(hit, b, a); }
#else
template <class T>
using Hits = TapVec<T>;
template <class T, class I>
Hits<T> hits(const I* index, int32_t tap) {
#if defined(__AVX2__)
  if constexpr (sizeof(I) == 1 && sizeof(T) == 4) {
    return (TapVec<T>)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(index))) == tap;
  } else if constexpr (sizeof(I) == 1) {
    return (TapVec<T>)_mm256_cvtepu8_epi64(_mm_loadu_si32(index)) == tap;
  }
#endif
  typedef I Memory __attribute__((vector_size(kLanes<T> * sizeof(I))));
  Memory v;
  std::memcpy(&v, index, sizeof v);
  return __builtin_convertvector(v, TapVec<T>) == tap;
}
template <class V, class Hit>
V select(Hit hit, V a, V b) {
  return hit ? a : b;
}
#endif

// Whether all are indices of `count` taps.
template <class I>
bool are_taps(const I* index, int64_t n, int64_t count) {
  using Unsigned = std::make_unsigned_t<I>;
  Unsigned most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, static_cast<Unsigned>(index[i]));
  return n == 0 || most < count;
}

// Where v takes the place of the greatest so far: it is greater, or the first NaN.
template <class T>
TapVec<T> wins(Vec<T> v, Vec<T> best) {
  return ~(v <= best) & (best == best);
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

template <class T, class Count, class Finish>
void sum_of_runs(const T* const* run, Count count, T start, int64_t places, Finish finish, T* y) {
  for (int64_t i = 0; i < places; i += kLanes<T>) {
    Vec<T> sum = broadcast(start);
    for (int64_t t = 0; t < count(); ++t) sum = sum + load(run[t] + i);
    store(y + i, finish(sum));
  }
}

// Calls f with what divides by the size of a window; a power of two leaves the same bits when it multiplies.
template <class T, class F>
void with_division(int64_t size, F f) {
  const T count = static_cast<T>(size), reciprocal = 1 / count;
  if ((size & (size - 1)) == 0) {
    f([=](auto v) { return v * reciprocal; });
  } else {
    f([=](auto v) { return v / count; });
  }
}

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

// Windows of 3 x 3 at steps of 2, the usual ones beside those of 2 x 2: forward reads them where they lie, as it reads
// fours, and backward writes the elements in place. Each third tap is a first one of the next window: vectors of it are
// those of the first taps, moved by a lane (forward) or read one window further on (backward).
bool are_nines(WindowAxis h, WindowAxis w) {
  const auto threes = [](WindowAxis a) { return a.kernel == 3 && a.stride == 2 && a.dilation == 1; };
  return threes(h) && threes(w) && h.padding == w.padding;
}

// Whether vectors run over planes: where a row has few windows, most of a run of taps would be border, and where the
// stride is long, rows would be written apart element by element. Transposing W planes is faster, even with lanes to
// spare.
bool over_planes(WindowAxis h, WindowAxis w) { return w.windows <= (are_nines(h, w) ? 6 : 8) || w.stride > 2; }

// Rows [first, last) of W planes side by side: element i of all of them is one vector.
template <class T>
struct SideBySide {
  // Calls f(vector, tap) for the taps of window (oh, ow) in these rows, in ascending order.
  template <class F>
  void each_tap(int64_t oh, int64_t ow, F f) const {
    const int64_t row = h.element(oh, 0), column = w.element(ow, 0);
    const int64_t top = std::max<int64_t>(0, first - row), bottom = std::min(h.kernel, last - row);
    const int64_t left = std::max<int64_t>(0, -column), right = std::min(w.kernel, w.size - column);
    for (int64_t r = top; r < bottom; ++r) {
      for (int64_t s = left; s < right; ++s) {
        f(data + ((row + r - first) * w.size + column + s) * kLanes<T>, r * w.kernel + s);
      }
    }
  }
  WindowAxis h, w;
  int64_t first, last;
  T* data;
};

// Calls f(rows, oh, ow, n, i) for every window of every plane, n <= W planes at a time: the window's result for the
// first of them is element i, and for each next one h.windows * w.windows elements on.
template <class T, class F>
void each_window(const T* x, int64_t planes, WindowAxis h, WindowAxis w, F f) {
  constexpr int W = kLanes<T>;
  const Bands bands(ceil_div(planes, W), h.windows, std::min(h.stride, h.size) * w.size * W);
  parallel_for(0, bands.count(), bands.grain(), [=](int64_t begin, int64_t end) {
    const Scratch<T> data(std::min(h.size, (bands.rows - 1) * h.stride + h.kernel) * w.size * W);
    for (int64_t i = begin; i < end; ++i) {
      const Band b = bands[i];
      const int64_t first = std::max<int64_t>(0, h.element(b.row, 0));
      const int64_t last = std::min(h.size, h.element(b.row + b.rows - 1, h.kernel));
      const SideBySide<T> rows{h, w, first, last, data.get()};
      for (int64_t k = b.plane; k < b.plane + b.planes; ++k) {
        const int64_t plane = k * W, n = std::min<int64_t>(W, planes - plane);
        pack_transposed(x + (plane * h.size + first) * w.size, h.size * w.size, n, (last - first) * w.size, data.get(),
                        W, W);
        for (int64_t oh = b.row; oh < b.row + b.rows; ++oh) {
          for (int64_t ow = 0; ow < w.windows; ++ow) f(rows, oh, ow, n, (plane * h.windows + oh) * w.windows + ow);
        }
      }
    }
  });
}

template <class V, class R>
void spread(V lanes, int64_t n, int64_t apart, R* to) {
  for (int64_t i = 0; i < n; ++i) to[i * apart] = static_cast<R>(lanes[i]);
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

// Windows of 2 x 2 that neither overlap nor reach beyond the plane, the usual ones, are read where they lie, two rows
// at a time. Whole vectors are loaded and stored; what they write behind a row is written again with the next one.
bool are_fours(WindowAxis h, WindowAxis w) {
  const auto halves = [](WindowAxis a) {
    return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.dilation == 1 && 2 * a.windows <= a.size;
  };
  return halves(h) && halves(w);
}

// Calls f(i, a, b, c, d) with the elements of windows i, i + 1, ... as vectors, or of window i as numbers.
template <class T, class F>
void each_four(const T* x, int64_t planes, WindowAxis h, WindowAxis w, F f) {
  constexpr int W = kLanes<T>;
  const T* const end_of_x = x + planes * h.size * w.size;
  parallel_for(0, planes * h.windows, row_grain(2 * w.size), [=](int64_t begin, int64_t end) {
    int64_t plane = begin / h.windows, oh = begin % h.windows;
    for (int64_t first = begin * w.windows; first < end * w.windows; first += w.windows) {
      const T *const upper = x + (plane * h.size + 2 * oh) * w.size, *const lower = upper + w.size;
      const int64_t room = std::min(end * w.windows - first, (end_of_x - lower) / 2);
      int64_t i = 0;
      for (; i < w.windows && i + W <= room; i += W) {
        Vec<T> a, b, c, d;
        load_apart(upper + 2 * i, a, b);
        load_apart(lower + 2 * i, c, d);
        f(first + i, a, b, c, d);
      }
      for (; i < w.windows; ++i) f(first + i, upper[2 * i], upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]);
      if (++oh == h.windows) {
        oh = 0;
        ++plane;
      }
    }
  });
}

// Writes what value(i, tap, V()) says of windows i, i + 1, ... (V a vector) or of window i (V a number) to the element
// under tap 0, 1, 2 or 3; elements in no window are +0.
template <class T, class F>
void write_fours(T* x, int64_t planes, WindowAxis h, WindowAxis w, F value) {
  constexpr int W = kLanes<T>;
  const int64_t all = planes * h.windows * w.windows;
  parallel_for(0, planes * h.size, row_grain(w.size), [=](int64_t begin, int64_t end) {
    int64_t plane = begin / h.size, y = begin % h.size;
    T* const end_of_x = x + end * w.size;
    for (T* row = x + begin * w.size; row < end_of_x; row += w.size) {
      int64_t i = 0;
      if (y < 2 * h.windows) {
        const int64_t first = (plane * h.windows + y / 2) * w.windows;
        const int32_t tap = y % 2 * 2;
        const int64_t room = std::min(all - first, (end_of_x - row) / 2);
        for (; i < w.windows && i + W <= room; i += W) {
          store_together<T>(row + 2 * i, value(first + i, tap, Vec<T>{}), value(first + i, tap + 1, Vec<T>{}));
        }
        for (; i < w.windows; ++i) {
          row[2 * i] = value(first + i, tap, T());
          row[2 * i + 1] = value(first + i, tap + 1, T());
        }
        i = 2 * w.windows;
      }
      for (; i < w.size; ++i) row[i] = T(0);
      if (++y == h.size) {
        y = 0;
        ++plane;
      }
    }
  });
}

template <class T>
void max_forward_of_fours(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, uint8_t* index) {
  each_four(x, planes, h, w, [=](int64_t i, auto a, auto b, auto c, auto d) {
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
bool max_backward_of_fours(const T* dy, const uint8_t* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  // The array is the caller's.
  const int64_t all = planes * h.windows * w.windows;
  int valid = 1;
  parallel_for(0, all, 1 << 15, [=, &valid](int64_t begin, int64_t end) {
    if (!are_taps(index + begin, end - begin, 4)) __atomic_store_n(&valid, 0, __ATOMIC_RELAXED);
  });
  if (!valid) return false;
  write_fours(dx, planes, h, w, [=](int64_t i, int32_t tap, auto kind) {
    if constexpr (std::is_same_v<decltype(kind), T>) {
      return index[i] == tap ? dy[i] : T(0);
    } else {
      return select(hits<T>(index + i, tap), load(dy + i), Vec<T>{});
    }
  });
  return true;
}

// Calls f with the padding, 0 or 1, as a constant.
template <class F>
void with_padding(WindowAxis w, F f) {
  if (w.padding == 0) return f([] { return 0; });
  f([] { return 1; });
}

// The three taps of windows i, i + 1, ... in a row, of which the last lies in the plane in the lanes `inside`.
template <class T, class Padding>
void load_threes(const T* row, int64_t i, Padding padding, TapVec<T> inside, T border, Vec<T>* tap) {
  constexpr int W = kLanes<T>;
  Vec<T> even, odd;
  load_apart(row + 2 * i, even, odd);
  if constexpr (padding() == 0) {
    tap[0] = even;
    tap[1] = odd;
    tap[2] = pick_lanes<T>(even, broadcast(row[2 * (i + W)]), [](int lane) { return lane + 1; });
  } else {
    tap[0] = pick_lanes<T>(broadcast(i > 0 ? row[2 * i - 1] : border), odd, [](int lane) { return lane + W - 1; });
    tap[1] = even;
    tap[2] = inside ? odd : broadcast(border);
  }
}

// Calls f(threes, first, last, i, ow, room) for windows ow, ow + 1, ... of each of `rows` rows of windows; their
// results are elements i, i + 1, ..., of which `room` are to be written. Rows [first, last) of taps lie in the plane,
// the first of them at x; threes(r, tap) loads those of row r. Not inline: the loop needs all registers.
template <class Padding, class T, class F>
__attribute__((noinline)) void read_nines(Padding padding, const T* x, int64_t step, int64_t first, int64_t last,
                                          WindowAxis w, T border, int64_t rows, int64_t i, int64_t room, F f) {
  constexpr int W = kLanes<T>;
  TapVec<T> lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
  for (; rows > 0; --rows, x += 2 * step, i += w.windows, room -= w.windows) {
    for (int64_t ow = 0; ow < w.windows; ow += W) {
      const TapVec<T> inside = lane < static_cast<int32_t>(std::min<int64_t>(W, w.size / 2 - ow));
      const auto threes = [=](int64_t r, Vec<T>* tap) {
        load_threes(x + (r - first) * step, ow, padding, inside, border, tap);
      };
      f(threes, first, last, i + ow, ow, room - ow);
    }
  }
}

// Calls f so for all windows. Whole vectors are loaded; rows are copied where these would leave the array.
template <class T, class F>
void each_nine(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T border, F f) {
  const int64_t reach = 2 * ceil_div(w.windows, kLanes<T>) * kLanes<T> + 1, size = w.size;
  const T* const end_of_x = x + planes * h.size * size;
  parallel_for(0, planes * h.windows, row_grain(2 * size), [=](int64_t begin, int64_t end) {
    const Scratch<T> copies(3 * reach);
    for (int64_t i = begin, rows; i < end; i += rows) {
      const int64_t plane = i / h.windows, oh = i % h.windows, top = h.element(oh, 0);
      const int64_t first = std::max<int64_t>(0, -top), last = std::min<int64_t>(3, h.size - top);
      const T* const from = x + (plane * h.size + top + first) * size;
      // Rows of windows that lie in the plane are read together.
      const int64_t alike = last - first < 3 ? 1 : std::min(end - i, (h.size - 3 - top) / 2 + 1);
      const int64_t room = end_of_x - from - (last - first - 1) * size - reach;
      const int64_t whole = room < 0 ? 0 : std::min(alike, room / (2 * size) + 1);
      rows = std::max<int64_t>(1, whole);
      with_padding(w, [&](auto padding) {
        const auto read = [&](const T* row, int64_t step) {
          read_nines(padding, row, step, first, last, w, border, rows, i * w.windows, (end - i) * w.windows, f);
        };
        if (whole > 0) return read(from, size);
        for (int64_t r = 0; r < last - first; ++r) std::copy_n(from + r * size, size, copies.get() + r * reach);
        read(copies.get(), reach);
      });
    }
  });
}

template <class T>
void max_forward_of_nines(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, uint8_t* index) {
  const T least = static_cast<T>(-__builtin_inf());
  each_nine(x, planes, h, w, least, [=](auto threes, int64_t first, int64_t last, int64_t i, int64_t ow, int64_t room) {
    // The first greatest of the rows' first greatest ones: shorter chains than from tap to tap.
    const auto max_of_row = [&](int64_t r, TapVec<T>& winner) {
      Vec<T> tap[3];
      threes(r, tap);
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

template <class T>
void avg_forward_of_nines(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  each_nine(x, planes, h, w, T(0), [=](auto threes, int64_t first, int64_t last, int64_t i, int64_t, int64_t room) {
    Vec<T> sum = {};
    for (int64_t r = first; r < last; ++r) {
      Vec<T> tap[3];
      threes(r, tap);
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

Bands window_bands(int64_t planes, WindowAxis h, WindowAxis w) {
  return Bands(planes, h.windows, std::min(h.stride, h.size) * w.size);
}

template <class T, class I>
void max_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y, I* index) {
  if constexpr (sizeof(I) == 1) {
    if (are_fours(h, w)) return max_forward_of_fours(x, planes, h, w, y, index);
  }
  if (over_planes(h, w)) return max_forward_over_planes(x, planes, h, w, y, index);
  if constexpr (sizeof(I) == 1) {
    if (are_nines(h, w)) return max_forward_of_nines(x, planes, h, w, y, index);
  }
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
void avg_forward(const T* x, int64_t planes, WindowAxis h, WindowAxis w, T* y) {
  if (are_fours(h, w)) {
    return each_four(x, planes, h, w, [=](int64_t i, auto a, auto b, auto c, auto d) {
      const auto mean = ((((T(0) + a) + b) + c) + d) * T(0.25);
      std::memcpy(y + i, &mean, sizeof mean);
    });
  }
  if (over_planes(h, w)) return avg_forward_over_planes(x, planes, h, w, y);
  if (are_nines(h, w)) return avg_forward_of_nines(x, planes, h, w, y);
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

// The windows around the elements of one axis: element a * stride + q lies under tap tap(q, k) of window
// a + shift(q) - k, for all k < count(q).
struct Around {
  explicit Around(WindowAxis axis)
      : stride(axis.stride),
        kernel(axis.kernel),
        padding(axis.padding),
        phases(std::min(axis.stride, axis.size)),
        size(ceil_div(axis.size, axis.stride)),
        before((axis.kernel - 1 - axis.padding) / axis.stride),
        after((phases - 1 + axis.padding) / axis.stride) {}
  int64_t shift(int64_t q) const { return (q + padding) / stride; }
  int64_t tap(int64_t q, int64_t k) const { return (q + padding) % stride + k * stride; }
  int64_t count(int64_t q) const { return ceil_div(kernel - tap(q, 0), stride); }
  int64_t most() const { return ceil_div(kernel, stride); }
  int64_t stride, kernel, padding, phases, size, before, after;
};

// The windows around the elements of a band. Element (a * stride + q, v * stride + p) of the band's plane k has place
// place(k, a) + v for all (q, p).
class Neighbours {
 public:
  Neighbours(int64_t planes, WindowAxis h, WindowAxis w)
      : down(h),
        across(w),
        bands(planes, down.size, down.phases * w.size, kBand / 4),  // reads come between writes the more often
        h_(h),
        w_(w),
        height_(bands.rows + down.before + down.after),
        pitch_(across.size + across.before + across.after),
        room_((bands.group * height_ + 1) * pitch_ + kVecBytes) {}

  int64_t room() const { return room_; }
  int64_t places(Band b) const { return place(b.planes - 1, b.rows); }
  int64_t place(int64_t plane, int64_t row) const { return (plane * height_ + row) * pitch_; }

  // The number of elements up to a band's last one.
  int64_t end(Band b) const {
    return ((b.plane + b.planes - 1) * h_.size + std::min(h_.size, (b.row + b.rows) * h_.stride)) * w_.size;
  }

  // Copies what take makes of what belongs to the windows around a band, with a border around it. see(row, n) is shown
  // all of it.
  template <class T, class See, class Take = std::identity>
  void read(const T* from, Band b, T border, T* to, See see, Take take = {}) const {
    const T* const end = from + bands.planes * h_.windows * w_.windows;
    const int64_t rows = b.rows + down.before + down.after, top = b.row - down.before, n = w_.windows;
    const int64_t first = std::max<int64_t>(0, -top), last = std::min(rows, h_.windows - top);
    for (int64_t k = 0; k < b.planes; ++k) {
      const T* row = from + ((b.plane + k) * h_.windows + top + first) * n;
      see(row, (last - first) * n);
      T* line = to + place(k, first) + across.before;
      for (int64_t i = first; i < last; ++i, row += n, line += pitch_) copy_row(row, n, end - row, line, take);
      write_border(to + place(k, 0), rows, pitch_, first, last, across.before, across.before + n, border);
    }
  }

  // Calls f(offset, tap) for the taps over the elements of a phase, in ascending order of the windows (oh, ow): the
  // window with that tap over place i has place i + offset.
  template <class F>
  void each_tap(int64_t q, int64_t p, F f) const {
    for (int64_t i = down.count(q) - 1; i >= 0; --i) {
      for (int64_t j = across.count(p) - 1; j >= 0; --j) {
        f((down.shift(q) - i + down.before) * pitch_ + across.shift(p) - j + across.before,
          down.tap(q, i) * w_.kernel + across.tap(p, j));
      }
    }
  }

  // Joins the phases, `room` apart, to the band's rows; elements in no window are +0.
  template <class T>
  void write(const T* from, Band b, T* to) const {
    const int64_t n = std::min(w_.size, w_.element(w_.windows - 1, w_.kernel)), apart = room_, phases = across.phases;
    if (w_.stride == 1) {
      write_rows(from, b, n, to, [=](const T* phase, int64_t room, T* row) { copy_row(phase, n, room, row); });
    } else {
      write_rows(from, b, n, to, [=, odd = (phases - 1) * apart](const T* phase, int64_t room, T* row) {
        join_row(phase, phase + odd, n, room, row);
      });
    }
  }

  const Around down, across;
  const Bands bands;

 private:
  // Rows of which n elements lie in windows.
  template <class T, class Write>
  void write_rows(const T* from, Band b, int64_t n, T* to, Write write) const {
    const int64_t size = w_.size, stride = h_.stride, phases = down.phases, step = across.phases * room_;
    const int64_t under = h_.element(h_.windows - 1, h_.kernel), last = std::min(h_.size, (b.row + b.rows) * stride);
    const T* const end = to + this->end(b);
    for (int64_t k = 0; k < b.planes; ++k) {
      int64_t row = b.row * stride;
      T* line = to + ((b.plane + k) * h_.size + row) * size;
      for (int64_t a = 0; a < b.rows; ++a) {
        const T* phase = from + place(k, a);
        for (int64_t q = 0; q < phases && row < last; ++q, ++row, phase += step, line += size) {
          if (row < under) write(phase, end - line, line);
          for (int64_t i = row < under ? n : 0; i < size; ++i) line[i] = T(0);
        }
      }
    }
  }

  WindowAxis h_, w_;
  int64_t height_, pitch_, room_;
};

// A window over an element, and the tap that lies on it.
struct Over {
  int64_t place;
  int32_t tap;
};

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

// Writes `pairs` pairs of rows of elements under windows of 3 x 3 at steps of 2, whole vectors from column 2 * start to
// the left: what they write behind a row is written again. Every second row and column lies under one window, those
// between under two: sum(windows...) of the windows over an element, in ascending order, is asked for a vector of
// elements. `place` is that of the window above and left of the first four elements. Not inline: as read_nines.
template <class Padding, class T, class F>
__attribute__((noinline)) void write_pairs(Padding padding, T* to, int64_t size, int64_t pairs, int64_t start,
                                           int64_t place, int64_t pitch, F sum) {
  constexpr int kOne = 1 - padding();
  for (; pairs > 0; --pairs, to += 2 * size, place += pitch) {
    for (int64_t v = start; v >= 0; v -= kLanes<T>) {
      const int64_t ul = place + v, ur = ul + 1, ll = ul + pitch, lr = ll + 1;
      const Vec<T> one = sum(Over{kOne ? lr : ul, 4});
      const Vec<T> across = kOne ? sum(Over{ll, 5}, Over{lr, 3}) : sum(Over{ul, 5}, Over{ur, 3});
      const Vec<T> down = kOne ? sum(Over{ur, 7}, Over{lr, 1}) : sum(Over{ul, 7}, Over{ll, 1});
      const Vec<T> both = sum(Over{ul, 8}, Over{ur, 6}, Over{ll, 2}, Over{lr, 0});
      store_together<T>(to + 2 * v, kOne ? both : one, kOne ? down : across);
      store_together<T>(to + size + 2 * v, kOne ? across : down, kOne ? one : both);
    }
  }
}

// Writes the elements of a band so, and +0 to those in no window; up to `end` all is written later.
template <class T, class F>
void write_nines(const Neighbours& at, Band b, WindowAxis h, WindowAxis w, T* x, const T* end, F sum) {
  constexpr int W = kLanes<T>;
  const int64_t size = w.size, pitch = at.place(0, 1), last = std::min(h.size, 2 * (b.row + b.rows));
  const int64_t used = std::min(size, w.element(w.windows - 1, 3)), under = h.element(h.windows - 1, 3);
  const int64_t start = (used - 1) / (2 * W) * W, reach = 2 * (start + W);
  T* const first = x + (b.plane * h.size + 2 * b.row) * size;
  const Scratch<T> pair(2 * reach);
  with_padding(w, [&](auto padding) {
    for (int64_t k = 0; k < b.planes; ++k) {
      T* to = first + k * h.size * size;
      const int64_t room = end - to - size - reach, place = at.place(k, 0);
      const int64_t whole = room < 0 ? 0 : std::min(b.rows, room / (2 * size) + 1);
      write_pairs(padding, to, size, whole, start, place, pitch, sum);
      to += 2 * whole * size;
      for (int64_t a = whole; a < b.rows; ++a, to += 2 * size) {
        write_pairs(padding, pair.get(), reach, 1, start, place + a * pitch, pitch, sum);
        std::copy_n(pair.get(), size, to);
        if (2 * (b.row + a) + 1 < h.size) std::copy_n(pair.get() + reach, size, to + size);
      }
    }
  });
  for (int64_t k = 0; k < b.planes; ++k) {
    T* const rows = first + k * h.size * size;
    for (int64_t i = 0; used < size && i < last - 2 * b.row; ++i) rows[i * size + used] = T(0);
    if (under < last) std::fill_n(rows + (under - 2 * b.row) * size, size, T(0));
  }
}

// The most taps over one element for which all are tried; where there are more, windows add to the elements that they
// have chosen, one by one.
constexpr int64_t kTried = 9;

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
bool gather_max(const T* dy, const I* index, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  int valid = 1;
  const Neighbours at(planes, h, w);
  parallel_for(0, at.bands.count(), at.bands.grain(), [=, &valid](int64_t begin, int64_t end) {
    const bool nines = are_nines(h, w);
    const Scratch<T> g(at.room()), sums(nines ? 0 : at.down.phases * at.across.phases * at.room());
    const Scratch<I> choice(at.room());
    bool right = true;
    for (int64_t i = begin; i < end; ++i) {
      const Band b = at.bands[i];
      at.read(dy, b, T(-0.0), g.get(), [](const T*, int64_t) {});
      // The array is the caller's: what it holds is checked here, where it is used.
      at.read(index, b, static_cast<I>(-1), choice.get(),
              [&](const I* row, int64_t n) { right &= are_taps(row, n, h.kernel * w.kernel); });
      if constexpr (sizeof(I) == 1) {
        if (nines) {
          write_nines(at, b, h, w, dx, dx + at.end(at.bands[end - 1]), ChosenGiven<T>{g.get(), choice.get()});
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
  if constexpr (sizeof(I) == 1) {
    if (are_fours(h, w)) return max_backward_of_fours(dy, index, planes, h, w, dx);
  }
  const Around down(h), across(w);
  const bool gather = w.stride <= 2 && down.most() * across.most() <= kTried;
  return (gather ? gather_max<T, I> : scatter_max<T, I>)(dy, index, planes, h, w, dx);
}

template <class T>
void avg_backward(const T* dy, int64_t planes, WindowAxis h, WindowAxis w, T* dx) {
  if (are_fours(h, w)) {
    return write_fours(dx, planes, h, w, [=](int64_t i, int, auto kind) {
      std::memcpy(&kind, dy + i, sizeof kind);
      return kind * T(0.25);
    });
  }
  if (over_planes(h, w)) return avg_backward_over_planes(dy, planes, h, w, dx);
  const Neighbours at(planes, h, w);
  parallel_for(0, at.bands.count(), at.bands.grain(), [=](int64_t begin, int64_t end) {
    const bool nines = are_nines(h, w);
    const Scratch<T> g(at.room()), sums(nines ? 0 : at.down.phases * at.across.phases * at.room());
    const Scratch<const T*> run(at.down.most() * at.across.most());
    for (int64_t i = begin; i < end; ++i) {
      const Band b = at.bands[i];
      with_division<T>(h.kernel * w.kernel,
                       [&](auto divide) { at.read(dy, b, T(-0.0), g.get(), [](const T*, int64_t) {}, divide); });
      if (nines) {
        write_nines(at, b, h, w, dx, dx + at.end(at.bands[end - 1]), AllGiven<T>{g.get()});
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
void global_forward(const T* x, int64_t planes, int64_t size, T* y) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = sum(x + i * size, size) / static_cast<T>(size);
  });
}

template <class T>
void global_backward(const T* dy, int64_t planes, int64_t size, T* dx) {
  parallel_for(0, planes, plane_grain(size), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::fill_n(dx + i * size, size, dy[i] / static_cast<T>(size));
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
void avg_pool2d_forward(const float* x, int64_t planes, WindowAxis h, WindowAxis w, float* y) {
  avg_forward(x, planes, h, w, y);
}
void avg_pool2d_forward(const double* x, int64_t planes, WindowAxis h, WindowAxis w, double* y) {
  avg_forward(x, planes, h, w, y);
}
void avg_pool2d_backward(const float* dy, int64_t planes, WindowAxis h, WindowAxis w, float* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void avg_pool2d_backward(const double* dy, int64_t planes, WindowAxis h, WindowAxis w, double* dx) {
  avg_backward(dy, planes, h, w, dx);
}
void global_avg_pool2d_forward(const float* x, int64_t planes, int64_t size, float* y) {
  global_forward(x, planes, size, y);
}
void global_avg_pool2d_forward(const double* x, int64_t planes, int64_t size, double* y) {
  global_forward(x, planes, size, y);
}
void global_avg_pool2d_backward(const float* dy, int64_t planes, int64_t size, float* dx) {
  global_backward(dy, planes, size, dx);
}
void global_avg_pool2d_backward(const double* dy, int64_t planes, int64_t size, double* dx) {
  global_backward(dy, planes, size, dx);
}

}  // namespace nnlite
