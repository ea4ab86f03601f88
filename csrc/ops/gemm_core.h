// The blocked matrix product under gemm, linear and conv2d, in the order of docs/numerics.md, section 2.
//
// C (M x N) = A (M x K) * B (K x N). K is cut into the specified blocks of 512; inside a block every element of C has
// one accumulator that takes k in ascending order, so vectors run over columns, never over k. Packed operands make the
// inner loop stream:
//
//   A panel  [k][kAStride]   up to kMR rows of A, one k after the other      (28 KiB for float: stays in L1)
//   B panel  [k][nv * W]     nv <= kNV vectors of columns                    (a group of panels stays in L2)
//
// The micro-kernel holds kMR x kNV accumulators: enough independent chains to cover the latency of fma on two ports.
#pragma once

#include <algorithm>
#include <cstdint>

#include "parallel.h"
#include "simd.h"
#include "workspace.h"

namespace nnlite {

constexpr int64_t kBlock = 512;

#if defined(__AVX512F__)
constexpr int kMR = 14, kNV = 2;  // 28 of 32 registers
#elif defined(__AVX2__)
constexpr int kMR = 6, kNV = 2;  // 12 of 16
#elif defined(__aarch64__)
constexpr int kMR = 8, kNV = 3;  // 24 of 32
#else
constexpr int kMR = 4, kNV = 2;
#endif
constexpr int kAStride = (kMR + 7) / 8 * 8;
constexpr int64_t kGroupBytes = 640 << 10;  // packed B per group: a part of L2

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// M rows in panels of nearly equal height, none above kMR: 16 rows make 8 + 8, not 14 + 2.
struct RowPanels {
  explicit RowPanels(int64_t m) : count(ceil_div(m, kMR)), base(count ? m / count : 0), longer(count ? m % count : 0) {}
  int64_t first(int64_t i) const { return i * base + std::min(i, longer); }
  int rows(int64_t i) const { return static_cast<int>(base + (i < longer)); }
  int64_t count, base, longer;
};

// How a tile of block sums becomes part of C.
template <class T>
struct Finish {
  bool first;         // the first block of K is stored, later ones are added to what C holds
  const T* row_bias;  // added last, per row or per column, or nullptr
  const T* column_bias;
};

template <class T, int MR, int NV>
static void micro_kernel(int64_t kc, const T* __restrict a, const T* __restrict b, T* __restrict c, int64_t ldc,
                         Finish<T> finish) {
  constexpr int W = kLanes<T>;
  Vec<T> acc[MR][NV] = {};
  for (int64_t k = 0; k < kc; ++k) {
    Vec<T> bk[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) bk[v] = load(b + v * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec<T> ai = broadcast(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[i][v] = fma(ai, bk[v], acc[i][v]);
    }
    a += kAStride;
    b += NV * W;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      T* const p = c + i * ldc + v * W;
      Vec<T> s = acc[i][v];
      if (!finish.first) s = load(p) + s;
      if (finish.row_bias) s = s + finish.row_bias[i];
      if (finish.column_bias) s = s + load(finish.column_bias + v * W);
      store(p, s);
    }
  }
}

template <class T>
using MicroKernel = void (*)(int64_t, const T*, const T*, T*, int64_t, Finish<T>);

// The micro-kernel for `rows` rows and `vectors` vectors of columns.
template <class T, int MR = kMR, int NV = kNV>
static MicroKernel<T> micro_kernel_for(int rows, int vectors) {
  if constexpr (NV > 1) {
    if (vectors < NV) return micro_kernel_for<T, MR, NV - 1>(rows, vectors);
  }
  if constexpr (MR > 1) {
    if (rows < MR) return micro_kernel_for<T, MR - 1, NV>(rows, vectors);
  }
  return micro_kernel<T, MR, NV>;
}

// A W x W transposition in registers: log2(W) rounds that swap ever larger off-diagonal blocks.
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

// to[k * stride + i] = from[k * ld + i] for i < rows, k < kc; filled to `width` with +0.
template <class T>
static void pack_rows(const T* from, int64_t ld, int64_t rows, int64_t kc, T* to, int64_t stride, int64_t width) {
  for (int64_t k = 0; k < kc; ++k) {
    T* const row = to + k * stride;
    const T* const source = from + k * ld;
    for (int64_t i = 0; i < rows; ++i) row[i] = source[i];
    for (int64_t i = rows; i < width; ++i) row[i] = T(0);
  }
}

// All of A, packed: panel i of block b at block(b) + i * kc * kAStride. pack(to, k0, kc, row, rows) writes one panel.
template <class T>
class PackedA {
 public:
  template <class Pack>
  PackedA(int64_t m, int64_t k, Pack pack)
      : panels(m), k_(k), data_(std::max<int64_t>(panels.count * kAStride * k, 1)) {
    const int64_t blocks = ceil_div(k, kBlock);
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, std::min(k, kBlock) * kMR));
    parallel_for(0, blocks * panels.count, grain, [&, this](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t b = t / panels.count, i = t % panels.count;
        pack(const_cast<T*>(panel(b * kBlock, i)), b * kBlock, length(b * kBlock), panels.first(i), panels.rows(i));
      }
    });
  }
  int64_t length(int64_t k0) const { return std::min(kBlock, k_ - k0); }
  const T* panel(int64_t k0, int64_t i) const { return data_.get() + (k0 * panels.count + i * length(k0)) * kAStride; }

  const RowPanels panels;

 private:
  const int64_t k_;
  const Scratch<T> data_;
};

