// SPDX-License-Identifier: Apache-2.0
// control_door.cpp - see control_door.hpp.
#include "loop/control_door.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include <spdlog/spdlog.h>

#include "config/limits.hpp"
#include "session/messages.hpp"
#include "session/peer.hpp"

#ifndef SO_PASSRIGHTS  // Linux 6.16
#define SO_PASSRIGHTS 83
#endif

namespace speckv {

namespace asio = boost::asio;

namespace {

constexpr size_t reserve_max = 4;    // descriptors kept for telling clients that there are none
constexpr int accepts_at_once = 16;  // before other work of the control thread has its turn
constexpr auto look_every = std::chrono::seconds(1);
constexpr auto retry_after = std::chrono::milliseconds(100);
constexpr auto tell_every = std::chrono::minutes(1);  // of each trouble

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  return address;
}

// Without waiting: a full queue of somebody who listens counts as that.
Status nobody_listens(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Status::from_errno("a socket to try " + path);
  const sockaddr_un address = address_of(path);
  const bool refused =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      (errno == ECONNREFUSED || errno == ENOENT);
  close(fd);
  if (refused) return {};
  return {EADDRINUSE, path + ": another daemon listens there; stop it or set [daemon] socket"};
}

bool refuses_descriptors(int fd) {
  int pass = 1;
  socklen_t bytes = sizeof pass;
  return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &pass, &bytes) == 0 && pass == 0;
}

// Whether the log may be told once more.
bool due(std::chrono::steady_clock::time_point* told) {
  const auto now = std::chrono::steady_clock::now();
  if (*told != std::chrono::steady_clock::time_point() && now - *told <= tell_every) return false;
  *told = now;
  return true;
}

}  // namespace

Door::Door(asio::io_context& context, std::string path, uint32_t mode, size_t unclosed_max,
           Closer& closer, Guest guest)
    : context_(context),
      path_(std::move(path)),
      mode_(mode),
      unclosed_max_(unclosed_max),
      closer_(closer),
      guest_(std::move(guest)),
      acceptor_(context),
      second_(context),
      retry_(context),
      list_(path_) {}

bool Door::find(const std::string& path, File* ret_file) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return false;
  *ret_file = {uint64_t(info.st_dev), uint64_t(info.st_ino)};
  return true;
}

Status Door::check(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0)
    return errno == ENOENT ? Status() : Status::from_errno(path + ": [daemon] socket");
  if (!S_ISSOCK(info.st_mode))
    return {EEXIST, path +
                        ": a file that is no socket is there and stays there; move it away or "
                        "set [daemon] socket to another path"};
  return nobody_listens(path);
}

Status Door::open() {
  Status status = check(path_);
  if (status.ok()) status = bind();
  if (!status.ok()) return status;
  refill();
  wait();
  look();
  return {};
}

// Requires: check(path_) was ok.
Status Door::bind() {
  unlink(path_.c_str());
  boost::system::error_code error;
  leave();
  acceptor_.open(Protocol(AF_UNIX, 0), error);
  if (!error) refuse_descriptors();
  const sockaddr_un address = address_of(path_);
  if (!error) acceptor_.bind(Protocol::endpoint(&address, sizeof address), error);
  if (!error) find(path_, &file_);
  if (!error && chmod(path_.c_str(), mode_) != 0) return Status::from_errno("chmod " + path_);
  if (const Status kept = list_.begin(); !error && !kept.ok() && kept.error() != ENOTSUP)
    spdlog::warn("{}: users cannot be shut out", kept.text());
  // A long queue lets those in who come while somebody fills it, in their turn; a short one bounds
  // what a user who is shut out has in it.
  const int backlog = refuses_descriptors(acceptor_.native_handle())
                          ? int(asio::socket_base::max_listen_connections)
                          : int(limits::backlog_max);
  if (!error) acceptor_.listen(backlog, error);
  if (!error) acceptor_.native_non_blocking(true, error);
  if (!error) return {};
  return {error.value(), path_ + ": " + error.message() +
                             "; the folder must exist and be writable for the daemon ([daemon] "
                             "socket)"};
}

// Since Linux 6.16 whoever sends descriptors here is told EPERM at once, and so at every
// connection. Before, closer.hpp has to do. SPECKVD_DESCRIPTORS_PASS (set: as before 6.16) is for
// tests.
void Door::refuse_descriptors() {
  if (std::getenv("SPECKVD_DESCRIPTORS_PASS")) return;
  const int off = 0;
  setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}

