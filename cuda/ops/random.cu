// Random numbers: a thread makes a pack of 16 bytes from its own blocks of Philox, for which nothing is read.
//
// A permutation is a stable sort of numbers by their 64 bits, eight at a time from the lowest: each pass moves
// everything to the order of these eight, without changing the order of equals. The numbers are cut into tiles. One
// kernel counts the values of the digit in each tile, a second turns the counts into the places where the tile's
// numbers begin, and a third puts them there. Nothing depends on which block comes first.
#include "ops/random.h"

#include "elementary.h"
#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// Words [4 * block, 4 * block + 4) of a draw.
struct Words {
  uint32_t at[4];
};

__device__ Words words_of(Draw draw, int64_t block) {
  Words w;
  philox(draw, static_cast<uint64_t>(block), w.at[0], w.at[1], w.at[2], w.at[3]);
  return w;
}

__device__ uint64_t bits64(const Words& w, int i) { return w.at[2 * i] | uint64_t{w.at[2 * i + 1]} << 32; }

// 53 random bits as a number in [0, 1).
__device__ double unit(uint64_t bits) { return static_cast<double>(static_cast<int64_t>(bits >> 11)) * 0x1p-53; }

struct Bits {
  Draw draw;
  __device__ Pack<uint32_t> operator()(int64_t pack) const {
    const Words w = words_of(draw, pack);
    return {{w.at[0], w.at[1], w.at[2], w.at[3]}};
  }
};

struct UniformFloat {
  Draw draw;
  float low, width;
  __device__ Pack<float> operator()(int64_t pack) const {
    const Words w = words_of(draw, pack);
    Pack<float> y;
    for (int j = 0; j < 4; ++j) {
      y.at[j] = low + static_cast<float>(static_cast<int32_t>(w.at[j] >> 8)) * 0x1p-24f * width;
    }
    return y;
  }
};

struct UniformDouble {
  Draw draw;
  double low, width;
  __device__ Pack<double> operator()(int64_t pack) const {
    const Words w = words_of(draw, pack);
    return {{low + unit(bits64(w, 0)) * width, low + unit(bits64(w, 1)) * width}};
  }
};

template <class T>
struct Normal {
  Draw draw;
  double mean, std;
  __device__ Pack<T> operator()(int64_t pack) const {
    constexpr int kPairs = Pack<T>::kSize / 2;  // each from a block of Philox
    Pack<T> y;
    for (int j = 0; j < kPairs; ++j) {
      const Words w = words_of(draw, pack * kPairs + j);
      const double radius = square_root(-2.0 * log(1.0 - unit(bits64(w, 0))));
      double sine, cosine;
      sincos2pi(unit(bits64(w, 1)), sine, cosine);
      y.at[2 * j] = static_cast<T>(mean + std * (radius * cosine));
      y.at[2 * j + 1] = static_cast<T>(mean + std * (radius * sine));
    }
    return y;
  }
};

// Fills y, which starts at a multiple of 16 bytes, with the packs f(0), f(1), ...
template <class F, class T>
__global__ void fill(F f, int64_t n, T* y) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i * kSize >= n) return;
  const Pack<T> values = f(i);
  if ((i + 1) * kSize <= n) {
    reinterpret_cast<Pack<T>*>(y)[i] = values;
  } else {
    for (int j = 0; j < kSize; ++j) {
      if (i * kSize + j < n) y[i * kSize + j] = values.at[j];
    }
  }
}

template <class F, class T>
void fill_packs(const char* name, F f, int64_t n, T* y) {
  if (n == 0) return;
  launch(name, fill<F, T>, blocks_for(n, kThreads * Pack<T>::kSize), kThreads, 0, f, n, y);
}

constexpr int kDigitBits = 8, kDigits = 256, kWarps = kThreads / 32;
static_assert(kDigits == kThreads, "a thread for each value of a digit");
constexpr int kRows = 8;  // numbers of a thread
constexpr int64_t kTile = int64_t{kRows} * kThreads;

struct alignas(16) Keyed {
  uint64_t key;
  int64_t index;
};

__global__ void draw_keys(Draw draw, int64_t n, Keyed* keys) {
  const int64_t block = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const Words w = words_of(draw, block);
  for (int j = 0; j < 2; ++j) {
    const int64_t i = 2 * block + j;
    if (i < n) keys[i] = {bits64(w, j), i};
  }
}

// counts[digit][tile]
struct Histogram {
  int count[kDigits];
};

__global__ void count_digits(const Keyed* keys, int64_t n, int shift, int64_t* counts) {
  Histogram& shared = shared_memory<Histogram>();
  shared.count[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * kTile;
  for (int row = 0; row < kRows; ++row) {
    const int64_t i = begin + row * kThreads + threadIdx.x;
    if (i < n) atomicAdd(&shared.count[keys[i].key >> shift & (kDigits - 1)], 1);
  }
  __syncthreads();
  counts[int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = shared.count[threadIdx.x];
}

// The sum of the values of all threads before this one, and of all.
struct Sums {
  int64_t before, all;
};
struct WarpSums {
  int64_t of[kWarps];
};

__device__ Sums sum_before(int64_t value, WarpSums& shared) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  int64_t sum = value;  // of this lane and the lanes before it
  for (int step = 1; step < 32; step *= 2) {
    const int64_t other = __shfl_up_sync(kWholeWarp, sum, step);
    if (lane >= step) sum += other;
  }
  __syncthreads();  // what an earlier call left has been read
  if (lane == 31) shared.of[warp] = sum;
  __syncthreads();
  int64_t before = 0, all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += shared.of[w];
    all += shared.of[w];
  }
  return {before + sum - value, all};
}

