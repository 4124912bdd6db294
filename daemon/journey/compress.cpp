// SPDX-License-Identifier: Apache-2.0
// compress.cpp - station 3: one layer's K and V become one slot, by the layout's preset, or raw if
// a page is refused.
#include <cstring>

#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr codec::Preset raw_preset{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};

// Whether the block's first page may be its sequence's first, whose keys a coarse codec hurts most
// and which therefore has a codec of its own. A connector that tells neither position nor parent is
// given the benefit of the doubt.
bool may_open_sequence(const shm::Submission& submission) {
  if (submission.position != SPECKV_POSITION_UNKNOWN) return submission.position == 0;
  return submission.parent == Key{};
}
}  // namespace

int Shard::compress_segment(const Incoming& incoming, uint32_t block, uint32_t layer,
                            std::span<const std::byte> raw, Placed* ret_placed) {
  const bool exact = incoming.layout.preset_id == SPECKV_PRESET_EXACT;
  int error = encode_into(incoming, block, layer, raw, exact, ret_placed);
  if (error != -EILSEQ) return error;
  counters_.segments_refused.fetch_add(1, std::memory_order_relaxed);
  return encode_into(incoming, block, layer, raw, true, ret_placed);
}

// Returns: 0; -ENOSPC; -EILSEQ when the codec refused a page, nothing kept.
int Shard::encode_into(const Incoming& incoming, uint32_t block, uint32_t layer,
                       std::span<const std::byte> raw, bool as_raw, Placed* ret_placed) {
  const Layout& layout = incoming.layout;
  const bool first = may_open_sequence(incoming.submission);
  const uint32_t payload = as_raw ? layout.stored_raw_bytes : layout.stored_bytes[first];
  uint16_t flags = uint16_t(as_raw ? uint32_t(SPECKV_PRESET_EXACT) : layout.preset_id);
  if (first) flags |= shm::slot_first;
  if (layout.desc.layers == 1) flags |= shm::slot_single;
  const uint32_t tail = shm::slot_tail_bytes(flags);
  const uint64_t offset = allocate_slot(payload + tail, block, incoming.now_ns);
  if (!offset) return -ENOSPC;

  shm::SlotHeader* header =
      slot(offset);  // W3: its gen is odd and stays so until the slot is whole
  const uint64_t gen = next_gen();
  shm::store_relaxed(header->gen, gen - 1);
  shm::release_fence();
  auto* bytes = reinterpret_cast<std::byte*>(header + 1);
  uint64_t sum = 0;
  const codec::Refusal refusal = options_.engine->encode(
      layout, as_raw ? raw_preset : layout.preset, incoming.widths.tables.get(), layer, first, raw,
      {bytes, payload}, &sum);
  if (refusal != codec::Refusal::none) {
    slabs_.release(offset);
    return -EILSEQ;
  }
  header->key = incoming.submission.key;
  header->fingerprint = incoming.widths.fingerprint;
  header->layer = uint16_t(layer);
  header->flags = flags;
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, sum);
  if (tail) std::memcpy(bytes + payload, &layout.identity, tail);
  shm::store_release(header->gen, gen);  // W5
  *ret_placed = {offset, gen, shm::slot_bytes_of(*header)};
  return 0;
}

// While a layout has no table of its own: what this block, which is stored, says of its keys.
void Shard::measure(const Incoming& incoming, std::span<const std::byte> arena) {
  if (!incoming.layout.measures) return;
  KeyReach* reach = incoming.layout.widths->reach();
  if (reach && reach->add(arena, may_open_sequence(incoming.submission)) && options_.on_measured)
    options_.on_measured();
}

}  // namespace speckv
