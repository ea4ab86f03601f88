// The floating-point control register as docs/numerics.md wants it: round to nearest even, subnormals kept, no traps.
// A library built with -Ofast switches flush-to-zero on for the whole process, so nnlite neither trusts the register
// nor leaves it changed.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nnlite {

class FloatState {
 public:
  FloatState() : saved_(read()) { write(kSpecified); }
  ~FloatState() { write(saved_); }
  FloatState(const FloatState&) = delete;
  FloatState& operator=(const FloatState&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kSpecified = 0x1f80;
  static uint64_t read() { return _mm_getcsr(); }
  static void write(uint64_t state) { _mm_setcsr(static_cast<unsigned>(state)); }
#elif defined(__aarch64__)
  static constexpr uint64_t kSpecified = 0;
  static uint64_t read() {
    uint64_t state;
    asm volatile("mrs %0, fpcr" : "=r"(state));
    return state;
  }
  static void write(uint64_t state) { asm volatile("msr fpcr, %0" : : "r"(state) : "memory"); }
#else
#error "nnlite supports x86-64 and AArch64"
#endif
  uint64_t saved_;
};

}  // namespace nnlite
