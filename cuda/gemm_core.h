// The matrix product under gemm, linear and conv2d, in the order of docs/numerics.md, section 2.
//
// C (M x N) = A (M x K) * B (K x N). Every element of C has one accumulator in a register that takes k in ascending
// order, so tiles, stages and threads are free and never change a bit. K is cut into the specified blocks of 512; a
// block's sum is added to the element's total and the accumulator starts again from +0.
//
// A thread block computes a tile of C. It walks along K in steps of a few k: the tile's part of A and B for one step
// lies in shared memory, k after k, and the next steps' parts are on their way (async_copy.h). A thread multiplies a
// column of A's part with a row of B's part, both in registers, into its accumulators: for 16 x 8 of them it reads 24
// numbers for 128 fma, so that neither shared memory nor its latency limits the rate of fma.
//
// Where an element of A and B comes from is the matter of policies (Left, Right), and where C goes of a third one
// (Result): the convolutions multiply matrices of patches that are nowhere written down.
//
// Where C has too few tiles for the device, its blocks of K are shared out as well: every block's sums go to a slot of
// their own in a scratch matrix, and a second kernel adds the slots in ascending order. The same sums in the same
// order, hence the same bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "async_copy.h"
#include "launch.h"

namespace nnlite {

constexpr int kBlock = 512;

// A tile of M x N, K at a time, with `Stages` steps in shared memory. A warp is LaneRows x (32 / LaneRows) lanes; a
// lane has RowPacks x ColumnPacks packs (of 16 bytes) of rows and columns, a warp's width apart, so that the lanes of a
// warp read neighbouring packs. `Blocks` of them are to fit on a multiprocessor at once.
template <class Element, int M, int N, int K, int RowPacks, int ColumnPacks, int LaneRows, int Stages, int Blocks>
struct Tiling {
  using T = Element;
  static constexpr int kPack = Pack<T>::kSize, kM = M, kN = N, kK = K, kStages = Stages, kBlocks = Blocks;
  static constexpr int kLaneRows = LaneRows, kLaneColumns = 32 / LaneRows;
  static constexpr int kRows = RowPacks * kPack, kColumns = ColumnPacks * kPack;  // of a thread
  static constexpr int kWarpM = kLaneRows * kRows, kWarpN = kLaneColumns * kColumns;
  static constexpr int kWarpColumns = N / kWarpN;
  static constexpr int kThreads = M / kWarpM * kWarpColumns * 32;
  static constexpr int kPacks = kRows * ColumnPacks;  // of a thread's accumulators
  static_assert(M % kWarpM == 0 && N % kWarpN == 0 && kBlock % K == 0 && K % 8 == 0);
};

// A line of a tile's part in shared memory: a pack longer than the tile, so that threads that write the same row of
// different k meet different banks.
template <class T, int I>
constexpr int kPitch = I + Pack<T>::kSize;

// How the threads of a tile share out the copies of one step of I x K elements. Where memory is contiguous along i,
// neighbouring threads take neighbouring i; along k, eight threads take eight k (a sector of 32 bytes of floats) and
// the next eight the next i. Both ways a thread's copies lie constant distances apart.
template <class Tiling, int I>
struct Share {
  static constexpr int kThreads = Tiling::kThreads, kLines = kThreads / 8, kCount = I * Tiling::kK / kThreads;
  static_assert(kCount * kThreads == I * Tiling::kK && (kThreads % I == 0 || I % kThreads == 0) && I % kLines == 0);
};

// x, but the compiler cannot know: what is computed from the result is computed anew in every round of a loop instead
// of being held in registers, which the accumulators need.
__device__ __forceinline__ int anew(int x) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}
__device__ __forceinline__ int64_t anew(int64_t x) {
#if defined(__CUDACC__)
  asm volatile("" : "+l"(x));
#endif
  return x;
}
template <class T>
__device__ __forceinline__ const T* anew(const T* x) {
#if defined(__CUDACC__)
  asm volatile("" : "+l"(x));
#endif
  return x;
}

