// Sum of docs/numerics.md, section 4, by warps: a warp's lanes are the 32 lanes of a chunk. Lane i reads elements i,
// i + 32, ..., which makes every load of a warp one run of memory, and the tree is five shuffles.
//
//   fold, warp_sum, block_sum   parts of kernels: of a warp's lanes, of a chunk by a warp, of any length by a block
//   row_sums, column_sums       started by the host: of each row, or each column, of a matrix
//   column_sums_twice           two column_sums, the second of which uses the first
//   long_row_sums               row_sums where rows are known to be long, e.g. one row of everything
//
// What is summed is a T or a Two<T>, two sums in one reading, and comes from a functor f: f(row) (or f(column)) is a
// function of the place in that row. What becomes of sum r is put(r, sum).
#pragma once

#include "launch.h"

namespace nnlite {

constexpr int kWarp = 32;
constexpr int kChunk = 4096;

template <class T>
struct Two {
  T a, b;
};
template <class T>
__device__ Two<T> operator+(Two<T> x, Two<T> y) {
  return {x.a + y.a, x.b + y.b};
}

// `value` of the lane whose number differs in the bit `half`.
template <class T>
__device__ T across(T value, int half) {
  return __shfl_xor_sync(kWholeWarp, value, half);
}
template <class T>
__device__ Two<T> across(Two<T> value, int half) {
  return {across(value.a, half), across(value.b, half)};
}

// lane[i] += lane[i + 16], + 8, + 4, + 2, + 1. Both sides of a pair add it, a + b being b + a, so every lane has the
// sum. Where only the first `lanes` (a power of two) lanes of a chunk have elements the others hold +0, which changes
// nothing since no lane is ever -0; so aligned groups of `lanes` lanes sum a chunk each.
template <class V>
__device__ V fold(V lane, int lanes = kWarp) {
  for (int half = lanes / 2; half > 0; half /= 2) lane = lane + across(lane, half);
  return lane;
}

// use(i, load(i)) for i = first, first + kStep, ... below n, in order, with kBytes asked for before the first is used:
// a load takes long, so a thread needs several under way.
template <int kStep, int kBytes = 64, class Index, class Load, class Use>
__device__ void in_batches(Index first, Index n, Load load, Use use) {
  using V = decltype(load(first));
  constexpr int kBatch = kBytes / static_cast<int>(sizeof(V)), kRest = kBatch < 4 ? kBatch : 4;
  Index i = first;
  for (; i + (kBatch - 1) * kStep < n; i += kBatch * kStep) {
    V v[kBatch];
    for (int j = 0; j < kBatch; ++j) v[j] = load(i + j * kStep);
    for (int j = 0; j < kBatch; ++j) use(i + j * kStep, v[j]);
  }
  for (; i < n; i += kRest * kStep) {
    V v[kRest]{};
    for (int j = 0; j < kRest; ++j) {
      if (i + j * kStep < n) v[j] = load(i + j * kStep);
    }
    for (int j = 0; j < kRest; ++j) {
      if (i + j * kStep < n) use(i + j * kStep, v[j]);
    }
  }
}

// One lane's part of a chunk: f(first) + f(first + 32) + ... up to n.
template <class V, int kBytes = 64, class Index, class F>
__device__ V one_lane(Index first, Index n, F f) {
  V sum{};
  in_batches<kWarp, kBytes>(first, n, f, [&](Index, V v) { sum = sum + v; });
  return sum;
}

// Sum of f(i) for i < n <= 4096, in every lane.
template <class V, int kBytes = 64, class F>
__device__ V warp_sum(int n, F f) {
  return fold(one_lane<V, kBytes>(static_cast<int>(threadIdx.x) % kWarp, n, f));
}

// Sum of f(i) for i < n, in every thread of the block, whose threads are those of threadIdx.x. The chunk sums go
// through `slots`, a warp's worth at a time, to the first warp.
template <class V, class F>
__device__ V block_sum(int64_t n, F f, V* slots) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int64_t chunks = n <= kChunk ? 1 : (n + kChunk - 1) / kChunk;
  // Lanes of the sum of chunk sums and, if these are more than a chunk, of the sum of its chunk sums.
  V sum{}, total{};
  for (int64_t first = 0; first < chunks; first += kWarp) {
    for (int slot = warp; slot < kWarp && first + slot < chunks; slot += warps) {
      const int64_t begin = (first + slot) * kChunk;
      const V chunk = warp_sum<V, 32>(static_cast<int>(n - begin < kChunk ? n - begin : kChunk),
                                      [&](int i) { return f(begin + i); });
      if (lane == 0) slots[slot] = chunk;
    }
    __syncthreads();
    if (warp == 0) {
      if (first + lane < chunks) sum = sum + slots[lane];
      if (chunks > kChunk && ((first + kWarp) % kChunk == 0 || first + kWarp >= chunks)) {
        const V full = fold(sum);
        if (lane == first / kChunk % kWarp) total = total + full;
        sum = V{};
      }
    }
    __syncthreads();
  }
  if (warp == 0) {
    const V result = fold(chunks > kChunk ? total : sum);
    if (lane == 0) slots[0] = result;
  }
  __syncthreads();
  const V result = slots[0];
  __syncthreads();
  return result;
}

