#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <sys/types.h>
#include <time.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "float_state.h"
#include "spin_mutex.h"

namespace nnlite {
namespace {

constexpr int64_t kPollInterval = 20;  // milliseconds
// About 200 us. A training step has stretches without work for threads (small ops, Python); a thread that fell asleep
// in one of them takes 50 us to wake.
constexpr int kSpins = 16000;

struct Job {
  int64_t begin, end, grain;
  Body body;
  void* context;
  int parts;

  int64_t grains() const { return (end - begin + grain - 1) / grain; }
  // The grains of a part: a contiguous share.
  int64_t first(int part) const { return grains() * part / parts; }
};

// What check_interrupt asks on this thread, and what it throws.
struct Stop {
  bool (*ask)(void*);
  void* context;
};
struct Stopped {};
thread_local Stop* current_stop = nullptr;

// Runs the grains that take() hands out, until it hands out -1 or stop() says so.
template <class Take, class F>
void run_grains(const Job& job, Take take, F stop) {
  Stop asked{[](void* f) { return (*static_cast<F*>(f))(); }, &stop};
  struct Scope {
    explicit Scope(Stop* inner) : outer(current_stop) { current_stop = inner; }
    ~Scope() { current_stop = outer; }
    Stop* const outer;
  } scope(&asked);
  try {
    for (;;) {
      const int64_t g = take();
      if (g < 0 || stop()) return;
      const int64_t b = job.begin + g * job.grain;
      job.body(job.context, b, std::min(b + job.grain, job.end));
    }
  } catch (const Stopped&) {
  }
}

std::atomic<int> threads{1};
std::atomic<Poll> poll_hook{nullptr};
thread_local bool uninterruptible = false;

thread_local int64_t last_poll = 0;  // in milliseconds

int64_t milliseconds() {
#if defined(CLOCK_MONOTONIC_COARSE)
  timespec now;  // of the last timer tick: several times cheaper than the exact time
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
#else
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
#endif
}

// Asks the hook, at most every 20 ms of a thread: an op may be a long row of short parallel_fors.
bool poll_says_stop() {
  const int64_t now = milliseconds();
  if (now - last_poll < kPollInterval) return false;
  last_poll = now;
  const Poll poll = poll_hook.load(std::memory_order_relaxed);
  return poll != nullptr && !uninterruptible && poll();
}

// Where a sleeping thread is to wake: anywhere but on the CPU of the thread that wakes it. Some kernels keep it there,
// behind its waker, who never waits: two threads were then as fast as one.
#if defined(__linux__)
class Elsewhere {
 public:
  Elsewhere() {
    usable_ = sched_getaffinity(0, sizeof all_, &all_) == 0 && CPU_COUNT(&all_) > 1;
    if (!usable_) return;
    others_ = all_;
    CPU_CLR(std::max(0, sched_getcpu()), &others_);
  }
  void send(pid_t thread) const {
    if (usable_) sched_setaffinity(thread, sizeof others_, &others_);
  }
  // The sent thread, once awake, may move on.
  void set_free() const {
    if (usable_) sched_setaffinity(0, sizeof all_, &all_);
  }

 private:
  bool usable_;
  cpu_set_t all_, others_;
};
pid_t thread_id() { return static_cast<pid_t>(syscall(SYS_gettid)); }
#else
struct Elsewhere {
  void send(pid_t) const {}
  void set_free() const {}
};
pid_t thread_id() { return 1; }
#endif

// Forks that this process comes from. A signal handler may fork in the middle of an op: the child has no other thread,
// and nobody there will do what they had taken on.
std::atomic<int> forks{0};
struct ForkedInside : std::runtime_error {
  ForkedInside()
      : std::runtime_error("a signal handler forked this process inside an op, which the child cannot finish") {}
};

// Every thread takes the grains of its own part, so that it finds in its cache what it wrote last time, and then those
// that others have left. The caller never waits for a thread that has not begun: on a busy machine that would cost a
// time slice, a thousand times the work.
class Pool {
 public:
  explicit Pool(int workers) : workers_(workers), cursors_(new Cursor[workers + 1]) {
    // Where the system starts no more threads, those that run take the grains of the missing ones.
    try {
      for (int i = 1; i <= workers; ++i) std::thread(&Pool::work, this, i, sent_).detach();
    } catch (const std::system_error&) {
    }
  }

  std::mutex busy;
  int workers() const { return workers_; }

