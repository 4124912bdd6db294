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

namespace {
constexpr auto try_again_after = std::chrono::milliseconds(5);
constexpr uint32_t welcome_tries_max = 200;  // a second: less than a client waits
constexpr size_t answer_chunk_max = wire::message_bytes_max - sizeof(wire::WireHeader);
constexpr int answer_parts_at_once = 16;  // of 60 KiB: before others have their turn
}  // namespace

Connection::Connection(Control& control, Control::Protocol::socket socket, Peer peer)
    : control_(control),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      deadline_(control.context()),
      again_(control.context()) {}

void Connection::start(const Status& refusal) {
  control_.connections_.insert(this);
  if (!refusal.ok()) return turn_out(refusal.error(), refusal.text());
  place_ = control_.wait({this, peer_.uid, control_.privileged(peer_)});
  expect_words(control_.config_.session.hello_ms_max);
  if (!receive()) end();  // its hello is there already, most of the time
  else read();
}

void Connection::read() {
  if (!socket_.is_open() || waits_for_room_ || answer_) return;
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](boost::system::error_code error) {
                       if (error || !self->receive()) self->end();
                       else self->read();
                     });
}

// A connection without a session that says nothing for so long ends.
void Connection::expect_words(uint32_t within_ms) {
  deadline_.expires_after(std::chrono::milliseconds(within_ms));
  deadline_.async_wait([self = weak_from_this(), within_ms](boost::system::error_code stopped) {
    const auto alive = self.lock();
    if (stopped || !alive || !alive->socket_.is_open()) return;
    alive->turn_out(ETIMEDOUT, "nothing was asked within " + std::to_string(within_ms) +
                                   " ms of connecting: a client says hello first");
  });
}

void Connection::turn_out(int error, const std::string& why) {
  control_.counters_.connections_ended++;
  send_error(error, why);
  end();
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
  const auto self = weak_from_this().lock();  // until the end of this function
  if (control_.connections_.erase(this) == 0) return;
  if (session_) control_.sessions_.close(session_);
  session_.reset();
  if (place_) control_.waiting_.erase(*place_);
  place_.reset();
  boost::system::error_code ignored;
  deadline_.cancel(ignored);
  again_.cancel(ignored);
  if (socket_.is_open()) control_.closer_.close_connection(socket_.release(ignored), peer_.uid);
  process_.reset();
}

bool Connection::receive() {
  if (has_descriptors(socket_.native_handle())) {
    control_.counters_.malformed++;
    send_error(EPERM, "a message of a client carries no descriptors");
    return false;  // unread: what drops them may wait
  }
  std::array<std::byte, wire::message_bytes_max> message;
  iovec part{message.data(), message.size()};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  const ssize_t bytes = recvmsg(socket_.native_handle(), &packet, MSG_DONTWAIT);
  if (bytes < 0) return errno == EAGAIN || errno == EINTR;
  if (bytes == 0) return false;
  return answer(message.data(), size_t(bytes));
}

bool Connection::answer(const std::byte* message, size_t bytes) {
  wire::WireHeader header;
  const Status status = parse_header(message, bytes, &header);
  if (!status.ok()) {
    control_.counters_.malformed++;
    send_error(status.error(), status.text());
    return false;
  }
  switch (wire::Type(header.type)) {
    case wire::Type::hello:
      return on_hello(message, bytes);
    case wire::Type::layout:
      return on_layout(message, bytes);
    default:
      return on_control(message, bytes);
  }
}

bool Connection::on_hello(const std::byte* message, size_t bytes) {
  wire::Hello hello;
  Status status = parse_hello(message, bytes, &hello);
  if (status.ok() && session_)
    status = {EALREADY, "this connection has a session already: open another one"};
  if (!status.ok()) return send_error(status.error(), status.text()) && session_;
  deadline_.cancel();  // from here on it is the daemon that lets it wait
  return open_session(hello);
}

bool Connection::open_session(const wire::Hello& hello) {
  auto session = control_.sessions_.open(peer_, hello, tries_);
  if (session.status().error() == EINPROGRESS)
    return try_again_soon([this, hello] { return open_session(hello); }, try_again_after);
  if (!session.ok()) {
    send_error(session.status().error(), session.status().text());
    return false;
  }
  session_ = session.value();
  control_.waiting_.erase(*place_);
  place_.reset();
  watch_process();
  return fill_arena();
}

// An arena may be as large as what the daemon has, and others wait for this thread: whoever has
// come meanwhile is served between two steps.
bool Connection::fill_arena() {
  bool whole = false;
  const Status status = control_.sessions_.fill(*session_, &whole);
  if (!status.ok()) {
    send_error(status.error(), status.text());
    return false;
  }
  if (!whole) return try_again_soon([this] { return fill_arena(); }, std::chrono::milliseconds(0));
  tries_ = 0;
  return welcome();
}

bool Connection::welcome() {
  if (control_.sessions_.may_see_index(*session_)) return send_welcome();
  if (tries_ < welcome_tries_max)
    return try_again_soon([this] { return welcome(); }, try_again_after);
  send_error(EAGAIN, "a data thread is busy: try again");
  return false;
}

