// The roof of every kernel that multiplies: multiply-adds between registers, and nothing else.
#include "ops/fma_peak.h"

#include <chrono>

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;
constexpr int kChains = 8;  // independent ones of a thread, which hide each other's latency
constexpr int kSteps = 2048, kUnrolled = 16;
constexpr int64_t kMostBlocks = 1 << 17;  // a hundred waves even of the largest GPU: the last, partial one is nothing

// The compiler cannot know that the sum is never `never`, so it has to be computed.
__global__ void multiply_add_chains(float a, float b, float never, float* result) {
  float chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = a + static_cast<float>(threadIdx.x + i);
  for (int step = 0; step < kSteps; step += kUnrolled) {
    for (int k = 0; k < kUnrolled; ++k) {
      for (int i = 0; i < kChains; ++i) chain[i] = fused(chain[i], a, b);
    }
  }
  float sum = chain[0];
  for (int i = 1; i < kChains; ++i) sum = sum + chain[i];
  if (sum == never) *result = sum;
}

}  // namespace

double fma_peak(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const Scratch<float> result(1);
  double best = 0;
  int64_t blocks = 1;
  device::synchronize();
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    launch("fma_peak", multiply_add_chains, blocks, kThreads, 0, 0.5f, 0.25f, -1.0f, result.get());
    device::synchronize();
    const double elapsed = since(begin);
    best = std::max(best, 2.0 * kSteps * kChains * kThreads * static_cast<double>(blocks) / elapsed);
    if (blocks < kMostBlocks && elapsed < seconds / 8) blocks *= 2;
  } while (since(start) < seconds);
  return best;
}

}  // namespace nnlite