// The policy of a matrix in memory: element (i, k) is p[i * ld + k], or p[k * ld + i] where `along_i`.
template <class T>
struct Strided {
  const T* p;
  int64_t ld, extent;  // i < extent
  int64_t group;       // from one group's matrix to the next one's
  bool along_i;
  bool packs;  // along i, and 16 bytes at a time: address, ld and extent allow it

  static constexpr bool kSharesMemory = false;
  template <class Tiling, int I>
  struct Memory {};

  template <class Tiling, int I>
  class Loader {
   public:
    // The loader of rows `first`, first + 1, ... from `k` on.
    __device__ Loader(const Strided& from, Memory<Tiling, I>&, int64_t first, int64_t k, int64_t group)
        : from_(from), left_(static_cast<int>(from.extent - first < I ? from.extent - first : I)) {
      const int t = static_cast<int>(threadIdx.x);
      const T* const p = from.p + group * from.group;
      if (from.packs) {
        at_ = p + (k + t / kLine) * from.ld + first + t % kLine * kPack;
      } else if (from.along_i) {
        at_ = p + (k + t / I) * from.ld + first + t % I;
      } else {
        at_ = p + (first + t / 8) * from.ld + k + t % 8;
      }
    }
    __device__ void look_ahead(AsyncCopies&, int) {}
    // Copies the next step, of which `count` k are on the axis. Called once a step.
    __device__ __forceinline__ void load(AsyncCopies& copies, SharedPlace<T> to, int, int count) {
      const int t = anew(static_cast<int>(threadIdx.x));
      const T* from = at_;
      const int64_t ld = anew(from_.ld);
      // Where this thread's first copy goes; the others lie a constant distance from it.
      if (from_.packs) {
        constexpr int kDown = S::kThreads > kLine ? S::kThreads / kLine : 1;
        const int k = t / kLine, i = t % kLine * kPack;
        const SharedPlace<T> first = (to + (k * kPitch<T, I> + i)).once();
#pragma unroll
        for (int copy = 0; copy < kPackCount; ++copy) {
          const int down = copy * S::kThreads / kLine, across = copy * S::kThreads % kLine * kPack;
          if (copy > 0 && across == 0) from = anew(from + kDown * ld);
          if (k < count - down && i < left_ - across) {
            copies.template copy<16>(first + (down * kPitch<T, I> + across), from + across);
          }
        }
        at_ += Tiling::kK * ld;
      } else if (from_.along_i) {
        constexpr int kDown = S::kThreads > I ? S::kThreads / I : 1;
        const int k = t / I, i = t % I;
        const SharedPlace<T> first = (to + (k * kPitch<T, I> + i)).once();
#pragma unroll
        for (int copy = 0; copy < S::kCount; ++copy) {
          const int down = copy * S::kThreads / I, across = copy * S::kThreads % I;
          if (copy > 0 && across == 0) from = anew(from + kDown * ld);
          if (k < count - down && i < left_ - across) {
            copies.template copy<sizeof(T)>(first + (down * kPitch<T, I> + across), from + across);
          }
        }
        at_ += Tiling::kK * ld;
      } else {
        const int k = t % 8, i = t / 8;
        const SharedPlace<T> first = (to + (k * kPitch<T, I> + i)).once();
#pragma unroll
        for (int down = 0; down < I; down += S::kLines) {
          if (down > 0) from = anew(from + S::kLines * ld);
#pragma unroll
          for (int across = 0; across < Tiling::kK; across += 8) {
            if (k < count - across && i < left_ - down) {
              copies.template copy<sizeof(T)>(first + (across * kPitch<T, I> + down), from + across);
            }
          }
        }
        at_ += Tiling::kK;
      }
    }

   private:
    using S = Share<Tiling, I>;
    static constexpr int kPack = Pack<T>::kSize, kLine = I / kPack;  // packs of a k
    static constexpr int kPackCount = (kLine * Tiling::kK + S::kThreads - 1) / S::kThreads;
    static_assert(S::kThreads % kLine == 0 || kLine % S::kThreads == 0);
    const Strided& from_;  // in constant memory
    const T* at_;
    int left_;
  };
};

// The result as a matrix in memory: element (i, j) of a group is c[i * row + j * column].
template <class T>
struct Matrix {
  T* c;
  int64_t row, column;
  int64_t group;
  bool packs;  // rows of whole packs at aligned addresses

