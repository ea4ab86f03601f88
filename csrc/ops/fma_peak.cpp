#include "ops/fma_peak.h"

#include <algorithm>
#include <chrono>

#include "parallel.h"
#include "simd.h"

namespace nnlite {
namespace {

constexpr int kChains = 12;  // more than latency times ports of any core, fewer than the registers
constexpr int64_t kSteps = 1 << 16;

// The compiler may neither skip the loop nor move it: it cannot know what `seed` is, nor what becomes of the sum.
void multiply_add_chains(const float* seed, float* result) {
  const Vec<float> a = broadcast(seed[0]), b = broadcast(seed[1]);
  Vec<float> chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(seed[i]);
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = chain[0] + chain[i];
  store(result, chain[0]);
}

}  // namespace

double fma_peak(double seconds) {
  using Clock = std::chrono::steady_clock;
  const int64_t pieces = 8 * num_threads();
  const volatile float unknown = 0.5f;
  float seed[kChains];
  std::fill_n(seed, kChains, unknown);
  double best = 0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    parallel_for(0, pieces, 1, [&seed](int64_t first, int64_t last) {
      float sums[kLanes<float>];
      for (int64_t i = first; i < last; ++i) {
        multiply_add_chains(seed, sums);
        asm volatile("" : : "r"(sums) : "memory");
      }
    });
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, 2.0 * kChains * kLanes<float> * kSteps * static_cast<double>(pieces) / elapsed);
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  return best;
}

}  // namespace nnlite
