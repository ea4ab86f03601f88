#include "ops/rows.h"

#include "elementary.h"
#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// One thread a word of the result: neighbours read neighbours, also where rows are short.
template <class Word>
__global__ void take(const Word* x, int64_t count, int64_t words, const int64_t* index, int64_t n, int64_t number,
                     Fault* fault, Word* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n * words) return;
  const int64_t row = i / words, from = index[row];
  const bool inside = from >= 0 && from < count;
  y[i] = inside ? x[from * words + i % words] : Word{};
  if (!inside && i % words == 0 && atomicCAS(&fault->claimed, 0, 1) == 0) {
    fault->index = row, fault->value = from, fault->limit = count;
    fault->what = number;
  }
}

template <class Word>
void take_words(const void* x, int64_t count, int64_t row, const int64_t* index, int64_t n, int64_t number, void* y) {
  const int64_t words = row / static_cast<int64_t>(sizeof(Word));
  launch("take", take<Word>, blocks_for(n * words, kThreads), kThreads, 0, static_cast<const Word*>(x), count, words,
         index, n, number, device::fault(), static_cast<Word*>(y));
}

template <class T>
__global__ void argmax(const T* x, int64_t n, int64_t k, int64_t* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const T* const row = x + i * k;
  int64_t best = 0;
  T most = row[0];
  for (int64_t j = 1; j < k; ++j) {
    const T v = row[j];
    if (v > most || (v != v && most == most)) most = v, best = j;
  }
  y[i] = best;
}

struct Counts {
  int64_t of_thread[kThreads];
};

__global__ void count(const int64_t* a, const int64_t* b, int64_t n, int64_t* total) {
  Counts& shared = shared_memory<Counts>();
  int64_t equal = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) equal += a[i] == b[i];
  shared.of_thread[threadIdx.x] = equal;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared.of_thread[threadIdx.x] += shared.of_thread[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = shared.of_thread[0];
}

template <class T>
__global__ void finite(const T* x, int64_t index, int64_t number, Fault* fault) {
  const T v = *x;
  if (v - v == 0 || atomicCAS(&fault->claimed, 0, 1) != 0) return;
  fault->index = index, fault->value = elementary::bits(static_cast<double>(v)), fault->limit = 0;
  fault->what = number;
}

template <class T>
void argmax_all(const T* x, int64_t n, int64_t k, int64_t* y) {
  if (n > 0) launch("argmax", argmax<T>, blocks_for(n, kThreads), kThreads, 0, x, n, k, y);
}

}  // namespace

void take_rows(const void* x, int64_t count, int64_t row, const int64_t* index, int64_t n, int64_t fault_number,
               void* y) {
  if (n == 0 || row == 0) return;
  const auto bits = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y) | static_cast<uintptr_t>(row);
  const auto with = bits % 16 == 0  ? take_words<Pack<float>>
                    : bits % 4 == 0 ? take_words<uint32_t>
                                    : take_words<uint8_t>;
  with(x, count, row, index, n, fault_number, y);
}

void argmax_rows(const float* x, int64_t n, int64_t k, int64_t* y) { argmax_all(x, n, k, y); }
void argmax_rows(const double* x, int64_t n, int64_t k, int64_t* y) { argmax_all(x, n, k, y); }

void count_equal(const int64_t* a, const int64_t* b, int64_t n, int64_t* total) {
  launch("count_equal", count, 1, kThreads, sizeof(Counts), a, b, n, total);
}

void check_finite(const float* x, int64_t index, int64_t fault_number) {
  launch("check_finite", finite<float>, 1, 1, 0, x, index, fault_number, device::fault());
}
void check_finite(const double* x, int64_t index, int64_t fault_number) {
  launch("check_finite", finite<double>, 1, 1, 0, x, index, fault_number, device::fault());
}

}  // namespace nnlite
