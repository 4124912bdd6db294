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
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shm/index.hpp"
#include "shm/pool_format.hpp"
#include "status.hpp"

namespace speckv::watch {

struct NamespaceFiles {
  std::span<const std::byte> index, pool;
};

// What the header of a block's slot says beyond its entry. Absent values are those of a one-layer
// block.
struct BlockSummary {
  shm::Entry entry{};
  Key key{};              // as its owners say it; entry.key is the address
  uint64_t identity = 0;  // of the layout, whatever its widths; 0: the slot is gone or damaged
  bool has_record = false;
  Key parent{};
  uint32_t position = UINT32_MAX;  // SPECKV_POSITION_UNKNOWN
  uint64_t raw_bytes = 0;          // 0: not recorded
};

struct SegmentState {
  uint32_t layer = 0;
  uint64_t offset = 0, gen = 0;
  uint32_t preset = 0, payload_bytes = 0;
  bool first = false;
  std::string state;  // "ok", "changed", "corrupt: ..."
};

struct BlockDetail {
  BlockSummary summary;
  std::string state;  // of the record, or of the only segment
  std::vector<SegmentState> segments;
};

// Up to limit blocks in the index's own order. ret_total: entries seen, shown or not.
std::vector<BlockSummary> list_blocks(const NamespaceFiles& files, uint64_t limit,
                                      uint64_t* ret_total);

constexpr size_t blocks_of_a_key_max = 1024;  // ranks and stages that one answer tells of
// The blocks, one a layout, of the one key that in hex begins with prefix; never none. ENOENT, or
// EEXIST when there are several such keys, EINVAL for no hex.
Result<std::vector<shm::Entry>> find_blocks(const NamespaceFiles& files, std::string_view prefix);

// Reads every segment and checks key, fingerprint, generation and checksum, as a get does.
BlockDetail inspect_block(const NamespaceFiles& files, const shm::Entry& entry);

std::string key_hex(const Key& key);

}  // namespace speckv::watch
