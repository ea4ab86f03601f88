#include "ops/index.h"

#include <algorithm>

#include "parallel.h"

namespace nnlite {
namespace {

constexpr int64_t kGrain = 1 << 14, kWidth = 256;

template <class T>
void select(const Chosen& size, const T* x, const int64_t* index, T* y) {
  const int64_t rows = std::max<int64_t>(1, kGrain / std::max<int64_t>(size.inner, 1));
  parallel_for(0, size.outer * size.count, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t o = r / size.count, j = r % size.count;
      std::copy_n(x + (o * size.n + index[j]) * size.inner, size.inner, y + r * size.inner);
    }
  });
}

// Calls f(o, first, width) for blocks of columns: what is added to a column comes from that column alone.
template <class F>
void each_block(const Chosen& size, F f) {
  const int64_t blocks = (size.inner + kWidth - 1) / kWidth;
  const int64_t work = (size.n + size.count) * std::min(kWidth, size.inner);
  parallel_for(0, size.outer * blocks, std::max<int64_t>(1, kGrain / std::max<int64_t>(work, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t b = begin; b < end; ++b) {
                   const int64_t first = b % blocks * kWidth;
                   f(b / blocks, first, std::min(kWidth, size.inner - first));
                 }
               });
}

template <class T>
void clear(const Chosen& size, int64_t o, int64_t first, int64_t width, T* dx) {
  for (int64_t k = 0; k < size.n; ++k) std::fill_n(dx + (o * size.n + k) * size.inner + first, width, T(0));
}

template <class T>
void select_backward(const Chosen& size, const T* dy, const int64_t* index, T* dx) {
  each_block(size, [&](int64_t o, int64_t first, int64_t width) {
    clear(size, o, first, width, dx);
    for (int64_t j = 0; j < size.count; ++j) {
      const T* const from = dy + (o * size.count + j) * size.inner + first;
      T* const to = dx + (o * size.n + index[j]) * size.inner + first;
      for (int64_t i = 0; i < width; ++i) to[i] += from[i];
    }
  });
}

template <class T>
void pick(const Chosen& size, const T* x, const int64_t* index, T* y) {
  parallel_for(0, size.outer * size.count * size.inner, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / (size.count * size.inner);
      y[i] = x[(o * size.n + index[i]) * size.inner + i % size.inner];
    }
  });
}

template <class T>
void pick_backward(const Chosen& size, const T* dy, const int64_t* index, T* dx) {
  each_block(size, [&](int64_t o, int64_t first, int64_t width) {
    clear(size, o, first, width, dx);
    for (int64_t j = 0; j < size.count; ++j) {
      const int64_t start = (o * size.count + j) * size.inner;
      for (int64_t i = first; i < first + width; ++i) {
        dx[(o * size.n + index[start + i]) * size.inner + i] += dy[start + i];
      }
    }
  });
}

}  // namespace

void index_select(Chosen size, const float* x, const int64_t* index, float* y) { select(size, x, index, y); }
void index_select(Chosen size, const double* x, const int64_t* index, double* y) { select(size, x, index, y); }
void index_select_backward(Chosen size, const float* dy, const int64_t* index, float* dx) {
  select_backward(size, dy, index, dx);
}
void index_select_backward(Chosen size, const double* dy, const int64_t* index, double* dx) {
  select_backward(size, dy, index, dx);
}
void gather(Chosen size, const float* x, const int64_t* index, float* y) { pick(size, x, index, y); }
void gather(Chosen size, const double* x, const int64_t* index, double* y) { pick(size, x, index, y); }
void gather_backward(Chosen size, const float* dy, const int64_t* index, float* dx) {
  pick_backward(size, dy, index, dx);
}
void gather_backward(Chosen size, const double* dy, const int64_t* index, double* dx) {
  pick_backward(size, dy, index, dx);
}

}  // namespace nnlite
