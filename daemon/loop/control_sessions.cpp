// SPDX-License-Identifier: Apache-2.0
// control_sessions.cpp - see control_sessions.hpp.
#include "loop/control_sessions.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include <spdlog/spdlog.h>

#include "assert.hpp"
#include "loop/clock.hpp"

namespace speckv {

namespace asio = boost::asio;

namespace {
constexpr auto sweep_every = std::chrono::milliseconds(2);  // while sessions leave
constexpr uint32_t tries_max = 200;               // for room, 5 ms apart: less than a client waits
constexpr uint64_t arena_step_bytes = 16u << 20;  // 20 ms in small pages
constexpr auto idle_every = std::chrono::seconds(10);

Status full(int error, const std::string& own, bool of_all, const char* all_key) {
  if (!of_all) return {error, own};
  return {error,
          std::string("the daemon has no room for this now: its operator sees why ([session] ") +
              all_key + ")"};
}

// Every put of a layout that fits no shard would be -ENOSPC, however empty the pool is.
Status fits_space(const Layout& layout, const Namespace& space) {
  uint64_t units = space.units_of(0);
  for (uint32_t shard = 1; shard < space.shards; shard++)
    units = std::min(units, space.units_of(shard));
  if (fits_shard(layout, units)) return {};
  return {EMSGSIZE, "one block of this layout takes more than the " +
                        std::to_string(units * (shm::unit_bytes >> 20)) +
                        " MiB that a data thread has of namespace " + space.name +
                        "'s pool: use fewer tokens in a block, or raise [[namespace]] bytes or "
                        "lower [daemon] data_threads"};
}
}  // namespace

Sessions::Sessions(asio::io_context& context, const config::Config& config, Medium& medium,
                   std::vector<Namespace>& spaces, Threads& threads, Undertaker& undertaker)
    : config_(config),
      medium_(medium),
      spaces_(spaces),
      threads_(threads),
      undertaker_(undertaker),
      used_(config.namespaces.begin(), config.namespaces.end()),
      all_lines_(line_budget(config.session.log_lines_max)),
      strangers_(line_budget(
          std::min(config.session.log_lines_max, limits::log_lines_of_namespace_default))),
      sweep_(context),
      idle_(context) {
  layouts_.limit({config.session.layouts_max, config.session.widths_bytes_max});
  for (const config::NamespaceConfig& space : config.namespaces)
    layouts_.limit(space.name, {space.layouts_max, space.widths_bytes_max});
  undertaker_.set_on_gone([this, &context](const Session::Identity& identity, uint64_t bytes) {
    asio::post(context, [this, space = identity.space, bytes] { gone(space, bytes); });
  });
  forget_idle_soon();
}

Sessions::~Sessions() { undertaker_.set_on_gone(nullptr); }

int Sessions::find_space(const char* name) const {
  for (size_t i = 0; i < spaces_.size(); i++)
    if (spaces_[i].name == name) return int(i);
  return -1;
}

// One answer for "not there" and "not yours": names of namespaces are not for everybody.
Status Sessions::check_access(int space, const Peer& peer, const char* name) const {
  bool may = space >= 0;
  if (may) {
    const config::NamespaceConfig& config = config_.namespaces[size_t(space)];
    may = peer.foreign ? config.anyone
                       : config::may_connect(config, peer.uid, peer.groups, geteuid());
  }
  if (may) return {};
  return {EACCES, "namespace " + std::string(name) + " does not exist or uid " +
                      std::to_string(peer.uid) +
                      (peer.foreign ? " (which stands for users that have no number here)" : "") +
                      " may not use it: see [[namespace]] in the daemon's config"};
}

// Of the first try hang-ups may be behind in the queue; later ones wait for data threads.
bool Sessions::room_may_come(uint32_t tries) {
  sweep();
  return tries == 0 || ((!leaving_.empty() || buried_ > 0) && tries < tries_max);
}

uint64_t Sessions::arena_bytes_for(size_t space, uint64_t wanted) const {
  uint64_t bytes = wanted ? wanted : config_.session.arena_bytes;
  bytes = std::min(bytes, config_.session.arena_bytes_max);
  bytes = std::min(bytes, config_.namespaces[space].arenas_bytes_max);
  return std::max<uint64_t>(bytes / shm::arena_chunk_bytes, 1) * shm::arena_chunk_bytes;
}

uint64_t Sessions::fds_of(size_t space) const {
  return used_[space].use.fds + layouts_.used(config_.namespaces[space].name).fds;
}

bool Sessions::fds_fit(size_t space, uint64_t more, bool* ret_of_all) const {
  *ret_of_all = fds_of(space) + more <= config_.namespaces[space].fds_max;
  return *ret_of_all && session_fds_ + layouts_.used().fds + more <= config_.session.fds_max;
}

Status Sessions::no_fds(size_t space, bool of_all) {
  const config::NamespaceConfig& most = config_.namespaces[space];
  used_[space].use.fds_refused++;
  return full(ENFILE,
              "sessions and layouts of namespace " + most.name + " have " +
                  std::to_string(most.fds_max) + " descriptors at most, " +
                  std::to_string(fds_of(space)) +
                  " are in use: close some, or raise [[namespace]] fds_max",
              of_all, "fds_max");
}

Status Sessions::take_room(size_t space, uint64_t arena_bytes, uint32_t tries) {
  const config::NamespaceConfig& most = config_.namespaces[space];
  SpaceUse& use = used_[space].use;
  const bool all_sessions = open_.size() >= config_.session.sessions_max;
  if (use.sessions >= most.sessions_max || all_sessions) {
    if (room_may_come(tries)) return {EINPROGRESS, ""};
    use.sessions_refused++;
    return full(EUSERS,
                "namespace " + most.name + " has its " + std::to_string(most.sessions_max) +
                    " sessions: close one, or raise [[namespace]] sessions_max",
                use.sessions < most.sessions_max, "sessions_max");
  }
  const bool own_full = use.arenas_bytes + arena_bytes > most.arenas_bytes_max;
  if (own_full || arenas_bytes_ + arena_bytes > config_.session.arenas_bytes_max) {
    if (room_may_come(tries)) return {EINPROGRESS, ""};
    use.arenas_refused++;
    return full(ENOBUFS,
                "the arenas of namespace " + most.name + " have " +
                    std::to_string(most.arenas_bytes_max) + " bytes at most, " +
                    std::to_string(use.arenas_bytes) +
                    " are in use: ask for less, or raise [[namespace]] arenas_bytes_max",
                !own_full, "arenas_bytes_max");
  }
  bool of_all = false;
  if (!fds_fit(space, session_fds(), &of_all)) {
    if (room_may_come(tries)) return {EINPROGRESS, ""};
    return no_fds(space, of_all);
  }
  use.sessions++;
  use.arenas_bytes += arena_bytes;
  arenas_bytes_ += arena_bytes;
  use.fds += session_fds();
  session_fds_ += session_fds();
  return {};
}

// The memory and descriptors of a session that is gone.
void Sessions::give_back(size_t space, uint64_t arena_bytes) {
  SPECKV_ASSERT(arenas_bytes_ >= arena_bytes && session_fds_ >= session_fds(),
                "more memory or descriptors went than sessions had");
  used_[space].use.arenas_bytes -= arena_bytes;
  arenas_bytes_ -= arena_bytes;
  used_[space].use.fds -= session_fds();
  session_fds_ -= session_fds();
}

Result<std::shared_ptr<Session>> Sessions::open(const Peer& peer, const wire::Hello& hello,
                                                uint32_t tries) {
  const int found = find_space(hello.namespace_name);
  Status status = check_access(found, peer, hello.namespace_name);
  const auto space = size_t(std::max(found, 0));
  if (status.ok() && spaces_[space].gone)
    status = {ENODEV, "the memory of namespace " + spaces_[space].name +
                          " is gone (the device was removed, or its first part is poisoned): "
                          "restart speckvd when it is back"};
  const uint64_t arena = status.ok() ? arena_bytes_for(space, hello.arena_bytes) : 0;
  const bool known = status.ok();
  if (status.ok()) status = take_room(space, arena, tries);
  if (status.error() == EINPROGRESS) return status;
  const bool took = status.ok();
  LineBudget& lines = known ? used_[space].lines : strangers_;
  const std::string whose = known ? "namespace " + spaces_[space].name : "strangers";
  std::shared_ptr<Session> session;
  if (status.ok()) {
    const Session::Identity identity{next_id_++,
                                     peer.uid,
                                     peer.gid,
                                     peer.pid,
                                     uint32_t(space),
                                     ++used_[space].opened,
                                     (hello.features & wire::feature_near) != 0};
    auto made = Session::create(identity, medium_, uint32_t(threads_.size()), arena, &undertaker_);
    status = made.status();
    if (made.ok()) {
      session = made.value();
      if (spaces_[space].near && !identity.reads_near) spaces_[space].near_gate->close();
    } else {
      used_[space].use.sessions--;
      give_back(space, arena);
    }
  }
  for (size_t i = 0; status.ok() && i < threads_.size(); i++) {
    if (threads_[i]->add_session(session)) continue;
    status = {EAGAIN, "a data thread is busy and its mailbox full: try again"};
    used_[space].use.sessions--;
    leave(session);
  }
  if (!status.ok()) {
    refused_++;
    if (may_log(lines, whose))
      spdlog::warn("uid {} pid {} refused: {}", peer.uid, peer.pid, status.text());
    // What the machine lacks is the operator's to know; the log has it.
    if (known && !session && took)
      return Status(status.error(), "the daemon cannot make a session with an arena of " +
                                        std::to_string(arena >> 20) + " MiB now (" +
                                        std::strerror(status.error()) +
                                        "): ask for less, or ask its operator");
    return status;
  }
  opened_++;
  const Session::Identity& identity = session->identity();
  open_[identity.id] = session;
  if (may_log(lines, whose))
    spdlog::info("session {} opened: uid {} pid {} namespace {} arena {} MiB", identity.id,
                 peer.uid, peer.pid, spaces_[space].name, arena >> 20);
  return session;
}

Status Sessions::fill(Session& session, bool* ret_whole) {
  const Status status = session.populate_some(arena_step_bytes, ret_whole);
  if (status.ok()) return {};
  refused_++;
  const Session::Identity& identity = session.identity();
  if (may_log(used_[identity.space].lines, "namespace " + spaces_[identity.space].name))
    spdlog::warn("session {} pid {} refused: {}", identity.id, identity.pid, status.text());
  return {status.error(), "the daemon's memory went to others while it made your arena of " +
                              std::to_string(session.arena_bytes() >> 20) +
                              " MiB: ask for less, or ask its operator"};
}

void Sessions::close(const std::shared_ptr<Session>& session) {
  const Session::Identity& identity = session->identity();
  if (open_.erase(identity.id) == 0) return;
  Space& space = used_[identity.space];
  space.use.sessions--;
  closed_++;
  if (may_log(space.lines, "namespace " + spaces_[identity.space].name))
    spdlog::info("session {} closed", identity.id);
  leave(session);
}

bool Sessions::may_see_index(const Session& session) {
  const Namespace& space = spaces_[session.identity().space];
  if (!space.near || session.identity().reads_near) return true;
  if (space.near_gate->is_closed(space.shards)) return true;
  for (auto& thread : threads_) thread->wake();
  return false;
}

void Sessions::leave(std::shared_ptr<Session> session) {
  session->end();
  const Session::Identity& identity = session->identity();
  if (spaces_[identity.space].near && !identity.reads_near)
    spaces_[identity.space].near_gate->open();
  for (auto& thread : threads_) thread->session_ended();
  leaving_.push_back(std::move(session));
  sweep();
}

// Of sessions that no data thread knows any more layouts go back here, and memory where the
// undertaker empties it.
void Sessions::sweep() {
  for (size_t i = 0; i < leaving_.size();) {
    if (leaving_[i].use_count() > 1) {
      i++;
      continue;
    }
    // use_count() orders nothing: what those threads last read of layouts was before they let go
    std::atomic_thread_fence(std::memory_order_acquire);
    const Session& session = *leaving_[i];
    for (uint32_t number = 0; number < session_layouts_max; number++)
      if (const Layout* layout = session.layout(number).layout)
        layouts_.release(layout, monotonic_ns());
    buried_++;
    std::swap(leaving_[i], leaving_.back());
    leaving_.pop_back();
  }
  if (!leaving_.empty()) sweep_soon();
}

void Sessions::gone(size_t space, uint64_t arena_bytes) {
  SPECKV_ASSERT(buried_ > 0, "a session went twice");
  buried_--;
  give_back(space, arena_bytes);
}

void Sessions::sweep_soon() {
  if (sweeping_) return;
  sweeping_ = true;
  sweep_.expires_after(sweep_every);
  sweep_.async_wait([this](boost::system::error_code stopped) {
    if (stopped) return;
    sweeping_ = false;
    sweep();
  });
}

void Sessions::forget_idle_soon() {
  idle_.expires_after(idle_every);
  idle_.async_wait([this](boost::system::error_code stopped) {
    if (stopped) return;
    layouts_.forget_idle(monotonic_ns());
    forget_idle_soon();
  });
}

Result<Sessions::Registered> Sessions::register_layout(Session& session, const speckv_layout& desc,
                                                       uint32_t tries) {
  const size_t space = session.identity().space;
  const config::NamespaceConfig& config = config_.namespaces[space];
  uint32_t count = 0;
  while (count < session_layouts_max && session.layout(count).layout) count++;
  const Layout* known = layouts_.find(desc, config.preset_id, config.name);
  const Widths* widths = known ? &known->widths->current() : nullptr;
  for (uint32_t number = 0; known && number < count; number++) {
    const Session::Registered there = session.layout(number);
    if (there.layout == known && there.widths == widths) return Registered{known, widths, number};
  }
  if (count == session_layouts_max)
    return Status(EMFILE, "this session has 64 layouts, its limit: open another session");
  bool of_all = false;
  if (!known && !fds_fit(space, 1, &of_all)) {
    if (room_may_come(tries)) return Status(EINPROGRESS, "");
    return no_fds(space, of_all);
  }
  const auto added = layouts_.add(desc, config.preset_id, config.name);
  if (!added.ok()) {
    const int error = added.status().error();
    const bool full = error == EXFULL || error == ENOSR;
    if (full && room_may_come(tries)) return Status(EINPROGRESS, "");
    used_[space].use.layouts_refused += full;
    return added.status();
  }
  layouts_.retain(added.value());
  if (const Status fits = fits_space(*added.value(), spaces_[space]); !fits.ok()) {
    layouts_.release(added.value(), monotonic_ns());
    return fits;
  }
  widths = &added.value()->widths->current();
  const int number = session.add_layout(added.value(), widths);
  if (number < 0) return Status(-number, "this session has 64 layouts, its limit");
  return Registered{added.value(), widths, uint32_t(number)};
}

std::vector<std::shared_ptr<Session>> Sessions::all() const {
  std::vector<std::shared_ptr<Session>> all;
  for (const auto& [id, session] : open_) all.push_back(session);
  return all;
}

SpaceUse Sessions::use(size_t space) const {
  SpaceUse use = used_[space].use;
  use.layouts = layouts_.used(config_.namespaces[space].name);
  use.fds = fds_of(space);
  use.lines_left_out = used_[space].lines.left_out_total();
  return use;
}

bool Sessions::may_log(LineBudget& lines, const std::string& whose) {
  const uint64_t now = monotonic_ns();
  if (!lines.take(now) || !all_lines_.take(now)) return false;
  if (const uint64_t count = lines.take_left_out())
    spdlog::warn("{}: {} lines were left out, they came too fast", whose, count);
  return true;
}

bool Sessions::may_log() { return may_log(strangers_, "strangers"); }

uint64_t Sessions::lines_left_out() const {
  uint64_t sum = strangers_.left_out_total() + all_lines_.left_out_total();
  for (const Space& space : used_) sum += space.lines.left_out_total();
  return sum;
}

}  // namespace speckv
