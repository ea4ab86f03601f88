// Forward is the softmax of rows, which leaves the loss of each, and their Sum. Backward for labels is one pass over
// the elements; for probabilities it sums each row of the target first.
#include "ops/softmax_cross_entropy.h"

#include "lane_sum.h"
#include "row_team.h"
#include "softmax_row.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

template <class T>
void forward(const T* x, Target<T> t, int64_t n, int64_t k, T* loss, T* y) {
  constexpr auto op = "softmax_cross_entropy_forward";
  const Scratch<T> losses(n);
  softmax_rows(op, x, t, n, k, y, losses.get());
  long_row_sums<T>(op, lane_sum::Row<T>{losses.get(), n}, 1, n, lane_sum::StoreMean<T>{loss, static_cast<T>(n)});
}

// A pack of elements a thread, at any row: Index is unsigned where 32 bits suffice, for the sake of the division.
template <class T, class Index, bool kPacked>
__global__ void gradient_of_labels(const T* dloss, const T* y, const int64_t* labels, Index n, Index k, T* dx) {
  constexpr int kSize = kPacked ? Pack<T>::kSize : 1;
  struct alignas(kSize * sizeof(T)) Group {
    T at[kSize];
  };
  const Index size = n * k, first = (static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x) * kSize;
  if (first >= size) return;
  Group v{};
  if (first + kSize <= size) {
    v = reinterpret_cast<const Group*>(y)[first / kSize];
  } else {
    for (int j = 0; j < kSize; ++j) {
      if (first + j < size) v.at[j] = y[first + j];
    }
  }
  const T g = *dloss / static_cast<T>(n);
  Index row = first / k, column = first - row * k;
  int64_t label = labels[row];
  for (int j = 0; j < kSize; ++j) {
    if (column == k) {
      column = 0;
      label = ++row < n ? labels[row] : 0;
    }
    v.at[j] = (static_cast<int64_t>(column) == label ? v.at[j] - T(1) : v.at[j]) * g;
    ++column;
  }
  if (first + kSize <= size) {
    reinterpret_cast<Group*>(dx)[first / kSize] = v;
  } else {
    for (int j = 0; j < kSize; ++j) {
      if (first + j < size) dx[first + j] = v.at[j];
    }
  }
}

template <class T>
struct GradientOfProbabilities {
  const T *dloss, *y, *t;
  T n;
  T* dx;

  template <class Team>
  __device__ void operator()(const Team& team, int64_t row) const {
    const int64_t at = row * team.k;
    const T *const p = team.stage(0, t + at), *const v = team.stage(1, y + at);
    const T total = team.sum([&](auto i) { return p[i]; }), g = *dloss / n;
    team.emit(1, dx + at, [&](auto i) { return (v[i] * total - p[i]) * g; });
  }
};

template <class T>
void backward(const T* dloss, const T* y, Target<T> t, int64_t n, int64_t k, T* dx) {
  constexpr auto op = "softmax_cross_entropy_backward";
  if (k == 0) return;
  if (t.probabilities != nullptr) {
    for_rows<T>(op, GradientOfProbabilities<T>{dloss, y, t.probabilities, static_cast<T>(n), dx}, n, k, 2);
    return;
  }
  const auto start = [&]<class Index, bool kPacked>(Index) {
    const int64_t threads = blocks_for(n * k, kPacked ? Pack<T>::kSize : 1);
    launch(op, gradient_of_labels<T, Index, kPacked>, blocks_for(threads, kThreads), kThreads, 0, dloss, y, t.labels,
           static_cast<Index>(n), static_cast<Index>(k), dx);
  };
  const bool packed = aligned(y, dx), small = n * k < int64_t{1} << 31;
  if (!packed) {
    start.template operator()<uint64_t, false>(0);
  } else if (small) {
    start.template operator()<uint32_t, true>(0);
  } else {
    start.template operator()<uint64_t, true>(0);
  }
}

}  // namespace

void softmax_cross_entropy_forward(const float* x, Target<float> t, int64_t n, int64_t k, float* loss, float* y) {
  forward(x, t, n, k, loss, y);
}
void softmax_cross_entropy_forward(const double* x, Target<double> t, int64_t n, int64_t k, double* loss, double* y) {
  forward(x, t, n, k, loss, y);
}
void softmax_cross_entropy_backward(const float* dloss, const float* y, Target<float> t, int64_t n, int64_t k,
                                    float* dx) {
  backward(dloss, y, t, n, k, dx);
}
void softmax_cross_entropy_backward(const double* dloss, const double* y, Target<double> t, int64_t n, int64_t k,
                                    double* dx) {
  backward(dloss, y, t, n, k, dx);
}

}  // namespace nnlite
