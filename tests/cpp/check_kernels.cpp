// The kernels without Python: gemm and conv2d against plain loops in the specified order (docs/numerics.md, sections 2
// and 3), and one line with a hash per op, which must be the same on every instruction set. Also the thread pool:
// nested and concurrent callers, and a forked child.
//
//   check_kernels [--no-fork | --fma-instruction]     prints the hashes; exit code 1 when a comparison fails, 77 where
//   this CPU lacks the instruction set. Emulators may not fork a process with threads. The baseline uses the CPU's fma
//   only if asked.

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "float_state.h"
#include "fma.h"
#include "ops/batchnorm.h"
#include "ops/conv2d.h"
#include "ops/dropout.h"
#include "ops/gemm.h"
#include "ops/im2col.h"
#include "ops/map.h"
#include "ops/mse.h"
#include "ops/optim.h"
#include "ops/pool2d.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/softmax.h"
#include "ops/softmax_cross_entropy.h"
#include "parallel.h"

using namespace nnlite;

namespace {

int failures = 0;
uint32_t draws = 0;

template <class T>
std::vector<T> numbers(int64_t n) {
  std::vector<T> x(n);
  random_uniform({1, draws++, 3}, n, T(-1), T(2), x.data());
  return x;
}

void fold(uint64_t& hash, const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3u;
}

template <class... Vectors>
void report(const char* op, int bytes, const Vectors&... vectors) {
  uint64_t hash = 0xcbf29ce484222325u;
  (fold(hash, vectors.data(), vectors.size() * sizeof(vectors[0])), ...);
  std::printf("%-28s float%d %016llx\n", op, 8 * bytes, static_cast<unsigned long long>(hash));
}

template <class T>
void compare(const char* op, const std::vector<T>& got, const std::vector<T>& want) {
  if (std::memcmp(got.data(), want.data(), got.size() * sizeof(T)) == 0) return;
  std::printf("%s float%zu differs from the plain loop\n", op, 8 * sizeof(T));
  ++failures;
}

// The dot product of the specification.
template <class T>
T dot(int64_t n, const std::function<T(int64_t)>& a, const std::function<T(int64_t)>& b) {
  T total = 0;
  for (int64_t first = 0; first < n; first += 512) {
    T s = 0;
    for (int64_t k = first; k < std::min(n, first + 512); ++k) s = std::fma(a(k), b(k), s);
    total = first == 0 ? s : total + s;
  }
  return total;
}

template <class T>
void check_gemm(int64_t m, int64_t n, int64_t k) {
  const auto a = numbers<T>(m * k), b = numbers<T>(k * n), bias = numbers<T>(n);
  std::vector<T> want(m * n), c(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      want[i * n + j] =
          dot<T>(k, [&](int64_t l) { return a[i * k + l]; }, [&](int64_t l) { return b[l * n + j]; }) + bias[j];
    }
  }
  gemm({m, n, k, false, false}, a.data(), b.data(), bias.data(), c.data());
  compare("gemm", c, want);
  std::vector<T> transposed(n * k);
  for (int64_t l = 0; l < k; ++l) {
    for (int64_t j = 0; j < n; ++j) transposed[j * k + l] = b[l * n + j];
  }
  gemm({m, n, k, false, true}, a.data(), transposed.data(), bias.data(), c.data());
  compare("gemm, b transposed", c, want);
  report("gemm", sizeof(T), c);
}

