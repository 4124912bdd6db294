// SPDX-License-Identifier: Apache-2.0
// simd_checksum.hpp - the checksum's beats with run-time dispatch. Called by checksum.cpp only.
#pragma once

#include "codec/checksum.hpp"

namespace speckv::codec::simd {

// Feeds whole beats, and copies them where rows.to says so. The caller adds to state.bytes what it
// fed before it calls again: 0 means a fresh state.
void checksum_feed(Checksum& state, const ChecksumRows& rows);

}  // namespace speckv::codec::simd
