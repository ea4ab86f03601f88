// Kernels with the faults that the simulator must find, for its own tests: planted(name) runs one of them.
#include <string>

#include "launch.h"
#include "sim/sim.h"

namespace nnlite::sim {
namespace {

constexpr int kThreads = 64;

struct Tile {
  float x[kThreads];
};

// y = x reversed, by way of shared memory. Without the barrier a thread may read what no other has written yet.
template <bool WithBarrier>
__global__ void reverse(const float* x, float* y) {
  Tile& tile = shared_memory<Tile>();
  tile.x[threadIdx.x] = x[threadIdx.x];
  if (WithBarrier) __syncthreads();
  y[threadIdx.x] = tile.x[kThreads - 1 - threadIdx.x];
}

__global__ void read_behind(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }
__global__ void write_behind(const float* x, float* y) { y[threadIdx.x + (threadIdx.x == kThreads - 1)] = x[0]; }
__global__ void write_far(const float* x, float* y) { y[threadIdx.x + (1 << 28)] = x[0]; }
__global__ void shared_behind(const float* x, float* y) {
  Tile& tile = shared_memory<Tile>();
  tile.x[threadIdx.x + 4] = x[threadIdx.x];
  y[threadIdx.x] = tile.x[0];
}
__global__ void some_at_barrier(const float* x, float* y) {
  if (threadIdx.x < 10) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}
__global__ void some_at_shuffle(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 32 != 5) v = __shfl_xor_sync(kWholeWarp, v, 1);
  y[threadIdx.x] = v;
}
__global__ void half_warp(const float* x, float* y) { y[threadIdx.x] = __shfl_xor_sync(0xffffu, x[threadIdx.x], 1); }
// The sum over the warp by each kind of shuffle, and how many lanes hold more than 3.
__global__ void shuffles(const float* x, float* y) {
  float down = x[threadIdx.x], across = down;
  for (unsigned step = 16; step > 0; step /= 2) {
    down += __shfl_down_sync(kWholeWarp, down, step);
    across += __shfl_xor_sync(kWholeWarp, across, static_cast<int>(step));
  }
  const float first = __shfl_sync(kWholeWarp, down, 0);
  const float above = static_cast<float>(__builtin_popcount(__ballot_sync(kWholeWarp, x[threadIdx.x] > 3)));
  const float before = __shfl_up_sync(kWholeWarp, x[threadIdx.x], 1);
  y[threadIdx.x] = (first == across ? first : -1) + above * 1000 + before * 100000;
}

}  // namespace

void planted(const std::string& name, const float* x, float* y) {
  const auto with = [&](void (*kernel)(const float*, float*), int64_t grid = 1, int64_t block = kThreads,
                        size_t shared = sizeof(Tile)) { launch(name.c_str(), kernel, grid, block, shared, x, y); };
  if (name == "reverse") with(reverse<true>);
  if (name == "race") with(reverse<false>);
  if (name == "read_behind") with(read_behind);
  if (name == "write_behind") with(write_behind);
  if (name == "write_far") with(write_far);
  if (name == "shared_behind") with(shared_behind);
  if (name == "some_at_barrier") with(some_at_barrier);
  if (name == "some_at_shuffle") with(some_at_shuffle);
  if (name == "half_warp") with(half_warp);
  if (name == "shuffles") with(shuffles);
  if (name == "empty_grid") with(reverse<true>, 0);
  if (name == "large_block") with(reverse<true>, 1, 2048);
  if (name == "large_shared") with(reverse<true>, 1, kThreads, 1 << 20);
  if (name == "host_access") *y = *x;
}

}  // namespace nnlite::sim
