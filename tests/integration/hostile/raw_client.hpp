// SPDX-License-Identifier: Apache-2.0
// raw_client.hpp - a client without the library: the wire, its descriptors, its memory. All that a
// hostile one has.
//
// Used by tests of this folder only. Nothing here checks what the daemon says: a test does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "shm/session_format.hpp"
#include "shm/wire.hpp"

namespace speckv::test {

class RawClient {
 public:
  RawClient() = default;
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;

  // Returns: 0 or a negative errno, the daemon's own or -ETIMEDOUT after 20 s.
  int open(const std::string& socket_path, const char* space, uint64_t arena_bytes);
  // Ends the connection, keeps descriptors and map.
  void hang_up();

  int memory_fd() const { return fds_[0]; }
  int pool_fd() const { return fds_[1]; }
  int index_fd() const { return fds_[2]; }
  int event_fd() const { return fds_[3]; }
  int doorbell(uint32_t shard) const { return fds_[4 + shard]; }
  uint32_t shards() const { return welcome_.shards; }
  uint64_t memory_bytes() const { return welcome_.session_bytes; }
  // The memory is mapped when it is first asked for.
  shm::ShardArea& area(uint32_t shard);

  // Puts an entry into a shard's ring and rings its doorbell, unless that is full.
  void submit(uint32_t shard, const shm::Submission& submission);
  // Waits until the daemon has posted `count` completions there. Returns: false after 20 s.
  bool completed(uint32_t shard, uint32_t count);

 private:
  int socket_ = -1;
  wire::Welcome welcome_{};
  std::vector<int> fds_;
  std::byte* memory_ = nullptr;
  std::vector<uint32_t> tails_;
};

// Fills an eventfd to the brim.
void fill(int event_fd);
// Clears or sets O_NONBLOCK of the open file, for everybody who has it.
void set_blocking(int fd, bool blocking);
// Open ones of a process.
size_t descriptors(pid_t pid);

}  // namespace speckv::test
