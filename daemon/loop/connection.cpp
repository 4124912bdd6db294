// SPDX-License-Identifier: Apache-2.0
// connection.cpp - see connection.hpp.
#include "loop/connection.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <vector>

#include <spdlog/spdlog.h>

#include "session/messages.hpp"

namespace speckv {

namespace asio = boost::asio;

Connection::Connection(Control& control, Control::Protocol::socket socket)
    : control_(control), socket_(std::move(socket)) {
  control_.connections_++;
}

Connection::~Connection() {
  end();
  control_.connections_--;
}

void Connection::start() {
  socklen_t bytes = sizeof peer_;
  if (getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_, &bytes) != 0) return;
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  read();
}

void Connection::read() {
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](boost::system::error_code error) {
                       if (error || !self->receive()) self->end();
                       else self->read();
                     });
}

// The peer may die while a child of its keeps the socket open: the pidfd says so.
void Connection::watch_process() {
  const int fd = int(syscall(SYS_pidfd_open, peer_.pid, 0));
  if (fd < 0) return;  // gone already, or of another pid namespace: the socket's end must do
  process_.emplace(control_.context(), fd);
  process_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = weak_from_this()](boost::system::error_code error) {
                         if (auto alive = self.lock(); alive && !error) alive->end();
                       });
}

void Connection::end() {
  if (session_) control_.close_session(session_);
  session_.reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
  process_.reset();
}

bool Connection::receive() {
  std::array<std::byte, wire::message_bytes_max> message;
  iovec part{message.data(), message.size()};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen =
      1;  // no room for descriptors: whatever a client sends along is closed by the kernel
  const ssize_t bytes = recvmsg(socket_.native_handle(), &packet, MSG_DONTWAIT);
  if (bytes < 0) return errno == EAGAIN || errno == EINTR;
  if (bytes == 0) return false;
  wire::WireHeader header;
  const Status status = parse_header(message.data(), size_t(bytes), &header);
  if (!status.ok()) {
    control_.counters_.malformed++;
    send_error(status.error(), status.text());
    return false;
  }
  switch (wire::Type(header.type)) {
    case wire::Type::hello:
      return on_hello(message.data(), size_t(bytes));
    case wire::Type::layout:
      return on_layout(message.data(), size_t(bytes));
    default:
      return on_control(message.data(), size_t(bytes));
  }
}

bool Connection::on_hello(const std::byte* message, size_t bytes) {
  wire::Hello hello;
  Status status = parse_hello(message, bytes, &hello);
  if (status.ok() && session_)
    status = {EALREADY, "this connection has a session already: open another one"};
  if (!status.ok()) return send_error(status.error(), status.text()) && session_;
  auto session = control_.open_session(peer_, hello);
  if (!session.ok()) {
    spdlog::warn("uid {} pid {} refused: {}", peer_.uid, peer_.pid, session.status().text());
    send_error(session.status().error(), session.status().text());
    return false;
  }
  session_ = session.value();
  watch_process();
  return send_welcome();
}

bool Connection::send_welcome() {
  const Namespace& space = control_.spaces_[session_->identity().space];
  wire::Welcome welcome{};
  welcome.header = make_header(wire::Type::welcome, sizeof welcome);
  welcome.session_id = session_->identity().id;
  welcome.session_bytes = session_->memory_bytes();
  welcome.pool_bytes = space.pool->bytes();
  welcome.index_bytes = space.index->bytes();
  welcome.shards = space.shards;
  welcome.default_preset = control_.config_.namespaces[session_->identity().space].preset_id;
  welcome.hold_ns_max = control_.config_.session.hold_ms_max * 1'000'000;
  welcome.pool_page_bytes = space.pool->page_bytes();
  welcome.pool_offset = space.pool->client_offset();
  const MediumOptions& medium = control_.config_.pool.medium;
  if (medium.emulated_gb_s > 0)
    welcome.emulated_ps_per_byte = uint64_t(std::llround(1000 / medium.emulated_gb_s));
  welcome.emulated_ns = medium.emulated_ns;
  std::vector<int> fds{session_->memory_fd(), space.pool->client_fd(), space.index->client_fd(),
                       session_->event_fd()};
  for (uint32_t shard = 0; shard < space.shards; shard++) fds.push_back(session_->doorbell(shard));
  return send(&welcome, sizeof welcome, fds.data(), fds.size());
}

