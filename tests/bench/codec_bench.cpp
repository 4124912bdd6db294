// SPDX-License-Identifier: Apache-2.0
#include "codec_bench.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>

#include "codec/chan_table.hpp"
#include "codec/half.hpp"
#include "codec/segment.hpp"
#include "memory.hpp"

namespace speckv::bench {
namespace {

using codec::CodecId;
using codec::Preset;

constexpr size_t object_bytes = 1 << 20;

struct Workload {
  speckv_layout layout{};
  codec::ConstPlane plane{};  // strides only

  explicit Workload(const CodecBenchOptions& options) {
    layout.size = sizeof layout;
    layout.dtype = options.bf16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
    layout.layers = 1;
    layout.kv_heads = options.kv_heads;
    layout.head_dim = options.head_dim;
    layout.page_tokens = options.page_tokens;
    const size_t token_bytes = size_t{4} * options.kv_heads * options.head_dim;  // K and V
    layout.block_tokens =
        uint32_t(object_bytes / token_bytes / options.page_tokens * options.page_tokens);
    layout.rope = SPECKV_ROPE_HALF;
    layout.rope_theta[0] = 1e4F;
    const ptrdiff_t row = ptrdiff_t{2} * options.head_dim;
    plane.channel_stride = 2;
    plane.head_stride = options.token_major ? row : row * layout.block_tokens;
    plane.token_stride = options.token_major ? row * options.kv_heads : row;
  }
  size_t raw_bytes() const {
    return size_t{4} * layout.kv_heads * layout.head_dim * layout.block_tokens;
  }
  codec::SegmentView in(const std::byte* base) const {
    codec::ConstPlane k = plane, v = plane;
    k.base = base;
    v.base = base + raw_bytes() / 2;
    return {k, v};
  }
  codec::SegmentOut out(std::byte* base) const {
    const codec::Plane k{base, plane.token_stride, plane.head_stride, plane.channel_stride};
    codec::Plane v = k;
    v.base = base + raw_bytes() / 2;
    return {k, v};
  }
};

// K-like in its first half: channels with offsets; V-like in the second: independent values. Steps
// far below what a 16-bit float resolves, so that zeros are as rare as they are in a KV cache.
void fill_object(const Workload& work, std::byte* base, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  const bool bf16 = codec::is_bf16(uint8_t(work.layout.dtype));
  const size_t n = work.raw_bytes() / 2;
  for (size_t i = 0; i < n; ++i) {
    const int64_t noise = int64_t(random() >> 1) + int64_t(random() >> 1) - (int64_t{1} << 31);
    const int64_t offset = i < n / 2 ? int64_t(i % work.layout.head_dim * 193 % 2048) - 1024 : 0;
    const uint16_t bits = codec::round_to_half(noise + offset * (1 << 22), -31, bf16);
    std::memcpy(base + 2 * i, &bits, 2);
  }
}

// A way to move one object; run(object, destination offset).
struct Contender {
  std::string name;
  std::function<void(size_t, std::byte*)> run;
  std::vector<double> seconds = {};
  std::vector<uint32_t> order = {};
  double median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

// Turns are short, a few objects each, and timed in this thread's own CPU time: on a shared machine
// a turn that was interrupted is one sample among hundreds and the median does not see it.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

void take_turns(std::vector<Contender>& contenders, size_t objects, Buffer& ring, size_t raw_bytes,
                int rounds) {
  constexpr size_t objects_per_turn = 4;
  std::mt19937 random(7);
  std::vector<uint32_t> order(objects);
  for (size_t i = 0; i < objects; ++i) order[i] = uint32_t(i);
  size_t at = 0;
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : contenders)
      std::shuffle(order.begin(), order.end(), random), contender.order = order;
    for (size_t first = 0; first + objects_per_turn <= objects; first += objects_per_turn) {
      for (Contender& contender : contenders) {
        const double start = thread_seconds();
        for (size_t i = first; i < first + objects_per_turn; ++i) {
          contender.run(contender.order[i], ring.at(at));
          at = at + 2 * raw_bytes <= ring.bytes() ? at + raw_bytes : 0;
        }
        contender.seconds.push_back((thread_seconds() - start) / double(objects_per_turn));
      }
    }
  }
}

struct Named {
  std::string name;
  Preset preset;
};

// Every preset, then the codecs of K and of V on both halves of a segment: K apart and V apart.
std::vector<Named> subjects() {
  std::vector<Named> all, apart;
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; ++id) {
    Preset preset;
    if (!codec::preset(id, &preset)) continue;
    all.push_back({std::string(codec::preset_name(id)), preset});
    if (preset.k == preset.v) continue;
    apart.push_back({"k/" + std::string(codec::name(preset.k)), {preset.k, preset.k, preset.k}});
    apart.push_back({"v/" + std::string(codec::name(preset.v)), {preset.v, preset.v, preset.v}});
  }
  const CodecId paper = CodecId::paper;
  apart.push_back({"paper", {paper, paper, paper}});
  all.insert(all.end(), apart.begin(), apart.end());
  return all;
}

}  // namespace

