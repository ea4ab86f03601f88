// The softmax of rows (docs/numerics.md, section 7): m = max, e = exp(x - m), s = Sum(e), y = e / s.
#pragma once

#include "lane_sum.h"
#include "vector_exp.h"

namespace nnlite {

// The maximum, or NaN if there is one. Which of two equal zeros it is changes nothing: it is only subtracted, and
// exp(-0) = exp(+0).
template <class T>
static inline T row_max(const T* x, int64_t n) {
  constexpr int W = kLanes<T>;
  Vec<T> most = broadcast(x[0]);
  auto unordered = most != most;
  const auto take = [&](Vec<T> v) {
    most = v > most ? v : most;
    unordered |= v != v;
  };
  for (int64_t i = W; i <= n; i += W) take(load(x + i - W));
  take(n < W ? first_lanes<T>(load(x, Lanes(0, n)), n, most) : load(x + n - W));
  most = unordered ? broadcast(static_cast<T>(__builtin_nan(""))) : most;
  const auto fold = [&](int shift) {
    const Vec<T> v = move_down<T>(most, shift);
    most = (v > most) | (v != v) ? v : most;
  };
  if constexpr (W >= 16) fold(8);
  if constexpr (W >= 8) fold(4);
  if constexpr (W >= 4) fold(2);
  fold(1);
  return most[0];
}

// y = softmax of `rows` rows of k elements; m and s take the rows' maxima and sums. The exponentials of short rows
// are one loop for all rows.
template <class T>
static inline void softmax_rows(const T* x, int64_t rows, int64_t k, T* __restrict y, T* m, T* s) {
  for (int64_t r = 0; r < rows; ++r) {
    const T most = row_max(x + r * k, k);
    m[r] = most;
    if (k >= 64) {
      exp_above(x + r * k, most, y + r * k, k);
    } else {
      for (int64_t i = r * k; i < (r + 1) * k; ++i) y[i] = x[i] - most;
    }
  }
  if (k < 64) exp_above(y, T(0), y, rows * k);
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
