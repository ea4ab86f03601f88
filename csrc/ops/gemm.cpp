#include "ops/gemm.h"

#include "lane_sum.h"
#include "ops/gemm_core.h"

namespace nnlite {
namespace {

// One row of A against B in row-major order: every element of B is used once, so B is not packed but streamed through,
// four rows at a time, while the block's accumulators lie in L1. Threads take whole blocks of K, whose rows follow one
// another in memory, and their sums are added afterwards.
constexpr int64_t kRowColumns = 4096;

// to[j] = the block's sum for columns [begin, end) and rows [k0, k1) of B.
template <class T>
void row_block(GemmSize s, const T* a, const T* b, int64_t k0, int64_t k1, int64_t begin, int64_t end, T* to) {
  constexpr int W = kLanes<T>, kRows = 4;
  const int64_t width = end - begin;
  std::fill_n(to, width, T(0));
  for (int64_t k = k0; k < k1; k += kRows) {
    const int64_t rows = std::min<int64_t>(kRows, k1 - k);
    const T* const row = b + k * s.n + begin;
    int64_t j = 0;
    if (rows == kRows) {
      Vec<T> ak[kRows];
      for (int r = 0; r < kRows; ++r) ak[r] = broadcast(a[k + r]);
      for (; j + W <= width; j += W) {
        Vec<T> acc = load(to + j);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) acc = fma(ak[r], load(row + r * s.n + j), acc);
        store(to + j, acc);
      }
    }
    for (; j < width; ++j) {
      for (int64_t r = 0; r < rows; ++r) to[j] = fma(a[k + r], row[r * s.n + j], to[j]);
    }
  }
}

template <class T>
void gemm_one_row(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(s.k, kBlock)), work = s.k * s.n;
  // Pieces that are worth a thread, and no more than a few for each.
  const int64_t pieces = num_threads() == 1 ? 1 : std::min<int64_t>(4 * num_threads(), (work >> 18) + 1);
  const Parts parts(s.n, std::min(kRowColumns, ceil_div(s.n, ceil_div(pieces, blocks))));
  const Scratch<T> sums((blocks - 1) * s.n + 1);  // of all blocks but the first, whose sums c takes
  const int64_t all = blocks * parts.count;
  parallel_for(0, all, ceil_div(all, pieces), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      check_interrupt();
      const int64_t block = i / parts.count, k0 = block * kBlock, first = parts.first(i % parts.count);
      row_block(s, a, b, k0, std::min(k0 + kBlock, s.k), first, first + parts.size(i % parts.count),
                (block == 0 ? c : sums.get() + (block - 1) * s.n) + first);
    }
  });
  for (int64_t block = 1; block < blocks; ++block) {
    const T* const sum = sums.get() + (block - 1) * s.n;
    for (int64_t j = 0; j < s.n; ++j) c[j] = c[j] + sum[j];
  }
  for (int64_t j = 0; bias && j < s.n; ++j) c[j] = c[j] + bias[j];
}

// 16 bytes of a vector are a piece. Shuffles within pieces are fast everywhere; what crosses them is left to loads, as
// far as that goes.
template <class T>
constexpr int kPieceSize = 16 / static_cast<int>(sizeof(T));

// In each piece of v[0] ... v[kPieceSize - 1] a square, transposed.
template <class T>
static inline void transpose_pieces(Vec<T>* v) {
  constexpr int P = kPieceSize<T>, W = kLanes<T>;
  const auto interleave = [](Vec<T>& a, Vec<T>& b) {
    const auto lane = [](int i, int half) { return i / P * P + half * P / 2 + i % P / 2 + i % 2 * W; };
    const Vec<T> first = pick_lanes<T>(a, b, [=](int i) { return lane(i, 0); });
    b = pick_lanes<T>(a, b, [=](int i) { return lane(i, 1); });
    a = first;
  };
  if constexpr (P == 4) {
    interleave(v[0], v[2]);
    interleave(v[1], v[3]);
    interleave(v[2], v[3]);
  }
  interleave(v[0], v[1]);
}

