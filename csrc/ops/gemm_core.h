// The matrix product under gemm, linear and conv2d, in the order of docs/numerics.md, section 2.
//
// C (M x N) = A (M x K) * B (K x N). K is cut into the specified blocks of 512; inside a block every element of C has
// one accumulator that takes k in ascending order, so vectors run over columns, never over k.
//
// The micro-kernel computes up to kMR rows and kNV vectors of columns for all of K: that many accumulators cover the
// latency of fma on two ports, and each element of A that is broadcast serves kNV vectors. A is read where it lies, six
// rows at a time. B comes from where a policy says: from memory a fixed step apart (Strided: a matrix, or a packed copy
// whose reads make one stream), or from places listed for each k (Gathered: the taps of a convolution).
#pragma once

#include <algorithm>
#include <cstdint>

#include "parallel.h"
#include "simd.h"
#include "workspace.h"

namespace nnlite {

constexpr int64_t kBlock = 512;

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kMR = 6;
constexpr int kNV = 4;  // 24 accumulators of 32 registers
constexpr int tile_vectors(int64_t) { return kNV; }
#elif defined(__AVX2__)
constexpr int kMR = 6;
constexpr int kNV = 2;  // 12 of 16
// Fewer rows have wider tiles, or too few accumulators would cover the latency.
constexpr int tile_vectors(int64_t rows) { return rows <= 2 ? 4 : rows <= 4 ? 3 : kNV; }
#else
constexpr int kMR = 4;  // fma is a call, before which accumulators go to the stack: one small shape for all
constexpr int kNV = 1;
constexpr int tile_vectors(int64_t) { return kNV; }
#endif
// Where fma is a call, nothing is gained by kernels of their own for special cases of a convolution.
constexpr bool kHasSpecialKernels = kNV > 1;
constexpr int kMostNV = tile_vectors(1);
// The lines of C are asked for in the last steps of a tile, one in each: all at once at the beginning of a large tile
// they wait for one another and push out of L1 what it is about to read. A small tile is finished too soon for that.
constexpr bool kAsksLate = kNV >= 4;

// Whether a last vector that is at most half full is computed in half a vector: where an operation on a whole one takes
// two units (AMD's Zen 4), 100 x 784 x 50 takes a tenth less; elsewhere it is the same.
constexpr bool kHasHalves = kVecBytes == 64;
template <class T>
struct HalfVecOf {
  typedef T type __attribute__((vector_size(kVecBytes / 2)));
};
template <class T>
using HalfVec = typename HalfVecOf<T>::type;
#if defined(__AVX512F__)
static inline __m256 fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
static inline __m256d fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
#endif

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `count` things in parts of nearly equal size, none above `most`: 16 in parts of at most 6 make 6 + 5 + 5, not
// 6 + 6 + 4.
struct Parts {
  Parts(int64_t all, int64_t most) : count(ceil_div(all, most)) {
    base = count ? all / count : 0;
    longer = count ? all % count : 0;
  }
  int64_t first(int64_t i) const { return i * base + std::min(i, longer); }
  int64_t size(int64_t i) const { return base + (i < longer); }
  int64_t count, base, longer;
};

// Rows of A: element (i, k) is p[i * row + k * step]; one of row and step is 1.
template <class T>
struct Left {
  const T* p;
  int64_t row, step;
};

// Vector v of B at k is p[k * step + v * W, ...).
template <class T>
struct Strided {
  const T* p;
  int64_t step;
  const T* at(int64_t k, int v) const { return p + k * step + v * kLanes<T>; }
};

// Vector v of B at k is base[v][taps[k], ...).
template <class T>
struct Gathered {
  const T* base[kMostNV];
  const int64_t* taps;
  const T* at(int64_t k, int v) const { return base[v] + taps[k]; }
};

// A tile of C, and what is done to it.
template <class T>
struct Tile {
  T* c;
  int64_t ld;
  int64_t columns;    // of them only so many are stored
  T* waiting;         // [row][NV * W]: the sums of a block between two chunks of it
  const T* row_bias;  // added last, per row or per column, or nullptr
  const T* column_bias;
  // What will be read after this tile, or nullptr: step k asks for element k * ahead_step.
  const T* ahead = nullptr;
  int64_t ahead_step = 0;
};

// Some k of a product, all of one block.
struct Chunk {
  int64_t begin, end;
  bool resumes, pauses;  // whether the block's sums are waiting, and whether they are to wait
  bool add, last;        // whether C holds the total of earlier blocks, and whether the sum is complete
};

// Adds a block's sums to the tile. Between blocks C holds the totals.
template <bool Whole, class T, int MR, int NV>
static inline void finish_block(Vec<T> (&acc)[MR][NV], const Chunk& chunk, const Tile<T>& tile) {
  constexpr int W = kLanes<T>;
  const bool row_bias = chunk.last && tile.row_bias, column_bias = chunk.last && tile.column_bias;
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const Lanes lanes(0, tile.columns - v * W);
    const auto get = [&](const T* p) { return Whole ? load(p) : load(p, lanes); };
    const Vec<T> bias = column_bias ? get(tile.column_bias + v * W) : Vec<T>{};
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      T* const p = tile.c + i * tile.ld + v * W;
      Vec<T> s = acc[i][v];
      if (chunk.add) s = get(p) + s;
      if (row_bias) s = s + tile.row_bias[i];
      if (column_bias) s = s + bias;
      if constexpr (Whole) {
        store(p, s);
      } else {
        store(p, s, lanes);
      }
    }
  }
}

