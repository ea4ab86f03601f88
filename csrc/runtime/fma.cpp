// fma where the instruction set that the kernels are compiled for has none: by the CPU's instruction if it has one,
// else by the reference's recipe (docs/numerics.md, section 2). Functions of their own, since the recipe is long and
// the instruction belongs to another set.
#include "fma.h"

#include "arith.h"

#if !(defined(__FMA__) || defined(__aarch64__))

#include <algorithm>
#include <bit>
#include <cmath>

#include "simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nnlite {
namespace {

// s + e = a + b exactly, for numbers or pairs of them.
template <class T>
struct Sum {
  T s, e;
};
template <class T>
Sum<T> two_sum(T a, T b) {
  const T s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

// hi + lo = a with at most 26 bits each, for the exact product of Dekker.
template <class T>
struct Split {
  T hi, lo;
};
template <class T>
Split<T> split(T a) {
  const T t = 134217729.0 * a, hi = t - (t - a);
  return {hi, a - hi};
}

// An integer significand and exponent: |x| = m * 2^e.
struct Parts {
  uint64_t m;
  int e;
};
Parts parts(double x) {
  const auto bits = std::bit_cast<uint64_t>(x);
  const int exponent = static_cast<int>(bits >> 52 & 0x7ff);
  const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  return exponent ? Parts{fraction | uint64_t{1} << 52, exponent - 1075} : Parts{fraction, -1074};
}

using Wide = unsigned __int128;

int width(Wide x) {
  const auto high = static_cast<uint64_t>(x >> 64);
  return high ? 128 - std::countl_zero(high) : 64 - std::countl_zero(static_cast<uint64_t>(x));
}

// (-1)^negative * m * 2^e with a sticky last bit, rounded to nearest even, subnormals and overflow included. m is not
// 0.
double round_wide(bool negative, Wide m, int e) {
  const int top = width(m) + e;               // |x| lies in [2^(top-1), 2^top)
  const int ulp = std::max(top - 53, -1074);  // exponent of the last kept bit
  const int drop = ulp - e;
  uint64_t kept;
  if (drop <= 0) {
    kept = static_cast<uint64_t>(m << -drop);
  } else if (drop > 127) {
    kept = 0;
  } else {
    kept = static_cast<uint64_t>(m >> drop);
    const Wide rest = m & ((Wide{1} << drop) - 1), half = Wide{1} << (drop - 1);
    if (rest > half || (rest == half && (kept & 1))) ++kept;
  }
  const double r = std::ldexp(static_cast<double>(kept), ulp);  // exact, or overflow to infinity
  return negative ? -r : r;
}

// Exact integers. The product has at most 106 bits, so 128 hold it with 20 bits to spare; the smaller addend is shifted
// down with a sticky bit.
double fma_by_integers(double a, double b, double c) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == 0 || b == 0) return a * b + c;
  if (!std::isfinite(c)) return c;  // a * b is finite, however large
  const Parts x = parts(a), y = parts(b);
  const bool negative = std::signbit(a) != std::signbit(b);
  Wide p = static_cast<Wide>(x.m) * y.m;
  int e = x.e + y.e;
  if (c == 0) return round_wide(negative, p, e);
  const Parts z = parts(c);
  Wide q = z.m;
  int f = z.e;
  const bool q_negative = std::signbit(c);
  // Both to 126 bits at most, the larger one normalised there, the smaller one aligned to it.
  const auto normalise = [](Wide& m, int& exponent) {
    const int shift = 125 - width(m);
    m <<= shift;
    exponent -= shift;
  };
  normalise(p, e);
  normalise(q, f);
  const auto align = [](Wide& m, int& exponent, int to) {
    const int shift = to - exponent;
    if (shift > 0) m = shift > 126 ? Wide{1} : (m >> shift) | ((m & ((Wide{1} << shift) - 1)) != 0);
    exponent = to;
  };
  const int common = std::max(e, f);
  align(p, e, common);
  align(q, f, common);
  if (negative == q_negative) return round_wide(negative, p + q, common);
  if (p == q) return 0.0;
  return p > q ? round_wide(negative, p - q, common) : round_wide(q_negative, q - p, common);
}

// a * b is exact in binary64. Its sum with c is rounded to odd there (the last bit set where the sum is inexact), which
// makes the second rounding, to binary32, the only one that counts.
float fma_by_parts(float a, float b, float c) {
  const double p = static_cast<double>(a) * static_cast<double>(b);
  const double s = p + c;
  const double t = s - p;
  const double e = (p - (s - t)) + (c - t);  // TwoSum: p + c = s + e exactly
  auto bits = std::bit_cast<int64_t>(s);
  // Towards e by one unit, if e is not 0 (nor NaN: then s is Inf or NaN and stays) and the last bit is even.
  const int64_t inexact = (e < 0) | (e > 0);
  const int64_t away = ((e > 0) == (s > 0)) ? 1 : -1;
  bits += (inexact & ~bits & 1) * away;
  return static_cast<float>(std::bit_cast<double>(bits));
}

typedef double DoublePair __attribute__((vector_size(16)));
typedef int64_t Int64Pair __attribute__((vector_size(16)));