// A W x W square of memory, transposed: lane i of to[j] is row(i)[j].
template <class T, class Row>
static inline void load_transposed(Row row, Vec<T>* to) {
  constexpr int P = kPieceSize<T>;
#if defined(__AVX512F__)
  // (GCC 12 warns of uninitialised variables in the intrinsics without a mask.)
  const auto halves = [](const T* a, const T* b) {
    const auto half = [](const T* p) { return _mm256_loadu_pd(reinterpret_cast<const double*>(p)); };
    return (Vec<T>)_mm512_maskz_insertf64x4(0xff, _mm512_castpd256_pd512(half(a)), half(b), 1);
  };
  Vec<T> x[2][P], y[2][P];  // of the first and the second half of the rows
#pragma GCC unroll 4
  for (int i = 0; i < P; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      x[h][i] = halves(row(i) + 2 * h * P, row(P + i) + 2 * h * P);
      y[h][i] = halves(row(2 * P + i) + 2 * h * P, row(3 * P + i) + 2 * h * P);
    }
  }
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    transpose_pieces<T>(x[h]);
    transpose_pieces<T>(y[h]);
#pragma GCC unroll 4
    for (int j = 0; j < P; ++j) {
      const __m512d a = (__m512d)x[h][j], b = (__m512d)y[h][j];
      to[2 * h * P + j] = (Vec<T>)_mm512_maskz_shuffle_f64x2(0xff, a, b, 0x88);
      to[2 * h * P + P + j] = (Vec<T>)_mm512_maskz_shuffle_f64x2(0xff, a, b, 0xdd);
    }
  }
#elif defined(__AVX2__)
  const auto pieces = [](const T* a, const T* b) {
    const auto piece = [](const T* p) { return _mm_loadu_pd(reinterpret_cast<const double*>(p)); };
    return (Vec<T>)_mm256_insertf128_pd(_mm256_castpd128_pd256(piece(a)), piece(b), 1);
  };
#pragma GCC unroll 4
  for (int q = 0; q < kLanes<T>; q += P) {
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) to[q + i] = pieces(row(i) + q, row(P + i) + q);
    transpose_pieces<T>(to + q);
  }
#else
  for (int i = 0; i < P; ++i) to[i] = load(row(i));
  transpose_pieces<T>(to);
#endif
}

// Few rows of A against a transposed B: every element of B is used so few times that packing it would cost more than
// the products. B is transposed on its way into registers, W steps of k at once.
constexpr int kTransposedRows = 8;

// Columns of C in V vectors.
template <class T, int M, int V>
void few_rows_columns(GemmSize s, const T* a, const T* b, const T* bias, T* c, int64_t column) {
  constexpr int W = kLanes<T>;
  const int64_t columns = std::min<int64_t>(V * W, s.n - column);
  const T* rows[V * W];
  for (int j = 0; j < V * W; ++j) rows[j] = b + (column + std::min<int64_t>(j, columns - 1)) * s.k;
  Vec<T> totals[V][M] = {};
  for (int64_t k0 = 0; k0 == 0 || k0 < s.k; k0 += kBlock) {
    const int64_t k1 = std::min(k0 + kBlock, s.k);
    Vec<T> acc[V][M] = {};
    int64_t k = k0;
    for (; k + W <= k1; k += W) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        Vec<T> block[W];
        load_transposed<T>([&](int j) { return rows[v * W + j] + k; }, block);
#pragma GCC unroll 16
        for (int j = 0; j < W; ++j) {
#pragma GCC unroll 8
          for (int i = 0; i < M; ++i) acc[v][i] = fma(broadcast(a[i * s.k + k + j]), block[j], acc[v][i]);
        }
      }
    }
    for (; k < k1; ++k) {
      for (int v = 0; v < V; ++v) {
        Vec<T> bk;
        for (int j = 0; j < W; ++j) bk[j] = rows[v * W + j][k];
        for (int i = 0; i < M; ++i) acc[v][i] = fma(broadcast(a[i * s.k + k]), bk, acc[v][i]);
      }
    }
    for (int v = 0; v < V; ++v) {
      for (int i = 0; i < M; ++i) totals[v][i] = k0 == 0 ? acc[v][i] : totals[v][i] + acc[v][i];
    }
  }
  for (int v = 0; v < V; ++v) {
    const Lanes lanes(0, columns - v * W);
    for (int i = 0; i < M; ++i) {
      if (bias) totals[v][i] = totals[v][i] + load(bias + column + v * W, lanes);
      store(c + i * s.n + column + v * W, totals[v][i], lanes);
    }
  }
}