// The operands come by reference: copied onto the stack, they would be read back in wider pieces than they were
// written, which waits until all stores to C before them have reached the cache. Half: of the last vector.
template <class T, int MR, int NV, class Right, bool Half = false>
static void micro_kernel(const Chunk& chunk, const Left<T>& a, const Right& b, const Tile<T>& tile) {
  constexpr int W = kLanes<T>, kWhole = Half ? NV - 1 : NV;
  Vec<T> acc[MR][NV] = {};
  HalfVec<T> half[MR] = {};
  if (chunk.resumes) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[i][v] = load(tile.waiting + (i * NV + v) * W);
      if constexpr (Half) std::memcpy(&half[i], &acc[i][kWhole], sizeof half[i]);
    }
  }
  const int64_t late = chunk.pauses || !kAsksLate ? chunk.end : std::max(chunk.begin, chunk.end - MR * NV);
  for (int i = 0; i < MR && !kAsksLate && !chunk.pauses; ++i) {
    for (int v = 0; v < NV; ++v) __builtin_prefetch(tile.c + i * tile.ld + v * W, 1);
  }
  const T* const ahead = tile.ahead ? tile.ahead : tile.c;
  const int64_t ahead_step = tile.ahead ? tile.ahead_step : 0;
  const auto steps = [&](auto left) __attribute__((always_inline)) {
    const auto step = [&](int64_t k) __attribute__((always_inline)) {
      Vec<T> bk[NV];
      HalfVec<T> bh = {};
#pragma GCC unroll 4
      for (int v = 0; v < kWhole; ++v) bk[v] = load(b.at(k, v));
      if constexpr (Half) std::memcpy(&bh, b.at(k, kWhole), sizeof bh);
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        const Vec<T> ai = broadcast(left(i, k));
#pragma GCC unroll 4
        for (int v = 0; v < kWhole; ++v) acc[i][v] = fma(ai, bk[v], acc[i][v]);
        if constexpr (Half) half[i] = fma(left(i, k) - HalfVec<T>{}, bh, half[i]);
      }
    };
    for (int64_t k = chunk.begin; k < late; ++k) {
      if (kAsksLate) __builtin_prefetch(ahead + (k - chunk.begin) * ahead_step, 0, 2);  // into L2
      step(k);
    }
    for (int64_t k = late; k < chunk.end; ++k) {
      __builtin_prefetch(tile.c + (k - late) / NV * tile.ld + (k - late) % NV * W, 1);
      step(k);
    }
  };
  // One pointer for a column of A, or one for each row: with both strides, pointers would lie in vector registers.
  if (a.row == 1) {
    steps([p = a.p, step = a.step](int i, int64_t k) { return p[k * step + i]; });
  } else {
    const T* rows[MR];
    for (int i = 0; i < MR; ++i) rows[i] = a.p + i * a.row;
    steps([&rows](int i, int64_t k) { return rows[i][k]; });
  }
  if constexpr (Half) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      acc[i][kWhole] = Vec<T>{};
      std::memcpy(&acc[i][kWhole], &half[i], sizeof half[i]);
    }
  }
  if (chunk.pauses) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store(tile.waiting + (i * NV + v) * W, acc[i][v]);
    }
  } else if (tile.columns >= NV * W) {
    finish_block<true, T, MR, NV>(acc, chunk, tile);
  } else {
    finish_block<false, T, MR, NV>(acc, chunk, tile);
  }
}