namespace lane_sum {

constexpr int kRowThreads = 256, kRowWarps = kRowThreads / kWarp;

// A chunk a warp, of rows of `chunks` chunks each. Few warps make up for it by more loads under way, kBytes a thread.
constexpr int kFewWarps = 1024;
template <class V, int kBytes, class F, class Put>
__global__ void chunks_of_rows(F f, int64_t rows, int64_t size, int64_t chunks, Put put) {
  const int64_t sum = int64_t{blockIdx.x} * kRowWarps + threadIdx.x / kWarp;
  if (sum >= rows * chunks) return;
  const int64_t row = chunks == 1 ? sum : sum / chunks;
  const int64_t begin = (sum - row * chunks) * kChunk;
  const auto element = f(row);
  const V s = warp_sum<V, kBytes>(static_cast<int>(size - begin < kChunk ? size - begin : kChunk),
                                  [&](int i) { return element(begin + i); });
  if (threadIdx.x % kWarp == 0) put(sum, s);
}

// Four rows of at most 512 elements a warp: one alone would have too few loads in flight.
constexpr int kRows = 4, kShort = 512;
template <class V, class F, class Put>
__global__ void short_rows(F f, int64_t rows, int size, Put put) {
  const int64_t first = (int64_t{blockIdx.x} * kRowWarps + threadIdx.x / kWarp) * kRows;
  if (first >= rows) return;
  V sum[kRows]{};
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < size; i += kWarp) {
    V v[kRows];
    for (int r = 0; r < kRows; ++r) v[r] = first + r < rows ? f(first + r)(i) : V{};
    for (int r = 0; r < kRows; ++r) sum[r] = sum[r] + v[r];
  }
  for (int r = 0; r < kRows; ++r) {
    const V s = fold(sum[r]);
    if (threadIdx.x % kWarp == 0 && first + r < rows) put(first + r, s);
  }
}

// Rows of at most 32 elements, a group of `lanes` >= size lanes a row, 8 rows a group.
constexpr int kGroupRows = 8;
template <class V, class F, class Put>
__global__ void tiny_rows(F f, int64_t rows, int size, int lanes, Put put) {
  const int groups = kRowThreads / lanes, group = static_cast<int>(threadIdx.x) / lanes;
  const int i = static_cast<int>(threadIdx.x) % lanes;
  const int64_t first = int64_t{blockIdx.x} * groups * kGroupRows + group;
  V v[kGroupRows];
  for (int r = 0; r < kGroupRows; ++r) {
    const int64_t row = first + r * groups;
    v[r] = row < rows && i < size ? V{} + f(row)(i) : V{};
  }
  for (int r = 0; r < kGroupRows; ++r) {
    const V s = fold(v[r], lanes);
    if (i == 0 && first + r * groups < rows) put(first + r * groups, s);
  }
}

// A block of `blockDim.x` columns and 32 threads in y, the lanes. A warp holds columns side by side, for the sake of
// loads; for the tree, shared memory hands it the lanes of one column.
constexpr int kMostColumns = 16;
template <class V>
struct Columns {
  V at[kWarp][kMostColumns + 1];
};
template <class V, class F, class Put>
__device__ void sum_columns(Columns<V>& lanes, F f, int64_t begin, int64_t end, int64_t left, int64_t columns,
                            Put put) {
  const int width = static_cast<int>(blockDim.x), x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  if (left + x < columns) lanes.at[y][x] = one_lane<V>(begin + y, end, f(left + x));
  __syncthreads();
  const int thread = x + width * y, column = thread / kWarp, lane = thread % kWarp;
  if (left + column < columns) {
    const V sum = fold(lanes.at[lane][column]);
    if (lane == 0) put(left + column, sum);
  }
  __syncthreads();
}
template <class V, class F, class Put>
__global__ void chunks_of_columns(F f, int64_t rows, int64_t columns, int64_t blocks, Put put) {
  const int64_t chunk = blockIdx.x / blocks, left = (blockIdx.x - chunk * blocks) * blockDim.x;
  const int64_t begin = chunk * kChunk, end = begin + kChunk < rows ? begin + kChunk : rows;
  sum_columns(shared_memory<Columns<V>>(), f, begin, end, left, columns,
              [&](int64_t column, V sum) { put(chunk * columns + column, sum); });
}
template <class V, class F, class Put, class F2, class Put2>
__global__ void columns_twice(F f, Put put, F2 f2, Put2 put2, int64_t rows, int64_t columns) {
  Columns<V>& lanes = shared_memory<Columns<V>>();
  const int64_t left = int64_t{blockIdx.x} * blockDim.x;
  sum_columns(lanes, f, 0, rows, left, columns, put);
  sum_columns(lanes, f2, 0, rows, left, columns, put2);
}

