// fma of binary64 for machines without it: the reference's recipe (docs/numerics.md, section 2).
#include "arith.h"

#if !(defined(__FMA__) || defined(__aarch64__))

#include <algorithm>
#include <bit>
#include <cmath>

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

bool within(double x, double low, double high) {
  const double magnitude = std::fabs(x);
  return magnitude >= low && magnitude <= high;
}

}  // namespace

double fma(double a, double b, double c) {
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

}  // namespace nnlite

#endif
