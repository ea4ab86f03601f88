#include "ops/random.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "arith.h"
#include "elementary.h"
#include "parallel.h"
#include "workspace.h"

namespace nnlite {
namespace {

constexpr int64_t kPiece = 512;  // words, or pairs of them, that are made at a time

// Calls f(first, count, words) for pieces of n elements; `words` holds Words words for each element from `first` on.
template <int Words, class F>
void each_piece(Draw draw, int64_t n, F f) {
  parallel_for(0, n, 16 * kPiece, [=](int64_t begin, int64_t end) {
    uint32_t words[kPiece * Words];
    for (int64_t first = begin; first < end; first += kPiece) {
      const int64_t count = std::min(kPiece, end - first);
      philox_words(draw, first * Words / 4, (count * Words + 3) / 4, words);
      f(first, count, words);
    }
  });
}

uint64_t bits64(const uint32_t* words, int64_t i) { return words[2 * i] | uint64_t{words[2 * i + 1]} << 32; }

// 53 random bits as a number in [0, 1).
double unit(uint64_t bits) { return static_cast<double>(static_cast<int64_t>(bits >> 11)) * 0x1p-53; }

template <class T>
void normal(Draw draw, int64_t n, double mean, double std, T* y) {
  each_piece<2>(draw, n, [=](int64_t first, int64_t count, const uint32_t* words) {
    constexpr int64_t kPairs = kPiece / 2;
    double radius[kPairs], sine[kPairs], cosine[kPairs];
    const int64_t pairs = (count + 1) / 2;
    for (int64_t i = 0; i < pairs; ++i) radius[i] = 1.0 - unit(bits64(words, 2 * i));
    for (int64_t i = 0; i < pairs; ++i) radius[i] = square_root(-2.0 * log(radius[i]));
    for (int64_t i = 0; i < pairs; ++i) sincos2pi(unit(bits64(words, 2 * i + 1)), sine[i], cosine[i]);
    for (int64_t i = 0; i < count; ++i) {
      const double z = radius[i / 2] * (i % 2 ? sine[i / 2] : cosine[i / 2]);
      y[first + i] = static_cast<T>(mean + std * z);
    }
  });
}

void random_bits64(Draw draw, int64_t n, uint64_t* y) {
  each_piece<2>(draw, n, [=](int64_t first, int64_t count, const uint32_t* words) {
    for (int64_t i = 0; i < count; ++i) y[first + i] = bits64(words, i);
  });
}

struct Keyed {
  uint64_t key;
  int64_t index;
};

// order = the stable argsort of keys. The keys are random: after one distribution by their high bits a bucket holds a
// few numbers, and sorting those by insertion is stable too.
void stable_argsort(const uint64_t* keys, int64_t n, int64_t* order) {
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(n))) - 3);
  const Scratch<int64_t> ends((int64_t{1} << bits) + 1);
  const Scratch<Keyed> sorted(n);
  std::fill_n(ends.get(), (int64_t{1} << bits) + 1, int64_t{0});
  for (int64_t i = 0; i < n; ++i) ++ends[static_cast<int64_t>(keys[i] >> (64 - bits)) + 1];
  std::partial_sum(ends.get(), ends.get() + (int64_t{1} << bits) + 1, ends.get());
  for (int64_t i = 0; i < n; ++i) sorted[ends[static_cast<int64_t>(keys[i] >> (64 - bits))]++] = {keys[i], i};
  for (int64_t i = 1; i < n; ++i) {
    const Keyed moved = sorted[i];
    int64_t j = i;
    for (; j > 0 && sorted[j - 1].key > moved.key; --j) sorted[j] = sorted[j - 1];
    sorted[j] = moved;
  }
  for (int64_t i = 0; i < n; ++i) order[i] = sorted[i].index;
}

}  // namespace

void random_bits(Draw draw, int64_t n, uint32_t* y) {
  each_piece<1>(draw, n,
                [=](int64_t first, int64_t count, const uint32_t* words) { std::copy_n(words, count, y + first); });
}

void random_permutation(Draw draw, int64_t n, int64_t* order) {
  const Scratch<uint64_t> keys(n);
  random_bits64(draw, n, keys.get());
  stable_argsort(keys.get(), n, order);
}

void random_uniform(Draw draw, int64_t n, float low, float width, float* y) {
  each_piece<1>(draw, n, [=](int64_t first, int64_t count, const uint32_t* words) {
    for (int64_t i = 0; i < count; ++i) {
      y[first + i] = low + static_cast<float>(static_cast<int32_t>(words[i] >> 8)) * 0x1p-24f * width;
    }
  });
}

void random_uniform(Draw draw, int64_t n, double low, double width, double* y) {
  each_piece<2>(draw, n, [=](int64_t first, int64_t count, const uint32_t* words) {
    for (int64_t i = 0; i < count; ++i) y[first + i] = low + unit(bits64(words, i)) * width;
  });
}

void random_normal(Draw draw, int64_t n, double mean, double std, float* y) { normal(draw, n, mean, std, y); }
void random_normal(Draw draw, int64_t n, double mean, double std, double* y) { normal(draw, n, mean, std, y); }

}  // namespace nnlite
