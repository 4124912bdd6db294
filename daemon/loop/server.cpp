// SPDX-License-Identifier: Apache-2.0
// server.cpp - see server.hpp. Whose turn it is: serve_next(). What an entry means: serve().
#include "loop/server.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "shm/atomics.hpp"

namespace speckv {

Server::Server(uint32_t shard, std::vector<Space> spaces, Io& io) : shard_(shard), io_(io) {
  for (Space& space : spaces) {
    tenants_.emplace_back();
    tenants_.back().space = std::move(space);
  }
}

Server::~Server() = default;

void Server::Share::earn(uint64_t now_round, int64_t quantum) {
  const uint64_t passed = now_round - round;
  round = now_round;
  if (credit >= quantum || passed == 0) return;
  const uint64_t wanted = uint64_t(quantum - credit) / uint64_t(quantum) + 1;
  credit = passed >= wanted ? quantum : std::min(quantum, credit + int64_t(passed) * quantum);
}

// ---- who is served -----------------------------------------------------------------------------

bool Server::turn(uint64_t now_ns) {
  now_ns_ = now_ns;
  int64_t cost = 0;
  while (cost < turn_cost_max) {
    const int64_t more = serve_next(true);
    if (more == 0) break;
    cost += more;
  }
  tick();
  return cost > 0;
}

// Whoever is served here may have a large block too: as deep as there are namespaces. It ends when
// the round has come to the running one again and given it enough.
void Server::between_segments(int64_t raw_bytes) {
  if (!running_) return;
  running_->share.credit -= raw_bytes;
  running_->charged += raw_bytes;
  if (running_->share.credit > 0) return;
  while (serve_next(false)) {
  }
}

// The next namespace that asks and is not in debt; where all that ask are, as many rounds pass as
// the first of them needs. Within a block the round stops at its namespace. Returns: the cost of
// what was served, 0: nobody asks, or may.
int64_t Server::serve_next(bool may_write_off) {
  for (int look = 0; look < 2; look++) {
    int64_t least_debt = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i <= tenants_.size(); i++) {
      if (next_ >= tenants_.size()) {
        next_ = 0;
        round_++;
      }
      const size_t number = next_++;
      Tenant& tenant = tenants_[number];
      tenant.share.earn(round_, space_quantum);
      if (&tenant == running_ && tenant.share.credit > 0) {
        next_ = number;
        return 0;
      }
      if (tenant.busy) continue;
      if (tenant.share.credit > 0) {
        const int64_t cost = serve_tenant(tenant);
        tenant.share.credit -= cost - std::exchange(tenant.charged, 0);
        if (cost && tenant.share.credit > 0) next_ = number;  // it goes on
        if (cost) return cost;
      } else if (asks(tenant)) {
        least_debt = std::min(least_debt, -tenant.share.credit);
      }
    }
    if (least_debt == std::numeric_limits<int64_t>::max() || !may_write_off) return 0;
    round_ += uint64_t(least_debt / space_quantum) + 1;
  }
  return 0;
}

// The same among the sessions of one namespace.
int64_t Server::serve_tenant(Tenant& tenant) {
  for (int look = 0; look < 2; look++) {
    int64_t least_debt = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i <= tenant.clients.size() && !tenant.clients.empty(); i++) {
      if (tenant.next >= tenant.clients.size()) {
        tenant.next = 0;
        tenant.round++;
      }
      Client& client = *tenant.clients[tenant.next++];
      if (!asks(client)) continue;
      client.share.earn(tenant.round, session_quantum);
      if (client.share.credit > 0) {
        Tenant* const interrupted = std::exchange(running_, &tenant);
        tenant.busy = true;
        const int64_t cost = serve_client(tenant, client);
        tenant.busy = false;
        running_ = interrupted;
        return cost;
      }
      least_debt = std::min(least_debt, -client.share.credit);
    }
    if (least_debt == std::numeric_limits<int64_t>::max()) return 0;
    tenant.round += uint64_t(least_debt / session_quantum) + 1;
  }
  return 0;
}

// Until its credit is used up; a tail that lies costs an entry too.
int64_t Server::serve_client(Tenant& tenant, Client& client) {
  Session& session = *client.session;
  int64_t total = 0;
  shm::Submission submission;
  while (client.share.credit > total && session.take(shard_, &submission)) {
    counters_.submissions.fetch_add(1, std::memory_order_relaxed);
    uint32_t flags = 0;
    int64_t cost = entry_cost;
    const int result = serve(*tenant.space.shard, session, submission, &flags, &cost);
    if (result == -EBADF || result == -EINVAL || result == -ERANGE)
      counters_.rejected.fetch_add(1, std::memory_order_relaxed);
    session.complete(shard_, {submission.user_data, result, flags});
    total += cost;
  }
  total = std::max(total, entry_cost);
  client.share.credit -= total;
  if (session.take_posted(shard_)) tell(client);
  return total;
}

void Server::tell(Client& client) {
  client.unsignalled = io_.signal(client.session->event_fd()) != 0;
  if (client.unsignalled) counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
}

bool Server::asks(const Tenant& tenant) const {
  for (const auto& client : tenant.clients)
    if (asks(*client)) return true;
  return false;
}

bool Server::has_work() const {
  for (const Tenant& tenant : tenants_)
    if (asks(tenant)) return true;
  return false;
}

void Server::set_sleeping(bool sleeping) {
  for (Tenant& tenant : tenants_)
    shm::store_relaxed(tenant.space.index->shard_sleeping[shard_], sleeping);
}

// ---- what an entry means -----------------------------------------------------------------------

