// The softmax of rows (docs/numerics.md, section 7): m = max, e = exp(x - m), s = Sum(e), y = e / s.
#pragma once

#include "elementary.h"
#include "lane_sum.h"

namespace nnlite {

// The maximum, or NaN if there is one. Which of two equal zeros it is changes nothing: it is only subtracted, and
// exp(-0) = exp(+0).
template <class T>
static inline T row_max(const T* x, int64_t n) {
  constexpr int W = kLanes<T>;
  T m = x[0];
  bool nan = false;
  int64_t i = 0;
  if (n >= W) {
    Vec<T> most = load(x);
    auto unordered = most != most;
    for (i = W; i + W <= n; i += W) {
      const Vec<T> v = load(x + i);
      most = v > most ? v : most;
      unordered |= v != v;
    }
    for (int j = 0; j < W; ++j) {
      m = most[j] > m ? most[j] : m;
      nan |= unordered[j] != 0;
    }
  }
  for (; i < n; ++i) {
    m = x[i] > m ? x[i] : m;
    nan |= x[i] != x[i];
  }
  return nan ? static_cast<T>(__builtin_nan("")) : m;
}

// y = softmax of `rows` rows of k elements; m and s take the rows' maxima and sums. The exponentials of all rows are
// one loop, because rows are often shorter than a vector.
template <class T>
static inline void softmax_rows(const T* x, int64_t rows, int64_t k, T* __restrict y, T* m, T* s) {
  for (int64_t r = 0; r < rows; ++r) {
    const T most = row_max(x + r * k, k);
    m[r] = most;
    for (int64_t i = r * k; i < (r + 1) * k; ++i) y[i] = x[i] - most;
  }
  for (int64_t i = 0; i < rows * k; ++i) y[i] = exp(y[i]);
  for (int64_t r = 0; r < rows; ++r) {
    const T total = sum(y + r * k, k);
    s[r] = total;
    for (int64_t i = r * k; i < (r + 1) * k; ++i) y[i] = y[i] / total;
  }
}

// Rows that go through softmax_rows at a time: what stays in L1.
constexpr int64_t kSoftmaxRows = 64;
static inline int64_t softmax_block(int64_t k) { return std::clamp<int64_t>(2048 / k, 1, kSoftmaxRows); }

}  // namespace nnlite
