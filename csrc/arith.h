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

// runtime/fma.cpp: by the CPU's instruction where it has one, else by other operations, with the same bits.
float fma(float a, float b, float c);
double fma(double a, double b, double c);

#endif

// +0 where |m| < 2^-100 (binary64: 2^-970), else m.
NNLITE_HD static inline float flush(float m) { return (m < 0x1p-100f) & (m > -0x1p-100f) ? 0.0f : m; }
NNLITE_HD static inline double flush(double m) { return (m < 0x1p-970) & (m > -0x1p-970) ? 0.0 : m; }

}  // namespace nnlite
