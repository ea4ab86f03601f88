// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011; docs/numerics.md, section 10). Shared by CPU and CUDA.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace nnlite {

// A draw: the 64-bit key, and what the counter holds besides the block.
struct Draw {
  uint64_t seed;
  uint32_t draw, stream;
};

struct Key {
  NNLITE_HD explicit Key(uint64_t seed) : k0(static_cast<uint32_t>(seed)), k1(static_cast<uint32_t>(seed >> 32)) {}
  NNLITE_HD void next() { k0 += 0x9E3779B9u, k1 += 0xBB67AE85u; }
  uint32_t k0, k1;
};

NNLITE_HD static inline void philox_round(Key key, uint32_t& x0, uint32_t& x1, uint32_t& x2, uint32_t& x3) {
  const uint64_t first = uint64_t{x0} * 0xD2511F53u, second = uint64_t{x2} * 0xCD9E8D57u;
  x0 = static_cast<uint32_t>(second >> 32) ^ x1 ^ key.k0;
  x2 = static_cast<uint32_t>(first >> 32) ^ x3 ^ key.k1;
  x1 = static_cast<uint32_t>(second);
  x3 = static_cast<uint32_t>(first);
}

// The four words of block `block`.
NNLITE_HD static inline void philox(Draw d, uint64_t block, uint32_t& w0, uint32_t& w1, uint32_t& w2, uint32_t& w3) {
  w0 = static_cast<uint32_t>(block), w1 = static_cast<uint32_t>(block >> 32), w2 = d.draw, w3 = d.stream;
  Key key(d.seed);
  for (int round = 0; round < 10; ++round, key.next()) philox_round(key, w0, w1, w2, w3);
}

// Words [4 * block, 4 * (block + blocks)) of a draw. Sixteen blocks at a time go through the rounds side by side, in
// loops that become vector code.
static inline void philox_words(Draw d, int64_t block, int64_t blocks, uint32_t* __restrict words) {
  constexpr int kSide = 16;
  for (; blocks >= kSide; blocks -= kSide, block += kSide, words += 4 * kSide) {
    uint32_t x0[kSide], x1[kSide], x2[kSide], x3[kSide];
    for (int i = 0; i < kSide; ++i) {
      const auto b = static_cast<uint64_t>(block + i);
      x0[i] = static_cast<uint32_t>(b), x1[i] = static_cast<uint32_t>(b >> 32), x2[i] = d.draw, x3[i] = d.stream;
    }
    Key key(d.seed);
    for (int round = 0; round < 10; ++round, key.next()) {
      for (int i = 0; i < kSide; ++i) philox_round(key, x0[i], x1[i], x2[i], x3[i]);
    }
    for (int i = 0; i < kSide; ++i) {
      words[4 * i] = x0[i], words[4 * i + 1] = x1[i], words[4 * i + 2] = x2[i], words[4 * i + 3] = x3[i];
    }
  }
  for (int64_t i = 0; i < blocks; ++i) {
    philox(d, static_cast<uint64_t>(block + i), words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
  }
}

}  // namespace nnlite
