// Optimizer updates in place (docs/numerics.md, section 11), over all parameters in one pass. Arrays of one parameter
// have its n elements.
//
//   SGD   g = grad (+ weight_decay * p);  v = flush(momentum * v + g);  g = v, or g + momentum * v with Nesterov;  p =
//   p - lr * g Adam  m = flush(beta1 * m + (1 - beta1) * g);  v = flush(beta2 * v + (1 - beta2) * (g * g))
//         p = p - (step * m) / (sqrt(v) * inverse_root + eps)
#pragma once

#include <cstdint>

namespace nnlite {

// One parameter. `first` is SGD's velocity or Adam's first moment, `second` Adam's second moment; nullptr where there
// is none.
template <class T>
struct Slot {
  int64_t start;  // elements of the slots before this one
  int64_t n;
  T* p;
  const T* g;
  T* first;
  T* second;
};

// Scalars in binary64; each is rounded once to the arrays' type.
struct SgdRule {
  double lr, momentum, weight_decay;
  bool nesterov;
};

struct AdamRule {
  double beta1, rest1, beta2, rest2, eps, weight_decay, shrink, step, inverse_root;
  bool decoupled;
};

void sgd_update(const Slot<float>* slots, int64_t count, const SgdRule& rule);
void sgd_update(const Slot<double>* slots, int64_t count, const SgdRule& rule);
void adam_update(const Slot<float>* slots, int64_t count, const AdamRule& rule);
void adam_update(const Slot<double>* slots, int64_t count, const AdamRule& rule);

}  // namespace nnlite
