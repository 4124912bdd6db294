// SPDX-License-Identifier: Apache-2.0
#include "src/read_block.hpp"

#include <algorithm>
#include <cstring>

#include "codec/checksum.hpp"
#include "codec/segment.hpp"
#include "src/clock.hpp"
#include "src/handle.hpp"

namespace speckv::lib {
namespace {

uint32_t take_owner(shm::GuardSlot& slot, uint32_t owner) {
  uint32_t none = 0;
  return std::atomic_ref<uint32_t>(slot.owner)
      .compare_exchange_strong(none, owner, std::memory_order_acquire);
}

codec::Plane plane_of(const speckv_view& view) {
  return {static_cast<std::byte*>(view.base), view.token_stride, view.head_stride,
          view.channel_stride};
}

// Tells the daemon that it has to look at this slot from now on, before the first name is there.
void mark_used(shm::GuardSlot& first, uint32_t number) {
  const std::atomic_ref<uint32_t> used(first.slots_used);
  uint32_t seen = used.load(std::memory_order_relaxed);
  while (seen <= number &&
         !used.compare_exchange_weak(seen, number + 1, std::memory_order_relaxed)) {
  }
}

}  // namespace

Guard::Guard(const Connection& connection) {
  const uint32_t mine = thread_number();
  for (uint32_t i = 0; i < guard_tries; i++) {
    const uint32_t number = (mine - 1 + i) % shm::guard_slots;  // threads count from 1
    shm::GuardSlot& slot = connection.guards()[number];
    if (!take_owner(slot, mine)) continue;
    slot_ = &slot;
    mark_used(connection.guards()[0], number);
    shm::store_relaxed(slot.since_ns, now_ns());
    return;
  }
}

Guard::~Guard() {
  if (!slot_) return;
  for (shm::GuardName& name : slot_->names) shm::store_release(name.ref, 0);
  shm::store_release(slot_->owner, 0);
}

void Guard::protect(const shm::Entry* const entries[], uint32_t count) {
  read_step(2);
  if (!slot_) return;
  for (uint32_t i = 0; i < shm::guard_names; i++) {
    shm::store_relaxed(slot_->names[i].gen, i < count ? entries[i]->gen : 0);
    shm::store_relaxed(slot_->names[i].ref, i < count ? entries[i]->ref : 0);
  }
  shm::full_fence();
}

bool BlockReader::still_published(const shm::Entry& entry) const {
  shm::Entry now;
  return view.find(address, hash, &now) && now.ref == entry.ref && now.gen == entry.gen;
}

// Of a ref that is none of the pool: a reader of the pool does not pay for it.
[[gnu::noinline, gnu::cold]] const std::byte* BlockReader::near_slot_at(
    uint64_t ref, uint64_t payload_bytes) const {
  const uint64_t offset = ref - shm::ref_near, end = connection.near.bytes;
  const uint64_t needed = sizeof(shm::SlotHeader) + payload_bytes;
  if (!shm::is_near(ref) || offset % shm::slot_align_bytes || offset < shm::unit_bytes ||
      offset > end || needed > end - offset)
    return nullptr;
  return connection.near.base + offset;
}

[[gnu::always_inline]] inline const std::byte* BlockReader::slot_at(uint64_t ref,
                                                                    uint64_t payload_bytes) const {
  const uint64_t end = connection.pool.bytes;
  const uint64_t needed = sizeof(shm::SlotHeader) + payload_bytes;
  if (ref % shm::slot_align_bytes || ref < shm::unit_bytes || ref > end || needed > end - ref)
    return near_slot_at(ref, payload_bytes);
  return connection.pool.base + ref;
}

bool BlockReader::unchanged(const std::byte* slot, uint64_t gen) const {
  return shm::load_relaxed(reinterpret_cast<const shm::SlotHeader*>(slot)->gen) == gen;
}

Outcome BlockReader::misfit(const std::byte* slot, uint64_t gen) const {
  shm::acquire_fence();
  return unchanged(slot, gen) ? Outcome::corrupt : Outcome::changed;
}

Outcome BlockReader::read(const shm::Entry& entry, const speckv_buf& buf, bool stream) const {
  if ((entry.gen & 1) || entry.gen == 0) return Outcome::changed;
  read_step(3);
  if (!still_published(entry)) return Outcome::changed;  // (3)
  if (entry.flags & shm::entry_record) return read_record(entry, buf, stream);
  const std::byte* slot = slot_at(entry.ref, 0);
  if (!slot) return Outcome::corrupt;
  return read_segment(entry.ref, slot, entry.gen, 0, buf.views, stream);
}

Outcome BlockReader::read_record(const shm::Entry& entry, const speckv_buf& buf,
                                 bool stream) const {
  const uint32_t payload_bytes = shm::record_payload_bytes(info.segments);
  const std::byte* slot = slot_at(entry.ref, payload_bytes);
  if (!slot) return Outcome::corrupt;
  shm::SlotHeader header;
  shm::copy_racing(&header, *reinterpret_cast<const shm::SlotHeader*>(slot));  // (4), of the record
  shm::acquire_fence();  // what was written before this gen is seen
  if (header.gen != entry.gen) return Outcome::changed;
  if (!(header.key == address) || header.fingerprint != widths.fingerprint ||
      header.layer != shm::layer_record || header.payload_bytes != payload_bytes)
    return misfit(slot, entry.gen);
  const auto* stored_refs = reinterpret_cast<const shm::SegmentRef*>(
      slot + sizeof(shm::SlotHeader) + sizeof(shm::RecordMeta));
  shm::SegmentRef refs[SPECKV_LAYERS_MAX];
  // Of a layout with side bytes all segments are read, else the layers that were asked for.
  const uint32_t count = info.layout.side_bytes ? info.segments : buf.layer_count;
  for (uint32_t i = 0; i < count; i++) {
    shm::copy_racing(&refs[i], stored_refs[buf.layer_first + i]);
  }
  shm::acquire_fence();
  if (!unchanged(slot, entry.gen)) return Outcome::changed;
  for (uint32_t i = 0; i < count; i++) {
    const std::byte* segment = slot_at(refs[i].offset, 0);
    if (!segment || (refs[i].gen & 1)) return Outcome::corrupt;
    // The guard goes on naming the record: the daemon frees a block as one.
    if (!unchanged(slot, entry.gen)) return Outcome::changed;
    const uint32_t layer = buf.layer_first + i;
    const Outcome outcome =
        layer < info.layout.layers
            ? read_segment(refs[i].offset, segment, refs[i].gen, layer, buf.views + 2 * i, stream)
            : read_side(refs[i], segment, layer, buf.views[2 * info.layout.layers]);
    if (outcome != Outcome::hit) return outcome;
  }
  return Outcome::hit;
}

Outcome BlockReader::read_segment(uint64_t ref, const std::byte* slot, uint64_t gen, uint32_t layer,
                                  const speckv_view* views, bool stream) const {
  read_step(4);
  shm::SlotHeader header;
  shm::copy_racing(&header, *reinterpret_cast<const shm::SlotHeader*>(slot));  // (4)
  shm::acquire_fence();
  if (header.gen != gen) return Outcome::changed;
  const bool first = header.flags & shm::slot_first;
  const codec::SegmentPlan& plan = info.stored[header.flags & shm::slot_preset_mask][first];
  if (!(header.key == address) || header.fingerprint != widths.fingerprint ||
      header.layer != layer || plan.bytes == 0 || header.payload_bytes != plan.bytes ||
      !slot_at(ref, plan.bytes))
    return misfit(slot, gen);
  read_step(5);
  const uint64_t start_ns = connection.throttle.active() && !shm::is_near(ref) ? now_ns() : 0;
  const codec::SegmentOut out{plane_of(views[0]), plane_of(views[1])};
  const std::span payload(slot + sizeof(shm::SlotHeader), plan.bytes);
  const codec::ChanTable* tables =
      widths.tables ? widths.tables->data() + size_t{layer} * info.layout.kv_heads : nullptr;
  const uint64_t sum = codec::decode_planned(plan, payload, out, stream, tables);  // (5)
  if (start_ns) connection.throttle.charge(start_ns, sizeof header + plan.bytes);
  read_step(6);
  shm::acquire_fence();
  if (!unchanged(slot, gen)) return Outcome::changed;  // (6)
  read_step(7);
  return shm::slot_checksum(header, sum) == header.checksum ? Outcome::hit
                                                            : Outcome::corrupt;  // (7)
}

// One segment of side bytes: copied in pieces that the sum finds in the cache.
Outcome BlockReader::read_side(const shm::SegmentRef& ref, const std::byte* slot, uint32_t number,
                               const speckv_view& view) const {
  constexpr uint32_t piece_max = 16u << 10;
  const shm::SidePart part = shm::side_part(info.layout, number - info.layout.layers);
  read_step(4);
  shm::SlotHeader header;
  shm::copy_racing(&header, *reinterpret_cast<const shm::SlotHeader*>(slot));  // (4)
  shm::acquire_fence();
  if (header.gen != ref.gen) return Outcome::changed;
  if (!(header.key == address) || header.fingerprint != widths.fingerprint ||
      header.layer != number || !(header.flags & shm::slot_side) ||
      header.payload_bytes != part.bytes || !slot_at(ref.offset, part.bytes))
    return misfit(slot, ref.gen);
  read_step(5);
  const uint64_t start_ns =
      connection.throttle.active() && !shm::is_near(ref.offset) ? now_ns() : 0;
  auto* to = static_cast<std::byte*>(view.base) + part.offset;
  codec::Checksum sum;
  for (uint32_t at = 0; at < part.bytes; at += piece_max) {  // (5)
    const uint32_t bytes = std::min(piece_max, part.bytes - at);
    std::memcpy(to + at, slot + sizeof header + at, bytes);
    codec::checksum_update(sum, to + at, bytes);
  }
  if (start_ns) connection.throttle.charge(start_ns, sizeof header + part.bytes);
  read_step(6);
  shm::acquire_fence();
  if (!unchanged(slot, ref.gen)) return Outcome::changed;  // (6)
  read_step(7);
  return shm::slot_checksum(header, codec::checksum_final(sum)) == header.checksum
             ? Outcome::hit
             : Outcome::corrupt;  // (7)
}

}  // namespace speckv::lib