template <class T>
void check_conv2d(Conv2dSize z) {
  z.out_h = (z.h + 2 * z.padding_h - z.dilation_h * (z.r - 1) - 1) / z.stride_h + 1;
  z.out_w = (z.w + 2 * z.padding_w - z.dilation_w * (z.s - 1) - 1) / z.stride_w + 1;
  const int64_t channels = z.c / z.groups, filters = z.k / z.groups, taps = channels * z.r * z.s;
  const int64_t pixels = z.out_h * z.out_w;
  const auto x = numbers<T>(z.n * z.c * z.h * z.w), weight = numbers<T>(z.k * taps), bias = numbers<T>(z.k);
  const auto at = [&](int64_t n, int64_t c, int64_t y, int64_t v) {
    return y < 0 || y >= z.h || v < 0 || v >= z.w ? T(0) : x[((n * z.c + c) * z.h + y) * z.w + v];
  };
  const auto tap = [&](int64_t n, int64_t group, int64_t pixel, int64_t t) {
    const int64_t c = t / (z.r * z.s), r = t / z.s % z.r, s = t % z.s;
    return at(n, group * channels + c, pixel / z.out_w * z.stride_h - z.padding_h + r * z.dilation_h,
              pixel % z.out_w * z.stride_w - z.padding_w + s * z.dilation_w);
  };
  std::vector<T> y(z.n * z.k * pixels), want(y.size());
  for (int64_t i = 0; i < static_cast<int64_t>(want.size()); ++i) {
    const int64_t n = i / (z.k * pixels), k = i / pixels % z.k, pixel = i % pixels;
    want[i] = dot<T>(
                  taps, [&](int64_t t) { return tap(n, k / filters, pixel, t); },
                  [&](int64_t t) { return weight[k * taps + t]; }) +
              bias[k];
  }
  conv2d_forward(z, x.data(), weight.data(), bias.data(), y.data());
  compare("conv2d_forward", y, want);

  const auto dy = numbers<T>(y.size());
  std::vector<T> dweight(z.k * taps), want_dweight(dweight.size());
  for (int64_t i = 0; i < static_cast<int64_t>(dweight.size()); ++i) {
    const int64_t k = i / taps, t = i % taps;
    want_dweight[i] = dot<T>(
        z.n * pixels, [&](int64_t p) { return dy[(p / pixels * z.k + k) * pixels + p % pixels]; },
        [&](int64_t p) { return tap(p / pixels, k / filters, p % pixels, t); });
  }
  conv2d_backward_weights(z, dy.data(), x.data(), dweight.data());
  compare("conv2d_backward_weights", dweight, want_dweight);

  std::vector<T> dx(x.size()), want_dx(x.size());
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    const int64_t n = i / (z.c * z.h * z.w), c = i / (z.h * z.w) % z.c, h = i / z.w % z.h, w = i % z.w;
    std::vector<T> a, b;
    for (int64_t f = 0; f < filters; ++f) {
      const int64_t k = c / channels * filters + f;
      for (int64_t r = z.r - 1; r >= 0; --r) {
        for (int64_t s = z.s - 1; s >= 0; --s) {
          const int64_t v = h + z.padding_h - r * z.dilation_h, u = w + z.padding_w - s * z.dilation_w;
          if (v % z.stride_h != 0 || u % z.stride_w != 0) continue;
          const int64_t oh = v / z.stride_h, ow = u / z.stride_w;
          const bool inside = v >= 0 && u >= 0 && oh < z.out_h && ow < z.out_w;
          a.push_back(inside ? dy[((n * z.k + k) * z.out_h + oh) * z.out_w + ow] : T(0));
          b.push_back(weight[((k * channels + c % channels) * z.r + r) * z.s + s]);
        }
      }
    }
    want_dx[i] = dot<T>(a.size(), [&](int64_t t) { return a[t]; }, [&](int64_t t) { return b[t]; });
  }
  conv2d_backward_data(z, dy.data(), weight.data(), dx.data());
  compare("conv2d_backward_data", dx, want_dx);
  std::vector<T> dbias(z.k);
  plane_sums(dy.data(), z.n, z.k, pixels, dbias.data());
  report("conv2d", sizeof(T), y, dx, dweight, dbias);
}

