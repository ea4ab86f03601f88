// The arithmetic of docs/numerics.md that is not a single operation: fma on machines without it, and the flush of
// optimizer moments. Elementary functions are in elementary.h. Shared by CPU and CUDA.
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

// a * b is exact in binary64. Its sum with c is rounded to odd there (the last bit set where the sum is inexact), which
// makes the second rounding, to binary32, the only one that counts.
static inline float fma(float a, float b, float c) {
  const double p = static_cast<double>(a) * static_cast<double>(b);
  const double s = p + c;
  const double t = s - p;
  const double e = (p - (s - t)) + (c - t);  // TwoSum: p + c = s + e exactly
  int64_t bits;
  std::memcpy(&bits, &s, sizeof bits);
  // Towards e by one unit, if e is not 0 (nor NaN: then s is Inf or NaN and stays) and the last bit is even.
  const int64_t inexact = (e < 0) | (e > 0);
  const int64_t away = ((e > 0) == (s > 0)) ? 1 : -1;
  bits += (inexact & ~bits & 1) * away;
  double odd;
  std::memcpy(&odd, &bits, sizeof odd);
  return static_cast<float>(odd);
}

double fma(double a, double b, double c);  // runtime/fma.cpp

#endif

// +0 where |m| < 2^-100 (binary64: 2^-970), else m.
NNLITE_HD static inline float flush(float m) { return (m < 0x1p-100f) & (m > -0x1p-100f) ? 0.0f : m; }
NNLITE_HD static inline double flush(double m) { return (m < 0x1p-970) & (m > -0x1p-970) ? 0.0 : m; }

}  // namespace nnlite
