// SPDX-License-Identifier: Apache-2.0
// control_door.hpp - the socket that clients come in by: its file, and who comes through.
//
// The file is ours from bind to close(): an old socket that nobody listens on is replaced, anything
// else at the path is left alone and an error; a file that was deleted meanwhile is made again; at
// the end only the file that we made is removed. When the process is out of descriptors, a reserve
// lets a client in that is told so, instead of waiting without an answer. Where descriptors that
// were sent along keep connections from being closed (closer.hpp), a user with many of these is
// shut out by the file's access list, and beyond a number of them all nobody is let in: no user
// takes the descriptors that others need. Control thread only. Never: blocks, reads what a client
// says.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "session/closer.hpp"
#include "session/door_list.hpp"
#include "status.hpp"

namespace speckv {

class Door {
 public:
  using Protocol = boost::asio::generic::seq_packet_protocol;
  using Guest = std::function<void(Protocol::socket)>;

  // unclosed_max: while the closer has so many, nobody is let in.
  Door(boost::asio::io_context& context, std::string path, uint32_t mode, size_t unclosed_max,
       Closer& closer, Guest guest);
  ~Door() { close(); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  Status open();
  void close();
  // Its next connections are refused by the kernel, until few of those it had are unclosed. For
  // users who go on although they were told.
  void shut_out(uid_t uid);
  size_t shut_out() const { return list_.uids().size(); }

  // Whether a daemon can put its socket there: nothing is in the way, or only a socket that nobody
  // listens on. Changes nothing.
  static Status check(const std::string& path);

 private:
  struct File {  // which file it is that we made
    uint64_t device = 0, inode = 0;
    bool operator==(const File&) const = default;
  };
  static bool find(const std::string& path, File* ret_file);

  Status bind();
  void refuse_descriptors();
  void leave();
  void look();  // once a second: is the file still ours?
  void let_in();
  bool is_full();
  void wait();
  bool accept_some();  // Returns: false when it can only go on later
  bool turn_away(int error);
  void refill();

  boost::asio::io_context& context_;
  std::string path_;
  const uint32_t mode_;
  const size_t unclosed_max_;
  Closer& closer_;
  Guest guest_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer second_, retry_;
  File file_;
  DoorList list_;
  std::vector<int> reserve_, turned_away_;
  // When the log was told last: of a failing accept, of a user shut out, of being full.
  std::chrono::steady_clock::time_point told_{}, told_of_user_{}, told_full_{};
  bool told_of_file_ = false;
};

}  // namespace speckv