template <class T, int M = kTransposedRows>
void gemm_few_rows(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  if constexpr (M > 1) {
    if (s.m < M) return gemm_few_rows<T, M - 1>(s, a, b, bias, c);
  }
  // With one row of A and short vectors the sums of two take turns, or each would wait for itself. But rows of B that
  // lie whole pages apart fall into few places of the cache, where the fewer are in use, the fewer are driven out.
  constexpr int W = kLanes<T>, V = M == 1 && kVecBytes < 64 ? 2 : 1;
  const bool one_by_one = V == 1 || s.k * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
  const int64_t vectors = ceil_div(s.n, W), grain = std::max<int64_t>(1, (1 << 17) / (W * std::max<int64_t>(s.k, 1)));
  parallel_for(0, vectors, ceil_div(grain, V) * V, [=](int64_t begin, int64_t end) {
    int64_t v = begin;
    for (; v + V <= end && !one_by_one; v += V) few_rows_columns<T, M, V>(s, a, b, bias, c, v * W);
    for (; v < end; ++v) few_rows_columns<T, M, 1>(s, a, b, bias, c, v * W);
  });
}

constexpr int64_t kGroupBytes = 5 << 18;    // packed B at a time: a part of L2
constexpr int64_t kSmallBytes = 128 << 10;  // a matrix that the caches hold as it lies
constexpr int64_t kFewRows = 2 * kMR;       // so few that packing would cost more than it saves
constexpr int64_t kTurnedBytes = 32 << 10;
constexpr int64_t kTurnedPanels = 32;  // of a transposed A at a time
constexpr int64_t kWideTiles = 16;     // of a piece that is not narrow

// A rectangle of C: its rows, and its columns in vectors.
struct Piece {
  int64_t row, rows, vector, vectors;
};

// Vectors [vector, vector + tiles) of B's columns in tiles, and rows [k0, k0 + kc) of it, packed: tile after tile, in
// each the vectors of one k after the other, filled with +0.
template <class T>
void pack_b(GemmSize s, const T* b, int64_t k0, int64_t kc, int64_t vector, const Parts& tiles, T* to) {
  constexpr int W = kLanes<T>;
  if (s.transpose_b) {
    for (int64_t t = 0; t < tiles.count; ++t) {
      const int64_t column = (vector + tiles.first(t)) * W, width = tiles.size(t) * W;
      pack_transposed(b + column * s.k + k0, s.k, std::min(width, s.n - column), kc, to + tiles.first(t) * W * kc,
                      width, width);
    }
    return;
  }
  for (int64_t k = 0; k < kc; ++k) {
    for (int64_t t = 0; t < tiles.count; ++t) {
      const int64_t column = (vector + tiles.first(t)) * W;
      const T* const from = b + (k0 + k) * s.n + column;
      T* const row = to + (tiles.first(t) * kc + k * tiles.size(t)) * W;
      const int64_t width = tiles.size(t) * W, have = std::min(width, s.n - column);
      int64_t j = 0;
      for (; j + W <= have; j += W) store(row + j, load(from + j));
      if (j < width) store(row + j, load(from + j, Lanes(0, have - j)));
    }
  }
}

