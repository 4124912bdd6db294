// SPDX-License-Identifier: Apache-2.0
// reference.cpp - prints, in hexadecimal, the table file that the codec room makes of pages and
// queries that anyone can make again: chan_table_test.py does, and must get the same bytes.
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "codec/chan_residual.hpp"
#include "codec/half.hpp"

namespace {

using namespace speckv::codec;

constexpr uint32_t layers = 2, kv_heads = 2, head_dim = 64, tokens = 32, pages = 3;

// -1000..1000, and what it is multiplied by is a power of two: exact in fp16.
class Numbers {
 public:
  int next() {
    state_ = state_ * 1664525u + 1013904223u;
    return int(state_ >> 8) % 2001 - 1000;
  }

 private:
  uint32_t state_ = 1;
};

double energy_of(Numbers& numbers, const PairMap& map, size_t pair, std::vector<double>& query) {
  if (pair == 0)
    for (double& value : query) value = numbers.next() / 256.0;
  const double a = query[map.first(pair)], b = query[map.second(pair)];
  return (a * a + b * b) / 2;
}

}  // namespace

int main(int count, char**) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layers;
  layout.kv_heads = kv_heads;
  layout.head_dim = head_dim;
  layout.block_tokens = layout.page_tokens = tokens;
  layout.rope = count > 1 ? SPECKV_ROPE_HALF : SPECKV_ROPE_INTERLEAVED;
  layout.rope_dims = count > 1 ? 48 : 64;
  layout.rope_theta[0] = 1e4F;
  std::string why;
  const auto tables = ChanTables::make(layout, nullptr, &why);
  ChanWeights weights;
  weights.layers = layers;
  weights.kv_heads = kv_heads;
  weights.pairs = head_dim / 2;
  for (uint8_t i = 0; i < SPECKV_DIGEST_BYTES; i++) weights.weights_digest[i] = i;
  Numbers numbers;
  for (uint32_t table = 0; table < layers * kv_heads; table++) {
    const ChanTable& own = tables->at(table / kv_heads, table % kv_heads);
    std::vector<double> sums(head_dim / 2), query(head_dim);
    std::vector<uint16_t> page(tokens * head_dim);
    for (uint32_t i = 0; i < pages; i++) {
      for (uint16_t& value : page) value = round_to_half(numbers.next(), -8, false);
      const ConstView view{reinterpret_cast<const std::byte*>(page.data()), 2 * head_dim, 2};
      if (!add_chan_residual(own, SPECKV_DTYPE_F16, view, sums)) return 1;
    }
    for (size_t pair = 0; pair < own.map.pairs(); pair++)
      weights.weight.push_back(
          chan_weight(energy_of(numbers, own.map, pair, query) * (sums[pair] / pages)));
  }
  for (std::byte byte : write_chan_weights(weights)) std::printf("%02x", unsigned(byte));
  std::printf("\n");
  return 0;
}
