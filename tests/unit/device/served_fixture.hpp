// SPDX-License-Identifier: Apache-2.0
// served_fixture.hpp - the golden back end behind a server, with its two threads, and a client at
// the other end of a socket.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "client.hpp"
#include "fault_backend.hpp"
#include "host.hpp"
#include "server.hpp"

namespace speckv::device::testing {

class ServedTest : public ::testing::Test {
 protected:
  ServedTest() : golden_(make_golden_backend()), backend_(*golden_), server_(backend_) {
    connect();
  }
  ~ServedTest() override { part(); }

  void connect() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    connection_ = ends[0];
    thread_ = std::thread([this, end = ends[1]] { server_.serve(Descriptor(end)); });
    client_ = std::make_unique<Client>(connection_);
    host_.read = [this](uint32_t offset) { return client_->read(offset); };
    host_.write = [this](uint32_t offset, uint32_t value) { client_->write(offset, value); };
  }
  void part() {
    if (connection_ >= 0) close(connection_);
    connection_ = -1;
    if (thread_.joinable()) thread_.join();
  }
  // Takes a vector's interrupts.
  void listen(uint32_t vector, int event) {
    client_->say(Command::set_irqs, Answer().u32(20).u32(0x24).u32(2).u32(vector).u32(1), {event});
    EXPECT_EQ(client_->hear(), 0);
  }
  int lend(uint64_t address, uint64_t bytes) {
    const auto body = Answer().u32(32).u32(3).u64(0).u64(address).u64(bytes);
    client_->say(Command::dma_map, body, {host_.file()});
    return client_->hear();
  }

  std::unique_ptr<Backend> golden_;
  FaultBackend backend_;
  Server server_;
  Host host_;
  int connection_ = -1;
  std::unique_ptr<Client> client_;
  std::thread thread_;
};

}  // namespace speckv::device::testing
