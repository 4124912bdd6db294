// SPDX-License-Identifier: Apache-2.0
// wire_io.hpp - one message at a time on the daemon's socket: dial, send, receive with descriptors.
//
// Knows the packet format of shm/wire.hpp and nothing of sessions. All lengths are checked here.
// The socket is non-blocking; receiving waits until a deadline by poll().
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/session_format.hpp"
#include "shm/wire.hpp"
#include "src/peer.hpp"

namespace speckv::lib {

constexpr uint32_t fds_max = wire::fd_doorbell + 64 + 1;  // doorbells, near memory

struct Message {
  alignas(8) std::byte bytes[4096];
  uint32_t size = 0;
  int fds[fds_max];
  uint32_t fds_count = 0;
  bool answered = false;  // the daemon sent something, if only an Error

  wire::Type type() const { return wire::Type(header().type); }
  const wire::WireHeader& header() const {
    return *reinterpret_cast<const wire::WireHeader*>(bytes);
  }
  // Requires: the receiver checked size. The message as a T.
  template <typename T>
  const T& as() const {
    return *reinterpret_cast<const T*>(bytes);
  }
  void close_fds();
};

wire::WireHeader wire_header(wire::Type type, uint32_t bytes);

// Returns: 0, or -errno; -EPERM when the daemon runs as a uid that is not believed (peer.hpp).
int dial(const char* socket_path, const PeerCheck& daemon, int* ret_socket);
int send_message(int socket, const void* message, uint32_t bytes);
// Returns: 0; -EAGAIN when nothing came until until_ns (ret_message->answered is then false);
// -EPROTO for a malformed one or another major version; -EMFILE when its descriptors did not fit;
// the daemon's own errno, negative, when it sent an Error; -ECONNRESET when it hung up. On failure
// no descriptor stays open.
int receive_message(int socket, uint64_t until_ns, Message* ret_message);

}  // namespace speckv::lib
