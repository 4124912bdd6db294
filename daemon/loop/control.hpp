// SPDX-License-Identifier: Apache-2.0
// control.hpp - the control plane: who may connect, and for how long without a session; questions.
// Boost.Asio lives here.
//
// One thread runs its io_context. Nothing per block passes here. It speaks to data threads through
// their mailboxes. A client's first message decides: hello opens a session in one namespace
// (control_sessions.hpp); control asks a question (speckvctl). Whoever says neither is closed soon,
// and a user with many such connections loses the oldest of them: nobody keeps others out.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "config/config.hpp"
#include "loop/control_door.hpp"
#include "loop/control_sessions.hpp"
#include "loop/data_thread.hpp"
#include "pool/namespace.hpp"
#include "session/closer.hpp"
#include "session/control_requests.hpp"
#include "session/peer.hpp"

namespace speckv {

struct ControlCounters {
  uint64_t malformed = 0;          // messages
  uint64_t connections_ended = 0;  // that said nothing in time, or were one too many of their user
  uint64_t widths_measured = 0;
  uint64_t layouts_substituted = 0;  // stored by another preset than asked: the head size
};

class Connection;

class Control {
 public:
  using Protocol = Door::Protocol;
  using AnswerFn = std::function<std::unique_ptr<Answer>(std::string_view request)>;

  Control(const config::Config& config, Medium& medium, std::vector<Namespace>& spaces,
          std::vector<std::unique_ptr<DataThread>>& threads, Undertaker& undertaker);
  ~Control();  // connections end

  // Makes the socket; see Door.
  Status listen() { return door_.open(); }
  // Before listen(). Returns: the first table that could not be read.
  Status load_calibrations(const std::string& folder) {
    return sessions_.layouts().load_calibrations(folder);
  }
  // Before listen(): layouts without a table measure their own widths, kept in folder.
  Status measure_in(const std::string& folder) { return sessions_.layouts().measure_in(folder); }
  // Any data thread: some layout has been measured; the control thread takes it over soon.
  void measured();
  void set_answer(AnswerFn answer) { answer_ = std::move(answer); }
  boost::asio::io_context& context() { return context_; }
  void run() { context_.run(); }
  void stop();

  // For watch/. Control thread.
  const Sessions& sessions() const { return sessions_; }
  const ControlCounters& counters() const { return counters_; }
  size_t waiting() const { return waiting_.size(); }  // connections without a session
  size_t unclosed() const { return closer_.unclosed(); }
  size_t shut_out() const { return door_.shut_out(); }

 private:
  friend class Connection;
  struct Waiting {
    Connection* connection = nullptr;
    uid_t uid = 0;
    bool privileged = false;  // root's or the daemon's own user's
  };
  using Place = std::list<Waiting>::iterator;

  void admit(Protocol::socket socket);
  bool privileged(const Peer& peer) const;
  // Adds a connection without a session to those that wait; one too many costs its user the oldest.
  Place wait(const Waiting& next);
  void end_oldest_of(uid_t uid);

  const config::Config& config_;
  std::vector<Namespace>& spaces_;
  const ForeignIds foreign_ = read_foreign_ids("/proc");
  AnswerFn answer_;
  ControlCounters counters_;
  std::unordered_set<Connection*> connections_;
  std::list<Waiting> waiting_;  // oldest first
  Closer closer_;
  boost::asio::io_context context_{1};
  Sessions sessions_;
  Door door_;
};

}  // namespace speckv
