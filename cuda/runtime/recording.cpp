#include "recording.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "device.h"

namespace nnlite {
namespace {

thread_local Recording* under_way = nullptr;
thread_local Recording* refresh_under_way = nullptr;

// Those that exist: an array may be released after the recording that owns its memory.
std::mutex mutex;
std::set<Recording*> existing;

}  // namespace

Recording* recording() { return under_way; }
Recording* refreshing() { return refresh_under_way; }

Recording::~Recording() {
  if (under_way == this) under_way = nullptr;
  {
    const std::lock_guard lock(mutex);
    existing.erase(this);
  }
  held_.clear();
  // Arrays that still live keep their blocks, and release them themselves.
  for (const auto& [p, block] : blocks_) {
    if (!block.in_use) device::release_block(const_cast<void*>(p));
  }
}

void Recording::begin() {
  if (under_way != nullptr) throw DeviceError("capture: a step is being captured already");
  const std::lock_guard lock(mutex);
  existing.insert(this);
  under_way = this;
}

void Recording::end() {
  under_way = nullptr;
  device_ = device::current();
}

void Recording::add(std::function<void()> start) { launches_.push_back({std::move(start), false}); }

void Recording::add_alone(std::function<void()> start) { launches_.push_back({std::move(start), true}); }

void Recording::add_varying(std::function<void()> start, std::shared_ptr<void> arguments, size_t bytes) {
  launches_.push_back({std::move(start), true});
  varying_.push_back({std::move(arguments), bytes});
}

void* Recording::next_varying(size_t bytes) {
  if (refreshed_ >= varying_.size() || varying_[refreshed_].bytes != bytes) {
    throw DeviceError("capture: the step that is replayed is not the step that was captured");
  }
  return varying_[refreshed_++].arguments.get();
}

void Recording::begin_refresh() {
  refreshed_ = 0;
  refresh_under_way = this;
}

void Recording::end_refresh() {
  refresh_under_way = nullptr;
  if (refreshed_ != varying_.size()) {
    throw DeviceError("capture: " + std::to_string(varying_.size()) + " launches need new scalars, but " +
                      std::to_string(refreshed_) + " got them");
  }
}

void Recording::abandon_refresh() { refresh_under_way = nullptr; }

void Recording::replay() {
  device::set_current(device_);
  size_t graph = 0;
  for (size_t i = 0; i < launches_.size();) {
    if (launches_[i].varies) {
      launches_[i++].start();
      continue;
    }
    const auto first = launches_.begin() + static_cast<std::ptrdiff_t>(i);
    const auto last = std::find_if(first, launches_.end(), [](const Launch& l) { return l.varies; });
    if (graph == graphs_.size()) {
      graphs_.push_back(device::make_graph([=] { std::for_each(first, last, [](const Launch& l) { l.start(); }); }));
    }
    device::start_graph(graphs_[graph++].get());
    i = static_cast<size_t>(last - launches_.begin());
  }
}

void* Recording::allocate(size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto fits = [=](const auto& entry) { return !entry.second.in_use && entry.second.bytes == bytes; };
  const auto free = std::find_if(blocks_.begin(), blocks_.end(), fits);
  if (free != blocks_.end()) {
    free->second.in_use = true;
    return const_cast<void*>(free->first);
  }
  void* const p = device::allocate_block(bytes);
  blocks_.emplace(p, Block{bytes, true});
  return p;
}

bool Recording::owns(const void* p) const { return blocks_.contains(p); }

void Recording::hold(std::shared_ptr<void> buffer, const void* p) {
  if (!owns(p)) held_.emplace(p, std::move(buffer));
}

bool Recording::release(void* p) noexcept {
  const auto it = blocks_.find(p);
  if (it == blocks_.end()) return false;
  it->second.in_use = false;
  return true;
}

namespace device {

void upload(void* to, const void* from, size_t bytes) {
  copy_to_device(to, from, bytes);
  if (under_way == nullptr) return;
  const auto* const first = static_cast<const char*>(from);
  const auto held = std::make_shared<std::vector<char>>(first, first + bytes);
  under_way->add_alone([=] { copy_to_device(to, held->data(), held->size()); });
}

void move(void* to, const void* from, size_t bytes) {
  copy_on_device(to, from, bytes);
  if (under_way != nullptr) under_way->add([=] { copy_on_device(to, from, bytes); });
}

void clear(void* to, size_t bytes) {
  fill_zero(to, bytes);
  if (under_way != nullptr) under_way->add([=] { fill_zero(to, bytes); });
}

void* allocate(size_t bytes) { return under_way != nullptr ? under_way->allocate(bytes) : allocate_block(bytes); }

void refuse_to_wait() {
  if (under_way == nullptr) return;
  throw DeviceError("capture: a step that is captured cannot ask for numbers of the device (item(), numpy())");
}

void release(void* p) noexcept {
  {
    const std::lock_guard lock(mutex);
    for (Recording* r : existing) {
      if (r->release(p)) return;
    }
  }
  release_block(p);
}

}  // namespace device
}  // namespace nnlite
