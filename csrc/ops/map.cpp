#include "ops/map.h"

#include <type_traits>
#include <utility>

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

// An argument either moves with y or stays where it is. The loop vectorises by itself, since its pointers are
// parameters of a function: captured, they would be checked for overlap.
template <class F, bool... Moves, class T, class... X>
void loop(int64_t n, T* __restrict y, const X* __restrict... x) {
  static_assert(std::is_same_v<decltype(F{}(*x...)), T>,
                "a formula has the type of its arguments: constants by like()");
  if constexpr (std::is_same_v<F, Forward<Exp>> && sizeof(T) == 4) {
    exp_above(x..., T(0), y, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = F{}(x[Moves ? i : 0]...);
  }
}

template <class F, class T, bool... Moves, size_t... K>
void rows(const Axes<kMostOperands>& axes, int64_t begin, int64_t end, const T* const* x, T* y,
          std::index_sequence<K...>) {
  each_row(axes, begin, end, [&](const auto& place, int64_t first, int64_t count) {
    loop<F, Moves...>(count, y + begin, (x[K] + place.at[K] + (Moves ? first : 0))...);
    begin += count;
  });
}

// Chooses a loop for the arguments that move along rows.
template <class F, class T, bool... Moves>
void choose(const Axes<kMostOperands>& axes, int64_t begin, int64_t end, const T* const* x, T* y) {
  constexpr size_t kOperands = F::arguments.size();
  if constexpr (sizeof...(Moves) == kOperands) {
    if constexpr ((Moves || ...)) rows<F, T, Moves...>(axes, begin, end, x, y, std::make_index_sequence<kOperands>());
  } else if constexpr (!F::broadcasts) {
    choose<F, T, Moves..., true>(axes, begin, end, x, y);
  } else if (axes.step(sizeof...(Moves)) != 0) {
    choose<F, T, Moves..., true>(axes, begin, end, x, y);
  } else {
    choose<F, T, Moves..., false>(axes, begin, end, x, y);
  }
}

template <class F, class T>
void run(const Axes<kMostOperands>& axes, int64_t n, const T* const* x, T* y) {
  parallel_for(0, n, kGrain<F>, [&](int64_t begin, int64_t end) { choose<F, T>(axes, begin, end, x, y); });
}

template <class T, class... F>
std::span<const MapOp<T>> table(List<F...>) {
  static constexpr MapOp<T> ops[] = {{F::name, F::arguments, F::broadcasts, run<F, T>}...};
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
