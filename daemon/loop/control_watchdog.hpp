// SPDX-License-Identifier: Apache-2.0
// control_watchdog.hpp - tells systemd that the daemon moves: WATCHDOG=1 while every data thread
// turns, nothing while one is stuck, so that WatchdogSec= restarts it (sd_notify(3)).
//
// Runs on the control thread, so its own standstill is noticed too. Does nothing where nobody asked
// for it. Says in the log once when a thread got stuck, and once when all turn again.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <chrono>

#include "watch/daemon_view.hpp"

namespace speckv {

class Watchdog {
 public:
  // view: outlives this.
  Watchdog(boost::asio::io_context& context, const watch::DaemonView& view)
      : view_(view), timer_(context) {}

  // Looks from now on: as often as the supervisor wants to hear of it, and once a second for the
  // log.
  void start();
  // One look. Returns: whether all is well.
  bool look();

 private:
  void wait();

  const watch::DaemonView& view_;
  boost::asio::steady_timer timer_;
  std::chrono::microseconds every_{0};
  bool asked_ = false, well_ = true;
};

}  // namespace speckv
