// SPDX-License-Identifier: Apache-2.0
// messages.hpp - checks of what arrives on the socket. Pure functions: fuzzed by
// tests/fuzz/wire.cpp.
//
// A message is only looked at through these. Each either fills its out-parameter with a whole, sane
// copy, or says in one sentence what was wrong.
#pragma once

#include <cstddef>
#include <string>

#include "shm/wire.hpp"
#include "status.hpp"

namespace speckv {

// Header of any message: magic, length as received, known type, our major version.
Status parse_header(const std::byte* message, size_t bytes, wire::WireHeader* ret_header);
Status parse_hello(const std::byte* message, size_t bytes, wire::Hello* ret_hello);
Status parse_layout(const std::byte* message, size_t bytes, speckv_layout* ret_layout);
// Printable ASCII, no control characters, at most 1 KiB.
Status parse_control(const std::byte* message, size_t bytes, std::string* ret_request);

wire::WireHeader make_header(wire::Type type, size_t bytes, uint16_t flags = 0);

}  // namespace speckv
