// SPDX-License-Identifier: Apache-2.0
// control_engines.cpp - see control_engines.hpp.
#include "loop/control_engines.hpp"

#include <chrono>

#include <spdlog/spdlog.h>

namespace speckv {

namespace {

std::string why(const watch::DeviceFacts& device) {
  return "codec engine set aside: " + std::string(device.reason) + " (so far " +
         std::to_string(device.segments) + " segments encoded, " + std::to_string(device.checked) +
         " of them compared, " + std::to_string(device.lies) + " wrong answers, " +
         std::to_string(device.late) + " late, " + std::to_string(device.errors) +
         " errors; set aside " + std::to_string(device.set_aside) +
         " times); the cpu encodes, and does again what it had";
}

}  // namespace

void EngineWatch::start() {
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    look();
    start();
  });
}

std::vector<std::string> EngineWatch::look() {
  std::vector<std::string> said;
  bool is_gone = false;
  for (const watch::ThreadFacts& thread : view_.threads()) {
    if (thread.shard >= known_.size()) known_.resize(thread.shard + 1);
    Known& known = known_[thread.shard];
    const watch::DeviceFacts& device = thread.device;
    const bool aside = device.state == std::string_view("aside");
    const std::string head = "data thread " + std::to_string(thread.shard) + ": ";
    if (device.set_aside > known.set_aside) {
      said.push_back(head + why(device));
      spdlog::warn("{}", said.back());
      known.aside = true;
    }
    if (known.aside && !aside) {
      said.push_back(head + "codec engine trusted again after " +
                     std::to_string(device.self_tests) + " self-tests in all");
      spdlog::info("{}", said.back());
    }
    known = {device.set_aside, aside};
    is_gone = is_gone || (aside && device.is_gone);
  }
  if (is_gone) attach_();
  return said;
}

}  // namespace speckv
