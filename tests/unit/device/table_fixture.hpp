// SPDX-License-Identifier: Apache-2.0
// table_fixture.hpp - engine_fixture.hpp with tables for chanq: made by the codec room, loaded as a
// driver does it; and segments that are compared with the codec room's.
#pragma once

#include <memory>

#include "codec/chan_table.hpp"
#include "codec/chanq.hpp"
#include "codec/checksum.hpp"
#include "engine_fixture.hpp"

namespace speckv::device::testing {

inline constexpr uint64_t tables_at = 6 << 20;  // in the data extent
inline constexpr uint16_t rotated = 64;

inline uint64_t checksum_of(std::span<const std::byte> bytes) {
  codec::Checksum sum;
  codec::checksum_update(sum, bytes.data(), bytes.size());
  return codec::checksum_final(sum);
}

// Turns as LOAD takes them: token by token, pair by pair, cosine and sine.
inline std::vector<std::byte> turns_of(const codec::Rotation& rotation) {
  std::vector<std::byte> turns(SPECKV_ENGINE_TURNS_BYTES);
  for (size_t token = 0; token < codec::chanq_tokens_max; ++token) {
    for (size_t pair = 0; pair < codec::chanq_pairs_max; ++pair) {
      const int16_t turn[2] = {int16_t(rotation.cosine(token, pair)),
                               int16_t(rotation.sine(token, pair))};
      std::memcpy(&turns[(token * codec::chanq_pairs_max + pair) * 4], turn, 4);
    }
  }
  return turns;
}

class TableTest : public EngineTest {
 protected:
  // Tables of the layout: RoPE of this kind, widths as some calibration gives them.
  void make_tables(const Shape& shape, uint32_t rope) {
    words_ = words_of(shape);
    words_.rope = rope;
    words_.rope_dims = rope == SPECKV_ROPE_NONE ? 0 : rotated;
    words_.rope_theta[0] = 1e4F;
    codec::ChanWeights weights;
    weights.layers = 1;
    weights.kv_heads = uint16_t(shape.heads);
    weights.pairs = uint16_t(shape.head_dim / 2);
    std::mt19937 random(rope + shape.head_dim);
    weights.weight.resize(size_t{shape.heads} * weights.pairs);
    for (auto& weight : weights.weight) weight = int16_t(int(random() % 6000) - 3000);
    std::string error;
    made_ = codec::ChanTables::make(words_, &weights, &error);
    ASSERT_TRUE(made_) << error;
    const codec::PairMap& map = made_->at(0, 0).map;
    host_.write(SPECKV_REG_LAYOUTS_ROPE,
                map.rotated | uint32_t(map.half_split) << SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_SHIFT);
  }

  speckv_engine_descriptor load_job(uint64_t offset, uint32_t bytes) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_LOAD;
    asked.source_extent = Host::extent_data;
    asked.source_offset = tables_at;
    asked.target_offset = offset;
    asked.bytes = bytes;
    return asked;
  }
  uint8_t load(uint64_t offset, std::span<const std::byte> bytes) {
    std::ranges::copy(bytes, host_.at(Host::data + tables_at, bytes.size()).begin());
    const auto told = run(load_job(offset, uint32_t(bytes.size())));
    if (told.status == SPECKV_ENGINE_OK) {
      EXPECT_EQ(told.checksum, checksum_of(bytes));
    }
    EXPECT_EQ(told.bytes, 0u);
    return told.status;
  }
  // The turns that all layouts with so many rotated channels have.
  std::vector<std::byte> theta() {
    Shape widest{.tokens = 64, .head_dim = 256};
    speckv_layout words = words_of(widest);
    words.rope = SPECKV_ROPE_INTERLEAVED;
    words.rope_dims = rotated;
    words.rope_theta[0] = 1e4F;
    std::string error;
    return turns_of(*codec::ChanTables::make(words, nullptr, &error)->at(0, 0).rotation);
  }
  std::vector<std::byte> widths(CodecId id) {
    std::vector<std::byte> bytes(words_.kv_heads * size_t{SPECKV_ENGINE_WIDTHS_BYTES});
    for (uint32_t head = 0; head < words_.kv_heads; ++head) {
      const codec::ChanTable& table = made_->at(0, head);
      for (size_t pair = 0; pair < table.map.pairs(); ++pair)
        for (const size_t channel : {table.map.first(pair), table.map.second(pair)})
          bytes[head * SPECKV_ENGINE_WIDTHS_BYTES + channel / 2] |=
              std::byte(table.widths[codec::chanq_index(id)][pair] << channel % 2 * 4);
    }
    return bytes;
  }

  // Encodes and decodes a segment, and compares with the codec room's.
  void expect_segment(const Shape& shape, bool first, uint16_t slot, uint32_t seed) {
    const codec::Preset preset{shape.k, shape.v, shape.first};
    const std::vector<std::byte> raw = raw_values(shape, seed);
    std::ranges::copy(raw, host_.at(Host::data, raw.size()).begin());
    const ptrdiff_t token = ptrdiff_t(2 * shape.head_dim), head = token * words_.block_tokens;
    const std::byte* v = raw.data() + raw.size() / 2;
    std::vector<std::byte> stored(codec::segment_bytes(words_, preset, first)), back(raw.size());
    uint64_t checksum = 0;
    ASSERT_EQ(codec::encode_segment(words_, preset, 0, first,
                                    {{raw.data(), token, head, 2}, {v, token, head, 2}}, stored,
                                    &checksum, made_->data()),
              codec::Refusal::none);
    codec::decode_segment(
        words_, preset, 0, first, stored,
        {{back.data(), token, head, 2}, {back.data() + back.size() / 2, token, head, 2}}, false,
        made_->data());
    auto asked = descriptor(shape, true, first);
    asked.widths = slot;
    const auto in_memory = host_.at(Host::data + (3 << 20), stored.size());
    if (encodes(shape.k)) {
      const auto told = run(asked);
      EXPECT_EQ(told.status, SPECKV_ENGINE_OK);
      EXPECT_EQ(told.checksum, checksum);
      EXPECT_TRUE(std::ranges::equal(in_memory, stored));
    }
    std::ranges::copy(stored, in_memory.begin());
    asked = descriptor(shape, false, first);
    asked.widths = slot;
    EXPECT_EQ(run(asked).status, SPECKV_ENGINE_OK);
    EXPECT_TRUE(std::ranges::equal(host_.at(Host::data + (5 << 20), back.size()), back));
  }

  uint8_t decode(const Shape& shape, uint16_t slot = 0) {
    auto asked = descriptor(shape, false, false);
    asked.widths = slot;
    return status(asked);
  }

  speckv_layout words_{};
  std::unique_ptr<codec::ChanTables> made_;
};

}  // namespace speckv::device::testing
