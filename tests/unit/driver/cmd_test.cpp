// SPDX-License-Identifier: Apache-2.0
// cmd_test.cpp - commands as the driver takes them: every field, every opcode; what they move; and
// where in an extent.
#include <gtest/gtest.h>

#include <cstring>

extern "C" {
#include "cmd_check.h"
}
#include "hw/speckv_regs.h"

namespace {

constexpr u64 handle = 0x100000003, other = 0x200000009;

class Command : public ::testing::Test {
 protected:
  Command() {
    caps_.decoders = caps_.encoders = 0x7f077d;
    caps_.operations = 0xff;
    caps_.tokens = 7;
    caps_.head_dims = 15;
    caps_.dtypes = 3;
    caps_.queues = 2;
    caps_.thetas = 2;
    caps_.widths = 256;
    encode_.opcode = SPECKV_CMD_ENCODE;
    encode_.source = handle;
    encode_.target = other;
    encode_.heads = 8;
    encode_.pages = 2;
    encode_.head_dim = 128;
    encode_.tokens = 32;
    encode_.codec_k = 3;
    encode_.codec_v = 5;
    encode_.bytes = 65536 + 32;
    copy_.opcode = SPECKV_CMD_COPY;
    copy_.source = handle;
    copy_.target = other;
    copy_.bytes = 4096;
  }
  int check(const speckv_cmd& cmd) { return speckv_check_cmd(&cmd, &caps_, &plan_); }
  template <typename Change>
  int changed(speckv_cmd cmd, Change change) {
    change(cmd);
    return check(cmd);
  }

