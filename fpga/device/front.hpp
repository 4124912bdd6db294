// SPDX-License-Identifier: Apache-2.0
// front.hpp - the sockets of speckv-device: clients of the device, one at a time, and lines of text
// on the control socket.
//
// A second client waits for a moment, since the first one may be going, and is then turned away:
// its connection is closed, for there is one device. On the control socket several may speak; each
// line gets one line back. run() has a thread for the device's client; all else is done in the
// caller's.
#pragma once

#include <atomic>
#include <string>

#include "fault_backend.hpp"
#include "server.hpp"

namespace speckv::device {

class Front {
 public:
  static constexpr size_t line_bytes_max = 256;
  static constexpr size_t speakers_max = 8;  // at the control socket, at once
  static constexpr std::chrono::milliseconds patience{
      500};  // with a first client that may be going

  Front(Server& server, FaultBackend& backend) : server_(server), backend_(backend) {}

  // Until `stop` can be read. listener: of the device; control: of lines, -1: there is none.
  void run(int stop, int listener, int control);

 private:
  struct Speaker {
    Descriptor connection;
    std::string said;  // of a line that has not ended yet
  };
  void take_client(int listener);
  // Who has waited long enough. Returns: for how many milliseconds nothing has to be looked at, -1:
  // for ever.
  int turn_away();
  void serve_clients();
  // Returns: false, it has gone, or says what is no line.
  bool listen_to(Speaker& speaker);

  Server& server_;
  FaultBackend& backend_;
  std::vector<Speaker> speakers_;
  std::mutex lock_;
  std::condition_variable changed_;
  Descriptor waiting_;  // for the thread
  std::chrono::steady_clock::time_point waits_until_;
  bool is_serving_ = false, is_stopping_ = false;
};

}  // namespace speckv::device
