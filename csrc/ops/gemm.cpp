#include "ops/gemm.h"

#include "ops/gemm_core.h"
#include "sum.h"

namespace nnlite {
namespace {

template <class T>
void gemm_any(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
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
void column_sums_any(const T* x, int64_t rows, int64_t columns, T* y) {
  constexpr int W = kLanes<T>;
  const int64_t grain = ceil_div(ceil_div(int64_t{1} << 16, std::max<int64_t>(rows, 1)), W) * W;
  parallel_for(0, columns, grain, [=](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += W) {
      const int64_t width = std::min<int64_t>(W, end - j);
      RunningSum<T> chunks[W];
      T lanes[W][kSumLanes];
      for (int64_t chunk = 0; chunk < rows; chunk += kChunk) {
        std::fill_n(&lanes[0][0], W * kSumLanes, T(0));
        const int64_t n = std::min(kChunk, rows - chunk);
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t v = 0; v < width; ++v) lanes[v][i % kSumLanes] += x[(chunk + i) * columns + j + v];
        }
        for (int64_t v = 0; v < width; ++v) chunks[v].add(fold(lanes[v]));
      }
      for (int64_t v = 0; v < width; ++v) y[j + v] = chunks[v].total();
    }
  });
}

}  // namespace

void gemm(GemmSize s, const float* a, const float* b, const float* bias, float* c) { gemm_any(s, a, b, bias, c); }
void gemm(GemmSize s, const double* a, const double* b, const double* bias, double* c) { gemm_any(s, a, b, bias, c); }

void column_sums(const float* x, int64_t rows, int64_t columns, float* y) { column_sums_any(x, rows, columns, y); }
void column_sums(const double* x, int64_t rows, int64_t columns, double* y) { column_sums_any(x, rows, columns, y); }

}  // namespace nnlite