// Calls f with the chunks of k in [0, kc), at least once: `depth` of them at a time, a divisor of kBlock.
template <class F>
static inline void each_chunk(int64_t kc, int64_t depth, F f) {
  for (int64_t begin = 0; begin == 0 || begin < kc; begin += depth) {
    const int64_t end = std::min(begin + depth, kc);
    f(Chunk{begin, end, begin % kBlock != 0, end < kc && end % kBlock != 0, begin >= kBlock, end == kc});
  }
}

template <class T, class Right>
using MicroKernel = void (*)(const Chunk&, const Left<T>&, const Right&, const Tile<T>&);

// The micro-kernel for `rows` rows and `vectors` vectors of columns, at most tile_vectors(rows).
template <class T, class Right, bool Half = false, int MR = kMR, int NV = tile_vectors(MR)>
static MicroKernel<T, Right> micro_kernel_for(int64_t rows, int64_t vectors) {
  if constexpr (MR > 1) {
    if (rows < MR) return micro_kernel_for<T, Right, Half, MR - 1>(rows, vectors);
  }
  if constexpr (NV > 1) {
    if (vectors < NV) return micro_kernel_for<T, Right, Half, MR, NV - 1>(rows, vectors);
  }
  return micro_kernel<T, MR, NV, Right, Half>;
}

// A W x W transposition in registers: log2(W) rounds that swap ever larger off-diagonal blocks.
template <class T, int Step>
static inline void swap_blocks(Vec<T>* rows) {
  constexpr int W = kLanes<T>;
  typename LaneIndex<T>::type low, high;
  for (int i = 0; i < W; ++i) {
    low[i] = (i & Step) ? W + i - Step : i;
    high[i] = (i & Step) ? W + i : i + Step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (i & Step) continue;
    const Vec<T> a = rows[i], b = rows[i + Step];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + Step] = __builtin_shuffle(a, b, high);
  }
}

template <class T>
static inline void transpose(Vec<T>* rows) {
  swap_blocks<T, 1>(rows);
  if constexpr (kLanes<T> > 2) swap_blocks<T, 2>(rows);
  if constexpr (kLanes<T> > 4) swap_blocks<T, 4>(rows);
  if constexpr (kLanes<T> > 8) swap_blocks<T, 8>(rows);
}

// to[k * stride + i] = from[i * ld + k] for i < rows, k < kc; rows up to `width` (a multiple of W, or stride) are
// filled with +0.
template <class T>
static void pack_transposed(const T* from, int64_t ld, int64_t rows, int64_t kc, T* to, int64_t stride, int64_t width) {
  constexpr int W = kLanes<T>;
  for (int64_t i = 0; i < width; i += W) {
    const int64_t have = std::min<int64_t>(W, rows - i);
    int64_t k = 0;
    if (have > 0 && i + W <= width) {
      for (; k + W <= kc; k += W) {
        Vec<T> block[W] = {};
#pragma GCC unroll 16
        for (int r = 0; r < W; ++r) {
          if (r < have) block[r] = load(from + (i + r) * ld + k);
        }
        transpose<T>(block);
#pragma GCC unroll 16
        for (int r = 0; r < W; ++r) store(to + (k + r) * stride + i, block[r]);
      }
    }
    const int64_t lanes = std::min<int64_t>(W, width - i);
    for (; k < kc; ++k) {
      for (int64_t r = 0; r < lanes; ++r) to[k * stride + i + r] = r < have ? from[(i + r) * ld + k] : T(0);
    }
  }
}

}  // namespace nnlite
