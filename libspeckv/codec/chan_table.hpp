// SPDX-License-Identifier: Apache-2.0
// chan_table.hpp - what chanq knows before it sees a page: how a head's channels pair under RoPE,
// how the pairs turn from token to token, and how many bits each pair gets.
//
// Built once per layout, outside the hot path (this is the one part of the room that allocates),
// then only read. Who calls it: the daemon and the library when a layout is registered; tools and
// tests. Threading: a built ChanTables is immutable.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codec/codec.hpp"

namespace speckv::codec {

inline constexpr size_t chanq_pairs_max = 128;  // head_dim 256
inline constexpr size_t chanq_tokens_max = 64;
inline constexpr size_t chanq_codecs = 7;  // chanq2.5 .. chanq7, in the order of their ids

// How a head's channels pair up. Rotated pairs come first, then the others: interleaved neighbours,
// or channel i with the one half a (rotated, then unrotated) part further.
struct PairMap {
  uint16_t head_dim = 0;
  uint16_t rotated = 0;  // channels that RoPE turns
  bool half_split = false;
  size_t pairs() const { return head_dim / 2u; }
  size_t first(size_t pair) const {
    if (!half_split) return 2 * pair;
    return pair < rotated / 2u ? pair : pair + rotated / 2u;
  }
  size_t second(size_t pair) const {
    if (!half_split) return 2 * pair + 1;
    return pair < rotated / 2u ? pair + rotated / 2u : pair + pairs();
  }
};

// By how much token t's pair is turned relative to the page start: the angle t * theta^(-2 * pair /
// rotated), 0 for pairs that RoPE leaves alone; cos and sin times 2^14. Eight pairs of one token
// lie together, then the next token's: the order in which the fast path walks. `turn` has (cos,
// sin), `quarter` the same turned on by a right angle, (-sin, cos).
struct Rotation {
  int16_t turn[chanq_pairs_max / 8][chanq_tokens_max][16];
  int16_t quarter[chanq_pairs_max / 8][chanq_tokens_max][16];
  int cosine(size_t token, size_t pair) const { return turn[pair / 8][token][pair % 8 * 2]; }
  int sine(size_t token, size_t pair) const { return turn[pair / 8][token][pair % 8 * 2 + 1]; }
};

// One (layer, kv head). widths[codec][pair] in bits, 0..8; they fill the codec's budget exactly.
struct ChanTable {
  PairMap map;
  uint16_t tokens = 0;
  const Rotation* rotation = nullptr;  // nullptr: nothing turns
  std::array<std::array<uint8_t, chanq_pairs_max>, chanq_codecs> widths{};
};

// How much a pair's error costs, as 256 * log2(E[q^2] * residual variance), rounded; the pair with
// a larger weight gets more bits. chan_weight_dead: both channels are always zero, no bits.
using ChanWeight = int16_t;
inline constexpr ChanWeight chan_weight_dead = INT16_MIN;

// Weights of a whole model, as calibration measured them: [layer][kv head][pair] in the pair order
// of PairMap.
struct ChanWeights {
  uint8_t weights_digest[SPECKV_DIGEST_BYTES] = {};
  uint16_t layers = 0, kv_heads = 0, pairs = 0;
  std::vector<ChanWeight> weight;  // layers * kv_heads * pairs
};

// The tables of a layout, all layers and heads. `weights` nullptr: equal widths.
class ChanTables {
 public:
  // Returns: nullptr when chanq does not take the layout's pages; *ret_error then says why. Weights
  // of another model (digest, layers, heads or head_dim differ) are refused too.
  static std::unique_ptr<ChanTables> make(const speckv_layout& layout, const ChanWeights* weights,
                                          std::string* ret_error);
  // layers * kv_heads tables, layer by layer: what encode_segment() and decode_segment() take.
  const ChanTable* data() const { return tables_.data(); }
  const ChanTable& at(size_t layer, size_t head) const { return tables_[layer * heads_ + head]; }

 private:
  size_t heads_ = 0;
  std::vector<std::unique_ptr<Rotation>> rotations_;
  std::vector<ChanTable> tables_;
};

// The table file (docs/codec.md). parse: false and *ret_error for anything but a complete, intact
// table.
std::vector<std::byte> write_chan_weights(const ChanWeights& weights);
bool parse_chan_weights(std::span<const std::byte> file, ChanWeights* ret_weights,
                        std::string* ret_error);

// Shares `budget` bits among pairs: one bit at a time to the pair with the largest weight - 512 *
// (bits it has), ties to the first; between 1 and 8 bits a pair while the budget allows, dead pairs
// 0. weights empty: as even as can be. Requires: budget <= 8 * (pairs that are not dead). Integers
// only, so every machine finds the same.
void share_bits(std::span<const ChanWeight> weights, size_t budget, std::span<uint8_t> ret_widths);

}  // namespace speckv::codec