std::vector<CodecRow> codec_rows(const CodecBenchOptions& options) {
  const Workload work(options);
  std::string error;
  const auto tables = codec::ChanTables::make(work.layout, nullptr, &error);
  const codec::ChanTable* table = tables == nullptr ? nullptr : tables->data();
  const size_t raw = work.raw_bytes(), set_bytes = 4 * l3_bytes();
  Buffer ring(2 * l3_bytes() + 2 * raw);
  const size_t raw_objects = set_bytes / raw;
  Buffer source(raw_objects * raw);
  for (size_t i = 0; i < raw_objects; ++i) {
    if (i < 4) fill_object(work, source.at(i * raw), i + 1);
    else std::memcpy(source.at(i * raw), source.at(i % 4 * raw), raw);
  }
  std::vector<CodecRow> rows;
  for (const Named& subject : subjects()) {
    if (!options.only.empty() && subject.name != options.only) continue;
    const size_t stored = codec::segment_bytes(work.layout, subject.preset, false);
    if (stored == 0) continue;
    Buffer store(set_bytes / stored * stored + stored);
    const size_t objects = std::min(store.bytes() / stored, size_t{512});
    uint64_t checksum = 0, sink = 0;
    for (size_t i = 0; i < objects; ++i) {
      std::byte* to = store.at(i * stored);
      if (i >= 4) {
        std::memcpy(to, store.at(i % 4 * stored), stored);
      } else if (codec::encode_segment(work.layout, subject.preset, 0, false,
                                       work.in(source.at(i * raw)), {to, stored}, &checksum,
                                       table) != codec::Refusal::none) {
        std::fprintf(stderr, "codec bench: %s refused its page\n", subject.name.c_str());
        return rows;
      }
    }
    std::vector<Contender> contenders;
    contenders.push_back({"memcpy", [&](size_t i, std::byte* to) {
                            std::memcpy(to, source.at(i % raw_objects * raw), raw);
                          }});
    contenders.push_back({"stream", [&](size_t i, std::byte* to) {
                            stream_copy(to, source.at(i % raw_objects * raw), raw);
                          }});
    contenders.push_back({"decode", [&](size_t i, std::byte* to) {
                            sink += codec::decode_segment(work.layout, subject.preset, 0, false,
                                                          {store.at(i * stored), stored},
                                                          work.out(to), true, table);
                          }});
    contenders.push_back({"encode", [&](size_t i, std::byte* to) {
                            sink += size_t(
                                codec::encode_segment(work.layout, subject.preset, 0, false,
                                                      work.in(source.at(i % raw_objects * raw)),
                                                      {to, stored}, &checksum, table));
                          }});
    take_turns(contenders, std::min(objects, raw_objects), ring, raw, options.rounds);
    const double copy = std::min(contenders[0].median(), contenders[1].median());
    if (rows.empty()) rows.push_back({"memcpy", double(raw) / copy / 1e9, 1.0, options.rounds});
    for (size_t i = 2; i < contenders.size(); ++i) {
      const double seconds = contenders[i].median();
      rows.push_back({contenders[i].name + "/" + subject.name, double(raw) / seconds / 1e9,
                      copy / seconds, options.rounds});
    }
    if (sink == 42) std::puts("");  // keeps the results alive
  }
  return rows;
}

}  // namespace speckv::bench

#ifndef SPECKV_BENCH_LINKED
int main(int argc, char** argv) {
  speckv::bench::CodecBenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--token-major") options.token_major = true;
    else if (argument == "--bf16") options.bf16 = true;
    else if (argument == "--128") options.head_dim = 128;
    else options.only = argument;
  }
  std::printf("%s, head_dim %u, pages of %u tokens, %s\n",
              std::string(speckv::codec::isa()).c_str(), options.head_dim, options.page_tokens,
              options.token_major ? "token-major" : "head-major");
  for (const auto& row : speckv::bench::codec_rows(options)) {
    std::printf("%-24s %7.2f GB/s  %5.2f x memcpy\n", row.name.c_str(), row.gigabytes_second,
                row.memcpy_ratio);
  }
}
#endif
