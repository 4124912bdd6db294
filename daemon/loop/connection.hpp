// SPDX-License-Identifier: Apache-2.0
// connection.hpp - one accepted socket: reads messages, checks them (session/messages.hpp),
// answers.
//
// Ends when the peer hangs up, its process dies (pidfd), it says something malformed, it has no
// session and says nothing for too long, or the daemon stops; whatever the session held ends with
// it. Control thread only.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "loop/control.hpp"

namespace speckv {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Control& control, Control::Protocol::socket socket, Peer peer);
  void start(const Status& refusal);  // one that is no error turns the peer out at once
  // Tells the peer why, and ends.
  void turn_out(int error, const std::string& why);
  void end();  // twice is once

 private:
  void read();
  void watch_process();
  void expect_words(uint32_t within_ms);
  bool receive();  // Returns: false when the connection is to end
  bool answer(const std::byte* message, size_t bytes);
  bool on_hello(const std::byte* message, size_t bytes);
  bool open_session(const wire::Hello& hello);
  bool fill_arena();  // one step; welcomes at the end
  // Asks once more in a moment, and reads no message until then. what: as receive().
  bool try_again_soon(std::function<bool()> what, std::chrono::milliseconds after);
  bool register_layout(const speckv_layout& desc);
  bool on_layout(const std::byte* message, size_t bytes);
  bool on_control(const std::byte* message, size_t bytes);
  // Works on the answer for one turn and sends what is ready and taken. Returns: as receive().
  bool go_on_answering();
  void answer_soon();
  int send_part(bool more);  // of ready_: 0, or an errno
  bool welcome();            // Returns: as receive()
  bool send_welcome();
  bool send_error(int error, const std::string& text);
  bool send(const void* message, size_t bytes, const int* fds = nullptr, size_t fd_count = 0);

  Control& control_;
  Control::Protocol::socket socket_;
  const Peer peer_;
  boost::asio::steady_timer deadline_, again_;
  std::optional<Control::Place> place_;  // among those without a session
  std::optional<boost::asio::posix::stream_descriptor> process_;
  std::shared_ptr<Session> session_;
  // A question is being answered: the next message is read after that.
  std::unique_ptr<Answer> answer_;
  bool answer_is_whole_ = false;
  std::string ready_;  // of its text, not sent yet
  // What of ended sessions is about to be given back is waited for.
  std::function<bool()> waits_for_room_;
  uint32_t tries_ = 0;
};

}  // namespace speckv
