// SPDX-License-Identifier: Apache-2.0
// peer.hpp - which uid a daemon may have: decided when a session is opened, asked at each connect.
//
// Names and maps of users are read in whom_to_trust() alone, so that a call that misses and finds
// the next daemon asks no name service.
#pragma once

#include <cstdint>

namespace speckv::lib {

constexpr uint32_t no_uid = UINT32_MAX;

struct PeerCheck {
  int32_t expected;       // -1: root, user `speckv`, or our own
  uint32_t user_speckv;   // no_uid: there is no such user
  uint32_t overflow_uid;  // stands for every uid that our user namespace does not map; no_uid: it
                          // maps all
};

// daemon_uid: as in speckv_open_args. Reads files; may ask name services.
PeerCheck whom_to_trust(int32_t daemon_uid);
// own: our effective uid now. An unmapped uid is nobody's own: all of them look alike.
bool is_trusted(const PeerCheck& check, uint32_t peer_uid, uint32_t own_uid);

}  // namespace speckv::lib
