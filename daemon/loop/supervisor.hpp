// SPDX-License-Identifier: Apache-2.0
// supervisor.hpp - descriptors that outlive the daemon: left with whoever started it, and found
// again after a restart.
//
// The protocol is systemd's fd store (sd_notify(3): FDSTORE, FDNAME; sd_listen_fds(3): LISTEN_PID,
// LISTEN_FDS, LISTEN_FDNAMES); speckvd-keeper speaks it too. Without a supervisor nothing is kept
// and nothing fails. Called by loop/daemon.cpp at start, before any thread runs. It also says
// whether it wants to hear regularly that we are well (WATCHDOG_USEC, WATCHDOG_PID).
#pragma once

#include <cstdint>
#include <string>

namespace speckv {

// Leaves a duplicate of fd under this name, in place of what was kept under it before.
void keep_fd(const std::string& name, int fd);

// Returns: the descriptor that an earlier daemon left under this name, now the caller's; -1: none.
int take_kept_fd(const std::string& name);

// Returns: within how many microseconds the supervisor wants each WATCHDOG=1; 0: it does not ask.
uint64_t watchdog_us();

}  // namespace speckv
