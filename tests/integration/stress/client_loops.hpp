// SPDX-License-Identifier: Apache-2.0
// client_loops.hpp - what the stress test's client processes do until they are told to stop, or
// killed.
//
// Called by stress_test.cpp in a forked child; returns when shared.stop is set.
#pragma once

#include <cstdint>
#include <string>

#include "shared_state.hpp"

namespace speckv::test {

// Numbers of keys of each layout: together more than the pool holds.
constexpr uint32_t numbers_of[2] = {480, 1200};

struct ClientTask {
  SharedState* shared;
  uint32_t client;  // its slot in shared
  uint64_t seed;
  std::string socket_path;
  bool slow_once;  // reader: sleeps once past the age at which a guard is ignored
};

void read_until_stopped(const ClientTask& task);
void write_until_stopped(const ClientTask& task);

}  // namespace speckv::test
