// One launch updates many parameters: most of a network's are small, and a launch for each would cost more than its
// work. The arrays' addresses travel as an argument of the kernel, so that nothing has to be copied before it starts,
// and a block finds its parameter by the number of its part. The updates are bound by memory (28 bytes an element for
// Adam), and a thread reads a pack of every array before it needs the first.
#include "ops/optim.h"

#include <algorithm>

#include "launch.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;
constexpr int kPacks = 2;   // a thread's
constexpr int kSlots = 64;  // a launch's: every GPU takes 4 KB of arguments

template <class T>
constexpr int64_t kPart = int64_t{kPacks} * kThreads * Pack<T>::kSize;  // elements of a block

// Slot s is the work of blocks first_block[s] ... first_block[s + 1] - 1.
template <class T>
struct Table {
  int count = 0;
  uint32_t first_block[kSlots + 1] = {};
  Slot<T> slots[kSlots];

  bool operator==(const Table& other) const {  // the same arrays
    const auto same = [](const Slot<T>& a, const Slot<T>& b) {
      return a.n == b.n && a.p == b.p && a.g == b.g && a.first == b.first && a.second == b.second;
    };
    return count == other.count && std::equal(slots, slots + count, other.slots, same);
  }
};

// The formulas of optim.h for one element. What depends on the hyperparameters alone is the same in all threads, so
// that asking costs next to nothing. kMoments arrays besides p are read and written.
template <class T>
struct Sgd {
  static constexpr int kMoments = 0;
  T lr, decay;
  bool decays;
  explicit Sgd(const SgdRule& rule)
      : lr(static_cast<T>(rule.lr)), decay(static_cast<T>(rule.weight_decay)), decays(rule.weight_decay != 0) {}
  __device__ T gradient(T g, T p) const { return decays ? g + decay * p : g; }
  __device__ void operator()(T g, T& p, T&, T&) const { p = p - lr * gradient(g, p); }
};

template <class T>
struct Momentum : Sgd<T> {
  static constexpr int kMoments = 1;
  T momentum;
  bool nesterov;
  explicit Momentum(const SgdRule& rule)
      : Sgd<T>(rule), momentum(static_cast<T>(rule.momentum)), nesterov(rule.nesterov) {}
  __device__ void operator()(T g, T& p, T& v, T&) const {
    g = this->gradient(g, p);
    v = flush(momentum * v + g);
    g = nesterov ? g + momentum * v : v;
    p = p - this->lr * g;
  }
};

template <class T>
struct Adam {
  static constexpr int kMoments = 2;
  T beta1, rest1, beta2, rest2, eps, decay, shrink, step, inverse_root;
  bool coupled, decoupled;
  explicit Adam(const AdamRule& rule)
      : beta1(static_cast<T>(rule.beta1)),
        rest1(static_cast<T>(rule.rest1)),
        beta2(static_cast<T>(rule.beta2)),
        rest2(static_cast<T>(rule.rest2)),
        eps(static_cast<T>(rule.eps)),
        decay(static_cast<T>(rule.weight_decay)),
        shrink(static_cast<T>(rule.shrink)),
        step(static_cast<T>(rule.step)),
        inverse_root(static_cast<T>(rule.inverse_root)),
        coupled(rule.weight_decay != 0 && !rule.decoupled),
        decoupled(rule.weight_decay != 0 && rule.decoupled) {}
  __device__ void operator()(T g, T& p, T& m, T& v) const {
    if (coupled) g = g + decay * p;
    if (decoupled) p = p * shrink;
    m = flush(beta1 * m + rest1 * g);
    v = flush(beta2 * v + rest2 * (g * g));
    p = p - (step * m) / (square_root(v) * inverse_root + eps);
  }
};

template <class T>
__device__ const Pack<T>& pack(const T* x, int64_t i) {
  return reinterpret_cast<const Pack<T>*>(x)[i];
}
template <class T>
__device__ Pack<T>& pack(T* x, int64_t i) {
  return reinterpret_cast<Pack<T>*>(x)[i];
}

