// SPDX-License-Identifier: Apache-2.0
// blocks.hpp - which blocks a namespace has and how one of them is stored, read from its files as a
// client reads them.
//
// Used by: control requests (`speckvctl ls`, `info`). A block that changes meanwhile is skipped or
// reported as changed; nothing here waits for a data thread. Shows keys, sizes and checksums, never
// stored values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shm/index.hpp"
#include "shm/pool_format.hpp"
#include "status.hpp"

namespace speckv::watch {

struct NamespaceFiles {
  std::span<const std::byte> index, pool, near;
};

// What a block says of itself beyond its entry.
struct BlockSummary {
  shm::Entry entry{};
  Key key{};              // as its owners say it; entry.key is the address
  uint64_t identity = 0;  // of the layout, whatever its widths; 0: the slot is gone or damaged
  bool has_meta = false;  // the rest is known
  Key parent{};
  uint32_t position = UINT32_MAX;  // SPECKV_POSITION_UNKNOWN
  uint64_t raw_bytes = 0;          // 0: not recorded
};

struct SegmentState {
  uint32_t layer = 0;
  uint64_t offset = 0, gen = 0;
  uint32_t preset = 0, payload_bytes = 0;
  bool first = false, side = false;  // side: side bytes, no layer's
  std::string state;                 // "ok", "changed", "corrupt: ..."
};

struct BlockDetail {
  BlockSummary summary;
  std::string state;  // of the record, or of the only segment
  std::vector<SegmentState> segments;
};

// Finds the way from addresses back to keys. Blocks of one fingerprint have one layout, so that a
// walk over the whole index reads few slots.
class Keys {
 public:
  explicit Keys(const NamespaceFiles& files) : files_(files) {}
  // Returns: of the entry's layout, or 0.
  uint64_t identity_of(const shm::Entry& entry);
  Key key_of(const shm::Entry& entry) { return masked(entry.key, layout_mask(identity_of(entry))); }

 private:
  const NamespaceFiles files_;
  std::map<uint64_t, uint64_t> identities_;
};

// The published blocks, some buckets at a time.
class EntryWalk {
 public:
  explicit EntryWalk(std::span<const std::byte> index) : index_(index) {}
  // Calls visit(entry) until it returns false. Returns: whether there is more to visit.
  bool step(uint64_t buckets, const std::function<bool(const shm::Entry&)>& visit);

 private:
  std::span<const std::byte> index_;
  uint64_t next_ = 0;
};

// All below: step() does a bounded piece of the work, a few milliseconds at most; it returns false
// when it was the last.

// Up to limit blocks in the index's own order.
class BlockLister {
 public:
  BlockLister(const NamespaceFiles& files, uint64_t limit)
      : files_(files), limit_(limit), keys_(files), walk_(files.index) {}
  bool step(std::vector<BlockSummary>* ret_more);
  uint64_t total() const { return total_; }  // entries seen, shown or not

 private:
  const NamespaceFiles files_;
  const uint64_t limit_;
  Keys keys_;
  EntryWalk walk_;
  uint64_t total_ = 0;
};

constexpr size_t blocks_of_a_key_max = 1024;  // ranks and stages that one answer tells of

// The blocks, one a layout, of the one key that in hex begins with prefix.
class BlockFinder {
 public:
  BlockFinder(const NamespaceFiles& files, std::string_view prefix);
  bool step();
  // After the last step. Never none: ENOENT, or EEXIST when there are several such keys, EINVAL for
  // no hex.
  Result<std::vector<shm::Entry>> found() const;

 private:
  Keys keys_;
  const std::string prefix_;
  EntryWalk walk_;
  std::vector<shm::Entry> found_;
  Key first_{};
  bool wrong_ = false, several_ = false;
};

// Reads every segment, one a step, and checks key, fingerprint, generation and checksum, as a get
// does.
class BlockInspector {
 public:
  BlockInspector(const NamespaceFiles& files, const shm::Entry& entry)
      : files_(files), entry_(entry), keys_(files) {}
  bool step();
  const BlockDetail& detail() const { return detail_; }

 private:
  bool begin();

  const NamespaceFiles files_;
  const shm::Entry entry_;
  Keys keys_;
  BlockDetail detail_;
  std::vector<shm::SegmentRef> refs_;
  std::vector<std::byte> payload_;
  uint16_t layer_ = 0;
  bool begun_ = false;
};

std::string key_hex(const Key& key);

}  // namespace speckv::watch
