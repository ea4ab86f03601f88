// The mean over rows of the cross-entropy of a target under softmax(x) (docs/numerics.md, section 7). x, y, dx (n, k).
//
//   labels (n,)           loss_n = log(s) - (x[t] - m)                      dx = (y - [k is the label]) * (dloss / n)
//   probabilities (n, k)  loss_n = -Sum_k(t * ((x - m) - log(s)))           dx = (y * Sum(t) - t) * (dloss / n)
//
// Exactly one of labels and probabilities is not nullptr. Labels are in 0 … k - 1.
#pragma once

#include <cstdint>

namespace nnlite {

template <class T>
struct Target {
  const int64_t* labels;
  const T* probabilities;
};

void softmax_cross_entropy_forward(const float* x, Target<float> t, int64_t n, int64_t k, float* loss, float* y);
void softmax_cross_entropy_forward(const double* x, Target<double> t, int64_t n, int64_t k, double* loss, double* y);
void softmax_cross_entropy_backward(const float* dloss, const float* y, Target<float> t, int64_t n, int64_t k,
                                    float* dx);
void softmax_cross_entropy_backward(const double* dloss, const double* y, Target<double> t, int64_t n, int64_t k,
                                    double* dx);

}  // namespace nnlite
