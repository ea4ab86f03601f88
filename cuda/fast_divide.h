// Division of numbers below 2^31 by a divisor that the host knows: a product and a shift in place of the twenty-odd
// instructions of a division (Granlund and Montgomery 1994).
#pragma once

#include "launch.h"

namespace nnlite {

class FastDivide {
 public:
  // 1 <= divisor < 2^31
  explicit FastDivide(int64_t divisor) : divisor_(static_cast<unsigned>(divisor)) {
    if (divisor == 1) return;
    unsigned bits = 1;
    while (int64_t{1} << bits < divisor) ++bits;
    // ceil(2^(31 + bits) / divisor) fits 32 bits, and is near enough for numbers of 31.
    factor_ = static_cast<unsigned>(((uint64_t{1} << (31 + bits)) + divisor_ - 1) / divisor_);
    shift_ = bits - 1;
  }
  __device__ __forceinline__ int operator()(int n) const {
    return divisor_ == 1 ? n : static_cast<int>(__umulhi(static_cast<unsigned>(n), factor_) >> shift_);
  }
  __device__ __forceinline__ int rest(int n, int quotient) const { return n - quotient * static_cast<int>(divisor_); }

 private:
  unsigned divisor_, factor_ = 0, shift_ = 0;
};

}  // namespace nnlite