// Columns [begin, end) of C, all of K. pack_b(to, stride, k0, kc, column, columns) packs columns of B;
// tiles.direct(row, column, columns) is where a tile of C lies when its columns are consecutive in memory (rows
// tiles.ld apart), else nullptr, and then read() and write() move the tile.
template <class T, class PackB, class Tiles>
static void multiply_columns(const PackedA<T>& a, int64_t k, int64_t begin, int64_t end, const T* row_bias,
                             const T* column_bias, PackB pack_b, const Tiles& tiles) {
  constexpr int W = kLanes<T>;
  constexpr int64_t kNR = kNV * W;
  // With a single row panel nothing packed is used twice, and a group of one panel reads its part of B in the longest
  // runs.
  const int64_t fitting =
      kGroupBytes / (kNR * std::min(std::max<int64_t>(k, 1), kBlock) * static_cast<int64_t>(sizeof(T)));
  const int64_t group = a.panels.count == 1 ? kNR : std::max<int64_t>(1, fitting) * kNR;
  // One panel row to spare: whole-vector packing may write past the last one.
  const Scratch<T> packed(
      std::min(group, ceil_div(end - begin, kNR) * kNR) * std::min(std::max<int64_t>(k, 1), kBlock) + kNR);
  T tile[kMR * kNR];
  for (int64_t g = begin; g < end; g += group) {
    const int64_t g_end = std::min(g + group, end);
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kBlock) {
      const int64_t kc = std::min(kBlock, k - k0);
      const bool last = k0 + kc >= k;
      for (int64_t j = g; j < g_end; j += kNR) {
        const int64_t columns = std::min(kNR, g_end - j);
        pack_b(packed.get() + (j - g) * kc, ceil_div(columns, W) * W, k0, kc, j, columns);
      }
      for (int64_t i = 0; i < a.panels.count; ++i) {
        check_interrupt();
        const int64_t row = a.panels.first(i);
        const int rows = a.panels.rows(i);
        const T* const panel = a.panel(k0, i);
        for (int64_t j = g; j < g_end; j += kNR) {
          const int64_t columns = std::min(kNR, g_end - j);
          const int vectors = static_cast<int>(ceil_div(columns, W));
          const MicroKernel<T> kernel = micro_kernel_for<T>(rows, vectors);
          const Finish<T> finish{k0 == 0, last && row_bias ? row_bias + row : nullptr,
                                 last && column_bias ? column_bias + j : nullptr};
          T* const direct = columns == vectors * W ? tiles.direct(row, j, columns) : nullptr;
          if (direct != nullptr) {
            kernel(kc, panel, packed.get() + (j - g) * kc, direct, tiles.ld, finish);
            continue;
          }
          if (!finish.first) tiles.read(row, rows, j, columns, tile, kNR);
          kernel(kc, panel, packed.get() + (j - g) * kc, tile, kNR, finish);
          tiles.write(row, rows, j, columns, tile, kNR);
        }
      }
    }
  }
}

// C in row-major order.
template <class T>
struct RowMajorTiles {
  T* c;
  int64_t ld;
  T* direct(int64_t row, int64_t column, int64_t) const { return c + row * ld + column; }
  void read(int64_t row, int rows, int64_t column, int64_t columns, T* tile, int64_t stride) const {
    for (int i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) tile[i * stride + j] = c[(row + i) * ld + column + j];
    }
  }
  void write(int64_t row, int rows, int64_t column, int64_t columns, const T* tile, int64_t stride) const {
    for (int i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) c[(row + i) * ld + column + j] = tile[i * stride + j];
    }
  }
};

}  // namespace nnlite
