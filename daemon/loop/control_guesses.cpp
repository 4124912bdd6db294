// SPDX-License-Identifier: Apache-2.0
// control_guesses.cpp - see control_guesses.hpp.
#include "loop/control_guesses.hpp"

#include <chrono>

#include <spdlog/spdlog.h>

namespace speckv {

void GuessWatch::start() {
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    look();
    start();
  });
}

std::vector<std::string> GuessWatch::look() {
  std::vector<std::string> said;
  for (const watch::SpaceFacts& space : view_.spaces())
    for (const watch::GuessFacts& facts : space.guesses) {
      Known& known = known_[facts.space + "/" + facts.source];
      const std::string head = "namespace " + facts.space + ": speculation by " + facts.source;
      if (facts.times_off > known.times_off) {
        said.push_back(head + " is off for now: of its last " + std::to_string(facts.off_seen) +
                       " blocks only " + std::to_string(facts.off_useful) + " were read, of all " +
                       std::to_string(facts.fetched) + " " + std::to_string(facts.useful) +
                       "; demand goes on");
        spdlog::warn("{}", said.back());
      } else if (known.off && !facts.off) {
        said.push_back(head + " tries again");
        spdlog::info("{}", said.back());
      }
      known = {facts.times_off, facts.off > 0};
    }
  return said;
}

}  // namespace speckv