bool Connection::try_again_soon(std::function<bool()> what, std::chrono::milliseconds after) {
  tries_++;
  waits_for_room_ = std::move(what);
  again_.expires_after(after);
  again_.async_wait([self = shared_from_this()](boost::system::error_code stopped) {
    if (stopped || !self->socket_.is_open()) return;
    const auto again = std::exchange(self->waits_for_room_, nullptr);
    if (!again()) return self->end();
    if (self->waits_for_room_) return;
    self->tries_ = 0;
    self->read();
  });
  return true;
}

bool Connection::send_welcome() {
  const Namespace& space = control_.spaces_[session_->identity().space];
  wire::Welcome welcome{};
  welcome.header = make_header(wire::Type::welcome, sizeof welcome);
  welcome.session_id = session_->identity().number;
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
  const bool near = space.near && session_->identity().reads_near;
  if (near) welcome.near_bytes = space.near->bytes();
  std::vector<int> fds{session_->memory_fd(), space.pool->client_fd(), space.index->client_fd(),
                       session_->event_fd()};
  for (uint32_t shard = 0; shard < space.shards; shard++) fds.push_back(session_->doorbell(shard));
  if (near) fds.push_back(space.near->client_fd());
  return send(&welcome, sizeof welcome, fds.data(), fds.size());
}

bool Connection::on_layout(const std::byte* message, size_t bytes) {
  speckv_layout desc;
  Status status = parse_layout(message, bytes, &desc);
  if (status.ok() && !session_) status = {EBADMSG, "a layout before hello: open a session first"};
  if (!status.ok()) return send_error(status.error(), status.text());
  return register_layout(desc);
}

bool Connection::register_layout(const speckv_layout& desc) {
  const auto known = control_.sessions_.register_layout(*session_, desc, tries_);
  if (known.status().error() == EINPROGRESS)
    return try_again_soon([this, desc] { return register_layout(desc); }, try_again_after);
  if (!known.ok()) return send_error(known.status().error(), known.status().text());
  const auto& [layout, widths, number] = known.value();
  wire::LayoutReply reply{};
  reply.header = make_header(wire::Type::layout_ok, sizeof reply);
  reply.fingerprint = widths->fingerprint;
  reply.number = number;
  reply.preset = layout->preset_id;
  const uint32_t preset = control_.config_.namespaces[session_->identity().space].preset_id;
  control_.counters_.layouts_substituted +=
      reply.preset != (desc.preset == SPECKV_PRESET_DAEMON ? preset : desc.preset);
  if (!widths->file) return send(&reply, sizeof reply);
  reply.table_bytes = widths->file->bytes;
  return send(&reply, sizeof reply, &widths->file->fd, 1);
}

bool Connection::on_control(const std::byte* message, size_t bytes) {
  std::string request;
  const Status status = parse_control(message, bytes, &request);
  if (!status.ok()) return send_error(status.error(), status.text());
  if (!control_.privileged(peer_))
    return send_error(EPERM, "only root and the daemon's own user may ask: uid " +
                                 std::to_string(peer_.uid) + " is neither");
  if (!session_) expect_words(limits::asker_ms_max);
  if (!control_.answer_) return send_error(ENOSYS, "nobody answers questions here");
  answer_ = control_.answer_(request);
  answer_is_whole_ = false;
  return go_on_answering();
}

bool Connection::go_on_answering() {
  if (!answer_is_whole_ && ready_.size() < answer_chunk_max)
    answer_is_whole_ = !answer_->step(&ready_);
  for (int parts = 0; parts < answer_parts_at_once; parts++) {
    const bool last = answer_is_whole_ && ready_.size() <= answer_chunk_max;
    if (!last && ready_.size() < answer_chunk_max) break;  // more first
    const int error = send_part(!last);
    if (error == EAGAIN) {  // until the asker has read some
      socket_.async_wait(asio::socket_base::wait_write,
                         [self = shared_from_this()](boost::system::error_code failed) {
                           if (failed || !self->go_on_answering()) return self->end();
                           if (!self->answer_) self->read();
                         });
      return true;
    }
    if (error) return false;
    if (!last) continue;
    answer_.reset();
    return true;
  }
  answer_soon();
  return true;
}

// After what others wait for.
void Connection::answer_soon() {
  asio::post(control_.context(), [self = shared_from_this()] {
    if (!self->socket_.is_open() || !self->answer_) return;
    if (!self->go_on_answering()) return self->end();
    if (!self->answer_) self->read();
  });
}

int Connection::send_part(bool more) {
  const size_t part = std::min(answer_chunk_max, ready_.size());
  std::vector<std::byte> reply(sizeof(wire::WireHeader) + part);
  const wire::WireHeader header =
      make_header(wire::Type::reply, reply.size(), more ? wire::flag_more : 0);
  std::memcpy(reply.data(), &header, sizeof header);
  std::memcpy(reply.data() + sizeof header, ready_.data(), part);
  errno = 0;
  if (!send(reply.data(), reply.size())) return errno ? errno : EPIPE;
  ready_.erase(0, part);
  return 0;
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
