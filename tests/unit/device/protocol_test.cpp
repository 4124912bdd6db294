// SPDX-License-Identifier: Apache-2.0
// protocol_test.cpp - vfio-user messages, the configuration space and the memory map: what a client
// may say, and everything else.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "device.hpp"
#include "host.hpp"

namespace speckv::device {
namespace {

using testing::Host;
using Bytes = std::vector<std::byte>;

// A message as a client composes it: the body is the words', in little-endian order.
Bytes message(Command command, const Answer& body, uint32_t flags = 0) {
  const Bytes reply = body.reply_to({});
  Answer whole;
  whole.u16(7).u16(uint16_t(command)).u32(uint32_t(reply.size())).u32(flags).u32(0);
  whole.bytes(std::span(reply).subspan(header_bytes));
  const Bytes wrapped = whole.reply_to({});
  return {wrapped.begin() + header_bytes, wrapped.end()};
}

int parse_error(Command command, const Answer& body) {
  const Bytes bytes = message(command, body);
  Message parsed;
  return parse(bytes, &parsed);
}

TEST(Messages, ARegionWriteAsAClientSendsIt) {
  const Bytes bytes =
      message(Command::region_write, Answer().u64(0x10c).u32(0).u32(4).u32(3), 1 << 4);
  Message parsed;
  ASSERT_EQ(parse(bytes, &parsed), 0);
  EXPECT_EQ(parsed.header.id, 7);
  EXPECT_FALSE(parsed.wants_reply);
  EXPECT_EQ(parsed.offset, 0x10cu);
  EXPECT_EQ(parsed.data.size(), 4u);
}

TEST(Messages, LengthsThatDoNotAgree) {
  EXPECT_EQ(parse_error(Command::region_write, Answer().u64(0).u32(0).u32(8).u32(3)), EINVAL);
  EXPECT_EQ(parse_error(Command::region_write, Answer().u64(0).u32(0).u32(0)), EINVAL);
  EXPECT_EQ(parse_error(Command::region_read, Answer().u64(0).u32(0)), EINVAL);
  EXPECT_EQ(parse_error(Command::region_read, Answer().u64(~0ull).u32(0).u32(4)), EINVAL);
  EXPECT_EQ(parse_error(Command::region_read, Answer().u64(0).u32(0).u32(transfer_bytes_max + 1)),
            EINVAL);
  EXPECT_EQ(parse_error(Command::dma_map, Answer().u32(32).u32(3).u64(0).u64(0)), EINVAL);
  EXPECT_EQ(parse_error(Command::dma_map, Answer().u32(32).u32(3).u64(0).u64(4096).u64(~0ull)),
            EINVAL);
  EXPECT_EQ(parse_error(Command::dma_map, Answer().u32(32).u32(3).u64(0).u64(4096).u64(0)), EINVAL);
  EXPECT_EQ(parse_error(Command(99), Answer()), ENOTSUP);
  EXPECT_EQ(parse_error(Command::set_irqs, Answer().u32(20).u32(0x24).u32(2).u32(~0u).u32(2)),
            EINVAL);
}

TEST(Messages, AHeaderThatNoMessageBeginsWith) {
  const auto header = [](uint32_t size) {
    const Bytes wrapped = Answer().u16(1).u16(1).u32(size).u32(0).u32(0).reply_to({});
    return parse_header(std::span(wrapped).subspan(header_bytes));
  };
  EXPECT_FALSE(header(15));
  EXPECT_FALSE(header(message_bytes_max + 1));
  EXPECT_TRUE(header(16));
}

TEST(Messages, AnyBytesAreParsedOrRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(16 + random() % 64);
    for (std::byte& byte : bytes) byte = std::byte(random());
    const auto size = uint32_t(bytes.size());
    std::memcpy(bytes.data() + 4, &size, 4);
    bytes[2] = std::byte(random() % 16), bytes[3] = std::byte{0};
    bytes[8] &= std::byte{0xf0};
    Message parsed;
    if (parse(bytes, &parsed) == 0 && Command(parsed.header.command) == Command::region_write) {
      ASSERT_EQ(parsed.data.size(), parsed.count);
    }
  }
}

TEST(Config, ABarAnswersWithItsSize) {
  PciConfig config;
  const uint32_t ones = ~0u;
  uint32_t value;
  config.write(0x10, std::as_bytes(std::span(&ones, 1)));
  config.read(0x10, std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(value, ~(register_bar_bytes - 1) | 4u);
  config.read(0, std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(value, 0x10f01b36u);
  config.write(0, std::as_bytes(std::span(&ones, 1)));
  config.read(0, std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(value, 0x10f01b36u) << "the vendor is nothing that a guest writes";
}

TEST(Config, AFunctionLevelReset) {
  PciConfig config;
  const uint16_t asked = 0x8000, not_asked = 0x2810;
  EXPECT_FALSE(config.write(0x48, std::as_bytes(std::span(&not_asked, 1))));
  EXPECT_TRUE(config.write(0x48, std::as_bytes(std::span(&asked, 1))));
  uint16_t value;
  config.read(0x48, std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(value & 0x8000, 0) << "the bit never reads as set";
}

TEST(Memory, AreasComeAndGo) {
  Host host;
  DmaMap map;
  EXPECT_EQ(map.add(0x1000, 0x2000, host.file(), 0, true, true), 0);
  EXPECT_EQ(map.add(0x2fff, 0x1000, host.file(), 0, true, true), EEXIST);
  EXPECT_EQ(map.add(0x0, 0x1001, host.file(), 0, true, true), EEXIST);
  EXPECT_EQ(map.add(0x3000, 0x1000, host.file(), 0x2000, true, false), 0);
  EXPECT_EQ(map.add(0x4000, 0x1000, -1, 0, true, false), 0) << "a ROM has no file";
  Bytes bytes(0x2000, std::byte{7});
  EXPECT_TRUE(map.write(0x1000, bytes));
  EXPECT_TRUE(map.read(0x2000, bytes)) << "over two areas";
  EXPECT_FALSE(map.write(0x2000, bytes)) << "the second is read-only";
  EXPECT_FALSE(map.read(0x3000, bytes)) << "the ROM cannot be read";
  EXPECT_FALSE(map.read(0xfff, std::span(bytes).first(1)));
  EXPECT_EQ(map.remove(0x1000, 0x1000), ENOENT);
  EXPECT_EQ(map.remove(0x1000, 0x2000), 0);
  EXPECT_FALSE(map.read(0x1000, std::span(bytes).first(1)));
}

TEST(Memory, AFileThatIsTooShortIsRefused) {
  Host host;
  DmaMap map;
  EXPECT_EQ(map.add(0, Host::bytes + 4096, host.file(), 0, true, true), EINVAL);
  EXPECT_EQ(map.add(0, 4096, host.file(), Host::bytes, true, true), EINVAL);
  EXPECT_EQ(map.add(0, 4096, host.file(), ~0ull - 4095, true, true), EINVAL);
}

}  // namespace
}  // namespace speckv::device
