// Sum of docs/numerics.md, section 4: chunks of 4096 elements, 32 lanes a chunk, a fixed tree; the chunk sums by the
// same rule.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.h"
#include "workspace.h"

namespace nnlite {

constexpr int64_t kChunk = 4096;
constexpr int kSumLanes = 32;

// lane[i] += lane[i + 16], + 8, + 4, + 2, + 1.
template <class T>
static inline T fold(T* lane) {
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  }
  return lane[0];
}

// Calls f(v) for v = 0 .. N - 1, each a constant: an array that only such v index stays in registers.
template <int N, class F>
__attribute__((always_inline)) static inline void unrolled(F f) {
  if constexpr (N > 0) {
    unrolled<N - 1>(f);
    f(N - 1);
  }
}

// The same of lanes in vectors.
template <int N, class T>
__attribute__((always_inline)) static inline T fold(Vec<T>* acc) {
  if constexpr (N > 1) {
    unrolled<N / 2>([=](int v) __attribute__((always_inline)) { acc[v] += acc[v + N / 2]; });
    return fold<N / 2, T>(acc);
  }
  constexpr int W = kLanes<T>;
  Vec<T> sum = acc[0];
  if constexpr (W >= 16) sum += move_down<T>(sum, 8);
  if constexpr (W >= 8) sum += move_down<T>(sum, 4);
  if constexpr (W >= 4) sum += move_down<T>(sum, 2);
  sum += move_down<T>(sum, 1);
  return sum[0];
}

// The sum of f(x[i]…) over one chunk, n <= 4096; f takes vectors.
template <class T, class F, class... Pointers>
static inline T chunk_sum(int64_t n, F f, const Pointers*... x) {
  constexpr int W = kLanes<T>, kVecs = kSumLanes / W;
  Vec<T> acc[kVecs];
  unrolled<kVecs>([&](int v) __attribute__((always_inline)) { acc[v] = Vec<T>{}; });
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    unrolled<kVecs>([&](int v) __attribute__((always_inline)) { acc[v] += f(load(x + i + v * W)...); });
  }
  // Lanes behind the end take +0, which changes no sum that begins with +0.
  if (i < n) {
    unrolled<kVecs>([&](int v) __attribute__((always_inline)) {
      const int64_t rest = n - i - v * W;
      if (rest >= W) {
        acc[v] += f(load(x + i + v * W)...);
      } else if (rest > 0) {
        acc[v] += first_lanes<T>(f(load(x + i + v * W, Lanes(0, rest))...), rest);
      }
    });
  }
  return fold<kVecs, T>(acc);
}

// Takes numbers one by one and sums them by the rule: for the chunk sums of a long sequence, and for the planes of a
// channel.
template <class T>
class RunningSum {
 public:
  void add(T x) { push(0, x); }
  T total() {
    // A level that holds the whole sequence is the answer; otherwise its unfinished chunk is the next level's last
    // number.
    for (int level = 0; level < top_; ++level) {
      if (count_[level] > 0) push(level + 1, fold(lane_[level]));
    }
    return fold(lane_[top_]);
  }

 private:
  static constexpr int kLevels = 6;  // 4096^5 numbers

  // A full chunk is handed up only when another number comes: a sequence of exactly 4096 is one chunk.
  void push(int level, T x) {
    for (; level < kLevels; ++level) {
      T* const lane = lane_[level];
      const bool full = count_[level] == kChunk;
      const T carry = full ? fold(lane) : T(0);
      if (full) {
        std::fill_n(lane, kSumLanes, T(0));
        count_[level] = 0;
      }
      lane[count_[level]++ % kSumLanes] += x;
      if (!full) return;
      top_ = std::max(top_, level + 1);
      x = carry;
    }
  }

  T lane_[kLevels][kSumLanes] = {};
  int64_t count_[kLevels] = {};
  int top_ = 0;
};

// Sum of f(x[i]…) over n consecutive elements of one or more arrays.
template <class T, class F, class... Pointers>
static inline T sum(int64_t n, F f, const Pointers*... x) {
  if (n <= kChunk) return chunk_sum<T>(n, f, x...);
  RunningSum<T> chunks;
  for (int64_t i = 0; i < n; i += kChunk) chunks.add(chunk_sum<T>(std::min(kChunk, n - i), f, (x + i)...));
  return chunks.total();
}

template <class T>
static inline T sum(const T* x, int64_t n) {
  return sum<T>(n, [](auto v) { return v; }, x);
}

// Columns whose sums are formed together: their lanes fill two thirds of L1, and their part of a row is read as a run.
template <class T>
constexpr int64_t kColumnBlock = 1024 / static_cast<int64_t>(sizeof(T));

template <class T, class F>
static inline void column_chunk(int64_t first, int64_t rows, int64_t width, F f, T* __restrict to) {
  T lane[kSumLanes][kColumnBlock<T>];
  // Lanes that no row reaches would hold +0, and adding +0 to another lane, which is never -0, changes nothing.
  const int64_t lanes = std::min<int64_t>(rows, kSumLanes);
  for (int64_t i = 0; i < lanes; ++i) {
    for (int64_t j = 0; j < width; ++j) lane[i][j] = T(0) + f(first + i, j);
  }
  for (int64_t i = lanes; i < rows; ++i) {
    T* __restrict const sum = lane[i % kSumLanes];
    for (int64_t j = 0; j < width; ++j) sum[j] += f(first + i, j);
  }
  for (int64_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half && i + half < lanes; ++i) {
      for (int64_t j = 0; j < width; ++j) lane[i][j] += lane[i + half][j];
    }
  }
  for (int64_t j = 0; j < width; ++j) to[j] = rows ? lane[0][j] : T(0);
}

template <class T>
struct RowMajor {
  const T* data;
  int64_t ld;
  T operator()(int64_t i, int64_t j) const { return data[i * ld + j]; }
};

// to[j] = Sum over rows i of f(i, j), for j < width <= kColumnBlock.
template <class T, class F>
static void column_sums(int64_t rows, int64_t width, F f, T* to) {
  if (rows <= kChunk) return column_chunk(0, rows, width, f, to);
  const int64_t count = (rows + kChunk - 1) / kChunk;
  const Scratch<T> chunks(count * width);
  for (int64_t i = 0; i < count; ++i) {
    column_chunk(i * kChunk, std::min(kChunk, rows - i * kChunk), width, f, chunks.get() + i * width);
  }
  column_sums(count, width, RowMajor<T>{chunks.get(), width}, to);
}

}  // namespace nnlite
