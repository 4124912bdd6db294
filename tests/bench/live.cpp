// SPDX-License-Identifier: Apache-2.0
// live.cpp - the bench's own speckvd and session. See live.hpp.
#include "live.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace speckv::bench {
namespace {

constexpr uint64_t kWaitNs = 10'000'000'000;
constexpr uint32_t kHeadDim = 64;
constexpr uint64_t kIndexEntriesMin = 1024;  // the daemon takes no less
constexpr uint64_t kLayerBytes = 1 << 20;

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

Key key_of(uint64_t number) {
  Key key;
  for (size_t word = 0; word < key.size() / 8; ++word) {
    const uint64_t bits = mix(number * 4 + word);
    std::memcpy(key.data() + 8 * word, &bits, 8);
  }
  return key;
}

speckv_layout layout_of(uint64_t bytes, uint32_t preset) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = uint32_t(std::max<uint64_t>(bytes / kLayerBytes, 1));
  layout.head_dim = kHeadDim;
  layout.page_tokens = bytes < 16 << 10 ? 16 : 32;
  // K and V of a layer: 2 * heads * tokens * head_dim halves
  const uint64_t head_tokens = bytes / layout.layers / (2 * 2 * kHeadDim);
  layout.kv_heads = 1;
  while (layout.kv_heads < 8 && head_tokens / (2 * layout.kv_heads) >= layout.page_tokens) {
    layout.kv_heads *= 2;
  }
  layout.block_tokens = uint32_t(head_tokens / layout.kv_heads);
  layout.world = 1;
  layout.preset = preset;
  layout.weights_digest[0] = uint8_t(bytes >> 12);
  return layout;
}

void set_views(const speckv_layout& layout, const std::byte* base,
               std::vector<speckv_view>* ret_views) {
  const int64_t token_bytes = int64_t(layout.head_dim) * 2;
  const int64_t head_bytes = token_bytes * layout.block_tokens;
  ret_views->resize(size_t(2) * layout.layers);
  for (auto& view : *ret_views) {
    view = {const_cast<std::byte*>(base), token_bytes, head_bytes, 2};
    base += head_bytes * layout.kv_heads;
  }
}

void set_token_views(const speckv_layout& layout, const std::byte* base,
                     std::vector<speckv_view>* ret_views) {
  set_views(layout, base, ret_views);
  const int64_t row_bytes = int64_t(layout.head_dim) * 2;
  for (auto& view : *ret_views) {
    view.token_stride = row_bytes * layout.kv_heads;
    view.head_stride = row_bytes;
  }
}

std::string Live::start(const Options& options, const LiveOptions& live) {
  const std::string daemon = options.build_bin + "/speckvd";
  const std::string socket = dir_.path() + "/speckv.sock", file = dir_.path() + "/speckvd.toml";
  std::ofstream(file) << "[daemon]\nsocket = \"" << socket << "\"\nruntime_dir = \"" << dir_.path()
                      << "\"\nmetrics = \"\"\nlog_level = \"warn\"\nencode_threads = "
                      << live.encode_threads << "\n[session]\narena_bytes = " << live.arena_bytes
                      << "\narena_bytes_max = " << live.arena_bytes
                      << "\n[pool]\nemulated_gb_s = " << std::fixed << live.emulated_gb_s
                      << "\nemulated_ns = " << live.emulated_ns
                      << "\n[[namespace]]\nname = \"default\"\nbytes = " << live.pool_bytes
                      << "\npolicy = \"" << live.policy << "\"\nnear_bytes = " << live.near_bytes
                      << "\n"
                      << (live.index_entries
                              ? "index_entries = " +
                                    std::to_string(std::max(live.index_entries, kIndexEntriesMin)) +
                                    "\n"
                              : "")
                      << (live.spill_path.empty()
                              ? ""
                              : "speculation = false\nspill_path = \"" + live.spill_path +
                                    "\"\nspill_bytes = " + std::to_string(live.spill_bytes) + "\n");
  const std::string why =
      daemon_.start({daemon, "--config", file}, dir_.path() + "/speckvd.log", socket);
  if (!why.empty()) return why;
  const std::string ctl = options.build_bin + "/speckvctl";
  if (live.near_bytes && access(ctl.c_str(), X_OK) != 0)
    return ctl + " is not built: it says what came near";
  ask_ = ctl + " --socket " + socket + " status --json";
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = socket.c_str();
  args.arena_bytes = live.arena_bytes;
  args.daemon_uid = -1;
  args.timeout_ms = 30'000;  // a busy machine is no reason to skip rows
  const int result = speckv_open(&args, &session_);
  return result == 0 ? "" : std::string("speckv_open: ") + std::strerror(-result);
}

uint64_t Live::near_blocks() const {
  FILE* const pipe = popen(ask_.c_str(), "r");
  if (!pipe) return 0;
  std::string text;
  char part[4096];
  for (size_t got; (got = std::fread(part, 1, sizeof part, pipe)) > 0;) text.append(part, got);
  pclose(pipe);
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  const size_t near = text.find("\"near\":{"), at = text.find("\"blocks\":", near);
  if (near == std::string::npos || at == std::string::npos) return 0;
  return std::strtoull(text.c_str() + at + 9, nullptr, 10);
}

uint32_t Live::add(const speckv_layout& layout) {
  char why[256] = "";
  uint32_t number = 0;
  int result = speckv_layout_check(&layout, why, sizeof why);
  if (result == 0) result = speckv_layout_register(session_, &layout, &number);
  if (result == 0) return number;
  std::fprintf(stderr, "bench: layout refused: %s %s\n", std::strerror(-result), why);
  std::exit(1);
}

uint64_t Live::drain(uint64_t* submitted) {
  std::array<speckv_completion, 64> done;
  uint64_t failed = 0;
  while (*submitted > 0) {
    const int n = speckv_reap(session_, done.data(), unsigned(done.size()));
    if (n < 0) return failed + *submitted;
    for (int i = 0; i < n; ++i) failed += done[size_t(i)].result != 0;
    *submitted -= std::min<uint64_t>(uint64_t(n), *submitted);
    if (n == 0 && *submitted > 0 && speckv_wait(session_, kWaitNs) != 0) return failed + *submitted;
  }
  return failed;
}

std::string Live::put(uint32_t layout_number, const speckv_layout& layout, uint64_t first,
                      uint64_t count, const std::function<const std::byte*(uint64_t)>& raw) {
  std::vector<speckv_view> views;
  uint64_t submitted = 0;
  for (uint64_t i = first; i < first + count;) {
    set_views(layout, raw(i), &views);
    speckv_put_op op{};
    const Key key = key_of(i);
    std::memcpy(op.key, key.data(), key.size());
    op.buf = {0, layout.layers, views.data()};
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    const int n = speckv_put(session_, layout_number, &op, 1);
    if (n == 1) {
      ++submitted;
      ++i;
      continue;
    }
    const int error = n < 0 ? n : op.ret_result;
    if (error != -EAGAIN) return std::string("speckv_put: ") + std::strerror(-error);
    if (const uint64_t failed = drain(&submitted)) {
      return std::to_string(failed) + " puts did not complete";
    }
  }
  const uint64_t failed = drain(&submitted);
  return failed == 0 ? "" : std::to_string(failed) + " puts did not complete";
}

std::string Live::setting() const {
  struct speckv_stats stats {};
  stats.size = sizeof stats;
  if (speckv_stats(session_, &stats) != 0) return "";
  return "shm pool of " + size_text(stats.pool_bytes) + ", " + size_text(stats.pool_page_bytes) +
         " pages";
}

}  // namespace speckv::bench