  __device__ int64_t offset(int64_t j) const { return j * column; }
  // The matrix of the slots of all blocks.
  Matrix slots(T* at, int64_t m, int64_t n, int64_t blocks) const {
    return {at, n, 1, blocks * m * n, n % Pack<T>::kSize == 0};
  }
};

// The product as a whole, one in each of `groups`. A bias is per row or per column of C, or nullptr.
template <class T>
struct Product {
  int64_t m, n, k, groups;
  const T* row_bias;
  const T* column_bias;
};

// The part of the plan that the kernel needs.
struct Division {
  int tiles_m, tiles_n;
  int64_t first, blocks;  // the first block of K, and how many for each thread block
  bool slots;             // C is a scratch matrix (block of K, M, N)

  struct Tile {
    int64_t row, column;
  };
  // Tiles are taken in bands of eight tile rows, down each column of a band: the blocks that run at one time share
  // their parts of A and B in L2.
  __device__ Tile tile(int number) const {
    constexpr int kBand = 8;
    const unsigned in_band = kBand * static_cast<unsigned>(tiles_n);
    const int band = static_cast<int>(static_cast<unsigned>(number) / in_band) * kBand;
    const int height = tiles_m - band < kBand ? tiles_m - band : kBand;
    const int place = static_cast<int>(static_cast<unsigned>(number) % in_band);
    return {band + place % height, place / height};
  }
};

template <class Tiling, class Left, class Right>
struct ProductMemory {
  using T = typename Tiling::T;
  alignas(16) T left[Tiling::kStages][Tiling::kK * kPitch<T, Tiling::kM>];
  alignas(16) T right[Tiling::kStages][Tiling::kK * kPitch<T, Tiling::kN>];
  alignas(16) typename Left::template Memory<Tiling, Tiling::kM> of_left;
  alignas(16) typename Right::template Memory<Tiling, Tiling::kN> of_right;
  // Totals of earlier blocks: registers hold only the accumulators. Each thread has its own; not there if K has one
  // block or the blocks go to slots.
  Pack<T> totals[Tiling::kPacks][Tiling::kThreads];
  static constexpr size_t kWithoutTotals = sizeof(Pack<T>) * Tiling::kPacks * Tiling::kThreads;
};

// A lane's packs of one k: every `Lanes` packs one.
template <int Count, int Lanes, class T>
__device__ __forceinline__ void read_line(T (&to)[Count], const T* line) {
  constexpr int kPack = Pack<T>::kSize;
#pragma unroll
  for (int i = 0; i < Count; i += kPack) {
    const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(line + i * Lanes);
#pragma unroll
    for (int e = 0; e < kPack; ++e) to[i + e] = pack.at[e];
  }
}

