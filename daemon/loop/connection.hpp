// SPDX-License-Identifier: Apache-2.0
// connection.hpp - one accepted socket: reads messages, checks them (session/messages.hpp),
// answers.
//
// Ends when the peer hangs up, its process dies (pidfd), it says something malformed, or the daemon
// stops; whatever the session held ends with it. Control thread only.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <memory>
#include <optional>

#include "loop/control.hpp"

namespace speckv {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Control& control, Control::Protocol::socket socket);
  ~Connection();
  void start();

 private:
  void read();
  void watch_process();
  bool receive();  // Returns: false when the connection is to end
  bool on_hello(const std::byte* message, size_t bytes);
  bool on_layout(const std::byte* message, size_t bytes);
  bool on_control(const std::byte* message, size_t bytes);
  bool send_welcome();
  bool send_error(int error, const std::string& text);
  bool send(const void* message, size_t bytes, const int* fds = nullptr, size_t fd_count = 0);
  void end();

  Control& control_;
  Control::Protocol::socket socket_;
  std::optional<boost::asio::posix::stream_descriptor> process_;
  std::shared_ptr<Session> session_;
  ucred peer_{};
};

}  // namespace speckv
