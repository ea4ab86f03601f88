// A block takes squares of 32 by 32 through shared memory, so that reads and writes both are of neighbouring addresses.
// Its rows there are one element longer, so that a column of it lies in 32 banks.
#include "ops/transpose.h"

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kSide = 32, kRows = 8;

template <class T>
struct Square {
  T at[kSide][kSide + 1];
};

// Blocks in the order of squares: across a row of squares, down the plane, then the planes.
template <class T>
__global__ void squares(const T* x, int64_t a, int64_t b, int64_t across, int64_t down, T* y) {
  Square<T>& square = shared_memory<Square<T>>();
  const int64_t line = blockIdx.x / across, plane = line / down;
  const int64_t left = (blockIdx.x - line * across) * kSide, top = (line - plane * down) * kSide;
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const T* const from = x + plane * a * b;
  T* const to = y + plane * a * b;
  for (int i = row; i < kSide; i += kRows) {
    if (top + i < a && left + lane < b) square.at[i][lane] = from[(top + i) * b + left + lane];
  }
  __syncthreads();
  for (int j = row; j < kSide; j += kRows) {
    if (left + j < b && top + lane < a) to[(left + j) * a + top + lane] = square.at[lane][j];
  }
}

template <class T>
void planes(const T* x, int64_t n, int64_t a, int64_t b, T* y) {
  if (n * a * b == 0) return;
  const int64_t across = blocks_for(b, kSide), down = blocks_for(a, kSide);
  launch("transpose", squares<T>, n * down * across, {kSide, kRows}, sizeof(Square<T>), x, a, b, across, down, y);
}

}  // namespace

void transpose(const float* x, int64_t n, int64_t a, int64_t b, float* y) { planes(x, n, a, b, y); }
void transpose(const double* x, int64_t n, int64_t a, int64_t b, double* y) { planes(x, n, a, b, y); }

}  // namespace nnlite
