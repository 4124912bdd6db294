// SPDX-License-Identifier: Apache-2.0
// near.cpp - station 6, decompress, ahead of time: a block that is read often is decoded into near
// memory, and its index entry moves there.
//
// The engine reads the block as a client would, and what it read counts only if the block was not
// unpublished meanwhile and its checksum was right: nothing of the pool is pinned for it, and
// whatever happens to the block goes before. Until its entry is replaced nothing refers to the
// copy, and its slots' gens are odd.
#include "journey/near.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "assert.hpp"
#include "codec/checksum.hpp"
#include "journey/block_needs.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {

uint32_t copies_for(const NearOptions& options, uint32_t blocks_max) {
  const uint64_t most = options.units * shm::unit_bytes / near_bytes_a_copy;
  return uint32_t(std::clamp<uint64_t>(most, 64, blocks_max + 64ull));
}

BlockNeeds needs_of(const Layout& layout) {
  const uint32_t layers = layout.desc.layers;
  const uint16_t flags = layers == 1 ? shm::slot_single : 0;
  BlockNeeds needs;
  needs.add(shm::slot_bytes_for(layout.stored_raw_bytes + shm::slot_tail_bytes(flags)), layers);
  if (layers > 1) needs.add(shm::slot_bytes_for(shm::record_payload_bytes(layers)), 1);
  return needs;
}

}  // namespace

Near::Near(const NearOptions& given, uint32_t shard, uint32_t blocks_max)
    : options(given),
      slabs(given.file, given.first_unit, given.units, shard),
      copies(copies_for(given, blocks_max)),
      copy_of(blocks_max, no_copy),
      hits(blocks_max, 0),
      unfit(blocks_max, 0) {
  policy = predict::make_policy("lru", uint32_t(copies.size()));
  free_copies.reserve(copies.size());
  limbo.reserve(copies.size());
  for (uint32_t copy = uint32_t(copies.size()); copy-- > 0;) free_copies.push_back(copy);
}