template <class Tiling, class Left, class Right, class Result>
__global__ void __launch_bounds__(Tiling::kThreads, Tiling::kBlocks)
    product(Product<typename Tiling::T> size, Division division, Left left, Right right, Result result) {
  using T = typename Tiling::T;
  constexpr int kM = Tiling::kM, kN = Tiling::kN, kK = Tiling::kK, kStages = Tiling::kStages, kPack = Tiling::kPack;
  constexpr int kRows = Tiling::kRows, kColumns = Tiling::kColumns, kSteps = kBlock / kK;
  auto& memory = shared_memory<ProductMemory<Tiling, Left, Right>>();
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, warp = t / 32;

  const int64_t row0 = division.tile(static_cast<int>(blockIdx.x)).row * kM;
  const int64_t column0 = division.tile(static_cast<int>(blockIdx.x)).column * kN;
  const int64_t group = blockIdx.z, block0 = blockIdx.y * division.blocks;
  const int64_t k0 = (division.first + block0) * kBlock;
  const int64_t length = (size.k - k0 < division.blocks * kBlock ? size.k - k0 : division.blocks * kBlock);
  const int steps = static_cast<int>(length > kK ? (length + kK - 1) / kK : 1);
  const int of_last = static_cast<int>(length - int64_t{steps - 1} * kK);  // k of the last step

  constexpr int kLeft = kK * kPitch<T, kM>, kRight = kK * kPitch<T, kN>;
  const SharedPlace<T> left_stages(memory.left[0]), right_stages(memory.right[0]);
  AsyncCopies copies;
  typename Left::template Loader<Tiling, kM> load_left(left, memory.of_left, row0, k0, group);
  typename Right::template Loader<Tiling, kN> load_right(right, memory.of_right, column0, k0, group);
  const auto load = [&](int step) {
    if (step >= steps) return;
    const int count = step + 1 < steps ? kK : of_last;
    load_left.load(copies, left_stages + step % kStages * kLeft, step, count);
    load_right.load(copies, right_stages + step % kStages * kRight, step, count);
  };
  if constexpr (Left::kSharesMemory || Right::kSharesMemory) {
#pragma unroll
    for (int step = 0; step < kStages - 1; ++step) {
      load_left.look_ahead(copies, step);
      load_right.look_ahead(copies, step);
    }
    copies.commit();
    copies.template wait<0>();
    __syncthreads();
  }
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    load(step);
    load_left.look_ahead(copies, step + kStages - 1);
    load_right.look_ahead(copies, step + kStages - 1);
    copies.commit();
  }

  // Neighbouring lanes share rows or columns in such a way that each quarter of a warp reads few different packs.
  const int lane_row = Tiling::kLaneRows == 4 ? lane % 2 + lane / 16 * 2 : lane % 2;
  const int lane_column = lane / 2 % Tiling::kLaneColumns;
  const int first_row = warp / Tiling::kWarpColumns * Tiling::kWarpM + lane_row * kPack;
  const int first_column = warp % Tiling::kWarpColumns * Tiling::kWarpN + lane_column * kPack;

  T sum[kRows][kColumns];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sum[i][j] = T(0);
  }

  for (int step = 0; step < steps; ++step) {
    // This step's part is there when all threads have waited for their copies of it; and all have left the stage that
    // is filled next.
    copies.template wait<kStages - 2>();
    __syncthreads();
    load(step + kStages - 1);
    load_left.look_ahead(copies, step + 2 * (kStages - 1));
    load_right.look_ahead(copies, step + 2 * (kStages - 1));
    copies.commit();

    const T* const a_line = memory.left[step % kStages] + first_row;
    const T* const b_line = memory.right[step % kStages] + first_column;
    const bool last = step + 1 == steps;
    const int count = last ? of_last : kK;
    if (count == kK) {
      // The next k are read while this one is multiplied: more of them where that takes less time than a read.
      constexpr int kAhead = kRows * kColumns <= 16 ? 3 : kRows * kColumns <= 32 ? 2 : 1, kLines = kAhead + 1;
      T a[kLines][kRows], b[kLines][kColumns];
#pragma unroll
      for (int k = -kAhead; k < kK; ++k) {
        if (k + kAhead < kK) {
          read_line<kRows, Tiling::kLaneRows>(a[(k + kAhead) % kLines], a_line + (k + kAhead) * kPitch<T, kM>);
          read_line<kColumns, Tiling::kLaneColumns>(b[(k + kAhead) % kLines], b_line + (k + kAhead) * kPitch<T, kN>);
        }
        if (k < 0) continue;
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
          for (int j = 0; j < kColumns; ++j) sum[i][j] = fused(a[k % kLines][i], b[k % kLines][j], sum[i][j]);
        }
      }
    } else {
      // The axis ends here: zeros in the place of what follows would turn a sum of -0 into +0.
#pragma unroll 1
      for (int k = 0; k < count; ++k) {
        T a[kRows], b[kColumns];
        read_line<kRows, Tiling::kLaneRows>(a, a_line + k * kPitch<T, kM>);
        read_line<kColumns, Tiling::kLaneColumns>(b, b_line + k * kPitch<T, kN>);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
          for (int j = 0; j < kColumns; ++j) sum[i][j] = fused(a[i], b[j], sum[i][j]);
        }
      }
    }

    const int at = anew(t);
    if (!last && (step + 1) % kSteps != 0) continue;
    const bool later = !division.slots && step >= kSteps;  // there are totals of earlier blocks
    if (!last && !division.slots) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; j += kPack) {
          Pack<T>& total = memory.totals[(i * kColumns + j) / kPack][at];
          Pack<T> next;
          if (later) next = total;
#pragma unroll
          for (int e = 0; e < kPack; ++e) {
            next.at[e] = later ? next.at[e] + sum[i][j + e] : sum[i][j + e];
            sum[i][j + e] = T(0);
          }
          total = next;
        }
      }
      continue;
    }
    const Division::Tile tile = division.tile(anew(static_cast<int>(blockIdx.x)));
    const int64_t first_i = tile.row * kM + anew(first_row), first_j = tile.column * kN + anew(first_column);
    T* const c = result.c + group * result.group + (division.slots ? (block0 + step / kSteps) * size.m * size.n : 0);
