// SPDX-License-Identifier: Apache-2.0
// compress.cpp - station 2: each layer's K and V are encoded into their slot by the layout's
// preset, or q8 or raw if a page is refused: what a job asks, and what its answer means. The slots'
// gens stay odd: write makes them even.
#include <cstring>

#include "assert.hpp"
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

uint32_t payload_bytes(const Layout& layout, const SegmentJob& job) {
  return job.as == StoredAs::raw  ? layout.stored_raw_bytes
         : job.as == StoredAs::q8 ? layout.fallback_bytes[job.first]
                                  : layout.stored_bytes[job.first];
}
}  // namespace

// What is asked of the engine. The slot's gen is odd; the fence between that and the first byte is
// run by the thread that writes it.
void Shard::prepare(Put& put, SegmentJob& job) {
  const Layout& layout = *put.layout;
  job.layout = &layout;
  if (job.layer >= layout.desc.layers) return prepare_side(put, job);
  job.work = Work::encode;
  job.preset = job.as == StoredAs::raw  ? &raw_preset
               : job.as == StoredAs::q8 ? &layout.fallback
                                        : &layout.preset;
  job.tables = put.widths->tables.get();
  job.tables_id = put.widths->fingerprint;
  job.first = put.opens_sequence;
  job.raw = put.arena.subspan(job.layer * layout.segment_raw_bytes, layout.segment_raw_bytes);
  auto* bytes = reinterpret_cast<std::byte*>(slot(put.slots[job.layer].offset) + 1);
  job.out = {bytes, payload_bytes(layout, job)};
  SPECKV_ASSERT(sizeof(shm::SlotHeader) + job.out.size() <= put.slots[job.layer].slot_bytes,
                "a job would write past its slot");
}

// Side bytes are copied, whatever the preset is; they lie behind the layers in the arena, too.
void Shard::prepare_side(Put& put, SegmentJob& job) {
  const Layout& layout = *put.layout;
  const shm::SidePart part = shm::side_part(layout.desc, job.layer - layout.desc.layers);
  job.work = Work::copy;
  job.as = StoredAs::raw;
  job.preset = &raw_preset;
  job.first = false;
  job.raw = {};
  job.stored =
      put.arena.subspan(layout.desc.layers * layout.segment_raw_bytes + part.offset, part.bytes);
  job.out = {reinterpret_cast<std::byte*>(slot(put.slots[job.layer].offset) + 1), part.bytes};
  SPECKV_ASSERT(sizeof(shm::SlotHeader) + part.bytes <= put.slots[job.layer].slot_bytes,
                "side bytes would be written past their slot");
}

// Returns: false when the engine refused it: it wants to be stored otherwise.
bool Shard::encoded(Put& put, SegmentJob& job) {
  if (job.refusal == codec::Refusal::none) {
    write_header(put, job);
    return true;
  }
  put.segments_bounded -= job.as == StoredAs::q8;
  job.as = after(job.refusal);
  put.segments_bounded += job.as == StoredAs::q8;
  put.segments_refused += job.as == StoredAs::raw;
  (job.as == StoredAs::q8 ? counters_.segments_bounded : counters_.segments_refused)
      .fetch_add(1, std::memory_order_relaxed);
  return false;
}

// What the engine wrote, or could not write, is not to be used. A slot that something may still be
// written to is nobody's from here on.
bool Shard::is_to_be_done_again(Put& put, SegmentJob& job) {
  Placed& placed = put.slots[job.layer];
  if (job.retry == EncodeJob::Retry::elsewhere && placed.slot_bytes) {
    slabs_.lose(placed.offset, placed.slot_bytes);
    counters_.slots_given_up.fetch_add(1, std::memory_order_relaxed);
    placed.slot_bytes = 0;
  }
  if (job.retry != EncodeJob::Retry::none) return true;
  // Our gen stands in front of what was written. A device can write anywhere in what it was lent.
  if (!placed.slot_bytes || shm::load_relaxed(slot(placed.offset)->gen) == placed.gen - 1)
    return false;
  options_.engine->distrust(job);
  shm::store_relaxed(slot(placed.offset)->gen, placed.gen - 1);
  job.by_cpu = true;
  return true;
}

void Shard::begin_again(Put& put, SegmentJob& job) {
  const int error = put.slots[job.layer].slot_bytes ? 0 : allocate_again(put, job.layer, job.as);
  if (error) fail(put, error);
  else keep_ready(put, job);
}

// Returns: 0; -ENOSPC when there is no room for this segment otherwise; -EIO: raw was refused.
int Shard::other_slot_for(Put& put, SegmentJob& job) {
  if (job.preset == &raw_preset) return -EIO;
  return allocate_again(put, job.layer, job.as);
}

void Shard::write_header(const Put& put, const SegmentJob& job) {
  const Layout& layout = *put.layout;
  shm::release_fence();  // the gen became odd on this thread
  shm::SlotHeader* header = slot(put.slots[job.layer].offset);
  header->key = put.submission.key;
  header->fingerprint = put.widths->fingerprint;
  header->layer = uint16_t(job.layer);
  header->flags = uint16_t(job.as == StoredAs::raw  ? uint32_t(SPECKV_PRESET_EXACT)
                           : job.as == StoredAs::q8 ? uint32_t(SPECKV_PRESET_Q8)
                                                    : layout.preset_id);
  if (job.first) header->flags |= shm::slot_first;
  if (job.work == Work::copy) header->flags |= shm::slot_side;
  if (layout.segments == 1) header->flags |= shm::slot_single;
  header->payload_bytes = uint32_t(job.out.size());
  header->checksum = shm::slot_checksum(*header, job.checksum);
  if (!(header->flags & shm::slot_single)) return;
  shm::RecordMeta tail = meta_of(facts_of(put));
  tail.check = shm::tail_check(*header, tail);
  std::memcpy(job.out.data() + job.out.size(), &tail, sizeof tail);
}

// While a layout has no table of its own: what this block, which is stored, says of its keys.
void Shard::measure(const Put& put) {
  if (!put.layout->measures) return;
  KeyReach* reach = put.layout->widths->reach();
  if (reach && reach->add(put.arena, put.opens_sequence) && options_.on_measured)
    options_.on_measured();
}

}  // namespace speckv
