#include "ops/reduce.h"

#include <algorithm>

#include "parallel_sum.h"
#include "softmax_row.h"

namespace nnlite {
namespace {

// Calls f(o, first, width) for blocks of columns of each outer index, a grain of work a piece.
template <class F>
void each_block(const Middle& size, int64_t width, F f) {
  const int64_t blocks = (size.inner + width - 1) / width;
  const int64_t work = std::max<int64_t>(1, size.n * std::min(width, size.inner));
  parallel_for(0, size.outer * blocks, std::max<int64_t>(1, (1 << 14) / work), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b % blocks * width;
      f(b / blocks, first, std::min(width, size.inner - first));
    }
  });
}

template <class T>
void sums(const Middle& size, const T* x, T* y) {
  if (size.outer == 1 && size.inner == 1) {
    *y = parallel_sum<T>(size.n, [](auto v) { return v; }, x);
  } else if (size.inner == 1) {
    each_block(size, 1, [&](int64_t o, int64_t, int64_t) { y[o] = sum(x + o * size.n, size.n); });
  } else {
    each_block(size, kColumnBlock<T>, [&](int64_t o, int64_t first, int64_t width) {
      const RowMajor<T> rows{x + o * size.n * size.inner + first, size.inner};
      column_sums(size.n, width, rows, y + o * size.inner + first);
    });
  }
}

// The maxima of `width` columns, and where they are.
template <class T>
void column_max(const T* x, int64_t n, int64_t inner, int64_t width, T* __restrict most, int64_t* __restrict at) {
  for (int64_t i = 0; i < width; ++i) most[i] = x[i], at[i] = 0;
  for (int64_t j = 1; j < n; ++j) {
    const T* const row = x + j * inner;
    for (int64_t i = 0; i < width; ++i) {
      const bool better = (row[i] > most[i]) | ((row[i] != row[i]) & (most[i] == most[i]));
      most[i] = better ? row[i] : most[i];
      at[i] = better ? j : at[i];
    }
  }
}

// Of a row: the first element that is the maximum, of which zeros may have either sign.
template <class T>
int64_t first_max(const T* x, int64_t n) {
  const T most = row_max(x, n);
  int64_t i = 0;
  while (most == most ? x[i] != most : x[i] == x[i]) ++i;
  return i;
}

constexpr int64_t kMaxBlock = 64;

// Calls put(place in y, maximum, index).
template <class T, class Put>
void maxima(const Middle& size, const T* x, Put put) {
  if (size.inner == 1) {
    return each_block(size, 1, [&](int64_t o, int64_t, int64_t) {
      const T* const row = x + o * size.n;
      const int64_t i = first_max(row, size.n);
      put(o, row[i], i);
    });
  }
  each_block(size, kMaxBlock, [&](int64_t o, int64_t first, int64_t width) {
    T most[kMaxBlock];
    int64_t at[kMaxBlock];
    column_max(x + o * size.n * size.inner + first, size.n, size.inner, width, most, at);
    for (int64_t i = 0; i < width; ++i) put(o * size.inner + first + i, most[i], at[i]);
  });
}

template <class T>
void cumsum(const Middle& size, const T* x, T* y) {
  each_block(size, kColumnBlock<T>, [&](int64_t o, int64_t first, int64_t width) {
    const int64_t start = o * size.n * size.inner + first;
    const T* from = x + start;
    T* to = y + start;
    for (int64_t j = 0; j < size.n; ++j, from += size.inner, to += size.inner) {
      for (int64_t i = 0; i < width; ++i) to[i] = j == 0 ? from[i] : (to - size.inner)[i] + from[i];
    }
  });
}

}  // namespace

void sum_middle(Middle size, const float* x, float* y) { sums(size, x, y); }
void sum_middle(Middle size, const double* x, double* y) { sums(size, x, y); }
void max_middle(Middle size, const float* x, float* y) {
  maxima(size, x, [=](int64_t i, float most, int64_t) { y[i] = most; });
}
void max_middle(Middle size, const double* x, double* y) {
  maxima(size, x, [=](int64_t i, double most, int64_t) { y[i] = most; });
}
void argmax_middle(Middle size, const float* x, int64_t* y) {
  maxima(size, x, [=](int64_t i, float, int64_t at) { y[i] = at; });
}
void argmax_middle(Middle size, const double* x, int64_t* y) {
  maxima(size, x, [=](int64_t i, double, int64_t at) { y[i] = at; });
}
void cumsum_middle(Middle size, const float* x, float* y) { cumsum(size, x, y); }
void cumsum_middle(Middle size, const double* x, double* y) { cumsum(size, x, y); }

}  // namespace nnlite
