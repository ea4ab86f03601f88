#include "parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "float_state.h"

namespace nnlite {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(20);
constexpr int kSpins =
    4000;  // about 50 us: the next op of a training step usually comes sooner than a sleeping thread wakes

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

struct Job {
  int64_t begin, end, grain;
  Body body;
  void* context;
  int parts;
};

// What check_interrupt asks on this thread, and what it throws.
struct Stop {
  bool (*ask)(void*);
  void* context;
};
struct Stopped {};
thread_local Stop* current_stop = nullptr;

// Runs part `part` of the job grain by grain. The parts are contiguous and hold whole grains.
template <class F>
void run_part(const Job& job, int part, F stop) {
  Stop asked{[](void* f) { return (*static_cast<F*>(f))(); }, &stop};
  struct Scope {
    explicit Scope(Stop* inner) : outer(current_stop) { current_stop = inner; }
    ~Scope() { current_stop = outer; }
    Stop* const outer;
  } scope(&asked);
  const int64_t grains = (job.end - job.begin + job.grain - 1) / job.grain;
  const int64_t last = grains * (part + 1) / job.parts;
  try {
    for (int64_t g = grains * part / job.parts; g < last && !stop(); ++g) {
      const int64_t b = job.begin + g * job.grain;
      job.body(job.context, b, std::min(b + job.grain, job.end));
    }
  } catch (const Stopped&) {
  }
}

std::atomic<int> threads{1};
std::atomic<Poll> poll_hook{nullptr};
thread_local bool uninterruptible = false;

// Asks the hook at most every 20 ms.
class Poller {
 public:
  bool stop() {
    const auto now = Clock::now();
    if (now - last_ < kPollInterval) return false;
    last_ = now;
    const Poll poll = poll_hook.load(std::memory_order_relaxed);
    return poll != nullptr && !uninterruptible && poll();
  }

 private:
  Clock::time_point last_ = Clock::now();
};

class Pool {
 public:
  explicit Pool(int workers) : workers_(workers) {
    for (int i = 1; i <= workers; ++i) std::thread(&Pool::work, this, i).detach();
  }

  std::mutex busy;
  int workers() const { return workers_; }

  void run(const Job& job) {
    job_ = job;
    cancelled_.store(false, std::memory_order_relaxed);
    error_ = nullptr;
    pending_.store(workers_, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();

    Poller poller;
    bool interrupted = false;
    run_guarded(0, [&] {
      interrupted = interrupted || poller.stop();
      if (interrupted) cancelled_.store(true, std::memory_order_relaxed);
      return cancelled_.load(std::memory_order_relaxed);
    });
    for (int spins = 0; pending_.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < kSpins) {
        relax();
        continue;
      }
      sched_yield();
      if (!interrupted && poller.stop()) {
        interrupted = true;
        cancelled_.store(true, std::memory_order_relaxed);
      }
    }
    if (error_) std::rethrow_exception(error_);
    if (interrupted) throw Interrupted();
  }

  // Ends the workers; the pool itself is left to them, as they may still be looking at it.
  void retire() {
    retired_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }

 private:
  void work(int part) {
    FloatState specified;
    uint32_t seen = 0;
    for (;;) {
      uint32_t epoch = epoch_.load(std::memory_order_acquire);
      for (int spins = 0; epoch == seen && spins < kSpins; ++spins) {
        relax();
        epoch = epoch_.load(std::memory_order_acquire);
      }
      if (epoch == seen) {
        epoch_.wait(seen, std::memory_order_acquire);
        continue;
      }
      seen = epoch;
      if (retired_.load(std::memory_order_relaxed)) return;
      if (part < job_.parts) run_guarded(part, [&] { return cancelled_.load(std::memory_order_relaxed); });
      pending_.fetch_sub(1, std::memory_order_release);
    }
  }

  template <class Stop>
  void run_guarded(int part, Stop stop) {
    try {
      run_part(job_, part, stop);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      cancelled_.store(true, std::memory_order_relaxed);
    }
  }

  const int workers_;
  std::atomic<uint32_t> epoch_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> retired_{false};
  Job job_{};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

// Never destroyed: its threads outlive every static object. A forked child has none of them and starts with no pool.
Pool* pool = nullptr;
std::mutex* pool_mutex = new std::mutex;
thread_local bool inside = false;

void forget_pool_in_child() {
  pool = nullptr;
  pool_mutex = new std::mutex;
  inside = false;
}

Pool* current_pool(int workers) {
  const std::lock_guard<std::mutex> lock(*pool_mutex);
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pool_in_child);
  (void)registered;
  if (pool != nullptr && pool->workers() != workers) {
    if (!pool->busy.try_lock()) return nullptr;
    pool->retire();
    pool = nullptr;
  }
  if (pool == nullptr) pool = new Pool(workers);
  return pool;
}

void run_inline(const Job& job) {
  Poller poller;
  bool interrupted = false;
  run_part(job, 0, [&] { return interrupted = interrupted || poller.stop(); });
  if (interrupted) throw Interrupted();
}

}  // namespace

void set_num_threads(int n) { threads.store(n, std::memory_order_relaxed); }
int num_threads() { return threads.load(std::memory_order_relaxed); }
void set_poll(Poll poll) { poll_hook.store(poll, std::memory_order_relaxed); }

Uninterruptible::Uninterruptible() : outer_(uninterruptible) { uninterruptible = true; }
Uninterruptible::~Uninterruptible() { uninterruptible = outer_; }

void check_interrupt() {
  if (current_stop != nullptr && current_stop->ask(current_stop->context)) throw Stopped();
}

void parallel_run(int64_t begin, int64_t end, int64_t grain, Body body, void* context) {
  if (begin >= end) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t grains = (end - begin + grain - 1) / grain;
  const int n = num_threads();
  Job job{begin, end, grain, body, context, static_cast<int>(std::min<int64_t>(n, grains))};
  if (job.parts > 1 && !inside) {
    Pool* const shared = current_pool(n - 1);
    if (shared != nullptr && shared->busy.try_lock()) {
      const std::lock_guard<std::mutex> lock(shared->busy, std::adopt_lock);
      inside = true;
      struct Leave {
        ~Leave() { inside = false; }
      } leave;
      shared->run(job);
      return;
    }
  }
  job.parts = 1;
  run_inline(job);
}

}  // namespace nnlite
