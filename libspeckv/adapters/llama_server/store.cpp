// SPDX-License-Identifier: Apache-2.0
// store.cpp - see store.hpp.
#include "store.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "say.hpp"
#include "speckv/ahead.h"

namespace speckv::llama_server {

namespace {

constexpr uint64_t kWaitNs = 500'000'000;          // for room in the arena, or for a put's end
constexpr std::chrono::seconds kBetweenTries{10};  // of opening a session
constexpr uint64_t kLookNs = 20'000'000;           // until the daemon has looked at the tier below
constexpr useconds_t kLookAgainUs = 50;
constexpr uint64_t kAhead = 1;             // user_data of what is no put
constexpr uint32_t kOpenTimeoutMs = 2000;  // the library's; a request waits meanwhile

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

const uint8_t (*raw(std::span<const Key> keys))[SPECKV_KEY_BYTES] {
  return reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys.data());
}

}  // namespace

Store::~Store() { close(); }

void Store::close() {
  speckv_close(session_);
  session_ = nullptr;
  under_way_ = 0;
  final_ = false;
}

bool Store::open(const Settings& settings, const speckv_layout& layout, std::string* ret_why) {
  if (session_) return true;
  const auto now = std::chrono::steady_clock::now();
  if (final_ || now < next_try_) {
    ret_why->clear();  // it was said
    return false;
  }
  next_try_ = now + kBetweenTries;
  char sentence[256] = "";
  if (speckv_layout_check(&layout, sentence, sizeof sentence) != 0) {
    final_ = true;
    *ret_why = std::string("the pool cannot store this model: ") + sentence;
    return false;
  }
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = settings.socket.empty() ? nullptr : settings.socket.c_str();
  args.namespace_name = settings.name_space.c_str();
  args.timeout_ms = kOpenTimeoutMs;
  args.daemon_uid = -1;
  int error = speckv_open(&args, &session_);
  if (error == 0) {
    error = speckv_layout_register(session_, &layout, &layout_);
    if (error != 0) speckv_close(session_), session_ = nullptr;
  }
  salt_ = settings.salt;
  wait_ns_ = uint64_t(settings.wait_ms) * 1'000'000;
  if (error != 0)
    *ret_why = "no pool (namespace " + settings.name_space + " at " +
               (settings.socket.empty() ? "the default socket" : settings.socket) +
               "): " + std::strerror(-error) + "; trying again";
  return error == 0;
}

std::vector<Key> Store::keys(const std::vector<int32_t>& tokens) const {
  std::vector<Key> keys(tokens.size() / kBlockTokens);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (speckv_key_chain(i == 0 ? nullptr : keys[i - 1].data(), salt_.data(), salt_.size(),
                         tokens.data() + i * kBlockTokens, kBlockTokens, keys[i].data()) != 0) {
      keys.resize(i);
      break;
    }
  }
  return keys;
}

uint32_t Store::stored(std::span<const Key> keys) {
  const uint32_t ready = in_pool(keys);
  const std::span<const Key> others = keys.subspan(ready);
  if (others.empty() || wait_ns_ == 0) return ready;
  std::vector<int32_t> tiers(others.size());
  const int found = speckv_locate(session_, layout_, raw(others), unsigned(others.size()),
                                  std::min(kLookNs, wait_ns_), tiers.data());
  return ready + (found > 0 ? uint32_t(found) : 0);
}

uint32_t Store::reachable(std::span<const Key> keys) {
  const uint32_t ready = in_pool(keys);
  return ready + coming_up(keys.subspan(ready));
}

uint32_t Store::in_pool(std::span<const Key> keys) {
  reap(0);
  if (keys.empty()) return 0;
  std::vector<uint8_t> hits(keys.size());
  const int found = speckv_exists(session_, layout_, raw(keys), unsigned(keys.size()), hits.data());
  return found > 0 ? uint32_t(found) : 0;
}

