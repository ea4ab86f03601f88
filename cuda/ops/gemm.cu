// The product is gemm_core.h's, with operands that lie in memory as matrices. A column sum is 32 lanes of rows and a
// tree over them: a warp takes a row of 32 columns, 32 warps are the lanes.
#include "ops/bmm.h"

#include "gemm_core.h"

namespace nnlite {
namespace {

template <class T>
Strided<T> operand(const T* p, int64_t ld, int64_t extent, bool along_i) {
  return {p, ld, extent, 0, along_i, along_i && ld % Pack<T>::kSize == 0 && aligned(p)};
}

template <class T>
void gemm_any(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  constexpr int64_t kFlat = Tilings<T>::Flat::kM;
  if (s.m == 0 || s.n == 0) return;
  const Strided<T> left = operand(a, s.transpose_a ? s.m : s.k, s.m, s.transpose_a);
  const Strided<T> right = operand(b, s.transpose_b ? s.k : s.n, s.n, !s.transpose_b);
  if (s.n <= kFlat && s.n < s.m) {
    // C of few columns is computed as the transpose: the flat tiling has few rows.
    multiply("gemm", Product<T>{s.n, s.m, s.k, 1, bias, nullptr}, right, left, Matrix<T>{c, 1, s.n, 0, false});
  } else {
    multiply("gemm", Product<T>{s.m, s.n, s.k, 1, nullptr, bias}, left, right,
             Matrix<T>{c, s.n, 1, 0, s.n % Pack<T>::kSize == 0 && aligned(c)});
  }
}

constexpr int kLanes = 32, kChunk = 4096;

template <class T>
struct Lanes {
  T sum[kLanes][kLanes + 1];
};

// y[chunk, j] = the chunk's sum of column j. Thread (x, y): column x of the block's 32, lane y.
template <class T>
__global__ void __launch_bounds__(kLanes* kLanes) column_chunks(const T* x, int64_t rows, int64_t columns, T* y) {
  auto& lanes = shared_memory<Lanes<T>>();
  const int64_t column0 = int64_t{blockIdx.x} * kLanes, column = column0 + threadIdx.x;
  for (int64_t chunk = blockIdx.y; chunk * kChunk < rows || chunk == 0; chunk += gridDim.y) {
    const int64_t end = rows < (chunk + 1) * kChunk ? rows : (chunk + 1) * kChunk;
    T sum = T(0);
    if (column < columns) {
#pragma unroll 8
      for (int64_t i = chunk * kChunk + threadIdx.y; i < end; i += kLanes) sum = sum + x[i * columns + column];
    }
    lanes.sum[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    // Turned around: thread (x, y) has lane x of column y.
    sum = lanes.sum[threadIdx.x][threadIdx.y];
    for (int half = kLanes / 2; half > 0; half /= 2) sum = sum + __shfl_down_sync(kWholeWarp, sum, half);
    if (threadIdx.x == 0 && column0 + threadIdx.y < columns) y[chunk * columns + column0 + threadIdx.y] = sum;
    __syncthreads();
  }
}

template <class T>
void sums_of_columns(const T* x, int64_t rows, int64_t columns, T* y) {
  if (columns == 0) return;
  const int64_t chunks = std::max<int64_t>(1, blocks_for(rows, kChunk));
  const Extent grid(blocks_for(columns, kLanes), std::min<int64_t>(chunks, 65535));
  const auto run = [&](T* to) {
    launch("column_sums", column_chunks<T>, grid, Extent(kLanes, kLanes), sizeof(Lanes<T>), x, rows, columns, to);
  };
  if (chunks == 1) return run(y);
  const Scratch<T> sums(chunks * columns);
  run(sums.get());
  sums_of_columns(static_cast<const T*>(sums.get()), chunks, columns, y);
}

template <class T>
void products(int64_t count, GemmSize s, const T* a, const T* b, T* c) {
  for (int64_t i = 0; i < count; ++i) gemm_any<T>(s, a + i * s.m * s.k, b + i * s.k * s.n, nullptr, c + i * s.m * s.n);
}

}  // namespace

void gemm(GemmSize s, const float* a, const float* b, const float* bias, float* c) { gemm_any(s, a, b, bias, c); }
void gemm(GemmSize s, const double* a, const double* b, const double* bias, double* c) { gemm_any(s, a, b, bias, c); }

void bmm(int64_t count, GemmSize size, const float* a, const float* b, float* c) { products(count, size, a, b, c); }
void bmm(int64_t count, GemmSize size, const double* a, const double* b, double* c) { products(count, size, a, b, c); }

void column_sums(const float* x, int64_t rows, int64_t columns, float* y) { sums_of_columns(x, rows, columns, y); }
void column_sums(const double* x, int64_t rows, int64_t columns, double* y) { sums_of_columns(x, rows, columns, y); }

}  // namespace nnlite
