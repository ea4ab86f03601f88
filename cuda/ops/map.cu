#include "ops/map.h"

#include <utility>

#include "formulas/elementwise.h"
#include "packs.h"

namespace nnlite {
namespace {

template <class T>
struct Arguments {
  const T* x[kMostOperands];
};

// An element a thread, whose places in the arguments come from its number by division.
template <class F, class T, size_t... K>
__device__ T at_places(const Axes<kMostOperands>& axes, int64_t i, const Arguments<T>& arguments,
                       std::index_sequence<K...>) {
  const auto place = axes.place(i);
  return F{}(arguments.x[K][place.at[K]]...);
}
template <class F, class T>
__global__ void broadcast(Axes<kMostOperands> axes, int64_t n, Arguments<T> arguments, T* y) {
  const int64_t i = int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  if (i < n) y[i] = at_places<F>(axes, i, arguments, std::make_index_sequence<F::arguments.size()>());
}

template <class F, class T>
void run(const Axes<kMostOperands>& axes, int64_t n, const T* const* x, T* y) {
  constexpr size_t kOperands = F::arguments.size();
  bool alike = axes.count <= 1;
  for (size_t k = 0; k < kOperands; ++k) alike = alike && axes.step(static_cast<int>(k)) == 1;
  if (alike) {
    if constexpr (kOperands == 1) map(F::name, F{}, n, y, x[0]);
    if constexpr (kOperands == 2) map(F::name, F{}, n, y, x[0], x[1]);
    if constexpr (kOperands == 3) map(F::name, F{}, n, y, x[0], x[1], x[2]);
  } else {
    launch(F::name, broadcast<F, T>, blocks_for(n, kPackThreads), kPackThreads, 0, axes, n,
           Arguments<T>{x[0], x[1], x[2]}, y);
  }
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
