// parallel_for: nnlite's own thread pool. No result depends on who computes what: whoever computes an element computes
// it in the order of docs/numerics.md.
#pragma once

#include <cstdint>

namespace nnlite {

void set_num_threads(int n);
int num_threads();

// Called every 20 ms or so on the caller's thread while work goes on; true ends the work, and parallel_for throws
// Interrupted. The 20 ms count from start_polling, at the beginning of an op, so that a short one never calls it.
using Poll = bool (*)();
void set_poll(Poll poll);
void start_polling();
struct Interrupted {};

// For kernels whose pieces take longer than that: call it inside the piece, every millisecond or so. Leaves the piece
// (by an exception that ends in parallel_for) when the work is to end.
void check_interrupt();

// While one lives, work of this thread is not interrupted: for updates in place, which must be done or not done.
class Uninterruptible {
 public:
  Uninterruptible();
  ~Uninterruptible();
  Uninterruptible(const Uninterruptible&) = delete;
  Uninterruptible& operator=(const Uninterruptible&) = delete;

 private:
  bool outer_;
};

using Body = void (*)(void* context, int64_t begin, int64_t end);
void parallel_run(int64_t begin, int64_t end, int64_t grain, Body body, void* context);

// Calls f(b, e) for pieces of [begin, end) of at most `grain` indices, each index once, on as many threads as there are
// grains. Choose a grain worth 20 us or more; ranges of one grain stay on the caller's thread. Nested and concurrent
// callers run inline.
template <class F>
static inline void parallel_for(int64_t begin, int64_t end, int64_t grain, F f) {
  parallel_run(begin, end, grain, [](void* context, int64_t b, int64_t e) { (*static_cast<F*>(context))(b, e); }, &f);
}

}  // namespace nnlite
