// SPDX-License-Identifier: Apache-2.0
// client.hpp - a client of the device's socket, as QEMU is one.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "message.hpp"

namespace speckv::device::testing {

using Bytes = std::vector<std::byte>;

class Client {
 public:
  explicit Client(int connection) : connection_(connection) {}

  void say(Command command, const Answer& body, std::vector<int> descriptors = {},
           uint32_t flags = 0) {
    const Bytes wrapped = body.reply_to({});
    const std::span<const std::byte> words = std::span(wrapped).subspan(header_bytes);
    Bytes bytes = Answer()
                      .u16(++id_)
                      .u16(uint16_t(command))
                      .u32(uint32_t(header_bytes + words.size()))
                      .u32(flags)
                      .u32(0)
                      .bytes(words)
                      .reply_to({});
    bytes.erase(bytes.begin(), bytes.begin() + header_bytes);
    send(bytes, descriptors);
  }

  void send(std::span<const std::byte> bytes, const std::vector<int>& descriptors) const {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
    if (!descriptors.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    EXPECT_EQ(sendmsg(connection_, &message, MSG_NOSIGNAL), ssize_t(bytes.size()));
  }

  // Returns: the reply's errno; its body in ret_body.
  int hear(Bytes* ret_body = nullptr) const {
    Bytes bytes(header_bytes);
    if (recv(connection_, bytes.data(), bytes.size(), MSG_WAITALL) != ssize_t(bytes.size()))
      return -1;
    const auto header = parse_header(bytes);
    if (!header || (header->flags & 1) == 0) return -2;
    Bytes body(header->size - header_bytes);
    if (!body.empty() &&
        recv(connection_, body.data(), body.size(), MSG_WAITALL) != ssize_t(body.size()))
      return -1;
    if (ret_body != nullptr) *ret_body = body;
    return int(header->error);
  }

  uint32_t read(uint32_t offset) {
    say(Command::region_read, Answer().u64(offset).u32(0).u32(4));
    Bytes body;
    EXPECT_EQ(hear(&body), 0);
    uint32_t value = 0;
    if (body.size() == 20) std::memcpy(&value, body.data() + 16, 4);
    return value;
  }
  // Posted, as QEMU does it.
  void write(uint32_t offset, uint32_t value) {
    say(Command::region_write, Answer().u64(offset).u32(0).u32(4).u32(value), {}, 1 << 4);
  }

 private:
  int connection_;
  uint16_t id_ = 0;
};

}  // namespace speckv::device::testing
