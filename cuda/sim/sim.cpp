// A SIMT interpreter. Each CUDA thread of a block is a fiber: a stack of its own that runs until it waits at a barrier
// or ends. Blocks run one after the other, threads of a block in an order that can be chosen: ascending, descending or
// shuffled. Results that depend on it come from a missing barrier.
#include "sim/sim.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <sstream>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include "device.h"
#include "sim/language.h"

namespace nnlite::sim {

uint3 thread_index, block_index, block_size, grid_size;
unsigned char* shared_start;

namespace {

constexpr size_t kStack = 64 * 1024, kPage = 4096, kMostShared = 227 * 1024, kMostThreads = 1024;
constexpr int kWarp = 32;

#if defined(__x86_64__)

// Saves the registers that a callee must keep on the current stack, leaves that stack at *from, and goes on at `to`.
extern "C" void nnlite_sim_switch(void** from, void* to);
asm(R"(
  .text
  .type nnlite_sim_switch, @function
nnlite_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

struct Context {
  void* stack_pointer = nullptr;
  void prepare(unsigned char* stack, void (*entry)()) {
    auto* top = reinterpret_cast<void**>(stack + kStack) - 2;  // at entry the stack is 8 above a multiple of 16
    *top = reinterpret_cast<void*>(entry);
    stack_pointer = top - 6;
    std::fill_n(static_cast<void**>(stack_pointer), 6, nullptr);
  }
  void switch_to(Context& other) { nnlite_sim_switch(&stack_pointer, other.stack_pointer); }
};

#else

struct Context {
  ucontext_t context;
  void prepare(unsigned char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  void switch_to(Context& other) { swapcontext(&context, &other.context); }
};

#endif

enum class State { ready, at_barrier, in_warp, done };

struct Fiber {
  Context context;
  State state = State::done;
  uint3 index{};
  uint64_t value[2] = {};  // of the last two exchanges: a lane may be one ahead of another
  int turn = 0;
};

// Everything of the launch under way; one at a time.
struct Machine {
  std::recursive_mutex busy;
  pthread_t runner{};
  Context scheduler;
  sigjmp_buf on_fault;
  Fiber fibers[kMostThreads];
  unsigned char* stacks = nullptr;
  unsigned char* shared_end = nullptr;
  Fiber* running = nullptr;
  int64_t threads = 0;
  void (*body)(const void*) = nullptr;
  const void* context = nullptr;
  const char* error = nullptr;
  const void* fault_address = nullptr;
  Order order = Order::ascending;
  uint64_t seed = 0;
};
Machine machine;

uint64_t next_random(uint64_t& state) {  // xorshift64*
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return state * 0x2545F4914F6CDD1Du;
}

void put_in_order(std::vector<int64_t>& items, uint64_t& random) {
  std::iota(items.begin(), items.end(), int64_t{0});
  if (machine.order == Order::descending) std::reverse(items.begin(), items.end());
  if (machine.order != Order::random) return;
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[next_random(random) % i]);
}

void wait(State state) {
  Fiber& self = *machine.running;
  self.state = state;
  self.context.switch_to(machine.scheduler);
}

void fiber_main() {
  machine.body(machine.context);
  wait(State::done);
}

// Called on a stack of its own when a kernel touches memory that is not there.
void on_signal(int number, siginfo_t* info, void*) {
  if (!pthread_equal(machine.runner,
                     pthread_self())) {  // not a kernel's: the access is made again, and ends the process
    signal(number, SIG_DFL);
    return;
  }
  machine.fault_address = info->si_addr;
  machine.error = "";
  siglongjmp(machine.on_fault, 1);
}

void map_memory() {
  if (machine.stacks != nullptr) return;
  const auto map = [](size_t bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw OutOfDeviceMemory("simulator: no memory for the stacks of its threads");
    return static_cast<unsigned char*>(p);
  };
  unsigned char* const shared = map(kMostShared + 2 * kPage);
  machine.shared_end = shared + (kMostShared + kPage - 1) / kPage * kPage;
  mprotect(machine.shared_end, kPage, PROT_NONE);
  unsigned char* const stacks = map(kMostThreads * (kStack + kPage));
  for (size_t i = 0; i < kMostThreads; ++i) mprotect(stacks + i * (kStack + kPage), kPage, PROT_NONE);
  machine.stacks = stacks;
}

// Memory faults of kernels come to on_signal while one lives.
class CaughtFaults {
 public:
  CaughtFaults() {
    static thread_local unsigned char stack[64 * 1024];
    stack_t own{};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    sigaltstack(&own, &old_stack_);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &old_[0]);
    sigaction(SIGBUS, &action, &old_[1]);
  }
  ~CaughtFaults() {
    sigaction(SIGSEGV, &old_[0], nullptr);
    sigaction(SIGBUS, &old_[1], nullptr);
    sigaltstack(&old_stack_, nullptr);
  }
  CaughtFaults(const CaughtFaults&) = delete;
  CaughtFaults& operator=(const CaughtFaults&) = delete;

 private:
  stack_t old_stack_{};
  struct sigaction old_[2]{};
};

// Device memory is there while one lives.
class MappedMemory {
 public:
  MappedMemory() { expose_memory(true); }
  ~MappedMemory() { expose_memory(false); }
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
};

std::string text_of(uint3 at) {
  std::ostringstream out;
  out << "(" << at.x << ", " << at.y << ", " << at.z << ")";
  return out.str();
}

[[noreturn]] void raise(const char* name, const Fiber& fiber, const std::string& what) {
  machine.running = nullptr;
  throw DeviceError(std::string(name) + ": block " + text_of(block_index) + ", thread " + text_of(fiber.index) + ": " +
                    what);
}

// Lets every waiting warp and, when all threads are there, the block go on; false if nobody can.
bool release_waiting() {
  bool released = false;
  for (int64_t first = 0; first < machine.threads; first += kWarp) {
    Fiber* const warp = machine.fibers + first;
    if (first + kWarp <= machine.threads &&
        std::all_of(warp, warp + kWarp, [](const Fiber& f) { return f.state == State::in_warp; })) {
      for (int i = 0; i < kWarp; ++i) warp[i].state = State::ready;
      released = true;
    }
  }
  Fiber* const all = machine.fibers;
  if (std::all_of(all, all + machine.threads, [](const Fiber& f) { return f.state == State::at_barrier; })) {
    for (int64_t i = 0; i < machine.threads; ++i) all[i].state = State::ready;
    released = true;
  }
  return released;
}

void run_block(const char* name, size_t shared, std::vector<int64_t>& order, uint64_t& random) {
  shared_start = machine.shared_end - (shared + 15) / 16 * 16;
  for (unsigned char* p = shared_start; p < machine.shared_end; p += sizeof kUnset) {
    std::memcpy(p, &kUnset, sizeof kUnset);
  }
  for (int64_t i = 0; i < machine.threads; ++i) {
    Fiber& fiber = machine.fibers[i];
    fiber.context.prepare(machine.stacks + static_cast<size_t>(i) * (kStack + kPage) + kPage, fiber_main);
    fiber.state = State::ready;
  }
  const auto is_done = [](const Fiber& f) { return f.state == State::done; };
  while (true) {
    put_in_order(order, random);
    for (const int64_t i : order) {
      Fiber& fiber = machine.fibers[i];
      if (fiber.state != State::ready) continue;
      thread_index = fiber.index;
      machine.running = &fiber;
      machine.scheduler.switch_to(fiber.context);
      if (machine.error != nullptr) raise(name, fiber, machine.error);
    }
    if (std::all_of(machine.fibers, machine.fibers + machine.threads, is_done)) return;
    if (release_waiting()) continue;
    const auto waiting = std::find_if_not(machine.fibers, machine.fibers + machine.threads, is_done);
    const auto there = std::count_if(machine.fibers, machine.fibers + machine.threads,
                                     [&](const Fiber& f) { return f.state == waiting->state; });
    raise(name, *waiting,
          (waiting->state == State::at_barrier ? "waits at a barrier that " : "waits for its warp at a shuffle that ") +
              std::to_string(machine.threads - there) + " of " + std::to_string(machine.threads) +
              " threads never reach");
  }
}

}  // namespace

void barrier() { wait(State::at_barrier); }

void exchange(unsigned mask, uint64_t value) {
  if (mask != 0xffffffffu) fail("a shuffle or vote must name the whole warp");
  Fiber& self = *machine.running;
  self.value[self.turn] = value;
  wait(State::in_warp);
  self.turn ^= 1;
}

uint64_t lane_value(unsigned, unsigned lane) {
  const Fiber& self = *machine.running;
  const int64_t first = (&self - machine.fibers) / kWarp * kWarp;
  return machine.fibers[first + lane % kWarp].value[self.turn ^ 1];
}

void fail(const char* message) {
  machine.error = message;
  while (true) wait(State::done);
}

std::unique_lock<std::recursive_mutex> lock_machine() { return std::unique_lock(machine.busy); }

void set_order(Order order, uint64_t seed) {
  const std::lock_guard lock(machine.busy);
  machine.order = order;
  machine.seed = seed;
}

void run(const char* name, Size grid, Size block, size_t shared, void (*body)(const void*), const void* context) {
  device::check_launch(name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
  const std::lock_guard lock(machine.busy);
  map_memory();
  machine.runner = pthread_self();
  const auto to_uint3 = [](Size s) {
    return uint3{static_cast<unsigned>(s.x), static_cast<unsigned>(s.y), static_cast<unsigned>(s.z)};
  };
  block_size = to_uint3(block);
  grid_size = to_uint3(grid);
  machine.threads = block.x * block.y * block.z;
  machine.body = body;
  machine.context = context;
  machine.error = nullptr;
  machine.fault_address = nullptr;
  for (int64_t i = 0; i < machine.threads; ++i) {
    machine.fibers[i].index = to_uint3({i % block.x, i / block.x % block.y, i / (block.x * block.y)});
    machine.fibers[i].turn = 0;
  }
  std::vector<int64_t> blocks(static_cast<size_t>(grid.x * grid.y * grid.z));
  std::vector<int64_t> order(static_cast<size_t>(machine.threads));
  uint64_t random = machine.seed * 2 + 1;
  put_in_order(blocks, random);
  const CaughtFaults caught;
  {
    const MappedMemory mapped;
    if (sigsetjmp(machine.on_fault, 1) == 0) {
      for (const int64_t i : blocks) {
        block_index = to_uint3({i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)});
        run_block(name, shared, order, random);
      }
      machine.running = nullptr;
    }
  }
  if (machine.error != nullptr) raise(name, *machine.running, describe_address(machine.fault_address, shared));
  check_bounds(name);
}

bool is_shared(const void* p) {
  return p >= machine.shared_end - kMostShared - kPage && p < machine.shared_end + kPage;
}

}  // namespace nnlite::sim
