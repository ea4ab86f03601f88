// The vector of the instruction set that this file is compiled for. Vec<float> and Vec<double> are GCC vector types: +
// - * / and comparisons work on them as on numbers (and mix with scalars), so a formula written once with `auto` serves
// vectors and their scalar tails alike.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "arith.h"

namespace nnlite {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(kVecBytes)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(kVecBytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;

// Elements per vector.
template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

template <class T>
static inline Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
static inline void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T>
static inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // x - 0 is x for every x, -0 and NaN included
}

// a * b + c, rounded once.
#if defined(__AVX512F__)
static inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
static inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__AVX2__)
static inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
static inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__aarch64__)
static inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
static inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
// runtime/fma.cpp: by the CPU's instruction where it has one, else by other operations, with the same bits.
extern Vec<float> (*fma_of_floats)(Vec<float>, Vec<float>, Vec<float>);
extern Vec<double> (*fma_of_doubles)(Vec<double>, Vec<double>, Vec<double>);
static inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return fma_of_floats(a, b, c); }
static inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return fma_of_doubles(a, b, c); }
#endif

// Lanes [first, last) of a vector in memory, which may lie outside the vector; the others are +0 when loaded, and in no
// case touched.
struct Lanes {
#if defined(__AVX512F__)
  Lanes(int64_t first, int64_t last) : mask(below(last) & ~below(first)) {}
  static uint32_t below(int64_t n) { return n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1; }
  uint32_t mask;
#else
  Lanes(int64_t first, int64_t last) : first(first > 0 ? first : 0), last(last > 0 ? last : 0) {}
  int64_t first, last;
#endif
};
#if defined(__AVX512F__)
static inline Vec<float> load(const float* p, Lanes n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(n.mask), p);
}
static inline Vec<double> load(const double* p, Lanes n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(n.mask), p);
}
static inline void store(float* p, Vec<float> v, Lanes n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>(n.mask), v);
}
static inline void store(double* p, Vec<double> v, Lanes n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(n.mask), v);
}
#elif defined(__AVX2__)
static inline __m256i lane_mask(const float*, Lanes n) {
  const __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int first = static_cast<int>(n.first < 8 ? n.first : 8), last = static_cast<int>(n.last < 8 ? n.last : 8);
  return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), i),
                             _mm256_cmpgt_epi32(_mm256_set1_epi32(last), i));
}
static inline __m256i lane_mask(const double*, Lanes n) {
  const __m256i i = _mm256_setr_epi64x(0, 1, 2, 3);
  return _mm256_andnot_si256(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n.first), i),
                             _mm256_cmpgt_epi64(_mm256_set1_epi64x(n.last), i));
}
static inline Vec<float> load(const float* p, Lanes n) { return _mm256_maskload_ps(p, lane_mask(p, n)); }
static inline Vec<double> load(const double* p, Lanes n) { return _mm256_maskload_pd(p, lane_mask(p, n)); }
static inline void store(float* p, Vec<float> v, Lanes n) { _mm256_maskstore_ps(p, lane_mask(p, n), v); }
static inline void store(double* p, Vec<double> v, Lanes n) { _mm256_maskstore_pd(p, lane_mask(p, n), v); }
#else
template <class T>
static inline Vec<T> load(const T* p, Lanes n) {
  if (n.first == 0 && n.last >= kLanes<T>) return load(p);
  Vec<T> v = {};
  for (int64_t i = n.first; i < (n.last < kLanes<T> ? n.last : kLanes<T>); ++i) v[i] = p[i];
  return v;
}
template <class T>
static inline void store(T* p, Vec<T> v, Lanes n) {
  if (n.first == 0 && n.last >= kLanes<T>) return store(p, v);
  for (int64_t i = n.first; i < (n.last < kLanes<T> ? n.last : kLanes<T>); ++i) p[i] = v[i];
}
#endif

// The integers of a vector's size that index its lanes.
template <class T>
struct LaneIndex;
template <>
struct LaneIndex<float> {
  typedef int32_t type __attribute__((vector_size(kVecBytes)));
};
template <>
struct LaneIndex<double> {
  typedef int64_t type __attribute__((vector_size(kVecBytes)));
};

// Lane i is lane from(i) of a and b, written one after the other.
template <class T, class From>
static inline Vec<T> pick_lanes(Vec<T> a, Vec<T> b, From from) {
  typename LaneIndex<T>::type lanes;
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = from(i);
  return __builtin_shuffle(a, b, lanes);
}
// Lane i is lane i + shift of v, for i + shift < kLanes<T>.
template <class T>
static inline Vec<T> move_down(Vec<T> v, int shift) {
  return pick_lanes<T>(v, v, [=](int i) { return (i + shift) % kLanes<T>; });
}
// The first n lanes of v, and the others of `rest`.
template <class T>
static inline Vec<T> first_lanes(Vec<T> v, int64_t n, Vec<T> rest = Vec<T>{}) {
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typename LaneIndex<T>::type lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < static_cast<Index>(n) ? v : rest;
}
// a[0], a[2], ..., b[0], b[2], ... and a[1], a[3], ..., b[1], b[3], ...
template <class T>
static inline Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
  return pick_lanes<T>(a, b, [](int i) { return 2 * i; });
}
template <class T>
static inline Vec<T> odd_lanes(Vec<T> a, Vec<T> b) {
  return pick_lanes<T>(a, b, [](int i) { return 2 * i + 1; });
}
// Of 2 * kLanes<T> elements the even and the odd ones.
template <class T>
static inline void load_apart(const T* p, Vec<T>& even, Vec<T>& odd) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    // Shuffles across the halves of a vector take longer than loads of halves.
    const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 8), 1);
    const __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4)), _mm_loadu_ps(p + 12), 1);
    even = _mm256_shuffle_ps(a, b, 0x88);
    odd = _mm256_shuffle_ps(a, b, 0xdd);
    return;
  }
#endif
  const Vec<T> a = load(p), b = load(p + kLanes<T>);
  even = even_lanes<T>(a, b);
  odd = odd_lanes<T>(a, b);
}
// a[0], b[0], a[1], b[1], ...: the first and the second vector of it.
template <class T>
static inline Vec<T> interleave_first(Vec<T> a, Vec<T> b) {
  return pick_lanes<T>(a, b, [](int i) { return i / 2 + i % 2 * kLanes<T>; });
}
template <class T>
static inline Vec<T> interleave_second(Vec<T> a, Vec<T> b) {
  return pick_lanes<T>(a, b, [](int i) { return (i + kLanes<T>) / 2 + i % 2 * kLanes<T>; });
}

// The inverse of load_apart.
template <class T>
static inline void store_together(T* p, Vec<T> even, Vec<T> odd) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __m256 a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
    store<float>(p, _mm256_permute2f128_ps(a, b, 0x20));
    store<float>(p + 8, _mm256_permute2f128_ps(a, b, 0x31));
    return;
  }
#endif
  store(p, interleave_first<T>(even, odd));
  store(p + kLanes<T>, interleave_second<T>(even, odd));
}

}  // namespace nnlite
