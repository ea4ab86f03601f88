// The float32 functions of csrc/elementary.h over arrays, compiled by sweep.py once per instruction set; and what
// nnlite.reference computes before it looks into its tables: the float64 functions, rounded.
#include "elementary.h"
#include "vector_exp.h"

#define SWEEP_DIRECT(name)                                         \
  extern "C" void name##_direct(const float* x, float* y, int n) { \
    for (int i = 0; i < n; ++i) y[i] = nnlite::name(x[i]);         \
  }

#define SWEEP_ROUNDED(name)                                                                         \
  extern "C" void name##_rounded(const float* x, float* y, int n) {                                 \
    for (int i = 0; i < n; ++i) y[i] = static_cast<float>(nnlite::name(static_cast<double>(x[i]))); \
  }

namespace {

double sigmoid_for_float(double x) {
  const double e = nnlite::exp(-nnlite::elementary::magnitude(x));
  return (x >= 0.0 ? 1.0 - 0x1p-53 : e * (1.0 + 0x1p-52)) / (1.0 + e);
}

}  // namespace

SWEEP_DIRECT(exp)
SWEEP_DIRECT(log)
SWEEP_DIRECT(tanh)
SWEEP_DIRECT(sigmoid)
SWEEP_DIRECT(expm1)
SWEEP_DIRECT(log1p)
SWEEP_DIRECT(erf)

extern "C" void exp_vector(const float* x, float* y, int n) { nnlite::exp_above(x, 0.0f, y, n); }

SWEEP_ROUNDED(exp)
SWEEP_ROUNDED(expm1)
SWEEP_ROUNDED(log1p)
SWEEP_ROUNDED(erf)
SWEEP_ROUNDED(log)
SWEEP_ROUNDED(tanh)

extern "C" void sigmoid_rounded(const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = static_cast<float>(sigmoid_for_float(x[i]));
}