#pragma unroll
    for (int j = 0; j < kColumns; j += kPack) {
      const int64_t column = first_j + j * Tiling::kLaneColumns;
      int64_t offset[kPack];
      T bias[kPack];
#pragma unroll
      for (int e = 0; e < kPack; ++e) {
        const bool inside = column + e < size.n;
        offset[e] = inside && (e == 0 || !result.packs) ? result.offset(column + e) : 0;
        bias[e] = inside && size.column_bias != nullptr ? size.column_bias[group * size.n + column + e] : T(0);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int64_t row = first_i + i / kPack * kPack * Tiling::kLaneRows + i % kPack;
        Pack<T> y;
#pragma unroll
        for (int e = 0; e < kPack; ++e) {
          y.at[e] = sum[i][j + e];
          sum[i][j + e] = T(0);
        }
        if (row >= size.m || column >= size.n) continue;
        if (later) {
          const Pack<T> total = memory.totals[(i * kColumns + j) / kPack][at];
#pragma unroll
          for (int e = 0; e < kPack; ++e) y.at[e] = total.at[e] + y.at[e];
        }
        if (size.row_bias != nullptr) {
          const T b = size.row_bias[group * size.m + row];
#pragma unroll
          for (int e = 0; e < kPack; ++e) y.at[e] = y.at[e] + b;
        }
        if (size.column_bias != nullptr) {
#pragma unroll
          for (int e = 0; e < kPack; ++e) y.at[e] = y.at[e] + bias[e];
        }
        T* const to = c + row * result.row;
        if (result.packs) {
          *reinterpret_cast<Pack<T>*>(to + offset[0]) = y;
        } else {
#pragma unroll
          for (int e = 0; e < kPack; ++e) {
            if (column + e < size.n) to[offset[e]] = y.at[e];
          }
        }
      }
    }
  }
}

// The slots of an element of C in ascending order, an element a thread. C holds the sum of earlier slots unless these
// are the first ones.
constexpr int kSlotThreads = 256;

template <class T, class Result>
__global__ void add_slots(Product<T> size, int64_t blocks, bool first, const T* slots, Result result) {
  const int64_t elements = size.m * size.n, element = int64_t{blockIdx.x} * kSlotThreads + threadIdx.x;
  const int64_t group = blockIdx.z;
  if (element >= elements) return;
  const int64_t row = static_cast<unsigned>(element) / static_cast<unsigned>(size.n), column = element - row * size.n;
  const T* const slot = slots + group * blocks * elements + element;
  T* const to = result.c + group * result.group + row * result.row + result.offset(column);
  T total = first ? slot[0] : *to + slot[0];
#pragma unroll 8
  for (int64_t b = 1; b < blocks; ++b) total = total + slot[b * elements];
  if (size.row_bias != nullptr) total = total + size.row_bias[group * size.m + row];
  if (size.column_bias != nullptr) total = total + size.column_bias[group * size.n + column];
  *to = total;
}

