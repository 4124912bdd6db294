// SPDX-License-Identifier: Apache-2.0
// siege.hpp - a daemon with a tenant that verifies every byte and a hostile one beside it, each in
// processes of another uid.
//
// Used by siege_test.cpp only. Needs root: that is how there are other uids.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "daemon_process.hpp"
#include "roles.hpp"

namespace speckv::test {

constexpr uid_t victim_uid = 20001, hostile_uid = 20002, stranger_uid = 20003;
constexpr const char* victim_space = "vic";
constexpr const char* hostile_space = "evil";

class Siege {
 public:
  // Namespaces `vic` and `evil`, of their uids alone; a socket that anybody may connect to.
  Siege();

  DaemonProcess& daemon() { return daemon_; }
  Tally& tally() { return roles_.tally(); }
  void send(uid_t uid, const std::function<void()>& role) { roles_.send(uid, role); }
  void end() { roles_.end(); }

 private:
  DaemonProcess daemon_;
  Roles roles_;
};

// Is a Victim of the namespace `vic` until told to stop. down: the daemon may be killed meanwhile.
void be_victim(const std::string& socket_path, Tally& tally, bool down);

// The hostile roles. seed: printed by the test.
void scribble(const std::string& socket_path, Tally& tally, uint64_t seed);
void babble(const std::string& socket_path, Tally& tally, uint64_t seed);

// Resident memory of a process, in bytes; 0 where it is gone.
uint64_t resident_bytes(pid_t pid);
// Descriptors that it has open.
uint64_t open_files(pid_t pid);

}  // namespace speckv::test
