// SPDX-License-Identifier: Apache-2.0
// server_test.cpp - a client over a real socket, as QEMU is one: it lends memory by descriptor,
// reads and writes registers, takes interrupts by eventfd, breaks off and comes again.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "served_fixture.hpp"

namespace speckv::device {
namespace {

using testing::Host;
using Bytes = std::vector<std::byte>;

using Served = testing::ServedTest;

TEST_F(Served, WhatQemuAsksAtItsStart) {
  client_->say(Command::version, Answer().u16(0).u16(0).text("{}"));
  Bytes body;
  EXPECT_EQ(client_->hear(&body), 0);
  EXPECT_EQ(body.back(), std::byte{0}) << "the capabilities end with a 0";
  client_->say(Command::get_info, Answer().u32(16).u32(0).u32(0).u32(0));
  EXPECT_EQ(client_->hear(&body), 0);
  EXPECT_EQ(body.size(), 16u);
  for (uint32_t region = 0; region < 9; ++region) {
    client_->say(Command::get_region_info,
                 Answer().u32(32).u32(0).u32(region).u32(0).u64(0).u64(0));
    EXPECT_EQ(client_->hear(&body), 0);
    EXPECT_EQ(body.size(), 32u);
  }
  client_->say(Command::get_region_info, Answer().u32(32).u32(0).u32(9).u32(0).u64(0).u64(0));
  EXPECT_EQ(client_->hear(), EINVAL);
  client_->say(Command::get_irq_info, Answer().u32(16).u32(0).u32(2).u32(0));
  EXPECT_EQ(client_->hear(&body), 0);
  EXPECT_EQ(uint32_t(body[12]), msix_vectors);
  client_->say(Command::dma_map, Answer().u32(32).u32(1).u64(0).u64(0xc0000).u64(0x20000));
  EXPECT_EQ(client_->hear(), 0) << "a ROM, without a descriptor";
  client_->say(Command::set_irqs, Answer().u32(20).u32(0x24).u32(2).u32(0).u32(1));
  EXPECT_EQ(client_->hear(), 0) << "one vector, nobody listens";
  client_->say(Command::reset, Answer());
  EXPECT_EQ(client_->hear(), 0);
  EXPECT_EQ(client_->read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
}

TEST_F(Served, ACommandAndItsInterrupt) {
  ASSERT_EQ(lend(Host::bus_base, Host::bytes), 0);
  EXPECT_EQ(lend(Host::bus_base + 4096, 4096), EEXIST);
  const Descriptor vector(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  client_->say(Command::set_irqs, Answer().u32(20).u32(0x24).u32(2).u32(5).u32(1), {vector.get()});
  EXPECT_EQ(client_->hear(), 0);
  host_.set_up();
  speckv_engine_descriptor nop{};
  nop.cookie = 42;
  host_.submit(nop);
  pollfd waiting{vector.get(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 30'000), 1) << "no interrupt";
  const auto told = host_.poll();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->cookie, 42u);
  client_->say(Command::dma_unmap, Answer().u32(24).u32(0).u64(Host::bus_base).u64(Host::bytes));
  EXPECT_EQ(client_->hear(), 0);
  client_->say(Command::dma_unmap, Answer().u32(24).u32(0).u64(Host::bus_base).u64(Host::bytes));
  EXPECT_EQ(client_->hear(), ENOENT);
}

TEST_F(Served, AClientThatBreaksOffIsForgotten) {
  ASSERT_EQ(lend(Host::bus_base, Host::bytes), 0);
  host_.set_up();
  EXPECT_NE(client_->read(SPECKV_REG_QUEUES_SETUP), 0u);
  part();
  EXPECT_EQ(server_.memory().areas(), 0u);
  connect();
  EXPECT_EQ(client_->read(SPECKV_REG_QUEUES_SETUP), 0u);
}

TEST_F(Served, MessagesInPiecesAndTooManyDescriptors) {
  const Bytes wrapped = Answer().u64(0).u32(0).u32(4).reply_to({});
  Bytes bytes = Answer().u16(1).u16(9).u32(32).u32(0).u32(0).reply_to({});
  bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
  bytes.insert(bytes.end(), wrapped.begin() + header_bytes, wrapped.end());
  for (const std::byte& byte : bytes) client_->send({&byte, 1}, {});
  EXPECT_EQ(client_->hear(), 0) << "a byte at a time";
  client_->say(Command::dma_map, Answer().u32(32).u32(3).u64(0).u64(0).u64(4096),
               {host_.file(), host_.file()});
  EXPECT_EQ(client_->hear(), EINVAL);
  client_->say(Command::set_irqs, Answer().u32(20).u32(0x24).u32(2).u32(7).u32(2),
               {host_.file(), host_.file()});
  EXPECT_EQ(client_->hear(), EINVAL) << "vectors out of range";
  EXPECT_EQ(client_->read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
}

TEST_F(Served, WhatIsNoMessageEndsTheConnection) {
  const Bytes nonsense(16, std::byte{0xff});
  client_->send(nonsense, {});
  EXPECT_EQ(client_->hear(), -1);
  part();
  connect();
  EXPECT_EQ(client_->read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
}

TEST_F(Served, OddAccessesOfRegisters) {
  for (const auto& [offset, count] : {std::pair(1u, 4u), {0u, 1u}, {0u, 8u}, {65532u, 8u}}) {
    client_->say(Command::region_read, Answer().u64(offset).u32(0).u32(count));
    const int error = client_->hear();
    EXPECT_EQ(error, offset + count > register_bar_bytes ? EINVAL : 0) << offset;
  }
  client_->say(Command::region_write, Answer().u64(2).u32(0).u32(2).u16(0xffff));
  EXPECT_EQ(client_->hear(), 0) << "taken, and of no effect";
  client_->say(Command::region_write, Answer().u64(0).u32(8).u32(4).u32(0));
  EXPECT_EQ(client_->hear(), EINVAL) << "a region that has no bytes";
}

}  // namespace
}  // namespace speckv::device
