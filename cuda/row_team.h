// Rows of k elements that are gone over several times, as a softmax or a normalisation does: who works on a row, and
// where it is kept, so that memory is read once.
//
//   ThreadTeam  a thread, for many rows of k <= 32. Its warp copies 32 rows to shared memory and back, so that what
//               memory sees are runs.
//   LaneTeam    a warp, or for k <= 32 a part of one, a power of two of lanes. Lane i has elements i, i + 32, ... and
//               no others; shared memory is its array, so nobody waits for anybody.
//   BlockTeam   a block, for rows longer than 8 KB. Thread i has elements i, i + threads, ..., but the order of a sum
//               gives it others, so threads wait before and after one. What does not fit into shared memory is read
//               again.
//
// An op is a functor called with the team and the number of the row, the same for all teams. Its formulas are loops
// over a thread's own elements (each) and sums and maxima of the row, which every thread gets. Every thread of a warp
// makes the same calls; a team without a row has k = 0.
#pragma once

#include "fast_divide.h"
#include "lane_sum.h"

namespace nnlite {

template <class T>
__device__ T maximum(T a, T b) {
  return b > a ? b : a;
}

template <class Index, int kStep>
struct RowMember {
  int member;
  Index k;

  __device__ bool leads() const { return member == 0 && k > 0; }
  // use(i, load(i)) for this thread's elements i, of which most are staged: so a few at a time.
  template <int kBytes = 32, class Load, class Use>
  __device__ void each(Load load, Use use) const {
    in_batches<kStep, kBytes>(static_cast<Index>(member), k, load, use);
  }
};

template <class T>
struct ThreadTeam : RowMember<int, 1> {
  int lane, rows, row_size;  // of the warp; row_size is k where there is a row
  FastDivide by_row_size;
  T* storage;  // of the warp; rows begin at odd distances, so that equal places of them lie in different banks

  __device__ int distance() const { return row_size | 1; }
  __device__ T* of_warp(int number) const { return storage + number * kWarp * distance(); }
  __device__ int in_storage(int i) const { return i + by_row_size(i) * (distance() - row_size); }
  // Row 0 of the warp, given this thread's.
  template <class P>
  __device__ P* first_row(P* row) const {
    return reinterpret_cast<P*>(__shfl_sync(kWholeWarp, reinterpret_cast<uintptr_t>(row), 0));
  }

  __device__ T* place(int number, T*) const { return of_warp(number) + lane * distance(); }
  __device__ const T* stage(int number, const T* x) const {
    const T* const from = first_row(x);
    T* const to = of_warp(number);
    in_batches<kWarp>(
        lane, rows * row_size, [&](int i) { return from[i]; }, [&](int i, T v) { to[in_storage(i)] = v; });
    __syncwarp();
    return place(number, nullptr);
  }
  template <class F>
  __device__ void emit(int number, T* y, F f) const {
    T* const values = place(number, nullptr);
    each(f, [&](int i, T v) { values[i] = v; });
    T *const to = first_row(y), *const from = of_warp(number);
    __syncwarp();
    for (int i = lane; i < rows * row_size; i += kWarp) to[i] = from[in_storage(i)];
  }
  __device__ T max(T most) const { return most; }
  // The tree of a chunk of at most 32 elements: of lanes first, first + kStep, first + 2 kStep, ...
  template <class V, int kStep, class F>
  __device__ V tree(int first, F f) const {
    if constexpr (kStep == kWarp) {
      return first < k ? V{} + f(first) : V{};
    } else {
      return tree<V, 2 * kStep>(first, f) + tree<V, 2 * kStep>(first + kStep, f);
    }
  }
  template <class V = T, class F>
  __device__ V sum(F f) const {
    return tree<V, 1>(0, f);
  }
  template <class F>
  __device__ T sum_kept(T* values, F f) const {
    each<16>(f, [&](int i, T v) { values[i] = v; });
    return sum([&](int i) { return values[i]; });
  }
};

template <class T>
struct LaneTeam : RowMember<int, kWarp> {
  int lanes;
  T* storage;

  // Array `number` of the row's storage; `otherwise` if it has no place there.
  __device__ T* place(int number, T*) const { return storage + number * k; }
  // Copies x there. What is returned is x for this thread's elements, and in a sum for all.
  __device__ const T* stage(int number, const T* x) const {
    T* const kept = place(number, nullptr);
    each<64>([&](int i) { return x[i]; }, [&](int i, T v) { kept[i] = v; });
    return kept;
  }
  // y[i] = f(i); array `number` may be overwritten by it, and f may read that at i.
  template <class F>
  __device__ void emit(int, T* y, F f) const {
    each(f, [&](int i, T v) { y[i] = v; });
  }
  __device__ T max(T most) const {
    for (int half = lanes / 2; half > 0; half /= 2) most = maximum(most, across(most, half));
    return most;
  }
  // Sum of f(i).
  template <class V = T, class F>
  __device__ V sum(F f) const {
    return fold(one_lane<V>(member, k, f), lanes);
  }
  // The same, and values[i] = f(i): a few at a time, so that their operations fill each other's waits.
  template <class F>
  __device__ T sum_kept(T* values, F f) const {
    T sum{};
    each<16>(f, [&](int i, T v) {
      values[i] = v;
      sum = sum + v;
    });
    return fold(sum, lanes);
  }
};

struct alignas(16) RowSlots {
  unsigned char bytes[kWarp * 16];
};

template <class T, int kThreads>
struct BlockTeam : RowMember<int64_t, kThreads> {
  using RowMember<int64_t, kThreads>::member, RowMember<int64_t, kThreads>::k;
  T* storage;
  int kept;  // arrays that fit there
  RowSlots* slots;