template <class T>
void multiply(GemmSize s, const T* a, const T* b, const T* bias, T* c, Piece piece) {
  constexpr int W = kLanes<T>;
  const Parts panels(piece.rows, kMR);
  const int64_t tile_width = tile_vectors(panels.size(0));
  const bool packs =
      s.transpose_b || (piece.rows > kFewRows && s.k * s.n * static_cast<int64_t>(sizeof(T)) > kSmallBytes);
  // A transposed A is turned into rows: the micro-kernel reads rows faster than columns.
  const bool turns =
      s.transpose_a && piece.vectors >= kNV && s.m * s.k * static_cast<int64_t>(sizeof(T)) >= kTurnedBytes;
  // B is worked through in groups of columns and blocks of K that stay in L2 once packed: all columns if they fit with
  // one block, else up to four blocks, so that C is not read and written once per block.
  const int64_t room = kGroupBytes / static_cast<int64_t>(W * sizeof(T));  // vectors
  // A transposed A is gathered from K rows, a few bytes of each: one block at a time, for many panels.
  const int64_t most_blocks = turns ? 1 : std::clamp<int64_t>(room / piece.vectors / kBlock, 1, 4);
  const int64_t group_k = std::min(std::max<int64_t>(s.k, 1), most_blocks * kBlock);
  const Parts groups(piece.vectors, packs ? std::max<int64_t>(kNV, room / group_k) : piece.vectors);
  const Scratch<T> packed((packs ? groups.size(0) : tile_width) * W * group_k);
  // Its rows lie a line of the cache more than a block apart: whole blocks apart they would all fall into one set.
  const int64_t turned_row = group_k + 64 / static_cast<int64_t>(sizeof(T));
  const Scratch<T> turned(turns ? kTurnedPanels * kMR * turned_row + W : 1);
  for (int64_t k0 = 0; k0 == 0 || k0 < s.k; k0 += group_k) {
    const int64_t kc = std::min(group_k, s.k - k0);
    const bool last = k0 + kc >= s.k;
    for (int64_t g = 0; g < groups.count; ++g) {
      const int64_t vector = piece.vector + groups.first(g);
      const Parts tiles(groups.size(g), tile_width);
      // A vector that is not full is packed in any case: beyond its columns there may be no memory.
      const int64_t unpacked = packs ? 0 : (vector + groups.size(g)) * W > s.n ? tiles.count - 1 : tiles.count;
      const Parts rest(tiles.size(tiles.count - 1), tile_width);
      if (packs) {
        pack_b(s, b, k0, kc, vector, tiles, packed.get());
      } else if (unpacked < tiles.count) {
        pack_b(s, b, k0, kc, vector + tiles.first(unpacked), rest, packed.get());
      }
      for (int64_t i = 0; i < panels.count; ++i) {
        check_interrupt();
        const int64_t row = piece.row + panels.first(i), rows = panels.size(i);
        Left<T> left = s.transpose_a ? Left<T>{a + k0 * s.m + row, 1, s.m} : Left<T>{a + row * s.k + k0, s.k, 1};
        if (turns) {
          const int64_t next = std::min(i + kTurnedPanels, panels.count),
                        begin = panels.first(i / kTurnedPanels * kTurnedPanels);
          if (i % kTurnedPanels == 0) {
            pack_transposed(a + k0 * s.m + row, s.m, kc, panels.first(next) - begin, turned.get(), turned_row, kc);
          }
          left = {turned.get() + (panels.first(i) - begin) * turned_row, turned_row, 1};
        }
        for (int64_t t = 0; t < tiles.count; ++t) {
          const int64_t column = (vector + tiles.first(t)) * W, vectors = tiles.size(t);
          const Strided<T> right = t < unpacked
                                       ? Strided<T>{b + k0 * s.n + column, s.n}
                                       : Strided<T>{packed.get() + (packs ? tiles.first(t) * W * kc : 0), vectors * W};
          const Tile<T> tile{c + row * s.n + column,        s.n, std::min(vectors * W, s.n - column), nullptr, nullptr,
                             bias ? bias + column : nullptr};
          const bool half = kHasHalves && 2 * tile.columns <= (2 * vectors - 1) * W;
          const auto kernel = half ? micro_kernel_for<T, Strided<T>, kHasHalves>(rows, vectors)
                                   : micro_kernel_for<T, Strided<T>>(rows, vectors);
          each_chunk(kc, kBlock, [&](Chunk chunk) {
            chunk.add = chunk.add || k0 > 0;
            chunk.last = chunk.last && last;
            kernel(chunk, left, right, tile);
          });
        }
      }
    }
  }
}

