#include "ops/batchnorm.h"

#include "lane_sum.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

int64_t grain_of(int64_t work, int64_t size) { return std::max<int64_t>(1, work / std::max<int64_t>(1, size)); }

// Calls f(begin, end) for blocks of channels of (n, c) data, whose planes of one element make columns.
template <class T, class F>
void each_channel_block(BatchnormSize size, F f) {
  const int64_t grain = std::min(kColumnBlock<T>, std::max<int64_t>(16, grain_of(1 << 16, size.n)));
  parallel_for(0, size.c, grain, f);
}

template <class T>
void statistics(BatchnormSize size, const T* x, T* mean, T* var) {
  const T m = static_cast<T>(size.n * size.p), p = static_cast<T>(size.p);
  if (size.p == 1) {
    each_channel_block<T>(size, [=](int64_t begin, int64_t end) {
      const RowMajor<T> at{x + begin, size.c};
      T *const center = mean + begin, *const spread = var + begin;
      column_sums(size.n, end - begin, at, center);
      for (int64_t j = 0; j < end - begin; ++j) center[j] = center[j] / m;
      const auto term = [=](int64_t i, int64_t j) {
        const T v = at(i, j), d = v - v, shift = v - center[j];  // a plane's centred square sum is (v - v)^2
        return d * d + (shift * shift) * p;
      };
      column_sums(size.n, end - begin, term, spread);
      for (int64_t j = 0; j < end - begin; ++j) spread[j] = spread[j] / m;
    });
    return;
  }
  // One read of memory: the squares of a plane are taken while it is in cache.
  const Scratch<T> sums(size.n * size.c), squares(size.n * size.c);
  parallel_for(0, size.n * size.c, grain_of(1 << 14, size.p), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* const plane = x + i * size.p;
      sums[i] = sum(plane, size.p);
      const T center = sums[i] / p;
      const auto square = [=](auto v) {
        const auto d = v - center;
        return d * d;
      };
      squares[i] = sum<T>(size.p, square, plane);
    }
  });
  each_channel_block<T>(size, [&](int64_t begin, int64_t end) {
    const RowMajor<T> plane{sums.get() + begin, size.c}, square{squares.get() + begin, size.c};
    T *const center = mean + begin, *const spread = var + begin;
    column_sums(size.n, end - begin, plane, center);
    for (int64_t j = 0; j < end - begin; ++j) center[j] = center[j] / m;
    const auto term = [=](int64_t i, int64_t j) {
      const T shift = plane(i, j) / p - center[j];
      return square(i, j) + (shift * shift) * p;
    };
    column_sums(size.n, end - begin, term, spread);
    for (int64_t j = 0; j < end - begin; ++j) spread[j] = spread[j] / m;
  });
}

template <class T>
T reciprocal_root(T var, T eps) {
  return 1 / square_root(var + eps);
}

// y[i] = f(c)(i) for all elements i, c their channel: f takes what depends on the channel out of arrays.
template <class T, class F>
void each_element(BatchnormSize size, T* y, F f) {
  if (size.p == 1) {
    parallel_for(0, size.n, grain_of(1 << 14, size.c), [=](int64_t begin, int64_t end) {
      T* __restrict const to = y;
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t c = 0; c < size.c; ++c) to[n * size.c + c] = f(c)(n * size.c + c);
      }
    });
    return;
  }
  parallel_for(0, size.n * size.c, grain_of(1 << 14, size.p), [=](int64_t begin, int64_t end) {
    T* __restrict const to = y;
    int64_t c = begin % size.c;
    for (int64_t plane = begin; plane < end; ++plane) {
      const auto value = f(c);
      for (int64_t i = plane * size.p; i < (plane + 1) * size.p; ++i) to[i] = value(i);
      c = c + 1 < size.c ? c + 1 : 0;
    }
  });
}

// Calls f with what ReLU makes of y, or with what leaves it.
template <class F>
void with_rectifier(bool relu, F f) {
  if (relu) {
    f([](auto y) { return y <= 0 ? decltype(y){} : y; });
  } else {
    f([](auto y) { return y; });
  }
}

template <class T>
void normalise(BatchnormSize size, const T* x, const T* weight, const T* bias, const T* mean, const T* var, T eps,
               bool relu, T* y) {
  const Scratch<T> scales(size.c);
  for (int64_t c = 0; c < size.c; ++c) scales[c] = weight[c] * reciprocal_root(var[c], eps);
  const T* const scale = scales.get();
  with_rectifier(relu, [=](auto rectify) {
    each_element(size, y, [=](int64_t c) {
      return [=, center = mean[c], factor = scale[c], shift = bias[c]](int64_t i) {
        return rectify((x[i] - center) * factor + shift);
      };
    });
  });
}

