// SPDX-License-Identifier: Apache-2.0
// control.cpp - see control.hpp.
#include "loop/control.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>

#include <spdlog/spdlog.h>

#include "loop/connection.hpp"
#include "loop/preflight.hpp"

namespace speckv {

namespace asio = boost::asio;

namespace {

// What those that are open at the most leave of the process's descriptors.
size_t unclosed_max(const config::Config& config) {
  const uint64_t wanted = fds_wanted(config), limit = fd_limit();
  const uint64_t left = limit > wanted ? limit - wanted : 0;
  return std::clamp<uint64_t>(left, limits::unclosed_min, limits::unclosed_max);
}

}  // namespace

Control::Control(const config::Config& config, Medium& medium, std::vector<Namespace>& spaces,
                 std::vector<std::unique_ptr<DataThread>>& threads, Undertaker& undertaker)
    : config_(config),
      spaces_(spaces),
      sessions_(context_, config, medium, spaces, threads, undertaker),
      door_(context_, config.daemon.socket, config.daemon.socket_mode, unclosed_max(config),
            closer_, [this](Protocol::socket socket) { admit(std::move(socket)); }) {}

Control::~Control() {
  while (!connections_.empty()) (*connections_.begin())->end();
}

void Control::measured() {
  asio::post(context_, [this] {
    for (const Status& told : sessions_.layouts().adopt_measured()) {
      spdlog::log(told.ok() ? spdlog::level::info : spdlog::level::err, "{}", told.text());
      counters_.widths_measured += told.ok();
    }
  });
}

void Control::stop() {
  door_.close();
  context_.stop();
}

bool Control::privileged(const Peer& peer) const {
  return !peer.foreign && (peer.uid == 0 || peer.uid == geteuid());
}

void Control::admit(Protocol::socket socket) {
  auto peer = peer_of(socket.native_handle(), foreign_);
  if (!peer.ok()) {
    boost::system::error_code ignored;
    return closer_.close_connection(socket.release(ignored), nobody);
  }
  const uid_t uid = peer.value().uid;
  if (closer_.unclosed_of(uid) >= limits::shut_out_at && !privileged(peer.value()) &&
      !peer.value().foreign)
    door_.shut_out(uid);
  Status refusal;
  if (closer_.unclosed_of(uid) >= limits::unclosed_of_uid_max)
    refusal = {EBUSY, "what uid " + std::to_string(uid) +
                          " sent along with messages cannot be closed yet: a client sends no "
                          "descriptors"};
  std::make_shared<Connection>(*this, std::move(socket), std::move(peer.value()))->start(refusal);
}

Control::Place Control::wait(const Waiting& next) {
  std::map<uid_t, size_t> of_uid;  // without the privileged
  for (const Waiting& each : waiting_)
    if (!each.privileged) of_uid[each.uid]++;
  const size_t privileged = size_t(std::count_if(waiting_.begin(), waiting_.end(),
                                                 [](const Waiting& w) { return w.privileged; }));
  const size_t others = waiting_.size() - privileged;
  const uint32_t most = config_.session.connections_max;
  if (next.privileged && privileged >= most) {
    end_oldest_of(next.uid);
  } else if (!next.privileged && of_uid[next.uid] >= config_.session.connections_of_uid_max) {
    end_oldest_of(next.uid);
  } else if (!next.privileged && others >= most - limits::connections_kept) {
    const auto busiest = std::max_element(of_uid.begin(), of_uid.end(),
                                          [](auto& a, auto& b) { return a.second < b.second; });
    end_oldest_of(busiest->first);
  }
  return waiting_.insert(waiting_.end(), next);
}

void Control::end_oldest_of(uid_t uid) {
  const auto oldest = std::find_if(waiting_.begin(), waiting_.end(),
                                   [uid](const Waiting& each) { return each.uid == uid; });
  if (oldest != waiting_.end())
    oldest->connection->turn_out(
        EBUSY, "too many connections of uid " + std::to_string(uid) +
                   " have no session: this one, the oldest, was closed for a new one");
}

}  // namespace speckv
