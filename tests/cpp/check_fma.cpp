// fma by other operations and by the CPU's instruction, of the module that runs on any CPU, against the C library's:
// random numbers of all magnitudes, sums that lie halfway between two numbers or nearly so, and special values.
//
//   check_fma [millions of numbers]     exit code 1 when a result differs

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <type_traits>

#include "float_state.h"
#include "fma.h"
#include "simd.h"

using namespace nnlite;

namespace {

uint64_t state = 1;
uint64_t draw() {  // SplitMix64
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(draw() % (high - low + 1)); }

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
template <class T>
constexpr int kDigits = std::numeric_limits<T>::digits;
template <class T>
constexpr int kLeast = sizeof(T) == 4 ? -149 : -1074;

template <class T>
T special() {
  using Limits = std::numeric_limits<T>;
  const T values[] = {0,
                      1,
                      3,
                      Limits::infinity(),
                      Limits::quiet_NaN(),
                      Limits::max(),
                      Limits::min(),
                      Limits::denorm_min(),
                      std::nextafter(Limits::min(), T(0)),
                      T(1) + Limits::epsilon()};
  const T x = values[draw() % std::size(values)];
  return draw() & 1 ? -x : x;
}
// A number of few bits, at a magnitude of about 2^exponent.
template <class T>
T few_bits(int64_t exponent) {
  T x = 1;
  for (int i = 0; i < 2; ++i) x += std::ldexp(T(draw() & 1), -static_cast<int>(between(1, kDigits<T> - 1)));
  return std::ldexp(draw() & 1 ? -x : x, static_cast<int>(exponent));
}

template <class T>
void choose(T& a, T& b, T& c) {
  const int64_t kind = between(0, 7), top = -kLeast<T> - kDigits<T> + 2;
  if (kind == 0) {
    for (T* x : {&a, &b, &c}) *x = draw() & 1 ? special<T>() : few_bits<T>(between(-3, 3));
  } else if (kind == 1) {
    for (T* x : {&a, &b, &c}) *x = std::bit_cast<T>(static_cast<Bits<T>>(draw()));
  } else if (kind == 2) {
    // A hair less than half a unit of c, which is normal or subnormal.
    const T unit = std::numeric_limits<T>::epsilon(), i = T(between(1, 3));
    const int64_t least = draw() & 1 ? kLeast<T> : between(kLeast<T>, top - kDigits<T>), first = least / 2;
    const bool negative = draw() & 1;
    a = std::ldexp(1 + i * unit, static_cast<int>(first));
    b = std::ldexp(negative ? i * unit - 1 : 1 - i * unit, static_cast<int>(least - 1 - first));
    c = std::ldexp(T(between(0, (int64_t{1} << kDigits<T>)-1)), static_cast<int>(least));
  } else {
    // A sum that is about halfway: c is some 2^kDigits times the product, or cancels it; also where results are
    // subnormal or overflow.
    const int64_t ends[] = {0, kLeast<T> + kDigits<T>, top, between(kLeast<T>, top), between(kLeast<T>, top)};
    const int64_t sum = ends[draw() % std::size(ends)], first = between(-top / 2, top / 2);
    const int64_t below = kind < 4   ? between(-3, 3)
                          : kind < 6 ? kDigits<T> + between(-3, 3)
                          : kind < 7 ? between(kLeast<T>, -kLeast<T>)
                                     : 0;
    a = few_bits<T>(first);
    b = few_bits<T>(sum - below - first);
    c = kind == 7 ? -a * b : few_bits<T>(sum);
    if (kind == 3) c = 0;
  }
}

template <class T>
bool same(T x, T y) {
  return std::bit_cast<Bits<T>>(x) == std::bit_cast<Bits<T>>(y) || (std::isnan(x) && std::isnan(y));
}

template <class T>
int64_t check(const char* way, int64_t count) {
  constexpr int W = kLanes<T>;
  int64_t wrong = 0;
  for (int64_t n = 0; n < count; n += W) {
    T a[W], b[W], c[W];
    for (int i = 0; i < W; ++i) choose(a[i], b[i], c[i]);
    const Vec<T> vector = nnlite::fma(load(a), load(b), load(c));
    for (int i = 0; i < W; ++i) {
      const T want = std::fma(a[i], b[i], c[i]), got[] = {vector[i], nnlite::fma(a[i], b[i], c[i])};
      for (const T y : got) {
        if (same(y, want)) continue;
        if (++wrong <= 10)
          std::printf("%s float%zu: fma(%a, %a, %a) is %a, not %a\n", way, 8 * sizeof(T), a[i], b[i], c[i], y, want);
      }
    }
  }
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  const FloatState specified;
  const int64_t count = 1000000 * (argc > 1 ? std::atoll(argv[1]) : 1);
  int64_t wrong = 0;
  for (const bool instruction : {false, true}) {
    if (set_fma_instruction(instruction) != instruction) continue;
    const char* const way = instruction ? "instruction" : "operations";
    wrong += check<float>(way, count) + check<double>(way, count);
  }
  std::printf("%lld wrong\n", static_cast<long long>(wrong));
  return wrong != 0;
}
