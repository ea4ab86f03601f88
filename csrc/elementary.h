// Elementary functions of docs/numerics.md section 9, shared by CPU and CUDA. Branchless, so that a plain loop over an
// array becomes vector code.
//
// binary64 has one written sequence of + - * /, comparisons and bit operations, the same as nnlite.reference.arith.
// binary32 is correctly rounded, which leaves the way free: here it is evaluated in binary64, fused where the hardware
// can, rounded once, and the few inputs that come out wrong on any build are corrected (bench/sweep shows that these
// are all).
#pragma once

#include <cstdint>

#include "host_device.h"

namespace nnlite {
namespace elementary {

NNLITE_HD static inline int64_t bits(double x) {
  int64_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  return u;
}

NNLITE_HD static inline int32_t bits(float x) {
  int32_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  return u;
}

NNLITE_HD static inline double from_bits(int64_t u) {
  double x;
  __builtin_memcpy(&x, &u, sizeof x);
  return x;
}

NNLITE_HD static inline float from_bits(int32_t u) {
  float x;
  __builtin_memcpy(&x, &u, sizeof x);
  return x;
}

NNLITE_HD static inline double magnitude(double x) { return from_bits(bits(x) & INT64_MAX); }
NNLITE_HD static inline float magnitude(float x) { return from_bits(bits(x) & INT32_MAX); }

// y, not negative, with the sign of x.
NNLITE_HD static inline double with_sign_of(double x, double y) { return from_bits(bits(y) | (bits(x) & INT64_MIN)); }
NNLITE_HD static inline float with_sign_of(float x, float y) { return from_bits(bits(y) | (bits(x) & INT32_MIN)); }

// a * b + c: two operations for the binary64 functions; one where the hardware can for the binary32 functions, whose
// results do not depend on it.
template <bool Fused>
NNLITE_HD static inline double multiply_add(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDA_ARCH__)
  return Fused ? __builtin_fma(a, b, c) : a * b + c;
#else
  return a * b + c;
#endif
}

// c0 + c1 x + c2 x^2 + … with z = x x: pairs c0 + c1 x, c2 + c3 x, … by Horner's rule in z, which leaves shorter chains
// than Horner's rule in x.
template <bool Fused>
NNLITE_HD static inline double polynomial(double, double, double c0) {
  return c0;
}

template <bool Fused>
NNLITE_HD static inline double polynomial(double x, double, double c0, double c1) {
  return multiply_add<Fused>(c1, x, c0);
}

template <bool Fused, class... Rest>
NNLITE_HD static inline double polynomial(double x, double z, double c0, double c1, double c2, Rest... rest) {
  return multiply_add<Fused>(polynomial<Fused>(x, z, c2, rest...), z, multiply_add<Fused>(c1, x, c0));
}

// Adding and subtracting it rounds to an integer n, and the sum's low bits are n + 1023, the exponent field of 2^n.
constexpr double kRound = 0x1.8p52 + 1023;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: n * kLn2High is exact for |n| < 2^11
constexpr double kLn2Low = 0x1.ef35793c76730p-45;

// 2^n from n + kRound, -1022 <= n <= 1023.
NNLITE_HD static inline double power_of_two(double shifted) {
  return from_bits(static_cast<int64_t>(static_cast<uint64_t>(bits(shifted)) << 52));
}

// exp(x) = 2^n (1 + q), |x - n ln 2| at most about ln(2) / 2.
struct Reduced {
  double shifted;  // n + kRound
  double n;
  double q;
};

template <bool Fused>
NNLITE_HD static inline Reduced reduce(double x) {
  const double shifted = multiply_add<Fused>(x, kLog2E, kRound);
  const double n = shifted - kRound;
  const double r = multiply_add<Fused>(-n, kLn2Low, multiply_add<Fused>(-n, kLn2High, x));
  const double z = r * r;
  const double p =
      polynomial<Fused>(r, z, 0.5, 0x1.5555555555556p-3, 0x1.5555555555555p-5, 0x1.11111111109b3p-7,
                        0x1.6c16c16c167e1p-10, 0x1.a01a01a7c41d5p-13, 0x1.a01a01a47b054p-16, 0x1.71de0dae63bb3p-19,
                        0x1.27e4e1f48534fp-22, 0x1.af38a9b0ec855p-26, 0x1.1f66df7fca49fp-29);
  return {shifted, n, multiply_add<Fused>(z, p, r)};
}

// x = 2^k (1 + f), 1 + f from sqrt(1/2) to sqrt(2), and log(1 + f) = f - s g; x is normal, positive and finite.
struct Logarithm {
  double k;
  double f;
  double s;
  double g;
};

template <bool Fused>
NNLITE_HD static inline Logarithm reduce_log(double x) {
  // The bits of 2^52 + 1023 + k make k a binary64 number without a conversion.
  const uint64_t moved = static_cast<uint64_t>(bits(x)) + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
  const double k = from_bits(static_cast<int64_t>((moved >> 52) | 0x4330000000000000)) - (0x1p52 + 1023);
  const double f = from_bits(static_cast<int64_t>((moved & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd)) - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double t =
      polynomial<Fused>(z, z * z, 0x1.5555555555558p-1, 0x1.99999999952d7p-2, 0x1.2492492df281ap-2,
                        0x1.c71c62e3f11e6p-3, 0x1.7462b51cb66b1p-3, 0x1.39fe51a7c18f9p-3, 0x1.2b5900de53b32p-3);
  // log(1 + f) = 2 atanh(s) = 2 s + s z t, and 2 s = f - s f
  return {k, f, s, multiply_add<Fused>(-z, t, f)};
}

// log x, given that it is y where x is positive and finite.
template <class T>
NNLITE_HD static inline T special_log(T x, T y) {
  const T infinity = static_cast<T>(__builtin_inf());
  y = x < infinity ? y : x;  // Inf, NaN
  y = x == 0 ? -infinity : y;
  return x < 0 ? static_cast<T>(__builtin_nan("")) : y;
}

// exp(x) = ((1 + q) p) p2, p and p2 powers of two. The product with p is exact, so a subnormal result is rounded once.
struct Scaled {
  double q;
  double p;
  double p2;
};

NNLITE_HD static inline Scaled exp_parts(double x) {
  x = x > 720.0 ? 720.0 : x;
  x = x < -760.0 ? -760.0 : x;
  const Reduced e = reduce<false>(x);
  const double shifted = 0.5 * e.n + kRound;
  return {e.q, power_of_two(shifted), power_of_two((e.n - (shifted - kRound)) + kRound)};
}

// exp(x) for |x| < 700, where 2^n is one factor.
template <bool Fused>
NNLITE_HD static inline double exp_normal(double x) {
  const Reduced e = reduce<Fused>(x);
  const double scale = power_of_two(e.shifted);
  return multiply_add<Fused>(scale, e.q, scale);
}

// exp(x) - 1, where 2^n is one factor up to x = 40 and 1 is nothing beside exp(x) from there on.
template <bool Fused>
NNLITE_HD static inline double expm1_within(double x) {
  const Reduced e = reduce<Fused>(x);
  const double scale = power_of_two(e.shifted);
  return multiply_add<Fused>(scale, e.q, scale - 1.0);
}

// log(1 + x) = log(u) + c / u, u = 1 + x rounded, c what rounding lost.
template <bool Fused>
NNLITE_HD static inline double log1p_finite(double x, double u) {
  const Logarithm l = reduce_log<Fused>(u);
  const double c = (x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x)) / u;
  return l.k * kLn2High + (l.f - (l.s * l.g - (l.k * kLn2Low + c)));
}

// erf(a), 0 <= a: below 1 a + a P(a^2), above 1 - exp(-a^2) Q((a - 3) / (a + 3)).
template <bool Fused>
NNLITE_HD static inline double erf_positive(double a) {
  a = a > 6.0 ? 6.0 : a;
  const double z = a * a, t = (a - 3.0) / (a + 3.0);
  const double p = polynomial<Fused>(z, z * z, 0x1.06eba8214db68p-3, -0x1.812746b0379c1p-2, 0x1.ce2f21a040f66p-4,
                                     -0x1.b82ce31203772p-6, 0x1.565bccfa44156p-8, -0x1.c02db0665e53dp-11,
                                     0x1.f9a2be4f731a1p-14, -0x1.f4ca838adb73bp-17, 0x1.b981d78881a5dp-20,
                                     -0x1.5c131500d3f88p-23, 0x1.d76af6ca49787p-27, -0x1.ac9585a44fe29p-31);
  const double q =
      polynomial<Fused>(t, t * t, 0x1.6e9827d229d2dp-3, -0x1.4e102b9cf8512p-2, 0x1.f6ff20410599bp-3,
                        -0x1.336ffbef08cbbp-3, 0x1.258b13b0139fep-4, -0x1.8fa58eb5bd68fp-6, 0x1.17c838fea5806p-8,
                        0x1.73101ea8fe252p-11, -0x1.39085a31b18abp-11, 0x1.7b9fc8eb630e9p-15, 0x1.0cb1db32e0c9fp-14,
                        -0x1.af2329d757293p-17, -0x1.0cb4611cc29f6p-17, 0x1.0f9a79cee3e31p-19, 0x1.57a5fe2b9b75ep-20);
  return a < 1.0 ? multiply_add<Fused>(a, p, a) : 1.0 - exp_normal<Fused>(-z) * q;
}

// log x of the inputs for which y, the binary64 value rounded, is wrong in some build; else y.
NNLITE_HD static inline float corrected_log(float x, float y) {
  y = x == 0x1.827a74p-7f ? -0x1.1c2b1ep+2f : y;
  y = x == 0x1.2f1fd6p+3f ? 0x1.1fcbcep+1f : y;
  y = x == 0x1.bacb4ap+25f ? 0x1.1e0696p+4f : y;
  y = x == 0x1.b121a6p+76f ? 0x1.a9a3f2p+5f : y;
  return x == 0x1.6351d8p+95f ? 0x1.08b512p+6f : y;
}

// The same for log(1 + x).
NNLITE_HD static inline float corrected_log1p(float x, float y) {
  y = x == 0x1.800006p-21f ? 0x1.7ffffep-21f : y;
  y = x == 0x1.200036p-17f ? 0x1.1fffe6p-17f : y;
  y = x == 0x1.fb035ap-2f ? 0x1.9bddc2p-2f : y;
  y = x == 0x1.0f1fd6p+3f ? 0x1.1fcbcep+1f : y;
  y = x == 0x1.b121a6p+76f ? 0x1.a9a3f2p+5f : y;
  y = x == 0x1.6351d8p+95f ? 0x1.08b512p+6f : y;
  y = x == -0x1.7ffffap-21f ? -0x1.800002p-21f : y;
  y = x == -0x1.1fffcap-17f ? -0x1.20001ap-17f : y;
  return x == -0x1.1d9188p-9f ? -0x1.1de14ap-9f : y;
}

}  // namespace elementary

