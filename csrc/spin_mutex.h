// A mutex for sections of a few microseconds that threads of the pool enter at the same time. It spins before it
// sleeps: a thread that sleeps is woken by the holder, and the system may put it on the holder's CPU, where it then
// waits behind a thread that never waits: two threads were as fast as one until the next balancing.
#pragma once

#include <mutex>

namespace nnlite {

static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

class SpinMutex {
 public:
  void lock() {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (mutex_.try_lock()) return;
      relax();
    }
    mutex_.lock();  // its holder has lost its CPU
  }
  void unlock() { mutex_.unlock(); }

 private:
  static constexpr int kSpins = 1000;  // 10 us or more
  std::mutex mutex_;
};

}  // namespace nnlite
