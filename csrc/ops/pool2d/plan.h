// Which window sizes go which way, and why: the first row of the table that fits. All ways give the same bits.
#pragma once

#include "ops/window_axis.h"

namespace nnlite {
namespace {

enum class Pass { max_forward, max_backward, average_forward, average_backward };
enum class Way { two_by_two, over_planes, three_by_three, scatter, bands };

// The most taps over one element that max backward compares with what the windows have chosen.
constexpr int64_t kTried = 9;

struct Rule {
  Way way;
  const char* name;
  bool (*fits)(Pass, WindowAxis h, WindowAxis w);
  const char* why;
};

inline bool is_2x2(WindowAxis h, WindowAxis w) {
  const auto apart = [](WindowAxis a) {
    return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.dilation == 1 && 2 * a.windows <= a.size;
  };
  return apart(h) && apart(w);
}

inline bool is_3x3(WindowAxis h, WindowAxis w) {
  const auto overlapping = [](WindowAxis a) { return a.kernel == 3 && a.stride == 2 && a.dilation == 1; };
  return overlapping(h) && overlapping(w) && h.padding == w.padding;
}

inline int64_t taps_over_element(WindowAxis a) { return (a.kernel + a.stride - 1) / a.stride; }

constexpr Rule kPlan[] = {
    {Way::two_by_two, "two_by_two", [](Pass, WindowAxis h, WindowAxis w) { return is_2x2(h, w); },
     "the most usual windows: no two share an element, so they are read and written where they lie"},
    {Way::scatter, "scatter",
     [](Pass pass, WindowAxis h, WindowAxis w) {
       return pass == Pass::max_backward && (w.stride > 2 || taps_over_element(h) * taps_over_element(w) > kTried);
     },
     "few windows have chosen an element: adding where they point costs less than comparing all taps over it"},
    {Way::over_planes, "over_planes",
     [](Pass pass, WindowAxis, WindowAxis w) { return pass != Pass::max_backward && w.stride > 2; },
     "a row would be deinterleaved element by element; transposing planes is faster, even with lanes to spare"},
    {Way::over_planes, "over_planes",
     [](Pass pass, WindowAxis h, WindowAxis w) {
       return pass != Pass::max_backward && w.windows <= (is_3x3(h, w) ? 6 : 8);
     },
     "rows of few windows: most of a run of taps would be border"},
    {Way::three_by_three, "three_by_three", [](Pass, WindowAxis h, WindowAxis w) { return is_3x3(h, w); },
     "the usual windows that overlap: they are not deinterleaved, each third tap is a first one of the next window"},
    {Way::bands, "bands", [](Pass, WindowAxis, WindowAxis) { return true; },
     "all others: deinterleaved by phase, each tap of all windows of a band is one run of memory"},
};

inline const Rule& plan(Pass pass, WindowAxis h, WindowAxis w) {
  const Rule* rule = kPlan;
  while (!rule->fits(pass, h, w)) ++rule;
  return *rule;
}

}  // namespace
}  // namespace nnlite