// Ops whose loops the compiler vectorises its own way on each instruction set.
template <class T>
void hash_the_rest() {
  constexpr int64_t n = 3, c = 5, h = 11, w = 19, count = n * c * h * w;
  const auto x = numbers<T>(count), dy = numbers<T>(count);
  std::vector<T> y(count), dx(count);
  Axes<kMostOperands> flat;
  flat.add(count, {1, 1, 1});
  for (const MapOp<T>& op : map_ops<T>()) {
    const T* const operands[] = {x.data(), dy.data(), x.data()};
    op.run(flat, count, operands, y.data());
    for (T& v : y) v = v == v ? v : std::numeric_limits<T>::quiet_NaN();
    report(op.name, sizeof(T), y);
  }
  std::vector<T> total(1), columns_total(n * w);
  sum_middle({1, count, 1}, x.data(), total.data());
  sum_middle({n, c * h, w}, x.data(), columns_total.data());
  report("sum", sizeof(T), total, columns_total);

  const WindowAxis rows{h, 3, 2, 1, 1, 6}, columns{w, 3, 2, 1, 1, 10};
  std::vector<T> pooled(n * c * 60), average(pooled.size()), col(n * 60 * c * 9);
  std::vector<uint8_t> index(pooled.size());
  max_pool2d_forward(x.data(), n * c, rows, columns, pooled.data(), index.data());
  max_pool2d_backward(pooled.data(), index.data(), n * c, rows, columns, dx.data());
  avg_pool2d_forward(x.data(), n * c, rows, columns, average.data());
  report("max_pool2d", sizeof(T), pooled, index, dx);
  avg_pool2d_backward(average.data(), n * c, rows, columns, dx.data());
  report("avg_pool2d", sizeof(T), average, dx);
  im2col(x.data(), n, c, rows, columns, col.data());
  col2im(col.data(), n, c, rows, columns, dx.data());
  report("im2col, col2im", sizeof(T), col, dx);

  for (const BatchnormSize size : {BatchnormSize{n, c, h * w}, BatchnormSize{55, 57, 1}}) {
    const auto weight = numbers<T>(size.c), bias = numbers<T>(size.c);
    std::vector<T> mean(size.c), var(size.c), dweight(size.c), dbias(size.c);
    batchnorm_statistics(size, x.data(), mean.data(), var.data());
    for (const bool relu : {false, true}) {
      batchnorm_normalise(size, x.data(), weight.data(), bias.data(), mean.data(), var.data(), T(1e-5), relu, y.data());
      batchnorm_backward(size, true, dy.data(), x.data(), weight.data(), relu ? bias.data() : nullptr, mean.data(),
                         var.data(), T(1e-5), dx.data(), dweight.data(), dbias.data());
      report("batchnorm", sizeof(T), mean, var, y, dx, dweight, dbias);
    }
  }

  std::vector<T> loss(1);
  std::vector<int64_t> labels(55);
  for (int64_t i = 0; i < 55; ++i) labels[i] = i * 7 % 57;
  softmax_forward(x.data(), 55, 57, y.data());
  softmax_backward(dy.data(), y.data(), 55, 57, dx.data());
  report("softmax", sizeof(T), y, dx);
  softmax_cross_entropy_forward(x.data(), {labels.data(), nullptr}, 55, 57, loss.data(), y.data());
  softmax_cross_entropy_backward(loss.data(), y.data(), {labels.data(), nullptr}, 55, 57, dx.data());
  report("softmax_cross_entropy", sizeof(T), loss, y, dx);
  mse_forward(x.data(), dy.data(), count, loss.data());
  mse_backward(loss.data(), x.data(), dy.data(), count, dx.data());
  report("mse", sizeof(T), loss, dx);

  std::vector<uint8_t> mask(count);
  dropout_forward(x.data(), count, 1u << 23, T(2), {1, 2, 2}, y.data(), mask.data());
  report("dropout", sizeof(T), y, mask);
  random_normal({1, 3, 3}, count, 0.5, 2.0, y.data());
  report("random_normal", sizeof(T), y);

  auto p = x, m = numbers<T>(count), v = std::vector<T>(count, T(0.5));
  const Slot<T> slot{0, count, p.data(), dy.data(), m.data(), v.data()};
  adam_update(&slot, 1, {0.9, 0.1, 0.999, 0.001, 1e-8, 0.01, 0.999, 0.01, 3.0, false});
  sgd_update(&slot, 1, {0.1, 0.9, 0.01, true});
  report("adam, sgd", sizeof(T), p, m, v);
}

void check_pool(bool with_fork) {
  std::vector<int> seen(10000);
  parallel_for(0, 100, 1, [&](int64_t begin, int64_t end) {
    parallel_for(begin * 100, end * 100, 7, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) ++seen[i];
    });
  });
  for (const int times : seen) failures += times != 1;

  const auto a = numbers<float>(200 * 600), b = numbers<float>(600 * 200);
  const auto multiply = [&] {
    std::vector<float> c(200 * 200);
    gemm({200, 200, 600, false, false}, a.data(), b.data(), nullptr, c.data());
    return c;
  };
  const auto want = multiply();
  std::vector<std::vector<float>> got(4);
  std::vector<std::thread> callers;
  for (auto& c : got) callers.emplace_back([&] { c = multiply(); });
  for (auto& caller : callers) caller.join();
  for (const auto& c : got) compare("gemm from four threads", c, want);

  if (!with_fork) return;
  const pid_t child = fork();
  if (child == 0) _exit(multiply() == want ? 0 : 1);
  int status = 1;
  waitpid(child, &status, 0);
  if (status != 0) {
    std::printf("a forked child failed\n");
    ++failures;
  }
}

template <class T>
void check_all() {
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1}, {1, 70, 515}, {17, 33, 31}, {29, 65, 1030}}) {
    check_gemm<T>(m, n, k);
  }
  check_conv2d<T>({2, 3, 9, 21, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0});
  check_conv2d<T>({3, 4, 7, 10, 6, 3, 2, 2, 3, 1, 2, 2, 1, 2, 0, 0});
  check_conv2d<T>({1, 60, 5, 5, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0});
  check_conv2d<T>({13, 1, 8, 8, 16, 5, 5, 1, 1, 2, 2, 1, 1, 1, 0, 0});
  hash_the_rest<T>();
}

}  // namespace

int main(int argc, char** argv) {
#if defined(NNLITE_ISA_avx2)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 77;
#elif defined(NNLITE_ISA_avx512)
  if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) return 77;
#endif
  const std::string asked = argc > 1 ? argv[1] : "";
  if (asked == "--fma-instruction" && !set_fma_instruction(true)) return 77;
  const FloatState specified;
  for (const int threads : {3, 1}) {
    set_num_threads(threads);
    draws = 0;
    std::printf("threads %d\n", threads);
    check_all<float>();
    check_all<double>();
  }
  set_num_threads(3);
  check_pool(asked != "--no-fork");
  if (failures != 0) std::printf("%d failures\n", failures);
  return failures != 0;
}
