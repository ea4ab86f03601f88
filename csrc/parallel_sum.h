// Sum of docs/numerics.md, section 4, of a long sequence: the chunks in parallel, their sums by the same rule.
#pragma once

#include "lane_sum.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {

template <class T, class F, class... Pointers>
static T parallel_sum(int64_t n, F f, const Pointers*... x) {
  if (n <= kChunk) return chunk_sum<T>(n, f, x...);
  const int64_t count = (n + kChunk - 1) / kChunk;
  const Scratch<T> sums(count);
  parallel_for(0, count, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      sums[i] = chunk_sum<T>(std::min(kChunk, n - i * kChunk), f, (x + i * kChunk)...);
    }
  });
  return sum(sums.get(), count);
}

}  // namespace nnlite
