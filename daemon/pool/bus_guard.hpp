// SPDX-License-Identifier: Apache-2.0
// bus_guard.hpp - memory of a device that goes while the daemon has it mapped: the daemon reads
// zeros there instead of dying of SIGBUS.
//
// How: one handler for the process. It replaces the granule that was touched by private zeros,
// notes it, and returns, so that the access is made again. What is written there afterwards is
// nobody's: a client never sees it, and a restart does not either. An address of no guard kills the
// process, as ever. Private memory can grow so by what is touched until the loss has been acted on,
// no more: journey/ stops using a lost part (Shard::lose). Called by: the media of this folder, on
// the control thread. Only the handler runs elsewhere.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pool/medium.hpp"

namespace speckv::pool {

class BusGuard {
 public:
  // Guards [data, data + bytes), a mapping whose parts are lost by `granule_bytes`. wake_fd: an
  // eventfd that is written at each loss; must stay open as long as this lives. Returns: EMFILE
  // when too many are guarded.
  static Result<std::unique_ptr<BusGuard>> make(std::byte* data, uint64_t bytes,
                                                uint64_t granule_bytes, int wake_fd);
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;

  // Granules replaced since the last call.
  std::vector<LostRange> take_lost();

 private:
  BusGuard() = default;
  static bool answer(uintptr_t address);
  friend struct BusHandler;

  uintptr_t begin_ = 0, end_ = 0;
  uint64_t granule_bytes_ = 0;
  int wake_fd_ = -1;
  std::unique_ptr<std::atomic<uint64_t>[]> lost_;  // a bit per granule, cleared by take_lost()
  size_t words_ = 0;
};

}  // namespace speckv::pool
