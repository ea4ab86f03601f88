// What forward reads of a band: its taps, deinterleaved by phase.
#pragma once

#include "ops/pool2d/bands.h"
#include "ops/window_axis.h"

namespace nnlite {
namespace {

inline Bands window_bands(int64_t planes, WindowAxis h, WindowAxis w) {
  return Bands(planes, h.windows, std::min(h.stride, h.size) * w.size);
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

}  // namespace
}  // namespace nnlite
