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
  std::string engine_name;  // build and KV format of the engine: part of the fingerprint
  std::array<uint8_t, SPECKV_DIGEST_BYTES> weights_digest{};
};

class Store {
 public:
  Store(const StoreOptions& options, const Model& model, const llama::StateShape& shape);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  uint32_t block_tokens() const { return layout_.block_tokens; }
  uint64_t block_bytes() const { return speckv_block_bytes(&layout_); }

  // Keys of the full blocks among tokens[0, limit).
  std::vector<Key> keys(std::span<const llama_token> tokens, size_t limit) const;
  // Returns: how many leading keys are there.
  uint32_t leading_hits(std::span<const Key> keys);
  // How many of these are there, wherever.
  uint32_t hits(std::span<const Key> keys);

  // Reads blocks 0, 1, ... into a state blob of all of them. Returns: how many leading ones
  // arrived; the blob and its map stay valid until the next call.
  uint32_t load(std::span<const Key> keys);
  std::span<std::byte> blob() { return std::span(load_buffer_).first(load_bytes_); }
  const llama::StateMap& map() const { return load_map_; }

  // Puts blocks [first, first + count) of the context's sequence `seq`, taking their KV from the
  // engine, and waits until they can be read. A full pool loses them, which is no failure.
  void save(Context& context, llama_seq_id seq, llama_seq_id spare_seq, std::span<const Key> keys,
            uint32_t first, uint32_t count);

  uint64_t bytes_put() const { return put_bytes_; }
  uint64_t corrupt();  // reads whose checksum did not match, ever

 private:
  void submit(std::vector<speckv_put_op>* ops);
  void wait_all(uint32_t* outstanding, uint32_t until);

  llama::StateShape shape_;
  speckv_layout layout_;
  speckv_session* session_ = nullptr;
  uint32_t layout_handle_ = 0;
  std::vector<std::byte> load_buffer_, save_buffer_;
  size_t load_bytes_ = 0;
  llama::StateMap load_map_;
  uint64_t put_bytes_ = 0;
};

}  // namespace speckv::qa
