// SPDX-License-Identifier: Apache-2.0
// hostile_test.cpp - a client that says what it may not, and a guest that does what it should not:
// each gets one errno, or one error completion, and the next good command works.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <random>

#include "codec/checksum.hpp"
#include "pci_config.hpp"
#include "served_fixture.hpp"

namespace speckv::device {
namespace {

using testing::Bytes;
using testing::Host;

constexpr uint32_t kBar0 = 0, kBar2 = 2, kConfig = 7, kMsix = 2, kFdsTrigger = 0x24;

class Hostile : public testing::ServedTest {
 protected:
  Hostile() {
    EXPECT_EQ(lend(Host::bus_base, Host::bytes), 0);
    host_.set_up();
  }

  void expect_good() {
    speckv_engine_descriptor nop{};
    nop.cookie = ++cookie_;
    host_.submit(nop);
    const auto told = wait();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->cookie, cookie_);
    EXPECT_EQ(told->status, SPECKV_ENGINE_OK);
  }
  std::optional<speckv_engine_completion> wait() {
    for (int i = 0; i < 20'000; ++i) {
      if (const auto told = host_.poll()) return told;
      poll(nullptr, 0, 1);
    }
    return {};
  }
  int ask(Command command, const Answer& body, const std::vector<int>& descriptors = {}) {
    client_->say(command, body, descriptors);
    return client_->hear();
  }
  int write_region(uint32_t region, uint64_t offset, size_t bytes) {
    Answer body;
    body.u64(offset).u32(region).u32(uint32_t(bytes));
    return ask(Command::region_write, body.bytes(Bytes(bytes, std::byte{0xff})));
  }
  int read_region(uint32_t region, uint64_t offset, uint32_t bytes) {
    return ask(Command::region_read, Answer().u64(offset).u32(region).u32(bytes));
  }
  // The connection is of no use any more: another client has the device.
  void expect_closed() {
    EXPECT_EQ(client_->hear(), -1);
    part();
    connect();
    EXPECT_EQ(lend(Host::bus_base, Host::bytes), 0);
    host_.set_up();
    expect_good();
  }
  static size_t open_descriptors() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd"))
      ++count;
    return count;
  }

  uint64_t cookie_ = 0;
};

TEST_F(Hostile, BodiesOfEveryLengthForEveryCommand) {
  for (uint16_t command = 0; command < 20; ++command) {
    if (Command(command) == Command::reset) continue;
    for (size_t length = 0; length < 48; ++length) {
      // ones: no flag, size or count of them is a good one
      const int error = ask(Command(command), Answer().bytes(Bytes(length, std::byte{0xff})));
      if (Command(command) == Command::get_info) continue;
      EXPECT_NE(error, 0) << command << " " << length;
    }
  }
  expect_good();
}

