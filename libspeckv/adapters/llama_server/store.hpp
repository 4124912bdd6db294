// SPDX-License-Identifier: Apache-2.0
// store.hpp - prompts as blocks in the pool: keys of a prompt's full blocks, how many of them are
// there, getting and putting them.
//
// Who calls it: prompt_cache, on the server's one loop. Never: logs more than a change of state, or
// waits for the daemon longer than store.cpp's constants, the settings' wait_ms and the library's
// timeout of the session say. Threading: one thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "llama/state.hpp"
#include "settings.hpp"
#include "speckv/speckv.h"

namespace speckv::llama_server {

using Key = std::array<uint8_t, SPECKV_KEY_BYTES>;

class Store {
 public:
  Store() = default;
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Opens a session and registers the layout. Returns: false with one sentence, at once while the
  // last try is not long ago, or where the layout can never be stored.
  [[nodiscard]] bool open(const Settings& settings, const speckv_layout& layout,
                          std::string* ret_why);
  bool is_open() const { return session_ != nullptr; }
  void close();

  // Keys of the full blocks of tokens.
  std::vector<Key> keys(const std::vector<int32_t>& tokens) const;
  // Returns: how many leading keys are there, in the pool or in a tier below, after puts under way
  // have arrived.
  uint32_t stored(std::span<const Key> keys);
  // The same, and what lies below is asked for: get() takes it as it comes.
  uint32_t reachable(std::span<const Key> keys);
  // Reads blocks into a state blob's tokens, and waits for those that come up, for wait_ms at most.
  // Returns: how many leading ones arrived.
  uint32_t get(std::span<const Key> keys, const llama::StateMap& to);
  // Puts keys[first ..] from a state blob. Returns: how many the session took.
  uint32_t put(std::span<const Key> keys, uint32_t first, const llama::StateMap& from);

 private:
  uint32_t in_pool(std::span<const Key> keys);
  uint32_t coming_up(std::span<const Key> keys);
  bool submit(speckv_put_op* op);
  void reap(uint32_t until);

  speckv_session* session_ = nullptr;
  uint32_t layout_ = 0;
  std::string salt_;
  uint32_t under_way_ = 0;  // puts
  uint64_t wait_ns_ = 0;
  bool final_ = false;
  std::chrono::steady_clock::time_point next_try_{};
};

}  // namespace speckv::llama_server
