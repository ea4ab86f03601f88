// Statistics of planes, then of the planes of a channel, then one pass over the elements. For p = 1 the planes are the
// elements, and channels are columns.
//
// A plane's squares need its mean, so a plane stays where it has been read: in registers (small_planes), in shared
// memory (row_team.h), or, if it is too large, in memory, which is read twice. Numbers of a channel that the last pass
// needs are made by whoever has the channel's sums, or by each thread again: they cost less than what it waits for.
#include "ops/batchnorm.h"

#include "axis.h"
#include "row_team.h"

namespace nnlite {
namespace {

constexpr int kThreads = 256;

// n / d, in 32 bits where all n are small.
struct AnyDivider {
  AnyDivider(int64_t d, int64_t most) : d(d), by_small(most < kMost32 ? d : 1), small(most < kMost32) {}
  __device__ int64_t divide(int64_t n) const { return small ? by_small.divide(static_cast<int32_t>(n)) : n / d; }
  int64_t d;
  Divider<int32_t> by_small;
  bool small;
};

// The channel of a plane.
struct ChannelOf {
  ChannelOf(BatchnormSize size) : by_c(std::max<int64_t>(1, size.c), size.n * size.c), c(size.c) {}
  __device__ int64_t operator()(int64_t plane) const { return plane - by_c.divide(plane) * c; }
  AnyDivider by_c;
  int64_t c;
};

template <class T>
__device__ T reciprocal_root(T var, T eps) {
  return 1 / square_root(var + eps);
}

// s_n and q_n of planes of at most 32 * kValues elements, kRows of them in the registers of a group of `lanes` lanes:
// one alone would have too few loads in flight.
template <class T, int kValues, int kRows>
__global__ void small_planes(const T* x, int64_t planes, int p, int lanes, T* sums, T* squares) {
  const int groups = kThreads / lanes, lane = static_cast<int>(threadIdx.x) % lanes;
  const int64_t first = int64_t{blockIdx.x} * groups * kRows + static_cast<int>(threadIdx.x) / lanes;
  T v[kRows][kValues];
  for (int r = 0; r < kRows; ++r) {
    const int64_t plane = first + r * groups;
    for (int j = 0; j < kValues; ++j) {
      const int i = lane + j * kWarp;
      v[r][j] = plane < planes && i < p ? x[plane * p + i] : T(0);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    T sum = T(0), square = T(0);
    for (int j = 0; j < kValues; ++j) sum = sum + v[r][j];
    sum = fold(sum, lanes);
    const T center = sum / static_cast<T>(p);
    for (int j = 0; j < kValues; ++j) {
      const T d = v[r][j] - center;
      if (lane + j * kWarp < p) square = square + d * d;
    }
    square = fold(square, lanes);
    const int64_t plane = first + r * groups;
    if (lane == 0 && plane < planes) {
      sums[plane] = sum;
      squares[plane] = square;
    }
  }
}

template <class T>
struct Plane {
  const T* x;
  T p;
  T *sums, *squares;

  template <class Team>
  __device__ void operator()(const Team& team, int64_t plane) const {
    const T* const v = team.stage(0, x + plane * team.k);
    const T sum = team.sum([&](auto i) { return v[i]; }), center = sum / p;
    const T square = team.sum([&](auto i) {
      const T d = v[i] - center;
      return d * d;
    });
    if (team.leads()) {
      sums[plane] = sum;
      squares[plane] = square;
    }
  }
};

template <class T>
struct CenteredSquares {
  const T *x, *sums;
  int64_t p;
  __device__ auto operator()(int64_t plane) const {
    return [v = x + plane * p, center = sums[plane] / static_cast<T>(p)](int64_t i) {
      const T d = v[i] - center;
      return d * d;
    };
  }
};

// What plane (n, c) adds to the variance of its channel.
template <class T>
struct Spread {
  const T *sums, *squares, *mean;
  int64_t channels;
  T p;
  __device__ auto operator()(int64_t c) const {
    return [*this, c, center = mean[c]](int64_t n) {
      const T shift = sums[n * channels + c] / p - center;
      return squares[n * channels + c] + (shift * shift) * p;
    };
  }
};
// The same for planes of one element.
template <class T>
struct SpreadOfElements {
  const T *x, *mean;
  int64_t channels;
  __device__ auto operator()(int64_t c) const {
    return [*this, c, center = mean[c]](int64_t n) {
      const T v = x[n * channels + c], d = v - v, shift = v - center;
      return d * d + (shift * shift) * T(1);
    };
  }
};

template <class T>
void plane_statistics(const T* x, int64_t planes, int64_t p, T* sums, T* squares) {
  constexpr auto op = "batchnorm_training_forward";
  const auto small = [&](auto kernel, int lanes, int rows) {
    launch(op, kernel, blocks_for(planes, int64_t{rows} * (kThreads / lanes)), kThreads, 0, x, planes,
           static_cast<int>(p), lanes, sums, squares);
  };
  if (p <= kWarp) {
    int lanes = 1;
    while (lanes < p) lanes *= 2;
    small(small_planes<T, 1, 8>, lanes, 8);
  } else if (p <= 4 * kWarp) {
    small(small_planes<T, 4, 4>, kWarp, 4);
  } else if (static_cast<size_t>(p) * sizeof(T) + sizeof(RowSlots) <= device::shared_bytes()) {
    for_rows<T>(op, Plane<T>{x, static_cast<T>(p), sums, squares}, planes, p, 1);
  } else {
    long_row_sums<T>(op, lane_sum::Row<T>{x, p}, planes, p, lane_sum::Store<T>{sums});
    long_row_sums<T>(op, CenteredSquares<T>{x, sums, p}, planes, p, lane_sum::Store<T>{squares});
  }
}

template <class T>
void statistics(BatchnormSize size, const T* x, T* mean, T* var) {
  constexpr auto op = "batchnorm_training_forward";
  if (size.c == 0) return;
  const T m = static_cast<T>(size.n * size.p);
  const lane_sum::StoreMean<T> to_mean{mean, m}, to_var{var, m};
  if (size.p == 1) {
    const SpreadOfElements<T> spread{x, mean, size.c};
    column_sums_twice<T>(op, lane_sum::Column<T>{x, size.c}, to_mean, spread, to_var, size.n, size.c);
    return;
  }
  const int64_t planes = size.n * size.c;
  const Scratch<T> sums(planes), squares(planes);
  plane_statistics(x, planes, size.p, sums.get(), squares.get());
  const Spread<T> spread{sums.get(), squares.get(), mean, size.c, static_cast<T>(size.p)};
  column_sums_twice<T>(op, lane_sum::Column<T>{sums.get(), size.c}, to_mean, spread, to_var, size.n, size.c);
}

// y[i] = f(c)(x[i]...), c the channel of element i: a pack a thread, none of which lies in two planes ...
template <class F, class T, class... X>
__global__ void packs(F f, AnyDivider by_p, ChannelOf channel_of, int64_t count, T* y, const X*... x) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i * Pack<T>::kSize >= count) return;
  [&](const Pack<X>... in) {
    const auto of_channel = f(channel_of(by_p.divide(i * Pack<T>::kSize)));
    Pack<T> result;
    for (int j = 0; j < Pack<T>::kSize; ++j) result.at[j] = of_channel(in.at[j]...);
    reinterpret_cast<Pack<T>*>(y)[i] = result;
  }(reinterpret_cast<const Pack<X>*>(x)[i]...);
}
// ... or four elements a thread, a block's width apart.
constexpr int kApart = 4;
template <class F, class T, class... X>
__global__ void elements(F f, AnyDivider by_p, ChannelOf channel_of, int64_t count, T* y, const X*... x) {
  const int64_t first = int64_t{blockIdx.x} * kThreads * kApart + threadIdx.x;
  T v[kApart];
  for (int j = 0; j < kApart; ++j) {
    const int64_t i = first + j * kThreads;
    if (i < count) v[j] = f(channel_of(by_p.divide(i)))(x[i]...);
  }
  for (int j = 0; j < kApart; ++j) {
    if (first + j * kThreads < count) y[first + j * kThreads] = v[j];
  }
}

template <class F, class T, class... X>
void each_element(const char* op, BatchnormSize size, F f, T* y, const X*... x) {
  const int64_t count = size.n * size.c * size.p;
  if (count == 0) return;
  const AnyDivider by_p(size.p, count);
  if (size.p % Pack<T>::kSize == 0 && aligned(y, x...)) {
    launch(op, packs<F, T, X...>, blocks_for(count / Pack<T>::kSize, kThreads), kThreads, 0, f, by_p, ChannelOf(size),
           count, y, x...);
  } else {
    launch(op, elements<F, T, X...>, blocks_for(count, kThreads * kApart), kThreads, 0, f, by_p, ChannelOf(size), count,
           y, x...);
  }
}

template <class T>
struct Normalised {
  const T *weight, *bias, *mean, *var;
  T eps;
  bool relu;
  __device__ auto operator()(int64_t c) const {
    const T scale = weight[c] * reciprocal_root(var[c], eps);
    return [scale, center = mean[c], shift = bias[c], relu = relu](T x) {
      const T y = (x - center) * scale + shift;
      return relu && y <= 0 ? T(0) : y;
    };
  }
};

template <class T>
void normalise(BatchnormSize size, const T* x, const T* weight, const T* bias, const T* mean, const T* var, T eps,
               bool relu, T* y) {
  each_element("batchnorm_forward", size, Normalised<T>{weight, bias, mean, var, eps, relu}, y, x);
}

// given(c)(dy, x) is the gradient of channel c before the ReLU, if there was one.
template <class T>
struct AllPasses {
  __device__ auto operator()(int64_t) const {
    return [](T dy, T) { return dy; };
  }
};
template <class T>
struct PositivePasses {
  const T *weight, *bias, *mean, *var;
  T eps;
  __device__ auto operator()(int64_t c) const {
    const T scale = weight[c] * reciprocal_root(var[c], eps);
    return
        [scale, center = mean[c], shift = bias[c]](T dy, T x) { return (x - center) * scale + shift <= 0 ? T(0) : dy; };
  }
};

// dy and dy * (x - mean) of a plane, or, if planes are elements, of a channel.
template <class T, class Given>
struct GradientsOfPlane {
  const T *dy, *x, *mean;
  Given given;
  int64_t p;
  ChannelOf channel_of;
  __device__ auto operator()(int64_t plane) const {
    const int64_t c = channel_of(plane);
    return [from = dy + plane * p, v = x + plane * p, here = given(c), center = mean[c]](int64_t i) {
      const T d = here(from[i], v[i]);
      return Two<T>{d, d * (v[i] - center)};
    };
  }
};
template <class T, class Given>
struct GradientsOfChannel {
  const T *dy, *x, *mean;
  Given given;
  int64_t channels;
  __device__ auto operator()(int64_t c) const {
    return [from = dy + c, v = x + c, channels = channels, here = given(c), center = mean[c]](int64_t n) {
      const T d = here(from[n * channels], v[n * channels]);
      return Two<T>{d, d * (v[n * channels] - center)};
    };
  }
};

// dx = ((dy - a) - (x - mean) * b) * scale, or dy * scale, with a channel's numbers side by side.
template <class T>
struct Coefficients {
  T a, b, mean, scale;
};
template <class T>
struct StoreGradients {
  const T *weight, *mean, *var;
  T eps, m;
  T *dweight, *dbias;
  Coefficients<T>* coefficients;
  __device__ void operator()(int64_t c, Two<T> sum) const {
    const T rstd = reciprocal_root(var[c], eps), gradient = sum.b * rstd;
    dbias[c] = sum.a;
    dweight[c] = gradient;
    coefficients[c] = {sum.a / m, (gradient * rstd) / m, mean[c], weight[c] * rstd};
  }
};
template <class T, class Given>
struct TrainingGradient {
  const Coefficients<T>* coefficients;
  Given given;
  __device__ auto operator()(int64_t c) const {
    return [k = coefficients[c], here = given(c)](T dy, T x) {
      return ((here(dy, x) - k.a) - (x - k.mean) * k.b) * k.scale;
    };
  }
};
template <class T, class Given>
struct InferenceGradient {
  const Coefficients<T>* coefficients;
  Given given;
  __device__ auto operator()(int64_t c) const {
    return [scale = coefficients[c].scale, here = given(c)](T dy, T x) { return here(dy, x) * scale; };
  }
};

template <class T, class Given>
void backward(BatchnormSize size, bool training, Given given, const T* dy, const T* x, const T* weight, const T* mean,
              const T* var, T eps, T* dx, T* dweight, T* dbias) {
  constexpr auto op = "batchnorm_backward";
  if (size.c == 0) return;
  const Scratch<Coefficients<T>> coefficients(size.c);
  const StoreGradients<T> store{
      weight, mean, var, eps, static_cast<T>(size.n * size.p), dweight, dbias, coefficients.get()};
  if (size.p == 1) {
    column_sums<Two<T>>(op, GradientsOfChannel<T, Given>{dy, x, mean, given, size.c}, size.n, size.c, store);
  } else {
    const Scratch<Two<T>> sums(std::max<int64_t>(1, size.n * size.c));
    row_sums<Two<T>>(op, GradientsOfPlane<T, Given>{dy, x, mean, given, size.p, ChannelOf(size)}, size.n * size.c,
                     size.p, lane_sum::Store<Two<T>>{sums.get()});
    column_sums<Two<T>>(op, lane_sum::Column<Two<T>>{sums.get(), size.c}, size.n, size.c, store);
  }
  if (training) {
    each_element(op, size, TrainingGradient<T, Given>{coefficients.get(), given}, dx, dy, x);
  } else {
    each_element(op, size, InferenceGradient<T, Given>{coefficients.get(), given}, dx, dy, x);
  }
}

template <class T>
void backward(BatchnormSize size, bool training, const T* dy, const T* x, const T* weight, const T* bias, const T* mean,
              const T* var, T eps, T* dx, T* dweight, T* dbias) {
  if (bias) {
    const PositivePasses<T> given{weight, bias, mean, var, eps};
    backward(size, training, given, dy, x, weight, mean, var, eps, dx, dweight, dbias);
  } else {
    backward(size, training, AllPasses<T>{}, dy, x, weight, mean, var, eps, dx, dweight, dbias);
  }
}

template <class T>
__global__ void update_running(int64_t count, const T* running_mean, const T* running_var, const T* mean, const T* var,
                               T unbias, T old, T fresh, T* new_mean, T* new_var) {
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= count) return;
  new_mean[c] = running_mean[c] * old + mean[c] * fresh;
  new_var[c] = running_var[c] * old + (var[c] * unbias) * fresh;
}