NNLITE_HD static inline double exp(double x) {
  const elementary::Scaled e = elementary::exp_parts(x);
  return ((1.0 + e.q) * e.p) * e.p2;
}

NNLITE_HD static inline double log(double x) {
  using namespace elementary;
  const bool subnormal = x < 0x1p-1022;
  const Logarithm l = reduce_log<false>(subnormal ? x * 0x1p54 : x);
  const double k = l.k - (subnormal ? 54.0 : 0.0);
  return special_log(x, k * kLn2High + (l.f - (l.s * l.g - k * kLn2Low)));
}

NNLITE_HD static inline double tanh(double x) {
  using namespace elementary;
  const double a = magnitude(x);
  const double z = a * a;
  const double p = polynomial<false>(z, z * z, -0x1.5555555555555p-2, -0x1.4fe7750392bb5p-6, -0x1.a2001ddcb601bp-13);
  const double q = polynomial<false>(z, z * z, 1.0, 0x1.d894ff8a451bap-2, 0x1.7dac99cb76a09p-6, 0x1.b172853ccc90ep-13);
  const double e = exp(2.0 * (a > 20.0 ? 20.0 : a));
  // Below 0.55 a + a z P(z) / Q(z), above 1 - 2 / (exp(2 a) + 1): one division serves both.
  const bool small = a < 0.55;
  const double quotient = (small ? (a * z) * p : -2.0) / (small ? q : e + 1.0);
  return with_sign_of(x, (small ? a : 1.0) + quotient);
}

