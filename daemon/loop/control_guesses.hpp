// SPDX-License-Identifier: Apache-2.0
// control_guesses.hpp - says in the log when a source of speculation turned itself off, once, with
// the numbers that decided it, and when it tries again.
//
// Runs on the control thread, a look a second at what data threads count. Never turns one off: that
// is done where the outcomes are (predict/source_gate.hpp).
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <map>
#include <string>
#include <vector>

#include "watch/daemon_view.hpp"

namespace speckv {

class GuessWatch {
 public:
  // view: outlives this.
  GuessWatch(boost::asio::io_context& context, const watch::DaemonView& view)
      : view_(view), timer_(context) {}

  void start();
  // One look. Returns: the lines that it has said.
  std::vector<std::string> look();

 private:
  const watch::DaemonView& view_;
  boost::asio::steady_timer timer_;
  struct Known {
    uint64_t times_off = 0;
    bool off = false;
  };
  std::map<std::string, Known> known_;  // by namespace and source
};

}  // namespace speckv
