// SPDX-License-Identifier: Apache-2.0
// server_clients.cpp - who is there: sessions come and go, and what of them waits outside of their
// rings.
//
// An entry that waits for the tier below (a hold of what lies there, a removal until it is marked)
// is set aside, so that what is behind it in its client's ring goes on. It is tried again when
// something has moved, in the order in which it came; a put of a key that is being removed waits in
// its ring, so that the removal means what was there before it.
#include <algorithm>
#include <utility>

#include "assert.hpp"
#include "loop/server.hpp"

namespace speckv {

// ---- who is there ------------------------------------------------------------------------------

void Server::admit(std::shared_ptr<Session> session) {
  if (session->ended()) return;
  SPECKV_ASSERT(session->identity().space < tenants_.size(), "a session of no namespace came");
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

// Of its puts those end at once that the engine does not work on; the others keep the session's
// memory until it has ended. What stays in any case is the record of the poll, until the kernel has
// ended that.
void Server::let_go(std::unique_ptr<Client> client) {
  SPECKV_ASSERT(client && client->session, "a session was let go twice");
  Tenant& tenant = tenants_[client->session->identity().space];
  Shard& shard = *tenant.space.shard;
  drop_fetches_of(tenant, *client);
  forget_set_aside(tenant, *client);
  for (Put* put : shard.under_way()) {
    if (put->asker != client.get()) continue;
    put->asker = nullptr;
    put->next = nullptr;
    shard.fail(*put, -ECANCELED);
  }
  settle(shard);
  tell_answered();
  client->session.reset();
  if (!client->doorbell.under_way) return;
  if (io_.cancel(&client->doorbell) != 0)
    counters_.io_failed.fetch_add(1, std::memory_order_relaxed);
  leaving_.push_back(std::move(client));
}

void Server::completed(Operation* operation) {
  if (engine_.completed(operation)) return;
  for (Tenant& tenant : tenants_)
    if (tenant.space.shard->spill_completed(operation, now_ns_)) {
      progress_++;
      return;
    }
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
  SPECKV_ASSERT(space < tenants_.size(), "memory of no namespace was lost");
  tenants_[space].space.shard->lose(range.offset, range.bytes);
  settle(*tenants_[space].space.shard);
  tell_answered();
}

size_t Server::sessions() const {
  size_t count = 0;
  for (const Tenant& tenant : tenants_) count += tenant.clients.size();
  return count;
}

const ShardCounters& Server::shard_counters(uint32_t space) const {
  return tenants_[space].space.shard->counters();
}

// ---- what waits --------------------------------------------------------------------------------

// Returns: whether it may leave its ring.
bool Server::set_aside(Tenant& tenant, Client& client, const shm::Submission& submission) {
  const auto op = shm::Op(submission.op);
  if (op != shm::Op::hold && op != shm::Op::remove) return false;
  if (!tenant.space.shard->spill() || tenant.set_aside.size() == set_aside_max) return false;
  const Session::Registered registered = client.session->layout(submission.layout);
  if (tenant.space.shard->is_under_way(masked(submission.key, registered.layout->mask)))
    return false;
  tenant.set_aside.push_back({&client, submission});
  return true;
}

// Its removals end here, those in its ring too: puts of their keys need not wait for them.
void Server::forget_set_aside(Tenant& tenant, Client& client) {
  const auto forget = [&](const shm::Submission& submission) {
    const Layout* layout = client.session->layout(submission.layout).layout;
    if (layout && shm::Op(submission.op) == shm::Op::remove)
      tenant.space.shard->forget_removal(masked(submission.key, layout->mask));
  };
  std::erase_if(tenant.set_aside, [&](const SetAside& waiting) {
    if (waiting.client == &client) forget(waiting.submission);
    return waiting.client == &client;
  });
  shm::Submission first;
  if (client.session->has_submissions(shard_) && client.session->look(shard_, &first))
    forget(first);
}

void Server::serve_set_aside(Tenant& tenant) {
  if (tenant.set_aside.empty() || tenant.tried_at == progress_) return;
  tenant.tried_at = progress_;
  std::erase_if(tenant.set_aside, [&](const SetAside& waiting) {
    uint32_t flags = 0;
    Put* put = nullptr;
    const int result = serve(tenant, *waiting.client, waiting.submission, &flags, &put);
    if (result == -EAGAIN) return false;
    waiting.client->session->complete(shard_, {waiting.submission.user_data, result, flags});
    if (to_tell_.size() == to_tell_.capacity()) tell_answered();
    to_tell_.push_back(waiting.client);
    return true;
  });
}

}  // namespace speckv
