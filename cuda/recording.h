// A training step that is started again without Python. While a Recording is under way on a thread, everything is done
// as usual and every launch is kept with its arguments; replay() starts them again, in order, on the same memory, which
// the recording owns or keeps. The few launches whose scalars change from step to step (an optimizer's corrections, a
// draw of random numbers) are made by launch_varying(): before a replay the op is called again with the new scalars,
// and while refreshing() holds, it leaves them with the recording and launches nothing.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace nnlite {

class Recording {
 public:
  Recording() = default;
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  void begin();  // DeviceError if this thread records already
  void end();
  void replay();

  // What launch() and launch_varying() give it.
  void add(std::function<void()> start);
  void add_alone(std::function<void()> start);  // not as part of a graph
  void add_varying(std::function<void()> start, std::shared_ptr<void> arguments, size_t bytes);
  // The arguments of the next varying launch as they were recorded, and where its new scalars go.
  void* next_varying(size_t bytes);

  void begin_refresh();
  void end_refresh();  // DeviceError unless all scalars were left
  void abandon_refresh();

  // Memory of the step: what is released while recording serves later launches of the same step, and stays the
  // recording's when it ends.
  void* allocate(size_t bytes);
  bool release(void* p) noexcept;  // false if it is not the recording's
  bool owns(const void* p) const;
  // What was there before and is used by the step stays as long as the recording.
  void hold(std::shared_ptr<void> buffer, const void* p);

 private:
  struct Launch {
    std::function<void()> start;
    bool varies;
  };
  struct Varying {
    std::shared_ptr<void> arguments;
    size_t bytes;
  };
  struct Block {
    size_t bytes;
    bool in_use;
  };
  std::vector<Launch> launches_;
  std::vector<Varying> varying_;
  std::unordered_map<const void*, Block> blocks_;
  std::unordered_map<const void*, std::shared_ptr<void>> held_;
  size_t refreshed_ = 0;
  int device_ = 0;
  std::vector<std::shared_ptr<void>> graphs_;  // one for each run of launches between varying ones; made at a replay
};

// The recording under way on this thread, or nullptr; and the one whose scalars are being left.
Recording* recording();
Recording* refreshing();

namespace device {
// Copies and zeros that a recorded step does again.
void upload(void* to, const void* from, size_t bytes);  // from host memory
void move(void* to, const void* from, size_t bytes);
void clear(void* to, size_t bytes);
// Of the device layer: starts `work` as one unit that can be started again cheaply (a CUDA graph); the simulator just
// keeps it.
std::shared_ptr<void> make_graph(const std::function<void()>& work);
void start_graph(void* graph);
// Memory as it comes from the device layer; allocate() and release() ask a recording first.
void* allocate_block(size_t bytes);
void release_block(void* p) noexcept;
}  // namespace device

}  // namespace nnlite
