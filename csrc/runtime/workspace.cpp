#include "workspace.h"

#include <pthread.h>
#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

namespace nnlite {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHuge = size_t{2} << 20;  // from this size on, blocks are aligned for and advised to use huge pages
constexpr int kSteps = 8;                  // size classes per power of two: at most 12.5 % of a block is unused
constexpr int kClasses = 64 * kSteps;

// Stands in the 64 bytes before every block.
struct Header {
  int size_class;
  Header* next;
};
static_assert(sizeof(Header) <= kAlign);

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
Header* free_blocks[kClasses];
size_t bytes_in_use = 0, bytes_cached = 0, peak_in_use = 0;

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
    bytes_in_use += size;
    if (bytes_in_use > peak_in_use) peak_in_use = bytes_in_use;
    if (Header* const header = free_blocks[size_class]) {
      free_blocks[size_class] = header->next;
      bytes_cached -= size;
      return reinterpret_cast<char*>(header) + kAlign;
    }
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
  {
    const std::lock_guard<std::mutex> lock(mutex);
    bytes_in_use -= size;
    // What lies idle may grow to what the program has used at its peak, no further.
    if (bytes_in_use + bytes_cached + size <= peak_in_use) {
      header->next = free_blocks[header->size_class];
      free_blocks[header->size_class] = header;
      bytes_cached += size;
      return;
    }
  }
  discard(header);
}

}  // namespace nnlite
