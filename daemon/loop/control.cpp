// SPDX-License-Identifier: Apache-2.0
// control.cpp - see control.hpp.
#include "loop/control.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include <spdlog/spdlog.h>

#include "loop/connection.hpp"

namespace speckv {

namespace asio = boost::asio;

namespace {

// Connections that may be open at once beyond the sessions: people asking questions.
constexpr uint32_t askers_max = 32;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  return address;
}

bool somebody_listens(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  const sockaddr_un address = address_of(path);
  const bool yes = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return yes;
}

std::vector<gid_t> groups_of(uid_t uid, gid_t gid) {
  passwd entry{}, *found = nullptr;
  char text[4096];
  std::vector<gid_t> groups(64);
  int count = int(groups.size());
  if (getpwuid_r(uid, &entry, text, sizeof text, &found) != 0 || !found) return {gid};
  if (getgrouplist(entry.pw_name, gid, groups.data(), &count) < 0) count = int(groups.size());
  groups.resize(size_t(count));
  if (std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
  return groups;
}

}  // namespace

Control::Control(const config::Config& config, Medium& medium, std::vector<Namespace>& spaces,
                 std::vector<std::unique_ptr<DataThread>>& threads, Undertaker& undertaker)
    : config_(config),
      medium_(medium),
      spaces_(spaces),
      threads_(threads),
      undertaker_(undertaker) {
  undertaker_.set_on_gone([this](const Session::Identity&, uint64_t arena_bytes) {
    asio::post(context_, [this, arena_bytes] { session_gone(arena_bytes); });
  });
}

Control::~Control() { undertaker_.set_on_gone(nullptr); }

Status Control::listen() {
  const std::string& path = config_.daemon.socket;
  if (somebody_listens(path))
    return {EADDRINUSE, path + ": another speckvd listens there; stop it or set [daemon] socket"};
  unlink(path.c_str());
  boost::system::error_code error;
  acceptor_.open(Protocol(AF_UNIX, 0), error);
  const sockaddr_un address = address_of(path);
  if (!error) acceptor_.bind(Protocol::endpoint(&address, sizeof address), error);
  if (!error && chmod(path.c_str(), config_.daemon.socket_mode) != 0)
    return Status::from_errno("chmod " + path);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return {error.value(),
            path + ": " + error.message() +
                "; the folder must exist and be writable for the daemon ([daemon] socket)"};
  accept();
  return {};
}

void Control::measured() {
  asio::post(context_, [this] {
    for (const Status& told : layouts_.adopt_measured()) {
      spdlog::log(told.ok() ? spdlog::level::info : spdlog::level::err, "{}", told.text());
      counters_.widths_measured += told.ok();
    }
  });
}

void Control::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Protocol::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) {  // out of descriptors, most likely: leave room to close some
      spdlog::warn("accept: {}", error.message());
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](boost::system::error_code stopped) {
        if (!stopped) accept();
      });
      return;
    }
    if (connections_ < config_.session.sessions_max + askers_max)
      std::make_shared<Connection>(*this, std::move(socket))->start();
    else counters_.sessions_refused++;
    accept();
  });
}

void Control::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  unlink(config_.daemon.socket.c_str());
  context_.stop();
}

int Control::find_space(const std::string& name) const {
  for (size_t i = 0; i < spaces_.size(); i++)
    if (spaces_[i].name == name) return int(i);
  return -1;
}

Result<std::shared_ptr<Session>> Control::open_session(const ucred& peer,
                                                       const wire::Hello& hello) {
  const auto refuse = [this](int error, std::string text) {
    counters_.sessions_refused++;
    return Status(error, std::move(text));
  };
  const int space = find_space(hello.namespace_name);
  // One answer for "not there" and "not yours": names of namespaces are not for everybody.
  if (space < 0 || !config::may_connect(config_.namespaces[size_t(space)], peer.uid,
                                        groups_of(peer.uid, peer.gid), geteuid()))
    return refuse(EACCES, "namespace " + std::string(hello.namespace_name) +
                              " does not exist or uid " + std::to_string(peer.uid) +
                              " may not use it: see [[namespace]] in the daemon's config");
  if (spaces_[size_t(space)].gone)
    return refuse(ENODEV, "the memory of namespace " + std::string(hello.namespace_name) +
                              " is gone (the device was removed, or its first part is poisoned): "
                              "restart speckvd when it is back");
  if (sessions_.size() >= config_.session.sessions_max)
    return refuse(EUSERS, "all " + std::to_string(config_.session.sessions_max) +
                              " sessions are taken: raise [session] sessions_max or close one");
  uint64_t arena = hello.arena_bytes ? hello.arena_bytes : config_.session.arena_bytes;
  arena = std::min(arena, config_.session.arena_bytes_max) / shm::arena_chunk_bytes *
          shm::arena_chunk_bytes;
  arena = std::max<uint64_t>(arena, shm::arena_chunk_bytes);
  if (arenas_bytes_ + arena > config_.session.arenas_bytes_max)
    return refuse(ENOMEM, "the arenas of all sessions take " + std::to_string(arenas_bytes_) +
                              " bytes already: raise [session] arenas_bytes_max or ask for less");
  const Session::Identity identity{next_session_++, peer.uid, peer.gid, peer.pid, uint32_t(space)};
  auto session = Session::create(identity, medium_, uint32_t(threads_.size()), arena, &undertaker_);
  if (!session.ok()) return refuse(session.status().error(), session.status().text());
  arenas_bytes_ += arena;  // until it is gone: session_gone()
  for (auto& thread : threads_)
    if (!thread->add_session(session.value())) {
      end_session(*session.value());
      return refuse(EAGAIN, "a data thread's mailbox is full: try again");
    }
  counters_.sessions_opened++;
  sessions_[identity.id] = session.value();
  spdlog::info("session {} opened: uid {} pid {} namespace {} arena {} MiB", identity.id, peer.uid,
               peer.pid, hello.namespace_name, arena >> 20);
  return session;
}

void Control::close_session(const std::shared_ptr<Session>& session) {
  if (sessions_.erase(session->identity().id) == 0) return;
  end_session(*session);
  counters_.sessions_closed++;
  spdlog::info("session {} closed", session->identity().id);
}

void Control::end_session(Session& session) {
  session.end();
  for (auto& thread : threads_) thread->session_ended();
}

void Control::session_gone(uint64_t arena_bytes) { arenas_bytes_ -= arena_bytes; }

std::vector<std::shared_ptr<Session>> Control::sessions() const {
  std::vector<std::shared_ptr<Session>> all;
  for (const auto& [id, session] : sessions_) all.push_back(session);
  return all;
}

}  // namespace speckv
