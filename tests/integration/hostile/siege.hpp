// SPDX-License-Identifier: Apache-2.0
// siege.hpp - a daemon with a tenant that verifies every byte and a hostile one beside it, each in
// processes of another uid.
//
// A role is a function that runs in a forked child until it is told to stop; what it counts lies in
// memory that the test maps. Used by siege_test.cpp only. Needs root: that is how there are other
// uids.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon_process.hpp"

namespace speckv::test {

constexpr uid_t victim_uid = 20001, hostile_uid = 20002, stranger_uid = 20003;
constexpr const char* victim_space = "vic";
constexpr const char* hostile_space = "evil";

// What the roles count. Zeroed shared memory.
struct Tally {
  std::atomic<bool> stop;
  std::atomic<uint64_t> puts, gets, wrong, lost, failed_puts;
  std::atomic<uint64_t> attacks;                   // whatever a hostile role counts as one
  std::array<std::atomic<uint64_t>, 64> put_log2;  // puts by the logarithm of their nanoseconds
  // Returns: below which nanoseconds this share of the puts lay, as a power of two.
  uint64_t put_ns(double share) const;
};

class Siege {
 public:
  // Namespaces `vic` and `evil`, of their uids alone; a socket that anybody may connect to.
  Siege();
  ~Siege();
  Siege(const Siege&) = delete;
  Siege& operator=(const Siege&) = delete;

  DaemonProcess& daemon() { return daemon_; }
  Tally& tally() { return *tally_; }
  // Runs role() in a child of this uid; its end is no matter.
  void send(uid_t uid, std::function<void()> role);
  // Tells all roles to stop and waits for their end.
  void end();

 private:
  DaemonProcess daemon_;
  Tally* tally_;
  std::vector<pid_t> children_;
};

// Puts, reads back and removes blocks of the namespace `vic` until told to stop; every byte of
// every block is compared. A block that was acknowledged and is neither removed nor refused has to
// be there: reads are tried again for a while, since a reader may miss for a moment. down: the
// daemon may be killed meanwhile.
void be_victim(const std::string& socket_path, Tally& tally, bool down);

// The hostile roles. seed: printed by the test.
void scribble(const std::string& socket_path, Tally& tally, uint64_t seed);
void babble(const std::string& socket_path, Tally& tally, uint64_t seed);

// Resident memory of a process, in bytes; 0 where it is gone.
uint64_t resident_bytes(pid_t pid);
// Descriptors that it has open.
uint64_t open_files(pid_t pid);

}  // namespace speckv::test
