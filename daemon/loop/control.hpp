// SPDX-License-Identifier: Apache-2.0
// control.hpp - the control plane: who may connect, sessions' beginnings and ends, questions.
// Boost.Asio lives here.
//
// One thread runs its io_context. Nothing per block passes here. It speaks to data threads through
// their mailboxes. A client's first message decides: hello opens a session in one namespace;
// control asks a question (speckvctl).
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/config.hpp"
#include "layout.hpp"
#include "loop/data_thread.hpp"
#include "pool/namespace.hpp"
#include "session/session.hpp"
#include "session/undertaker.hpp"
#include "shm/wire.hpp"

namespace speckv {

struct ControlCounters {
  uint64_t sessions_opened = 0, sessions_refused = 0, sessions_closed = 0, malformed = 0;
  uint64_t widths_measured = 0;
  uint64_t layouts_substituted = 0;  // stored by another preset than asked: the head size
};

class Connection;

class Control {
 public:
  using Protocol = boost::asio::generic::seq_packet_protocol;
  using AnswerFn = std::function<std::string(std::string_view request)>;

  Control(const config::Config& config, Medium& medium, std::vector<Namespace>& spaces,
          std::vector<std::unique_ptr<DataThread>>& threads, Undertaker& undertaker);
  ~Control();

  // Binds the socket. An old socket file that nobody listens on is replaced; a living daemon's is
  // an error.
  Status listen();
  // Before listen(). Returns: the first table that could not be read.
  Status load_calibrations(const std::string& folder) { return layouts_.load_calibrations(folder); }
  // Before listen(): layouts without a table measure their own widths, kept in folder.
  Status measure_in(const std::string& folder) { return layouts_.measure_in(folder); }
  // Any data thread: some layout has been measured; the control thread takes it over soon.
  void measured();
  void set_answer(AnswerFn answer) { answer_ = std::move(answer); }
  boost::asio::io_context& context() { return context_; }
  void run() { context_.run(); }
  void stop();

  // For watch/: the sessions there are. Control thread.
  std::vector<std::shared_ptr<Session>> sessions() const;
  const ControlCounters& counters() const { return counters_; }
  uint64_t arenas_bytes() const { return arenas_bytes_; }  // of ended ones too, until they are gone

 private:
  friend class Connection;
  void accept();
  Result<std::shared_ptr<Session>> open_session(const ucred& peer, const wire::Hello& hello);
  void close_session(const std::shared_ptr<Session>& session);
  void end_session(Session& session);
  // What it had is back, which a client can put off after its end: until then it counts.
  void session_gone(uint64_t arena_bytes);
  int find_space(const std::string& name) const;

  const config::Config& config_;
  Medium& medium_;
  std::vector<Namespace>& spaces_;
  std::vector<std::unique_ptr<DataThread>>& threads_;
  Undertaker& undertaker_;
  AnswerFn answer_;
  LayoutTable layouts_;
  std::unordered_map<uint64_t, std::shared_ptr<Session>> sessions_;
  uint64_t next_session_ = 1;
  uint64_t arenas_bytes_ = 0;
  uint32_t connections_ = 0;
  ControlCounters counters_;
  // Last, so that it goes first: connections still open then end while all of the above is there.
  boost::asio::io_context context_{1};
  boost::asio::basic_socket_acceptor<Protocol> acceptor_{context_};
  boost::asio::steady_timer retry_{context_};
};

}  // namespace speckv
