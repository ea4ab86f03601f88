#include "ops/dropout.h"

#include <algorithm>

#include "parallel.h"

namespace nnlite {
namespace {

// x where kept, else +0, without a branch: the fate of an element is as unpredictable as it is meant to be.
float kept_or_zero(float x, bool kept) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof x);
  bits &= -static_cast<uint32_t>(kept);
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}
double kept_or_zero(double x, bool kept) {
  uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof x);
  bits &= -static_cast<uint64_t>(kept);
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

constexpr int64_t kPiece = 1024;  // elements whose words are made at a time

template <class T>
void forward(const T* x, int64_t n, uint32_t threshold, T scale, Draw draw, T* __restrict y, uint8_t* __restrict mask) {
  parallel_for(0, n, 8 * kPiece, [=](int64_t begin, int64_t end) {
    uint32_t words[kPiece];
    for (int64_t first = begin; first < end; first += kPiece) {
      const int64_t count = std::min(kPiece, end - first);
      philox_words(draw, first / 4, (count + 3) / 4, words);
      const T* const from = x + first;
      T* __restrict const to = y + first;
      uint8_t* __restrict const kept = mask + first;
      for (int64_t i = 0; i < count; ++i) to[i] = kept_or_zero(from[i] * scale, (words[i] >> 8) >= threshold);
      for (int64_t i = 0; i < count; ++i) kept[i] = (words[i] >> 8) >= threshold;
    }
  });
}

template <class T>
void backward(const T* dy, const uint8_t* mask, int64_t n, T scale, T* __restrict dx) {
  parallel_for(0, n, 1 << 15, [=](int64_t begin, int64_t end) {
    T* __restrict const to = dx;
    for (int64_t i = begin; i < end; ++i) to[i] = kept_or_zero(dy[i] * scale, mask[i] != 0);
  });
}

}  // namespace

void dropout_forward(const float* x, int64_t n, uint32_t threshold, float scale, Draw draw, float* y, uint8_t* mask) {
  forward(x, n, threshold, scale, draw, y, mask);
}
void dropout_forward(const double* x, int64_t n, uint32_t threshold, double scale, Draw draw, double* y,
                     uint8_t* mask) {
  forward(x, n, threshold, scale, draw, y, mask);
}
void dropout_backward(const float* dy, const uint8_t* mask, int64_t n, float scale, float* dx) {
  backward(dy, mask, n, scale, dx);
}
void dropout_backward(const double* dy, const uint8_t* mask, int64_t n, double scale, double* dx) {
  backward(dy, mask, n, scale, dx);
}

}  // namespace nnlite
