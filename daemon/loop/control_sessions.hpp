// SPDX-License-Identifier: Apache-2.0
// control_sessions.hpp - sessions' beginnings and ends, and what each namespace's clients have at
// once: sessions, arenas, layouts, descriptors, lines of the log.
//
// Every one of these has a limit a namespace and one above it for all, and goes back when its last
// user goes: places at hang-up, memory and layouts when the last data thread has let go of the
// session. A refusal says what the asker's own namespace has, and nothing of others. Control thread
// only. Never: waits for a data thread.
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
#include "session/line_budget.hpp"
#include "session/peer.hpp"
#include "session/session.hpp"
#include "session/undertaker.hpp"
#include "shm/wire.hpp"

namespace speckv {

// What a namespace's clients have now, and how often they were refused more.
struct SpaceUse {
  uint32_t sessions = 0;
  uint64_t arenas_bytes = 0;  // of sessions that ended, too, until their memory is given back
  LayoutRoom layouts{0, 0};
  uint64_t fds = 0;  // of sessions, ended ones as above, and of layouts
  uint64_t sessions_refused = 0, arenas_refused = 0, layouts_refused = 0, fds_refused = 0;
  uint64_t lines_left_out = 0;
};

class Sessions {
 public:
  using Threads = std::vector<std::unique_ptr<DataThread>>;

  Sessions(boost::asio::io_context& context, const config::Config& config, Medium& medium,
           std::vector<Namespace>& spaces, Threads& threads, Undertaker& undertaker);
  ~Sessions();

  // EINPROGRESS, of this and register_layout(): what sessions had that ended may be about to come
  // back, ask again in a moment. tries: how often that was said already.
  Result<std::shared_ptr<Session>> open(const Peer& peer, const wire::Hello& hello, uint32_t tries);
  // The next part of its arena. To be called until that is whole; only then is its client told of
  // it. Others are served between two calls.
  Status fill(Session& session, bool* ret_whole);
  void close(const std::shared_ptr<Session>& session);
  // Whether this session's client may see the index: one that cannot read near memory not before
  // all entries are the pool's. Returns: false, ask again in a moment.
  bool may_see_index(const Session& session);

  struct Registered {
    const Layout* layout = nullptr;
    const Widths* widths = nullptr;
    uint32_t number = 0;
  };
  Result<Registered> register_layout(Session& session, const speckv_layout& desc, uint32_t tries);
  LayoutTable& layouts() { return layouts_; }

  std::vector<std::shared_ptr<Session>> all() const;
  size_t count() const { return open_.size(); }
  SpaceUse use(size_t space) const;
  uint64_t opened() const { return opened_; }
  uint64_t closed() const { return closed_; }
  uint64_t refused() const { return refused_; }
  // A line of the log that somebody without a namespace caused: whether it may be written. Lines
  // that were left out before are told first.
  bool may_log();
  uint64_t lines_left_out() const;

 private:
  struct Space {
    explicit Space(const config::NamespaceConfig& config)
        : lines(line_budget(config.log_lines_max)) {}
    SpaceUse use;
    uint64_t opened = 0;  // ever: a session's number, as its client sees it
    LineBudget lines;
  };
  static LineBudget line_budget(uint32_t lines) {
    return LineBudget(lines, limits::log_period_ns / lines);
  }

  int find_space(const char* name) const;
  Status check_access(int space, const Peer& peer, const char* name) const;
  Status take_room(size_t space, uint64_t arena_bytes, uint32_t tries);
  bool room_may_come(uint32_t tries);
  uint64_t arena_bytes_for(size_t space, uint64_t wanted) const;
  uint64_t session_fds() const { return config::fds_for(config_, 1, 0); }
  uint64_t fds_of(size_t space) const;
  bool fds_fit(size_t space, uint64_t more, bool* ret_of_all) const;
  Status no_fds(size_t space, bool of_all);
  void give_back(size_t space, uint64_t arena_bytes);
  void leave(std::shared_ptr<Session> session);
  void gone(size_t space, uint64_t arena_bytes);
  void sweep();
  void sweep_soon();
  void forget_idle_soon();
  bool may_log(LineBudget& lines, const std::string& whose);

  const config::Config& config_;
  Medium& medium_;
  std::vector<Namespace>& spaces_;
  Threads& threads_;
  Undertaker& undertaker_;
  LayoutTable layouts_;
  std::vector<Space> used_;                      // by number of the namespace
  uint64_t arenas_bytes_ = 0, session_fds_ = 0;  // of all
  std::unordered_map<uint64_t, std::shared_ptr<Session>> open_;
  std::vector<std::shared_ptr<Session>> leaving_;  // until no data thread knows them
  uint32_t buried_ = 0;                            // with the undertaker, not gone yet
  uint64_t next_id_ = 1, opened_ = 0, closed_ = 0, refused_ = 0;
  LineBudget all_lines_, strangers_;
  boost::asio::steady_timer sweep_, idle_;
  bool sweeping_ = false;
};

}  // namespace speckv
