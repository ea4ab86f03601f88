// The checked arguments of a convolution, for every binding that has one.
#pragma once

#include "ops/conv2d.h"
#include "windows.h"

namespace nnlite {

struct Geometry {
  py::object stride, padding, dilation, groups;
};

inline Conv2dSize conv2d_size(const char* op, const char* x_name, const Shape& x, const char* weight_name,
                              const Shape& weight, const Geometry& g) {
  const int64_t groups = integer(op, "groups", g.groups, 1);
  check(weight[2] >= 1 && weight[3] >= 1, op, ": ", weight_name, " must have a kernel of at least (1, 1), got ",
        show({weight[2], weight[3]}));
  check(weight[0] % groups == 0, op, ": ", weight_name, " has ", weight[0], " output channels, which ", groups,
        " groups do not divide");
  const int64_t expected = size_of(op, {groups, weight[1]});
  check(x[1] == expected, op, ": ", x_name, " has ", x[1], " channels but ", weight_name, " expects ", expected, " (",
        groups, " groups of ", weight[1], ")");
  const Windows w = windows(op, {x[2], x[3]}, {weight[2], weight[3]}, g.stride, g.padding, g.dilation);
  return {x[0],
          x[1],
          x[2],
          x[3],
          weight[0],
          weight[2],
          weight[3],
          w.stride.first,
          w.stride.second,
          w.padding.first,
          w.padding.second,
          w.dilation.first,
          w.dilation.second,
          groups,
          w.output.first,
          w.output.second};
}

}  // namespace nnlite
