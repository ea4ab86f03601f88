// m = max, e = exp(x - m), s = Sum(e), y = e / s: x is read once and y written once while the row and its exponentials
// stay in shared memory (row_team.h). exp of a float is evaluated in binary64, which takes as long as the traffic of
// the row, so it must not be done twice.
#include "ops/softmax.h"

#include "elementary.h"
#include "row_team.h"
#include "softmax_row.h"

namespace nnlite {
namespace {

template <class T>
struct Forward {
  const T* x;
  Target<T> t;
  T *y, *losses;

  template <class Team>
  __device__ void operator()(const Team& team, int64_t row) const {
    const int64_t at = row * team.k;
    const T* const score = team.stage(0, x + at);
    // A NaN may be passed over: the row's sum will be NaN, and with it all that is made of it.
    T m = static_cast<T>(-__builtin_inf());
    team.each([&](auto i) { return score[i]; }, [&](auto, T v) { m = maximum(m, v); });
    m = team.max(m);
    const int array_of_e = t.probabilities != nullptr ? 1 : 0;
    T* const e = team.place(array_of_e, y + at);
    const T s = team.sum_kept(e, [&](auto i) { return exp(score[i] - m); });
    team.emit(array_of_e, y + at, [&](auto i) { return e[i] / s; });
    if (losses == nullptr) return;
    const T log_s = log(s);
    if (t.probabilities != nullptr) {
      const T* const p = t.probabilities + at;
      const T sum = team.sum([&](auto i) { return p[i] * ((score[i] - m) - log_s); });
      if (team.leads()) losses[row] = -sum;
    } else if (team.leads()) {
      // A wrong label has been reported when this runs; its loss is nobody's.
      const int64_t label = t.labels[row];
      losses[row] = label >= 0 && label < team.k ? log_s - (x[at + label] - m) : log_s;
    }
  }
};

template <class T>
struct Backward {
  const T *dy, *y;
  T* dx;

  template <class Team>
  __device__ void operator()(const Team& team, int64_t row) const {
    const int64_t at = row * team.k;
    const T *const d = team.stage(0, dy + at), *const v = team.stage(1, y + at);
    const T dot = team.sum([&](auto i) { return d[i] * v[i]; });
    team.emit(0, dx + at, [&](auto i) { return v[i] * (d[i] - dot); });
  }
};

template <class T>
void forward(const char* name, const T* x, Target<T> t, int64_t n, int64_t k, T* y, T* losses) {
  for_rows<T>(name, Forward<T>{x, t, y, losses}, n, k, t.probabilities != nullptr ? 2 : 1);
}

template <class T>
void backward(const T* dy, const T* y, int64_t n, int64_t k, T* dx) {
  if (k > 0) for_rows<T>("softmax_backward", Backward<T>{dy, y, dx}, n, k, 2);
}

}  // namespace

void softmax_rows(const char* name, const float* x, Target<float> t, int64_t n, int64_t k, float* y, float* losses) {
  forward(name, x, t, n, k, y, losses);
}
void softmax_rows(const char* name, const double* x, Target<double> t, int64_t n, int64_t k, double* y,
                  double* losses) {
  forward(name, x, t, n, k, y, losses);
}
void softmax_forward(const float* x, int64_t n, int64_t k, float* y) {
  forward<float>("softmax_forward", x, {}, n, k, y, nullptr);
}
void softmax_forward(const double* x, int64_t n, int64_t k, double* y) {
  forward<double>("softmax_forward", x, {}, n, k, y, nullptr);
}
void softmax_backward(const float* dy, const float* y, int64_t n, int64_t k, float* dx) { backward(dy, y, n, k, dx); }
void softmax_backward(const double* dy, const double* y, int64_t n, int64_t k, double* dx) {
  backward(dy, y, n, k, dx);
}

}  // namespace nnlite
