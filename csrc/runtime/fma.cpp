// fma where the instruction set that the kernels are compiled for has none: by the CPU's instruction if it has one,
// else by the reference's recipe (docs/numerics.md, section 2). Functions of their own, since the recipe is long and
// the instruction belongs to another set.
#include "fma.h"

#include "arith.h"

#if !(defined(__FMA__) || defined(__aarch64__))

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nnlite {
namespace {

// s + e = a + b exactly.
struct Sum {
  double s, e;
};
Sum two_sum(double a, double b) {
  const double s = a + b;
  const double t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

// hi + lo = a with at most 26 bits each, for the exact product of Dekker.
struct Split {
  double hi, lo;
};
Split split(double a) {
  const double t = 134217729.0 * a;
  const double hi = t - (t - a);
  return {hi, a - hi};
}

// a + b rounded to odd: the last bit is set where the sum is inexact.
double add_to_odd(double a, double b) {
  const Sum r = two_sum(a, b);
  if (r.e == 0) return r.s;
  auto bits = std::bit_cast<int64_t>(r.s);
  if ((bits & 1) == 0) bits += ((r.e > 0) == (r.s > 0)) ? 1 : -1;
  return std::bit_cast<double>(bits);
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

bool within(double x, double low, double high) {
  const double magnitude = std::fabs(x);
  return magnitude >= low && magnitude <= high;
}

double fma_by_parts(double a, double b, double c) {
  const double p = a * b;
  const bool safe = within(a, 0x1p-480, 0x1p480) && within(b, 0x1p-480, 0x1p480) && std::fabs(p) >= 0x1p-900 &&
                    within(c, 0x1p-900, 0x1p1000);
  if (!safe) return fma_by_integers(a, b, c);
  const Split x = split(a), y = split(b);
  const double low = ((x.hi * y.hi - p) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo;  // p + low = a * b exactly
  const Sum first = two_sum(low, c);
  const Sum second = two_sum(p, first.s);
  return second.s + add_to_odd(first.e, second.e);
}

// Two lanes of fma_by_parts(float, ...) at a time.
typedef float FloatPair __attribute__((vector_size(8)));
typedef double DoublePair __attribute__((vector_size(16)));
typedef int64_t Int64Pair __attribute__((vector_size(16)));
FloatPair fma_by_parts(FloatPair a, FloatPair b, FloatPair c) {
  const DoublePair wide = __builtin_convertvector(c, DoublePair);
  const DoublePair p = __builtin_convertvector(a, DoublePair) * __builtin_convertvector(b, DoublePair);
  const DoublePair s = p + wide, t = s - p;
  const DoublePair e = (p - (s - t)) + (wide - t);
  const Int64Pair bits = std::bit_cast<Int64Pair>(s);
  const Int64Pair above = e > 0, inexact = above | (e < 0), apart = above ^ (s > 0);  // -1 where true
  const Int64Pair odd = bits + ((inexact & ~bits & 1) ^ apart) - apart;               // apart: minus one, else plus one
  return __builtin_convertvector(std::bit_cast<DoublePair>(odd), FloatPair);
}

Vec<float> by_parts(Vec<float> a, Vec<float> b, Vec<float> c) {
  FloatPair x[2], y[2], z[2];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  std::memcpy(z, &c, sizeof c);
  for (int i = 0; i < 2; ++i) z[i] = fma_by_parts(x[i], y[i], z[i]);
  std::memcpy(&c, z, sizeof c);
  return c;
}
Vec<double> by_parts(Vec<double> a, Vec<double> b, Vec<double> c) {
  for (int i = 0; i < 2; ++i) c[i] = fma_by_parts(a[i], b[i], c[i]);
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
