#include "ops/optim.h"

#include <algorithm>

#include "arith.h"
#include "parallel.h"

namespace nnlite {
namespace {

// Calls f(slot, begin, end) for all elements of all slots, as one range that threads share evenly.
template <class T, class F>
void each_element(const Slot<T>* slots, int64_t count, F f) {
  const int64_t total = count > 0 ? slots[count - 1].start + slots[count - 1].n : 0;
  parallel_for(0, total, 1 << 15, [=](int64_t begin, int64_t end) {
    const auto after = [](int64_t element, const Slot<T>& slot) { return element < slot.start; };
    const Slot<T>* slot = std::upper_bound(slots, slots + count, begin, after) - 1;
    for (; slot < slots + count && slot->start < end; ++slot) {
      f(*slot, std::max(begin - slot->start, int64_t{0}), std::min(end - slot->start, slot->n));
    }
  });
}

template <bool Decay, bool Momentum, bool Nesterov, class T>
void sgd_elements(const Slot<T>& slot, int64_t begin, int64_t end, T lr, T momentum, T decay) {
  T* __restrict const p = slot.p;
  T* __restrict const v = slot.first;
  const T* __restrict const grad = slot.g;
  for (int64_t i = begin; i < end; ++i) {
    T g = grad[i];
    if (Decay) g = g + decay * p[i];
    if (Momentum) {
      const T velocity = flush(momentum * v[i] + g);
      v[i] = velocity;
      g = Nesterov ? g + momentum * velocity : velocity;
    }
    p[i] = p[i] - lr * g;
  }
}

template <class T>
void sgd(const Slot<T>* slots, int64_t count, const SgdRule& rule) {
  const T lr = static_cast<T>(rule.lr), momentum = static_cast<T>(rule.momentum);
  const T decay = static_cast<T>(rule.weight_decay);
  const auto with = [&](auto elements) {
    each_element(slots, count,
                 [=](const Slot<T>& slot, int64_t b, int64_t e) { elements(slot, b, e, lr, momentum, decay); });
  };
  const bool decays = rule.weight_decay != 0;
  if (rule.momentum == 0) {
    decays ? with(sgd_elements<true, false, false, T>) : with(sgd_elements<false, false, false, T>);
  } else if (rule.nesterov) {
    decays ? with(sgd_elements<true, true, true, T>) : with(sgd_elements<false, true, true, T>);
  } else {
    decays ? with(sgd_elements<true, true, false, T>) : with(sgd_elements<false, true, false, T>);
  }
}

enum class Decay { none, coupled, decoupled };

template <Decay kDecay, class T>
void adam_elements(const Slot<T>& slot, int64_t begin, int64_t end, const AdamRule& rule) {
  const T beta1 = static_cast<T>(rule.beta1), rest1 = static_cast<T>(rule.rest1);
  const T beta2 = static_cast<T>(rule.beta2), rest2 = static_cast<T>(rule.rest2);
  const T eps = static_cast<T>(rule.eps), decay = static_cast<T>(rule.weight_decay);
  const T shrink = static_cast<T>(rule.shrink), step = static_cast<T>(rule.step);
  const T inverse_root = static_cast<T>(rule.inverse_root);
  T* __restrict const p = slot.p;
  T* __restrict const m = slot.first;
  T* __restrict const v = slot.second;
  const T* __restrict const grad = slot.g;
  for (int64_t i = begin; i < end; ++i) {
    T g = grad[i];
    T x = p[i];
    if (kDecay == Decay::coupled) g = g + decay * x;
    if (kDecay == Decay::decoupled) x = x * shrink;
    const T first = flush(beta1 * m[i] + rest1 * g);
    const T second = flush(beta2 * v[i] + rest2 * (g * g));
    m[i] = first;
    v[i] = second;
    const T root = sizeof(T) == 4 ? static_cast<T>(__builtin_sqrtf(second)) : static_cast<T>(__builtin_sqrt(second));
    p[i] = x - (step * first) / (root * inverse_root + eps);
  }
}

template <class T>
void adam(const Slot<T>* slots, int64_t count, const AdamRule& rule) {
  const auto with = [&](auto elements) {
    each_element(slots, count, [&](const Slot<T>& slot, int64_t b, int64_t e) { elements(slot, b, e, rule); });
  };
  if (rule.weight_decay == 0) {
    with(adam_elements<Decay::none, T>);
  } else if (rule.decoupled) {
    with(adam_elements<Decay::decoupled, T>);
  } else {
    with(adam_elements<Decay::coupled, T>);
  }
}

}  // namespace

void sgd_update(const Slot<float>* slots, int64_t count, const SgdRule& rule) { sgd(slots, count, rule); }
void sgd_update(const Slot<double>* slots, int64_t count, const SgdRule& rule) { sgd(slots, count, rule); }
void adam_update(const Slot<float>* slots, int64_t count, const AdamRule& rule) { adam(slots, count, rule); }
void adam_update(const Slot<double>* slots, int64_t count, const AdamRule& rule) { adam(slots, count, rule); }

}  // namespace nnlite
