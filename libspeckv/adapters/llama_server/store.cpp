// SPDX-License-Identifier: Apache-2.0
// store.cpp - see store.hpp.
#include "store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "say.hpp"

namespace speckv::llama_server {

namespace {

constexpr uint64_t kWaitNs = 500'000'000;          // for room in the arena, or for a put's end
constexpr std::chrono::seconds kBetweenTries{10};  // of opening a session
constexpr uint32_t kOpenTimeoutMs = 2000;          // the library's; a request waits meanwhile

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
  reap(0);
  if (keys.empty()) return 0;
  std::vector<uint8_t> hits(keys.size());
  const int found = speckv_exists(session_, layout_, raw(keys), unsigned(keys.size()), hits.data());
  return found > 0 ? uint32_t(found) : 0;
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
  if (speckv_get(session_, layout_, ops.data(), unsigned(ops.size())) <= 0) return 0;
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
    for (int i = 0; i < count; ++i)
      if (done[i].result != 0)
        say_once(std::string("a block was not stored: ") + std::strerror(-done[i].result));
    // late ones of puts that were given up may be among them
    under_way_ -= count > 0 ? std::min(uint32_t(count), under_way_) : 0;
    if (under_way_ <= until || count > 0) continue;
    if (speckv_wait(session_, kWaitNs) != 0) {
      under_way_ = until;
      return;
    }
  }
}

}  // namespace speckv::llama_server
