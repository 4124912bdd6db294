// SPDX-License-Identifier: Apache-2.0
// fake_device.hpp - an Io behind which the driver and a codec engine are plain memory: commands do
// what they say when the test completes them, or what the test's fault says.
//
// It encodes by the codec room, with the tables that the test names; which of them were loaded it
// believes nobody. A command without an answer haunts its target: it writes there until the reset
// is answered.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "codec/chanq.hpp"
#include "codec/checksum.hpp"
#include "codec/segment.hpp"
#include "hw/speckv_engine.h"
#include "loop/io.hpp"
#include "uapi/linux/speckv.h"

namespace speckv::test {

enum class Fault {
  none,
  garbage,
  checksum,
  length,
  lie,
  refused,
  table,
  bus,
  busy,
  reset,
  gone,
  late
};

class FakeDevice : public Io {
 public:
  struct Memory {
    std::byte* data;
    uint64_t bytes;
  };
  std::map<uint64_t, Memory> extents;          // by handle
  const codec::ChanTables* tables = nullptr;   // of all that is asked
  std::map<Operation*, speckv_cmd> under_way;  // in no order
  std::vector<Operation*> haunting;            // without an answer
  std::map<Operation*, speckv_cmd> haunted;
  bool completes_by_itself = false;  // in reap()
  bool refuses = false;              // there is no room to ask
  bool is_dead = false, is_resetting = false;
  uint64_t encodes = 0, decodes = 0, loads = 0, probes = 0;
  std::map<uint64_t, uint64_t> loaded;  // offset in table memory -> bytes

  static speckv_engine_info can() {
    speckv_engine_info info{};
    info.encoders = 0x7f077d;
    info.decoders = info.encoders;
    info.tokens = 7;
    info.head_dims = 15;
    info.dtypes = 3;
    info.queues = 2;
    info.slots = 64;
    info.operations = 0xff;
    info.thetas = 2;
    info.widths = 256;
    return info;
  }

  int poll(Operation*, int) override { return -ENOSYS; }
  int read(Operation*, int, std::span<std::byte>, uint64_t) override { return -ENOSYS; }
  int write(Operation*, int, std::span<const std::byte>, uint64_t) override { return -ENOSYS; }
  int sync(Operation*, int) override { return -ENOSYS; }
  int cancel(Operation*) override { return -ENOSYS; }
  int signal(int) override { return 0; }
  void wait(uint64_t) override {}
  void reap(std::vector<Operation*>* ret_completed) override {
    while (completes_by_itself && !under_way.empty()) {
      ret_completed->push_back(under_way.begin()->first);
      complete(under_way.begin()->first);
    }
  }
  int command(Operation* operation, int fd, uint32_t call,
              std::span<const std::byte> words) override {
    if (refuses) return -EAGAIN;
    EXPECT_EQ(fd, 5);
    EXPECT_EQ(call, uint32_t(SPECKV_IOC_COMMAND));
    EXPECT_EQ(words.size(), sizeof(speckv_cmd));
    EXPECT_FALSE(operation->under_way) << "an operation is used twice at once";
    speckv_cmd cmd;
    std::memcpy(&cmd, words.data(), sizeof cmd);
    *operation = {0, true};
    under_way[operation] = cmd;
    return 0;
  }

  // Ends this command. Returns: whether it has an answer now.
  bool complete(Operation* operation, Fault fault = Fault::none) {
    const speckv_cmd cmd = under_way.at(operation);
    if (cmd.opcode == SPECKV_CMD_NOP && is_resetting && !is_dead) return false;
    under_way.erase(operation);
    operation->under_way = false;
    operation->detail = 0;
    operation->result = is_dead ? -ENODEV : result_of(operation, cmd, fault);
    return true;
  }
  // What is late was written after all, and then it answers the reset that the driver asked for.
  void answer_reset() {
    for (const auto& [operation, cmd] : haunted) scribble(cmd);
    haunted.clear();
    is_resetting = false;
  }
  void scribble(const speckv_cmd& cmd) {
    if (cmd.target) std::memset(at(cmd.target, cmd.target_offset, cmd.bytes), 0xdd, cmd.bytes);
  }
  std::byte* at(uint64_t handle, uint64_t offset, uint64_t bytes) {
    EXPECT_TRUE(extents.contains(handle)) << "memory that nobody lent";
    EXPECT_LE(offset + (bytes + 63) / 64 * 64, extents[handle].bytes);
    EXPECT_EQ(offset % 64, 0u);
    return extents[handle].data + offset;
  }