  __device__ T* place(int number, T* otherwise) const { return number < kept ? storage + number * k : otherwise; }
  __device__ const T* stage(int number, const T* x) const {
    T* const to = place(number, nullptr);
    if (to == nullptr) return x;
    this->template each<64>([&](int64_t i) { return x[i]; }, [&](int64_t i, T v) { to[i] = v; });
    return to;
  }
  template <class F>
  __device__ void emit(int, T* y, F f) const {
    this->each(f, [&](int64_t i, T v) { y[i] = v; });
  }
  __device__ T max(T most) const {
    T* const all = reinterpret_cast<T*>(slots);
    for (int half = kWarp / 2; half > 0; half /= 2) most = maximum(most, across(most, half));
    if (member % kWarp == 0) all[member / kWarp] = most;
    __syncthreads();
    for (int warp = 0; warp < kThreads / kWarp; ++warp) most = maximum(most, all[warp]);
    __syncthreads();
    return most;
  }
  template <class V = T, class F>
  __device__ V sum(F f) const {
    __syncthreads();
    return block_sum(k, f, reinterpret_cast<V*>(slots));
  }
  template <class F>
  __device__ T sum_kept(T* values, F f) const {
    this->template each<16>(f, [&](int64_t i, T v) { values[i] = v; });
    return sum([=](int64_t i) { return values[i]; });
  }
};

namespace row_team {

constexpr int kLaneThreads = 128;
constexpr int64_t kLaneBytes = 8 * 1024, kShortBytes = 32 * 1024;

template <class T, class Op>
__global__ void rows_by_threads(Op op, int64_t rows, int k, FastDivide by_k, int arrays) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = (int64_t{blockIdx.x} * (kLaneThreads / kWarp) + warp) * kWarp, left = rows - first;
  if (left <= 0) return;
  const int of_warp = left < kWarp ? static_cast<int>(left) : kWarp;
  const bool there = lane < of_warp;
  T* const storage = &shared_memory<T>() + warp * arrays * kWarp * (k | 1);
  // A thread without a row has the warp's first row and no element of it.
  op(ThreadTeam<T>{{0, there ? k : 0}, lane, of_warp, k, by_k, storage}, there ? first + lane : first);
}

template <class T, class Op>
__global__ void rows_by_lanes(Op op, int64_t rows, int k, int lanes, int arrays) {
  const int group = static_cast<int>(threadIdx.x) / lanes;
  const int64_t row = int64_t{blockIdx.x} * (kLaneThreads / lanes) + group;
  const bool there = row < rows;
  op(
      LaneTeam<T>{
          {static_cast<int>(threadIdx.x) % lanes, there ? k : 0}, lanes, &shared_memory<T>() + group * arrays * k},
      there ? row : 0);
}

template <class T, int kThreads, class Op>
__global__ void __launch_bounds__(kThreads, kThreads == 448 ? 2 : 7) rows_by_blocks(Op op, int64_t k, int kept) {
  RowSlots& slots = shared_memory<RowSlots>();
  T* const storage = reinterpret_cast<T*>(&slots + 1);
  op(BlockTeam<T, kThreads>{{static_cast<int>(threadIdx.x), k}, storage, kept, &slots}, int64_t{blockIdx.x});
}

}  // namespace row_team

// op(team, row) for all rows of k elements, with storage for up to `arrays` arrays of k elements.
template <class T, class Op>
void for_rows(const char* name, Op op, int64_t rows, int64_t k, int arrays) {
  using namespace row_team;
  if (rows == 0) return;
  // A thread a row only where that leaves enough threads.
  if (k <= kWarp && rows >= int64_t{4} * kWarp * device::multiprocessors()) {
    const size_t shared = static_cast<size_t>(kLaneThreads * arrays * (k | 1)) * sizeof(T);
    launch(name, rows_by_threads<T, Op>, blocks_for(rows, kLaneThreads), kLaneThreads, shared, op, rows,
           static_cast<int>(k), FastDivide(k), arrays);
    return;
  }
  const int64_t row_bytes = k * static_cast<int64_t>(sizeof(T)), bytes = arrays * row_bytes;
  if (k <= kWarp || bytes <= kLaneBytes) {
    int lanes = 1;
    while (lanes < k && lanes < kWarp) lanes *= 2;
    const int groups = kLaneThreads / lanes;
    launch(name, rows_by_lanes<T, Op>, blocks_for(rows, groups), kLaneThreads, static_cast<size_t>(groups * bytes), op,
           rows, static_cast<int>(k), lanes, arrays);
    return;
  }
  const int64_t fitting = static_cast<int64_t>(device::shared_bytes() - sizeof(RowSlots)) / row_bytes;
  const int kept = static_cast<int>(std::min<int64_t>(arrays, fitting));
  const size_t shared = sizeof(RowSlots) + static_cast<size_t>(kept * row_bytes);
  if (bytes <= kShortBytes) {
    launch(name, rows_by_blocks<T, 128, Op>, rows, 128, shared, op, k, kept);
  } else {
    launch(name, rows_by_blocks<T, 448, Op>, rows, 448, shared, op, k, kept);
  }
}

}  // namespace nnlite
