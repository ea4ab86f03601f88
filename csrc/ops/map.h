// The family of elementwise ops: y = f(x...) element by element, with the f of formulas/elementwise.h. y overlaps no
// argument.
#pragma once

#include <span>

#include "axes.h"

namespace nnlite {

constexpr int kMostOperands = 3;

template <class T>
struct MapOp {
  const char* name;
  std::span<const char* const> arguments;  // their names, at most kMostOperands
  bool broadcasts;                         // else all shapes are equal
  // The nest is over the elements of y, which lie one after the other; strides are those of the arguments.
  void (*run)(const Axes<kMostOperands>& axes, int64_t n, const T* const* x, T* y);
};

// All of them, in the same order for every type. Each device has its own.
template <class T>
std::span<const MapOp<T>> map_ops();

}  // namespace nnlite
