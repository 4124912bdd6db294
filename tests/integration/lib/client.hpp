// SPDX-License-Identifier: Apache-2.0
// client.hpp - a session of the library in a test, with the waiting that every test needs.
#pragma once

#include <memory>
#include <stdexcept>

#include "daemon_process.hpp"
#include "kv.hpp"

namespace speckv::test {

class Client {
 public:
  explicit Client(const std::string& socket_path, const char* name = nullptr,
                  uint64_t arena_bytes = 0) {
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = socket_path.c_str();
    args.namespace_name = name;
    args.arena_bytes = arena_bytes;
    args.daemon_uid = -1;
    args.timeout_ms = 20'000;  // a machine that sanitizers and others load
    opened_ = speckv_open(&args, &session_);
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int opened() const { return opened_; }
  speckv_session* get() const { return session_; }
  void close() {
    speckv_close(session_);
    session_ = nullptr;
  }
  uint32_t add_layout(const speckv_layout& layout) {
    uint32_t number = UINT32_MAX;
    EXPECT_EQ(speckv_layout_register(session_, &layout, &number), 0);
    return number;
  }

  // Reaps `count` completions. Returns: them, fewer after 20 s.
  std::vector<speckv_completion> reap(size_t count) {
    std::vector<speckv_completion> all;
    while (all.size() < count) {
      if (speckv_wait(session_, 20 * second_ns) != 0) break;
      speckv_completion some[64];
      const int got = speckv_reap(session_, some, 64);
      if (got < 0) break;
      all.insert(all.end(), some, some + got);
    }
    return all;
  }
  // Puts one block and waits for it. Returns: its completion's result, or what put said.
  int put(uint32_t layout, uint64_t number, Kv& kv, uint32_t position = SPECKV_POSITION_UNKNOWN) {
    kv.fill(number);
    speckv_put_op op = put_op(number, kv, position);
    const int tried = speckv_put(session_, layout, &op, 1);
    if (tried < 0) return tried;
    if (op.ret_result != 0) return op.ret_result;
    const auto done = reap(1);
    return done.size() == 1 ? done[0].result : -ETIMEDOUT;
  }
  static speckv_put_op put_op(uint64_t number, Kv& kv,
                              uint32_t position = SPECKV_POSITION_UNKNOWN) {
    speckv_put_op op{};
    std::memcpy(op.key, key_of(number).bytes, sizeof op.key);
    op.buf = kv.buf();
    op.meta.position = position;
    op.user_data = number;
    return op;
  }
  int get(uint32_t layout, uint64_t number, Kv& kv, uint32_t flags = 0) {
    kv.forget();
    speckv_get_op op{};
    std::memcpy(op.key, key_of(number).bytes, sizeof op.key);
    op.buf = kv.buf();
    op.flags = flags;
    const int tried = speckv_get(session_, layout, &op, 1);
    return tried < 0 ? tried : op.ret_result;
  }
  bool exists(uint32_t layout, uint64_t number) {
    const auto keys = keys_of(number, 1);
    uint8_t hit = 9;
    speckv_exists(session_, layout, as_keys(keys), 1, &hit);
    return hit == 1;
  }
  struct speckv_stats stats() {
    struct speckv_stats stats {};
    stats.size = sizeof stats;
    EXPECT_EQ(speckv_stats(session_, &stats), 0);
    return stats;
  }

 private:
  int opened_ = 0;
  speckv_session* session_ = nullptr;
};

// A daemon and one client.
class LibTest : public ::testing::Test {
 protected:
  // Throws when there is no daemon to test with: the test has failed and does not go on.
  void begin(const DaemonOptions& options = {}) {
    daemon_ = std::make_unique<DaemonProcess>(options);
    if (!daemon_->start()) throw std::runtime_error("speckvd did not start: " + daemon_->log());
    client_ = std::make_unique<Client>(daemon_->socket_path());
    if (client_->opened() != 0) throw std::runtime_error("no session: " + daemon_->log());
  }
  DaemonProcess& daemon() { return *daemon_; }
  Client& client() { return *client_; }

  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<Client> client_;
};

}  // namespace speckv::test
