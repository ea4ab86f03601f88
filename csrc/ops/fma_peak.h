#pragma once

namespace nnlite {

// Multiply-adds in float32 per second, times two, that this module's vectors reach on the current number of threads
// when nothing but registers is touched: the roof of every kernel that multiplies.
double fma_peak(double seconds);

}  // namespace nnlite