TEST_F(Hostile, ALongMessageIsReadToItsEnd) {
  const Bytes rest(60'000, std::byte{7});
  EXPECT_EQ(ask(Command::get_info, Answer().bytes(rest)), 0);
  EXPECT_EQ(ask(Command::region_write, Answer().u64(0).u32(0).u32(4).bytes(rest)), EINVAL);
  expect_good();
}

TEST_F(Hostile, HeadersThatBeginNoMessage) {
  for (const uint32_t size : {0U, 15U, message_bytes_max + 1, ~0U}) {
    Bytes header = Answer().u16(1).u16(9).u32(size).u32(0).u32(0).reply_to({});
    header.erase(header.begin(), header.begin() + header_bytes);
    client_->send(header, {});
    expect_closed();
  }
}

TEST_F(Hostile, OneThatLeavesInTheMiddleOfAMessage) {
  for (size_t part_of = 1; part_of < 32; part_of += 6) {
    Bytes bytes = Answer().u16(1).u16(9).u32(32).u32(0).u32(0).reply_to({});
    bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
    bytes.resize(32);
    client_->send(std::span(bytes).first(part_of), {});
    part();
    EXPECT_EQ(server_.memory().areas(), 0u);
    connect();
  }
  EXPECT_EQ(lend(Host::bus_base, Host::bytes), 0);
  host_.set_up();
  expect_good();
}

TEST_F(Hostile, ASplitMessageWithItsDescriptorInTheMiddle) {
  Bytes bytes = Answer()
                    .u16(1)
                    .u16(uint16_t(Command::dma_map))
                    .u32(48)
                    .u32(0)
                    .u32(0)
                    .u32(32)
                    .u32(3)
                    .u64(0)
                    .u64(Host::bus_base + (1ULL << 32))
                    .u64(4096)
                    .reply_to({});
  bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
  client_->send(std::span(bytes).first(20), {});
  client_->send(std::span(bytes).subspan(20, 1), {host_.file()});
  client_->send(std::span(bytes).subspan(21), {});
  EXPECT_EQ(client_->hear(), 0);
  EXPECT_EQ(server_.memory().areas(), 2u);
  expect_good();
}

TEST_F(Hostile, UnknownCommandsAndAnswersToNothing) {
  for (const uint16_t command : {0, 6, 11, 12, 14, 99, 65535})
    EXPECT_EQ(ask(Command(command), Answer()), ENOTSUP) << command;
  client_->say(Command::get_info, Answer().u32(16), {}, 1);  // a reply
  EXPECT_EQ(client_->hear(), EINVAL);
  expect_good();
}

TEST_F(Hostile, SizesThatOverflow) {
  const auto map = [&](uint64_t file_offset, uint64_t address, uint64_t size, bool has_file) {
    const auto body = Answer().u32(32).u32(3).u64(file_offset).u64(address).u64(size);
    return ask(Command::dma_map, body, has_file ? std::vector{host_.file()} : std::vector<int>());
  };
  EXPECT_EQ(map(0, ~0ULL - 4095, 8192, true), EINVAL);
  EXPECT_EQ(map(0, 1ULL << 40, 0, true), EINVAL);
  EXPECT_EQ(map(~0ULL - 4095, 1ULL << 40, 8192, true), EINVAL) << "of the file";
  EXPECT_EQ(map(0, 1ULL << 40, 1ULL << 50, true), EINVAL) << "the file is shorter";
  EXPECT_EQ(map(1, 1ULL << 40, 4096, true), EINVAL) << "no page of the file begins there";
  EXPECT_EQ(map(0, Host::bus_base + 1, 1ULL << 62, false), EEXIST);
  EXPECT_EQ(map(0, 0, Host::bus_base + 1, false), EEXIST);
  EXPECT_EQ(read_region(kBar0, ~0ULL - 3, 4), EINVAL) << "the last four addresses";
  EXPECT_EQ(read_region(kBar0, ~0ULL, 4), EINVAL);
  EXPECT_EQ(read_region(kBar0, 0, ~0U), EINVAL);
  EXPECT_EQ(read_region(kBar0, 0, register_bar_bytes + 1), EINVAL);
  EXPECT_EQ(read_region(~0U, 0, 4), EINVAL);
  EXPECT_EQ(ask(Command::dma_unmap, Answer().u32(24).u32(0).u64(Host::bus_base).u64(~0ULL)),
            ENOENT);
  expect_good();
}

TEST_F(Hostile, AllMemoryIsTakenAwayByItsNameAlone) {
  const auto unmap = [&](uint32_t flags, uint64_t address, uint64_t size) {
    return ask(Command::dma_unmap, Answer().u32(24).u32(flags).u64(address).u64(size));
  };
  EXPECT_EQ(unmap(2, 0, 4096), EINVAL);
  EXPECT_EQ(unmap(2, Host::bus_base, Host::bytes), EINVAL);
  EXPECT_EQ(unmap(1, Host::bus_base, Host::bytes), EINVAL) << "dirty pages are nothing it has";
  expect_good();
  EXPECT_EQ(unmap(2, 0, 0), 0);
  EXPECT_EQ(server_.memory().areas(), 0u);
}

TEST_F(Hostile, DescriptorsTooManyOrNoneOrOfTheWrongKind) {
  const Descriptor event(eventfd(0, EFD_CLOEXEC));
  const auto body = Answer().u32(32).u32(3).u64(0).u64(1ULL << 40).u64(4096);
  EXPECT_EQ(ask(Command::dma_map, body, {host_.file(), host_.file()}), EINVAL);
  EXPECT_NE(ask(Command::dma_map, body, {event.get()}), 0) << "nothing that can be mapped";
  EXPECT_EQ(ask(Command::dma_map, body), 0) << "an area without a file: its accesses fail";
  std::byte byte;
  EXPECT_FALSE(server_.memory().read(1ULL << 40, {&byte, 1}));
  EXPECT_EQ(ask(Command::set_irqs, Answer().u32(20).u32(kFdsTrigger).u32(kMsix).u32(0).u32(1),
                {event.get(), event.get()}),
            EINVAL);
  EXPECT_EQ(ask(Command::get_info, Answer().u32(16), {event.get(), event.get()}), 0);
  const size_t before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(ask(Command::get_info, Answer().u32(16), std::vector<int>(16, event.get())), 0);
    EXPECT_EQ(ask(Command::dma_map, body, std::vector<int>(16, event.get())), EINVAL);
  }
  EXPECT_EQ(open_descriptors(), before) << "what it does not take is closed";
  expect_good();
  // 17 in one message, in two parts: more than any command has
  Bytes bytes = Answer().u16(1).u16(4).u32(32).u32(0).u32(0).reply_to({});
  bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
  bytes.resize(32);
  client_->send(std::span(bytes).first(16), std::vector<int>(16, event.get()));
  client_->send(std::span(bytes).subspan(16), {event.get()});
  expect_closed();
}

