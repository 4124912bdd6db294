// SPDX-License-Identifier: Apache-2.0
// roles.hpp - processes that play a part in a test: a function that runs in a forked child until it
// is told to stop; what it counts lies in memory that all of them map.
//
// For sieges and chaos. Not thread-safe, and to be used before the test has threads: it forks.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace speckv::test {

// What the roles count. Zeroed shared memory.
struct Tally {
  std::atomic<bool> stop;
  std::atomic<uint64_t> puts, gets, removals, failed_puts;
  std::atomic<uint64_t> wrong;   // values that are not what was put
  std::atomic<uint64_t> lost;    // blocks that had to be there
  std::atomic<uint64_t> ghosts;  // blocks that were removed, and found
  std::atomic<uint64_t>
      sent_down;  // blocks that were seen to stand in a tier below, and only there
  std::atomic<uint64_t> unanswered;  // calls that had to end and did not
  std::atomic<uint64_t> let_in, kept_out, scrapes, failed_scrapes;  // of newcomers
  std::atomic<int64_t> kept_out_by;                                 // the last one's error
  std::atomic<uint64_t> hoards;                    // rounds of taking all and giving it back
  std::atomic<uint64_t> attacks;                   // whatever a hostile role counts as one
  std::array<std::atomic<uint64_t>, 64> put_log2;  // puts by the logarithm of their nanoseconds
  // Returns: below which nanoseconds this share of the puts lay, as a power of two.
  uint64_t put_ns(double share) const;
};

class Roles {
 public:
  Roles();
  ~Roles();  // end()
  Roles(const Roles&) = delete;
  Roles& operator=(const Roles&) = delete;

  Tally& tally() const { return *tally_; }
  // Runs role() in a child, as this uid; 0: as the test's own. Its end is no matter.
  void send(uid_t uid, const std::function<void()>& role);
  size_t count() const { return children_.size(); }
  // SIGSTOP, SIGCONT, or SIGKILL: then it is gone from here, too.
  void signal(size_t which, int number);
  // Tells all roles to stop and waits for their end.
  void end();

 private:
  Tally* tally_;
  std::vector<pid_t> children_;
};

}  // namespace speckv::test
