#include "ops/softmax_cross_entropy.h"

#include "parallel.h"
#include "softmax_row.h"
#include "workspace.h"

namespace nnlite {
namespace {

template <class T>
void forward(const T* x, Target<T> t, int64_t n, int64_t k, T* loss, T* y) {
  const Scratch<T> losses(n);
  const int64_t block = softmax_block(k);
  parallel_for(0, n, std::max(block, (1 << 13) / k), [&](int64_t begin, int64_t end) {
    T m[kSoftmaxRows], s[kSoftmaxRows];
    for (int64_t first = begin; first < end; first += block) {
      const int64_t rows = std::min(block, end - first);
      softmax_rows(x + first * k, rows, k, y + first * k, m, s);
      for (int64_t r = 0; r < rows; ++r) s[r] = log(s[r]);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t row = first + r;
        if (t.labels) {
          losses[row] = s[r] - (x[row * k + t.labels[row]] - m[r]);
        } else {
          const auto term = [most = m[r], log_sum = s[r]](auto p, auto v) { return p * ((v - most) - log_sum); };
          losses[row] = -sum<T>(k, term, t.probabilities + row * k, x + row * k);
        }
      }
    }
  });
  *loss = sum(losses.get(), n) / static_cast<T>(n);
}

template <class T>
void backward(T dloss, const T* y, Target<T> t, int64_t n, int64_t k, T* __restrict dx) {
  const T g = dloss / static_cast<T>(n);
  parallel_for(0, n, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(k, 1)), [=](int64_t begin, int64_t end) {
    T* __restrict const to = dx;
    if (t.labels) {
      for (int64_t i = begin * k; i < end * k; ++i) to[i] = y[i] * g;
      for (int64_t r = begin; r < end; ++r) to[r * k + t.labels[r]] = (y[r * k + t.labels[r]] - T(1)) * g;
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      const T total = sum(t.probabilities + r * k, k);
      for (int64_t i = r * k; i < (r + 1) * k; ++i) to[i] = (y[i] * total - t.probabilities[i]) * g;
    }
  });
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
  backward(*dloss, y, t, n, k, dx);
}
void softmax_cross_entropy_backward(const double* dloss, const double* y, Target<double> t, int64_t n, int64_t k,
                                    double* dx) {
  backward(*dloss, y, t, n, k, dx);
}

}  // namespace nnlite
