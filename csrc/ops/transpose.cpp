// A strip of rows at a time, in squares whose rows are one vector: loaded, transposed in registers, stored. Strips are
// narrow because the rows of a plane whose width is a power of two fall into few places of the cache; more than 8 of
// them would drive each other out.
#include "ops/transpose.h"

#include <algorithm>

#include "parallel.h"
#include "simd.h"

namespace nnlite {
namespace {

// A square of kSide<T> by kSide<T>, its rows `b` apart, to rows `a` apart.
#if defined(__AVX2__)
template <class T>
constexpr int64_t kSide = 32 / sizeof(T);

void square(const double* from, int64_t b, double* to, int64_t a) {
  __m256d row[4], pair[4];
  for (int i = 0; i < 4; ++i) row[i] = _mm256_loadu_pd(from + i * b);
  for (int i = 0; i < 4; i += 2) {
    pair[i] = _mm256_unpacklo_pd(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_pd(row[i], row[i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    _mm256_storeu_pd(to + i * a, _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x20));
    _mm256_storeu_pd(to + (i + 2) * a, _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x31));
  }
}

void square(const float* from, int64_t b, float* to, int64_t a) {
  __m256 row[8], pair[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm256_loadu_ps(from + i * b);
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      row[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
      row[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
    }
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * a, _mm256_permute2f128_ps(row[i], row[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * a, _mm256_permute2f128_ps(row[i], row[i + 4], 0x31));
  }
}
#else
template <class T>
constexpr int64_t kSide = 4;

template <class T>
void square(const T* from, int64_t b, T* to, int64_t a) {
  for (int64_t j = 0; j < kSide<T>; ++j) {
    for (int64_t i = 0; i < kSide<T>; ++i) to[j * a + i] = from[i * b + j];
  }
}
#endif

// `rows` rows of a plane.
template <class T>
void strip(const T* from, int64_t rows, int64_t b, T* to, int64_t a) {
  const int64_t whole_rows = rows - rows % kSide<T>, whole_columns = b - b % kSide<T>;
  for (int64_t j = 0; j < whole_columns; j += kSide<T>) {
    for (int64_t i = 0; i < whole_rows; i += kSide<T>) square(from + i * b + j, b, to + j * a + i, a);
  }
  for (int64_t j = 0; j < b; ++j) {
    for (int64_t i = j < whole_columns ? whole_rows : 0; i < rows; ++i) to[j * a + i] = from[i * b + j];
  }
}

template <class T>
void planes(const T* x, int64_t n, int64_t a, int64_t b, T* y) {
  constexpr int64_t kRows = 8;
  const int64_t strips = (a + kRows - 1) / kRows;
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, kRows * b));
  parallel_for(0, n * strips, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t plane = i / strips, top = (i - plane * strips) * kRows;
      strip(x + (plane * a + top) * b, std::min(kRows, a - top), b, y + plane * a * b + top, a);
    }
  });
}

}  // namespace

void transpose(const float* x, int64_t n, int64_t a, int64_t b, float* y) { planes(x, n, a, b, y); }
void transpose(const double* x, int64_t n, int64_t a, int64_t b, double* y) { planes(x, n, a, b, y); }

}  // namespace nnlite