// The sum s + e rounded to odd: one unit of s towards e if e is not 0 and the last bit is even.
DoublePair to_odd(Sum<DoublePair> sum) {
  const Int64Pair bits = std::bit_cast<Int64Pair>(sum.s);
  const Int64Pair above = sum.e > 0, inexact = above | (sum.e < 0), apart = above ^ (sum.s > 0);  // -1 where true
  return std::bit_cast<DoublePair>(bits +
                                   (((inexact & ~bits & 1) ^ apart) - apart));  // apart: minus one, else plus one
}

// Two at a time, where no part of the product or the sums is lost below the least number or above the greatest; false
// elsewhere.
bool fma_by_parts(DoublePair a, DoublePair b, DoublePair& c) {
  const auto magnitude = [](DoublePair x) {
    return std::bit_cast<DoublePair>(std::bit_cast<Int64Pair>(x) & INT64_MAX);
  };
  const DoublePair p = a * b;
  const Int64Pair safe =
      (magnitude(a) <= 0x1p480) & (magnitude(b) <= 0x1p480) & (magnitude(c) <= 0x1p1000) & (magnitude(p) >= 0x1p-900);
  if ((safe[0] & safe[1]) == 0) return false;
  const Split<DoublePair> x = split(a), y = split(b);
  const DoublePair low = ((x.hi * y.hi - p) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo;  // p + low = a * b exactly
  const Sum<DoublePair> first = two_sum(low, c), second = two_sum(p, first.s);
  c = second.s + to_odd(two_sum(first.e, second.e));
  return true;
}

double fma_by_parts(double a, double b, double c) {
  DoublePair sum = {c, c};
  return fma_by_parts(DoublePair{a, a}, DoublePair{b, b}, sum) ? sum[0] : fma_by_integers(a, b, c);
}

Vec<double> by_parts(Vec<double> a, Vec<double> b, Vec<double> c) {
  if (fma_by_parts(a, b, c)) return c;
  for (int i = 0; i < 2; ++i) c[i] = fma_by_parts(a[i], b[i], c[i]);
  return c;
}

Vec<float> by_parts(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__x86_64__)
  // Rounding twice, to binary64 and then to binary32, is rounding once unless the first result lies halfway between two
  // numbers, or the second is subnormal (or the least number above).
  const auto sum = [](__m128 x, __m128 y, __m128 z) {
    return _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(x), _mm_cvtps_pd(y)), _mm_cvtps_pd(z));
  };
  const auto upper = [](__m128 x) { return _mm_movehl_ps(x, x); };
  const __m128d first = sum(a, b, c), second = sum(upper(a), upper(b), upper(c));
  const __m128 y = _mm_movelh_ps(_mm_cvtpd_ps(first), _mm_cvtpd_ps(second));
  const __m128i ends = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(first), _mm_castpd_ps(second), 0x88));
  const __m128i dropped = _mm_and_si128(ends, _mm_set1_epi32(0x1fffffff));
  const __m128i above_zero =
      _mm_sub_epi32(_mm_and_si128(_mm_castps_si128(y), _mm_set1_epi32(INT32_MAX)), _mm_set1_epi32(1));
  const __m128i small = _mm_cmpeq_epi32(_mm_and_si128(above_zero, _mm_set1_epi32(~0x7fffff)), _mm_setzero_si128());
  if (_mm_movemask_epi8(_mm_or_si128(small, _mm_cmpeq_epi32(dropped, _mm_set1_epi32(0x10000000)))) == 0) return y;
#endif
  for (int i = 0; i < 4; ++i) c[i] = fma_by_parts(a[i], b[i], c[i]);
  return c;
}

#if defined(__x86_64__)
bool instruction = false;

__attribute__((target("fma"))) float by_instruction(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__attribute__((target("fma"))) double by_instruction(double a, double b, double c) { return __builtin_fma(a, b, c); }
__attribute__((target("fma"))) Vec<float> by_instruction(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm_fmadd_ps(a, b, c);
}
__attribute__((target("fma"))) Vec<double> by_instruction(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm_fmadd_pd(a, b, c);
}
#endif

}  // namespace

Vec<float> (*fma_of_floats)(Vec<float>, Vec<float>, Vec<float>) = by_parts;
Vec<double> (*fma_of_doubles)(Vec<double>, Vec<double>, Vec<double>) = by_parts;

#if defined(__x86_64__)
bool set_fma_instruction(bool wanted) {
  __builtin_cpu_init();
  instruction = wanted && __builtin_cpu_supports("fma");
  fma_of_floats = by_parts;
  fma_of_doubles = by_parts;
  if (instruction) {
    fma_of_floats = by_instruction;
    fma_of_doubles = by_instruction;
  }
  return instruction;
}
float fma(float a, float b, float c) { return instruction ? by_instruction(a, b, c) : fma_by_parts(a, b, c); }
double fma(double a, double b, double c) { return instruction ? by_instruction(a, b, c) : fma_by_parts(a, b, c); }
#else
bool set_fma_instruction(bool) { return false; }
float fma(float a, float b, float c) { return fma_by_parts(a, b, c); }
double fma(double a, double b, double c) { return fma_by_parts(a, b, c); }
#endif

}  // namespace nnlite

#else

namespace nnlite {
bool set_fma_instruction(bool) { return true; }
}  // namespace nnlite

#endif
