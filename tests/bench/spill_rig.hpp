// SPDX-License-Identifier: Apache-2.0
// spill_rig.hpp - a shard with a real spill file below it, in this process: the code of a data
// thread without its rings and its clients. And fio on the same file.
//
// Who calls it: suite_spill.cpp. One thread; blocks are 1 MiB of `exact`, as an engine of many
// heads has them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.hpp"
#include "journey/shard.hpp"
#include "loop/io_ring.hpp"
#include "memory.hpp"
#include "pool/spill_file.hpp"

namespace speckv::bench {

struct FioResult {
  double bytes_s = 0;
  double p50_s = 0, p99_s = 0;  // of one operation
};
// Runs fio for some seconds: `--rw=... --bs=...`. Returns: nothing, and ret_why says why.
std::optional<FioResult> run_fio(const std::string& path, const std::string& how, uint64_t offset,
                                 uint64_t bytes, uint32_t seconds, std::string* ret_why);

class SpillRig {
 public:
  SpillRig(const std::string& path, uint64_t pool_bytes, uint64_t spill_bytes, uint32_t entries_max,
           uint64_t buffer_bytes);
  ~SpillRig();
  SpillRig(const SpillRig&) = delete;
  SpillRig& operator=(const SpillRig&) = delete;

  // Opens the file, makes a shard over an empty pool. Returns: "" or what went wrong.
  std::string start();
  void put(uint64_t number);
  // Asks that a block goes below, as a client does. Returns: 0, -EAGAIN: not now.
  int demote(uint64_t number);
  // Returns: what a prefetch is told at once; fetched() says of the end.
  Fetch fetch(uint64_t number);
  // Waits for the kernel at most so long, then a turn. Returns: fetches that ended, those that
  // brought their block.
  uint32_t turn(uint64_t wait_ns) {
    wait(wait_ns);
    return work();
  }
  // The two parts of a turn. wait: not at all when there is something to do.
  void wait(uint64_t wait_ns) { ring_.wait(shard_->spill_has_work() ? 0 : wait_ns); }
  uint32_t work();
  bool quiet() const { return shard_->spill_quiet(); }
  bool scanning() const { return shard_->spill()->scanning(); }
  const SpillCounters& counters() const { return shard_->spill()->counters(); }
  const SpillFile& file() const { return *file_; }
  static speckv::Key key_of(uint64_t number);

 private:
  const std::string path_;
  const uint64_t spill_bytes_, buffer_bytes_;
  const uint32_t entries_max_;
  Buffer pool_, block_;
  std::vector<std::byte> index_;
  std::unique_ptr<Engine> engine_;
  LayoutTable layouts_;
  const Layout* layout_ = nullptr;
  std::optional<SpillFile> file_;
  std::unique_ptr<Shard> shard_;
  IoRing ring_;
  std::vector<Operation*> done_;
  std::vector<FetchEnd> fetched_;
};

}  // namespace speckv::bench