 private:
  int result_of(Operation* operation, const speckv_cmd& cmd, Fault fault) {
    switch (fault) {
      case Fault::busy:
        return -EAGAIN;
      case Fault::reset:
        loaded.clear();
        return -EIO;
      case Fault::gone:
        return -ENODEV;
      case Fault::late:
        haunted[operation] = cmd;
        is_resetting = true;
        return -ETIMEDOUT;
      case Fault::bus:
        return SPECKV_STATUS_READ_ERROR << SPECKV_RESULT_STATUS_SHIFT;
      case Fault::table:
        loaded.clear();
        return SPECKV_STATUS_TABLE << SPECKV_RESULT_STATUS_SHIFT;
      case Fault::refused:
        operation->detail = 1;
        return SPECKV_STATUS_REFUSED << SPECKV_RESULT_STATUS_SHIFT;
      default:
        break;
    }
    if (cmd.opcode == SPECKV_CMD_NOP) return probes++, 0;
    if (cmd.opcode == SPECKV_CMD_LOAD) return load(cmd);
    if (cmd.opcode == SPECKV_CMD_DECODE) return decode(operation, cmd, fault);
    EXPECT_EQ(cmd.opcode, SPECKV_CMD_ENCODE);
    return encode(operation, cmd, fault);
  }
  int load(const speckv_cmd& cmd) {
    at(cmd.source, cmd.source_offset, cmd.bytes);
    loaded[cmd.target_offset] = cmd.bytes;
    loads++;
    return 0;
  }
  bool has_tables(const speckv_cmd& cmd) const {
    if (!codec::is_chanq(codec::CodecId(cmd.codec_k))) return true;
    const uint64_t theta = cmd.rope & SPECKV_CMD_ROPE_THETA_1 ? SPECKV_ENGINE_TURNS_BYTES : 0;
    const uint64_t slot = SPECKV_ENGINE_WIDTHS_OFFSET + cmd.widths * SPECKV_ENGINE_WIDTHS_BYTES;
    const uint64_t slots = cmd.rope & SPECKV_CMD_ROPE_SHARED_WIDTHS ? 1 : cmd.heads;
    const auto widths = loaded.find(slot);
    return (!cmd.rotated || loaded.contains(theta)) && widths != loaded.end() &&
           widths->second == slots * SPECKV_ENGINE_WIDTHS_BYTES;
  }
  static speckv_layout words_of(const speckv_cmd& cmd) {
    speckv_layout words{};
    words.size = sizeof words;
    words.dtype = cmd.bf16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
    words.layers = 1;
    words.kv_heads = cmd.heads;
    words.head_dim = cmd.head_dim;
    words.page_tokens = cmd.tokens;
    words.block_tokens = uint32_t(cmd.tokens) * cmd.pages;
    return words;
  }
  int decode(Operation* operation, const speckv_cmd& cmd, Fault fault) {
    decodes++;
    if (!has_tables(cmd)) return SPECKV_STATUS_TABLE << SPECKV_RESULT_STATUS_SHIFT;
    const speckv_layout words = words_of(cmd);
    const codec::Preset preset{codec::CodecId(cmd.codec_k), codec::CodecId(cmd.codec_v),
                               codec::CodecId(cmd.codec_first)};
    const ptrdiff_t token = 2 * cmd.head_dim, head = token * words.block_tokens;
    const auto raw_bytes = uint32_t(2 * head) * cmd.heads;
    std::byte* to = at(cmd.target, cmd.target_offset, raw_bytes);
    operation->detail =
        codec::decode_segment(words, preset, 0, cmd.flags & SPECKV_CMD_FIRST,
                              {at(cmd.source, cmd.source_offset, cmd.bytes), cmd.bytes},
                              {{to, token, head, 2}, {to + head * cmd.heads, token, head, 2}},
                              false, tables ? tables->data() : nullptr);
    if (fault == Fault::garbage || fault == Fault::lie) to[raw_bytes / 2] ^= std::byte(0x10);
    if (fault == Fault::checksum) operation->detail ^= 1;
    return int(fault == Fault::length ? raw_bytes - 32 : raw_bytes);
  }
  int encode(Operation* operation, const speckv_cmd& cmd, Fault fault) {
    encodes++;
    if (!has_tables(cmd)) return SPECKV_STATUS_TABLE << SPECKV_RESULT_STATUS_SHIFT;
    const speckv_layout words = words_of(cmd);
    const codec::Preset preset{codec::CodecId(cmd.codec_k), codec::CodecId(cmd.codec_v),
                               codec::CodecId(cmd.codec_first)};
    const ptrdiff_t token = 2 * cmd.head_dim, head = token * words.block_tokens;
    const std::byte* raw = at(cmd.source, cmd.source_offset, uint64_t(2 * head) * cmd.heads);
    std::byte* to = at(cmd.target, cmd.target_offset, cmd.bytes);
    EXPECT_EQ(codec::segment_bytes(words, preset, cmd.flags & SPECKV_CMD_FIRST), cmd.bytes);
    const auto refusal = codec::encode_segment(
        words, preset, 0, cmd.flags & SPECKV_CMD_FIRST,
        {{raw, token, head, 2}, {raw + head * cmd.heads, token, head, 2}}, {to, cmd.bytes},
        &operation->detail, tables ? tables->data() : nullptr);
    if (refusal != codec::Refusal::none) {
      operation->detail = 1;
      return SPECKV_STATUS_REFUSED << SPECKV_RESULT_STATUS_SHIFT;
    }
    if (fault == Fault::garbage || fault == Fault::lie) to[cmd.bytes / 2] ^= std::byte(0x10);
    if (fault == Fault::checksum) operation->detail ^= 1;
    if (fault == Fault::lie) {  // bytes that are wrong, and their right checksum
      codec::Checksum sum;
      codec::checksum_update(sum, to, cmd.bytes);
      operation->detail = codec::checksum_final(sum);
    }
    return int(fault == Fault::length ? cmd.bytes - 32 : cmd.bytes);
  }
};

}  // namespace speckv::test