// Nothing changes while an error that another kernel found waits for the host.
template <class Rule, class T>
__global__ void update(const __grid_constant__ Table<T> table, Rule rule, const Fault* fault) {
  constexpr int kSize = Pack<T>::kSize;
  if (fault->what != 0) return;
  int low = 0, high = table.count;  // first_block[low] <= blockIdx.x < first_block[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.first_block[middle] <= blockIdx.x ? low : high) = middle;
  }
  const Slot<T>& slot = table.slots[low];
  T* const p = slot.p;
  const T* const grad = slot.g;
  T* const first = slot.first;
  T* const second = slot.second;
  const int64_t begin = (blockIdx.x - table.first_block[low]) * kPart<T>, n = slot.n;
  const auto address = reinterpret_cast<uintptr_t>(p) | reinterpret_cast<uintptr_t>(grad) |
                       reinterpret_cast<uintptr_t>(first) | reinterpret_cast<uintptr_t>(second);
  if (begin + kPart<T> <= n && (address & 15) == 0) {
    for (int k = 0; k < kPacks; ++k) {
      const int64_t i = begin / kSize + k * kThreads + threadIdx.x;
      const Pack<T> g = pack(grad, i);
      Pack<T> x = pack(p, i), m, v;
      if constexpr (Rule::kMoments > 0) m = pack(first, i);
      if constexpr (Rule::kMoments > 1) v = pack(second, i);
      for (int j = 0; j < kSize; ++j) rule(g.at[j], x.at[j], m.at[j], v.at[j]);
      pack(p, i) = x;
      if constexpr (Rule::kMoments > 0) pack(first, i) = m;
      if constexpr (Rule::kMoments > 1) pack(second, i) = v;
    }
  } else {
    const int64_t end = begin + kPart<T> < n ? begin + kPart<T> : n;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      T x = p[i], m{}, v{};
      if constexpr (Rule::kMoments > 0) m = first[i];
      if constexpr (Rule::kMoments > 1) v = second[i];
      rule(grad[i], x, m, v);
      p[i] = x;
      if constexpr (Rule::kMoments > 0) first[i] = m;
      if constexpr (Rule::kMoments > 1) second[i] = v;
    }
  }
}

template <class Rule, class T>
void update_all(const char* name, const Slot<T>* slots, int64_t count, const Rule& rule) {
  for (int64_t next = 0; next < count;) {
    Table<T> table;
    for (; next < count && table.count < kSlots; ++next) {
      if (slots[next].n == 0) continue;
      const uint32_t first = table.first_block[table.count];
      table.slots[table.count++] = slots[next];
      table.first_block[table.count] = first + static_cast<uint32_t>(blocks_for(slots[next].n, kPart<T>));
    }
    if (table.count == 0) return;
    launch_varying<1>(name, update<Rule, T>, table.first_block[table.count], kThreads, 0, table, rule, device::fault());
  }
}

template <class T>
void sgd(const Slot<T>* slots, int64_t count, const SgdRule& rule) {
  if (rule.momentum == 0) {
    update_all("sgd_update", slots, count, Sgd<T>(rule));
  } else {
    update_all("sgd_update", slots, count, Momentum<T>(rule));
  }
}

}  // namespace

void sgd_update(const Slot<float>* slots, int64_t count, const SgdRule& rule) { sgd(slots, count, rule); }
void sgd_update(const Slot<double>* slots, int64_t count, const SgdRule& rule) { sgd(slots, count, rule); }
void adam_update(const Slot<float>* slots, int64_t count, const AdamRule& rule) {
  update_all("adam_update", slots, count, Adam<float>(rule));
}
void adam_update(const Slot<double>* slots, int64_t count, const AdamRule& rule) {
  update_all("adam_update", slots, count, Adam<double>(rule));
}

}  // namespace nnlite
