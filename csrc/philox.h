// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011; docs/numerics.md, section 10). Shared by CPU and CUDA.
#pragma once

#include <cstdint>

#ifndef NNLITE_HD
#define NNLITE_HD
#endif

namespace nnlite {

// A draw: the 64-bit key, and what the counter holds besides the block.
struct Draw {
  uint64_t seed;
  uint32_t draw, stream;
};

// The four words of block `block`.
NNLITE_HD static inline void philox(Draw d, uint64_t block, uint32_t& w0, uint32_t& w1, uint32_t& w2, uint32_t& w3) {
  uint32_t x0 = static_cast<uint32_t>(block), x1 = static_cast<uint32_t>(block >> 32), x2 = d.draw, x3 = d.stream;
  uint32_t k0 = static_cast<uint32_t>(d.seed), k1 = static_cast<uint32_t>(d.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{x0} * 0xD2511F53u, second = uint64_t{x2} * 0xCD9E8D57u;
    x0 = static_cast<uint32_t>(second >> 32) ^ x1 ^ k0;
    x2 = static_cast<uint32_t>(first >> 32) ^ x3 ^ k1;
    x1 = static_cast<uint32_t>(second);
    x3 = static_cast<uint32_t>(first);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  w0 = x0, w1 = x1, w2 = x2, w3 = x3;
}

// Words [4 * block, 4 * (block + blocks)) of a draw.
static inline void philox_words(Draw d, int64_t block, int64_t blocks, uint32_t* __restrict words) {
  for (int64_t b = 0; b < blocks; ++b) {
    philox(d, static_cast<uint64_t>(block + b), words[4 * b], words[4 * b + 1], words[4 * b + 2], words[4 * b + 3]);
  }
}

}  // namespace nnlite
