#include "ops/fma_peak.h"

#include "array.h"

namespace nnlite {

// For bench: not an op, hence the underscore.
void bind_fma_peak(pybind11::module_& m) {
  m.def(
      "_fma_peak",
      [](double seconds) {
        double peak = 0;
        run([&] { peak = fma_peak(seconds); });
        return peak;
      },
      pybind11::arg("seconds"));
}

}  // namespace nnlite
