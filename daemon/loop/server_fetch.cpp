// SPDX-License-Identifier: Apache-2.0
// server_fetch.cpp - what a server does with prefetches and loads: asks the shard, keeps who waits,
// and answers when it is true.
//
// An entry whose block is on its way is answered twice: at once, and when its fetch has ended, is
// late, or is not wanted any more. What limits a namespace: keys on their way, and the bytes a
// second of its prefetches; loads are limited by the first alone, since somebody waits for them.
#include <algorithm>
#include <cerrno>

#include "loop/server.hpp"

namespace speckv {

namespace {

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

// One that ended, or was never on its way.
void count_outcome(ShardCounters& counters, int result) {
  switch (result) {
    case 0:
      return count(counters.fetch_ready);
    case -ENOENT:
      return count(counters.fetch_missing);
    case -ENOSPC:
      return count(counters.fetch_clipped);
    case -ECANCELED:
      return count(counters.fetch_cancelled);
    case -EDQUOT:
      count(counters.fetch_over_limit);
      [[fallthrough]];
    default:
      return count(counters.fetch_rejected);
  }
}

int result_of(Fetch outcome) {
  switch (outcome) {
    case Fetch::ready:
      return 0;
    case Fetch::on_its_way:
      return -EINPROGRESS;
    case Fetch::clipped:
      return -ENOSPC;
    case Fetch::missing:
      return -ENOENT;
    default:
      return -EIO;  // the tier below does not answer
  }
}

}  // namespace

int Server::serve_hold(Tenant& tenant, Client& client, const shm::Submission& submission,
                       const Layout& layout) {
  const Asker asker{client.session->identity().id, client.session->identity().uid};
  Shard& shard = *tenant.space.shard;
  const int result = shard.hold(submission, layout, asker, now_ns_);
  if (result == -EAGAIN) announce_holds(shard, client, submission.layout, layout);
  return result;
}

// While the first hold of a chain waits for the tier below, those behind it in the ring say what
// will be asked for next. Each entry is told of once; what it says is tried when its turn has come.
void Server::announce_holds(Shard& shard, Client& client, uint32_t layout_number,
                            const Layout& layout) {
  const uint32_t head = client.session->taken(shard_);
  uint32_t ahead = std::max<int32_t>(int32_t(client.announced - head), 1);
  shm::Submission next;
  for (; ahead <= announced_max && client.session->look_ahead(shard_, ahead, &next); ahead++)
    if (shm::Op(next.op) == shm::Op::hold && next.layout == layout_number)
      shard.announce(masked(next.key, layout.mask));
  client.announced = head + ahead;
}

int Server::serve_fetch(Tenant& tenant, Client& client, const shm::Submission& submission,
                        const Layout& layout) {
  if (submission.hold == 0 || submission.budget == 0) return -EINVAL;
  ShardCounters& counters = tenant.space.shard->counters();
  count(counters.fetch_keys);
  int result = -ETIMEDOUT;
  if (submission.arg > now_ns_) {
    Prefetches::Group* group = tenant.wants.group(&client, submission.hold, submission.budget);
    result = group ? fetch(tenant, *group, submission, layout) : -EDQUOT;
    if (group) {
      group->more_follow = submission.position != 0;
      tenant.wants.settle(*group);
    }
  }
  if (result != -EINPROGRESS) count_outcome(counters, result);
  return result;
}

int Server::fetch(Tenant& tenant, Prefetches::Group& group, const shm::Submission& submission,
                  const Layout& layout) {
  Shard& shard = *tenant.space.shard;
  const bool awaited = shm::Op(submission.op) == shm::Op::load;
  uint64_t most = group.bytes_left;
  if (!awaited) most = std::min(most, prefetch_left(tenant));
  if (tenant.wants.full()) most = 0;
  const uint64_t deadline_ns = std::min(submission.arg, now_ns_ + fetch_ns_max);
  const FetchReply reply = shard.fetch(submission.key, layout, deadline_ns, most, now_ns_);
  if (reply.outcome == Fetch::clipped && reply.bytes > most && reply.bytes <= group.bytes_left)
    return -EDQUOT;
  if (reply.outcome != Fetch::on_its_way) return result_of(reply.outcome);
  group.bytes_left -= std::min(group.bytes_left, reply.bytes);
  take_prefetch(tenant, reply.bytes);
  shard.counters().fetch_bytes.fetch_add(reply.bytes, std::memory_order_relaxed);
  if (tenant.wants.full()) return -EDQUOT;  // another's fetch, which cost nothing
  tenant.wants.add(group, submission.key, submission.user_data, deadline_ns);
  return -EINPROGRESS;
}

// A fetch that may take nothing from below says where a block is.
int Server::locate(Shard& shard, const Key& key, const Layout& layout) const {
  const Fetch outcome = shard.fetch(key, layout, 0, 0, now_ns_).outcome;
  if (outcome == Fetch::ready) return 0;
  if (outcome != Fetch::clipped && outcome != Fetch::on_its_way) return -ENOENT;
  return shard.spill()->can_read() ? shm::located_below : -EIO;
}

// Its own limit, and within that: what it is guaranteed, or what all share.
uint64_t Server::prefetch_left(Tenant& tenant) {
  const uint64_t left =
      std::max(tenant.prefetch_guaranteed.left(now_ns_), shared_prefetch_.left(now_ns_));
  return std::min(left, tenant.prefetch_budget.left(now_ns_));
}

void Server::take_prefetch(Tenant& tenant, uint64_t bytes) {
  tenant.prefetch_budget.take(bytes);
  const bool guaranteed = tenant.prefetch_guaranteed.left(now_ns_) >= bytes;
  (guaranteed ? tenant.prefetch_guaranteed : shared_prefetch_).take(bytes);
}

// That nothing of it was on its way any more is no mistake: it may have ended just now.
int Server::serve_fetch_end(Tenant& tenant, Client& client, uint64_t number) {
  tenant.wants.end_group(&client, number, [&](void* asker, const Prefetches::Want& want) {
    end_want(tenant, asker, want, -ECANCELED);
  });
  return 0;
}

// Returns: whether there was something.
bool Server::collect_fetched() {
  bool some = false;
  for (Tenant& tenant : tenants_) {
    fetched_.clear();
    tenant.space.shard->take_fetched(&fetched_);
    some = some || !fetched_.empty();
    for (const FetchEnd& end : fetched_)
      tenant.wants.end_key(end.key, [&](void* asker, const Prefetches::Want& want) {
        end_want(tenant, asker, want, result_of(end.outcome));
      });
  }
  if (some) progress_++;
  return some;
}

void Server::end_late_fetches(Tenant& tenant) {
  tenant.wants.end_late(now_ns_, [&](void* asker, const Prefetches::Want& want) {
    end_want(tenant, asker, want, -ETIMEDOUT);
  });
  tenant.space.shard->counters().fetches_under_way.store(tenant.wants.under_way(),
                                                         std::memory_order_relaxed);
}

void Server::drop_fetches_of(Tenant& tenant, Client& client) {
  tenant.wants.end_those_of(&client, [&](void*, const Prefetches::Want& want) {
    end_want(tenant, nullptr, want, -ECANCELED);
  });
}

// asker: nullptr when it is gone. What nobody wants any more is not begun.
void Server::end_want(Tenant& tenant, void* asker, const Prefetches::Want& want, int result) {
  Shard& shard = *tenant.space.shard;
  count_outcome(shard.counters(), result);
  if ((result == -ECANCELED || result == -ETIMEDOUT) && !tenant.wants.wanted(want.key))
    shard.cancel_fetch(want.key);
  auto* client = static_cast<Client*>(asker);
  if (!client) return;
  client->session->complete(shard_, {want.user_data, result, 0});
  if (to_tell_.size() == to_tell_.capacity()) tell_answered();
  to_tell_.push_back(client);
}

}  // namespace speckv
