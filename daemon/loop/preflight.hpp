// SPDX-License-Identifier: Apache-2.0
// preflight.hpp - what this machine must have for a configuration: looked at by --check-config and
// by the daemon before it starts, so that both refuse the same.
//
// Reads the machine, changes nothing but (raise_fd_limit) this process's own limit.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.hpp"
#include "status.hpp"

namespace speckv {

// Tables folder, NUMA node, the socket's place, memory for pools and indexes that are not there
// yet. Returns: the first that is not right. A daemon that runs at this socket is no error here,
// and memory is not asked for then: it gives its own back before the next one starts.
Status check_machine(const config::Config& config);
// Memory that a start takes now: pools and indexes without what an earlier daemon left. Bytes.
uint64_t memory_bytes_now(const config::Config& config);

// Descriptors that sessions_max sessions take, and what the daemon has beside them.
uint64_t fds_wanted(const config::Config& config);
uint64_t fd_limit();  // of this process
uint64_t open_fds();
// Up to what this process may give itself.
void raise_fd_limit();
// A sentence when the limit is below fds_wanted(), else "".
std::string fds_missing(const config::Config& config);

}  // namespace speckv
