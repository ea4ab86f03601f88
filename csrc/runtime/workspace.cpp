#include "workspace.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "spin_mutex.h"

// Small blocks are kept in lists by size class. Large ones are cut from segments of address space: the smallest hole
// that is large enough, the lowest of several; neighbouring holes are joined. So the same training step finds its
// memory again whatever sizes it asks for in what order, and what the process holds is about what it uses at its peak.
// Nothing of that is given back: the next step wants it again.

namespace nnlite {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kPage = 4096;
constexpr size_t kLarge = size_t{64} << 10;     // from this size on, blocks are cut from segments
constexpr size_t kSegment = size_t{1} << 30;    // only what is used of it takes memory
constexpr size_t kHuge = size_t{2} << 20;       // alignment of segments, for huge pages
constexpr size_t kMostIdle = size_t{16} << 20;  // in the lists of small blocks
constexpr int kSteps = 8;                       // size classes per power of two: at most 12.5 % of a block is unused
constexpr int kClasses = 17 * kSteps;

// Stands in the 64 bytes before every block.
struct Header {
  size_t size;  // with the header
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

struct OutOfMemory : std::bad_alloc {
  explicit OutOfMemory(size_t bytes) : message("cannot allocate " + std::to_string(bytes) + " bytes") {}
  const char* what() const noexcept override { return message.c_str(); }
  std::string message;
};

// Free places. What a place that comes back needs to be noted was allocated when it was taken: add() never allocates.
class Holes {
 public:
  // A place of `size` bytes, or nullptr. std::bad_alloc where the note of its return cannot be had.
  char* take(size_t size) {
    const auto found = by_size_.lower_bound({size, nullptr});
    if (found == by_size_.end()) return nullptr;
    reserve(taken_ + 1);
    const auto [length, place] = *found;
    remove(place, length);
    if (length > size) insert(place + size, length - size);
    ++taken_;
    return place;
  }

  // A place that was not there before. std::bad_alloc as of take().
  void add_new(char* place, size_t size) {
    reserve(taken_ + 1);
    insert(place, size);
  }

  // A place that was taken.
  void add(char* place, size_t size) noexcept {
    --taken_;
    const auto after = by_place_.lower_bound(place);
    if (after != by_place_.end() && place + size == after->first) {
      const size_t length = after->second;
      remove(after->first, length);
      size += length;
    }
    const auto next = by_place_.lower_bound(place);
    if (next != by_place_.begin()) {
      const auto [before, length] = *std::prev(next);
      if (before + length == place) {
        remove(before, length);
        place = before;
        size += length;
      }
    }
    insert(place, size);
  }

 private:
  struct Nodes {
    std::map<char*, size_t>::node_type place;
    std::set<std::pair<size_t, char*>>::node_type size;
  };

  // At least `count` spare nodes, and room for all nodes among them.
  void reserve(size_t count) {
    while (spare_.size() < count) {
      if (spare_.capacity() <= pairs_) spare_.reserve(2 * pairs_ + 8);
      std::map<char*, size_t> place{{nullptr, 0}};
      std::set<std::pair<size_t, char*>> size{{0, nullptr}};
      spare_.push_back({place.extract(place.begin()), size.extract(size.begin())});
      ++pairs_;
    }
  }
  void insert(char* place, size_t size) noexcept {
    Nodes nodes = std::move(spare_.back());
    spare_.pop_back();
    nodes.place.key() = place;
    nodes.place.mapped() = size;
    nodes.size.value() = {size, place};
    by_place_.insert(std::move(nodes.place));
    by_size_.insert(std::move(nodes.size));
  }
  void remove(char* place, size_t size) noexcept {
    spare_.push_back({by_place_.extract(place), by_size_.extract({size, place})});  // within what is reserved
  }

  std::map<char*, size_t> by_place_;
  std::set<std::pair<size_t, char*>> by_size_;
  std::vector<Nodes> spare_;  // one for each place that is taken, at least
  size_t pairs_ = 0;          // of nodes, in use or spare
  size_t taken_ = 0;
};

SpinMutex mutex;
Header* small_blocks[kClasses];
size_t small_idle = 0;
Holes* holes = new Holes;  // never destroyed: arrays outlive static objects

void before_fork() { mutex.lock(); }
void after_fork() { mutex.unlock(); }

// More address space for blocks of `size` bytes; false if there is none.
bool add_segment(size_t size) {
  size = (size + kHuge - 1) & ~(kHuge - 1);
  for (const size_t bytes : {std::max(size, kSegment), size}) {
    void* const raw = mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) continue;
    char* const begin = reinterpret_cast<char*>((reinterpret_cast<size_t>(raw) + kHuge - 1) & ~(kHuge - 1));
#if defined(MADV_HUGEPAGE)
    madvise(begin, bytes, MADV_HUGEPAGE);
#endif
    holes->add_new(begin, bytes);
    return true;
  }
  return false;
}

Header* acquire_large(size_t size) {
  char* place = holes->take(size);
  if (place == nullptr && add_segment(size)) place = holes->take(size);
  return reinterpret_cast<Header*>(place);
}

Header* acquire_small(size_t size, int size_class) {
  Header* const header = small_blocks[size_class];
  if (header == nullptr) return static_cast<Header*>(std::aligned_alloc(kAlign, size));
  small_blocks[size_class] = header->next;
  small_idle -= size;
  return header;
}

}  // namespace

void* acquire(size_t bytes) {
  if (bytes > (size_t{1} << 62)) throw OutOfMemory(bytes);
  size_t size = bytes + kAlign;
  const bool small = size < kLarge && class_bytes(class_of(size)) < kLarge;
  const int size_class = small ? class_of(size) : 0;
  size = small ? class_bytes(size_class) : std::max(kLarge, (size + kPage - 1) & ~(kPage - 1));
  const std::lock_guard<SpinMutex> lock(mutex);
  static const int registered = pthread_atfork(before_fork, after_fork, after_fork);
  (void)registered;
  Header* const header = small ? acquire_small(size, size_class) : acquire_large(size);
  if (header == nullptr) throw OutOfMemory(bytes);
  header->size = size;
  return reinterpret_cast<char*>(header) + kAlign;
}

void release(void* block) noexcept {
  if (block == nullptr) return;
  auto* const header = reinterpret_cast<Header*>(static_cast<char*>(block) - kAlign);
  const size_t size = header->size;
  const std::lock_guard<SpinMutex> lock(mutex);
  if (size >= kLarge) {
    holes->add(reinterpret_cast<char*>(header), size);
  } else if (small_idle + size <= kMostIdle) {
    Header*& first = small_blocks[class_of(size)];
    header->next = first;
    first = header;
    small_idle += size;
  } else {
    std::free(header);
  }
}

}  // namespace nnlite
