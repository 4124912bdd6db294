// SPDX-License-Identifier: Apache-2.0
// live.hpp - a speckvd of the bench's own and one session with it, through the public C ABI.
//
// Who calls it: suite_get.cpp, suite_put.cpp, suite_exists.cpp, suite_redis.cpp. Objects are blocks
// of fp16 KV whose bytes come from their number (fill_kv), head by head; keys likewise.
#pragma once

#include <speckv/speckv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench.hpp"
#include "memory.hpp"
#include "process.hpp"

namespace speckv::bench {

using Key = std::array<uint8_t, SPECKV_KEY_BYTES>;
Key key_of(uint64_t number);

// A layout whose block has exactly `bytes` of raw fp16: 4 KiB is one layer of one head, larger ones
// have more tokens and heads, and one layer per MiB. Requires: a power of two from 4 KiB to 16 MiB.
speckv_layout layout_of(uint64_t bytes, uint32_t preset);

// Views of a block that lies at `base`: per layer K then V, each [head][token][channel].
void set_views(const speckv_layout& layout, const std::byte* base,
               std::vector<speckv_view>* ret_views);

// The same of memory as engines keep it, [token][head][channel].
void set_token_views(const speckv_layout& layout, const std::byte* base,
                     std::vector<speckv_view>* ret_views);

struct LiveOptions {
  uint64_t pool_bytes = 256 << 20;
  uint64_t index_entries = 0;  // 0: the daemon's own guess
  uint64_t arena_bytes = 64 << 20;
  std::string policy = "lru";
  uint32_t encode_threads = 0;  // beside the data thread
  std::string spill_path;       // a tier below the pool
  uint64_t spill_bytes = 0;
  uint64_t near_bytes = 0;   // of memory above the pool
  double emulated_gb_s = 0;  // of the pool's link; 0: as it is
  uint64_t emulated_ns = 0;
};

class Live {
 public:
  ~Live() { speckv_close(session_); }
  // Returns: "" or one sentence why there is no session.
  std::string start(const Options& options, const LiveOptions& live);
  speckv_session* session() const { return session_; }
  // Returns: the layout's number; ends the bench with a sentence when it is refused.
  uint32_t add(const speckv_layout& layout);

  // Puts objects [first, first + count), object i's bytes from raw(i), and waits for all of them.
  // Returns: "" or what went wrong.
  std::string put(uint32_t layout_number, const speckv_layout& layout, uint64_t first,
                  uint64_t count, const std::function<const std::byte*(uint64_t)>& raw);
  // Waits until all submitted puts have completed. Returns: how many failed.
  uint64_t drain(uint64_t* submitted);
  // thread: of those whose name begins so.
  double daemon_cpu_s(const std::string& thread = "") const { return daemon_.cpu_s(thread); }
  void pause() { daemon_.signal(SIGSTOP); }
  void resume() { daemon_.signal(SIGCONT); }
  // Blocks that stand in near memory, by speckvctl; 0 also where there is none.
  uint64_t near_blocks() const;
  // "shm pool of 512MiB, 2MiB pages"
  std::string setting() const;

 private:
  TempDir dir_;
  std::string ask_;  // the command that prints the daemon's status
  Process daemon_;
  speckv_session* session_ = nullptr;
};

}  // namespace speckv::bench
