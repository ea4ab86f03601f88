// Batch normalisation of x (n, c, p), per channel, m = n * p values (docs/numerics.md, section 6):
//
//   mean = Sum_n(s_n) / m;  var = Sum_n(q_n + (s_n / p - mean)^2 * p) / m    with s_n, q_n: sum and centred square sum
//   of plane n y = (x - mean) * scale + bias                                           with rstd = 1 / sqrt(var + eps),
//   scale = weight * rstd
//
//   dbias = Σ dy;  t = Σ dy * (x - mean);  dweight = t * rstd
//   dx = ((dy - dbias / m) - (x - mean) * (((t * rstd) * rstd) / m)) * scale    training: mean and var depend on x
//   dx = dy * scale                                                             inference
//
// relu: y = +0 where it would be <= 0. In backward that is so if bias is given, not nullptr: then dy = +0 at these.
#pragma once

#include <cstdint>

namespace nnlite {

struct BatchnormSize {
  int64_t n, c, p;
};

void batchnorm_statistics(BatchnormSize size, const float* x, float* mean, float* var);
void batchnorm_statistics(BatchnormSize size, const double* x, double* mean, double* var);
void batchnorm_normalise(BatchnormSize size, const float* x, const float* weight, const float* bias, const float* mean,
                         const float* var, float eps, bool relu, float* y);
void batchnorm_normalise(BatchnormSize size, const double* x, const double* weight, const double* bias,
                         const double* mean, const double* var, double eps, bool relu, double* y);
void batchnorm_backward(BatchnormSize size, bool training, const float* dy, const float* x, const float* weight,
                        const float* bias, const float* mean, const float* var, float eps, float* dx, float* dweight,
                        float* dbias);
void batchnorm_backward(BatchnormSize size, bool training, const double* dy, const double* x, const double* weight,
                        const double* bias, const double* mean, const double* var, double eps, double* dx,
                        double* dweight, double* dbias);
// running * old + now * fresh, where now is mean, and var * unbias.
void batchnorm_running_update(int64_t c, const float* running_mean, const float* running_var, const float* mean,
                              const float* var, float unbias, float old, float fresh, float* new_mean, float* new_var);
void batchnorm_running_update(int64_t c, const double* running_mean, const double* running_var, const double* mean,
                              const double* var, double unbias, double old, double fresh, double* new_mean,
                              double* new_var);

}  // namespace nnlite