// A block replaces each count of its digit by the sum of those before, and writes the sum of all.
__global__ void sum_tiles(int64_t* counts, int64_t tiles, int64_t* totals) {
  WarpSums& shared = shared_memory<WarpSums>();
  int64_t* const row = counts + blockIdx.x * tiles;
  int64_t sum = 0;
  for (int64_t first = 0; first < tiles; first += kThreads) {
    const int64_t tile = first + threadIdx.x;
    const Sums sums = sum_before(tile < tiles ? row[tile] : 0, shared);
    if (tile < tiles) row[tile] = sum + sums.before;
    sum += sums.all;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

struct Places {
  int64_t of[kWarps][kDigits];
  WarpSums sums;
};

// A warp has kRows * 32 successive numbers of the tile and goes through them 32 at a time. A number's rank is how many
// of its warp with its digit stand before it: those of earlier rows, which are counted, and those of earlier lanes.
__global__ void move_to_places(const Keyed* keys, int64_t n, int shift, const int64_t* before, const int64_t* totals,
                               Keyed* sorted) {
  Places& shared = shared_memory<Places>();
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int w = 0; w < kWarps; ++w) shared.of[w][threadIdx.x] = 0;
  __syncthreads();

  const int64_t begin = blockIdx.x * kTile + warp * (kRows * 32) + lane;
  Keyed number[kRows];
  unsigned digit[kRows], rank[kRows];
  for (int row = 0; row < kRows; ++row) {
    // What stands in for numbers behind the last comes after all others and is put nowhere.
    const int64_t i = begin + row * 32;
    number[row] = i < n ? keys[i] : Keyed{~uint64_t{0}, n};
  }
  for (int row = 0; row < kRows; ++row) {
    digit[row] = static_cast<unsigned>(number[row].key >> shift) & (kDigits - 1);
    unsigned peers = kWholeWarp;  // lanes with the same digit
    for (int bit = 0; bit < kDigitBits; ++bit) {
      const bool set = digit[row] >> bit & 1;
      const unsigned votes = __ballot_sync(kWholeWarp, set);
      peers &= set ? votes : ~votes;
    }
    const int earlier = __popc(peers & ((1u << lane) - 1));
    int64_t& counted = shared.of[warp][digit[row]];
    rank[row] = static_cast<unsigned>(counted) + earlier;
    __syncwarp();
    if (earlier == 0) counted += __popc(peers);
    __syncwarp();
  }

  const int64_t smaller = sum_before(totals[threadIdx.x], shared.sums).before;
  int64_t place = smaller + before[int64_t{threadIdx.x} * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const int64_t count = shared.of[w][threadIdx.x];
    shared.of[w][threadIdx.x] = place;
    place += count;
  }
  __syncthreads();
  for (int row = 0; row < kRows; ++row) {
    if (begin + row * 32 < n) sorted[shared.of[warp][digit[row]] + rank[row]] = number[row];
  }
}

__global__ void take_indices(const Keyed* keys, int64_t n, int64_t* order) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) order[i] = keys[i].index;
}

}  // namespace

void random_bits(Draw draw, int64_t n, uint32_t* words) { fill_packs("random_bits", Bits{draw}, n, words); }

void random_permutation(Draw draw, int64_t n, int64_t* order) {
  if (n == 0) return;
  const int64_t tiles = blocks_for(n, kTile);
  const Scratch<Keyed> here(n), there(n);
  const Scratch<int64_t> counts(kDigits * tiles), totals(kDigits);
  Keyed *from = here.get(), *to = there.get();
  launch("random_permutation, draws", draw_keys, blocks_for(n, 2 * kThreads), kThreads, 0, draw, n, from);
  for (int shift = 0; shift < 64; shift += kDigitBits, std::swap(from, to)) {
    launch("random_permutation, counts", count_digits, tiles, kThreads, sizeof(Histogram), from, n, shift,
           counts.get());
    launch("random_permutation, sums", sum_tiles, kDigits, kThreads, sizeof(WarpSums), counts.get(), tiles,
           totals.get());
    launch("random_permutation, moves", move_to_places, tiles, kThreads, sizeof(Places), from, n, shift, counts.get(),
           totals.get(), to);
  }
  launch("random_permutation, order", take_indices, blocks_for(n, kThreads), kThreads, 0, from, n, order);
}

void random_uniform(Draw draw, int64_t n, float low, float width, float* y) {
  fill_packs("random_uniform", UniformFloat{draw, low, width}, n, y);
}
void random_uniform(Draw draw, int64_t n, double low, double width, double* y) {
  fill_packs("random_uniform", UniformDouble{draw, low, width}, n, y);
}
void random_normal(Draw draw, int64_t n, double mean, double std, float* y) {
  fill_packs("random_normal", Normal<float>{draw, mean, std}, n, y);
}
void random_normal(Draw draw, int64_t n, double mean, double std, double* y) {
  fill_packs("random_normal", Normal<double>{draw, mean, std}, n, y);
}

}  // namespace nnlite