NNLITE_HD static inline double sigmoid(double x) {
  const elementary::Scaled t = elementary::exp_parts(-elementary::magnitude(x));
  const double e = ((1.0 + t.q) * t.p) * t.p2;
  // 1 + e = s + d exactly, and e / (s + d) is nearly (e - e d) / s.
  const double s = 1.0 + e;
  const double d = (1.0 - s) + e;
  return (x >= 0.0 ? 1.0 : ((1.0 + (t.q - d)) * t.p) * t.p2) / s;
}

NNLITE_HD static inline float exp(float x) {
  x = x > 100.0f ? 100.0f : x;
  x = x < -120.0f ? -120.0f : x;
  return static_cast<float>(elementary::exp_normal<true>(x));
}

NNLITE_HD static inline float log(float x) {
  using namespace elementary;
  const Logarithm l = reduce_log<true>(x);
  const double y = multiply_add<true>(l.k, 0x1.62e42fefa39efp-1, multiply_add<true>(-l.s, l.g, l.f));
  return special_log(x, corrected_log(x, static_cast<float>(y)));
}

NNLITE_HD static inline float tanh(float x) {
  using namespace elementary;
  const float a = magnitude(x);
  const Reduced e = reduce<true>(2.0f * (a > 10.0f ? 10.0f : a));
  // m = exp(2 a) - 1 = 2^n q + (2^n - 1)
  const double scale = power_of_two(e.shifted);
  const double m = multiply_add<true>(scale, e.q, scale - 1.0);
  return with_sign_of(x, static_cast<float>(m / (m + 2.0)));
}

