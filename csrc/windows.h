// Where the windows of a convolution or a pooling lie on the input: checked arguments of conv2d, im2col and the pools.
// Pairs are (height, width).
#pragma once

#include "arguments.h"

namespace nnlite {

using Pair = std::pair<int64_t, int64_t>;

struct Windows {
  Pair kernel, stride, padding, dilation, output;
};

// Reads stride, padding and dilation (each an int or a pair) and computes the output size floor((n + 2p - d(k-1) - 1) /
// s) + 1; ValueError where the kernel is larger than the padded input.
Windows windows(const char* op, Pair size, Pair kernel, py::handle stride, py::handle padding,
                py::handle dilation = py::int_(1));

}  // namespace nnlite