  void run(const Job& job) {
    job_ = job;
    for (int part = 0; part < job.parts; ++part) cursors_[part].next.store(job.first(part), std::memory_order_relaxed);
    cancelled_.store(false, std::memory_order_relaxed);
    error_ = nullptr;
    const int forks_before = forks.load(std::memory_order_relaxed);
    open();

    bool interrupted = false;
    run_guarded(0, [&] {
      interrupted = interrupted || poll_says_stop();
      if (interrupted) cancelled_.store(true, std::memory_order_relaxed);
      return cancelled_.load(std::memory_order_relaxed);
    });
    gate_.fetch_or(kClosed, std::memory_order_acq_rel);
    for (int spins = 0; (gate_.load(std::memory_order_acquire) & kInside) != 0; ++spins) {
      if (forks.load(std::memory_order_relaxed) != forks_before) throw ForkedInside();
      if (spins < kSpins) {
        relax();
        continue;
      }
      sched_yield();
      if (!interrupted && poll_says_stop()) {
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
    open();
  }

 private:
  // The gate counts the workers inside the current job; closed, it lets no more in. epoch_ only wakes them.
  static constexpr uint64_t kClosed = uint64_t{1} << 31, kInside = kClosed - 1, kEpoch = uint64_t{1} << 32;

  struct alignas(64) Cursor {
    std::atomic<int64_t> next{0};
    std::atomic<pid_t> asleep{0};  // the worker's thread while it sleeps
  };

  void open() {
    const uint64_t epoch = (gate_.load(std::memory_order_relaxed) / kEpoch + 1) * kEpoch;
    gate_.store(epoch, std::memory_order_release);
    epoch_.store(static_cast<uint32_t>(epoch / kEpoch), std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) == 0) return;
    {
      const std::lock_guard<SpinMutex> lock(sent_mutex_);
      sent_ = Elsewhere();
      for (int i = 1; i <= workers_; ++i) {
        if (const pid_t thread = cursors_[i].asleep.load(std::memory_order_acquire)) sent_.send(thread);
      }
    }
    epoch_.notify_all();
  }

  // Sleeps until the epoch changes.
  void sleep(int part, uint32_t seen) {
    cursors_[part].asleep.store(thread_id(), std::memory_order_release);
    asleep_.fetch_add(1, std::memory_order_seq_cst);
    epoch_.wait(seen, std::memory_order_seq_cst);
    asleep_.fetch_sub(1, std::memory_order_release);
    cursors_[part].asleep.store(0, std::memory_order_release);
    const std::lock_guard<SpinMutex> lock(sent_mutex_);
    sent_.set_free();
  }

  // Whether this worker came in time for the job of `epoch`.
  bool enter(uint32_t epoch) {
    uint64_t gate = gate_.load(std::memory_order_acquire);
    while ((gate & kClosed) == 0 && static_cast<uint32_t>(gate / kEpoch) == epoch) {
      if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        return true;
    }
    return false;
  }

  void work(int part, Elsewhere creators) {
    FloatState specified;
    creators.send(0);
    creators.set_free();
    uint32_t seen = 0;
    for (;;) {
      uint32_t epoch = epoch_.load(std::memory_order_acquire);
      for (int spins = 0; epoch == seen && spins < kSpins; ++spins) {
        relax();
        epoch = epoch_.load(std::memory_order_acquire);
      }
      if (epoch == seen) {
        sleep(part, seen);
        continue;
      }
      seen = epoch;
      if (retired_.load(std::memory_order_relaxed)) return;
      if (!enter(epoch)) continue;
      if (part < job_.parts) run_guarded(part, [&] { return cancelled_.load(std::memory_order_relaxed); });
      gate_.fetch_sub(1, std::memory_order_release);
    }
  }

  template <class F>
  void run_guarded(int part, F stop) {
    int from = part;
    const auto take = [&]() -> int64_t {
      for (;;) {
        const int64_t g = cursors_[from].next.fetch_add(1, std::memory_order_relaxed);
        if (g < job_.first(from + 1)) return g;
        from = (from + 1) % job_.parts;
        if (from == part) return -1;
      }
    };
    try {
      run_grains(job_, take, stop);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      cancelled_.store(true, std::memory_order_relaxed);
    }
  }

  const int workers_;
  const std::unique_ptr<Cursor[]> cursors_;
  std::atomic<uint32_t> epoch_{0};
  std::atomic<uint64_t> gate_{kClosed};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> retired_{false};
  Job job_{};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::atomic<int> asleep_{0};
  SpinMutex sent_mutex_;
  Elsewhere sent_;
};

// Never destroyed: its threads outlive every static object. A forked child has none of them and starts with no pool.
Pool* pool = nullptr;
std::mutex* pool_mutex = new std::mutex;
thread_local bool inside = false;

void forget_pool_in_child() {
  pool = nullptr;
  pool_mutex = new std::mutex;
  inside = false;
  forks.fetch_add(1, std::memory_order_relaxed);
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
  bool interrupted = false;
  const int64_t grains = job.grains();
  int64_t next = 0;
  run_grains(
      job, [&] { return next < grains ? next++ : -1; }, [&] { return interrupted = interrupted || poll_says_stop(); });
  if (interrupted) throw Interrupted();
}

}  // namespace

void set_num_threads(int n) {
  if (n < 1) throw std::invalid_argument("set_num_threads: n must be at least 1, got " + std::to_string(n));
  threads.store(n, std::memory_order_relaxed);
}
int num_threads() { return threads.load(std::memory_order_relaxed); }
void set_poll(Poll poll) { poll_hook.store(poll, std::memory_order_relaxed); }
void start_polling() { last_poll = milliseconds(); }

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
