// SPDX-License-Identifier: Apache-2.0
// compress.cpp - station 2: each layer's K and V are encoded into their slot by the layout's
// preset, or q8 or raw if a page is refused. The slots' gens stay odd: write makes them even.
#include <cstring>

#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr codec::Preset raw_preset{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};

// What a segment is stored as when this was refused: q8 where a token would lose more than a
// bounded preset promises, else raw, which takes any bytes.
StoredAs after(codec::Refusal refusal) {
  return refusal == codec::Refusal::token_bound ? StoredAs::q8 : StoredAs::raw;
}
}  // namespace

// Returns: 0; -ENOSPC when a page was refused and there is no room for its segment otherwise.
int Shard::compress(Put& put, std::span<const std::byte> arena) {
  const bool exact = put.layout->preset_id == SPECKV_PRESET_EXACT;
  const uint64_t raw_bytes = put.layout->segment_raw_bytes;
  shm::release_fence();  // after the odd gens, before the first byte
  for (uint32_t layer = 0; layer < put.layers(); layer++) {
    const std::span<const std::byte> raw = arena.subspan(layer * raw_bytes, raw_bytes);
    StoredAs as = exact ? StoredAs::raw : StoredAs::preset;
    for (;;) {
      const codec::Refusal refusal = encode(put, layer, raw, as);
      if (refusal == codec::Refusal::none) break;
      put.segments_bounded -= as == StoredAs::q8;
      as = after(refusal);
      put.segments_bounded += as == StoredAs::q8;
      put.segments_refused += as == StoredAs::raw;
      (as == StoredAs::q8 ? counters_.segments_bounded : counters_.segments_refused)
          .fetch_add(1, std::memory_order_relaxed);
      const int error = allocate_again(put, layer, as);
      if (error) return error;
      shm::release_fence();
    }
  }
  return 0;
}

codec::Refusal Shard::encode(const Put& put, uint32_t layer, std::span<const std::byte> raw,
                             StoredAs as) {
  const Layout& layout = *put.layout;
  const bool first = put.opens_sequence;
  const uint32_t payload = as == StoredAs::raw  ? layout.stored_raw_bytes
                           : as == StoredAs::q8 ? layout.fallback_bytes[first]
                                                : layout.stored_bytes[first];
  const codec::Preset& codecs = as == StoredAs::raw  ? raw_preset
                                : as == StoredAs::q8 ? layout.fallback
                                                     : layout.preset;
  shm::SlotHeader* header = slot(put.slots[layer].offset);
  auto* bytes = reinterpret_cast<std::byte*>(header + 1);
  uint64_t sum = 0;
  const codec::Refusal refusal = options_.engine->encode(layout, codecs, put.widths->tables.get(),
                                                         layer, first, raw, {bytes, payload}, &sum);
  if (refusal != codec::Refusal::none) return refusal;
  header->key = put.submission.key;
  header->fingerprint = put.widths->fingerprint;
  header->layer = uint16_t(layer);
  header->flags = uint16_t(as == StoredAs::raw  ? uint32_t(SPECKV_PRESET_EXACT)
                           : as == StoredAs::q8 ? uint32_t(SPECKV_PRESET_Q8)
                                                : layout.preset_id);
  if (first) header->flags |= shm::slot_first;
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
