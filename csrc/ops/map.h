// The family of elementwise ops: y[i] = f(a[i]) or f(a[i], b[i]) for all i < n, with the f of formulas/elementwise.h. y
// overlaps no argument.
#pragma once

#include <cstdint>
#include <span>

namespace nnlite {

template <class T>
struct MapOp {
  const char* name;
  const char *a, *b;  // its arguments; b is nullptr where there is one
  void (*run)(const T* a, const T* b, T* y, int64_t n);
};

// All of them, in the same order for every type. Each device has its own.
template <class T>
std::span<const MapOp<T>> map_ops();

}  // namespace nnlite