  speckv_caps caps_{};
  speckv_plan plan_{};
  speckv_cmd encode_{}, copy_{};
};

TEST_F(Command, what_a_segment_moves) {
  ASSERT_EQ(check(encode_), 0);
  EXPECT_EQ(plan_.source_bytes, 2u * 8 * 2 * 32 * 128 * 2);
  EXPECT_EQ(plan_.target_bytes, 65536u + 64) << "whole beats";
  ASSERT_TRUE(plan_.has_layout);
  EXPECT_EQ(plan_.layout.shape, 1u << 31 | 2u << 14 | 8u << 5 | 1u << 2 | 1u);
  EXPECT_EQ(plan_.layout.codecs, 5u << 8 | 3u);
  EXPECT_EQ(plan_.layout.rope, 0u);
  encode_.opcode = SPECKV_CMD_DECODE;
  ASSERT_EQ(check(encode_), 0);
  EXPECT_EQ(plan_.target_bytes, 2u * 8 * 2 * 32 * 128 * 2);
}

TEST_F(Command, tables_are_asked_for_where_a_codec_has_them) {
  encode_.codec_k = 22;
  encode_.rotated = 64;
  encode_.rope = SPECKV_CMD_ROPE_THETA_1 | SPECKV_CMD_ROPE_HALF_SPLIT;
  encode_.widths = 248;
  ASSERT_EQ(check(encode_), 0);
  EXPECT_TRUE(plan_.has_theta);
  EXPECT_EQ(plan_.theta, 1u);
  EXPECT_EQ(plan_.first, 248u);
  EXPECT_EQ(plan_.widths, 8u);
  EXPECT_EQ(plan_.layout.rope, 1u << 10 | 1u << 9 | 64u);
  EXPECT_EQ(changed(encode_, [](auto& cmd) { cmd.widths = 249; }), -EOPNOTSUPP);
  EXPECT_EQ(changed(encode_,
                    [](auto& cmd) {
                      cmd.widths = 255;
                      cmd.rope |= SPECKV_CMD_ROPE_SHARED_WIDTHS;
                    }),
            0);
  EXPECT_EQ(changed(encode_, [](auto& cmd) { cmd.rotated = 129; }), -EINVAL);
  caps_.thetas = 1;
  EXPECT_EQ(check(encode_), -EOPNOTSUPP);
}

TEST_F(Command, each_field_of_a_segment) {
  const auto refuses = [&](int wanted, auto change) {
    EXPECT_EQ(changed(encode_, change), wanted);
  };
  refuses(-EINVAL, [](auto& cmd) { cmd.heads = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.heads = 257; });
  refuses(-EINVAL, [](auto& cmd) { cmd.pages = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.pages = 257; });
  refuses(-EINVAL, [](auto& cmd) { cmd.tokens = 24; });
  refuses(-EINVAL, [](auto& cmd) { cmd.head_dim = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.head_dim = 96; });
  refuses(-EINVAL, [](auto& cmd) { cmd.head_dim = 320; });
  refuses(-EINVAL, [](auto& cmd) { cmd.bf16 = 2; });
  refuses(-EINVAL, [](auto& cmd) { cmd.codec_k = 32; });
  refuses(-EINVAL, [](auto& cmd) { cmd.codec_v = 255; });
  refuses(-EINVAL, [](auto& cmd) { cmd.codec_first = 3; });
  refuses(-EINVAL, [](auto& cmd) { cmd.rotated = 2; });
  refuses(-EINVAL, [](auto& cmd) { cmd.widths = 1; });
  refuses(-EINVAL, [](auto& cmd) { cmd.rope = 8; });
  refuses(-EINVAL, [](auto& cmd) { cmd.bytes = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.bytes = 65536 + 31; });
  refuses(-EINVAL, [](auto& cmd) { cmd.bytes = SPECKV_CMD_BYTES_MAX + 32; });
  refuses(-EINVAL, [](auto& cmd) { cmd.source = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.target = 0; });
  refuses(-EINVAL, [](auto& cmd) { cmd.source_offset = 63; });
  refuses(-EINVAL, [](auto& cmd) { cmd.target_offset = 32; });
  refuses(-EOPNOTSUPP, [](auto& cmd) { cmd.codec_v = 1; });
  refuses(-EOPNOTSUPP, [](auto& cmd) { cmd.heads = cmd.pages = 256; });
  refuses(-EOPNOTSUPP, [](auto& cmd) {
    cmd.flags = SPECKV_CMD_FIRST;
    cmd.codec_first = 7;
  });
  caps_.tokens = 5;
  EXPECT_EQ(check(encode_), -EOPNOTSUPP);
}

TEST_F(Command, each_opcode_has_its_fields_and_no_other) {
  EXPECT_EQ(check(copy_), 0);
  EXPECT_EQ(changed(copy_, [](auto& cmd) { cmd.heads = 1; }), -EINVAL);
  EXPECT_EQ(changed(copy_, [](auto& cmd) { cmd.flags = SPECKV_CMD_FIRST; }), -EINVAL);
  EXPECT_EQ(changed(copy_, [](auto& cmd) { cmd.target = cmd.source; }), -EINVAL) << "overlaps";
  EXPECT_EQ(changed(copy_,
                    [](auto& cmd) {
                      cmd.target = cmd.source;
                      cmd.target_offset = cmd.bytes;
                    }),
            0);
  speckv_cmd sum = copy_;
  sum.opcode = SPECKV_CMD_CHECKSUM;
  EXPECT_EQ(check(sum), -EINVAL) << "it has no target";
  sum.target = 0;
  EXPECT_EQ(check(sum), 0);
  EXPECT_EQ(plan_.target_bytes, 0u);
  speckv_cmd fill = copy_;
  fill.opcode = SPECKV_CMD_FILL;
  EXPECT_EQ(check(fill), -EINVAL);
  fill.source = 0;
  fill.source_offset = 0x123456789;
  EXPECT_EQ(check(fill), 0);
  EXPECT_EQ(plan_.source_bytes, 0u);
  speckv_cmd nop{};
  EXPECT_EQ(check(nop), 0);
  nop.source_offset = 1;
  EXPECT_EQ(check(nop), -EINVAL);
  nop.opcode = SPECKV_CMD_CANCEL;
  EXPECT_EQ(check(nop), 0);
  nop.source_offset = u64{1} << 32;
  EXPECT_EQ(check(nop), -EINVAL);
  nop.opcode = SPECKV_CMD_LOAD + 1;
  EXPECT_EQ(check(nop), -EINVAL);
  caps_.operations = 3;
  EXPECT_EQ(check(copy_), -EOPNOTSUPP);
}

TEST_F(Command, table_memory_has_its_places) {
  speckv_cmd load{};
  load.opcode = SPECKV_CMD_LOAD;
  load.source = handle;
  const auto at = [&](u64 offset, u32 bytes) {
    return changed(load, [&](auto& cmd) {
      cmd.target_offset = offset;
      cmd.bytes = bytes;
    });
  };
  EXPECT_EQ(at(32768, 32768), 0);
  EXPECT_EQ(plan_.theta, 1u);
  EXPECT_TRUE(plan_.is_load && plan_.has_theta);
  EXPECT_EQ(at(0, 32768 - 32), -EINVAL);
  EXPECT_EQ(at(0, 65536), -EINVAL);
  EXPECT_EQ(at(16384, 32768), -EINVAL);
  EXPECT_EQ(at(65536 + 128 * 255, 128), 0);
  EXPECT_EQ(plan_.first, 255u);
  EXPECT_EQ(plan_.widths, 1u);
  EXPECT_FALSE(plan_.has_theta);
  EXPECT_EQ(at(65536 + 128 * 255, 256), -EINVAL);
  EXPECT_EQ(at(65536 + 64, 128), -EINVAL);
  EXPECT_EQ(at(65536, 96), -EINVAL);
  EXPECT_EQ(at(u64{1} << 63, 128), -EINVAL);
  EXPECT_EQ(at(~u64{0} - 127, 128), -EINVAL);
  caps_.thetas = 1;
  EXPECT_EQ(at(32768, 32768), -EINVAL);
}

// Whatever a field is set to: a refusal, or a plan that stays within what an engine may be asked.
TEST_F(Command, every_byte_on_its_own) {
  for (const speckv_cmd& good : {encode_, copy_}) {
    ASSERT_EQ(check(good), 0);
    for (size_t at = 0; at < sizeof(good); ++at) {
      for (int value = 0; value < 256; ++value) {
        speckv_cmd cmd = good;
        reinterpret_cast<unsigned char*>(&cmd)[at] = static_cast<unsigned char>(value);
        if (std::memcmp(&cmd, &good, sizeof(cmd)) == 0 || check(cmd) != 0) continue;
        ASSERT_LE(plan_.source_bytes, SPECKV_CMD_BYTES_MAX);
        ASSERT_LE(plan_.target_bytes, SPECKV_CMD_BYTES_MAX);
        ASSERT_LT(at, offsetof(speckv_cmd, checksum)) << "an output field";
      }
    }
  }
}

TEST(Window, is_of_the_extent_and_one_only) {
  u32 window = 9;
  constexpr u64 gib = u64{1} << 30, edge = u64{1} << SPECKV_WINDOW_SHIFT;
  EXPECT_EQ(speckv_check_window(0, 64, 64, &window), 0);
  EXPECT_EQ(window, 0u);
  EXPECT_EQ(speckv_check_window(64, 64, 64, &window), -ERANGE);
  EXPECT_EQ(speckv_check_window(64, 64, 127, &window), -ERANGE);
  EXPECT_EQ(speckv_check_window(~u64{0} - 63, 64, gib, &window), -ERANGE);
  EXPECT_EQ(speckv_check_window(0, 0, gib, &window), -ERANGE);
  EXPECT_EQ(speckv_check_window(edge - 64, 64, 2 * edge, &window), 0);
  EXPECT_EQ(window, 0u);
  EXPECT_EQ(speckv_check_window(edge - 64, 128, 2 * edge, &window), -ERANGE) << "across";
  EXPECT_EQ(speckv_check_window(edge, 128, 2 * edge, &window), 0);
  EXPECT_EQ(window, 1u);
}

TEST(EngineInfo, all_but_what_is_asked_is_zero) {
  speckv_engine_info info{};
  info.flags = SPECKV_ENGINE_ATTACH;
  info.engine = 5;
  EXPECT_EQ(speckv_check_engine(&info), 0);
  for (size_t at = 8; at < sizeof(info); ++at) {
    speckv_engine_info bad = info;
    reinterpret_cast<unsigned char*>(&bad)[at] = 1;
    EXPECT_EQ(speckv_check_engine(&bad), -EINVAL) << at;
  }
  info.flags = 2;
  EXPECT_EQ(speckv_check_engine(&info), -EINVAL);
}

TEST(Capabilities, come_from_the_registers_fields) {
  speckv_caps caps{};
  speckv_caps_unpack(&caps, 1u << 16 | 2u << 8 | 9u << 4 | 5u, 8u << 24 | 16u << 16 | 2u << 8 | 1u,
                     256u << 16 | 2u);
  EXPECT_TRUE(caps.coherent);
  EXPECT_EQ(caps.dtypes, 2);
  EXPECT_EQ(caps.head_dims, 9);
  EXPECT_EQ(caps.tokens, 5);
  EXPECT_EQ(caps.layouts, 8);
  EXPECT_EQ(caps.extents, 16);
  EXPECT_EQ(caps.queues, 2);
  EXPECT_EQ(caps.widths, 256);
  EXPECT_EQ(caps.thetas, 2);
}

}  // namespace
