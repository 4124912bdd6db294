// SPDX-License-Identifier: Apache-2.0
// cases.cpp - engine_cases FILE: segments as the codec room encodes and decodes them, for guests
// that ask an engine the same (../guest/engine_cases.h). No values of a real model: those are near
// enough to each other that no codec refuses them.
#include "../guest/engine_cases.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "codec/chan_table.hpp"
#include "codec/chanq.hpp"
#include "codec/segment.hpp"
#include "hw/speckv_engine.h"

namespace {

using namespace speckv;

constexpr uint16_t rotated = 64;
using Bytes = std::vector<std::byte>;

struct Case {
  const char* name;
  uint32_t preset;
  bool bf16, first, half_split;
  uint32_t heads, pages, tokens, head_dim;
};

constexpr Case cases[] = {
    {"exact", SPECKV_PRESET_EXACT, false, false, false, 2, 2, 32, 64},
    {"q8", SPECKV_PRESET_Q8, false, true, false, 3, 1, 32, 128},
    {"near-lossless", SPECKV_PRESET_NEAR_LOSSLESS, false, false, true, 2, 2, 32, 64},
    {"near-lossless, first, bf16", SPECKV_PRESET_NEAR_LOSSLESS, true, true, false, 2, 2, 16, 128},
    {"balanced, first", SPECKV_PRESET_BALANCED, false, true, true, 4, 1, 64, 64},
};

speckv_layout words_of(const Case& one) {
  speckv_layout words{};
  words.size = sizeof(words);
  words.dtype = one.bf16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
  words.layers = 1;
  words.kv_heads = one.heads;
  words.head_dim = one.head_dim;
  words.page_tokens = one.tokens;
  words.block_tokens = one.pages * one.tokens;
  words.rope = one.half_split ? SPECKV_ROPE_HALF : SPECKV_ROPE_INTERLEAVED;
  words.rope_dims = rotated;
  words.rope_theta[0] = 1e4F;
  return words;
}

// Values of one octave.
Bytes raw_values(const Case& one) {
  const size_t count = 2ull * one.heads * one.pages * one.tokens * one.head_dim;
  Bytes raw(2 * count);
  std::mt19937 random(one.preset + one.heads);
  for (size_t i = 0; i < count; ++i) {
    const auto bits =
        uint16_t(one.bf16 ? (random() & 0x807f) | 0x3f00 : (random() & 0x83ff) | 0x3800);
    std::memcpy(raw.data() + 2 * i, &bits, 2);
  }
  return raw;
}

// Turns as LOAD takes them: token by token, pair by pair, cosine and sine; of the widest shape.
Bytes turns() {
  std::string error;
  const auto widest = codec::ChanTables::make(words_of({"", 0, false, false, false, 1, 1, 64, 256}),
                                              nullptr, &error);
  const codec::Rotation& rotation = *widest->at(0, 0).rotation;
  Bytes bytes(SPECKV_ENGINE_TURNS_BYTES);
  for (size_t token = 0; token < codec::chanq_tokens_max; ++token) {
    for (size_t pair = 0; pair < codec::chanq_pairs_max; ++pair) {
      const int16_t turn[2] = {int16_t(rotation.cosine(token, pair)),
                               int16_t(rotation.sine(token, pair))};
      std::memcpy(&bytes[(token * codec::chanq_pairs_max + pair) * 4], turn, 4);
    }
  }
  return bytes;
}

Bytes widths_of(const codec::ChanTables& tables, codec::CodecId id, uint32_t heads) {
  Bytes bytes(heads * size_t{SPECKV_ENGINE_WIDTHS_BYTES});
  for (uint32_t head = 0; head < heads; ++head) {
    const codec::ChanTable& table = tables.at(0, head);
    for (size_t pair = 0; pair < table.map.pairs(); ++pair)
      for (const size_t channel : {table.map.first(pair), table.map.second(pair)})
        bytes[head * SPECKV_ENGINE_WIDTHS_BYTES + channel / 2] |=
            std::byte(table.widths[codec::chanq_index(id)][pair] << channel % 2 * 4);
  }
  return bytes;
}

speckv_cmd command(const Case& one, const codec::Preset& preset) {
  speckv_cmd cmd{};
  cmd.opcode = SPECKV_CMD_ENCODE;
  cmd.flags = one.first ? SPECKV_CMD_FIRST : 0;
  cmd.bf16 = one.bf16;
  cmd.heads = uint16_t(one.heads);
  cmd.pages = uint16_t(one.pages);
  cmd.head_dim = uint16_t(one.head_dim);
  cmd.tokens = uint8_t(one.tokens);
  cmd.codec_k = uint8_t(preset.k);
  cmd.codec_v = uint8_t(preset.v);
  cmd.codec_first = one.first ? uint8_t(preset.first) : 0;
  return cmd;
}

bool put(FILE* file, const void* bytes, size_t size) {
  return std::fwrite(bytes, 1, size, file) == size;
}

bool write_case(FILE* file, const Case& one) {
  const speckv_layout words = words_of(one);
  codec::Preset preset{};
  std::string error;
  const auto tables = codec::ChanTables::make(words, nullptr, &error);
  if (!tables || !codec::preset_for(words, one.preset, &preset)) return false;
  const Bytes raw = raw_values(one);
  Bytes stored(codec::segment_bytes(words, preset, one.first)), back(raw.size());
  const ptrdiff_t token = ptrdiff_t(2 * one.head_dim), head = token * words.block_tokens;
  engine_case made{};
  uint64_t checksum = 0;
  const auto refusal = codec::encode_segment(
      words, preset, 0, one.first,
      {{raw.data(), token, head, 2}, {raw.data() + raw.size() / 2, token, head, 2}}, stored,
      &checksum, tables->data());
  if (refusal != codec::Refusal::none) return false;
  codec::decode_segment(
      words, preset, 0, one.first, stored,
      {{back.data(), token, head, 2}, {back.data() + back.size() / 2, token, head, 2}}, false,
      tables->data());
  Bytes loaded_turns, widths;
  made.cmd = command(one, preset);
  if (codec::is_chanq(preset.k)) {
    loaded_turns = turns();
    widths = widths_of(*tables, preset.k, one.heads);
    made.cmd.rotated = rotated;
    made.cmd.rope = one.half_split ? SPECKV_CMD_ROPE_HALF_SPLIT : 0;
  }
  std::snprintf(made.name, sizeof(made.name), "%s", one.name);
  made.cmd.bytes = uint32_t(stored.size());
  made.checksum = checksum;
  made.raw_bytes = uint32_t(raw.size());
  made.stored_bytes = uint32_t(stored.size());
  made.back_bytes = uint32_t(back.size());
  made.turns_bytes = uint32_t(loaded_turns.size());
  made.widths_bytes = uint32_t(widths.size());
  bool good = put(file, &made, sizeof(made));
  for (const Bytes& part : {raw, stored, back, loaded_turns, widths})
    good = good && put(file, part.data(), part.size());
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: engine_cases FILE\n");
    return 2;
  }
  FILE* file = std::fopen(argv[1], "wb");
  if (file == nullptr) {
    std::perror(argv[1]);
    return 1;
  }
  bool good = true;
  for (const Case& one : cases) {
    if (write_case(file, one)) continue;
    std::fprintf(stderr, "engine_cases: cannot make %s\n", one.name);
    good = false;
  }
  return std::fclose(file) == 0 && good ? 0 : 1;
}
