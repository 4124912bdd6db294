// SPDX-License-Identifier: Apache-2.0
// spill_format.hpp - the bytes of a spill file: superblock, parcels, images of blocks.
//
//   file   = Superblock (padded to one unit) | unit | unit | ...                       unit = 2 MiB
//   parcel = 1..n neighbouring units, written once: table pages | images, padded to 64 B
//   page   = PageHead (64 B) | 63 TableEntry                                           4 KiB
//   image  = ImageHead | slot sizes | slots as they stood in the pool (shm/pool_format.hpp)
//
// A parcel counts when its pages do: they are written last, after the images are there. Each page
// has a checksum of its own, so an entry can be marked dead by writing its page again. Numbers are
// those of the machine: a file is read by the kind of machine that wrote it, which the magic shows.
// Whoever reads these bytes trusts none of them: read_page() and read_image() say what is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "shm/pool_format.hpp"

namespace speckv::spill {

constexpr uint64_t superblock_magic = 0x31304c4c4950534bull;  // "KSPILL01"
constexpr uint64_t page_magic = 0x3130454741505353ull;        // "SSPAGE01"
constexpr uint64_t image_magic = 0x31304547414d4953ull;       // "SIMAGE01"
constexpr uint32_t version = 1;
constexpr uint64_t unit_bytes = shm::unit_bytes;
constexpr uint32_t page_bytes = 4096;  // one write of it is whole or not there, on what we know
constexpr uint32_t align_bytes = 64;   // of an image in its parcel
constexpr uint32_t pages_max = 16;     // of one parcel

struct Superblock {
  uint64_t magic;
  uint32_t version;
  uint32_t shard;
  uint64_t units;     // of parcels: the superblock's own is not counted
  uint64_t store_id;  // random; in each page: bytes of another file never count
  char namespace_name[64];
  uint32_t shards;
  uint32_t pool_version;  // of the slots in the images
  uint64_t check;         // mix of the fields above
};
static_assert(sizeof(Superblock) == 112);

struct PageHead {
  uint64_t magic;
  uint64_t check;  // checksum of the page with 0 here
  uint64_t store_id;
  uint64_t sequence;  // of the parcel, never used twice in a file; a later one is the newer
  uint32_t units;     // of the parcel
  uint16_t page, pages;
  uint32_t entries;  // in this page
  uint32_t bytes64;  // of the parcel, in 64 B
  uint64_t reserved[2];
};
static_assert(sizeof(PageHead) == 64);

enum EntryFlags : uint32_t { entry_dead = 1 };  // removed or replaced: must not come back

struct TableEntry {
  Key key;  // its address
  uint64_t fingerprint;
  uint64_t content;  // content_of(): equal for equal bytes
  uint32_t at64;     // where its image begins, from the parcel's first byte, in 64 B
  uint32_t bytes64;  // of the image
  uint32_t flags;
  uint32_t reserved;
};
static_assert(sizeof(TableEntry) == 64);

constexpr uint32_t entries_per_page = (page_bytes - sizeof(PageHead)) / sizeof(TableEntry);

struct Page {
  PageHead head;
  TableEntry entries[entries_per_page];
};
static_assert(sizeof(Page) == page_bytes);

struct ImageHead {
  uint64_t magic;
  uint64_t check;  // checksum of head and slot sizes with 0 here
  Key key, parent;
  uint64_t fingerprint;
  uint64_t identity;
  uint64_t raw_bytes;
  uint64_t content;
  uint32_t position;
  uint32_t block_tokens;
  uint32_t layers;
  uint32_t bytes64;       // of the image
  uint16_t record_flags;  // SlotHeader.flags of the record
  uint16_t kind;          // enum speckv_kind
  uint16_t reserved[2];
  uint64_t reserved_words[7];
};
static_assert(sizeof(ImageHead) == 192);

constexpr uint64_t image_head_bytes(uint32_t layers) {
  return shm::round_up(sizeof(ImageHead) + layers * sizeof(uint32_t), align_bytes);
}

// An image of which head and sizes hold.
struct Image {
  const ImageHead* head = nullptr;
  std::span<const uint32_t> slot_bytes;  // of each layer
  const std::byte* slots = nullptr;      // one behind the other
};

// What identifies a block's stored bytes beside its key: equal for equal bytes. Feeds one segment's
// slot checksum after the other.
inline uint64_t content_start(uint64_t fingerprint) { return mix64(fingerprint + 1); }
inline uint64_t content_add(uint64_t content, uint64_t slot_checksum) {
  return mix64(content + slot_checksum * 0x9e3779b97f4a7c15ull);
}

uint64_t superblock_check(const Superblock& block);
uint64_t page_check(const Page& page);
uint64_t image_check(const ImageHead& head, std::span<const uint32_t> slot_bytes);

// Returns: whether this is a whole page of the parcel that begins at `unit` in a file of so many
// units, and everything in it lies within the parcel.
bool read_page(std::span<const std::byte> bytes, uint64_t store_id, uint64_t unit, uint64_t units,
               Page* ret_page);
// Returns: whether an image of this block stands here, whole but for its slots' payloads, and all
// that it says lies within these bytes. Requires: bytes are aligned to 8.
bool read_image(std::span<const std::byte> bytes, const Key& key, Image* ret_image);
// Returns: whether each slot is that layer of that block and its payload has its checksum.
bool slots_hold(const Image& image);

}  // namespace speckv::spill