bool Connection::on_layout(const std::byte* message, size_t bytes) {
  speckv_layout desc;
  Status status = parse_layout(message, bytes, &desc);
  if (status.ok() && !session_) status = {EBADMSG, "a layout before hello: open a session first"};
  if (!status.ok()) return send_error(status.error(), status.text());
  const config::NamespaceConfig& space = control_.config_.namespaces[session_->identity().space];
  auto layout = control_.layouts_.add(desc, space.preset_id, space.name);
  if (!layout.ok()) return send_error(layout.status().error(), layout.status().text());
  const Widths& widths = layout.value()->widths->current();
  const int number = session_->add_layout(layout.value(), &widths);
  if (number < 0)
    return send_error(-number, "this session has 64 layouts, its limit: open another session");
  wire::LayoutReply reply{};
  reply.header = make_header(wire::Type::layout_ok, sizeof reply);
  reply.fingerprint = widths.fingerprint;
  reply.number = uint32_t(number);
  reply.preset = layout.value()->preset_id;
  const uint32_t asked = desc.preset == SPECKV_PRESET_DAEMON ? space.preset_id : desc.preset;
  control_.counters_.layouts_substituted += reply.preset != asked;
  if (!widths.file) return send(&reply, sizeof reply);
  reply.table_bytes = widths.file->bytes;
  return send(&reply, sizeof reply, &widths.file->fd, 1);
}

bool Connection::on_control(const std::byte* message, size_t bytes) {
  std::string request;
  const Status status = parse_control(message, bytes, &request);
  if (!status.ok()) return send_error(status.error(), status.text());
  const uid_t uid = peer_.uid;
  if (uid != 0 && uid != geteuid())
    return send_error(EPERM, "only root and the daemon's own user may ask: uid " +
                                 std::to_string(uid) + " is neither");
  const std::string answer = control_.answer_ ? control_.answer_(request) : "{}";
  constexpr size_t chunk_max = wire::message_bytes_max - sizeof(wire::WireHeader);
  size_t at = 0;
  do {
    const size_t part = std::min(chunk_max, answer.size() - at);
    std::vector<std::byte> reply(sizeof(wire::WireHeader) + part);
    const bool more = at + part < answer.size();
    const wire::WireHeader header =
        make_header(wire::Type::reply, reply.size(), more ? wire::flag_more : 0);
    std::memcpy(reply.data(), &header, sizeof header);
    std::memcpy(reply.data() + sizeof header, answer.data() + at, part);
    if (!send(reply.data(), reply.size())) return false;
    at += part;
  } while (at < answer.size());
  return true;
}

bool Connection::send_error(int error, const std::string& text) {
  wire::Error reply{};
  reply.header = make_header(wire::Type::error, sizeof reply);
  reply.error = error;
  std::snprintf(reply.text, sizeof reply.text, "%s", text.c_str());
  return send(&reply, sizeof reply);
}

// A peer that does not read its answers loses the connection: control never waits for it.
bool Connection::send(const void* message, size_t bytes, const int* fds, size_t fd_count) {
  iovec part{const_cast<void*>(message), bytes};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  std::vector<std::byte> ancillary(fd_count ? CMSG_SPACE(fd_count * sizeof(int)) : 0);
  if (fd_count) {
    packet.msg_control = ancillary.data();
    packet.msg_controllen = ancillary.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&packet);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
  }
  const ssize_t sent = sendmsg(socket_.native_handle(), &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == ssize_t(bytes);
}

}  // namespace speckv
