// Labels on the device: y[i] = x[i] widened to int64 from an integer of `size` bytes, and the check that all are in
// 0 ... classes - 1, which reports the first that is not (device.h, Fault).
#pragma once

#include <cstdint>

namespace nnlite {

void widen_labels(const void* x, int size, bool is_signed, int64_t n, int64_t* y);
void check_labels(const int64_t* labels, int64_t n, int64_t classes, int64_t fault_number);

}  // namespace nnlite
