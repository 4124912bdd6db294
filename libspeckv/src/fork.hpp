// SPDX-License-Identifier: Apache-2.0
// fork.hpp - tells a forked child from the process that opened a session, without a system call.
//
// One page per process is wiped by the kernel on fork (MADV_WIPEONFORK). It holds the number of the
// process in its line of forks: the child reads 0 until it opens a session of its own.
// Called by handle.cpp only. Any thread. Never frees the page.
#pragma once

#include <cstdint>

namespace speckv::lib {

// Returns: this process's number, 0 when it has not opened a session since it was forked.
uint32_t fork_number();

// Gives this process its number if it has none. Returns: 0 or -errno.
int fork_number_take(uint32_t* ret_number);

}  // namespace speckv::lib
