// What is the same for the CUDA runtime and the simulator: the texts of faults, and the limits of a launch.
#include <cstring>
#include <deque>
#include <mutex>
#include <string>

#include "device.h"

namespace nnlite {
namespace {

struct Text {
  std::string op, argument, kind;
};

std::mutex mutex;
std::deque<Text> texts;

}  // namespace

namespace device {

int64_t fault_number(const char* op, const char* argument, const char* kind) {
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].op == op && texts[i].argument == argument && texts[i].kind == kind) return static_cast<int64_t>(i) + 1;
  }
  texts.push_back({op, argument, kind});
  return static_cast<int64_t>(texts.size());
}

void raise_fault(const Fault& found) {
  if (found.what == 0) return;
  const std::lock_guard lock(mutex);
  const Text& text = texts.at(static_cast<size_t>(found.what) - 1);
  const std::string value = std::to_string(found.value), limit = std::to_string(found.limit);
  const std::string range = std::string("(0 to ").append(std::to_string(found.limit - 1)).append(")");
  if (text.kind == "tap") {
    throw FoundByKernel(text.op + ": " + text.argument + " holds [" + value + "] but a window has " + limit + " taps " +
                        range);
  }
  if (text.kind != "finite") {
    throw FoundByKernel(text.op + ": " + text.argument + "[" + std::to_string(found.index) + "] is " + value +
                        " but there are " + limit + " " + text.kind + " " + range);
  }
  double number;
  std::memcpy(&number, &found.value, sizeof number);
  const char* const shown = number != number ? "nan" : number < 0 ? "-inf" : "inf";
  throw NotFinite(text.op + " is " + shown + " in " + text.argument + ", step " + std::to_string(found.index));
}

void check_launch(const char* name, int64_t gx, int64_t gy, int64_t gz, int64_t bx, int64_t by, int64_t bz,
                  size_t shared) {
  constexpr int64_t kMostX = 0x7fffffff, kMostYZ = 65535, kMostThreads = 1024;
  constexpr size_t kMostShared = 227 * 1024;
  const auto inside = [](int64_t n, int64_t most) { return n >= 1 && n <= most; };
  if (inside(gx, kMostX) && inside(gy, kMostYZ) && inside(gz, kMostYZ) && inside(bx, kMostThreads) &&
      inside(by, kMostThreads) && inside(bz, 64) && bx * by * bz <= kMostThreads && shared <= kMostShared) {
    return;
  }
  const auto text = [](int64_t x, int64_t y, int64_t z) {
    return std::string("(") + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
  };
  throw DeviceError(std::string(name) + ": cannot be launched with a grid of " + text(gx, gy, gz) + ", blocks of " +
                    text(bx, by, bz) + " and " + std::to_string(shared) + " bytes of shared memory");
}

}  // namespace device
}  // namespace nnlite
