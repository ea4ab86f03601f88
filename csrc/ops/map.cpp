#include "ops/map.h"

#include <type_traits>

#include "formulas/elementwise.h"
#include "parallel.h"
#include "vector_exp.h"

namespace nnlite {
namespace {

// Elements of a grain, about 5 us of memory traffic or of exp and its like.
template <class F>
constexpr int64_t kGrain = 1 << 14;
template <class F>
constexpr int64_t kGrain<Forward<F>> = 1 << 13;
template <>
constexpr int64_t kGrain<Forward<Relu>> = 1 << 14;

// The loop vectorises by itself, since its pointers are parameters of a function: captured, they would be checked for
// overlap.
template <class F, class T, class... X>
void loop(int64_t n, T* __restrict y, const X* __restrict... x) {
  static_assert(std::is_same_v<decltype(F{}(*x...)), T>,
                "a formula has the type of its arguments: constants by like()");
  if constexpr (std::is_same_v<F, Forward<Exp>> && sizeof(T) == 4) {
    exp_above(x..., T(0), y, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = F{}(x[i]...);
  }
}

template <class F, class T>
void run(const T* a, const T* b, T* y, int64_t n) {
  parallel_for(0, n, kGrain<F>, [=](int64_t begin, int64_t end) {
    if constexpr (F::b == nullptr) {
      loop<F>(end - begin, y + begin, a + begin);
    } else {
      loop<F>(end - begin, y + begin, a + begin, b + begin);
    }
  });
}

template <class T, class... F>
std::span<const MapOp<T>> table(List<F...>) {
  static constexpr MapOp<T> ops[] = {{F::name, F::a, F::b, run<F, T>}...};
  return ops;
}

}  // namespace

template <class T>
std::span<const MapOp<T>> map_ops() {
  return table<T>(Elementwise{});
}
template std::span<const MapOp<float>> map_ops();
template std::span<const MapOp<double>> map_ops();

}  // namespace nnlite
