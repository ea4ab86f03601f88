// What backward reads of a band: the windows around its elements.
#pragma once

#include "ops/pool2d/bands.h"
#include "ops/window_axis.h"
#include "parallel.h"

namespace nnlite {
namespace {

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

}  // namespace
}  // namespace nnlite