// The tilings to choose from. Large tiles read least from memory for an fma, small ones fill the device when C is
// small; the wide one is for 64 channels, the flat one for C of few rows.
template <class T>
struct Tilings;
template <>
struct Tilings<float> {
  using Large = Tiling<float, 128, 256, 8, 4, 2, 4, 4, 1>;
  using Medium = Tiling<float, 128, 128, 8, 2, 2, 4, 4, 2>;
  using Wide = Tiling<float, 64, 256, 8, 2, 2, 4, 4, 2>;
  using Small = Tiling<float, 64, 64, 16, 2, 2, 4, 3, 6>;
  using Tiny = Tiling<float, 32, 32, 16, 2, 1, 4, 3, 12>;
  using Flat = Tiling<float, 8, 128, 16, 1, 1, 2, 4, 5>;
};
template <>
struct Tilings<double> {
  using Large = Tiling<double, 128, 128, 8, 4, 4, 4, 3, 1>;
  using Medium = Tiling<double, 64, 128, 8, 4, 4, 4, 3, 2>;
  using Wide = Medium;
  using Small = Tiling<double, 32, 64, 8, 4, 2, 4, 4, 4>;
  using Tiny = Tiling<double, 32, 32, 8, 4, 2, 4, 4, 8>;
  using Flat = Tiling<double, 8, 128, 8, 2, 2, 2, 4, 5>;
};

// A choice of tiling and division, with the clock cycles that it may take: whatever it says, the bits are the same.
struct Plan {
  double cycles;
  int tiling;
  int64_t blocks;  // of K, for each thread block
};

// Bytes of slots at a time. The simulator's few let short tests come to several rounds.
#if defined(__CUDACC__)
constexpr double kMostSlots = 256 << 20;
#else
constexpr double kMostSlots = 64 << 10;
#endif

template <class Tiling>
void consider(int number, int64_t m, int64_t n, int64_t k, int64_t groups, Plan& best) {
  using T = typename Tiling::T;
  constexpr double kOverhead = 2000;  // to start a block and to store its tile
  constexpr double kMemory = 2000;    // bytes a cycle, of the device
  // Fractions of the peak rate of fma that a multiprocessor reaches: with all the blocks that fit, less the reads of
  // shared memory and the copies to it; and with one block, whose warps wait for these between the k.
  constexpr double kReads = 0.8 / Tiling::kRows + 0.8 / Tiling::kColumns;
  constexpr double kCopies = 6.0 / Tiling::kM + 6.0 / Tiling::kN;
  constexpr double kTogether = 1 / (0.9 + kReads + kCopies);
  constexpr double kIssue = Tiling::kRows * Tiling::kColumns * (sizeof(T) / 4.0);  // cycles of a warp for a k
  constexpr double kAlone = std::min(kTogether, std::min(1.0, Tiling::kThreads / 128.0) * kIssue / (kIssue + 16));
  const double sms = device::multiprocessors();
  const double tiles = static_cast<double>(blocks_for(m, Tiling::kM)) * static_cast<double>(blocks_for(n, Tiling::kN)) *
                       static_cast<double>(groups);
  const int64_t all = std::max<int64_t>(1, blocks_for(k, kBlock));
  const double slots = static_cast<double>(groups) * static_cast<double>(m) * static_cast<double>(n) *
                       static_cast<double>(all) * sizeof(T);
  for (int64_t parts = 1; parts <= std::min<int64_t>(all, 4096); parts += 1 + parts / 8) {
    if (parts > 1 && (slots / static_cast<double>(all) > kMostSlots || m * n >= int64_t{1} << 31)) break;
    constexpr size_t kSteps =
        sizeof(T) * Tiling::kStages * Tiling::kK * (kPitch<T, Tiling::kM> + kPitch<T, Tiling::kN>);
    constexpr size_t kLoaders = 8 << 10;  // more than Left and Right keep there
    const size_t totals = all > 1 && parts == 1 ? sizeof(T) * Tiling::kM * Tiling::kN : 0;
    if (kSteps + kLoaders + totals > device::shared_bytes()) continue;  // Turing has 64 KB, Hopper 227
    const int64_t blocks = blocks_for(all, parts);
    const double length = static_cast<double>(std::min(k, blocks * kBlock));
    const double work = double{Tiling::kM} * Tiling::kN * (length + Tiling::kK) * (sizeof(T) / 4.0) / 128;
    const double rounds = std::ceil(tiles * static_cast<double>(blocks_for(all, blocks)) / sms);
    const double waves = std::ceil(rounds / Tiling::kBlocks);
    double cycles = std::max(rounds * work / kTogether, waves * work / kAlone) + waves * kOverhead;
    if (parts > 1) cycles += 4000 * std::ceil(slots / kMostSlots) + 2 * slots / kMemory;
    if (cycles < best.cycles) best = {cycles, number, parts > 1 ? blocks : all};
  }
}

