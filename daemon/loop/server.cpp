// SPDX-License-Identifier: Apache-2.0
// server.cpp - see server.hpp. Whose turn it is: serve_next(). What an entry means: serve().
#include "loop/server.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "assert.hpp"
#include "shm/atomics.hpp"
#include "speckv/speckv.h"

namespace speckv {

Server::Server(uint32_t shard, std::vector<Space> spaces, Io& io, Engine& engine)
    : shard_(shard), io_(io), engine_(engine) {
  completed_.reserve(engine.jobs_max());
  engine.attach(io);
  to_tell_.reserve(puts_max);
  fetched_.reserve(fetches_collected_max);
  for (Space& space : spaces) {
    space.shard->attach(io);
    tenants_.emplace_back(std::move(space));
  }
}

// The records are ours: nobody may work on them any more.
Server::~Server() { engine_.stop(); }

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
  engine_.turn(now_ns);
  for (Tenant& tenant : tenants_) tenant.space.shard->near_turn(now_ns);
  const bool some_were_encoded = collect();
  const bool some_came = collect_fetched() || some_were_encoded;
  for (Tenant& tenant : tenants_) serve_set_aside(tenant);
  tell_answered();
  int64_t cost = 0;
  while (cost < turn_cost_max) {
    const int64_t more = serve_next();
    if (more == 0) break;
    cost += more;
  }
  tick();
  serve_near();
  for (Tenant& tenant : tenants_) progress_ += tenant.space.shard->spill_turn(now_ns);
  tell_answered();
  return some_came || cost > 0;
}

// The next namespace that can do a step and is not in debt; where all of them are, as many rounds
// pass as the first of them needs. Returns: the cost of what was served, 0: nobody can.
int64_t Server::serve_next() {
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
      if (tenant.share.credit > 0) {
        const int64_t cost = serve_tenant(tenant);
        tenant.share.credit -= cost;
        if (cost && tenant.share.credit > 0) next_ = number;  // it goes on
        if (cost) return cost;
      } else if (can_step(tenant)) {
        least_debt = std::min(least_debt, -tenant.share.credit);
      }
    }
    if (least_debt == std::numeric_limits<int64_t>::max()) return 0;
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
      if (!can_step(client)) continue;
      client.share.earn(tenant.round, session_quantum);
      if (client.share.credit <= 0) {
        least_debt = std::min(least_debt, -client.share.credit);
        continue;
      }
      if (const int64_t cost = serve_client(tenant, client)) return cost;
    }
    if (least_debt == std::numeric_limits<int64_t>::max()) return 0;
    tenant.round += uint64_t(least_debt / session_quantum) + 1;
  }
  return 0;
}

// Until its credit is used up, or its next step cannot be done yet.
int64_t Server::serve_client(Tenant& tenant, Client& client) {
  int64_t total = 0;
  while (client.share.credit > total && can_step(client)) {
    const int64_t cost = step(tenant, client);
    if (cost == 0) client.blocked_at = progress_;
    total += cost;
  }
  client.share.credit -= total;
  if (client.session->take_posted(shard_)) tell(client);
  return total;
}

bool Server::can_step(const Client& client) const {
  return client.blocked_at != progress_ &&
         (client.first || client.session->has_submissions(shard_));
}

// The next layer of its oldest put that has one to start, or its next entry. Returns: its cost; 0:
// it could not be done.
int64_t Server::step(Tenant& tenant, Client& client) {
  if (!client.first) return serve_entry(tenant, client);
  Put& put = *client.first;
  Shard& shard = *tenant.space.shard;
  if (!shard.has_job_to_start(put)) {  // all that it may have in the engine are there
    client.first = std::exchange(put.next, nullptr);
    return 1;
  }
  const auto cost = int64_t(put.layout->segment_raw_bytes);
  if (!shard.start_next(put, now_ns_)) return 0;
  moved_ns_ = now_ns_;
  if (!shard.has_job_to_start(put)) client.first = std::exchange(put.next, nullptr);
  if (engine_.wake_fd() < 0) collect();
  return cost;
}

// A tail that lies costs an entry too.
int64_t Server::serve_entry(Tenant& tenant, Client& client) {
  Session& session = *client.session;
  shm::Submission submission;
  if (!session.look(shard_, &submission)) return entry_cost;
  uint32_t flags = 0;
  Put* put = nullptr;
  const int result = serve(tenant, client, submission, &flags, &put);
  if (result == -EAGAIN && !set_aside(tenant, client, submission)) return 0;
  session.take(shard_);
  counters_.submissions.fetch_add(1, std::memory_order_relaxed);
  if (result == -EAGAIN) return entry_cost;
  if (put) {
    client.first = put;  // it was empty
    return entry_cost;
  }
  if (result == -EBADF || result == -EINVAL || result == -ERANGE)
    counters_.rejected.fetch_add(1, std::memory_order_relaxed);
  if (result == -EINPROGRESS) flags |= shm::completion_on_its_way;
  session.complete(shard_, {submission.user_data, result, flags});
  return entry_cost;
}

