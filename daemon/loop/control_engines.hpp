// SPDX-License-Identifier: Apache-2.0
// control_engines.hpp - says in the log when a codec engine was set aside, once, with the numbers,
// and when it is trusted again; and asks the driver for one that was taken away and came back.
//
// Runs on the control thread, a look a second at what data threads count. Never sets one aside:
// that is done where the answers are (engine/device_trust.cpp).
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <functional>
#include <string>
#include <vector>

#include "watch/daemon_view.hpp"

namespace speckv {

class EngineWatch {
 public:
  // view: outlives this. attach: asks the driver for its engine once more.
  EngineWatch(boost::asio::io_context& context, const watch::DaemonView& view,
              std::function<void()> attach)
      : view_(view), timer_(context), attach_(std::move(attach)) {}

  void start();
  // One look. Returns: the lines that it has said.
  std::vector<std::string> look();

 private:
  struct Known {
    uint64_t set_aside = 0;
    bool aside = false;
  };

  const watch::DaemonView& view_;
  boost::asio::steady_timer timer_;
  std::function<void()> attach_;
  std::vector<Known> known_;  // by data thread
};

}  // namespace speckv
