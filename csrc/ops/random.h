// Random numbers (docs/numerics.md, section 10). Word i of a draw is word i % 4 of block i / 4; bits64(i) is word 2i +
// 2^32 * word 2i+1.
#pragma once

#include <cstdint>

#include "philox.h"

namespace nnlite {

void random_bits(Draw draw, int64_t n, uint32_t* words);
// The stable argsort of n numbers of 64 bits.
void random_permutation(Draw draw, int64_t n, int64_t* order);
// low + u * width, u of 24 (float) or 53 (double) bits.
void random_uniform(Draw draw, int64_t n, float low, float width, float* y);
void random_uniform(Draw draw, int64_t n, double low, double width, double* y);
// mean + std * z by the transform of Box and Muller, in binary64, rounded once.
void random_normal(Draw draw, int64_t n, double mean, double std, float* y);
void random_normal(Draw draw, int64_t n, double mean, double std, double* y);

}  // namespace nnlite
