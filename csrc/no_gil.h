// The interpreter's lock, given up while kernels run and taken back: on every device in the same way.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

namespace nnlite {

// At the interpreter's exit a daemon thread that asks for the GIL is ended by unwinding its stack, which C++ code below
// it need not survive. It waits for the end of the process instead, as threads do from Python 3.14 on.
template <class F>
auto with_interpreter(F ask) {
#if defined(__GLIBCXX__)
  try {
    return ask();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
#else
  return ask();
#endif
}

// Gives the GIL up as long as it lives.
class NoGil {
 public:
  NoGil() : state_(PyEval_SaveThread()) {}
  ~NoGil() {
    with_interpreter([this] {
      PyEval_RestoreThread(state_);
      return 0;
    });
  }
  NoGil(const NoGil&) = delete;
  NoGil& operator=(const NoGil&) = delete;

 private:
  PyThreadState* const state_;
};

}  // namespace nnlite