TEST_F(Hostile, MemoryThatIsTakenAwayInFlight) {
  std::mt19937 random(9);
  for (int i = 0; i < 40; ++i) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_COPY;
    asked.source_extent = asked.target_extent = Host::extent_data;
    asked.target_offset = 4 << 20;
    asked.bytes = 2 << 20;
    for (int j = 0; j < 4; ++j) host_.submit(asked);
    poll(nullptr, 0, int(random() % 3));
    EXPECT_EQ(ask(Command::dma_unmap, Answer().u32(24).u32(0).u64(Host::bus_base).u64(Host::bytes)),
              0);
    // from its answer on nothing of it is touched any more
    const auto target = host_.at(Host::data + (4 << 20), 4096);
    std::ranges::fill(target, std::byte{0xa5});
    poll(nullptr, 0, 1);
    EXPECT_TRUE(std::ranges::all_of(target, [](std::byte b) { return b == std::byte{0xa5}; }));
    EXPECT_EQ(lend(Host::bus_base, Host::bytes), 0);
    host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
    while ((client_->read(SPECKV_REG_STATUS) & SPECKV_REG_STATUS_RESETTING_MASK) != 0) {
    }
    host_.set_up();
    expect_good();
  }
}

TEST_F(Hostile, AccessesOfOddWidthAndAtTheLastByte) {
  for (const uint32_t region : {kBar0, kBar2, kConfig}) {
    const uint64_t end = region == kBar0 ? register_bar_bytes : 4096;
    for (const size_t bytes : {1, 2, 3, 5, 8, 64}) {
      EXPECT_EQ(read_region(region, end - 1, uint32_t(bytes)), bytes == 1 ? 0 : EINVAL);
      EXPECT_EQ(write_region(region, end - 1, bytes), bytes == 1 ? 0 : EINVAL);
      EXPECT_EQ(write_region(region, end - bytes, bytes), 0);
      EXPECT_EQ(write_region(region, end, bytes), EINVAL);
    }
    EXPECT_EQ(read_region(region, 0, uint32_t(end)), 0) << "all of it at once";
  }
  // ones over every register, in widths that registers do not have, and at odd places
  for (const size_t bytes : {1, 2, 3, 5, 8})
    for (uint64_t at = 0; at < 0x500; at += bytes) EXPECT_EQ(write_region(kBar0, at, bytes), 0);
  EXPECT_EQ(write_region(kBar0, SPECKV_REG_CONTROL + 2, 4), 0);
  expect_good();
}

TEST_F(Hostile, VectorsOutOfRange) {
  const Descriptor event(eventfd(0, EFD_CLOEXEC));
  const auto set = [&](uint32_t start, uint32_t count, std::vector<int> descriptors) {
    return ask(Command::set_irqs,
               Answer().u32(20).u32(kFdsTrigger).u32(kMsix).u32(start).u32(count), descriptors);
  };
  EXPECT_EQ(set(msix_vectors, 1, {event.get()}), EINVAL);
  EXPECT_EQ(set(msix_vectors - 1, 2, {event.get(), event.get()}), EINVAL);
  EXPECT_EQ(set(~0U, 1, {event.get()}), EINVAL);
  EXPECT_EQ(set(1, ~0U, {event.get()}), EINVAL);
  EXPECT_EQ(set(0, msix_vectors + 1, {}), EINVAL);
  EXPECT_EQ(ask(Command::set_irqs, Answer().u32(20).u32(kFdsTrigger).u32(77).u32(0).u32(1)),
            EINVAL);
  for (const uint8_t vector : {msix_vectors, 200U, 255U}) {
    host_.set_queue(0, 3, vector);  // an interrupt of nobody's
    expect_good();
  }
}