// Asks for keys. Returns: how many leading ones can be read or are on their way up.
uint32_t Store::coming_up(std::span<const Key> keys) {
  if (keys.empty() || wait_ns_ == 0) return 0;
  speckv_prefetch_args args{};
  args.size = sizeof args;
  args.deadline_ns = monotonic_ns() + wait_ns_;
  args.budget_bytes = SPECKV_NO_BUDGET;
  args.user_data = kAhead;
  uint64_t prefetch = 0;
  const int asked =
      speckv_prefetch_begin(session_, layout_, raw(keys), unsigned(keys.size()), &args, &prefetch);
  if (asked <= 0) return 0;
  std::vector<speckv_outcome> outcomes(keys.size());
  const uint64_t until = monotonic_ns() + std::min(kLookNs, wait_ns_);
  uint32_t found = 0;
  while (found < outcomes.size()) {
    if (speckv_prefetch_outcomes(session_, prefetch, outcomes.data(), unsigned(outcomes.size())) <
        0)
      break;
    const auto is_there = [](const speckv_outcome& each) {
      return each.outcome == SPECKV_OUTCOME_READY || each.outcome == SPECKV_OUTCOME_ON_ITS_WAY;
    };
    while (found < outcomes.size() && is_there(outcomes[found])) found++;
    if (found == outcomes.size() || outcomes[found].outcome != SPECKV_OUTCOME_ASKED) break;
    if (monotonic_ns() > until) break;
    usleep(kLookAgainUs);
  }
  speckv_prefetch_end(session_, prefetch);  // what is being read comes all the same
  return found;
}

uint32_t Store::get(std::span<const Key> keys, const llama::StateMap& to) {
  const size_t sides = 2 * size_t(to.shape().layers);
  std::vector<speckv_view> views(keys.size() * sides);
  std::vector<speckv_get_op> ops(keys.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    to.views(uint32_t(i) * kBlockTokens, std::span(views).subspan(i * sides, sides));
    std::memcpy(ops[i].key, keys[i].data(), SPECKV_KEY_BYTES);
    ops[i].buf = {0, to.shape().layers, views.data() + i * sides};
    ops[i].ret_result = -ENOTCONN;
  }
  const auto count = unsigned(ops.size());
  const int tried =
      wait_ns_ == 0 ? speckv_get(session_, layout_, ops.data(), count)
                    : speckv_load(session_, layout_, ops.data(), count, monotonic_ns() + wait_ns_);
  if (tried <= 0) return 0;
  uint32_t arrived = 0;
  while (arrived < ops.size() && ops[arrived].ret_result == 0) ++arrived;
  return arrived;
}

uint32_t Store::put(std::span<const Key> keys, uint32_t first, const llama::StateMap& from) {
  const size_t sides = 2 * size_t(from.shape().layers);
  std::vector<speckv_view> views(sides);
  uint32_t taken = 0;
  for (uint32_t i = first; i < keys.size(); ++i, ++taken) {
    speckv_put_op op{};
    from.views(i * kBlockTokens, views);
    std::memcpy(op.key, keys[i].data(), SPECKV_KEY_BYTES);
    op.buf = {0, from.shape().layers, views.data()};
    op.meta.position = i * kBlockTokens;
    if (i > 0) std::memcpy(op.meta.parent, keys[i - 1].data(), SPECKV_KEY_BYTES);
    if (!submit(&op)) break;
  }
  return taken;
}

// A full arena empties as puts complete. What is not taken is computed again some day.
bool Store::submit(speckv_put_op* op) {
  for (;;) {
    op->ret_result = -ENOTCONN;
    const int tried = speckv_put(session_, layout_, op, 1);
    if (tried == 1 && op->ret_result == 0) return ++under_way_, true;
    const int error = tried < 0 ? tried : op->ret_result;
    const uint32_t before = under_way_;
    if (error == -EAGAIN && before > 0) reap(before - 1);
    if (error == -EAGAIN && under_way_ < before) continue;
    say_once(std::string("putting a block: ") + std::strerror(-error) +
             (error == -ENOTCONN ? " (no daemon now)" : ""));
    return false;
  }
}

// Returns at the latest kWaitNs after the last completion; what is left then counts as lost.
void Store::reap(uint32_t until) {
  speckv_completion done[64];
  while (under_way_ > until) {
    const int count = speckv_reap(session_, done, 64);
    for (int i = 0; i < count; ++i) {
      if (done[i].user_data == kAhead) continue;
      if (done[i].result != 0)
        say_once(std::string("a block was not stored: ") + std::strerror(-done[i].result));
      if (under_way_ > 0) under_way_--;  // late ones of puts that were given up may be among them
    }
    if (under_way_ <= until || count > 0) continue;
    if (speckv_wait(session_, kWaitNs) != 0) {
      under_way_ = until;
      return;
    }
  }
}

}  // namespace speckv::llama_server