template <class Tiling, class Left, class Right, class Result>
void run_product(const char* name, const Product<typename Tiling::T>& size, int64_t blocks, const Left& left,
                 const Right& right, const Result& result) {
  using T = typename Tiling::T;
  using Memory = ProductMemory<Tiling, Left, Right>;
  const int64_t all = std::max<int64_t>(1, blocks_for(size.k, kBlock)), parts = blocks_for(all, blocks);
  const int64_t tiles_m = blocks_for(size.m, Tiling::kM), tiles_n = blocks_for(size.n, Tiling::kN);
  Division division{static_cast<int>(tiles_m), static_cast<int>(tiles_n), 0, blocks, parts > 1};
  const size_t shared = sizeof(Memory) - (all == 1 || parts > 1 ? Memory::kWithoutTotals : 0);
  const auto run = [&](int64_t count, const Product<T>& product_size, const Result& to) {
    launch(name, product<Tiling, Left, Right, Result>, Extent(tiles_m * tiles_n, count, size.groups), Tiling::kThreads,
           shared, product_size, division, left, right, to);
  };
  if (parts == 1) return run(1, size, result);
  // As many parts at a time as there is room for slots.
  const int64_t elements = size.m * size.n, slot_bytes = size.groups * elements * static_cast<int64_t>(sizeof(T));
  const int64_t at_once = std::clamp<int64_t>(static_cast<int64_t>(kMostSlots) / slot_bytes / blocks, 1, parts);
  const Scratch<T> slots(size.groups * std::min(at_once * blocks, all) * elements);
  Product<T> plain = size;
  plain.row_bias = plain.column_bias = nullptr;
  for (int64_t part = 0; part < parts; part += at_once) {
    division.first = part * blocks;
    const int64_t here = std::min(at_once * blocks, all - division.first);
    run(blocks_for(here, blocks), plain, result.slots(slots.get(), size.m, size.n, here));
    launch(name, add_slots<T, Result>, Extent(blocks_for(elements, kSlotThreads), 1, size.groups), kSlotThreads, 0,
           part + at_once < parts ? plain : size, here, part == 0, slots.get(), result);
  }
}

// C = A * B + bias for sizes above 0 (k may be 0), m and n below 2^36, no more than 65535 groups.
template <class T, class Left, class Right, class Result>
void multiply(const char* name, const Product<T>& size, const Left& left, const Right& right, const Result& result) {
  using Choice = Tilings<T>;
  Plan plan{std::numeric_limits<double>::infinity(), 0, 1};
  consider<typename Choice::Large>(0, size.m, size.n, size.k, size.groups, plan);
  consider<typename Choice::Medium>(1, size.m, size.n, size.k, size.groups, plan);
  consider<typename Choice::Small>(2, size.m, size.n, size.k, size.groups, plan);
  consider<typename Choice::Tiny>(3, size.m, size.n, size.k, size.groups, plan);
  consider<typename Choice::Flat>(4, size.m, size.n, size.k, size.groups, plan);
  consider<typename Choice::Wide>(5, size.m, size.n, size.k, size.groups, plan);
  switch (plan.tiling) {
    case 0:
      return run_product<typename Choice::Large>(name, size, plan.blocks, left, right, result);
    case 1:
      return run_product<typename Choice::Medium>(name, size, plan.blocks, left, right, result);
    case 2:
      return run_product<typename Choice::Small>(name, size, plan.blocks, left, right, result);
    case 3:
      return run_product<typename Choice::Tiny>(name, size, plan.blocks, left, right, result);
    case 4:
      return run_product<typename Choice::Flat>(name, size, plan.blocks, left, right, result);
    default:
      return run_product<typename Choice::Wide>(name, size, plan.blocks, left, right, result);
  }
}

}  // namespace nnlite