template <class T>
void running_update(int64_t count, const T* running_mean, const T* running_var, const T* mean, const T* var, T unbias,
                    T old, T fresh, T* new_mean, T* new_var) {
  if (count == 0) return;
  launch("batchnorm_running_update", update_running<T>, blocks_for(count, kThreads), kThreads, 0, count, running_mean,
         running_var, mean, var, unbias, old, fresh, new_mean, new_var);
}

}  // namespace

void batchnorm_statistics(BatchnormSize size, const float* x, float* mean, float* var) {
  statistics(size, x, mean, var);
}
void batchnorm_statistics(BatchnormSize size, const double* x, double* mean, double* var) {
  statistics(size, x, mean, var);
}
void batchnorm_normalise(BatchnormSize size, const float* x, const float* weight, const float* bias, const float* mean,
                         const float* var, float eps, bool relu, float* y) {
  normalise(size, x, weight, bias, mean, var, eps, relu, y);
}
void batchnorm_normalise(BatchnormSize size, const double* x, const double* weight, const double* bias,
                         const double* mean, const double* var, double eps, bool relu, double* y) {
  normalise(size, x, weight, bias, mean, var, eps, relu, y);
}
void batchnorm_backward(BatchnormSize size, bool training, const float* dy, const float* x, const float* weight,
                        const float* bias, const float* mean, const float* var, float eps, float* dx, float* dweight,
                        float* dbias) {
  backward(size, training, dy, x, weight, bias, mean, var, eps, dx, dweight, dbias);
}
void batchnorm_backward(BatchnormSize size, bool training, const double* dy, const double* x, const double* weight,
                        const double* bias, const double* mean, const double* var, double eps, double* dx,
                        double* dweight, double* dbias) {
  backward(size, training, dy, x, weight, bias, mean, var, eps, dx, dweight, dbias);
}
void batchnorm_running_update(int64_t c, const float* running_mean, const float* running_var, const float* mean,
                              const float* var, float unbias, float old, float fresh, float* new_mean, float* new_var) {
  running_update(c, running_mean, running_var, mean, var, unbias, old, fresh, new_mean, new_var);
}
void batchnorm_running_update(int64_t c, const double* running_mean, const double* running_var, const double* mean,
                              const double* var, double unbias, double old, double fresh, double* new_mean,
                              double* new_var) {
  running_update(c, running_mean, running_var, mean, var, unbias, old, fresh, new_mean, new_var);
}

}  // namespace nnlite