// Few columns make more blocks if a block has fewer of them; 8 floats still fill a sector of memory.
static inline int64_t columns_of_block(int64_t columns) { return columns < 4096 ? kMostColumns / 2 : kMostColumns; }

template <class V>
struct Row {
  const V* data;
  int64_t size;
  __device__ auto operator()(int64_t row) const {
    return [p = data + row * size](int64_t i) { return p[i]; };
  }
};
template <class V>
struct Column {
  const V* data;
  int64_t columns;
  __device__ auto operator()(int64_t column) const {
    return [*this, column](int64_t row) { return data[row * columns + column]; };
  }
};
template <class V>
struct Store {
  V* to;
  __device__ void operator()(int64_t i, V sum) const { to[i] = sum; }
};
template <class V>
struct StoreMean {
  V* to;
  V count;
  __device__ void operator()(int64_t i, V sum) const { to[i] = sum / count; }
};

}  // namespace lane_sum

// put(r, Sum over i < size of f(r)(i)) for all rows r, a warp a row, if rows are longer than a chunk or few.
template <class V, class F, class Put>
void long_row_sums(const char* name, F f, int64_t rows, int64_t size, Put put) {
  using namespace lane_sum;
  if (rows == 0) return;
  const int64_t chunks = size <= kChunk ? 1 : blocks_for(size, kChunk), warps = rows * chunks;
  const auto start = [&]<class To>(To to) {
    const auto kernel = warps <= kFewWarps ? chunks_of_rows<V, 128, F, To> : chunks_of_rows<V, 64, F, To>;
    launch(name, kernel, blocks_for(warps, kRowWarps), warps == 1 ? kWarp : kRowThreads, 0, f, rows, size, chunks, to);
  };
  if (chunks == 1) return start(put);
  const Scratch<V> sums(warps);
  start(Store<V>{sums.get()});
  long_row_sums<V>(name, Row<V>{sums.get(), chunks}, rows, chunks, put);
}

// The same for rows of any length.
template <class V, class F, class Put>
void row_sums(const char* name, F f, int64_t rows, int64_t size, Put put) {
  using namespace lane_sum;
  if (rows == 0) return;
  if (size <= kWarp) {
    int lanes = 1;
    while (lanes < size) lanes *= 2;
    launch(name, tiny_rows<V, F, Put>, blocks_for(rows, int64_t{kGroupRows} * (kRowThreads / lanes)), kRowThreads, 0, f,
           rows, static_cast<int>(size), lanes, put);
  } else if (size <= kShort) {
    launch(name, short_rows<V, F, Put>, blocks_for(rows, kRows * kRowWarps), kRowThreads, 0, f, rows,
           static_cast<int>(size), put);
  } else {
    long_row_sums<V>(name, f, rows, size, put);
  }
}

// put(j, Sum over i < rows of f(j)(i)) for all columns j.
template <class V, class F, class Put>
void column_sums(const char* name, F f, int64_t rows, int64_t columns, Put put) {
  using namespace lane_sum;
  if (columns == 0) return;
  const int64_t width = columns_of_block(columns), blocks = blocks_for(columns, width);
  const Extent threads(width, kWarp);
  if (rows <= kChunk) {
    launch(name, chunks_of_columns<V, F, Put>, blocks, threads, sizeof(Columns<V>), f, rows, columns, blocks, put);
    return;
  }
  const int64_t chunks = blocks_for(rows, kChunk);
  const Scratch<V> sums(chunks * columns);
  launch(name, chunks_of_columns<V, F, Store<V>>, blocks * chunks, threads, sizeof(Columns<V>), f, rows, columns,
         blocks, Store<V>{sums.get()});
  column_sums<V>(name, Column<V>{sums.get(), columns}, chunks, columns, put);
}

// column_sums with f and put, then with f2 and put2, where f2(j) may read what put has written for column j.
template <class V, class F, class Put, class F2, class Put2>
void column_sums_twice(const char* name, F f, Put put, F2 f2, Put2 put2, int64_t rows, int64_t columns) {
  using namespace lane_sum;
  if (columns == 0) return;
  if (rows <= kChunk) {
    const int64_t width = columns_of_block(columns);
    launch(name, columns_twice<V, F, Put, F2, Put2>, blocks_for(columns, width), Extent(width, kWarp),
           sizeof(Columns<V>), f, put, f2, put2, rows, columns);
    return;
  }
  column_sums<V>(name, f, rows, columns, put);
  column_sums<V>(name, f2, rows, columns, put2);
}

}  // namespace nnlite