// Connections that were not accepted go with their listener, and so does what they sent.
void Door::leave() {
  boost::system::error_code ignored;
  if (acceptor_.is_open()) closer_.close_later(acceptor_.release(ignored), geteuid());
}

void Door::close() {
  boost::system::error_code ignored;
  second_.cancel(ignored);
  retry_.cancel(ignored);
  if (acceptor_.is_open()) {
    File there;
    if (find(path_, &there) && there == file_) unlink(path_.c_str());
    leave();
  }
  for (int fd : turned_away_) closer_.close_connection(fd, uid_of(fd));
  for (int fd : reserve_) ::close(fd);
  turned_away_.clear();
  reserve_.clear();
}

// Clients that are connected do not need the file; the next ones do.
void Door::look() {
  File there;
  if (!find(path_, &there) || there != file_) {
    Status status = check(path_);
    if (status.ok()) status = bind();
    if (status.ok()) {
      spdlog::warn("the socket {} was gone: made again", path_);
      wait();
    } else if (!told_of_file_) {
      spdlog::error("the socket is gone and cannot be made again yet: {}", status.text());
    }
    told_of_file_ = !status.ok();
  }
  let_in();
  second_.expires_after(look_every);
  second_.async_wait([this](boost::system::error_code stopped) {
    if (!stopped) look();
  });
}

void Door::wait() {
  acceptor_.async_wait(asio::socket_base::wait_read, [this](boost::system::error_code error) {
    if (error || !acceptor_.is_open()) return;
    if (accept_some()) return wait();
    retry_.expires_after(retry_after);
    retry_.async_wait([this](boost::system::error_code stopped) {
      if (stopped) return;
      refill();
      wait();
    });
  });
}

void Door::shut_out(uid_t uid) {
  const Status status = list_.shut_out(uid);
  if (!due(&told_of_user_)) return;
  if (status.ok())
    spdlog::warn(
        "uid {} is shut out at the socket: {} of its connections cannot be closed, for what it "
        "sent along with messages",
        uid, closer_.unclosed_of(uid));
  else spdlog::warn("uid {} cannot be shut out at the socket: {}", uid, status.text());
}

// Those of whose connections enough are closed.
void Door::let_in() {
  const std::set<uid_t> uids = list_.uids();
  for (const uid_t uid : uids) {
    if (closer_.unclosed_of(uid) >= limits::unclosed_of_uid_max) continue;
    const Status status = list_.let_in(uid);
    if (!status.ok()) spdlog::error("uid {} stays shut out: {}", uid, status.text());
  }
}

bool Door::is_full() {
  const size_t unclosed = closer_.unclosed();
  if (unclosed < unclosed_max_) return false;
  if (due(&told_full_))
    spdlog::error(
        "{} connections cannot be closed, for what their clients sent along: nobody is let in "
        "until some are; those who are in are served",
        unclosed);
  return true;
}

bool Door::accept_some() {
  for (int i = 0; i < accepts_at_once; i++) {
    if (is_full()) return false;
    const int fd =
        accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      guest_(Protocol::socket(context_, Protocol(AF_UNIX, 0), fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return true;
    const int error = errno;
    if (due(&told_))
      spdlog::error(
          "accept: {}: clients are turned away until descriptors are free; raise LimitNOFILE or "
          "lower [session] sessions_max",
          std::strerror(error));
    if (!turn_away(error)) return false;
  }
  return true;
}

// Lets one client in by a descriptor of the reserve and says why it cannot stay. It is closed a
// moment later: at once, a hello still on its way would hide the answer from it.
bool Door::turn_away(int error) {
  if (reserve_.empty() || (error != EMFILE && error != ENFILE)) return false;
  ::close(reserve_.back());
  reserve_.pop_back();
  const int fd = accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return false;
  wire::Error reply{};
  reply.header = make_header(wire::Type::error, sizeof reply);
  reply.error = EMFILE;
  std::snprintf(reply.text, sizeof reply.text,
                "the daemon has no descriptors left: its operator raises LimitNOFILE");
  [[maybe_unused]] const ssize_t ignored =
      send(fd, &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT);
  turned_away_.push_back(fd);
  return true;
}

void Door::refill() {
  for (int fd : turned_away_) closer_.close_connection(fd, uid_of(fd));
  turned_away_.clear();
  while (reserve_.size() < reserve_max) {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    reserve_.push_back(fd);
  }
}

}  // namespace speckv