// given(c)(dy, x) is the gradient of channel c before the ReLU, if there was one. It is asked for three times, which
// takes longer than a pass of its own where planes are small: then that is done first.
constexpr int64_t kWidePlane = 128;

struct AllPasses {
  auto operator()(int64_t) const {
    return [](auto dy, auto) { return dy; };
  }
};
template <class T>
struct PositivePasses {
  auto operator()(int64_t c) const {
    return [center = mean[c], factor = scale[c], shift = bias[c]](auto dy, auto x) {
      const auto y = (x - center) * factor + shift;
      return y <= 0 ? decltype(dy){} : dy;
    };
  }
  const T *mean, *scale, *bias;
};

template <class T, class Given>
void backward(BatchnormSize size, bool training, Given given, const T* dy, const T* x, const T* scale, const T* mean,
              const T* var, T eps, T* dx, T* dweight, T* dbias) {
  const T m = static_cast<T>(size.n * size.p);
  const Scratch<T> means(size.c), slopes(size.c), centered(size.c);
  if (size.p == 1) {
    each_channel_block<T>(size, [&](int64_t begin, int64_t end) {
      const auto d = [=](int64_t i, int64_t j) {
        const int64_t c = begin + j;
        return given(c)(dy[i * size.c + c], x[i * size.c + c]);
      };
      const auto product = [=](int64_t i, int64_t j) {
        return d(i, j) * (x[i * size.c + begin + j] - mean[begin + j]);
      };
      column_sums(size.n, end - begin, d, dbias + begin);
      column_sums(size.n, end - begin, product, centered.get() + begin);
    });
  } else {
    const Scratch<T> sums(size.n * size.c), products(size.n * size.c);
    parallel_for(0, size.n * size.c, grain_of(1 << 14, size.p), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto here = given(i % size.c);
        const T *const d_plane = dy + i * size.p, *const x_plane = x + i * size.p;
        const auto product = [=, center = mean[i % size.c]](auto d, auto v) { return here(d, v) * (v - center); };
        sums[i] = sum<T>(size.p, here, d_plane, x_plane);
        products[i] = sum<T>(size.p, product, d_plane, x_plane);
      }
    });
    each_channel_block<T>(size, [&](int64_t begin, int64_t end) {
      column_sums(size.n, end - begin, RowMajor<T>{sums.get() + begin, size.c}, dbias + begin);
      column_sums(size.n, end - begin, RowMajor<T>{products.get() + begin, size.c}, centered.get() + begin);
    });
  }
  for (int64_t c = 0; c < size.c; ++c) {
    const T rstd = reciprocal_root(var[c], eps);
    dweight[c] = centered[c] * rstd;
    means[c] = dbias[c] / m;
    slopes[c] = (dweight[c] * rstd) / m;
  }
  const T *const a = means.get(), *const b = slopes.get();
  if (training) {
    each_element(size, dx, [=](int64_t c) {
      return [=, here = given(c), shift = a[c], center = mean[c], slope = b[c], factor = scale[c]](int64_t i) {
        return ((here(dy[i], x[i]) - shift) - (x[i] - center) * slope) * factor;
      };
    });
  } else {
    each_element(size, dx, [=](int64_t c) {
      return [=, here = given(c), factor = scale[c]](int64_t i) { return here(dy[i], x[i]) * factor; };
    });
  }
}

template <class T>
void backward(BatchnormSize size, bool training, const T* dy, const T* x, const T* weight, const T* bias, const T* mean,
              const T* var, T eps, T* dx, T* dweight, T* dbias) {
  const Scratch<T> scales(size.c);
  for (int64_t c = 0; c < size.c; ++c) scales[c] = weight[c] * reciprocal_root(var[c], eps);
  const T* const scale = scales.get();
  if (!bias) return backward(size, training, AllPasses{}, dy, x, scale, mean, var, eps, dx, dweight, dbias);
  const PositivePasses<T> given{mean, scale, bias};
  if (size.p >= kWidePlane) {
    return backward(size, training, given, dy, x, scale, mean, var, eps, dx, dweight, dbias);
  }
  const Scratch<T> passed(size.n * size.c * size.p);
  each_element(size, passed.get(),
               [=](int64_t c) { return [=, here = given(c)](int64_t i) { return here(dy[i], x[i]); }; });
  const T* const gradient = passed.get();
  backward(size, training, AllPasses{}, gradient, x, scale, mean, var, eps, dx, dweight, dbias);
}

template <class T>
void running_update(int64_t count, const T* running_mean, const T* running_var, const T* mean, const T* var, T unbias,
                    T old, T fresh, T* new_mean, T* new_var) {
  for (int64_t c = 0; c < count; ++c) {
    new_mean[c] = running_mean[c] * old + mean[c] * fresh;
    new_var[c] = running_var[c] * old + (var[c] * unbias) * fresh;
  }
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
