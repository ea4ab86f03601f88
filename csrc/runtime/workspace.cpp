#include "workspace.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

namespace nnlite {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHuge = size_t{2} << 20;  // from this size on, blocks are aligned for and advised to use huge pages
constexpr size_t kSpare = size_t{64} << 20;
constexpr int kSteps = 8;  // size classes per power of two: at most 12.5 % of a block is unused
constexpr int kClasses = 64 * kSteps;

// Stands in the 64 bytes before every block. Idle blocks are in two lists, newest first: all of them, and those of
// their size class.
struct Header {
  struct Link {
    Header *newer, *older;
  };
  int size_class;
  Link all, same;
};
static_assert(sizeof(Header) <= kAlign);

struct List {
  Header *newest = nullptr, *oldest = nullptr;

  void add(Header* h, Header::Link Header::* link) {
    h->*link = {nullptr, newest};
    (newest ? (newest->*link).newer : oldest) = h;
    newest = h;
  }
  void remove(Header* h, Header::Link Header::* link) {
    const Header::Link at = h->*link;
    (at.newer ? (at.newer->*link).older : newest) = at.older;
    (at.older ? (at.older->*link).newer : oldest) = at.newer;
  }
};

size_t class_bytes(int size_class) {
  const size_t base = size_t{1} << (size_class / kSteps);
  return base + base / kSteps * static_cast<size_t>(size_class % kSteps);
}

int class_of(size_t bytes) {
  if (bytes <= 1024) return 10 * kSteps;
  const int exponent = std::bit_width(bytes) - 1;
  const size_t step = (size_t{1} << exponent) / kSteps;
  return exponent * kSteps + static_cast<int>((bytes - (size_t{1} << exponent) + step - 1) / step);
}

std::mutex mutex;
List idle, idle_of_class[kClasses];
size_t bytes_in_use = 0, bytes_idle = 0, peak_in_use = 0;

void keep(Header* h) {
  idle.add(h, &Header::all);
  idle_of_class[h->size_class].add(h, &Header::same);
  bytes_idle += class_bytes(h->size_class);
}

Header* take(Header* h) {
  idle.remove(h, &Header::all);
  idle_of_class[h->size_class].remove(h, &Header::same);
  bytes_idle -= class_bytes(h->size_class);
  return h;
}

void count_in_use(size_t size) {
  bytes_in_use += size;
  peak_in_use = std::max(peak_in_use, bytes_in_use);
}

void before_fork() { mutex.lock(); }
void after_fork() { mutex.unlock(); }

void discard(Header* header) { std::free(header); }

}  // namespace

void* acquire(size_t bytes) {
  if (bytes > (size_t{1} << 62)) throw std::bad_alloc();
  const int size_class = class_of(bytes + kAlign);
  const size_t size = class_bytes(size_class);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    static const int registered = pthread_atfork(before_fork, after_fork, after_fork);
    (void)registered;
    // A block that is up to half as large again is better than a fresh one.
    for (int c = size_class; c <= std::min(size_class + kSteps / 2, kClasses - 1); ++c) {
      if (idle_of_class[c].newest == nullptr) continue;
      count_in_use(class_bytes(c));
      return reinterpret_cast<char*>(take(idle_of_class[c].newest)) + kAlign;
    }
    count_in_use(size);
  }
  const bool huge = size >= kHuge;
  auto* const header = static_cast<Header*>(
      std::aligned_alloc(huge ? kHuge : kAlign, (size + (huge ? kHuge : kAlign) - 1) & ~((huge ? kHuge : kAlign) - 1)));
  if (header == nullptr) {
    const std::lock_guard<std::mutex> lock(mutex);
    bytes_in_use -= size;
    throw std::bad_alloc();
  }
#if defined(MADV_HUGEPAGE)
  if (huge) madvise(header, size, MADV_HUGEPAGE);
#endif
  header->size_class = size_class;
  return reinterpret_cast<char*>(header) + kAlign;
}

void release(void* block) noexcept {
  if (block == nullptr) return;
  auto* const header = reinterpret_cast<Header*>(static_cast<char*>(block) - kAlign);
  const size_t size = class_bytes(header->size_class);
  // In all the program keeps a little more than it has used at its peak, because what lies idle is not always of the
  // sizes that are wanted next. What has lain idle longest goes first.
  const std::lock_guard<std::mutex> lock(mutex);
  bytes_in_use -= size;
  keep(header);
  while (bytes_in_use + bytes_idle > peak_in_use + peak_in_use / 4 + kSpare) discard(take(idle.oldest));
}

}  // namespace nnlite
