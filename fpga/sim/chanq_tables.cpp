// SPDX-License-Identifier: Apache-2.0
#include "chanq_tables.hpp"

#include <iterator>
#include <stdexcept>

#include "codec/chanq.hpp"

using speckv::codec::CodecId;
using speckv::codec::PageShape;
using speckv::codec::testing::Random;

// The tables ask the codec room's door whether chanq takes a shape. The door itself would link
// every fast path of the processor, so the one answer is given here.
size_t speckv::codec::encoded_bytes(CodecId id, const PageShape& shape, const ChanTable*) {
  return chanq_takes(shape) ? chanq_bytes(id, shape) : 0;
}

namespace speckv::fpga {

Theta any_theta(Random& random) {
  static constexpr uint16_t rotated[] = {64, 64, 128, 256, 192, 32, 16};
  return {rotated[random() % std::size(rotated)], random() % 2 ? 1e5f : 1e4f};
}

std::unique_ptr<codec::ChanTables> make_tables(const PageShape& shape, uint16_t heads,
                                               uint32_t rope, const Theta& theta, bool weighted,
                                               Random& random) {
  speckv_layout layout{};
  layout.layers = 1;
  layout.kv_heads = heads;
  layout.page_tokens = shape.tokens;
  layout.head_dim = shape.head_dim;
  layout.dtype = shape.dtype;
  layout.rope = rope;
  layout.rope_dims = rope == SPECKV_ROPE_NONE ? 0 : theta.rotated;
  layout.rope_theta[0] = theta.theta;
  codec::ChanWeights weights;
  weights.layers = 1;
  weights.kv_heads = heads;
  weights.pairs = shape.head_dim / 2;
  weights.weight.resize(size_t{heads} * weights.pairs);
  for (auto& weight : weights.weight)
    weight = random() % 10 == 0 ? codec::chan_weight_dead : int16_t(int(random() % 6000) - 3000);
  std::string error;
  auto tables = codec::ChanTables::make(layout, weighted ? &weights : nullptr, &error);
  if (!tables) throw std::runtime_error("no tables: " + error);
  return tables;
}

uint32_t rope_word(const codec::PairMap& map, uint32_t which) {
  return uint32_t(map.half_split) << 10 | which << 9 | map.rotated;
}

std::array<uint32_t, 32> widths_of(const codec::ChanTable& table, CodecId id) {
  std::array<uint32_t, 32> widths{};
  for (size_t pair = 0; pair < table.map.pairs(); ++pair)
    for (const size_t channel : {table.map.first(pair), table.map.second(pair)})
      widths[channel / 8] |= uint32_t(table.widths[codec::chanq_index(id)][pair])
                             << channel % 8 * 4;
  return widths;
}

std::vector<uint32_t> turns_of(const Theta& theta) {
  const PageShape shape{64, 256, SPECKV_DTYPE_F16, codec::Kind::k};
  Random random;
  const auto tables = make_tables(shape, 1, SPECKV_ROPE_INTERLEAVED, theta, false, random);
  const codec::Rotation& rotation = *tables->at(0, 0).rotation;
  std::vector<uint32_t> turns;
  for (uint32_t token = 0; token < codec::chanq_tokens_max; ++token)
    for (size_t pair = 0; pair < codec::chanq_pairs_max; ++pair)
      turns.push_back(uint32_t(uint16_t(rotation.sine(token, pair))) << 16 |
                      uint16_t(rotation.cosine(token, pair)));
  return turns;
}

}  // namespace speckv::fpga
