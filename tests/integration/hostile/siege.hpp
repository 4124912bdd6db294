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
  uint16_t metrics_port() const { return metrics_port_; }
  Tally& tally() { return roles_.tally(); }
  void send(uid_t uid, const std::function<void()>& role) { roles_.send(uid, role); }
  void end() { roles_.end(); }

 private:
  uint16_t metrics_port_;
  DaemonProcess daemon_;
  Roles roles_;
};

// Is a Victim of the namespace `vic` until told to stop. down: the daemon may be killed meanwhile.
void be_victim(const std::string& socket_path, Tally& tally, bool down);

// The hostile roles. seed: printed by the test.
void scribble(const std::string& socket_path, Tally& tally, uint64_t seed);
void babble(const std::string& socket_path, Tally& tally, uint64_t seed);
// Blocks of 32 MiB, one after the other.
void flood(const std::string& socket_path, Tally& tally);
// Sessions, arenas, layouts, holds: each until it is refused, then all of it back.
void hoard(const std::string& socket_path, Tally& tally, uint64_t seed);
// Refused sessions, each worth a line of the log, and HTTP requests that never end.
void crowd(const std::string& socket_path, uint16_t metrics_port, Tally& tally);
// A hundred connections that say nothing.
void loiter(const std::string& socket_path, Tally& tally);
// A new session of the namespace `vic` and a scrape of the metrics, again and again.
void be_newcomer(const std::string& socket_path, uint16_t metrics_port, Tally& tally);

// A connection, or -1.
int dial(const std::string& socket_path);

// Resident memory of a process that is its own, no file's, in bytes; 0 where it is gone.
uint64_t resident_bytes(pid_t pid);
// Descriptors that it has open, and what each of them is.
uint64_t open_files(pid_t pid);
std::string names_of_files(pid_t pid);

}  // namespace speckv::test
