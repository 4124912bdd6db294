// SPDX-License-Identifier: Apache-2.0
// pool_format.hpp - the bytes of a namespace's pool: units, slabs, slots and the one header that
// every slot has.
//
//   pool file = PoolHeader (padded to one unit) | unit | unit | ...          unit = 2 MiB
//   slab      = 1..32 neighbouring units: SlabHeader (4 KiB), then slots of one size
//   slot      = SlotHeader (64 B) | payload | tail, padded to 64 B
//
// A namespace may have a second file of this format, *near* memory: DRAM in which blocks stand
// decoded. It lives as long as its daemon. A ref (of an index entry, of a record) says in its upper
// bits in which of the two a slot lies; blocks of the pool never refer to near memory.
//
// A slot holds a *segment* (K and V of one layer of one block, or a part of its side bytes,
// numbered behind the layers) or a *record* (where the segments of a block lie). Written by the
// daemon alone; clients map it read-only. A slot is complete while its gen is even; gens are never
// used twice in a shard, across restarts too, so one 64-bit comparison tells whether a slot is
// still what it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shm/key.hpp"

namespace speckv::shm {

constexpr uint64_t pool_magic = 0x31304c4f4f50564bull;  // "KVPOOL01"
constexpr uint64_t near_magic = 0x31305241454e564bull;  // "KVNEAR01": the second file's header
constexpr uint64_t slab_magic = 0x313042414c53564bull;  // "KVSLAB01"
// 1: four lanes of CRC-32C for a checksum; 2: rowq without scales, q8sink nowhere; 3: anchors of
// chanq under one shift a page; 4: rowq3 to rowq6 with cells of one width and no
// signs; 5: blocks under their keys, whatever their layout; 6: a block of one segment said nothing
// of its parent and position, and none of its kind.
constexpr uint32_t pool_version = 7;
constexpr uint64_t unit_bytes = 2u << 20;  // one transparent huge page, one PMD of a DAX mapping
constexpr uint32_t slab_header_bytes = 4096;
constexpr uint32_t slab_units_max = 32;
constexpr uint32_t slot_align_bytes = 64;  // one beat of the codec engine, one cache line
constexpr uint32_t shards_max = 64;
constexpr uint64_t gen_reserve =
    1u << 20;  // gens set aside at once, so that a restart never repeats one

struct PoolHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t shards;
  uint64_t units;  // without the header's own
  uint64_t pool_id;
  char namespace_name[64];
  uint64_t gen_reserved[shards_max];  // per shard: every gen in use is below this
};
static_assert(sizeof(PoolHeader) <= 4096);

struct SlabHeader {
  uint64_t magic;
  uint32_t units;
  uint32_t slot_bytes;
  uint32_t slots;
  uint32_t shard;
  uint64_t check;  // mix64 of the fields above: a torn header is no header
};
static_assert(sizeof(SlabHeader) == 32);

// Upper two bits of a ref: the region that its slot lies in; 0 is the pool, others have no meaning.
// The rest is the offset of the slot there.
constexpr uint32_t ref_region_shift = 62;
constexpr uint64_t ref_near = 1ull << ref_region_shift;
constexpr bool is_near(uint64_t ref) { return ref >> ref_region_shift == 1; }
// Of a region without a meaning: one that lies outside of any file.
constexpr uint64_t ref_offset(uint64_t ref) { return is_near(ref) ? ref - ref_near : ref; }

constexpr uint16_t layer_record = 0xffff;  // SlotHeader.layer of a record

enum SlotFlags : uint16_t {
  slot_preset_mask = 0x000f,  // enum speckv_preset of this slot's payload
  slot_first = 0x0010,   // the block opens its sequence: first pages are stored with the preset's
                         // `first` codec
  slot_single = 0x0020,  // the block has one segment: this is all of it, and there is no record
  slot_side = 0x0040,    // side bytes, as they are; its preset is exact
};

struct SlotHeader {
  uint64_t gen;          // even: complete; odd: being written or free
  uint64_t checksum;     // over the 48 bytes below and the payload, see slot_checksum()
  Key key;               // its address: see key.hpp
  uint64_t fingerprint;  // of the layout and its widths
  uint16_t layer;
  uint16_t flags;
  uint32_t payload_bytes;
};
static_assert(sizeof(SlotHeader) == 64);

// What a block says of itself. Payload of a record: this, then `layers` SegmentRefs. Of a block of
// one segment, which has no record, it is the tail of the slot, at any address: meta_of().
struct RecordMeta {
  Key parent;  // its address, or zeros
  uint32_t position;
  uint32_t layers;  // segments: those of side bytes count
  uint64_t raw_bytes;
  uint64_t identity;      // of the layout: leads from addresses back to keys
  uint32_t block_tokens;  // of its layout; 0: not known
  uint8_t kind;           // enum speckv_kind, as its writer said
  uint8_t reserved;
  uint16_t check;  // of a tail: tail_check(); of a record 0, the slot's checksum covers it
};
static_assert(sizeof(RecordMeta) == 64);

struct SegmentRef {
  uint64_t offset;  // a ref: of the slot, from the start of its file
  uint64_t gen;
};

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}
constexpr uint32_t slot_bytes_for(uint64_t payload) {
  return uint32_t(round_up(sizeof(SlotHeader) + payload, slot_align_bytes));
}
constexpr uint32_t slot_tail_bytes(uint16_t flags) {
  return flags & slot_single ? uint32_t(sizeof(RecordMeta)) : 0;
}
// Where the RecordMeta of a block lies, from the first byte of the slot that its entry names.
constexpr uint64_t meta_offset(const SlotHeader& header) {
  return sizeof header + (header.flags & slot_single ? uint64_t(header.payload_bytes) : 0);
}
// slot: complete, of slot_bytes_of(). Of a tail, tail_holds() says whether to believe it.
inline RecordMeta meta_of(const SlotHeader& slot) {
  RecordMeta meta;
  std::memcpy(&meta, reinterpret_cast<const std::byte*>(&slot) + meta_offset(slot), sizeof meta);
  return meta;
}
inline uint16_t tail_check(const SlotHeader& slot, RecordMeta meta) {
  meta.check = 0;
  uint64_t words[sizeof meta / 8], sum = mix64(slot.checksum);
  std::memcpy(words, &meta, sizeof meta);
  for (const uint64_t word : words) sum = mix64(sum ^ word);
  return uint16_t(sum);
}
inline bool tail_holds(const SlotHeader& slot, const RecordMeta& meta) {
  return meta.check == tail_check(slot, meta);
}
inline uint32_t slot_bytes_of(const SlotHeader& header) {
  return slot_bytes_for(uint64_t(header.payload_bytes) + slot_tail_bytes(header.flags));
}
constexpr uint32_t record_payload_bytes(uint32_t layers) {
  return uint32_t(sizeof(RecordMeta) + layers * sizeof(SegmentRef));
}
inline uint64_t slab_check(const SlabHeader& slab) {
  return mix64(slab.magic ^ mix64((uint64_t(slab.units) << 32) | slab.slot_bytes) ^
               (mix64((uint64_t(slab.slots) << 32) | slab.shard) << 1));
}

// The payload's checksum, and a hash of the header's bytes 16..63 that does not wait for it.
inline uint64_t slot_checksum(const SlotHeader& header, uint64_t payload_checksum) {
  uint64_t hash = mix64(hash_key(header.key) ^ header.fingerprint);
  hash = mix64(
      hash ^ (uint64_t(header.layer) << 48 | uint64_t(header.flags) << 32 | header.payload_bytes));
  return hash ^ payload_checksum;
}

}  // namespace speckv::shm
