// The choice of fma in the module that runs on any CPU; see runtime/fma.cpp.
#pragma once

namespace nnlite {

// Whether the CPU's instruction is used from here on, if it is wanted and there. Until the first call it is not.
bool set_fma_instruction(bool wanted);

}  // namespace nnlite
