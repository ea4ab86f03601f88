// Indices of taps: which tap wins, how its index is stored, and the mask of the windows that have chosen a tap.
#pragma once

#include "simd.h"

namespace nnlite {
namespace {

// Indices of taps, of type I in memory, as integers of T's size. (What the compiler makes of conversions from and to
// bytes takes longer than the rest.)
template <class T>
using TapVec = typename LaneIndex<T>::type;
template <class T, class I>
void store_taps(I* to, TapVec<T> taps) {
  if constexpr (sizeof(I) == 1) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)taps));
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)taps));
    }
    return;
#elif defined(__AVX2__)
    const __m256i low_bytes = sizeof(T) == 4 ? _mm256_set1_epi32(0x0c080400) : _mm256_set1_epi16(0x0800);
    const __m256i bytes = _mm256_shuffle_epi8((__m256i)taps, low_bytes);
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    if constexpr (sizeof(T) == 4) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi32(low, high));
    } else {
      _mm_storeu_si32(to, _mm_unpacklo_epi16(low, high));
    }
    return;
#endif
  }
  typedef I Memory __attribute__((vector_size(kLanes<T> * sizeof(I))));
  const auto v = __builtin_convertvector(taps, Memory);
  std::memcpy(to, &v, sizeof v);
}

// Where windows have chosen a tap, and what is so selected.
#if defined(__AVX512F__)
template <class T>
using Hits = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
template <class T>
Hits<T> hits(const uint8_t* index, int32_t tap) {
  const auto* const at = reinterpret_cast<const __m128i*>(index);
  const __m128i v = sizeof(T) == 4 ? _mm_loadu_si128(at) : _mm_loadl_epi64(at);
  return static_cast<Hits<T>>(_mm_cmpeq_epi8_mask(v, _mm_set1_epi8(static_cast<char>(tap))));
}
template <class T>
Hits<T> hits(const int32_t* index, int32_t tap) {
  if constexpr (sizeof(T) == 4) return _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(index), _mm512_set1_epi32(tap));
  return static_cast<Hits<T>>(
      _mm256_cmpeq_epi32_mask(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index)), _mm256_set1_epi32(tap)));
}
inline Vec<float> select(__mmask16 hit, Vec<float> a, Vec<float> b) { return _mm512_mask_blend_ps(hit, b, a); }
inline Vec<double> select(__mmask8 hit, Vec<double> a, Vec<double> b) { return _mm512_mask_blend_pd(hit, b, a); }
#else
template <class T>
using Hits = TapVec<T>;
template <class T, class I>
Hits<T> hits(const I* index, int32_t tap) {
#if defined(__AVX2__)
  if constexpr (sizeof(I) == 1 && sizeof(T) == 4) {
    return (TapVec<T>)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(index))) == tap;
  } else if constexpr (sizeof(I) == 1) {
    return (TapVec<T>)_mm256_cvtepu8_epi64(_mm_loadu_si32(index)) == tap;
  }
#endif
  typedef I Memory __attribute__((vector_size(kLanes<T> * sizeof(I))));
  Memory v;
  std::memcpy(&v, index, sizeof v);
  return __builtin_convertvector(v, TapVec<T>) == tap;
}
template <class V, class Hit>
V select(Hit hit, V a, V b) {
  return hit ? a : b;
}
#endif

// Whether all are indices of `count` taps.
template <class I>
inline bool are_taps(const I* index, int64_t n, int64_t count) {
  using Unsigned = std::make_unsigned_t<I>;
  Unsigned most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, static_cast<Unsigned>(index[i]));
  return n == 0 || most < count;
}

// Where v takes the place of the greatest so far: it is greater, or the first NaN.
template <class T>
TapVec<T> wins(Vec<T> v, Vec<T> best) {
  return ~(v <= best) & (best == best);
}

}  // namespace
}  // namespace nnlite
