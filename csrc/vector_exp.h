// exp of arrays. The float form is correctly rounded like elementary.h's, which leaves it free to be another sequence:
// vectors written out, because the compiler's own widening, narrowing and clamping take as long as the rest, and a
// polynomial that is just long enough. bench/sweep runs it over all inputs.
#pragma once

#include "elementary.h"
#include "simd.h"

namespace nnlite {

// A vector of floats as two of doubles, and back.
static inline void widen(Vec<float> x, Vec<double>& low, Vec<double>& high) {
#if defined(__AVX512F__)
  low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
  high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
#elif defined(__AVX2__)
  low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
  high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
#else
  for (int i = 0; i < kLanes<double>; ++i) low[i] = x[i], high[i] = x[i + kLanes<double>];
#endif
}
static inline Vec<float> narrow(Vec<double> low, Vec<double> high) {
#if defined(__AVX512F__)
  const __m256 first = _mm512_cvtpd_ps(low), second = _mm512_cvtpd_ps(high);
  return _mm512_castpd_ps(
      _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(first)), _mm256_castps_pd(second), 1));
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
#else
  Vec<float> x;
  for (int i = 0; i < kLanes<double>; ++i) {
    x[i] = static_cast<float>(low[i]);
    x[i + kLanes<double>] = static_cast<float>(high[i]);
  }
  return x;
#endif
}

// x within a bound; NaN stays.
static inline Vec<float> at_most(Vec<float> x, float bound) {
#if defined(__AVX512F__)
  return _mm512_min_ps(broadcast(bound), x);
#elif defined(__AVX2__)
  return _mm256_min_ps(broadcast(bound), x);
#else
  return x > bound ? broadcast(bound) : x;
#endif
}
static inline Vec<float> at_least(Vec<float> x, float bound) {
#if defined(__AVX512F__)
  return _mm512_max_ps(broadcast(bound), x);
#elif defined(__AVX2__)
  return _mm256_max_ps(broadcast(bound), x);
#else
  return x < bound ? broadcast(bound) : x;
#endif
}

// a * b + c, in one operation where there is one.
static inline Vec<double> nearly_fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(__FMA__) || defined(__aarch64__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// exp(x) to 2^-52 or so, |x| < 700: 2^n (1 + r + r^2 p(r)), r = x - n ln 2.
static inline Vec<double> exp_normal(Vec<double> x) {
  using namespace elementary;
  const auto c = [](double constant) { return broadcast(constant); };
  const auto line = [=](double c0, double c1, Vec<double> r) { return nearly_fma(c(c1), r, c(c0)); };
  const Vec<double> shifted = nearly_fma(x, c(kLog2E), c(kRound)), n = shifted - kRound;
  const Vec<double> r = nearly_fma(n, c(-kLn2Low), nearly_fma(n, c(-kLn2High), x)), z = r * r;
  Vec<double> p = line(0x1.28917c9f3a495p-22, 0x1.af389eea54156p-26, r);
  p = nearly_fma(p, z, line(0x1.a019b914881bap-16, 0x1.71de0db2eb873p-19, r));
  p = nearly_fma(p, z, line(0x1.6c16c17889f3cp-10, 0x1.a01a01a7c2f2cp-13, r));
  p = nearly_fma(p, z, line(0x1.5555555553d68p-5, 0x1.11111111109b5p-7, r));
  p = nearly_fma(p, z, line(0.5, 0x1.5555555555556p-3, r));
  typedef uint64_t Bits __attribute__((vector_size(kVecBytes)));
  const Vec<double> scale = (Vec<double>)((Bits)shifted << 52);  // 2^n, as in power_of_two
  return nearly_fma(scale, nearly_fma(z, p, r), scale);
}

static inline Vec<float> exp(Vec<float> x) {
  x = at_least(at_most(x, 100.0f), -120.0f);
  Vec<double> low, high;
  widen(x, low, high);
  return narrow(exp_normal(low), exp_normal(high));
}

// y[i] = exp(x[i] - from); x and y may be the same.
static inline void exp_above(const float* x, float from, float* y, int64_t n) {
  constexpr int W = kLanes<float>;
  int64_t i = 0;
  for (; i + W <= n; i += W) store(y + i, exp(load(x + i) - from));
  if (i < n) store(y + i, exp(load(x + i, Lanes(0, n - i)) - from), Lanes(0, n - i));
}
static inline void exp_above(const double* x, double from, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = exp(x[i] - from);
}

}  // namespace nnlite
