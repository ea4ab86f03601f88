// The arithmetic of docs/numerics.md that is not a single operation: fma on machines without it, the square root,
// rounding to integers, and the flush of optimizer moments. Elementary functions are in elementary.h. Shared by CPU and
// CUDA.
#pragma once

#include <cstdint>
#include <cstring>

#include "host_device.h"

#if defined(__FAST_MATH__)
#error "nnlite needs IEEE arithmetic: build without -ffast-math"
#endif

namespace nnlite {

#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDACC__)

NNLITE_HD static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
NNLITE_HD static inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

#else

// runtime/fma.cpp: by the CPU's instruction where it has one, else by other operations, with the same bits.
float fma(float a, float b, float c);
double fma(double a, double b, double c);

#endif

// The square root, rounded once.
NNLITE_HD static inline float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}
NNLITE_HD static inline double square_root(double x) {
#if defined(__CUDA_ARCH__)
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}

// +0 where |m| < 2^-100 (binary64: 2^-970), else m.
NNLITE_HD static inline float flush(float m) { return (m < 0x1p-100f) & (m > -0x1p-100f) ? 0.0f : m; }
NNLITE_HD static inline double flush(double m) { return (m < 0x1p-970) & (m > -0x1p-970) ? 0.0 : m; }

// 1, -1, +0 for either zero, NaN for NaN.
template <class T>
NNLITE_HD static inline T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x == 0 ? T(0) : x;
}

// The nearest integer, of two the even one, with the sign of x: beyond 2^23 (binary64: 2^52) every number is one.
NNLITE_HD static inline float round_even(float x) {
  const float a = __builtin_fabsf(x), y = (a + 0x1p23f) - 0x1p23f;
  return a < 0x1p23f ? __builtin_copysignf(y, x) : x;
}
NNLITE_HD static inline double round_even(double x) {
  const double a = __builtin_fabs(x), y = (a + 0x1p52) - 0x1p52;
  return a < 0x1p52 ? __builtin_copysign(y, x) : x;
}

// The greatest integer that is not above x.
template <class T>
NNLITE_HD static inline T round_down(T x) {
  const T y = round_even(x);
  return y > x ? y - 1 : y;
}

}  // namespace nnlite