NNLITE_HD static inline float sigmoid(float x) {
  using namespace elementary;
  const float a = magnitude(x);
  const double e = exp_normal<true>(-(a > 120.0f ? 120.0f : a));
  // Near 0 it is 1/2 + x/4 - x^3/48 + ..., and where 1/2 + x/4 lies halfway between two floats the cubic term decides,
  // for which binary64 is too short: the numerator moves the quotient a unit towards 1/2.
  const float y = static_cast<float>((x >= 0.0f ? 1.0 - 0x1p-53 : e * (1.0 + 0x1p-52)) / (1.0 + e));
  return x == -0x1.2082ep-3f ? 0x1.dbfeep-2f : y;
}

NNLITE_HD static inline double expm1(double x) {
  using namespace elementary;
  const double small = expm1_within<false>(x > 40.0 ? 40.0 : x < -60.0 ? -60.0 : x);
  return x > 40.0 ? exp(x) : with_sign_of(x, magnitude(small));
}

NNLITE_HD static inline double log1p(double x) {
  using namespace elementary;
  const double u = 1.0 + x;
  return with_sign_of(x, magnitude(special_log(u, log1p_finite<false>(x, u))));
}

// The error function.
NNLITE_HD static inline double erf(double x) {
  using namespace elementary;
  return with_sign_of(x, erf_positive<false>(magnitude(x)));
}

NNLITE_HD static inline float expm1(float x) {
  using namespace elementary;
  const float y = static_cast<float>(expm1_within<true>(x > 100.0f ? 100.0f : x < -60.0f ? -60.0f : x));
  return with_sign_of(x, magnitude(y));
}

NNLITE_HD static inline float log1p(float x) {
  using namespace elementary;
  const double u = 1.0 + x;
  const float y = with_sign_of(x, magnitude(static_cast<float>(special_log(u, log1p_finite<true>(x, u)))));
  return corrected_log1p(x, y);
}

NNLITE_HD static inline float erf(float x) {
  using namespace elementary;
  return with_sign_of(x, static_cast<float>(erf_positive<true>(magnitude(x))));
}

// Sine and cosine of 2 pi u, |u| < 2^49.
NNLITE_HD static inline void sincos2pi(double u, double& sine, double& cosine) {
  using namespace elementary;
  const double shifted = 4.0 * u + 0x1.8p52;
  const int64_t quarter = bits(shifted);
  const double t = (u - (shifted - 0x1.8p52) * 0.25) * 0x1.921fb54442d18p+2;
  const double z = t * t;
  const double p =
      polynomial<false>(z, z * z, -0x1.5555555555555p-3, 0x1.1111111111110p-7, -0x1.a01a01a019937p-13,
                        0x1.71de3a54607a5p-19, -0x1.ae64541295cdfp-26, 0x1.61217ee5cca1bp-33, -0x1.ab17bdcbd3414p-41);
  const double s = t + (t * z) * p;
  const double q = polynomial<false>(z, z * z, 0x1.5555555555555p-5, -0x1.6c16c16c16967p-10, 0x1.a01a019f4e9b4p-16,
                                     -0x1.27e4fa17bf139p-22, 0x1.1eeb68cd22f56p-29, -0x1.907d8f29fe831p-37);
  const double c = 1.0 - (0.5 * z - (z * z) * q);
  const bool swap = (quarter & 1) != 0;
  sine = (swap ? c : s) * ((quarter & 2) != 0 ? -1.0 : 1.0);
  cosine = (swap ? s : c) * (((quarter + 1) & 2) != 0 ? -1.0 : 1.0);
}

}  // namespace nnlite