void Server::tell(Client& client) {
  client.unsignalled = io_.signal(client.session->event_fd()) != 0;
  if (client.unsignalled) counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
}

bool Server::can_step(const Tenant& tenant) const {
  for (const auto& client : tenant.clients)
    if (can_step(*client)) return true;
  return false;
}

bool Server::has_work() const {
  for (const Tenant& tenant : tenants_)
    if (can_step(tenant) || tenant.space.shard->spill_has_work() ||
        (near_blocked_at_ != progress_ && tenant.space.shard->has_near_job()))
      return true;
  return false;
}

size_t Server::under_way() const {
  size_t count = 0;
  for (const Tenant& tenant : tenants_)
    count += tenant.space.shard->under_way().size() + !tenant.space.shard->spill_quiet();
  return count;
}

// ---- what the engine gives back ----------------------------------------------------------------

// Returns: whether there was something.
bool Server::collect() {
  completed_.clear();
  engine_.reap(&completed_);
  if (completed_.empty()) return false;
  progress_++;
  moved_ns_ = now_ns_;
  for (EncodeJob* job : completed_) {
    Put* put = nullptr;
    Shard* shard = nullptr;
    for (Tenant& tenant : tenants_)
      if (tenant.space.shard->completed(job, now_ns_, &put)) {
        shard = tenant.space.shard.get();
        break;
      }
    if (!shard) {  // it gave that back before, or never had it
      counters_.engine_mistaken.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (!put) continue;  // near memory's
    if (shard->is_over(*put)) settle(*shard);
    else want_step(*shard, *put);
  }
  return true;
}

// A put that has jobs to start again stands in its client's list, once.
void Server::want_step(Shard& shard, Put& put) {
  auto* client = static_cast<Client*>(put.asker);
  if (!client || !shard.has_job_to_start(put)) return;
  for (Put* each = client->first; each; each = each->next)
    if (each == &put) return;
  put.next = std::exchange(client->first, &put);
}

void Server::leave_list(Put& put) {
  auto* client = static_cast<Client*>(put.asker);
  for (Put** link = client ? &client->first : nullptr; link && *link; link = &(*link)->next)
    if (*link == &put) {
      *link = std::exchange(put.next, nullptr);
      return;
    }
}

// Ends every put of which nothing is in the engine and nothing is left to do.
void Server::settle(Shard& shard) {
  for (size_t i = shard.under_way().size(); i-- > 0;) {
    Put& put = *shard.under_way()[i];
    if (!shard.is_over(put)) continue;
    leave_list(put);
    answer(put, shard.finish(put, now_ns_));
    shard.free_record(put);
    progress_++;
  }
}

void Server::answer(Put& put, int result) {
  auto* client = static_cast<Client*>(put.asker);
  if (!client || put.answered) return;
  put.answered = true;
  const bool newer = put.widths != &put.layout->widths->current();
  client->session->complete(shard_, {put.submission.user_data, result,
                                     newer ? uint32_t(shm::completion_new_widths) : 0u});
  if (to_tell_.size() == to_tell_.capacity()) tell_answered();
  to_tell_.push_back(client);
}

void Server::tell_answered() {
  for (Client* client : to_tell_)
    if (client->session->take_posted(shard_)) tell(*client);
  to_tell_.clear();
}

// An engine that does not answer has their slots for as long as it likes, and they stay in
// quarantine; who asked has waited long enough.
void Server::fail_overdue(Shard& shard, bool was_away) {
  const auto passed = [this](uint64_t since_ns) {
    return now_ns_ > since_ns && now_ns_ - since_ns > put_deadline_ns;
  };
  for (Put* put : shard.under_way()) {
    if (was_away) put->progress_ns = now_ns_;  // it had no chance to be looked at
    const bool its_job = put->jobs_in_engine && passed(put->progress_ns);
    const bool stuck = put->engine_was_full && passed(moved_ns_);
    if (put->answered || (!its_job && !stuck)) continue;
    leave_list(*put);
    shard.fail(*put, -EIO);
    answer(*put, -EIO);
    shard.count_overdue();
    progress_++;
  }
  settle(shard);
}

void Server::set_sleeping(bool sleeping) {
  for (Tenant& tenant : tenants_)
    shm::store_relaxed(tenant.space.index->shard_sleeping[shard_], sleeping);
}

// ---- what an entry means -----------------------------------------------------------------------

namespace {

// A bit that has no meaning, or none for this operation, is refused, so that it can be given one.
bool means_something(const shm::Submission& submission) {
  const auto op = shm::Op(submission.op);
  for (uint8_t byte : submission.reserved)
    if (byte) return false;
  if (submission.flags || submission.kind > SPECKV_KIND_SCRATCH) return false;
  if (submission.kind && op != shm::Op::put && op != shm::Op::hint) return false;
  if (submission.returns_ns && op != shm::Op::hint) return false;
  return submission.budget == 0 || op == shm::Op::prefetch || op == shm::Op::load;
}

}  // namespace

int Server::serve(Tenant& tenant, Client& client, shm::Submission submission, uint32_t* ret_flags,
                  Put** ret_put) {
  if (!means_something(submission)) return -EINVAL;
  Shard& shard = *tenant.space.shard;
  const Session& session = *client.session;
  const Asker asker{session.identity().id, session.identity().uid};
  const auto op = shm::Op(submission.op);
  if (op == shm::Op::unhold) return shard.unhold(submission.hold, asker);
  if (op == shm::Op::adopt) return shard.adopt(submission.hold, asker);
  if (op == shm::Op::retain_end) return shard.retain_end(submission.hold, asker);
  if (op == shm::Op::fetch_end) return serve_fetch_end(tenant, client, submission.hold);

  const Session::Registered registered = session.layout(submission.layout);
  if (!registered.layout) return -EBADF;
  submission.key = masked(submission.key, registered.layout->mask);
  submission.parent = masked_parent(submission.parent, registered.layout->mask);
  const bool tells = op == shm::Op::touch || op == shm::Op::hint;
  if (!tells && shard.is_under_way(submission.key)) return -EAGAIN;
  return serve_key(tenant, client, submission, registered, ret_flags, ret_put);
}

// Its key and its parent's are those of blocks, and no put of it is under way.
int Server::serve_key(Tenant& tenant, Client& client, const shm::Submission& submission,
                      const Session::Registered& registered, uint32_t* ret_flags, Put** ret_put) {
  Shard& shard = *tenant.space.shard;
  const Asker asker{client.session->identity().id, client.session->identity().uid};
  switch (shm::Op(submission.op)) {
    case shm::Op::put:
      return serve_put(tenant, client, submission, registered, ret_flags, ret_put);
    case shm::Op::remove:
      return shard.remove(submission.key, *registered.layout);
    case shm::Op::hold:
      return serve_hold(tenant, client, submission, *registered.layout);
    case shm::Op::touch:
      shard.touch_key(submission.key, *registered.layout, now_ns_);
      return 0;
    case shm::Op::hint:
      shard.counters().hints.fetch_add(1, std::memory_order_relaxed);
      shard.hint(submission.key, *registered.layout, submission.kind, submission.returns_ns);
      return 0;
    case shm::Op::prefetch:
    case shm::Op::load:
      return serve_fetch(tenant, client, submission, *registered.layout);
    case shm::Op::locate:
      return locate(shard, submission.key, *registered.layout);
    case shm::Op::retain:
      return shard.retain(submission, *registered.layout, asker, now_ns_);
    case shm::Op::demote:
      return shard.demote(submission.key, *registered.layout);
    default:
      return -EINVAL;
  }
}

int Server::serve_put(Tenant& tenant, Client& client, const shm::Submission& submission,
                      const Session::Registered& registered, uint32_t* ret_flags, Put** ret_put) {
  Shard& shard = *tenant.space.shard;
  Session& session = *client.session;
  const auto [layout, widths] = registered;
  if (shard.is_being_removed(submission.key)) return -EAGAIN;
  const std::span<const std::byte> arena =
      session.arena(submission.arena_offset, layout->block_bytes);
  if (arena.empty()) return -ERANGE;
  session.drain_touches(shard_, [&](uint32_t block) { touched(tenant, client, block); });
  const int result =
      shard.take_up({submission, layout, widths, arena, client.session, &client}, now_ns_, ret_put);
  if (result == 0 && !*ret_put) *ret_flags |= shm::completion_existed;
  if (widths != &layout->widths->current()) *ret_flags |= shm::completion_new_widths;
  return result;
}

void Server::tick() {
  if (now_ns_ - ticked_ns_ < tick_ns) return;
  const bool was_away = now_ns_ - ticked_ns_ > away_ns;
  if (was_away) moved_ns_ = now_ns_;
  ticked_ns_ = now_ns_;
  progress_++;  // what could not be done is tried again, whatever was in the way
  for (Tenant& tenant : tenants_) {
    Shard& shard = *tenant.space.shard;
    for (auto& client : tenant.clients) {
      client->session->drain_touches(shard_,
                                     [&](uint32_t block) { touched(tenant, *client, block); });
      if (!client->doorbell.under_way) watch(*client);
      if (client->unsignalled) tell(*client);
    }
    fail_overdue(shard, was_away);
    end_late_fetches(tenant);
    shard.tick(now_ns_);
  }
  for (auto& client : leaving_)  // a cancel that found no room is asked for again
    if (io_.cancel(&client->doorbell) != 0)
      counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace speckv