// Returns: whether it is worth a copy now.
bool Shard::near_touched(uint32_t block, uint64_t now_ns) {
  Near& near = *near_;
  if (near.touches++ % near_age_touches == 0) {
    near.hits[near.aged] /= 2;
    near.aged = near.aged + 1 < near.hits.size() ? near.aged + 1 : 0;
  }
  if (near.hits[block] < UINT8_MAX) near.hits[block]++;
  if (near.copy_of[block] != no_copy) {
    if (near.copies[near.copy_of[block]].state != CopyState::published) return false;
    near.policy->on_hit(near.copy_of[block], now_ns);
    counters_.near_touches.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  return near.open && !near.unfit[block] && near.hits[block] >= near.options.after_hits &&
         std::any_of(near.brings.begin(), near.brings.end(),
                     [](const NearBring& each) { return !each.used; });
}

bool Shard::bring_near(uint32_t number, const Layout& layout, const Widths& widths,
                       std::shared_ptr<void> owner, uint64_t now_ns) {
  Near& near = *near_;
  const shm::Entry& entry = blocks_[number].entry;
  SPECKV_ASSERT(blocks_[number].state == BlockState::published && near.copy_of[number] == no_copy,
                "a block was brought near that is not published, or is there");
  const BlockNeeds needs = needs_of(layout);
  // One with side bytes has more segments than layers: it is read from the pool alone.
  const bool fits = entry.layers == layout.desc.layers && entry.fingerprint == widths.fingerprint &&
                    layout.stored_raw_bytes == layout.segment_raw_bytes &&
                    can_ever_fit(needs.span(), near.slabs.usable_units());
  if (!fits) {
    near.unfit[number] = 1;
    counters_.near_failed.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const auto free = std::find_if(near.brings.begin(), near.brings.end(),
                                 [](const NearBring& each) { return !each.used; });
  if (free == near.brings.end() || !near_room(needs.span(), near.hits[number], now_ns))
    return false;
  NearBring& bring = *free;
  bring.used = true;
  bring.failed = false;
  bring.entry = entry;
  bring.layout = &layout;
  bring.widths = &widths;
  bring.owner = std::move(owner);
  bring.next_layer = bring.decoded = bring.placed = 0;
  bring.copy = near.free_copies.back();
  near.free_copies.pop_back();
  NearCopy& copy = near.copies[bring.copy];
  copy = NearCopy{};
  copy.state = CopyState::filling;
  copy.block = number;
  copy.layers = entry.layers;
  near.copy_of[number] = bring.copy;
  take_near_slots(bring, needs.span());
  uint32_t layer = 0;
  for_each_segment(number, [&](uint64_t offset) { bring.sources[layer++] = offset; });
  return true;
}

// W3: their gens are odd, and stay so until publish_near().
void Shard::take_near_slots(NearBring& bring, std::span<const SlotNeed> needs) {
  Near& near = *near_;
  for (const SlotNeed& need : needs)  // the segments, then the record
    for (uint32_t i = 0; i < need.count; i++) {
      const uint64_t offset = near.slabs.allocate(need.slot_bytes, bring.copy);
      SPECKV_ASSERT(offset != 0, "a slot of near memory that was planned for is not there");
      const uint64_t gen = next_gen();
      shm::store_relaxed(near.slot(offset)->gen, gen - 1);
      bring.slots[bring.placed++] = {offset, gen, need.slot_bytes};
      near.copies[bring.copy].bytes += need.slot_bytes;
    }
}

// Whether the block is what it was when it began. Gens are never used twice.
bool Shard::is_unchanged(const NearBring& bring) const {
  const uint32_t block = near_->copies[bring.copy].block;
  return block != no_block && blocks_[block].state == BlockState::published &&
         blocks_[block].entry.gen == bring.entry.gen;
}

bool Shard::has_near_job() const {
  if (!near_) return false;
  for (const NearBring& bring : near_->brings)
    if (wants_near_job(bring)) return true;
  return false;
}

bool Shard::wants_near_job(const NearBring& bring) {
  return bring.used && !bring.failed && bring.next_layer < bring.entry.layers &&
         bring.jobs_in_engine < near_jobs_max;
}

uint64_t Shard::start_near_job() {
  Near& near = *near_;
  for (uint32_t number = 0; number < near.brings.size(); number++) {
    NearBring& bring = near.brings[number];
    if (!wants_near_job(bring)) continue;
    NearJob* job = std::find_if(bring.jobs.begin(), bring.jobs.end(),
                                [](const NearJob& each) { return !each.in_engine; });
    job->bring = number;
    job->layer = bring.next_layer;
    if (!prepare_near(bring, *job)) {
      give_up_as_unfit(bring);
      return 1;
    }
    if (!options_.engine->start(job)) return 0;
    job->in_engine = true;
    bring.jobs_in_engine++;
    bring.next_layer++;
    return bring.layout->segment_raw_bytes;
  }
  return 0;
}

// Returns: false, the block has changed, or its memory is not what it was.
bool Shard::prepare_near(const NearBring& bring, NearJob& job) {
  if (!is_unchanged(bring)) return false;
  const shm::SlotHeader& source = *slot(bring.sources[job.layer]);
  const Layout& layout = *bring.layout;
  job.work = Work::decode;
  job.by_cpu = false;
  job.layout = &layout;
  job.preset = &job.from;
  job.tables = bring.widths->tables.get();
  job.tables_id = bring.widths->fingerprint;
  job.first = source.flags & shm::slot_first;
  const bool known =
      codec::preset_for(layout.desc, source.flags & shm::slot_preset_mask, &job.from) &&
      source.payload_bytes == codec::segment_bytes(layout.desc, job.from, job.first);
  if (!known || !fits_source(bring, source, job.layer)) return false;
  job.stored = {reinterpret_cast<const std::byte*>(&source + 1), source.payload_bytes};
  job.out = {reinterpret_cast<std::byte*>(near_->slot(bring.slots[job.layer].offset) + 1),
             layout.stored_raw_bytes};
  return true;
}

bool Shard::fits_source(const NearBring& bring, const shm::SlotHeader& source, uint32_t layer) {
  return !(source.gen & 1) && source.key == bring.entry.key &&
         source.fingerprint == bring.entry.fingerprint && source.layer == layer;
}

bool Shard::near_completed(EncodeJob* answer) {
  if (!near_) return false;
  const std::less<const void*> before;
  const auto* first = near_->brings.data();
  if (before(answer, first) || !before(answer, first + near_->brings.size())) return false;
  auto& job = static_cast<NearJob&>(*answer);
  if (!job.in_engine) return false;
  NearBring& bring = near_->brings[job.bring];
  SPECKV_ASSERT(bring.used && bring.jobs_in_engine > 0,
                "a job came back to a block that is not brought near");
  job.in_engine = false;
  bring.jobs_in_engine--;
  if (job.failed || bring.failed || !is_unchanged(bring)) bring.failed = true;
  else if (near_decoded(bring, job)) bring.decoded++;
  else return give_up_as_unfit(bring), true;
  finish_near(bring);
  return true;
}

// What the pool says of it is wrong, while it is published: whoever reads it finds out, too.
void Shard::give_up_as_unfit(NearBring& bring) {
  bring.failed = true;
  if (is_unchanged(bring)) near_->unfit[near_->copies[bring.copy].block] = 1;
  finish_near(bring);
}

// Returns: false, what was decoded is not what was stored.
bool Shard::near_decoded(const NearBring& bring, const NearJob& job) {
  const shm::SlotHeader& source = *slot(bring.sources[job.layer]);
  if (!fits_source(bring, source, job.layer) ||
      shm::slot_checksum(source, job.stored_checksum) != source.checksum)
    return false;
  shm::SlotHeader* header = near_->slot(bring.slots[job.layer].offset);
  shm::release_fence();  // the gen became odd on this thread
  header->key = source.key;
  header->fingerprint = source.fingerprint;
  header->layer = source.layer;
  header->flags =
      uint16_t((source.flags & ~uint32_t(shm::slot_preset_mask)) | uint32_t(SPECKV_PRESET_EXACT));
  header->payload_bytes = uint32_t(job.out.size());
  header->checksum = shm::slot_checksum(*header, job.checksum);
  if (!(header->flags & shm::slot_single)) return true;
  shm::RecordMeta tail = shm::meta_of(source);
  if (!shm::tail_holds(source, tail)) return false;
  tail.check = shm::tail_check(*header, tail);
  std::memcpy(job.out.data() + job.out.size(), &tail, sizeof tail);
  return true;
}

// Ends what has nothing in the engine any more and nothing left to start.
void Shard::finish_near(NearBring& bring) {
  if (bring.jobs_in_engine) return;
  if (!bring.failed && bring.decoded < bring.entry.layers) return;
  if (!bring.failed && near_->open && is_unchanged(bring)) publish_near(bring);
  else give_up_near(bring);
  bring.owner.reset();
  bring.used = false;
  bring.copy = no_copy;
}

void Shard::publish_near(NearBring& bring) {
  Near& near = *near_;
  const uint32_t layers = bring.entry.layers;
  for (uint32_t layer = 0; layer < layers; layer++)
    shm::store_release(near.slot(bring.slots[layer].offset)->gen, bring.slots[layer].gen);  // W5
  if (layers > 1) write_near_record(bring);
  for (uint32_t i = 0; i < bring.placed; i++) near.slabs.unpin(bring.slots[i].offset);
  const Placed& head = bring.slots[bring.placed - 1];
  NearCopy& copy = near.copies[bring.copy];
  copy.ref = head.offset | shm::ref_near;
  copy.gen = head.gen;
  copy.state = CopyState::published;
  shm::Entry entry = blocks_[copy.block].entry;
  entry.ref = copy.ref;
  entry.gen = copy.gen;
  const bool replaced = index_.replace(hash_key(entry.key), entry);  // W6, and W1 of the pool's
  SPECKV_ASSERT(replaced, "a published block was not in the index");
  near.published++;
  predict::BlockFacts facts;
  facts.key_hash = hash_key(entry.key);
  facts.now_ns = near.now_ns;
  facts.stored_bytes = copy.bytes;
  near.policy->on_insert(bring.copy, facts);
  counters_.near_brought.fetch_add(1, std::memory_order_relaxed);
  counters_.near_blocks.fetch_add(1, std::memory_order_relaxed);
  counters_.near_bytes.fetch_add(copy.bytes, std::memory_order_relaxed);
}

// As the pool's, but for where the segments lie.
void Shard::write_near_record(const NearBring& bring) {
  Near& near = *near_;
  const uint32_t layers = bring.entry.layers, payload = shm::record_payload_bytes(layers);
  const shm::SlotHeader& source = *slot(bring.entry.ref);
  shm::SlotHeader* header = near.slot(bring.slots[layers].offset);
  shm::release_fence();
  auto* meta = reinterpret_cast<shm::RecordMeta*>(header + 1);
  *meta = *reinterpret_cast<const shm::RecordMeta*>(&source + 1);
  auto* refs = reinterpret_cast<shm::SegmentRef*>(meta + 1);
  for (uint32_t layer = 0; layer < layers; layer++)
    shm::store_racing(&refs[layer], shm::SegmentRef{bring.slots[layer].offset | shm::ref_near,
                                                    bring.slots[layer].gen});
  codec::Checksum sum;
  codec::checksum_update(sum, meta, payload);
  header->key = bring.entry.key;
  header->fingerprint = bring.entry.fingerprint;
  header->layer = shm::layer_record;
  header->flags = source.flags;
  header->payload_bytes = payload;
  header->checksum = shm::slot_checksum(*header, codec::checksum_final(sum));
  shm::store_release(header->gen, bring.slots[layers].gen);
}

// Nobody ever knew of it: its gens are odd still.
void Shard::give_up_near(NearBring& bring) {
  Near& near = *near_;
  for (uint32_t i = 0; i < bring.placed; i++) near.slabs.release(bring.slots[i].offset);
  const uint32_t block = near.copies[bring.copy].block;
  if (block != no_block) near.copy_of[block] = no_copy;
  near.copies[bring.copy] = NearCopy{};
  near.free_copies.push_back(bring.copy);
  counters_.near_failed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace speckv
