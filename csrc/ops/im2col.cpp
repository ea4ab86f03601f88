#include "ops/im2col.h"

#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

template <class T>
void to_columns(const T* x, int64_t n, int64_t c, WindowAxis h, WindowAxis w, T* col) {
  const int64_t row = c * h.kernel * w.kernel;
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, row * w.windows));
  parallel_for(0, n * h.windows, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / h.windows, oh = i % h.windows;
      for (int64_t ow = 0; ow < w.windows; ++ow) {
        T* to = col + (i * w.windows + ow) * row;
        const int64_t left = w.element(ow, 0);
        const bool inside = w.dilation == 1 && left >= 0 && left + w.kernel <= w.size;
        for (int64_t channel = 0; channel < c; ++channel) {
          const T* const plane = x + (image * c + channel) * h.size * w.size;
          for (int64_t r = 0; r < h.kernel; ++r, to += w.kernel) {
            const int64_t y = h.element(oh, r);
            if (y < 0 || y >= h.size) {
              std::fill_n(to, w.kernel, T(0));
            } else if (inside) {
              for (int64_t s = 0; s < w.kernel; ++s) to[s] = plane[y * w.size + left + s];
            } else {
              for (int64_t s = 0; s < w.kernel; ++s) {
                const int64_t column = left + s * w.dilation;
                to[s] = column >= 0 && column < w.size ? plane[y * w.size + column] : T(0);
              }
            }
          }
        }
      }
    }
  });
}

template <class T>
void from_columns(const T* col, int64_t n, int64_t c, WindowAxis h, WindowAxis w, T* dx) {
  const int64_t filter = h.kernel * w.kernel, row = c * filter, plane = h.size * w.size;
  const Scratch<uint8_t> rows(h.size), columns(w.size);
  h.mark(rows.get());
  w.mark(columns.get());
  parallel_for(0, n, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, c * plane)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t image = begin; image < end; ++image) {
                   T* const planes = dx + image * c * plane;
                   // -0 stores when it is added to: -0 + x is x for every x.
                   for (int64_t y = 0; y < c * h.size; ++y) {
                     for (int64_t v = 0; v < w.size; ++v)
                       planes[y * w.size + v] = rows[y % h.size] && columns[v] ? T(-0.0) : T(0);
                   }
                   for (int64_t oh = 0; oh < h.windows; ++oh) {
                     const T* const from = col + (image * h.windows + oh) * w.windows * row;
                     for (int64_t channel = 0; channel < c; ++channel) {
                       for (int64_t r = 0; r < h.kernel; ++r) {
                         const int64_t y = h.element(oh, r);
                         if (y < 0 || y >= h.size) continue;
                         T* const line = planes + channel * plane + y * w.size;
                         // For one element ow ascends as s descends.
                         for (int64_t s = w.kernel - 1; s >= 0; --s) {
                           const T* const tap = from + channel * filter + r * w.kernel + s;
                           for (int64_t ow = w.first(s); ow < w.last(s); ++ow) {
                             T& sum = line[w.element(ow, s)];
                             sum = sum + tap[ow * row];
                           }
                         }
                       }
                     }
                   }
                 }
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
