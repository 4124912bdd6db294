// SPDX-License-Identifier: Apache-2.0
// slow_disk.hpp - a file of which a test says whether it answers: a file system of one file,
// mounted by FUSE, over a plain file. A real daemon spills to it through the real kernel.
//
// For tests that need a disk that stalls or fails as no simulated one does (../../sim has those).
// Needs root and /dev/fuse: mounted() says whether it is there. Its thread answers; what is asked
// while it stands still is answered when it goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace speckv::test {

class SlowDisk {
 public:
  // folder: an empty one, where it is mounted. backing: a file beside it, made with so many bytes.
  SlowDisk(const std::string& folder, const std::string& backing, uint64_t bytes);
  ~SlowDisk();
  SlowDisk(const SlowDisk&) = delete;
  SlowDisk& operator=(const SlowDisk&) = delete;

  bool mounted() const { return mounted_; }
  std::string path() const { return folder_ + "/disk"; }

  // Reads and writes are taken and not answered, from now on.
  void stand_still() { still_ = true; }
  void go_on();
  // Each of them fails with this errno; 0: none does.
  void fail_with(int error) { error_ = error; }
  // Reads and writes that wait for an answer.
  size_t waiting();

 private:
  using Message = std::vector<std::byte>;
  void serve();
  void answer(const Message& message);
  void answer_read(const Message& message, uint64_t unique);
  void answer_write(const Message& message, uint64_t unique);
  void reply(uint64_t unique, int error, const void* data = nullptr, size_t bytes = 0);

  std::string folder_;
  int fuse_ = -1, backing_ = -1;
  uint64_t bytes_ = 0;
  bool mounted_ = false;
  std::atomic<bool> still_{false}, over_{false};
  std::atomic<int> error_{0};
  std::mutex lock_;
  std::vector<Message> held_;
  std::thread thread_;
};

}  // namespace speckv::test
