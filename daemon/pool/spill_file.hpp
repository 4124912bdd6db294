// SPDX-License-Identifier: Apache-2.0
// spill_file.hpp - opens a namespace's spill file or block device, and says why one cannot be used.
//
// Called on the control thread, before any data thread runs; it may wait for the disk. Nothing is
// written to what is not ours: a file that holds something else, another namespace's blocks, or a
// format that this daemon does not know is left as it is. What it opens is read and written by
// spill_store, through Io.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "status.hpp"

namespace speckv {

struct SpillWanted {
  std::string path;
  std::string space;  // the namespace's name
  uint64_t bytes = 0;
  uint32_t shards = 1;
  // Somebody else has it: what a daemon that was killed had under way keeps its file open until it
  // has ended, and then this one may write there.
  uint64_t patience_ms = 5000;
};

// One shard's part of it: a superblock, then its units.
struct SpillPart {
  uint64_t base = 0;   // bytes, of the superblock
  uint64_t units = 0;  // of parcels
  uint64_t store_id = 0;
  bool existed = false;  // it may hold blocks
};

class SpillFile {
 public:
  // EISDIR, EBUSY, ENOSPC, EEXIST, EPROTONOSUPPORT, ENODATA, EROFS...: each with its sentence.
  static Result<SpillFile> open(const SpillWanted& wanted);
  SpillFile(SpillFile&& other) noexcept { *this = std::move(other); }
  SpillFile& operator=(SpillFile&& other) noexcept;
  ~SpillFile();

  int fd() const { return fd_; }
  const std::vector<SpillPart>& parts() const { return parts_; }
  bool direct() const { return direct_; }
  bool is_device() const { return device_; }
  // Why blocks that were found were given up; empty: they were not.
  const std::string& not_kept() const { return not_kept_; }

 private:
  SpillFile() = default;
  Status open_it(const SpillWanted& wanted);
  Status look(const SpillWanted& wanted, bool* ret_ours);
  Status size_it(const SpillWanted& wanted);
  Status format(const SpillWanted& wanted);

  int fd_ = -1;
  uint64_t bytes_ = 0;  // that it had when it was opened
  bool direct_ = true, device_ = false, created_ = false;
  std::vector<SpillPart> parts_;
  std::string not_kept_;
};

}  // namespace speckv
