#include "ops/gemm.h"

#include "lane_sum.h"
#include "ops/gemm_core.h"

namespace nnlite {
namespace {

// One row of A against B in row-major order: every element of B is used once, so B is not packed but streamed through,
// four rows at a time, while the block's accumulators lie in L1.
constexpr int64_t kRowColumns = 2048;

template <class T>
void gemm_one_row(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  constexpr int W = kLanes<T>;
  const int64_t grain =
      std::clamp(ceil_div(int64_t{1} << 18, std::max<int64_t>(s.k, 1) * W) * W, int64_t{W}, kRowColumns);
  parallel_for(0, s.n, grain, [=](int64_t begin, int64_t end) {
    T sums[kRowColumns];
    const int64_t width = end - begin;
    for (int64_t k0 = 0; k0 == 0 || k0 < s.k; k0 += kBlock) {
      const int64_t k1 = std::min(k0 + kBlock, s.k);
      std::fill_n(sums, width, T(0));
      for (int64_t k = k0; k < k1; k += 4) {
        const int64_t rows = std::min<int64_t>(4, k1 - k);
        const T* const row = b + k * s.n + begin;
        int64_t j = 0;
        if (rows == 4) {
          for (; j + W <= width; j += W) {
            Vec<T> acc = load(sums + j);
#pragma GCC unroll 4
            for (int r = 0; r < 4; ++r) acc = fma(broadcast(a[k + r]), load(row + r * s.n + j), acc);
            store(sums + j, acc);
          }
        }
        for (; j < width; ++j) {
          for (int64_t r = 0; r < rows; ++r) sums[j] = fma(a[k + r], row[r * s.n + j], sums[j]);
        }
      }
      T* const y = c + begin;
      for (int64_t j = 0; j < width; ++j) y[j] = k0 == 0 ? sums[j] : y[j] + sums[j];
    }
    if (bias == nullptr) return;
    for (int64_t j = begin; j < end; ++j) c[j] = c[j] + bias[j];
  });
}

template <class T>
void gemm_any(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
  if (s.m == 0 || s.n == 0) return;
  if (s.m == 1 && !s.transpose_b) return gemm_one_row(s, a, b, bias, c);
  const int64_t lda = s.transpose_a ? s.m : s.k, ldb = s.transpose_b ? s.k : s.n;
  const PackedA<T> packed(s.m, s.k, [=](T* to, int64_t k0, int64_t kc, int64_t row, int rows) {
    if (s.transpose_a) {
      pack_rows(a + k0 * lda + row, lda, rows, kc, to, kAStride, kAStride);
    } else {
      pack_transposed(a + row * lda + k0, lda, rows, kc, to, kAStride, kAStride);
    }
  });
  // The micro-kernel reads whole vectors of the bias.
  const Scratch<T> wide_bias(bias ? s.n + kNR : 1);
  if (bias) std::copy_n(bias, s.n, wide_bias.get());
  const T* const column_bias = bias ? wide_bias.get() : nullptr;
  // Whole column panels go to threads, at least so many that a piece is worth waking a thread for.
  const int64_t work = std::max<int64_t>(1, s.m * std::max<int64_t>(s.k, 1) * kNR);
  const int64_t panels = ceil_div(s.n, kNR);
  const int64_t grain = std::max(ceil_div(int64_t{1} << 20, work), ceil_div(panels, 4 * num_threads()));
  parallel_for(0, panels, grain, [&](int64_t begin, int64_t end) {
    multiply_columns<T>(
        packed, s.k, begin * kNR, std::min(end * kNR, s.n), nullptr, column_bias,
        [=](T* to, int64_t stride, int64_t k0, int64_t kc, int64_t column, int64_t columns) {
          if (s.transpose_b) {
            pack_transposed(b + column * ldb + k0, ldb, columns, kc, to, stride, stride);
          } else {
            pack_rows(b + k0 * ldb + column, ldb, columns, kc, to, stride, stride);
          }
        },
        RowMajorTiles<T>{c, s.n});
  });
}

template <class T>
void sums_of_columns(const T* x, int64_t rows, int64_t columns, T* y) {
  const int64_t grain = std::min(kColumnBlock<T>, std::max<int64_t>(16, (1 << 16) / std::max<int64_t>(rows, 1)));
  parallel_for(0, columns, grain, [=](int64_t begin, int64_t end) {
    column_sums(rows, end - begin, RowMajor<T>{x + begin, columns}, y + begin);
  });
}

}  // namespace

void gemm(GemmSize s, const float* a, const float* b, const float* bias, float* c) { gemm_any(s, a, b, bias, c); }
void gemm(GemmSize s, const double* a, const double* b, const double* bias, double* c) { gemm_any(s, a, b, bias, c); }

void column_sums(const float* x, int64_t rows, int64_t columns, float* y) { sums_of_columns(x, rows, columns, y); }
void column_sums(const double* x, int64_t rows, int64_t columns, double* y) { sums_of_columns(x, rows, columns, y); }

}  // namespace nnlite
