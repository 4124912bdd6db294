// SPDX-License-Identifier: Apache-2.0
// store.hpp - one namespace of speckvd as the benchmark uses it: chained keys, leading hits, load,
// save.
//
// What it is: libspeckv's C ABI with errors turned into Failure, and the llama.cpp adapter's views
// in its buffers. This is what a server's connector does, and all of it. Who calls it: arm_speckv,
// the checks, the quality measure. Threading: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine.hpp"
#include "llama/sequence.hpp"
#include "speckv/speckv.h"

namespace speckv::qa {

using Key = std::array<uint8_t, SPECKV_KEY_BYTES>;

struct StoreOptions {
  std::string socket;
  std::string namespace_name;
  uint32_t preset = SPECKV_PRESET_DAEMON;
  uint32_t block_tokens = 64;
  uint32_t page_tokens = 32;
  std::array<uint8_t, SPECKV_DIGEST_BYTES> weights_digest{};
  std::string salt;  // in every key: a run never meets blocks of an earlier one
};

// What the pool holds of a sequence's beginning.
struct Found {
  std::vector<Key> keys;     // of the leading full blocks that are there
  uint32_t open_tokens = 0;  // of the block after them, kept while it was not full
  Key open_key{};
};

class Store {
 public:
  Store(const StoreOptions& options, const Context& context, const llama::StateShape& shape);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  uint32_t block_tokens() const { return layout_.block_tokens; }
  uint64_t block_bytes() const { return speckv_block_bytes(&layout_); }

  // Keys of the full blocks of tokens.
  std::vector<Key> keys(std::span<const llama_token> tokens) const;

  // What can be loaded of a sequence. Never all of it: one token at least is left to compute.
  Found find(std::span<const llama_token> tokens);

  // Reads what was found into a state blob. Returns: how many leading tokens arrived; the blob and
  // its map stay valid until the next call.
  uint32_t load(const Found& found);
  std::span<std::byte> blob() { return std::span(load_buffer_).first(load_bytes_); }
  const llama::StateMap& map() const { return load_map_; }

  // Puts the KV of tokens[first...) of the context's sequence `seq`, where first = first_block *
  // block_tokens(), taking it from the engine, and waits until it can be read. The tokens after the
  // last full block are kept as an open block: preset exact, and padded, so that no token's KV is
  // ever encoded twice. A full pool loses blocks, which is no failure.
  void save(Context& context, std::span<const llama_token> tokens, uint32_t first_block);
  // Removes an open block that a longer one replaced.
  void drop_open(const Found& found);

  uint64_t corrupt();  // reads whose checksum did not match, ever

 private:
  Key open_key(const Key* parent, std::span<const llama_token> tokens) const;
  void find_open(std::span<const llama_token> tokens, Found* found);
  speckv_put_op put_op(const Key& key, const Key* parent, uint32_t first_token,
                       const speckv_view* views) const;
  void submit(uint32_t layout, std::vector<speckv_put_op>* ops);
  void wait_all(uint32_t* outstanding, uint32_t until);

  llama::StateShape shape_;
  speckv_layout layout_;
  std::string salt_;
  speckv_session* session_ = nullptr;
  uint32_t full_layout_ = 0, open_layout_ = 0;
  std::vector<std::byte> load_buffer_, save_buffer_, open_buffer_;
  size_t load_bytes_ = 0;
  llama::StateMap load_map_, open_map_;  // open_map_ is of one block
};

}  // namespace speckv::qa
