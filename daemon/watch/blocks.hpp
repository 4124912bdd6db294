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

// The one block whose key, in hex, begins with prefix. ENOENT, or EEXIST when there are several,
// EINVAL for no hex.
Result<shm::Entry> find_block(const NamespaceFiles& files, std::string_view prefix);

// Reads every segment and checks key, fingerprint, generation and checksum, as a get does.
BlockDetail inspect_block(const NamespaceFiles& files, const shm::Entry& entry);

std::string key_hex(const Key& key);

}  // namespace speckv::watch
