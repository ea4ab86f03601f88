#include "ops/map.h"

#include "formulas/elementwise.h"
#include "packs.h"

namespace nnlite {
namespace {

template <class F, class T>
void run(const T* a, const T* b, T* y, int64_t n) {
  if constexpr (F::b == nullptr) {
    map(F::name, F{}, n, y, a);
  } else {
    map(F::name, F{}, n, y, a, b);
  }
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