int Server::serve(Shard& shard, Session& session, shm::Submission submission, uint32_t* ret_flags,
                  int64_t* ret_cost) {
  // A bit that has no meaning yet is refused, so that it can be given one.
  if (submission.flags || submission.reserved[0] || submission.reserved[1] ||
      submission.reserved[2])
    return -EINVAL;
  const Asker asker{session.identity().id, session.identity().uid};
  const auto op = shm::Op(submission.op);
  if (op == shm::Op::unhold) return shard.unhold(submission.hold, asker);
  if (op == shm::Op::adopt) return shard.adopt(submission.hold, asker);

  const Session::Registered registered = session.layout(submission.layout);
  if (!registered.layout) return -EBADF;
  submission.key = masked(submission.key, registered.layout->mask);
  submission.parent = masked_parent(submission.parent, registered.layout->mask);
  switch (op) {
    case shm::Op::put:
      return serve_put(shard, session, submission, registered, ret_flags, ret_cost);
    case shm::Op::remove:
      return shard.remove(submission.key, *registered.layout);
    case shm::Op::hold:
      return shard.hold(submission, *registered.layout, asker, now_ns_);
    case shm::Op::touch:
      shard.touch_key(submission.key, *registered.layout, now_ns_);
      return 0;
    default:
      return -EINVAL;
  }
}

int Server::serve_put(Shard& shard, Session& session, const shm::Submission& submission,
                      const Session::Registered& registered, uint32_t* ret_flags,
                      int64_t* ret_cost) {
  const auto [layout, widths] = registered;
  const std::span<const std::byte> arena =
      session.arena(submission.arena_offset, layout->block_bytes);
  if (arena.empty()) return -ERANGE;
  session.drain_touches(shard_, [&](uint32_t block) { shard.touch(block, now_ns_); });
  bool existed = false;
  const int result = shard.put(submission, *layout, *widths, arena, now_ns_, &existed);
  if (existed) *ret_flags |= shm::completion_existed;
  else *ret_cost += int64_t(layout->block_bytes);
  if (widths != &layout->widths->current()) *ret_flags |= shm::completion_new_widths;
  return result;
}

void Server::tick() {
  if (now_ns_ - ticked_ns_ < tick_ns) return;
  ticked_ns_ = now_ns_;
  for (Tenant& tenant : tenants_) {
    Shard& shard = *tenant.space.shard;
    for (auto& client : tenant.clients) {
      client->session->drain_touches(shard_, [&](uint32_t block) { shard.touch(block, now_ns_); });
      if (!client->doorbell.under_way) watch(*client);
      if (client->unsignalled) tell(*client);
    }
    shard.tick(now_ns_);
  }
  for (auto& client : leaving_)  // a cancel that found no room is asked for again
    if (io_.cancel(&client->doorbell) != 0)
      counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
}

// ---- who is there ------------------------------------------------------------------------------

void Server::admit(std::shared_ptr<Session> session) {
  if (session->ended()) return;
  Tenant& tenant = tenants_[session->identity().space];
  tenant.clients.push_back(std::make_unique<Client>());
  Client& client = *tenant.clients.back();
  client.session = std::move(session);
  watch(client);
  rebuild_guards(tenant);
}

// The doorbell is polled and never read: its counter is the client's too, who could take it away or
// keep us waiting for it. A poll that cannot be had is asked for again at the next tick; until then
// the client's entries are found by the loop's own turning.
void Server::watch(Client& client) {
  if (io_.poll(&client.doorbell, client.session->doorbell(shard_)) != 0)
    counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
}

void Server::dismiss_ended() {
  for (Tenant& tenant : tenants_) {
    bool some = false;
    for (auto& client : tenant.clients) {
      if (!client->session->ended()) continue;
      some = true;
      tenant.space.shard->session_ended(client->session->identity().id);
      let_go(std::exchange(client, nullptr));
    }
    if (!some) continue;
    std::erase(tenant.clients, nullptr);
    rebuild_guards(tenant);
  }
}

// The session goes at once. What stays is the record of the poll, until the kernel has ended it.
void Server::let_go(std::unique_ptr<Client> client) {
  client->session.reset();
  if (!client->doorbell.under_way) return;
  if (io_.cancel(&client->doorbell) != 0)
    counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
  leaving_.push_back(std::move(client));
}

void Server::completed(Operation* operation) {
  const auto failed = operation->result < 0 && operation->result != -ECANCELED;
  if (failed) counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
  if (operation->under_way) return;
  const auto gone = std::find_if(leaving_.begin(), leaving_.end(), [operation](const auto& client) {
    return &client->doorbell == operation;
  });
  if (gone != leaving_.end()) {
    leaving_.erase(gone);
    return;
  }
  if (failed) return;              // the tick tries again
  for (Tenant& tenant : tenants_)  // a poll that ran out of room for its completions
    for (auto& client : tenant.clients)
      if (&client->doorbell == operation) watch(*client);
}

void Server::rebuild_guards(Tenant& tenant) {
  std::vector<const shm::GuardSlot*> guards;
  for (auto& client : tenant.clients)
    if (client) guards.push_back(client->session->guards());
  tenant.space.shard->set_guards(std::move(guards));
}

void Server::lose(uint32_t space, const LostRange& range) {
  tenants_[space].space.shard->lose(range.offset, range.bytes);
}

size_t Server::sessions() const {
  size_t count = 0;
  for (const Tenant& tenant : tenants_) count += tenant.clients.size();
  return count;
}

const ShardCounters& Server::shard_counters(uint32_t space) const {
  return tenants_[space].space.shard->counters();
}

}  // namespace speckv
