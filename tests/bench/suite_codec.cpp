// SPDX-License-Identifier: Apache-2.0
// suite_codec.cpp - rows encode/* and decode/*: our presets, their codecs for K and for V apart,
// and lz4, zstd and ggml's cache types, each beside memcpy.
//
// Our rows come from codec_bench.cpp (segments of 1 MiB of fp16, checksum included). The peers get
// objects of the same size and kind and the same turns with memcpy; they compute no checksum. lz4
// and zstd keep every bit and so give little on KV: the setting says how much.
#include <dlfcn.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "bench.hpp"
#include "codec_bench.hpp"
#include "memory.hpp"

namespace speckv::bench {
namespace {

constexpr size_t kObjectBytes = 1 << 20;
constexpr uint32_t kHeadDim = 64;
constexpr uint32_t kObjectsPerTurn = 4;
constexpr uint32_t kDistinct = 8;  // objects with their own content; the set repeats them
constexpr int kZstdLevel = 1;

// A cache type of ggml, by the library of the engine that `make run` builds. Rows go through
// floats, as its own KV cache does.
class Ggml {
 public:
  Ggml(const std::string& build_bin, const std::string& type, size_t group_bytes)
      : group_bytes_(group_bytes) {
    const std::string lib = build_bin + "/../../engine/lib/";
    void* const base = dlopen((lib + "libggml-base.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    void* const cpu = base ? dlopen((lib + "libggml-cpu.so").c_str(), RTLD_NOW) : nullptr;
    if (cpu == nullptr) return;
    find(cpu, "ggml_cpu_fp16_to_fp32", &widen_);
    find(cpu, "ggml_cpu_fp32_to_fp16", &narrow_);
    find(cpu, ("quantize_row_" + type).c_str(), &quantize_);
    find(base, ("dequantize_row_" + type).c_str(), &dequantize_);
  }
  bool found() const { return widen_ && narrow_ && quantize_ && dequantize_; }

  // A group is 32 values.
  size_t stored_bytes(size_t raw_bytes) const { return raw_bytes / 64 * group_bytes_; }
  void encode(std::byte* to, const std::byte* from, size_t raw_bytes) {
    for (size_t at = 0; at < raw_bytes; at += 2 * kRow) {
      widen_(from + at, row_.data(), kRow);
      quantize_(row_.data(), to + stored_bytes(at), kRow);
    }
  }
  void decode(std::byte* to, const std::byte* from, size_t raw_bytes) {
    for (size_t at = 0; at < raw_bytes; at += 2 * kRow) {
      dequantize_(from + stored_bytes(at), row_.data(), kRow);
      narrow_(row_.data(), to + at, kRow);
    }
  }

 private:
  static constexpr size_t kRow = 2048;  // values; stays in the first-level cache
  template <class F>
  static void find(void* library, const char* name, F* ret_function) {
    *ret_function = reinterpret_cast<F>(dlsym(library, name));
  }
  size_t group_bytes_;
  void (*widen_)(const void*, float*, int64_t) = nullptr;
  void (*narrow_)(const float*, void*, int64_t) = nullptr;
  void (*quantize_)(const float*, void*, int64_t) = nullptr;
  void (*dequantize_)(const void*, float*, int64_t) = nullptr;
  std::array<float, kRow> row_{};
};

// A codec of someone else: bytes it stores for one object, and the two directions.
struct Peer {
  std::string name;
  size_t stored_max;
  std::function<size_t(std::byte* to, const std::byte* from)> encode;  // returns stored bytes
  std::function<void(std::byte* to, const std::byte* from, size_t stored)> decode;
};

std::vector<Peer> make_peers(Report& report) {
  std::vector<Peer> peers;
  const int n = int(kObjectBytes);
  peers.push_back({"lz4", size_t(LZ4_compressBound(n)),
                   [n](std::byte* to, const std::byte* from) {
                     return size_t(LZ4_compress_default(reinterpret_cast<const char*>(from),
                                                        reinterpret_cast<char*>(to), n,
                                                        LZ4_compressBound(n)));
                   },
                   [n](std::byte* to, const std::byte* from, size_t stored) {
                     LZ4_decompress_safe(reinterpret_cast<const char*>(from),
                                         reinterpret_cast<char*>(to), int(stored), n);
                   }});
  peers.push_back({"zstd-1", ZSTD_compressBound(kObjectBytes),
                   [](std::byte* to, const std::byte* from) {
                     return ZSTD_compress(to, ZSTD_compressBound(kObjectBytes), from, kObjectBytes,
                                          kZstdLevel);
                   },
                   [](std::byte* to, const std::byte* from, size_t stored) {
                     ZSTD_decompress(to, kObjectBytes, from, stored);
                   }});
  for (const auto& [type, group_bytes] :
       {std::pair{"q8_0", size_t{34}}, {"q5_0", size_t{22}}, {"q4_0", size_t{18}}}) {
    const auto ggml = std::make_shared<Ggml>(report.options().build_bin, type, group_bytes);
    const std::string name = std::string("ggml-") + type;
    if (!ggml->found()) {
      report.skip("encode/" + name + ", decode/" + name,
                  "no engine in build/engine; tests/bench/engine/setup makes it");
      continue;
    }
    peers.push_back({name, ggml->stored_bytes(kObjectBytes),
                     [ggml](std::byte* to, const std::byte* from) {
                       ggml->encode(to, from, kObjectBytes);
                       return ggml->stored_bytes(kObjectBytes);
                     },
                     [ggml](std::byte* to, const std::byte* from, size_t) {
                       ggml->decode(to, from, kObjectBytes);
                     }});
  }
  return peers;
}

// The objects, encoded by one peer: a set of at least four last-level caches of raw bytes, and a
// ring of two for what comes out.
struct PeerRun {
  PeerRun(const Buffer& raw_set, Buffer& out_ring, const Peer& of)
      : peer(of),
        raw(raw_set),
        ring(out_ring),
        objects(raw_set.bytes() / kObjectBytes),
        store(objects * of.stored_max),
        stored(objects) {
    for (size_t i = 0; i < objects; ++i) {
      stored[i] = peer.encode(store.at(i * peer.stored_max), raw.at(i * kObjectBytes));
    }
  }

  // One turn: some objects in random order, each moved by `move`.
  template <class Move>
  uint64_t turn(Move move) {
    for (uint32_t i = 0; i < kObjectsPerTurn; ++i) {
      move(random() % objects, ring.at(ring_at));
      ring_at = ring_at + 2 * slot_bytes() <= ring.bytes() ? ring_at + slot_bytes() : 0;
    }
    return kObjectsPerTurn;
  }
  size_t slot_bytes() const { return (std::max(peer.stored_max, kObjectBytes) + 63) / 64 * 64; }

  const Peer& peer;
  const Buffer& raw;
  Buffer& ring;
  size_t objects;
  Buffer store;
  std::vector<size_t> stored;
  std::mt19937_64 random{7};
  size_t ring_at = 0;
};

void add_peer_rows(Report& report, PeerRun& run) {
  const Peer& peer = run.peer;
  report.progress("encode/" + peer.name);
  const std::vector<Contender> contenders = {
      {"memcpy",
       [&] {
         return run.turn([&](size_t i, std::byte* to) {
           __builtin_memcpy(to, run.raw.at(i * kObjectBytes), kObjectBytes);
         });
       }},
      {"stream",
       [&] {
         return run.turn([&](size_t i, std::byte* to) {
           stream_copy(to, run.raw.at(i * kObjectBytes), kObjectBytes);
         });
       }},
      {"encode",
       [&] {
         return run.turn(
             [&](size_t i, std::byte* to) { peer.encode(to, run.raw.at(i * kObjectBytes)); });
       }},
      {"decode",
       [&] {
         return run.turn([&](size_t i, std::byte* to) {
           peer.decode(to, run.store.at(i * peer.stored_max), run.stored[i]);
         });
       }},
  };
  const auto timings = take_turns(contenders, report.options().quick ? 5 : 40, Clock::thread_cpu);
  const double copy_s = std::min(timings[0].median_s, timings[1].median_s);
  uint64_t stored = 0;
  for (size_t bytes : run.stored) stored += bytes;
  char setting[128];
  std::snprintf(setting, sizeof setting, "1 MiB of KV-like fp16, %.2fx smaller, no checksum, %s",
                double(run.objects * kObjectBytes) / double(stored),
                page_size_text(run.raw.at(0)).c_str());
  for (size_t i = 2; i < contenders.size(); ++i) {
    Row row;
    row.name = contenders[i].name + "/" + peer.name;
    row.value = double(kObjectBytes) / timings[i].median_s / 1e9;
    row.unit = "GB/s";
    row.against = "memcpy";
    row.ratio = copy_s / timings[i].median_s;
    row.setting = setting;
    row.samples = timings[i].samples;
    row.spread = timings[i].spread;
    report.add(row);
  }
}

std::string goal_of(const std::string& name) {
  if (name == "encode/q8") return ">= 1.0";
  if (name == "encode/compact") return ">= 0.3";
  if (name.rfind("encode/lossless", 0) == 0) return ">= 0.4";
  if (name.rfind("decode/lossless", 0) == 0) return ">= 0.8";
  return "";
}

// bf16 alone: only what packs it otherwise than fp16.
void add_our_rows(Report& report, bool bf16) {
  report.progress("encode and decode of each preset");
  CodecBenchOptions options;
  options.head_dim = kHeadDim;
  options.rounds = report.options().quick ? 1 : 4;
  options.bf16 = bf16;
  if (bf16) options.only = "lossless";
  for (const CodecRow& from : codec_rows(options)) {
    if (bf16 && from.name == "memcpy") continue;
    Row row;
    row.name = from.name == "memcpy" ? "copy/memcpy" : bf16 ? from.name + "/bf16" : from.name;
    row.value = from.gigabytes_second;
    row.unit = "GB/s";
    row.against = "memcpy";
    row.ratio = from.memcpy_ratio;
    row.goal = goal_of(row.name);
    row.setting = std::string("segments of 1 MiB of ") + (bf16 ? "bf16" : "fp16") +
                  ", K and V, head_dim 64, checksum included";
    row.samples = uint64_t(from.rounds);
    report.add(row);
  }
}

}  // namespace

void suite_codec(Report& report) {
  add_our_rows(report, false);
  add_our_rows(report, true);
  const size_t objects = 4 * l3_bytes() / kObjectBytes;
  const Buffer raw(objects * kObjectBytes);
  Buffer ring(2 * l3_bytes() + 4 * kObjectBytes);
  for (size_t i = 0; i < objects; ++i) {
    if (i < kDistinct) {
      fill_kv(raw.at(i * kObjectBytes), kObjectBytes, kHeadDim, i + 1);
    } else {
      __builtin_memcpy(raw.at(i * kObjectBytes), raw.at(i % kDistinct * kObjectBytes),
                       kObjectBytes);
    }
  }
  const std::vector<Peer> peers = make_peers(report);
  for (const Peer& peer : peers) {
    if (!report.wants("encode/" + peer.name) && !report.wants("decode/" + peer.name)) continue;
    PeerRun run(raw, ring, peer);
    add_peer_rows(report, run);
  }
}

}  // namespace speckv::bench
