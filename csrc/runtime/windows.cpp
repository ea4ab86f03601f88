#include "windows.h"

namespace nnlite {

Windows windows(const char* op, Pair size, Pair kernel, py::handle stride, py::handle padding, py::handle dilation) {
  Windows w{
      kernel, pair(op, "stride", stride, 1), pair(op, "padding", padding, 0), pair(op, "dilation", dilation, 1), {}};
  check_step(op, "kernel", kernel);
  using Wide = __int128;
  const auto output = [](Wide n, Wide k, Wide s, Wide p, Wide d) {
    const Wide room = n + 2 * p - d * (k - 1) - 1;
    return room < 0 ? int64_t{0} : static_cast<int64_t>(room / s + 1);
  };
  w.output = {output(size.first, kernel.first, w.stride.first, w.padding.first, w.dilation.first),
              output(size.second, kernel.second, w.stride.second, w.padding.second, w.dilation.second)};
  const auto sizes = [](Pair p) { return Shape{p.first, p.second}; };
  check(w.output.first >= 1 && w.output.second >= 1, op, ": a kernel of ", show(sizes(kernel)), " with dilation ",
        show(sizes(w.dilation)), " is larger than an input of ", show(sizes(size)), " with padding ",
        show(sizes(w.padding)));
  return w;
}

}  // namespace nnlite
