// SPDX-License-Identifier: Apache-2.0
#include "golden_tables.hpp"

#include <cstring>

#include "codec/chanq.hpp"

namespace speckv::device {

namespace {

constexpr uint32_t kBeat = SPECKV_ENGINE_BEAT_BYTES;
constexpr uint32_t kTurnBytes = 4;  // of a token and a pair: a cosine and a sine
constexpr int16_t kOne = 16384;     // of the turns

codec::PairMap pairs_of(const LayoutRegisters& layout) {
  return {layout.shape.head_dim, layout.rotated, layout.half_split};
}

uint32_t heads_with_widths(const LayoutRegisters& layout) {
  return layout.shared_widths ? 1 : layout.heads;
}

}  // namespace

void GoldenTables::power_on() {
  turns_whole_.reset();
  widths_whole_.reset();
}

bool GoldenTables::takes(uint64_t offset, uint32_t bytes) {
  if (offset < SPECKV_ENGINE_WIDTHS_OFFSET)
    return offset % SPECKV_ENGINE_TURNS_BYTES == 0 && bytes == SPECKV_ENGINE_TURNS_BYTES;
  constexpr uint64_t end = SPECKV_ENGINE_WIDTHS_OFFSET + slots * SPECKV_ENGINE_WIDTHS_BYTES;
  return offset % SPECKV_ENGINE_WIDTHS_BYTES == 0 && bytes % SPECKV_ENGINE_WIDTHS_BYTES == 0 &&
         offset <= end && bytes <= end - offset;
}

void GoldenTables::put(uint32_t offset, std::span<const std::byte, kBeat> beat, bool failed) {
  std::memcpy(&bytes_[offset], beat.data(), kBeat);
  if (offset < SPECKV_ENGINE_WIDTHS_OFFSET) {
    const uint32_t theta = offset / SPECKV_ENGINE_TURNS_BYTES;
    const uint32_t at = offset % SPECKV_ENGINE_TURNS_BYTES;
    if (at == 0) turns_whole_[theta] = false;
    if (at + kBeat == SPECKV_ENGINE_TURNS_BYTES) turns_whole_[theta] = !failed;
    return;
  }
  const uint32_t at = offset - SPECKV_ENGINE_WIDTHS_OFFSET;
  const bool is_last = at % SPECKV_ENGINE_WIDTHS_BYTES != 0;
  widths_whole_[at / SPECKV_ENGINE_WIDTHS_BYTES] = is_last && !failed;
}

uint32_t GoldenTables::width(uint32_t slot, size_t channel) const {
  const size_t at = SPECKV_ENGINE_WIDTHS_OFFSET + slot * SPECKV_ENGINE_WIDTHS_BYTES + channel / 2;
  return std::to_integer<uint32_t>(bytes_[at]) >> channel % 2 * 4 & 15;
}

bool GoldenTables::have(const LayoutRegisters& layout, codec::CodecId id, uint32_t first) const {
  if (layout.rotated != 0 && !turns_whole_[layout.theta]) return false;
  const codec::PairMap map = pairs_of(layout);
  const size_t budget = codec::chanq_budget(id, layout.shape.tokens, layout.shape.head_dim);
  for (uint32_t slot = first; slot < first + heads_with_widths(layout); ++slot) {
    if (slot >= slots || !widths_whole_[slot]) return false;
    size_t bits = 0;
    for (size_t pair = 0; pair < map.pairs(); ++pair) {
      const uint32_t one = width(slot, map.first(pair));
      if (one > uint32_t(codec::chanq_width_max) || one != width(slot, map.second(pair)))
        return false;
      bits += one;
    }
    if (bits > budget) return false;
  }
  return true;
}

void GoldenTables::prepare(const LayoutRegisters& layout, codec::CodecId id, uint32_t first) {
  const codec::PairMap map = pairs_of(layout);
  const std::byte* turns = &bytes_[layout.theta * SPECKV_ENGINE_TURNS_BYTES];
  for (size_t token = 0; layout.rotated != 0 && token < layout.shape.tokens; ++token) {
    for (size_t pair = 0; pair < map.pairs(); ++pair) {
      int16_t turn[2] = {kOne, 0};
      if (pair < map.rotated / 2u)
        std::memcpy(turn, turns + (token * codec::chanq_pairs_max + pair) * kTurnBytes, kTurnBytes);
      int16_t* to = &rotation_.turn[pair / 8][token][pair % 8 * 2];
      int16_t* quarter = &rotation_.quarter[pair / 8][token][pair % 8 * 2];
      to[0] = quarter[1] = turn[0];
      to[1] = turn[1];
      quarter[0] = int16_t(-turn[1]);
    }
  }
  heads_.resize(layout.heads);
  for (uint32_t head = 0; head < layout.heads; ++head) {
    codec::ChanTable& table = heads_[head];
    table.map = map;
    table.tokens = layout.shape.tokens;
    table.rotation = layout.rotated == 0 ? nullptr : &rotation_;
    const uint32_t slot = first + (layout.shared_widths ? 0 : head);
    for (size_t pair = 0; pair < map.pairs(); ++pair)
      table.widths[codec::chanq_index(id)][pair] = uint8_t(width(slot, map.first(pair)));
  }
}

}  // namespace speckv::device
