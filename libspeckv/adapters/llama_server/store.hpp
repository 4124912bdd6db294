// SPDX-License-Identifier: Apache-2.0
// store.hpp - prompts as blocks in the pool: chains of their keys, how many of them are there,
// getting and putting them.
//
// A prompt is a chain of whole blocks, and a chain of a few fine ones behind them: of its last
// tokens, which do not fill a block. When they do they are put as one, and the fine ones removed.
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

// Blocks one behind the other, of one size.
struct Chain {
  bool fine = false;
  uint32_t first_token = 0;
  std::vector<Key> keys;
  uint32_t block_tokens() const { return fine ? kFineTokens : kBlockTokens; }
};

class Store {
 public:
  Store() = default;
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Opens a session and registers the layout of whole blocks, and that of fine ones, which it can
  // do without. Returns: false with one sentence, at once while the last try is not long ago, or
  // where the layout can never be stored.
  [[nodiscard]] bool open(const Settings& settings, const speckv_layout& layout,
                          const speckv_layout& fine, std::string* ret_why);
  bool is_open() const { return session_ != nullptr; }
  void close();

  // The whole blocks of tokens.
  Chain whole(const std::vector<int32_t>& tokens) const;
  // The fine ones of the tokens behind the first `blocks` of a whole chain: fewer than a block's.
  Chain rest(const Chain& whole, uint32_t blocks, const std::vector<int32_t>& tokens) const;
  // Returns: how many leading keys are there, in the pool or in a tier below, after puts under way
  // have arrived.
  uint32_t stored(const Chain& chain);
  // The same, and what lies below is asked for: get() takes it as it comes.
  uint32_t reachable(const Chain& chain);
  // Reads the chain's first blocks into their tokens of a state blob that begins at token 0, and
  // waits for those that come up, for wait_ms at most. Returns: how many leading ones arrived.
  uint32_t get(const Chain& chain, uint32_t blocks, const llama::StateMap& to);
  // Puts keys[first ..] from a state blob. Returns: how many the session took.
  uint32_t put(const Chain& chain, uint32_t first, const llama::StateMap& from);
  // They are not wanted any more.
  void remove(const Chain& chain);

 private:
  uint32_t layout_of(const Chain& chain) const { return chain.fine ? fine_ : layout_; }
  std::vector<Key> keys(const Key* parent, std::span<const int32_t> tokens,
                        uint32_t block_tokens) const;
  uint32_t in_pool(const Chain& chain);
  uint32_t coming_up(const Chain& chain, uint32_t from);
  bool submit(uint32_t layout, speckv_put_op* op);
  void reap(uint32_t until);

  speckv_session* session_ = nullptr;
  uint32_t layout_ = 0, fine_ = 0;
  bool has_fine_ = false;
  std::string salt_;
  uint32_t under_way_ = 0;  // puts
  uint64_t wait_ns_ = 0;
  bool final_ = false;
  std::chrono::steady_clock::time_point next_try_{};
};

}  // namespace speckv::llama_server
