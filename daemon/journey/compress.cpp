// SPDX-License-Identifier: Apache-2.0
// compress.cpp - station 2: each layer's K and V are encoded into their slot by the layout's
// preset, or raw if a page is refused. The slots' gens stay odd: write makes them even.
#include <cstring>

#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr codec::Preset raw_preset{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};
}  // namespace

// Returns: 0; -ENOSPC when a page was refused and there is no room for its segment as it came.
int Shard::compress(Put& put, std::span<const std::byte> arena) {
  const bool exact = put.layout->preset_id == SPECKV_PRESET_EXACT;
  const uint64_t raw_bytes = put.layout->segment_raw_bytes;
  shm::release_fence();  // after the odd gens, before the first byte
  for (uint32_t layer = 0; layer < put.layers(); layer++) {
    const std::span<const std::byte> raw = arena.subspan(layer * raw_bytes, raw_bytes);
    if (encode(put, layer, raw, exact) == codec::Refusal::none) continue;
    counters_.segments_refused.fetch_add(1, std::memory_order_relaxed);
    const int error = allocate_raw(put, layer);
    if (error) return error;
    shm::release_fence();
    encode(put, layer, raw, true);  // raw takes any bytes
  }
  return 0;
}

codec::Refusal Shard::encode(const Put& put, uint32_t layer, std::span<const std::byte> raw,
                             bool as_raw) {
  const Layout& layout = *put.layout;
  const uint32_t payload =
      as_raw ? layout.stored_raw_bytes : layout.stored_bytes[put.opens_sequence];
  shm::SlotHeader* header = slot(put.slots[layer].offset);
  auto* bytes = reinterpret_cast<std::byte*>(header + 1);
  uint64_t sum = 0;
  const codec::Refusal refusal =
      options_.engine->encode(layout, as_raw ? raw_preset : layout.preset, put.widths->tables.get(),
                              layer, put.opens_sequence, raw, {bytes, payload}, &sum);
  if (refusal != codec::Refusal::none) return refusal;
  header->key = put.submission.key;
  header->fingerprint = put.widths->fingerprint;
  header->layer = uint16_t(layer);
  header->flags = uint16_t(as_raw ? uint32_t(SPECKV_PRESET_EXACT) : layout.preset_id);
  if (put.opens_sequence) header->flags |= shm::slot_first;
  if (layout.desc.layers == 1) header->flags |= shm::slot_single;
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, sum);
  const uint32_t tail = shm::slot_tail_bytes(header->flags);
  if (tail) std::memcpy(bytes + payload, &layout.identity, tail);
  return refusal;
}

// While a layout has no table of its own: what this block, which is stored, says of its keys.
void Shard::measure(const Put& put, std::span<const std::byte> arena) {
  if (!put.layout->measures) return;
  KeyReach* reach = put.layout->widths->reach();
  if (reach && reach->add(arena, put.opens_sequence) && options_.on_measured)
    options_.on_measured();
}

}  // namespace speckv
