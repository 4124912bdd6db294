// SPDX-License-Identifier: Apache-2.0
// device_test.cpp - see device_test.hpp.
#include "engine/device_test.hpp"

#include <bit>
#include <cstring>

#include "assert.hpp"
#include "shm/key.hpp"

namespace speckv {

namespace {

constexpr uint32_t heads = 2, pages = 2;

// The smallest of what a capability has bits for; bit 0 where it says nothing.
uint32_t lowest(uint32_t bits) { return bits ? uint32_t(std::countr_zero(bits)) : 0; }

speckv_layout layout_for(const speckv_engine_info& can) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = can.dtypes & 1 ? SPECKV_DTYPE_F16 : SPECKV_DTYPE_BF16;
  layout.layers = 1;
  layout.kv_heads = heads;
  layout.head_dim = 64 * (1 + lowest(can.head_dims));
  layout.page_tokens = 16u << lowest(can.tokens);
  layout.block_tokens = pages * layout.page_tokens;
  layout.world = 1;
  return layout;
}

// One that changes every byte, if the engine has it.
codec::CodecId codec_for(const speckv_engine_info& can) {
  for (const codec::CodecId id : {codec::CodecId::rowq4, codec::CodecId::q8, codec::CodecId::xpack})
    if (can.encoders >> uint32_t(id) & 1) return id;
  return codec::CodecId::raw;
}

}  // namespace

SelfTest::SelfTest(const speckv_engine_info& can) {
  const speckv_layout layout = layout_for(can);
  const codec::CodecId id = codec_for(can);
  const codec::Preset preset{id, id, id};
  const ptrdiff_t token = ptrdiff_t(2 * layout.head_dim), head = token * layout.block_tokens;
  raw_.resize(size_t(2 * head) * heads);
  for (size_t i = 0; i < raw_.size(); i += 2) {  // values of one octave: no codec refuses these
    const uint64_t random = speckv::mix64(i + 1);
    const auto bits = uint16_t(layout.dtype == SPECKV_DTYPE_F16 ? (random & 0x83ff) | 0x3800
                                                                : (random & 0x807f) | 0x3f00);
    std::memcpy(&raw_[i], &bits, 2);
  }
  stored_.resize(codec::segment_bytes(layout, preset, false));
  const std::byte* values = raw_.data() + raw_.size() / 2;
  const auto refusal = codec::encode_segment(
      layout, preset, 0, false, {{raw_.data(), token, head, 2}, {values, token, head, 2}}, stored_,
      &checksum_);
  SPECKV_ASSERT(refusal == codec::Refusal::none && raw_.size() <= target_offset,
                "the segment that a device is tried with cannot be stored");
  command_.opcode = SPECKV_CMD_ENCODE;
  command_.flags = SPECKV_CMD_NOWAIT;
  command_.bf16 = layout.dtype == SPECKV_DTYPE_BF16;
  command_.bytes = bytes();
  command_.heads = heads;
  command_.pages = pages;
  command_.head_dim = uint16_t(layout.head_dim);
  command_.tokens = uint8_t(layout.page_tokens);
  command_.codec_k = command_.codec_v = uint8_t(id);
}

speckv_cmd SelfTest::command(std::span<std::byte> place) const {
  std::memcpy(place.data(), raw_.data(), raw_.size());
  std::memset(place.data() + target_offset, 0xa5, stored_.size());
  return command_;
}

bool SelfTest::is_right(std::span<const std::byte> place, uint64_t checksum) const {
  return checksum == checksum_ &&
         std::memcmp(place.data() + target_offset, stored_.data(), stored_.size()) == 0;
}

}  // namespace speckv
