// SPDX-License-Identifier: Apache-2.0
// control_watchdog.cpp - see control_watchdog.hpp.
#include "loop/control_watchdog.hpp"

#include <algorithm>
#include <string>

#include <spdlog/spdlog.h>

#include "loop/notify.hpp"
#include "loop/supervisor.hpp"
#include "watch/health.hpp"

namespace speckv {

void Watchdog::start() {
  constexpr std::chrono::microseconds second = std::chrono::seconds(1);
  const std::chrono::microseconds wanted(watchdog_us());
  asked_ = wanted.count() > 0;
  every_ = asked_ ? std::min(second, wanted / 3) : second;
  wait();
}

void Watchdog::wait() {
  timer_.expires_after(every_);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    look();
    wait();
  });
}

bool Watchdog::look() {
  const std::string ailment = watch::ailment(view_);
  const bool well = ailment.empty();
  if (!well && well_) spdlog::error("{}: whoever waits for it waits in vain", ailment);
  if (well && !well_) spdlog::info("all data threads turn again");
  well_ = well;
  if (well && asked_) notify("WATCHDOG=1");
  return well;
}

}  // namespace speckv