template <class T>
void gemm_any(GemmSize s, const T* a, const T* b, const T* bias, T* c) {
  constexpr int W = kLanes<T>;
  if (s.m == 0 || s.n == 0) return;
  if (s.m == 1 && !s.transpose_b) return gemm_one_row(s, a, b, bias, c);
  if (s.m <= kTransposedRows && s.transpose_b) {
    if (!s.transpose_a || s.m == 1) return gemm_few_rows(s, a, b, bias, c);
    const Scratch<T> rows(s.m * s.k + 1);
    pack_transposed(a, s.m, s.k, s.m, rows.get(), s.k, s.k);
    return gemm_few_rows(s, rows.get(), b, bias, c);
  }
  // Pieces for threads: first by columns, in whole tiles, which share no packing; by rows where columns are few, and
  // where a tall transposed A would be turned for every piece. More than one for a thread only if they are wide: narrow
  // ones take little of every row of B, and each reads all of A.
  const int64_t vectors = ceil_div(s.n, W), tiles = ceil_div(vectors, kNV);
  const int64_t wide = std::clamp<int64_t>(tiles / kWideTiles, num_threads(), 4 * num_threads());
  const int64_t wanted = num_threads() == 1 ? 1 : std::min(wide, (s.m * s.n * s.k >> 20) + 1);
  const int64_t tall = s.transpose_a ? std::min(wanted, ceil_div(s.m, s.n)) : 1;
  const Parts by_columns(tiles, ceil_div(tiles, std::min(ceil_div(wanted, tall), tiles)));
  // Every piece of rows packs B for itself: no more of them than threads.
  const int64_t row_pieces = std::max(tall, std::clamp<int64_t>(wanted / by_columns.count, 1, num_threads()));
  const Parts by_rows(s.m, std::max<int64_t>(2 * kMR, ceil_div(s.m, row_pieces)));
  parallel_for(0, by_columns.count * by_rows.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t i = p / by_columns.count, j = p % by_columns.count;
      const int64_t vector = by_columns.first(j) * kNV;
      multiply(s, a, b, bias, c,
               {by_rows.first(i), by_rows.size(i), vector, std::min(by_columns.size(j) * kNV, vectors - vector)});
    }
  });
}

template <class T>
void sums_of_columns(const T* x, int64_t rows, int64_t columns, T* y) {
  const int64_t grain = std::min(kColumnBlock<T>, std::max<int64_t>(16, (1 << 16) / std::max<int64_t>(rows, 1)));
  parallel_for(0, columns, grain, [=](int64_t begin, int64_t end) {
    column_sums(rows, end - begin, RowMajor<T>{x + begin, columns}, y + begin);
  });
}

}  // namespace

void gemm(GemmSize s, const float* a, const float* b, const float* bias, float* c) { gemm_any(s, a, b, bias, c); }
void gemm(GemmSize s, const double* a, const double* b, const double* bias, double* c) { gemm_any(s, a, b, bias, c); }

void column_sums(const float* x, int64_t rows, int64_t columns, float* y) { sums_of_columns(x, rows, columns, y); }
void column_sums(const double* x, int64_t rows, int64_t columns, double* y) { sums_of_columns(x, rows, columns, y); }

}  // namespace nnlite
