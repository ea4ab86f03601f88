// Squares of 8 by 8: a row of one is a cache line of doubles, so that each line is read and written once. The rows of a
// plane whose width is a power of two fall into few places of the cache; more than 8 of them would drive each other out.
#include "ops/transpose.h"

#include <algorithm>

#include "parallel.h"

namespace nnlite {
namespace {

constexpr int64_t kSide = 8;

template <class T>
void planes(const T* x, int64_t n, int64_t a, int64_t b, T* y) {
  const int64_t strips = (a + kSide - 1) / kSide;
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, kSide * b));
  parallel_for(0, n * strips, grain, [=](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t plane = strip / strips, top = (strip - plane * strips) * kSide;
      const int64_t rows = std::min(kSide, a - top);
      const T* const from = x + (plane * a + top) * b;
      T* const to = y + plane * a * b + top;
      int64_t left = 0;
      if (rows == kSide) {
        for (; left + kSide <= b; left += kSide) {
          for (int64_t j = left; j < left + kSide; ++j) {
            for (int64_t i = 0; i < kSide; ++i) to[j * a + i] = from[i * b + j];
          }
        }
      }
      for (int64_t j = left; j < b; ++j) {
        for (int64_t i = 0; i < rows; ++i) to[j * a + i] = from[i * b + j];
      }
    }
  });
}

}  // namespace

void transpose(const float* x, int64_t n, int64_t a, int64_t b, float* y) { planes(x, n, a, b, y); }
void transpose(const double* x, int64_t n, int64_t a, int64_t b, double* y) { planes(x, n, a, b, y); }

}  // namespace nnlite