TEST_F(Hostile, AnEventThatIsFullHoldsNobodyUp) {
  const Descriptor event(eventfd(0, EFD_CLOEXEC));  // its writes would block
  listen(5, event.get());
  const uint64_t full = ~0ULL - 1;
  EXPECT_EQ(write(event.get(), &full, sizeof(full)), ssize_t(sizeof(full)));
  for (int i = 0; i < 20; ++i) expect_good();
}

TEST_F(Hostile, EveryDoorbellAndNeverOne) {
  for (uint32_t offset = 0; offset < 0x1000; offset += 4)
    if (offset != SPECKV_REG_CONTROL) host_.write(offset, 0xffffffff);
  for (uint32_t i = 0; i < 2000; ++i)
    host_.write(SPECKV_REG_QUEUES_SQ_TAIL + i % 2 * 0x40, i * 977);
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  host_.write(SPECKV_REG_MODERATION, 1);
  host_.set_up();
  expect_good();
  speckv_engine_descriptor nop{};
  host_.place(nop);  // and no doorbell
  poll(nullptr, 0, 20);
  EXPECT_FALSE(host_.poll());
  EXPECT_EQ(client_->read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
}

// What is told is what was stored, whatever was read.
TEST_F(Hostile, MemoryThatChangesWhileItIsEncoded) {
  constexpr uint32_t raw_bytes = 2 * 8 * 4096, stored_bytes = 8 * (1024 + 2112);
  host_.write(SPECKV_REG_LAYOUTS_SHAPE, SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK | 1u |
                                            8u << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT |
                                            1u << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT);
  host_.write(SPECKV_REG_LAYOUTS_CODECS, 4u | 2u << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT);
  std::atomic<bool> is_over = false;
  std::thread changer([&] {
    std::mt19937_64 random(4);
    const auto raw = host_.at(Host::data, raw_bytes);
    while (!is_over) {
      const uint64_t word = (random() & 0x83ff83ff83ff83ff) | 0x3800380038003800;
      std::memcpy(&raw[random() % (raw_bytes / 8) * 8], &word, 8);
    }
  });
  for (int i = 0; i < 200; ++i) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_ENCODE;
    asked.source_extent = asked.target_extent = Host::extent_data;
    asked.target_offset = 3 << 20;
    asked.bytes = stored_bytes;
    host_.submit(asked);
    const auto told = wait();
    ASSERT_TRUE(told);
    ASSERT_EQ(told->status, SPECKV_ENGINE_OK);
    codec::Checksum sum;
    codec::checksum_update(sum, host_.at(Host::data + (3 << 20), 1).data(), stored_bytes);
    ASSERT_EQ(told->checksum, codec::checksum_final(sum));
  }
  is_over = true;
  changer.join();
}

TEST_F(Hostile, OneThatNeverReadsItsAnswersDoesNotKeepTheServer) {
  std::thread talker([&] {
    for (int i = 0; i < 100'000; ++i) {
      Bytes bytes =
          Answer().u16(1).u16(9).u32(32).u32(0).u32(0).u64(0).u32(0).u32(65536).reply_to({});
      bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
      if (send(connection_, bytes.data(), bytes.size(), MSG_NOSIGNAL) <= 0) return;
    }
  });
  poll(nullptr, 0, 50);
  server_.stop();
  thread_.join();
  talker.join();
}

TEST_F(Hostile, ARegisterIsReadWhileCommandsRun) {
  int busy = 0;
  for (int i = 0; i < 1000 && busy == 0; ++i) {
    speckv_engine_descriptor asked{};
    asked.opcode = SPECKV_ENGINE_CHECKSUM;
    asked.source_extent = Host::extent_data;
    asked.bytes = 2 << 20;
    host_.submit(asked);
    while (client_->read(SPECKV_REG_STATUS) != SPECKV_REG_STATUS_IDLE_MASK) ++busy;
    EXPECT_TRUE(host_.poll());
  }
  EXPECT_GT(busy, 0) << "it was answered before they had ended";
}

}  // namespace
}  // namespace speckv::device
